"""Tags in delimited text or Parquet, in one of three layouts; and artists.

Long: a row holds a track, a tag (or a cell of several) and maybe a weight. Wide: one column a tag. Ragged: a line
holds a track and then all its tags. Read as they are: HetRec 2011 (``artistID, tagValue, weight``), MTG-Jamendo
(``TRACK_ID, TAG``, or its ragged files whose last column is ``TAGS``), MagnaTagATune (``annotations_final.csv``,
wide), last.fm's top tags (``count, name, search``).
"""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from folksong.errors import FileFormatError, FolksongError, UnclearSourceError, counted, nearest, some_of
from folksong.files import atomic_path
from folksong.recordings import AUDIO_EXTENSIONS
from folksong.tags.sources.dumps import is_dump, read_dump_artists
from folksong.tags.sources.frames import COLUMNS, PANDAS_INDEX, TWICE, plain, read_frame
from folksong.tags.table import Dropped, TagTable, distinct_names, table_of_entries

logger = logging.getLogger(__name__)

SEPARATOR_OF = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
LAYOUTS = ("long", "wide", "ragged")
METADATA_NAMES = frozenset(COLUMNS["track"] + COLUMNS["artist"] + COLUMNS["other"])
LASTFM_TOP_TAGS = {"count", "name", "search"}
"""last.fm's list of an artist's top tags calls the artist "search", the tag "name" and the weight "count"."""
TAG_SEPARATORS = ("|", ";", ",")
"""What parts the tags of a cell, if not said: the first of these that fits."""
MOST_JOINED = 0.2
"""In a column of single tags at most so many cells hold what could part several."""
WRITTEN = ["track_id", "tag", "weight"]
"""The columns of a table that was written here; its cells hold one tag each."""
DECIMAL_COMMA = r"^\s*\d+,\d+\s*$"


@dataclass(frozen=True)
class _Layout:
    """Which column is what; `separators` part the tags within a cell, if given."""

    track: str
    tag: str | None
    weight: str | None
    separators: str | None


def read_delimited(
    path: str | os.PathLike[str],
    *,
    min_weight: float | None = None,
    layout: str | None = None,
    track_column: str | None = None,
    tag_column: str | None = None,
    weight_column: str | None = None,
    separators: str | None = None,
    **text: Any,
) -> TagTable:
    """Read tags from CSV, TSV or Parquet.

    The audio ending of ids in a column of paths is left out, as in the ids of recordings in a folder.

    Args:
        path: the file.
        min_weight: keep the pairs with a weight greater than this; None keeps all.
        layout: ``"long"``, ``"wide"``, ``"ragged"``, or None: ragged where a header ends in ``TAGS`` and a row is
            longer, long where a tag column is found, else wide. In a wide file every column of numbers is a tag (or
            of True and False, if there are such), and a cell that is empty, 0 or False means that the track does not
            carry it.
        track_column: the column of track ids; None recognises the usual names.
        tag_column: the column of tags (long).
        weight_column: the column of weights (long); without one all weights are 1.
        separators: characters that part several tags in one cell; None finds out whether there are such.
        text: ``separator``, ``encoding`` and ``quotes`` of `folksong.tags.sources.frames.read_frame`.

    Raises:
        FolksongError: the file cannot be read, or a named column is not there.
        FileFormatError: it holds no table of tags; the message says what was found.
    """
    if layout not in (None, *LAYOUTS):
        raise FolksongError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    frame = read_frame(path, ragged=layout == "ragged", **text)
    if track_column is None and find_column(frame.columns, COLUMNS["track"]):
        frame = frame.drop([name for name in PANDAS_INDEX if name in frame.columns])
    found = _layout(path, frame, layout, (track_column, tag_column, weight_column), separators)
    known = frame.with_columns(_track_ids(found.track).alias(found.track)).filter(pl.col(found.track) != "")
    dropped = Dropped(path)
    dropped.add("the track id is empty", len(frame) - len(known))
    table = (_wide_table if found.tag is None else _long_table)(known, found, dropped, min_weight)
    if not table.weights.nnz:
        raise FileFormatError(f"{path}: no tags; the table is empty")
    return table


