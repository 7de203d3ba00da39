"""Files that appear whole or not at all, never over what others made; their hashes, locks, and JSON.

A file is written beside its final name, flushed, synced and renamed, so that a reader (or a run after a crash or on
a full disk) sees the old content or the new one and never half of it. What a command wrote is remembered by path and
hash: it may be replaced by the same command as long as nobody changed it.
"""

import csv
import errno
import hashlib
import json
import math
import mmap
import numbers
import os
import re
import secrets
import shutil
import socket
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from filelock import FileLock, Timeout

from folksong.errors import FileFormatError, FolksongError, ForeignFileError

MAPPED_BYTES = 32 << 20  # larger files are mapped rather than read


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
    if error.errno == errno.EROFS:
        return f"{target}: the file system is read-only; choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM):
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
    maker = _makers.get(os.path.realpath(target))
    if maker is None and (folder := _folders.get(os.path.realpath(target.parent))) is not None:
        maker, force = folder
        check_output(target, maker, force=force)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part_of(target) as temporary:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            if maker is not None:
                _note_output(target, maker, [sha256_file(temporary), *_hashes_by(target, maker)])
            temporary.replace(target)
        sync_folder(target.parent)
    except Exception as error:
        if isinstance(error, FolksongError):
            raise
        number = _OS_ERROR.search(str(error))
        if number is None and not isinstance(error, OSError):
            raise
        cause = error if number is None else OSError(int(number[1]), os.strerror(int(number[1])))
        raise FolksongError(describe_os_error(cast("OSError", cause), target)) from error


@contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """Yield a new, empty file beside `target`, to be renamed or linked; what still has its name in the end is removed.

    It is locked for the block, by which `remove_leftovers` knows that somebody writes it.
    """
    shown = os.fsencode(target.name)[:100].decode("utf-8", "ignore")
    while True:
        # The name is known before the file is there: whatever stops the block from then on, the file is removed.
        part = target.with_name(f".{shown}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as held:
                if not _lock(held) or not part.exists():  # it was just taken for a leftover
                    continue
                if os.fspath(target.parent) not in _swept:
                    _swept.add(os.fspath(target.parent))
                    remove_leftovers(target.parent)
                if os.name == "nt":
                    held.close()  # an open file cannot be renamed there
                yield part
                return
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left half written in a folder, and nothing that a living one writes."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _PART.fullmatch(entry.name):
                with suppress(OSError, FolksongError), open_regular(entry.path) as left:
                    if _lock(left, otherwise=False):
                        Path(entry.path).unlink()


def _lock(stream: IO[bytes], *, otherwise: bool = True) -> bool:
    """Lock a file unless another process does; say whether it is locked now, `otherwise` where files have no locks."""
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows; a file system without locks
        return otherwise
    return True


_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # so end errors of libraries written in Rust, of whatever kind
_PART = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)
_swept: set[str] = set()  # folders, once a process


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when the block ends without an error.

    `mode` is ``"wb"`` for bytes or ``"w"`` for UTF-8 text; missing parent folders are made.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open(mode, encoding=None if "b" in mode else "utf-8") as stream,
    ):
        yield stream
        stream.flush()


KINDS = {
    b"SQLite format 3": "an SQLite database, as `folksong tags` reads",
    b"PAR1": "a Parquet table",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a zip archive: a workbook, a checkpoint or an .npz",
    b"PK\x05\x06": "an empty zip archive",
    b"BZh": "compressed by bzip2; decompress it first",
    b"\xfd7zXZ": "compressed by xz; decompress it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; decompress it first",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF document",
    b"{\n  // Settings": "settings of a training, as `folksong train --config` reads",
    **dict.fromkeys((b"ID3", b"fLaC", b"OggS", b"RIFF", b"\xff\xfb", b"\xff\xf3"), "a recording"),
}
"""What a file is, by its first bytes."""
DOCUMENTS = {
    "labels": "a label space, as `folksong labels` and `train` read",
    "split": "a split, as `folksong train` reads",
    "changes": "the log of a cleaning, as `folksong tags explain` reads",
    "shards": "a folder of shards, as `folksong train` reads",
    "embeddings": "a folder of embeddings, as `folksong train` reads",
    "run": "a run, as `folksong evaluate` and `predict` read",
    "model": "an exported model, as `folksong predict` reads",
    "experiment": "an experiment, as `folksong report` reads",
}
"""What a JSON document, or the folder that it describes, is, by its ``format``."""
DESCRIPTIONS = ("config.json", "manifest.json", "embeddings.json", "experiment.json")
_FORMAT = re.compile(rb'\s*\{\s*"format":\s*"folksong\.(\w+)"')


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return what a file or folder is by its beginning, and what reads it; empty where that is not known."""
    file = Path(path)
    file = next((file / name for name in DESCRIPTIONS if (file / name).is_file()), file)
    if not file.is_file():
        return ""
    with described(file), open_regular(file) as stream:
        return kind_of_content(stream.read(256))


def kind_of_content(start: bytes) -> str:
    """Return what a file that begins so is, and what reads it; empty where that is not known."""
    if document := _FORMAT.match(start):
        return DOCUMENTS.get(document[1].decode(), "")
    return next((kind for magic, kind in KINDS.items() if start.startswith(magic)), "")


def but_it_is(path: str | os.PathLike[str]) -> str:
    """Return ``, but a split, …`` for the end of a message that says what a file is not, or nothing."""
    by_name = {".csv": "a table", ".tsv": "a table", ".toml": "TOML, as recipes and plans are"}
    kind = kind_of(path) or by_name.get(Path(path).suffix)
    return f", but {kind}" if kind else ""


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading, and nothing else: a pipe would wait for ever, a device has no end.

    Raises:
        FolksongError: a folder, a pipe, a socket or a device.
        OSError: it cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not (is_folder := Path(path).is_dir()):
        stream = os.fdopen(os.open(path, flags), "rb")
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream
        stream.close()
    kind = (kind_of(path) or "a folder") if is_folder else "a pipe, socket or device"
    raise FolksongError(f"{path}: is {kind}, not a file; give a regular file")


@contextmanager
def described(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make an operating-system error of the block a `FolksongError` that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        FolksongError: the file is missing, unreadable, or no file.
    """
    with described(path), open_regular(path) as stream:
        return stream.read()


