"""Files as streams of bytes: decompressed on the way, member by member out of an archive or a folder."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import IO, Any
from xml.parsers import expat

from tqdm import tqdm

from folksong.errors import FileFormatError, FolksongError
from folksong.files import described, open_regular

ZIP_MAGIC, ZSTD_MAGIC = b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
TAR_MAGIC = slice(257, 262), b"ustar"
HEAD_BYTES = 512
DAMAGED = (
    *(EOFError, lzma.LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile),
    NotImplementedError,  # a zip's way of compressing that Python does not know
)
MOST_RECORD_BYTES = 32 << 20
"""What is longer is no record, row or line of a dump; Python's objects take up to thirty times the room."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BYTE_ORDER_MARKS_16 = (b"\xff\xfe", b"\xfe\xff")


class UnfitError(ValueError):
    """What is in a file cannot be read, and would be there again if it were fetched again."""


@contextmanager
def named(path: str | os.PathLike[str], n_records: Callable[[], int]) -> Iterator[None]:
    """Name the file, and how far it was read, in whatever is wrong with it."""
    try:
        yield
    except FolksongError:
        raise
    except RecursionError as error:
        raise FileFormatError(f"{path}: nested too deeply for a dump of a database of music") from error
    except UnfitError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (*DAMAGED, OSError, OverflowError, expat.ExpatError, ValueError) as error:
        raise FileFormatError(
            f"{path}: damaged or cut short after {n_records():,} records ({error}); fetch it again"
        ) from error


def lines_of(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the lines of UTF-8 text, without its byte order mark.

    Raises:
        UnfitError: it is UTF-16, or a line is longer than `MOST_RECORD_BYTES`.
    """
    if head_of(stream).startswith(BYTE_ORDER_MARKS_16):
        raise UnfitError(f"{name} is UTF-16; write it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    number = 0
    while line := stream.readline(MOST_RECORD_BYTES + 1):
        number += 1
        if len(line) > MOST_RECORD_BYTES:
            raise UnfitError(
                f"line {number:,} of {name} is longer than {MOST_RECORD_BYTES >> 20} MiB, which no record is; "
                "JSON goes a record a line (jq -c)"
            )
        yield line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line


class _Counted(io.FileIO):
    """A file that moves a bar as it is read."""

    bar: Any = None

    def readinto(self, buffer: Any) -> int:
        n_bytes = super().readinto(buffer)
        self.bar.update(n_bytes)
        return n_bytes


@contextmanager
def open_decompressed(path: str | os.PathLike[str], *, progress: bool = False) -> Iterator[IO[bytes]]:
    """Open a file, decompressed if it is gzip, bzip2, xz or (with Python 3.14 or backports.zstd) zstd.

    With `progress` a bar of the file's own bytes is shown.

    Raises:
        FolksongError: the file is missing, unreadable, or no file.
    """
    with described(path):
        file = open_regular(path)
    size = os.fstat(file.fileno()).st_size
    settings = {"unit": "B", "unit_scale": True, "leave": False, "disable": not progress}
    with (
        file,
        _Counted(file.fileno(), closefd=False) as raw,
        tqdm(total=size, desc=Path(path).name, **settings) as raw.bar,
    ):
        stream = io.BufferedReader(raw)
        head = head_of(stream)
        opener = next((known for magic, known in OPENERS.items() if head.startswith(magic)), None)
        if head.startswith(ZSTD_MAGIC):
            opener = _zstd_opener(path)
        if opener is None:
            yield stream
        else:
            with opener(stream) as unpacked:
                yield unpacked


def _zstd_opener(path: str | os.PathLike[str]) -> Callable[..., Any]:
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            opener: Callable[..., Any] = import_module(name).open
            return opener
    raise FileFormatError(
        f"{path}: compressed by zstd: pip install backports.zstd, or decompress it first (zstd -d)"
    )


def head_of(stream: IO[bytes]) -> bytes:
    """Return how a stream goes on, without reading on."""
    return bytes(stream.peek(HEAD_BYTES)[:HEAD_BYTES])  # type: ignore[attr-defined]  # all of these have it


def is_archive(path: str | os.PathLike[str], head: bytes) -> bool:
    """Say whether a file that begins so, decompressed, is a tar archive, or a zip of JSON (a workbook is a zip too)."""
    if head.startswith(ZIP_MAGIC):
        if Path(path).suffix.lower() == ".zip":
            return True
        with suppress(*DAMAGED), zipfile.ZipFile(path) as archive:
            return any(name.endswith(".json") for name in archive.namelist())
    return head[TAR_MAGIC[0]] == TAR_MAGIC[1]


def _is_hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".")


def files_in(path: str | os.PathLike[str], *, progress: bool = False) -> Iterator[str | os.PathLike[str]]:
    """Yield the files of a folder and its folders, in order, without hidden ones; of a file, itself."""
    if not Path(path).is_dir():
        yield path
        return
    files = sorted(file for file in Path(path).rglob("*") if file.is_file() and not _is_hidden(file.name))
    yield from tqdm(files, unit="file", leave=False, disable=not progress)


def members(path: str | os.PathLike[str], *, progress: bool = False) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield (name, stream) of each file in a tar or zip archive, or of the one file that there is.

    A stream is good until the next is asked for. Nothing is extracted; links and devices of an archive, and hidden
    files, are passed over.
    """
    with open_decompressed(path, progress=progress) as stream:
        head = head_of(stream)
        if head.startswith(ZIP_MAGIC):
            with zipfile.ZipFile(stream) as archive:
                for entry in archive.infolist():
                    if entry.flag_bits & 1:
                        raise UnfitError(
                            f"{entry.filename} is locked by a password; unpack the archive first"
                        )
                    if not entry.is_dir() and not _is_hidden(entry.filename):
                        with archive.open(entry) as part:
                            yield entry.filename, part
        elif head[TAR_MAGIC[0]] == TAR_MAGIC[1]:
            with tarfile.open(fileobj=stream, mode="r|") as packed:
                for found in packed:
                    if found.isfile() and not _is_hidden(found.name):
                        yield found.name, packed.extractfile(found)  # type: ignore[misc]  # it is a file
            while stream.read(1 << 20):  # to the end, where a checksum may stand
                pass
        else:
            yield Path(path).name, stream
