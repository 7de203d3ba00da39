"""Files that appear whole or not at all, their hashes, and JSON.

A file is written beside its final name, flushed, synced and renamed, so that a reader (or a run after a crash or on
a full disk) sees the old content or the new one and never half of it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import numbers
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from folksong.errors import FileFormatError, FolksongError

HASH_BLOCK_BYTES = 1 << 20
AUDIO_EXTENSIONS = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav", ".wma"}
)
"""What a recording's name ends in (lower case): one list for whoever walks a folder of music."""


def describe_os_error(error: OSError, path: str | os.PathLike[str]) -> str:
    """Return one line that names the file, the cause and the remedy of an operating-system error."""
    target = Path(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = target if target.is_dir() else target.parent
        try:
            room = f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB left)"
        except OSError:
            room = ""
        return (
            f"{target}: the disk is full{room}; free some space or choose another folder, then run this again"
        )
    if error.errno == errno.ENOENT:
        return f"{target}: no such file or folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{target}: no permission; check its owner and mode"
    return f"{target}: {error.strerror or error}"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder that is renamed to `path` when the block ends without an error.

    The temporary file is removed if the block fails. For writers that need a file name (SQLite, Parquet, audio).

    Raises:
        FolksongError: the file cannot be written; the message says why (a full disk, no permission).
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent
        )
        os.close(descriptor)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise FolksongError(describe_os_error(error, target)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when the block ends without an error.

    Args:
        path: the final name; missing parent folders are made.
        mode: ``"wb"`` for bytes or ``"w"`` for UTF-8 text.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open(mode, encoding=None if "b" in mode else "utf-8") as stream,
    ):
        yield stream
        stream.flush()


def json_value(value: Any) -> Any:
    """Return a value as JSON has it, all through its parts: a number that is undefined or infinite becomes null."""
    if isinstance(value, Mapping):
        return {name: json_value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(part) for part in value]
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return float(value) if math.isfinite(value) else None
    return value


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, whole or not at all. Keys keep their order; NaN is an error."""
    with atomic_write(path, "w") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=2, allow_nan=False)
        stream.write("\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a UTF-8 JSON file.

    Raises:
        FolksongError: the file is missing or unreadable.
        FileFormatError: it is not JSON; the message gives line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"{path}: not valid JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        ) from error


def read_document(
    path: str | os.PathLike[str], file_format: str, version: int, what: str, remedy: str
) -> dict[str, Any]:
    """Read a JSON object that says of itself what it is, by the keys ``format`` and ``version``.

    Args:
        path: the file.
        file_format: what ``format`` must be.
        version: what ``version`` must be.
        what: for the message, with its article: ``a split``.
        remedy: what to do with another file.

    Raises:
        FolksongError: the file is missing or unreadable.
        FileFormatError: it is not JSON, of another format, or of another version.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != file_format:
        raise FileFormatError(f'{path}: not {what} (no \'"format": "{file_format}"\'); {remedy}')
    if content.get("version") != version:
        raise FileFormatError(
            f"{path}: version {content.get('version')}; this folksong reads {version}; {remedy}"
        )
    return content


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def track_id_of(relative_path: str | os.PathLike[str]) -> str:
    """Return the track id of a recording that has no other: its path below the root, POSIX form, no extension.

    >>> track_id_of("Flute/0356dec7.ogg")
    'Flute/0356dec7'
    """
    return Path(relative_path).with_suffix("").as_posix()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # a folder cannot be opened elsewhere
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
