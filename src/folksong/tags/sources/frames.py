"""A delimited text or Parquet file as a polars frame, whatever its separator, quoting and line ends.

Names of columns are compared by their letters and digits only, whatever their case: ``TRACK_ID``, ``track id`` and
``trackID`` are one.
"""

import csv
import io
import os
import re
import tomllib
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Literal

import polars as pl

from folksong.errors import FileFormatError, FolksongError, UnclearSourceError, first_line
from folksong.files import kind_of_content
from folksong.tags.sources.streams import (
    BYTE_ORDER_MARK,
    BYTE_ORDER_MARKS_16,
    DAMAGED,
    head_of,
    open_decompressed,
)

PARQUET_MAGIC = b"PAR1"
SEPARATORS = ("\t", ",", ";", "|")
QUOTED_FIELDS_TRIED = 100_000
_USUAL = files("folksong.tags").joinpath("lists", "columns.toml").read_text(encoding="utf-8")
COLUMNS: dict[str, list[str]] = tomllib.loads(_USUAL)
"""The usual names of columns by what they hold."""
TWICE = "\x1f"
"""Parts a column's name from its number where a header has the name more than once."""
PANDAS_INDEX = ("", "__index_level_0__", "Unnamed: 0")


def plain(name: str) -> str:
    """Return the letters and digits of a column's name, in lower case.

    >>> plain("TRACK_ID")
    'trackid'
    """
    return "".join(character for character in name.casefold() if character.isalnum())


