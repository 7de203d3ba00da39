"""The three CSV dumps of a last.fm database: its tables tids, tags and tid_tag as one file each.

Row ids are a column of their own (``rowid``, ``id``, or pandas' nameless index, which starts at 0), or else the lines'
numbers from 1, as SQLite numbers them.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.tags.sources.delimited import plain
from folksong.tags.sources.entries import Dropped, RowNumbers, distinct_names, table_of_entries
from folksong.tags.sources.frames import SEPARATORS, find_separator, read_bytes, utf8_bytes
from folksong.tags.table import Strings, TagTable

TABLES = ("tids", "tags", "tid_tag")
ID_NAMES = ("rowid", "id", "index", "")


def find_dumps(folder: str | os.PathLike[str]) -> dict[str, Path] | None:
    """Return the three files of a folder by table, or None if it does not have one of each.

    Their names end in ``tids``, ``tags`` and ``tid_tag`` (``lastfm_tids.csv``, ``tidtag.csv``).
    """
    root = Path(folder)
    if not root.is_dir():
        return None
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        name = plain(path.stem)
        if path.suffix.lower() in (".csv", ".tsv") and path.is_file():
            for table, ending in (("tid_tag", "tidtag"), ("tids", "tids"), ("tags", "tags")):
                if name.endswith(ending):
                    found.setdefault(table, path)
                    break
    return found if len(found) == len(TABLES) else None


def read_dumps(folder: str | os.PathLike[str], *, min_weight: float | None = None) -> TagTable:
    """Read the three CSV dumps that lie in a folder.

    Raises:
        FolksongError: the folder does not hold the three files, or one cannot be read.
        FileFormatError: a file is not what its name says.
    """
    paths = find_dumps(folder)
    if paths is None:
        raise FolksongError(
            f"{folder}: no dumps of a last.fm database (three files: tids.csv, tags.csv, tid_tag.csv)"
        )
    dropped = Dropped(folder)
    track_rows, track_ids = _read_names(paths["tids"], "tid", dropped)
    tag_rows, tags = _read_names(paths["tags"], "tag", dropped)
    frame = _read_csv(paths["tid_tag"])
    columns = _entry_columns(paths["tid_tag"], frame)
    numbers = frame.select(
        pl.col(columns[0]).cast(pl.Int64, strict=False).alias("tid"),
        pl.col(columns[1]).cast(pl.Int64, strict=False).alias("tag"),
        pl.col(columns[2]).cast(pl.Float32, strict=False).alias("val"),
    )
    known = numbers.drop_nulls()
    dropped.add("tid, tag or val is empty or not a number", len(numbers) - len(known))
    rows = track_rows.of(known["tid"].to_numpy())
    places = tag_rows.of(known["tag"].to_numpy())
    found = (rows >= 0) & (places >= 0)
    dropped.add("tid_tag names a row that tids or tags lacks", int((~found).sum()))
    return table_of_entries(
        track_ids, tags, rows[found], places[found], known["val"].to_numpy()[found],
        dropped=dropped, min_weight=min_weight,
    )  # fmt: skip


def _read_csv(path: Path) -> pl.DataFrame:
    """Read a dump as columns of strings, whether its first line is a header or not."""
    data = utf8_bytes(path, read_bytes(path))
    first = data.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    separator = find_separator(path, data) if any(mark in first for mark in SEPARATORS) else ","
    header = {plain(cell) for cell in first.split(separator)} & {"tid", "tag", "val", "rowid"}
    try:
        return pl.read_csv(io.BytesIO(data), separator=separator, has_header=bool(header), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise FileFormatError(
            f"{path}: not a well-formed table ({str(error).splitlines()[0][:200]})"
        ) from error


def _read_names(path: Path, column: str, dropped: Dropped) -> tuple[RowNumbers, Strings]:
    frame = _read_csv(path)
    named = next((name for name in frame.columns if plain(name) in (column, f"{column}s")), None)
    others = [name for name in frame.columns if name != named]
    if named is None:
        named = frame.columns[-1]
        others = frame.columns[:-1]
    ids = next((name for name in others if plain(name) in ID_NAMES or name.startswith("column_")), None)
    row_ids: npt.NDArray[np.int64] = np.arange(1, len(frame) + 1, dtype=np.int64)
    if ids is not None:
        numbers = frame[ids].cast(pl.Int64, strict=False)
        if numbers.null_count():
            raise FileFormatError(
                f"{path}: the column {ids!r} should hold row ids, and has something else in it"
            )
        # pandas' own index is nameless and starts at 0, where SQLite's row ids start at 1
        row_ids = numbers.to_numpy() + (1 if ids == "" and numbers.min() == 0 else 0)
    known = (frame[named] != "").fill_null(False)
    dropped.add(f"{path.name} has an empty name; its pairs are left out with it", int((~known).sum()))
    found, positions = distinct_names(frame[named].filter(known))
    dropped.add(f"{path.name} has the name twice; both rows are read as one", len(positions) - len(found))
    return RowNumbers(row_ids[known.to_numpy()], positions), found


def _entry_columns(path: Path, frame: pl.DataFrame) -> tuple[str, str, str]:
    by_plain = {plain(name): name for name in frame.columns}
    if {"tid", "tag", "val"} <= by_plain.keys():
        return by_plain["tid"], by_plain["tag"], by_plain["val"]
    if len(frame.columns) >= 3:
        first, second, third = frame.columns[-3:]
        return first, second, third
    raise FileFormatError(f"{path}: has {len(frame.columns)} columns; tid_tag has three: tid, tag, val")
