"""Tags in delimited text or Parquet, long (track, tag[, weight]) or wide (one column per tag); and artists.

Read as they are: HetRec 2011 (``artistID, tagValue, weight``), MTG-Jamendo (``TRACK_ID, TAG``, or its ragged files
whose last column is ``TAGS``), MagnaTagATune (``annotations_final.csv``, wide), last.fm's top tags
(``count, name, search``).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path
from folksong.tags.sources import columns as names
from folksong.tags.sources.entries import Dropped, require_threshold, table_of_entries
from folksong.tags.sources.frames import read_frame, utf8_bytes
from folksong.tags.table import Strings, TagTable

logger = logging.getLogger(__name__)

SEPARATOR_OF = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
LAYOUTS = ("long", "wide")


def read_delimited(
    path: str | os.PathLike[str],
    *,
    min_weight: float | None = None,
    layout: str | None = None,
    track_column: str | None = None,
    tag_column: str | None = None,
    weight_column: str | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
    quotes: bool | None = None,
) -> TagTable:
    """Read tags from CSV, TSV or Parquet.

    Args:
        path: the file.
        min_weight: keep the pairs with a weight greater than this; None keeps all.
        layout: ``"long"``, ``"wide"``, or None: long where a tag column is found. In a wide file every column of
            numbers is a tag, and a cell that is empty or 0 means that the track does not carry it.
        track_column: the column of track ids; None recognises the usual names.
        tag_column: the column of tags (long).
        weight_column: the column of weights (long); without one all weights are 1.
        separator: of the text; None finds it.
        encoding: of the text.
        quotes: whether cells may be quoted; None finds it.

    Raises:
        FolksongError: the file cannot be read, or a named column is not there.
        FileFormatError: it holds no table of tags; the message says what was found and how to name the columns.
    """
    require_threshold(min_weight)
    if layout not in (None, *LAYOUTS):
        raise FolksongError(f"layout must be 'long' or 'wide', not {layout!r}")
    frame = _read_ragged(path, encoding)
    if frame is None:
        frame = read_frame(path, separator=separator, encoding=encoding, quotes=quotes)
    track, tag, weight = names.long_columns(path, frame.columns, track_column, tag_column, weight_column)
    if layout == "long" or (layout is None and tag is not None):
        if track is None or tag is None:
            what, option = ("track id", "track_column") if track is None else ("tag", "tag_column")
            raise FileFormatError(
                f"{path}: no column looks like a {what} (columns: {names.listed(frame.columns)}); name it with "
                f"{option}=... (--{option.replace('_', '-')})"
            )
        return _long_table(path, frame, track, tag, weight, min_weight)
    return _wide_table(path, frame, names.track_column(path, frame.columns, track_column), min_weight)


def write_delimited(table: TagTable, path: str | os.PathLike[str]) -> None:
    """Write `table` as long CSV, TSV or Parquet (by the name's ending): ``track_id``, ``tag``, ``weight``.

    Rows are in the table's order. This layout has no place for tracks without a tag and tags without a track: they
    are left out with a warning.

    Raises:
        FolksongError: the name's ending is another, or the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending not in (*SEPARATOR_OF, ".parquet"):
        raise FolksongError(f"{path}: the name must end in .csv, .tsv or .parquet (or .db for SQLite)")
    matrix = table.weights
    rows = np.repeat(np.arange(table.n_tracks), np.diff(matrix.indptr))
    frame = pl.DataFrame(
        {
            "track_id": pl.Series(table.track_ids.tolist(), dtype=pl.String)[rows],
            "tag": pl.Series(table.tags.tolist(), dtype=pl.String)[matrix.indices],
            "weight": pl.Series(matrix.data, dtype=pl.Float32),
        }
    )
    with atomic_path(path) as temporary:
        if ending == ".parquet":
            frame.write_parquet(temporary)
        else:
            frame.write_csv(temporary, separator=SEPARATOR_OF[ending], quote_style="non_numeric")
    bare, unused = int((np.diff(matrix.indptr) == 0).sum()), int((table.counts == 0).sum())
    if bare or unused:
        logger.warning(
            "%s: %s tracks without a tag and %s tags without a track have no row in a delimited file; write SQLite "
            "(.db) to keep them", path, f"{bare:,}", f"{unused:,}",
        )  # fmt: skip


def read_artists(
    path: str | os.PathLike[str],
    *,
    track_column: str | None = None,
    artist_column: str | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
) -> dict[str, str]:
    """Read which artist a track is by: track id -> artist. Rows without an artist are passed over.

    Raises:
        FileFormatError: no artist or track column is found, or a track has two artists.
    """
    frame = _read_ragged(path, encoding)
    if frame is None:
        frame = read_frame(path, separator=separator, encoding=encoding)
    artist = (
        names.chosen_column(path, frame.columns, artist_column)
        if artist_column
        else names.find_column(frame.columns, names.ARTIST_NAMES)
    )
    if artist is None:
        raise FileFormatError(
            f"{path}: no column looks like an artist (columns: {names.listed(frame.columns)}); name it with "
            "artist_column=... (--artist-column)"
        )
    others = [column for column in frame.columns if column != artist]
    track = names.track_column(path, others, track_column)
    pairs = frame.select(
        pl.col(track).cast(pl.String).alias("track"), pl.col(artist).cast(pl.String).alias("artist")
    )
    pairs = pairs.filter((pl.col("track") != "") & (pl.col("artist") != "")).unique()
    twice = pairs.filter(pl.col("track").is_duplicated()).sort("track", "artist")
    if len(twice):
        first = twice["track"][0]
        found = twice.filter(pl.col("track") == first)["artist"].to_list()
        raise FileFormatError(
            f"{path}: the track {first!r} is by {' and by '.join(map(repr, found[:3]))}; give each track one artist"
        )
    return dict(zip(pairs["track"].to_list(), pairs["artist"].to_list(), strict=True))


def _long_table(
    path: str | os.PathLike[str],
    frame: pl.DataFrame,
    track: str,
    tag: str,
    weight: str | None,
    min_weight: float | None,
) -> TagTable:
    dropped = Dropped(path)
    pairs = frame.select(
        pl.col(track).cast(pl.String).alias("track"),
        pl.col(tag).cast(pl.String).alias("tag"),
        (pl.col(weight).cast(pl.Float32, strict=False) if weight else pl.lit(1.0, pl.Float32)).alias(
            "weight"
        ),
    )
    for column, reason in (("track", "the track id is empty"), ("tag", "the tag is empty")):
        known = pairs[column].is_not_null() & (pairs[column] != "")
        dropped.add(reason, len(pairs) - int(known.sum()))
        pairs = pairs.filter(known)
    known = pairs["weight"].is_not_null()
    dropped.add(f"the weight in {weight!r} is empty or not a number", len(pairs) - int(known.sum()))
    pairs = pairs.filter(known)
    track_ids, rows = _codes(pairs["track"])
    tags, columns = _codes(pairs["tag"])
    return table_of_entries(
        track_ids, tags, rows, columns, pairs["weight"].to_numpy(), dropped=dropped, min_weight=min_weight
    )


def _wide_table(
    path: str | os.PathLike[str], frame: pl.DataFrame, track: str, min_weight: float | None
) -> TagTable:
    dropped = Dropped(path)
    frame = frame.with_columns(pl.col(track).cast(pl.String))
    known = frame[track].is_not_null() & (frame[track] != "")
    dropped.add("the track id is empty", len(frame) - int(known.sum()))
    frame = frame.filter(known)
    candidates = [
        name for name in frame.columns if name != track and names.plain(name) not in names.METADATA_NAMES
    ]
    numbers = frame.select(pl.col(candidates).cast(pl.Float32, strict=False))
    tags = [
        name
        for name in candidates
        if numbers[name].null_count() == (frame[name].is_null() | (frame[name].cast(pl.String) == "")).sum()
    ]
    if not tags:
        raise FileFormatError(
            f"{path}: neither a tag column nor columns of numbers were found (columns: {names.listed(frame.columns)}); "
            "name the tag column with tag_column=... (--tag-column)"
        )
    skipped = [name for name in frame.columns if name != track and name not in tags]
    if skipped:
        logger.info("%s: a wide file of %d tags; not tags: %s", path, len(tags), names.listed(skipped))
    track_ids, rows = _codes(frame[track])
    order = sorted(range(len(tags)), key=tags.__getitem__)
    values = np.nan_to_num(numbers.select([tags[place] for place in order]).to_numpy(), copy=True)
    entry_rows, columns = np.nonzero(values)
    array = np.empty(len(tags), dtype=object)
    array[:] = [tags[place] for place in order]
    return table_of_entries(
        track_ids,
        array,
        rows[entry_rows],
        columns,
        values[entry_rows, columns],
        dropped=dropped,
        min_weight=min_weight,
    )


def _codes(column: pl.Series) -> tuple[Strings, npt.NDArray[np.int64]]:
    """Return the distinct names in code point order (that of UTF-8 bytes) and each row's number among them."""
    distinct = column.unique().sort()
    numbers = column.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int64)
    array = np.empty(len(distinct), dtype=object)
    array[:] = distinct.to_list()
    return array, numbers


def _read_ragged(path: str | os.PathLike[str], encoding: str) -> pl.DataFrame | None:
    """Read a file of MTG-Jamendo's own shape as a long frame; None for any other.

    Its last column is ``TAGS``, and each row goes on with as many tab-separated tags as the track has.
    """
    try:
        with Path(path).open("rb") as stream:
            header = stream.readline(1 << 16).rstrip(b"\r\n").split(b"\t")
            if len(header) < 2 or header[-1].strip().lower() != b"tags":
                return None
            data = stream.read()
    except OSError:
        return None  # the general reader says what is wrong
    fields = [name.decode("utf-8", "replace") for name in header[:-1]]
    lines = utf8_bytes(path, data, encoding).decode("utf-8").splitlines() if data.strip() else []
    kept: dict[str, list[str]] = {name: [] for name in (*fields, "TAG")}
    for line in lines:
        cells = line.split("\t")
        for tag in cells[len(fields) :]:
            for name, cell in zip(fields, cells, strict=False):
                kept[name].append(cell)
            kept["TAG"].append(tag)
    return pl.DataFrame(kept, schema=dict.fromkeys(kept, pl.String))
