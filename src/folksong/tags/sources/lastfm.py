"""The last.fm SQLite database of the Million Song Dataset, read and written.

Tables ``tids(tid)``, ``tags(tag)`` and ``tid_tag(tid, tag, val)``; in ``tid_tag``, ``tid`` and ``tag`` are row ids
of the other two tables and ``val`` is the weight, 0 to 100
(http://millionsongdataset.com/lastfm, ``lastfm_tags.db``).
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, describe_os_error
from folksong.tags.sources.entries import Dropped, require_threshold, table_of_entries
from folksong.tags.sources.lastfm_entries import read_entries
from folksong.tags.sources.row_ids import RowNumbers, sorted_names
from folksong.tags.table import Strings, TagTable

SQLITE_MAGIC = b"SQLite format 3\x00"
BLOCK_ROWS = 1 << 16
COLUMNS_OF = {"tids": ("tid",), "tags": ("tag",), "tid_tag": ("tid", "tag", "val")}
SCHEMA = """
CREATE TABLE tids (tid TEXT);
CREATE TABLE tags (tag TEXT);
CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT);
"""
INDEXES = """
CREATE UNIQUE INDEX idx_tids_tid ON tids (tid);
CREATE UNIQUE INDEX idx_tags_tag ON tags (tag);
CREATE INDEX idx_tid_tag_tid ON tid_tag (tid);
CREATE INDEX idx_tid_tag_tag ON tid_tag (tag);
"""


def read_lastfm(path: str | os.PathLike[str], *, min_weight: float | None = None) -> TagTable:
    """Read a last.fm tag database; tracks and tags come in the order of their code points.

    Args:
        path: the database.
        min_weight: keep the pairs with ``val > min_weight``; None keeps all, weight 0 included.

    Raises:
        FolksongError: there is no such file, or it cannot be read.
        FileFormatError: it is not SQLite, is damaged, lacks a table or column, or has negative weights.
    """
    require_threshold(min_weight)
    dropped = Dropped(path)
    with closing(_open(path)) as connection:
        try:
            _require_schema(connection, path)
            track_rows, track_ids = _read_names(connection, "tids", "tid", dropped)
            tag_rows, tags = _read_names(connection, "tags", "tag", dropped)
            tids, tag_ids, weights = read_entries(connection, dropped)
        except sqlite3.DatabaseError as error:
            raise FileFormatError(
                f"{path}: the database cannot be read ({error}); it may be damaged or incomplete: fetch it again, "
                "or try `sqlite3 FILE .recover`"
            ) from error
    rows, columns = track_rows.numbers(tids), tag_rows.numbers(tag_ids)
    known = (rows >= 0) & (columns >= 0)
    if not known.all():
        dropped.add("tid_tag names a row that tids or tags lacks", int((~known).sum()))
        rows, columns, weights = rows[known], columns[known], weights[known]
    return table_of_entries(track_ids, tags, rows, columns, weights, dropped=dropped, min_weight=min_weight)


def write_lastfm(table: TagTable, path: str | os.PathLike[str]) -> None:
    """Write `table` as a last.fm SQLite database, whole or not at all; an existing file is replaced.

    Row ids are 1, 2, … in the table's order. Reading the file gives an equal table (in code point order).

    Raises:
        FolksongError: the file cannot be written, or a name is not valid Unicode.
    """
    with atomic_path(path) as temporary:
        try:
            with closing(sqlite3.connect(temporary)) as connection:
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.executescript(SCHEMA)
                with connection:
                    connection.executemany(
                        "INSERT INTO tids (tid) VALUES (?)", ((t,) for t in table.track_ids)
                    )
                    connection.executemany("INSERT INTO tags (tag) VALUES (?)", ((t,) for t in table.tags))
                    connection.executemany(
                        "INSERT INTO tid_tag (tid, tag, val) VALUES (?, ?, ?)", _entries(table)
                    )
                connection.executescript(INDEXES)
        except sqlite3.Error as error:
            raise FolksongError(f"{path}: cannot be written ({error}); is there room on the disk?") from error
        except UnicodeEncodeError as error:
            raise FolksongError(
                f"{path}: the name {error.object[:60]!r} is not valid Unicode and cannot be stored"
            ) from error


def is_sqlite(path: str | os.PathLike[str]) -> bool:
    """Say whether a file starts like a SQLite database."""
    with Path(path).open("rb") as stream:
        return stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def _entries(table: TagTable) -> Iterator[tuple[int, int, float]]:
    matrix = table.weights
    rows = np.repeat(np.arange(1, table.n_tracks + 1), np.diff(matrix.indptr))
    block = 1 << 16  # bounds the memory that Python's own numbers take
    for start in range(0, matrix.nnz, block):
        part = slice(start, start + block)
        yield from zip(
            rows[part].tolist(), (matrix.indices[part] + 1).tolist(), matrix.data[part].tolist(), strict=True
        )


def _open(path: str | os.PathLike[str]) -> sqlite3.Connection:
    try:
        if not is_sqlite(path):
            raise FileFormatError(
                f"{path}: not a SQLite database; a text table of tags needs a name that ends in .csv or .tsv"
            )
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    # Read-only, so that nothing is ever created or changed beside the user's file.
    return sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)


def _require_schema(connection: sqlite3.Connection, path: str | os.PathLike[str]) -> None:
    present = {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    }
    for table, columns in COLUMNS_OF.items():
        if table not in present:
            raise FileFormatError(
                f"{path}: the table {table!r} is missing (found: {', '.join(sorted(present)) or 'none'}); a last.fm "
                "tag database has tids(tid), tags(tag) and tid_tag(tid, tag, val), as lastfm_tags.db of the Million "
                "Song Dataset"
            )
        found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        lacking = [column for column in columns if column not in found]
        if lacking:
            raise FileFormatError(
                f"{path}: the table {table!r} lacks the column {lacking[0]!r} (found: {', '.join(found)})"
            )


def _read_names(
    connection: sqlite3.Connection, table: str, column: str, dropped: Dropped
) -> tuple[RowNumbers, Strings]:
    """Read a table of names: row id -> position, and the distinct names in code point order."""
    query = f"SELECT ROWID, {column} FROM {table}"
    try:
        names = _read_blocks(connection, table, column)
        if names is not None:
            first = connection.execute(f"SELECT MIN(ROWID) FROM {table}").fetchone()[0]
            return sorted_names(range(first, first + len(names)), names, table, dropped)
        pairs = connection.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error).lower():
            raise
        pairs = _read_damaged_text(connection, query, dropped, column)
    return sorted_names([row_id for row_id, _ in pairs], [name for _, name in pairs], table, dropped)


def _read_blocks(connection: sqlite3.Connection, table: str, column: str) -> list[str] | None:
    """Read the names of a table whose row ids have no gaps, a block as one text: a fifth of the time of rows.

    None where there is a gap, NULL, or a name that holds the character that parts the names.
    """
    total = int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    try:
        first, last = (
            connection.execute(f"SELECT {b}(ROWID) FROM {table}").fetchone()[0] for b in ("MIN", "MAX")
        )
    except sqlite3.OperationalError:  # a view has no row ids
        return None
    if not total or last - first + 1 != total:
        return None
    query = (
        f"SELECT group_concat({column}, char(0)), COUNT({column}) FROM {table} WHERE ROWID BETWEEN ? AND ?"
    )
    names: list[str] = []
    for start in range(first, last + 1, BLOCK_ROWS):
        end = min(start + BLOCK_ROWS - 1, last)
        text, number = connection.execute(query, (start, end)).fetchone()
        found = text.split("\x00") if number == end - start + 1 else []
        if len(found) != end - start + 1:
            return None
        names += found
    return names


def _read_damaged_text(
    connection: sqlite3.Connection, query: str, dropped: Dropped, column: str
) -> list[tuple[int, str | None]]:
    """Read names of which some are not UTF-8: those are taken as Latin-1, which every byte string is."""
    odd = itertools.count()

    def decode(raw: bytes) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            next(odd)
            return raw.decode("latin-1")

    connection.text_factory = decode
    try:
        pairs = connection.execute(query).fetchall()
    finally:
        connection.text_factory = str
    number = next(odd)
    dropped.note(f"{number:,} of the {column} names are not UTF-8 and were read as Latin-1")
    return pairs