def content_of(stream: IO[bytes]) -> bytes | mmap.mmap:
    """Return an open file's bytes; those of a large one stay on disk until they are looked at."""
    if stream.seek(0, os.SEEK_END) > MAPPED_BYTES:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    stream.seek(0)
    return stream.read()


def cache_folder() -> Path:
    """Return the folder of all caches (which need not exist yet): ``$FOLKSONG_CACHE``, else the user's cache folder."""
    if chosen := os.environ.get("FOLKSONG_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "folksong"


def check_output(
    path: str | os.PathLike[str],
    maker: str,
    inputs: Iterable[str | os.PathLike[str]] = (),
    *,
    force: bool = False,
) -> None:
    """Refuse an output that would replace an input, or a file that `maker` did not write as it is now.

    With `force` it may replace any file but an input. `remember_output` was told of the maker.

    Raises:
        FolksongError: the file must not be replaced; a `ForeignFileError` where `force` would do it.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "a pipe, socket or device"
        raise FolksongError(f"{target}: is {kind}, where a file is to be written; give another name")
    if not target.exists():
        return
    if any(Path(other).exists() and target.samefile(other) for other in inputs):
        raise FolksongError(f"{target}: both an input and the output; give the output another name")
    if not force and _made_by(target) != maker:
        raise ForeignFileError(
            f"{target}: this file is there already, and {maker} did not write it (or it was changed since); "
            "it stays as it is"
        )


_makers: dict[str, str] = {}  # path of an output -> what writes it, while that runs
_folders: dict[str, tuple[str, bool]] = {}  # of outputs -> what writes there, and whether with `force`


@contextmanager
def written_by(
    maker: str,
    paths: Iterable[str | os.PathLike[str]],
    folders: Iterable[str | os.PathLike[str]] = (),
    *,
    force: bool = False,
) -> Iterator[None]:
    """Note that `maker` wrote these files, of each just before it is there, so that no kill comes between.

    Files of any names are written into the `folders`: each is checked (`check_output`) just before.
    """
    keys, places = ([os.path.realpath(path) for path in some] for some in (paths, folders))
    _makers.update(dict.fromkeys(keys, maker))
    _folders.update(dict.fromkeys(places, (maker, force)))
    try:
        yield
    finally:
        for key in keys:
            _makers.pop(key, None)
        for place in places:
            _folders.pop(place, None)


def remember_output(path: str | os.PathLike[str], maker: str) -> None:
    """Note that `maker` wrote a file as it is now; without a writable cache folder nothing is noted."""
    target = Path(path)
    if target.is_file():
        _note_output(target, maker, [sha256_file(target)])


def _note_output(target: Path, maker: str, hashes: list[str]) -> None:
    with suppress(FolksongError):
        write_json(_note_of(target), {"path": str(target.resolve()), "maker": maker, "sha256": hashes})


def _hashes_by(target: Path, maker: str) -> list[str]:
    return [sha256_file(target)] if target.is_file() and _made_by(target) == maker else []


def _made_by(target: Path) -> str | None:
    """Return who wrote a file, None where that is unknown or the file was changed since."""
    try:
        note = read_json(_note_of(target))
        return str(note["maker"]) if sha256_file(target) in note["sha256"] else None
    except (FolksongError, KeyError, TypeError):
        return None


def _note_of(target: Path) -> Path:
    name = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:32]
    return cache_folder() / "outputs" / f"{name}.json"


@contextmanager
def locked(path: str | os.PathLike[str], busy: str | None = None) -> Iterator[None]:
    """Hold the lock of a file, made if missing, for the block; a killed process lets it go by dying.

    Args:
        path: the lock's file.
        busy: what to say where another process holds it, which is named; None waits until it is free.

    Raises:
        FolksongError: another process holds it, or it cannot be made.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=-1 if busy is None else 0):
            with suppress(OSError):
                Path(path).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
    except Timeout as error:
        with suppress(OSError):
            busy = f"{busy} ({Path(path).read_text(encoding='utf-8') or 'not known which'})"
        raise FolksongError(f"{path}: {busy}") from error
    except OSError as error:
        if error.filename is None or Path(error.filename) != Path(path):
            raise
        raise FolksongError(describe_os_error(error, path)) from error


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Say whether a process holds the lock of a file."""
    if not Path(path).exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


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
    with atomic_write(path) as stream:
        stream.write(json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return `value` as indented UTF-8 JSON."""
    return f"{json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)}\n".encode()


