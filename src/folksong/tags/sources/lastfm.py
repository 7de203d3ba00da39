"""The last.fm SQLite database of the Million Song Dataset, read and written.

Tables ``tids(tid)``, ``tags(tag)`` and ``tid_tag(tid, tag, val)``; in ``tid_tag``, ``tid`` and ``tag`` are row ids
of the other two tables and ``val`` is the weight, 0 to 100
(http://millionsongdataset.com/lastfm, ``lastfm_tags.db``).

It is read as Arrow columns through ADBC, which expects one type a column where SQLite has one a cell: every query
selects cells of one type, and the few of other types are read again as text.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, describe_os_error
from folksong.tags.sources.entries import (
    Dropped,
    RowNumbers,
    distinct_names,
    require_threshold,
    table_of_entries,
)
from folksong.tags.table import Strings, TagTable

SQLITE_MAGIC = b"SQLite format 3\x00"
WAL_VERSION = 2
"""Bytes 18 and 19 of a database whose journal is a write-ahead log."""
COLUMNS_OF = {"tids": ("tid",), "tags": ("tag",), "tid_tag": ("tid", "tag", "val")}
NUMBERS = "typeof(tid) = 'integer' AND typeof(tag) = 'integer' AND typeof(val) IN ('integer', 'real')"
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
ENTRIES = pl.Schema({"tid": pl.Int64, "tag": pl.Int64, "val": pl.Float64})
Query = Callable[[str], pl.DataFrame]


def read_lastfm(path: str | os.PathLike[str], *, min_weight: float | None = None) -> TagTable:
    """Read a last.fm tag database; tracks and tags come in the order of their code points.

    Nothing is created or changed beside the file, one with a write-ahead log included.

    Args:
        path: the database.
        min_weight: keep the pairs with ``val > min_weight``; None keeps all, weight 0 included.

    Raises:
        FolksongError: there is no such file, it cannot be read, or another program is writing to it.
        FileFormatError: it is not SQLite, is damaged, lacks a table or column, or has negative weights.
    """
    import adbc_driver_manager

    require_threshold(min_weight)
    dropped = Dropped(path)
    try:
        with _opened(path) as query:
            _require_schema(query, path)
            track_rows, track_ids = _read_names(query, "tids", "tid", dropped)
            tag_rows, tags = _read_names(query, "tags", "tag", dropped)
            entries = _read_entries(query, dropped)
    except (adbc_driver_manager.Error, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0].split("[SQLite] ")[-1]
        if "locked" in reason:
            raise FolksongError(
                f"{path}: another program is writing to the database; try again when it has finished, or read a copy"
            ) from error
        raise FileFormatError(
            f"{path}: the database cannot be read ({reason}); it may be damaged or incomplete: fetch it again, "
            "or try `sqlite3 FILE .recover`"
        ) from error
    rows, columns = (
        numbers.of(entries[name].to_numpy()) for numbers, name in ((track_rows, "tid"), (tag_rows, "tag"))
    )
    weights = entries["val"].cast(pl.Float32).to_numpy()
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
                    for name, column, names in (
                        ("tids", "tid", table.track_ids),
                        ("tags", "tag", table.tags),
                    ):
                        connection.executemany(
                            f"INSERT INTO {name} ({column}) VALUES (?)", ((one,) for one in names)
                        )
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


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Query]:
    """Open a database for reading and yield a function that gives a query's rows as a frame."""
    import adbc_driver_manager
    import adbc_driver_sqlite

    source = Path(path).resolve()
    try:
        with source.open("rb") as stream:
            head = stream.read(20)
        if not head.startswith(SQLITE_MAGIC):
            raise FileFormatError(
                f"{path}: not a SQLite database; a text table of tags needs a name that ends in .csv or .tsv"
            )
        log, shared = (Path(f"{source}{ending}") for ending in ("-wal", "-shm"))
        logged = head[18] == WAL_VERSION and log.exists() and log.stat().st_size > 0
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    with tempfile.TemporaryDirectory() as folder:
        mode = "mode=ro"
        if head[18] == WAL_VERSION and not logged:
            mode = "immutable=1"  # nothing is in the log: SQLite need not make the files of one
        elif logged and not shared.exists():
            try:
                for file in (source, log):
                    shutil.copyfile(file, Path(folder, file.name))
            except OSError as error:
                raise FolksongError(describe_os_error(error, folder)) from error
            source = Path(folder, source.name)
        with (
            adbc_driver_sqlite.connect(f"{source.as_uri()}?{mode}") as database,
            adbc_driver_manager.AdbcConnection(database) as connection,
        ):

            def query(text: str) -> pl.DataFrame:
                with adbc_driver_manager.AdbcStatement(connection) as statement:
                    statement.set_options(**{"adbc.sqlite.query.batch_rows": str(1 << 16)})
                    statement.set_sql_query(text)
                    return pl.DataFrame(statement.execute_query()[0])

            yield query


