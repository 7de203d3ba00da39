"""The last.fm SQLite database of the Million Song Dataset, read and written.

Tables ``tids(tid)``, ``tags(tag)`` and ``tid_tag(tid, tag, val)``; in ``tid_tag``, ``tid`` and ``tag`` are row ids
of the other two tables and ``val`` is the weight, 0 to 100
(http://millionsongdataset.com/lastfm, ``lastfm_tags.db``).
"""

from __future__ import annotations

import itertools
import operator
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, describe_os_error
from folksong.tags.entries import Dropped, require_threshold, table_of_entries
from folksong.tags.table import Strings, TagTable

SQLITE_MAGIC = b"SQLite format 3\x00"
COLUMNS_OF = {"tids": ("tid",), "tags": ("tag",), "tid_tag": ("tid", "tag", "val")}
FIRST_CHARACTER = 0xE000
MOST_PACKED = sys.maxunicode - FIRST_CHARACTER
MOST_WEIGHT = 1023
PACKED_ROWS = 1 << 17
MOST_EMPTY = 100
Entries = tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], npt.NDArray[np.float32]]
"""Row ids of tracks, row ids of tags, weights: each (n_entries,)."""
ENTRY = np.dtype([("tid", np.int32), ("tag", np.int32), ("val", np.float32)])

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
            tids, tag_ids, weights = _read_entries(connection, dropped)
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


