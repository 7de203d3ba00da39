"""A delimited text or Parquet file as a polars frame, whatever its separator and quoting."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.files import describe_os_error

PARQUET_MAGIC = b"PAR1"
SEPARATORS = ("\t", ",", ";", "|")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
QUOTED_FIELDS_TRIED = 100_000


def read_frame(
    path: str | os.PathLike[str],
    *,
    separator: str | None = None,
    encoding: str = "utf-8",
    quotes: bool | None = None,
) -> pl.DataFrame:
    """Read a table with a header line; text columns are strings, empty cells are null.

    Args:
        path: CSV, TSV or other delimited text, or Parquet (known by its first bytes).
        separator: None finds it: the one of tab, comma, semicolon and bar that the header line has most of.
        encoding: of delimited text.
        quotes: whether a cell that starts with ``"`` is quoted as RFC 4180 says; None looks whether all such cells
            are closed properly.

    Raises:
        FolksongError: the file cannot be read.
        FileFormatError: it is empty, binary, of another encoding, or has rows with more cells than its header.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    if data.startswith(PARQUET_MAGIC):
        return _read_parquet(path, data)
    data = utf8_bytes(path, data, encoding)
    if separator is None:
        separator = find_separator(path, data)
    elif len(separator.encode()) != 1:
        raise FolksongError(f"the separator must be one ASCII character, not {separator!r}")
    if quotes is None:
        quotes = quotes_are_closed(data, separator)
    try:
        frame = pl.read_csv(
            io.BytesIO(data),
            separator=separator,
            quote_char='"' if quotes else None,
            infer_schema=False,
            truncate_ragged_lines=False,
        )
    except pl.exceptions.PolarsError as error:
        raise FileFormatError(
            f"{path}: not a well-formed table ({str(error).splitlines()[0][:200]}); it was read with separator "
            f"{separator!r} and quotes {'on' if quotes else 'off'}: choose others with separator=... and quotes=... "
            "(--separator, --quotes/--no-quotes)"
        ) from error
    return frame.rename({name: name.strip() for name in frame.columns if name.strip() not in frame.columns})


def utf8_bytes(path: str | os.PathLike[str], data: bytes, encoding: str = "utf-8") -> bytes:
    """Return the text of a file as UTF-8 bytes without a byte order mark.

    Raises:
        FileFormatError: the file is empty or binary, or not text of this encoding.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and encoding == "utf-8":
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise FolksongError(f"unknown encoding {encoding!r}; try utf-8, latin-1 or cp1252") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"{path}: not {encoding} text (byte 0x{data[error.start]:02x} in line {line}); if it is Latin-1, say "
            "encoding='latin-1' (--encoding latin-1)"
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


def _read_parquet(path: str | os.PathLike[str], data: bytes) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FileFormatError(
            f"{path}: a damaged Parquet file ({str(error).splitlines()[0][:200]}); fetch or write it again"
        ) from error
    nested = [name for name, kind in frame.schema.items() if kind.is_nested() or kind == pl.Binary]
    return frame.drop(nested).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
