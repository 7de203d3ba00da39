"""The last.fm tag database of the Million Song Dataset, as SQLite or as CSV dumps of its three tables.

Tables ``tids(tid)``, ``tags(tag)`` and ``tid_tag(tid, tag, val)``; in ``tid_tag``, ``tid`` and ``tag`` are row ids
of the other two tables and ``val`` is the weight, 0 to 100
(http://millionsongdataset.com/lastfm, ``lastfm_tags.db``).

SQLite is read as Arrow columns through ADBC, which expects one type a column where SQLite has one a cell: every query
selects cells of one type, and the few of other types are read again as text. In a dump, row ids are a column of their
own (``rowid``, ``id``, or pandas' nameless index, which starts at 0), or else the lines' numbers from 1.
"""

import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, described
from folksong.tags.sources.frames import plain, read_plain_frame
from folksong.tags.table import Dropped, Strings, TagTable, distinct_names, table_of_entries

logger = logging.getLogger(__name__)

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
ID_NAMES = ("rowid", "id", "index", "")
Query = Callable[[str], pl.DataFrame]


def read_lastfm(path: str | os.PathLike[str], *, min_weight: float | None = None) -> TagTable:
    """Read a last.fm tag database; tracks and tags come in the order of their code points.

    Only pairs with ``val > min_weight`` are kept; None keeps all, weight 0 included. Nothing is created or changed
    beside the file, one with a write-ahead log included.
    """
    import adbc_driver_manager

    dropped = Dropped(path)
    try:
        with _opened(path) as query:
            _require_schema(query, path)
            tracks, tags = (_query_names(query, table, path) for table in ("tids", "tags"))
            entries = _query_entries(query, dropped)
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
    return _joined(tracks, tags, entries, dropped, min_weight)


def write_lastfm(table: TagTable, path: str | os.PathLike[str]) -> None:
    """Write `table` as a last.fm SQLite database, whole or not at all; an existing file is replaced.

    Row ids are 1, 2, … in the table's order. Reading the file gives an equal table (in code point order).
    """
    with atomic_path(path) as temporary:
        try:
            with closing(sqlite3.connect(temporary)) as connection:
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.executescript(SCHEMA)
                with connection:
                    for name, names in (("tids", table.track_ids), ("tags", table.tags)):
                        connection.executemany(f"INSERT INTO {name} VALUES (?)", ((one,) for one in names))
                    connection.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", _rows(table))
                connection.executescript(INDEXES)
        except sqlite3.Error as error:
            raise FolksongError(f"{path}: cannot be written ({error}); is there room on the disk?") from error
        except UnicodeEncodeError as error:
            raise FolksongError(
                f"{path}: the name {error.object[:60]!r} is not valid Unicode and cannot be stored"
            ) from error


def _rows(table: TagTable) -> Iterator[tuple[int, int, float]]:
    entries = table.weights.tocoo()
    block = 1 << 16  # bounds the memory that Python's own numbers take
    for start in range(0, entries.nnz, block):
        part = slice(start, start + block)
        rows, columns = (entries.row[part] + 1).tolist(), (entries.col[part] + 1).tolist()
        yield from zip(rows, columns, entries.data[part].tolist(), strict=True)