class RowNumbers:
    """Row ids of a SQLite table -> positions in the sorted names, -1 for an id that has none."""

    def __init__(self, row_ids: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> None:
        self._dense: npt.NDArray[np.int32] | None = None
        self._row_ids, self._positions = row_ids, positions.astype(np.int32)
        highest = int(row_ids.max(initial=0))
        if int(row_ids.min(initial=0)) >= 0 and highest <= 4 * len(row_ids) + 1_000_000:
            self._dense = np.full(highest + 2, -1, np.int32)
            self._dense[row_ids] = positions

    def numbers(self, row_ids: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """Return the position of each row id."""
        if not len(self._row_ids):
            return np.full(len(row_ids), -1, np.int32)
        if self._dense is not None:
            limit = len(self._dense) - 1  # the last entry is -1: where ids out of range are sent
            if len(row_ids) and (row_ids.min() < 0 or row_ids.max() > limit):
                row_ids = np.where((row_ids < 0) | (row_ids > limit), limit, row_ids)
            positions: npt.NDArray[np.int32] = self._dense[row_ids]
            return positions
        order = np.argsort(self._row_ids, kind="stable")
        places = np.minimum(np.searchsorted(self._row_ids, row_ids, sorter=order), len(order) - 1)
        found = order[places]
        numbers: npt.NDArray[np.int32] = np.where(
            self._row_ids[found] == row_ids, self._positions[found], np.int32(-1)
        )
        return numbers


def _read_names(
    connection: sqlite3.Connection, table: str, column: str, dropped: Dropped
) -> tuple[RowNumbers, Strings]:
    """Read a table of names: row id -> position, and the distinct names in code point order."""
    query = f"SELECT ROWID, {column} FROM {table}"
    try:
        pairs = connection.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error).lower():
            raise
        pairs = _read_damaged_text(connection, query, dropped, column)
    row_ids, names = ([*column] for column in zip(*pairs, strict=True)) if pairs else ([], [])
    return sorted_names(row_ids, names, table, dropped)


def sorted_names(
    row_ids: Sequence[int], names: Sequence[Any], table: str, dropped: Dropped
) -> tuple[RowNumbers, Strings]:
    """Return row id -> position, and the distinct names in code point order; None is no name."""
    texts = list(names)
    if set(map(type, texts)) - {str}:
        texts = [name if isinstance(name, str) else str(name) for name in names if name is not None]
        dropped.add(f"{table} holds NULL; its pairs are left out with it", len(names) - len(texts))
        row_ids = [row_id for row_id, name in zip(row_ids, names, strict=True) if name is not None]
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    order = np.arange(len(texts))
    if not all(map(operator.lt, texts, itertools.islice(texts, 1, None))):
        # polars sorts by the bytes of UTF-8, which is the order of code points, several times as fast as Python
        order = pl.Series(texts, dtype=pl.String).arg_sort().to_numpy().astype(np.int64)
    array = array[order]
    first = np.ones(len(texts), dtype=bool)
    first[1:] = array[1:] != array[:-1]
    dropped.add(f"{table} holds the name twice; both rows are read as one", int((~first).sum()))
    positions = np.empty(len(texts), np.int64)
    positions[order] = np.cumsum(first) - 1
    return RowNumbers(np.array(row_ids, np.int64), positions), array[first]


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


def _read_entries(connection: sqlite3.Connection, dropped: Dropped) -> Entries:
    """Read ``tid_tag``; rows with NULL or text where a number belongs are left out."""
    packed = _read_packed(connection)
    if packed is not None:
        return packed
    query = "SELECT tid, tag, val FROM tid_tag"
    total = int(connection.execute("SELECT COUNT(*) FROM tid_tag").fetchone()[0])
    try:
        entries = np.fromiter(connection.execute(query), ENTRY, total)
    except (TypeError, ValueError, OverflowError):  # NULL, text, or a row id beyond 32 bits
        numbers = " AND ".join(f"typeof({column}) IN ('integer', 'real')" for column in ("tid", "tag", "val"))
        small = "tid BETWEEN 0 AND 2147483647 AND tag BETWEEN 0 AND 2147483647"
        entries = np.fromiter(connection.execute(f"{query} WHERE {numbers} AND {small}"), ENTRY)
        dropped.add("tid, tag or val is NULL or not a number", total - len(entries))
    return entries["tid"], entries["tag"], np.ascontiguousarray(entries["val"])


def _read_packed(connection: sqlite3.Connection) -> Entries | None:
    """Read ``tid_tag`` as text of one character a number, or return None where that cannot be done.

    Python's cost of a row is a tuple and three numbers, and half of the time of opening a database. Here SQLite writes
    row ids and weights as code points of one long text a block, which NumPy takes over as it is; code points from
    0xE000 up, for those of surrogates below are not valid. It needs whole weights up to 1,023 and a million ids at
    most: anything else (NULL, text, fractions) makes a ``!`` in place of its three characters.
    """
    try:
        # One bound a query: only then does SQLite take it from an index.
        bounds = [
            connection.execute(f"SELECT {bound}({column}) FROM tid_tag").fetchone()[0]
            for column in ("tid", "tag", "ROWID")
            for bound in ("MIN", "MAX")
        ]
    except sqlite3.OperationalError:  # a view has no row ids
        return None
    if not all(isinstance(bound, int) and 0 <= bound <= MOST_PACKED for bound in bounds[:4]):
        return None
    first, last = bounds[4:]
    characters = ", ".join(f"{column} + {FIRST_CHARACTER}" for column in ("tid", "tag", "val"))
    query = (
        f"SELECT group_concat(CASE WHEN val = (val & {MOST_WEIGHT}) THEN char({characters}) ELSE '!' END, ''), "
        "COUNT(*) FROM tid_tag WHERE ROWID BETWEEN ? AND ?"
    )
    blocks: list[npt.NDArray[np.int32]] = []
    empty = 0
    for start in range(first, last + 1, PACKED_ROWS):
        text, number = connection.execute(query, (start, start + PACKED_ROWS - 1)).fetchone()
        empty += not number
        if empty > MOST_EMPTY:  # row ids lie far apart
            return None
        if number:
            values = np.frombuffer(text.encode("utf-32-le"), np.int32) - FIRST_CHARACTER
            if len(values) != 3 * number or values.min() < 0:
                return None
            blocks.append(values.reshape(-1, 3))
    tids, tags, weights = (np.concatenate([block[:, column] for block in blocks]) for column in range(3))
    return tids, tags, weights.astype(np.float32)