def write_csv(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[object]], comment: str = ""
) -> None:
    """Write a UTF-8 CSV file, whole or not at all; `comment` is a line that goes before the header."""
    with atomic_write(path, "w") as stream:
        stream.write(f"{comment}\n" if comment else "")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_text(path: str | os.PathLike[str], *, document: bool = False) -> str:
    """Read a text file in UTF-8, or UTF-16 with a byte order mark; line ends become line feeds, the mark is left out.

    Raises:
        FolksongError: the file is missing or unreadable.
        FileFormatError: it is not UTF-8 text; the message says what it is, or gives the byte. Or it is one of
            folksong's own JSON documents, without `document`.
    """
    try:
        data = read_bytes(path)
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        why = but_it_is(path) or f" ({error.reason} at byte {error.start})"
        raise FileFormatError(f"{path}: not UTF-8 text{why}") from error
    if not document and _FORMAT.match(data):
        raise FileFormatError(f"{path}: not what is read here{but_it_is(path)}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a UTF-8 JSON file.

    Raises:
        FolksongError: the file is missing or unreadable.
        FileFormatError: it is not JSON; the message gives line and column.
    """
    text = read_text(path, document=True)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = but_it_is(path) or f" (line {error.lineno}, column {error.colno}: {error.msg})"
        raise FileFormatError(f"{path}: not valid JSON{where}") from error
    except (ValueError, RecursionError) as error:  # a number of a book's length, endless brackets
        raise FileFormatError(f"{path}: not valid JSON ({error})") from error


@contextmanager
def reading(path: str | os.PathLike[str], remedy: str = "") -> Iterator[None]:
    """Name the file where the block fails on what it holds: a key that it lacks, a value of another kind.

    Raises:
        FileFormatError: the block failed.
    """
    try:
        yield
    except OSError as error:
        reason = describe_os_error(error, error.filename or path)
        raise FileFormatError(f"{reason}{remedy and f'; {remedy}'}") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, FileFormatError) or (
            isinstance(error, FolksongError) and os.fspath(path) in str(error)
        ):
            raise
        reason = " ".join(str(error).split())[:300]
        if not isinstance(error, FolksongError):
            reason = f"damaged ({type(error).__name__}: {reason})"
        raise FileFormatError(f"{path}: {reason}{remedy and f'; {remedy}'}") from error


def parse_toml(text: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a TOML text says; `path` is for the message.

    Raises:
        FileFormatError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: not valid TOML ({error})") from error


def read_document(
    path: str | os.PathLike[str], file_format: str, version: int, what: str, remedy: str
) -> dict[str, Any]:
    """Read a JSON object that says of itself what it is, by the keys ``format`` and ``version``.

    For messages, `what` is wanted with its article (``a split``), and `remedy` what to do with another file.

    Raises:
        FolksongError: the file is missing or unreadable.
        FileFormatError: it is not JSON, of another format, or of another version.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != file_format:
        found = but_it_is(path) or f' (no \'"format": "{file_format}"\')'
        raise FileFormatError(f"{path}: not {what}{found}; {remedy}")
    if content.get("version") != version:
        raise FileFormatError(
            f"{path}: version {content.get('version')}; this folksong reads {version}; {remedy}"
        )
    return content


def write_signed(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a JSON object with a hash of itself (``sha256``), by which `check_signature` knows an edited file."""
    write_json(path, {**content, "sha256": _sha256_of(content)})


def check_signature(path: str | os.PathLike[str], content: Mapping[str, Any], remedy: str) -> None:
    """Compare the content of a file that `write_signed` wrote with the hash in it.

    Raises:
        FileFormatError: they do not belong together, or there is no hash.
    """
    if content.get("sha256") != _sha256_of(content):
        raise FileFormatError(f"{path}: was edited (its content is not that of its own sha256); {remedy}")


def _sha256_of(content: Mapping[str, Any]) -> str:
    return sha256_json({key: value for key, value in content.items() if key != "sha256"})


def sha256_json(content: Any) -> str:
    """Return the SHA-256 of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to disk."""
    if os.name != "posix":  # a folder cannot be opened elsewhere
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