def separator_of(path: str | os.PathLike[str]) -> str | None:
    """Return what parts the cells of a table of this name, None for Parquet; FolksongError for another ending."""
    ending = Path(path).suffix.lower()
    if ending not in (*SEPARATOR_OF, ".parquet"):
        raise FolksongError(f"{path}: the name must end in .csv, .tsv or .parquet (or .db for SQLite)")
    return SEPARATOR_OF.get(ending)


def write_delimited(table: TagTable, path: str | os.PathLike[str]) -> None:
    """Write `table` as long CSV, TSV or Parquet (by the name's ending): ``track_id``, ``tag``, ``weight``.

    Rows are in the table's order. This layout has no place for tracks without a tag and tags without a track: they
    are left out with a warning.
    """
    separator = separator_of(path)
    matrix = table.weights
    rows = np.repeat(np.arange(table.n_tracks), np.diff(matrix.indptr))
    try:
        frame = pl.DataFrame(
            {
                "track_id": pl.Series(table.track_ids.tolist(), dtype=pl.String)[rows],
                "tag": pl.Series(table.tags.tolist(), dtype=pl.String)[matrix.indices],
                "weight": pl.Series(matrix.data, dtype=pl.Float32),
            }
        )
    except UnicodeEncodeError as error:
        raise FolksongError(f"{path}: the name {error.object[:60]!r} is not valid Unicode") from error
    with atomic_path(path) as temporary:
        if separator is None:
            frame.write_parquet(temporary)
        else:
            frame.write_csv(temporary, separator=separator, quote_style="non_numeric")
    bare, unused = int((np.diff(matrix.indptr) == 0).sum()), int((table.counts == 0).sum())
    if bare or unused:
        logger.warning(
            "%s: %s without a tag and %s without a track have no row in a delimited file; write SQLite "
            "(.db) to keep them", path, counted(bare, "track"), counted(unused, "tag"),
        )  # fmt: skip


def read_artists(
    path: str | os.PathLike[str],
    *,
    artist_column: str | None = None,
    progress: bool = False,
    **text: Any,
) -> dict[str, str]:
    """Read which artist a track is by, from a table or a database's dump: track id -> artist, in Unicode's NFC form.

    Rows without an artist are passed over. With `progress` a bar is shown while a dump is read.
    """
    if is_dump(path):
        return read_dump_artists(path, progress=progress)
    frame = read_frame(path, **text)
    filled = [name for name in frame.columns if frame[name].cast(pl.String).fill_null("").ne("").any()]
    artist = (
        chosen_column(path, frame.columns, artist_column)
        if artist_column
        else find_column(filled, COLUMNS["artist"]) or find_column(frame.columns, COLUMNS["artist"])
    )
    if artist is None:
        raise FileFormatError(
            f"{path}: no column looks like an artist (columns: {listed(frame.columns)}); say which "
            "column names the artist"
        )
    others = [column for column in frame.columns if column != artist]
    track = track_column_of(path, others)
    by = pl.col(artist).cast(pl.String).str.normalize("NFC")
    pairs = frame.select(track=_track_ids(track), artist=by)
    pairs = pairs.filter((pl.col("track") != "") & (pl.col("artist") != "")).unique()
    if not len(pairs):
        raise FileFormatError(f"{path}: the column {artist!r} names no artist of any track")
    twice = pairs.filter(pl.col("track").is_duplicated()).sort("track", "artist")
    if len(twice):
        first = twice["track"][0]
        found = twice.filter(pl.col("track") == first)["artist"].to_list()
        raise FileFormatError(
            f"{path}: the track {first!r} is by {' and by '.join(map(repr, found[:3]))}; give each track one artist"
        )
    return dict(zip(pairs["track"].to_list(), pairs["artist"].to_list(), strict=True))


def read_track_column(path: str | os.PathLike[str]) -> list[str]:
    """Read the track ids of a table, in its order."""
    frame = read_frame(path)
    ids = frame.select(_track_ids(track_column_of(path, frame.columns))).to_series()
    return ids.drop_nulls().to_list()