def _require_schema(query: Query, path: str | os.PathLike[str]) -> None:
    kinds = dict(query("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')").rows())
    for table, columns in COLUMNS_OF.items():
        if table not in kinds:
            raise FileFormatError(
                f"{path}: the table {table!r} is missing (found: {', '.join(sorted(kinds)) or 'none'}); a last.fm "
                "tag database has tids(tid), tags(tag) and tid_tag(tid, tag, val), as lastfm_tags.db of the Million "
                "Song Dataset"
            )
        if kinds[table] == "view":  # it has no row ids, and may never end
            raise FileFormatError(
                f"{path}: {table!r} is a view; store its rows as a table (CREATE TABLE ... AS SELECT ...)"
            )
        found = query(f"SELECT name FROM pragma_table_info('{table}')")["name"].to_list()
        lacking = [column for column in columns if column not in found]
        if lacking:
            raise FileFormatError(
                f"{path}: the table {table!r} lacks the column {lacking[0]!r} (found: {', '.join(found)})"
            )


def _read_names(query: Query, table: str, column: str, dropped: Dropped) -> tuple[RowNumbers, Strings]:
    """Read a table of names, whatever type a cell has: row id -> position, and the names in code point order."""
    # The bytes of a text are UTF-8, which a BLOB mostly is too; in a database of UTF-16, SQLite has to convert.
    utf8 = query("PRAGMA encoding")["encoding"][0] == "UTF-8"
    cell = f"CAST({column} AS {'BLOB' if utf8 else 'TEXT'})"
    frame = query(f"SELECT ROWID AS id, {cell} AS name FROM {table} WHERE {column} IS NOT NULL")
    total = query(f"SELECT COUNT(*) AS n FROM {table}")["n"][0]
    dropped.add(f"{table} holds NULL; its pairs are left out with it", total - len(frame))
    names = frame["name"] if len(frame) else frame["name"].cast(pl.String)
    try:
        names = names.cast(pl.String)
    except pl.exceptions.ComputeError:
        texts = [_decoded(name) for name in names]
        odd = sum(text.encode() != name for text, name in zip(texts, names, strict=True))
        dropped.note(f"{odd:,} of the {column} names are not UTF-8 and were read as Latin-1")
        names = pl.Series(texts, dtype=pl.String)
    found, numbers = distinct_names(names)
    dropped.add(f"{table} holds the name twice; both rows are read as one", len(names) - len(found))
    return RowNumbers(frame["id"].to_numpy(), numbers), found


def _decoded(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")  # which every byte string is


def _read_entries(query: Query, dropped: Dropped) -> pl.DataFrame:
    """Read ``tid_tag`` as numbers; numbers stored as text count, NULL and other text are left out."""
    try:
        entries = query("SELECT tid, tag, val FROM tid_tag")
        if entries.schema == ENTRIES and not sum(entries.null_count().row(0)):
            return entries
    except pl.exceptions.ComputeError:  # cells of several types
        pass
    entries = query(f"SELECT tid, tag, CAST(val AS REAL) AS val FROM tid_tag WHERE {NUMBERS}")
    entries = entries.cast(ENTRIES)
    if query("SELECT COUNT(*) AS n FROM tid_tag")["n"][0] > len(entries):
        cells = ", ".join(f"COALESCE(CAST({name} AS TEXT), '') AS {name}" for name in COLUMNS_OF["tid_tag"])
        texts = query(f"SELECT {cells} FROM tid_tag WHERE NOT ({NUMBERS})")
        numbers = texts.select(pl.all().str.strip_chars().cast(pl.Float64, strict=False)).drop_nulls()
        entries = entries.vstack(numbers.cast(ENTRIES, strict=False).drop_nulls())
        dropped.add("tid, tag or val is NULL or not a number", len(texts) - len(numbers))
    return entries
