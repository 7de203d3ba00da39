"""A delimited text or Parquet file as a polars frame, whatever its separator, quoting and line ends."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from pathlib import Path
from typing import Literal

import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.files import describe_os_error
from folksong.tags.sources.entries import UnclearSourceError

PARQUET_MAGIC = b"PAR1"
SEPARATORS = ("\t", ",", ";", "|")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
QUOTED_FIELDS_TRIED = 100_000
TWICE = "\x1f"
"""Parts a column's name from its number where a header has the name more than once."""
WEIGHTS = {"weight", "count", "val", "value", "score"}
PANDAS_INDEX = ("", "__index_level_0__", "Unnamed: 0")
KINDS = (
    (b"PK\x03\x04", "a zip archive or a workbook: save or unpack the table as CSV"),
    (b"BZh", "compressed by bzip2: decompress it first"),
    (b"\xfd7zXZ", "compressed by xz: decompress it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: decompress it first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the table as CSV"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ID3", "a recording"),
    (b"fLaC", "a recording"),
    (b"OggS", "a recording"),
    (b"RIFF", "a recording"),
    (b"{", "JSON, such as labels, a split or a plan, and no table"),
    (b"[{", "JSON, and no table"),
)


def read_frame(
    path: str | os.PathLike[str],
    *,
    separator: str | None = None,
    encoding: str = "utf-8",
    quotes: bool | None = None,
) -> pl.DataFrame:
    """Read a table with a header line; text columns are strings, empty cells are null.

    An index that pandas wrote as a first column, 0, 1, …, is no column. A name that stands in the header again
    becomes the name, `TWICE` and a number.

    Args:
        path: CSV, TSV or other delimited text, or Parquet (known by its first bytes).
        separator: None finds it: the one of tab, comma, semicolon and bar that the header line has most of.
        encoding: of delimited text.
        quotes: whether a cell that starts with ``"`` is quoted as RFC 4180 says; None looks whether all such cells
            are closed properly.

    Raises:
        FolksongError: the file cannot be read.
        FileFormatError: it is empty, binary, of another kind or encoding, or has rows with more cells than its header.
    """
    data = read_bytes(path)
    if data.startswith(PARQUET_MAGIC):
        return _without_index(_read_parquet(path, data))
    data, separator = table_text(path, data, separator, encoding)
    if quotes is None:
        quotes = quotes_are_closed(data, separator)
    header = split_lines(path, data[: data.find(b"\n", 1 << 16) + 1 or None], separator, quotes)[0]
    if len(header) > 1 and not header[0].startswith(" ") and all(name.startswith(" ") for name in header[1:]):
        return _without_index(_read_spaced(path, data, separator))
    try:
        frame = pl.read_csv(
            io.BytesIO(data),
            separator=separator,
            quote_char='"' if quotes else None,
            infer_schema=False,
            truncate_ragged_lines=False,
        )
    except pl.exceptions.PolarsError as error:
        if "more fields" in str(error):
            raise _too_many_cells(path, split_lines(path, data, separator, quotes)) from error
        raise UnclearSourceError(
            f"{path}: not a well-formed table ({str(error).splitlines()[0][:200]}); it was read with separator "
            f"{separator!r} and quotes {'on' if quotes else 'off'}: choose others",
            separator="CHAR",
            quotes=False,
        ) from error
    if len(header) == len(frame.columns):
        frame.columns = _distinct(header)
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
    return _without_index(
        frame.rename({name: name.strip() for name in frame.columns if name.strip() not in frame.columns})
    )


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes, decompressed if it is gzip.

    Raises:
        FolksongError: it cannot be read.
        FileFormatError: a damaged gzip file.
    """
    if not Path(path).is_file() and Path(path).exists():
        raise FolksongError(f"{path}: not a file; a table of tags is expected here")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path}: a damaged gzip file ({error}); fetch it again") from error


def table_text(
    path: str | os.PathLike[str], data: bytes, separator: str | None = None, encoding: str = "utf-8"
) -> tuple[bytes, str]:
    """Return a table's text as UTF-8 bytes from its header on, lines ending in line feeds, and its separator.

    Comments (lines that start with ``#``) before the header and Excel's ``sep=;`` are left out.

    Raises:
        FileFormatError: not a table.
    """
    data = utf8_bytes(path, data, encoding)
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")  # as spreadsheets of old ended lines
    first, _, rest = data.partition(b"\n")
    if first[:4].lower() == b"sep=" and len(first.rstrip(b"\r")) == 5:
        separator, data = separator or chr(first[4]), rest
    while data.startswith(b"#") and not _is_header(data) and data.partition(b"\n")[2].strip():
        data = data.partition(b"\n")[2]
    if separator is None:
        separator = find_separator(path, data)
    elif len(separator.encode()) != 1:
        raise FolksongError(f"the separator must be one ASCII character, not {separator!r}")
    return data, separator


def _is_header(data: bytes) -> bool:
    """Say whether a first line that starts with ``#`` is the header all the same: ``#track_id,tag``."""
    line = data.partition(b"\n")[0]
    return not line.startswith((b"# ", b"##")) and any(line.count(mark.encode()) for mark in SEPARATORS)


def utf8_bytes(path: str | os.PathLike[str], data: bytes, encoding: str = "utf-8") -> bytes:
    """Return the text of a file as UTF-8 bytes without a byte order mark.

    Raises:
        FileFormatError: the file is empty or binary, or not text of this encoding.
    """
    kind = next((kind for magic, kind in KINDS if data.startswith(magic)), None)
    if kind is not None:
        raise FileFormatError(f"{path}: not a table of tags; the file is {kind}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and encoding == "utf-8":
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise FolksongError(f"unknown encoding {encoding!r}; try utf-8, latin-1 or cp1252") from error
    except UnicodeDecodeError as error:
        if b"\x00" in data[:1000]:
            raise FileFormatError(f"{path}: a binary file, neither SQLite nor Parquet nor text") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise UnclearSourceError(
            f"{path}: not {encoding} text (byte 0x{data[error.start]:02x} in line {line}); it may be Latin-1",
            encoding="latin-1",
        ) from error
    data = data if encoding.lower() in ("utf-8", "utf8") else text.encode("utf-8")
    data = data.removeprefix(BYTE_ORDER_MARK)
    if not data.strip():
        raise FileFormatError(f"{path}: the file is empty; a table of tags starts with a header line")
    if b"\x00" in data.split(b"\n", 1)[0]:
        raise FileFormatError(f"{path}: a binary file, neither SQLite nor Parquet nor delimited text")
    return data


def find_separator(path: str | os.PathLike[str], data: bytes) -> str:
    """Return the separator that the header line has most of.

    Raises:
        FileFormatError: the header has none of them.
    """
    header = data.split(b"\n", 1)[0].decode("utf-8", "replace")
    best = max(SEPARATORS, key=header.count)
    if not header.count(best):
        raise FileFormatError(
            f"{path}: the first line, {header.strip()[:60]!r}, has a single column; a table of tags has a header with "
            "at least a track and a tag column, separated by tab, comma, semicolon or |"
        )
    return best


def quotes_are_closed(data: bytes, separator: str) -> bool:
    """Say whether each cell that starts with a quotation mark is a well-formed quoted cell.

    A tab-separated file often has quotation marks as plain characters (``"weird al" yankovic``); reading these as
    quoting would swallow the lines up to the next mark.
    """
    edge = re.escape(separator.encode())
    start = re.compile(rb"(?:^|[\n" + edge + rb'])"')
    closed = re.compile(rb"(?:^|[\n" + edge + rb'])"(?:[^"]|"")*"(?=[\r\n' + edge + rb"]|\Z)")
    place = 0
    for _ in range(QUOTED_FIELDS_TRIED):
        opening = start.search(data, place)
        if opening is None:
            break
        cell = closed.match(data, opening.start())
        if cell is None:
            return False
        place = cell.end()
    return True


def split_lines(
    path: str | os.PathLike[str], data: bytes, separator: str, quotes: bool, *, spaced: bool = False
) -> list[list[str]]:
    """Return the cells of each line, as many as it has.

    Raises:
        FileFormatError: a cell is endless.
    """
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    text = io.StringIO(data.decode("utf-8", "replace"), newline="")
    try:
        return list(csv.reader(text, delimiter=separator, quoting=quoting, skipinitialspace=spaced)) or [[]]
    except csv.Error as error:
        raise FileFormatError(f"{path}: not a well-formed table ({error})") from error


def _too_many_cells(path: str | os.PathLike[str], lines: list[list[str]]) -> FileFormatError:
    """Return what to say of a file of which a line is longer than its header."""
    width = len(lines[0])
    number, line = next((n, line) for n, line in enumerate(lines, 1) if len(line) > width)
    message = f"{path}: not a well-formed table: line {number} has {len(line)} cells, the header has {width}"
    others = sum(len(line) != width for line in lines[1:])
    if 2 * others < len(lines) or {name.strip().lower() for name in lines[0]} & WEIGHTS:
        return FileFormatError(message)
    return UnclearSourceError(
        f"{message}; if each line is a track and then all its tags, the format is 'ragged'", format="ragged"
    )


def _distinct(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}{TWICE}{seen[name]}")
    return found


def _read_spaced(path: str | os.PathLike[str], data: bytes, separator: str) -> pl.DataFrame:
    """Read a table whose separators all have a blank after them, which belongs to no cell."""
    header, *rows = (row for row in split_lines(path, data, separator, True, spaced=True) if row)
    if any(len(row) > len(header) for row in rows):
        raise _too_many_cells(path, [header, *rows])
    cells = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    columns = dict(zip(_distinct(header), zip(*cells, strict=True), strict=True)) if cells else {}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(_distinct(header), pl.String))
    return frame.with_columns(pl.all().replace("", None))


def _without_index(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out the index of a pandas frame, if it is just 0, 1, …; another one may be the track ids."""
    for name in PANDAS_INDEX:
        if name in frame.columns and len(frame.columns) > 1:
            numbers = frame[name].cast(pl.Int64, strict=False)
            if (numbers == pl.int_range(len(frame), eager=True)).fill_null(False).all():
                frame = frame.drop(name)
    return frame


def _read_parquet(path: str | os.PathLike[str], data: bytes) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FileFormatError(
            f"{path}: a damaged Parquet file ({str(error).splitlines()[0][:200]}); fetch or write it again"
        ) from error
    nested = [
        name
        for name, kind in frame.schema.items()
        if (kind.is_nested() and kind != pl.List(pl.String)) or kind == pl.Binary
    ]
    return frame.drop(nested).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