def find_column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the column that bears the most preferred of the usual names, or None."""
    by_plain: dict[str, str] = {}
    for column in columns:
        by_plain.setdefault(plain(column), column)
    return next((by_plain[name] for name in usual if name in by_plain), None)


def chosen_column(path: str | os.PathLike[str], columns: Sequence[str], choice: str) -> str:
    """Return the column that the user named."""
    if choice in columns:
        return choice
    raise FolksongError(
        f"{path}: no column is called {choice!r}{nearest(choice, list(columns))} (columns: {listed(columns)})"
    )


def track_column_of(path: str | os.PathLike[str], columns: Sequence[str]) -> str:
    """Return the column of track ids."""
    found = find_column(columns, COLUMNS["track"])
    found = found or next((name for name in PANDAS_INDEX if name in columns), None)
    if found is None:
        raise UnclearSourceError(
            f"{path}: no column looks like a track id (columns: {listed(columns)}); say which is, or 'ragged' if the "
            "file has no header and its lines are a track and its tags",
            track_column="NAME",
        )
    return found


def listed(columns: Sequence[str], most: int = 12) -> str:
    """Return the first columns' names for a message."""
    return some_of((repr(column.partition(TWICE)[0][:40]) for column in columns), most)


def _layout(
    path: str | os.PathLike[str],
    frame: pl.DataFrame,
    layout: str | None,
    choices: tuple[str | None, str | None, str | None],
    separators: str | None,
) -> _Layout:
    """Find out which column is what, and tell."""
    columns = frame.columns
    chosen = [chosen_column(path, columns, choice) if choice else None for choice in choices]
    free = [column for column in columns if column not in chosen]
    usual: tuple[Sequence[str], ...] = (COLUMNS["track"], COLUMNS["tag"] + COLUMNS["cell"], COLUMNS["weight"])
    if {plain(column) for column in columns} == LASTFM_TOP_TAGS:
        usual = (("search",), ("name",), ("count",))
    track, tag, weight = (one or find_column(free, names) for one, names in zip(chosen, usual, strict=True))
    track = track or track_column_of(path, free)
    if layout == "wide" or (layout is None and tag is None):
        logger.debug("%s: track ids from the column %r, a tag from each column of numbers", path, track)
        return _Layout(track, None, None, None)
    if tag is None:
        raise UnclearSourceError(
            f"{path}: no column looks like a tag (columns: {listed(columns)}); say which is",
            tag_column="NAME",
        )
    twice = [name for name in (track, tag, weight) if f"{name}{TWICE}2" in columns]
    if twice:
        raise FileFormatError(
            f"{path}: the header names the column {twice[0]!r} more than once; give its columns different names"
        )
    if separators is None and frame[tag].dtype == pl.String and columns != WRITTEN:
        separators = _separators_of(path, frame[tag], tag)
    logger.debug(
        "%s: track ids from the column %r, tags from %r%s, weights %s", path, track, tag,
        f" (several a cell, parted by {separators!r})" if separators else "", f"from {weight!r}" if weight else "1",
    )  # fmt: skip
    return _Layout(track, tag, weight, separators)


def _separators_of(path: str | os.PathLike[str], cells: pl.Series, tag: str) -> str | None:
    """Return what parts the tags of a cell in a column of several; None in one of single tags.

    Cells hold several tags if, parted, they are of fewer different tags than there are different cells.
    """
    several = plain(tag) in COLUMNS["cell"]
    distinct = cells.drop_nulls().unique()
    for mark in TAG_SEPARATORS:
        share = distinct.str.contains(mark, literal=True).sum() / max(len(distinct), 1)
        if share <= (0 if several else MOST_JOINED):
            continue
        parts = distinct.str.split(mark).explode().str.strip_chars().n_unique()
        if parts < len(distinct) + several or (several and share > MOST_JOINED):
            logger.log(
                logging.INFO if several else logging.WARNING,
                "%s: the cells of %r hold several tags each, parted by %r: %d tags instead of %d; separators='' keeps "
                "the cells whole", path, tag, mark, parts, len(distinct),
            )  # fmt: skip
            return mark
    return None


def _track_ids(column: str) -> pl.Expr:
    """Return a column's track ids; those of paths to recordings come without their ending."""
    ids = pl.col(column).cast(pl.String)
    if plain(column) not in COLUMNS["path"]:
        return ids
    endings = "|".join(re.escape(ending) for ending in sorted(AUDIO_EXTENSIONS))
    return ids.str.replace(f"(?i)(?:{endings})$", "")