def read_frame(
    path: str | os.PathLike[str],
    *,
    ragged: bool = False,
    separator: str | None = None,
    encoding: str = "utf-8",
    quotes: bool | None = None,
) -> pl.DataFrame:
    """Read a table with a header line; text columns are strings, empty cells are null.

    An index that pandas wrote as a first column, 0, 1, …, is no column. A name that stands in the header again
    becomes the name, `TWICE` and a number. A file whose lines go on with as many tags as a track has (its header ends
    in ``TAGS``, and a line is longer; or in ``genre1``, ``genre2``, …) gives a row a tag, with a last column ``TAG``.

    Args:
        path: CSV, TSV or other delimited text, or Parquet (known by its first bytes).
        ragged: each line is a track and its tags, whatever the header says, and if there is none.
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
        return _without_index(_plain_columns(read_parquet(path, data)))
    data, separator = table_text(path, data, separator, encoding)
    if quotes is None:
        quotes = quotes_are_closed(data, separator)
    header = split_lines(path, data[: data.find(b"\n", 1 << 16) + 1 or None], separator, quotes)[0]
    last = (header or [""])[-1].strip().lower()
    numbered = re.fullmatch(r"(tag|label|genre)\d+", last)
    if ragged or numbered or last.endswith("tags"):
        lines = split_lines(path, data, separator, quotes)
        if numbered and (first := f"{numbered[1]}1") in (names := [name.strip().lower() for name in header]):
            return _ragged_frame([[*header[: names.index(first)], "TAGS"], *lines[1:]])
        if ragged or (last.endswith("tags") and max(map(len, lines)) > len(header)):
            return _ragged_frame(lines)
    if len(header) > 1 and not header[0].startswith(" ") and all(name.startswith(" ") for name in header[1:]):
        # a blank after each separator belongs to no cell
        lines = split_lines(path, data, separator, True, spaced=True)
        text = io.StringIO()
        csv.writer(text, delimiter=separator, lineterminator="\n").writerows(filter(None, lines))
        data, header, quotes = text.getvalue().encode(), lines[0], True
    frame = _read_csv(path, data, separator, quotes)
    if len(header) == len(frame.columns):
        times: Counter[str] = Counter()
        frame.columns = [_numbered(name, times) for name in header]
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
    return _without_index(
        frame.rename({name: name.strip() for name in frame.columns if name.strip() not in frame.columns})
    )


def _read_csv(path: str | os.PathLike[str], data: bytes, separator: str, quotes: bool) -> pl.DataFrame:
    try:
        return pl.read_csv(
            io.BytesIO(data), separator=separator, quote_char='"' if quotes else None, infer_schema=False
        )
    except pl.exceptions.PolarsError as error:
        lines = split_lines(path, data, separator, quotes)
        if max(map(len, lines)) > len(lines[0]):
            raise _too_many_cells(path, lines) from error
        raise UnclearSourceError(
            f"{path}: not a well-formed table ({first_line(error)}); it was read with separator "
            f"{separator!r} and quotes {'on' if quotes else 'off'}: choose others",
            separator="CHAR",
            quotes=False,
        ) from error


def _numbered(name: str, times: Counter[str]) -> str:
    times[name] += 1
    return name if times[name] == 1 else f"{name}{TWICE}{times[name]}"


def read_plain_frame(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read a table of a last.fm database as strings; its first line is a header if it has the name of a column."""
    data = utf8_bytes(path, read_bytes(path))
    first = data.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    separator = find_separator(path, data) if any(mark in first for mark in SEPARATORS) else ","
    header = {plain(cell) for cell in first.split(separator)} & {"tid", "tag", "val", "rowid"}
    try:
        return pl.read_csv(io.BytesIO(data), separator=separator, has_header=bool(header), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise FileFormatError(f"{path}: not a well-formed table ({first_line(error)})") from error


def _ragged_frame(lines: list[list[str]]) -> pl.DataFrame:
    """Return a row a tag: what stands before TAGS in the header, or else the first cell of a line, and the tag."""
    names = [plain(name) for name in lines[0]]
    first = next((place for place, name in enumerate(names) if name in COLUMNS["cell"] + COLUMNS["tag"]), 0)
    headed = first > 0 or bool({*names[:1]} & {*COLUMNS["track"]})
    fields = [*(lines[0][: first or 1] if headed else ["track_id"]), "TAG"]
    rows = [
        (*line[: len(fields) - 1], tag)
        for line in (lines[1:] if headed else lines)
        for tag in filter(None, line[len(fields) - 1 :])
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(fields, pl.String), orient="row")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes, decompressed if it is gzip, bzip2, xz or zstd."""
    if not Path(path).is_file() and Path(path).exists():
        raise FolksongError(f"{path}: not a file; a table of tags is expected here")
    try:
        with open_decompressed(path) as stream:
            if head_of(stream).startswith(bytes(2)):  # told before gigabytes of zeros are read
                raise FileFormatError(
                    f"{path}: a binary file that begins with zeros: an empty tar archive, or a file never filled"
                )
            return stream.read()
    except (*DAMAGED, OSError) as error:
        raise FileFormatError(f"{path}: a damaged compressed file ({error}); fetch it again") from error


def table_text(
    path: str | os.PathLike[str], data: bytes, separator: str | None = None, encoding: str = "utf-8"
) -> tuple[bytes, str]:
    """Return a table's text as UTF-8 bytes from its header on, lines ending in line feeds, and its separator.

    Comments (lines that start with ``#``) before the header and Excel's ``sep=;`` are left out.
    """
    data = utf8_bytes(path, data, encoding)
    if b"\n" not in data or b'"' not in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # as spreadsheets of old ended lines
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
    """Return the text of a file as UTF-8 bytes without a byte order mark."""
    if kind := kind_of_content(data) or ("JSON" if data.startswith((b"{", b"[{")) else ""):
        raise FileFormatError(f"{path}: not a table of tags, but {kind}")
    if data.startswith(BYTE_ORDER_MARKS_16) and encoding == "utf-8":
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
    """Return the separator that the header line has most of."""
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

    Where none does, marks are plain characters (``12" vinyl``). A tab-separated file often has quotation marks as plain
    characters at the start too (``"weird al" yankovic``); reading these as quoting would swallow the lines up to the
    next mark.
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
    return place > 0


def split_lines(
    path: str | os.PathLike[str], data: bytes, separator: str, quotes: bool, *, spaced: bool = False
) -> list[list[str]]:
    """Return the cells of each line, as many as it has."""
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
    if 2 * others < len(lines) or {plain(name) for name in lines[0]} & set(COLUMNS["weight"]):
        return FileFormatError(message)
    return UnclearSourceError(
        f"{message}; if each line is a track and then all its tags, the format is 'ragged'", format="ragged"
    )


def _without_index(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out the index of a pandas frame, if it is just 0, 1, …; another one may be the track ids."""
    for name in (*PANDAS_INDEX, "index", "level_0"):
        if name in frame.columns and len(frame.columns) > 1:
            numbers = frame[name].cast(pl.Int64, strict=False)
            if (numbers == pl.int_range(len(frame), eager=True)).fill_null(False).all():
                frame = frame.drop(name)
    return frame


def read_parquet(path: str | os.PathLike[str], data: bytes | None = None) -> pl.DataFrame:
    """Read a Parquet file, whose bytes may be at hand.

    Raises:
        FileFormatError: it is cut or damaged.
    """
    try:
        return pl.read_parquet(io.BytesIO(read_bytes(path) if data is None else data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise FileFormatError(
            f"{path}: a damaged Parquet file ({first_line(error)}); fetch or write it again"
        ) from error


def _plain_columns(frame: pl.DataFrame) -> pl.DataFrame:
    nested = [
        name
        for name, kind in frame.schema.items()
        if (kind.is_nested() and kind != pl.List(pl.String)) or kind == pl.Binary
    ]
    return frame.drop(nested).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
