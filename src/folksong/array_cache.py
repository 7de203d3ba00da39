"""A cache file of named arrays and texts: written once, then read whole or memory-mapped.

After a mark with the format's version come the arrays, each padded to 8 bytes, then a JSON header (names, types,
shapes, checksum, the caller's key and notes), its length and its own checksum. A file that is missing, damaged, or
written under another key is simply not used; deleting one is always safe.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from folksong.files import atomic_write, sha256_json

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]

MAGIC = b"folksong arrays\x02"
"""Its last byte is the version: change it when the layout, or what a reader makes of a source, changes."""
ALIGNMENT = 8
FOOTER_BYTES = 12
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredArrays:
    """What a cache file holds: arrays by name, and the notes of whoever wrote it (JSON values)."""

    arrays: Mapping[str, Array]
    notes: Mapping[str, Any]

    def strings(self, name: str) -> list[str]:
        """Return the texts that `ArrayWriter.add_strings` stored under a name."""
        text = self.arrays[name].tobytes().decode("utf-8")
        lengths = self.arrays.get(f"{name} lengths")
        if lengths is None:
            return text.split("\x00")
        ends = [0, *np.cumsum(lengths).tolist()]
        return [text[start:end] for start, end in pairwise(ends)]


class ArrayWriter:
    """Writes arrays one after another into an open cache file; see `write_arrays`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.notes: dict[str, Any] = {}
        self._stream = stream
        self._layout: list[tuple[str, str, list[int], int]] = []
        self._crc = 0
        stream.write(MAGIC)

    def add(self, name: str, blocks: Iterable[Array]) -> None:
        """Store the rows of all blocks as one array; they are of one type and width, and at least one."""
        n_rows = n_bytes = 0
        for block in blocks:
            raw = np.ascontiguousarray(block).tobytes()
            self._write(raw)
            n_rows, n_bytes = n_rows + len(block), n_bytes + len(raw)
            kind, width = block.dtype.str, list(block.shape[1:])
        self._write(b"\x00" * (-n_bytes % ALIGNMENT))
        self._layout.append((name, kind, [n_rows, *width], n_bytes))

    def add_strings(self, name: str, texts: Sequence[str]) -> None:
        """Store texts, whatever characters they hold.

        Raises:
            UnicodeEncodeError: a text holds a surrogate, which UTF-8 does not have.
        """
        if not len(texts) or any("\x00" in text for text in texts):  # the separator itself occurs
            self.add(f"{name} lengths", [np.fromiter(map(len, texts), np.int64, len(texts))])
            joined = "".join(texts)
        else:
            joined = "\x00".join(texts)
        self.add(name, [np.frombuffer(joined.encode("utf-8"), np.uint8)])

    def finish(self, key: str) -> None:
        """Write the header."""
        content = {"key": key, "arrays": self._layout, "crc": self._crc, "notes": self.notes}
        header = json.dumps(content).encode()
        crc = google_crc32c.value(header).to_bytes(4, "little")
        self._stream.write(header + len(header).to_bytes(8, "little") + crc)

    def _write(self, raw: bytes) -> None:
        self._stream.write(raw)
        self._crc = google_crc32c.extend(self._crc, raw)


@contextmanager
def write_arrays(path: str | os.PathLike[str], key: str) -> Iterator[ArrayWriter]:
    """Open a cache file for writing; it appears, whole, when the block ends without an error."""
    with atomic_write(path) as stream:
        writer = ArrayWriter(stream)
        yield writer
        writer.finish(key)


def read_arrays(path: str | os.PathLike[str], key: str, *, mapped: bool = False) -> StoredArrays | None:
    """Return what a cache file holds if it is there, whole, and of this key; else None.

    `mapped` maps the arrays into memory instead of reading them; their checksum is not looked at then.
    """
    try:
        data = np.memmap(path, np.uint8, "r") if mapped else np.fromfile(path, np.uint8)
        end = len(data) - FOOTER_BYTES
        footer = data[max(end, 0) :].tobytes()
        start = end - int.from_bytes(footer[:8], "little")
        header = data[max(start, 0) : max(end, 0)].tobytes()
        if start < len(MAGIC) or data[: len(MAGIC)].tobytes() != MAGIC:
            return None
        if google_crc32c.value(header) != int.from_bytes(footer[8:], "little"):
            return None
        content = json.loads(header)
        if content["key"] != key or (
            not mapped and google_crc32c.value(data[len(MAGIC) : start]) != content["crc"]
        ):
            return None
        arrays: dict[str, Array] = {}
        place = len(MAGIC)
        for name, kind, shape, n_bytes in content["arrays"]:
            arrays[name] = data[place : place + n_bytes].view(np.dtype(kind)).reshape(shape)
            place += n_bytes + (-n_bytes % ALIGNMENT)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.debug("%s: not used (%s)", path, error)
        return None
    return StoredArrays(arrays, content["notes"]) if place == start else None


def content_key(path: str | os.PathLike[str], options: Mapping[str, Any]) -> str:
    """Return a key of a file's bytes (those of a SQLite write-ahead log beside it too) and the options of reading.

    A CRC-32C of each block of 1 MiB, hashed together: any change of a few bytes is found for certain, any other but
    for one in four billion.
    """
    digest = hashlib.sha256(MAGIC + json.dumps(options, sort_keys=True, default=str).encode())
    for part in (Path(path), Path(f"{os.fspath(path)}-wal")):
        if part.exists():
            digest.update(f"{part.stat().st_size}\n".encode())
            with part.open("rb", buffering=0) as stream:
                while block := stream.read(BLOCK_BYTES):
                    digest.update(google_crc32c.value(block).to_bytes(4, "little"))
    return digest.hexdigest()


def status_key(path: Path, detail: str = "") -> str:
    """Return a key of where a file lies, its size and time of change, for files too large to read each time."""
    status = path.stat()
    identity = f"{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}\n{detail}"
    return hashlib.sha256(MAGIC + identity.encode()).hexdigest()[:24]


def path_beside(path: str | os.PathLike[str], options: Mapping[str, Any]) -> Path:
    """Return where the cache of a source read with these options lies: a hidden file beside it."""
    source = Path(path)
    chosen = {name: value for name, value in options.items() if value is not None}
    mark = f".{sha256_json(chosen)[:8]}" if chosen else ""
    return source.with_name(f".{source.name}{mark}.folksong")