def _long_table(frame: pl.DataFrame, found: _Layout, dropped: Dropped, min_weight: float | None) -> TagTable:
    weight = pl.lit(1.0, pl.Float32)
    if found.weight is not None:
        weight = pl.col(found.weight).cast(pl.String).str.strip_chars().cast(pl.Float32, strict=False)
    pairs = frame.select(track=found.track, tag=found.tag, weight=weight)
    if pairs["tag"].dtype == pl.List(pl.String):
        pairs = pairs.explode("tag")
    tag = pl.col("tag").cast(pl.String)
    if found.separators:
        apart = tag.str.replace_all(f"[{re.escape(found.separators)}]", "\x00").str.split("\x00")
        pairs = pairs.with_columns(apart).explode("tag")
        # a list as Python prints it, ['rock', 'pop'], has brackets and quotation marks
        tag = tag.str.strip_chars(" \t[]'\"")
    named = pairs.with_columns(tag).filter(pl.col("tag") != "")
    dropped.add("the tag is empty", len(pairs) - len(named))
    pairs = named.drop_nulls("weight")
    if found.weight is not None and len(pairs) < len(named):
        _refuse_decimal_comma(dropped.path, frame, found.weight)
    dropped.add(f"the weight in {found.weight!r} is empty or not a number", len(named) - len(pairs))
    track_ids, rows = distinct_names(pairs["track"])
    tags, columns = distinct_names(pairs["tag"])
    return table_of_entries(
        track_ids, tags, rows, columns, pairs["weight"].to_numpy(), dropped=dropped, min_weight=min_weight
    )


def _refuse_decimal_comma(path: str | os.PathLike[str], frame: pl.DataFrame, column: str) -> None:
    odd = frame.filter(pl.col(column).cast(pl.String).str.contains(DECIMAL_COMMA))
    if len(odd):
        raise FileFormatError(
            f"{path}: the numbers in {column!r} have decimal commas ({odd[column][0]!r}); write them with points"
        )


def _wide_table(frame: pl.DataFrame, found: _Layout, dropped: Dropped, min_weight: float | None) -> TagTable:
    path, others = dropped.path, [name for name in frame.columns if name != found.track]
    candidates = [
        name
        for name in others
        if plain(name.partition(TWICE)[0]) not in METADATA_NAMES and not frame[name].dtype.is_nested()
    ]
    text = pl.col(candidates).cast(pl.String).str.strip_chars().str.to_lowercase()
    cells = frame.select(text.replace("", None))
    truths = cells.with_columns(pl.all().replace_strict({"true": 1.0, "false": 0.0}, default=None))
    numbers = cells.cast(pl.Float32, strict=False)
    empty = {name: cells[name].null_count() for name in candidates}
    tags = [name for name in candidates if truths[name].null_count() == empty[name] < len(frame)]
    if tags:  # of one-hot columns and numbers, the numbers are something else
        numbers = truths.cast(pl.Float32)
    else:
        tags = [name for name in candidates if numbers[name].null_count() == empty[name]]
    if not tags:
        for name in candidates:
            _refuse_decimal_comma(path, frame, name)
        raise UnclearSourceError(
            f"{path}: neither a tag column nor columns of numbers were found (columns: {listed(frame.columns)}); say "
            "which column holds tags",
            tag_column="NAME",
        )
    if skipped := [name for name in others if name not in tags]:
        level = logging.WARNING if set(skipped) & set(candidates) else logging.INFO
        logger.log(level, "%s: a wide file of %d tags; not tags: %s", path, len(tags), listed(skipped))
    track_ids, rows = distinct_names(frame[found.track])
    names, columns = distinct_names(pl.Series([name.partition(TWICE)[0] for name in tags], dtype=pl.String))
    values = np.nan_to_num(numbers.select(tags).to_numpy())
    row, column = np.nonzero(values)
    return table_of_entries(
        track_ids,
        names,
        rows[row],
        columns[column],
        values[row, column],
        dropped=dropped,
        min_weight=min_weight,
    )