def is_sqlite(path: str | os.PathLike[str]) -> bool:
    """Say whether a file starts like a SQLite database."""
    with Path(path).open("rb") as stream:
        return stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def find_dumps(folder: str | os.PathLike[str]) -> dict[str, Path] | None:
    """Return the three files of a folder by table, or None if it does not have one of each.

    Their names end in ``tids``, ``tags`` and ``tid_tag`` (``lastfm_tids.csv``, ``tidtag.csv``).
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()) if Path(folder).is_dir() else ():
        name = plain(path.stem)
        table = next((table for table in COLUMNS_OF if name.endswith(plain(table))), None)
        if table is not None and path.suffix.lower() in (".csv", ".tsv") and path.is_file():
            found.setdefault(table, path)
    return found if len(found) == len(COLUMNS_OF) else None


def read_dumps(
    folder: str | os.PathLike[str], paths: Mapping[str, Path], *, min_weight: float | None = None
) -> TagTable:
    """Read the three CSV dumps that `find_dumps` found in a folder."""
    dropped = Dropped(folder)
    frames = {table: read_plain_frame(path) for table, path in paths.items()}
    tracks, tags = (_dumped_names(paths[table], frames[table], dropped) for table in ("tids", "tags"))
    frame = frames["tid_tag"]
    named = {plain(name): name for name in frame.columns}
    columns = [named.get(name, last) for name, last in zip(ENTRIES, frame.columns[-3:], strict=False)]
    if len(columns) < len(ENTRIES):
        raise FileFormatError(
            f"{paths['tid_tag']}: has {len(frame.columns)} columns; tid_tag has three: tid, tag, val"
        )
    entries = frame.select(
        pl.col(column).cast(kind, strict=False).alias(name)
        for column, (name, kind) in zip(columns, ENTRIES.items(), strict=True)
    )
    known = entries.drop_nulls()
    dropped.add("tid, tag or val is empty or not a number", len(entries) - len(known))
    return _joined(tracks, tags, known, dropped, min_weight)


def _joined(
    tracks: pl.DataFrame,
    tags: pl.DataFrame,
    entries: pl.DataFrame,
    dropped: Dropped,
    min_weight: float | None,
) -> TagTable:
    """Build the table of frames (id, name), (id, name) and (tid, tag, val)."""
    track_ids, rows = _positions(tracks, entries["tid"], "tids", dropped)
    tag_names, columns = _positions(tags, entries["tag"], "tags", dropped)
    weights = entries["val"].cast(pl.Float32).to_numpy()
    return table_of_entries(
        track_ids, tag_names, rows, columns, weights, dropped=dropped, min_weight=min_weight
    )


def _positions(
    names: pl.DataFrame, ids: pl.Series, table: str, dropped: Dropped
) -> tuple[Strings, npt.NDArray[np.int32]]:
    """Return the distinct names in code point order and each row id's number among them, -1 for one without a name."""
    known = names.drop_nulls().sort("id")
    dropped.add(f"{table} holds NULL or no name; its pairs are left out with it", len(names) - len(known))
    found, numbers = distinct_names(known["name"])
    dropped.add(f"{table} holds the name twice; both rows are read as one", len(known) - len(found))
    keys, wanted = known["id"].to_numpy(), ids.to_numpy()
    if not len(keys):
        return found, np.full(len(wanted), -1, np.int32)
    if keys[-1] - keys[0] == len(keys) - 1:  # no gaps, as a rule
        places = np.clip(wanted - keys[0], 0, len(keys) - 1)
    else:
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    right = keys[places] == wanted
    positions: npt.NDArray[np.int32] = numbers.astype(np.int32)[places]
    return found, positions if right.all() else np.where(right, positions, np.int32(-1))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Query]:
    """Open a database for reading and yield a function that gives a query's rows as a frame."""
    import adbc_driver_manager
    import adbc_driver_sqlite

    source = Path(path).resolve()
    with described(path):
        with source.open("rb") as stream:
            head = stream.read(20)
        if not head.startswith(SQLITE_MAGIC):
            raise FileFormatError(
                f"{path}: not a SQLite database; a text table of tags needs a name that ends in .csv or .tsv"
            )
        log, shared = (Path(f"{source}{ending}") for ending in ("-wal", "-shm"))
        logged = head[18] == WAL_VERSION and log.exists() and log.stat().st_size > 0
    with tempfile.TemporaryDirectory() as folder:
        mode = "mode=ro"
        if head[18] == WAL_VERSION and not logged:
            mode = "immutable=1"  # nothing is in the log: SQLite need not make the files of one
        elif logged and not shared.exists():
            with described(folder):
                for file in (source, log):
                    shutil.copyfile(file, Path(folder, file.name))
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


def _query_names(query: Query, table: str, path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read a table of names, whatever type a cell has, as (id, name)."""
    # The bytes of a text are UTF-8, which a BLOB mostly is too; in a database of UTF-16, SQLite has to convert.
    utf8 = query("PRAGMA encoding")["encoding"][0] == "UTF-8"
    (column,) = COLUMNS_OF[table]
    cell = f"CAST({column} AS {'BLOB' if utf8 else 'TEXT'})"
    frame = query(f"SELECT ROWID AS id, {cell} AS name FROM {table}")
    try:
        return frame.with_columns(pl.col("name").cast(pl.String))
    except pl.exceptions.ComputeError:
        known = frame.drop_nulls()
        texts = [_decoded(name) for name in known["name"]]
        odd = sum(text.encode() != name for text, name in zip(texts, known["name"], strict=True))
        logger.warning(
            "%s: %s of the %s names are not UTF-8 and were read as Latin-1", path, f"{odd:,}", column
        )
        return known.with_columns(pl.Series("name", texts, dtype=pl.String))


def _decoded(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")  # which every byte string is


def _query_entries(query: Query, dropped: Dropped) -> pl.DataFrame:
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


def _dumped_names(path: Path, frame: pl.DataFrame, dropped: Dropped) -> pl.DataFrame:
    """Return a dump of names as (id, name)."""
    names = frame.columns
    named = next((name for name in names if plain(name) in ("tid", "tids", "tag", "tags")), names[-1])
    others = [name for name in names if name != named]
    ids = next((name for name in others if plain(name) in ID_NAMES or name.startswith("column_")), None)
    numbers = pl.int_range(1, len(frame) + 1, eager=True)
    if ids is not None:
        numbers = frame[ids].cast(pl.Int64, strict=False)
        if numbers.null_count():
            raise FileFormatError(
                f"{path}: the column {ids!r} should hold row ids, and has something else in it"
            )
        # pandas' own index is nameless and starts at 0, where SQLite's row ids start at 1
        numbers = numbers + (1 if ids == "" and numbers.min() == 0 else 0)
    return pl.DataFrame({"id": numbers, "name": frame[named].replace("", None)})
