"""Any source of tags as a `TagTable`: the one way in."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from folksong.array_cache import content_key, path_beside, read_arrays, write_arrays
from folksong.errors import FolksongError, UnclearSourceError, nearest
from folksong.files import described
from folksong.tags.sources.delimited import LAYOUTS, read_delimited, separator_of, write_delimited
from folksong.tags.sources.dumps import is_dump, read_dump
from folksong.tags.sources.lastfm import is_sqlite, read_lastfm, write_lastfm
from folksong.tags.sources.library import JOIN, read_folders, read_library
from folksong.tags.table import TagTable, rename_tags

FORMATS = ("lastfm", *LAYOUTS, "folders", "dumps", "library")
READERS = 3
"""Change it when what a reader makes of a source changes: copies of before are not used then."""
DELIMITED_OPTIONS = (
    *("track_column", "tag_column", "weight_column"),
    *("separator", "encoding", "quotes", "separators"),
)
LIBRARY_OPTIONS = ("fields", "separators", "categories")
SQLITE_ENDINGS = (".db", ".sqlite", ".sqlite3")
LEAST_CACHED_BYTES = 32 << 20
"""Smaller sources are read so fast that no copy is made unless asked for."""

logger = logging.getLogger(__name__)

Tags = TagTable | str | os.PathLike[str]
"""A tag table, or where to read it."""


def read_tags(
    path: str | os.PathLike[str],
    *,
    min_weight: float | None = None,
    format: str | None = None,  # noqa: A002 (the word a user looks for)
    cache: bool | None = None,
    progress: bool = False,
    **options: Any,
) -> TagTable:
    r"""Read tags from any source: a last.fm SQLite database, delimited text or Parquet, a folder, a database's dump.

    Args:
        path: the file or folder.
        min_weight: keep the pairs with a weight greater than this; None keeps all, weight 0 included.
        format: ``"lastfm"``, ``"long"``, ``"wide"``, ``"ragged"``, ``"dumps"`` (the three CSV dumps of a last.fm
            database in a folder; or a file, archive or folder of MusicBrainz, ListenBrainz, AcousticBrainz, Discogs or
            last.fm, as `folksong.tags.sources.dumps` lists them), ``"folders"`` (class folders of recordings) or
            ``"library"`` (the recordings' own genre, mood and grouping fields); None looks at the content, and takes a
            folder of recordings for class folders.
        cache: keep a binary copy beside the file for a fast second open (`folksong.array_cache`); None does so for
            files of 32 MiB and more.
        progress: show a bar while a dump is read.
        options: for delimited files `track_column`, `tag_column`, `weight_column`, `separator`, `encoding`, `quotes`,
            as `folksong.tags.sources.delimited.read_delimited` takes them; for a library `fields`, `separators`,
            `categories`, as `folksong.tags.sources.library.read_library`.

    Raises:
        FolksongError: there is no such file, or an option does not fit the source.
        FileFormatError: the content is not what it should be; the message says what to do.

    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = pathlib.Path(folder.name, "tags.csv")
    >>> _ = file.write_text("track,tag,weight\na,rock,100\nb,rock,3\nb,folk,0\n")
    >>> read_tags(file), read_tags(file, min_weight=0).n_counts
    (TagTable(2 tracks, 2 tags, 3 counts), 2)
    """
    if format is not None and format not in FORMATS:
        raise FolksongError(
            f"unknown format {format!r}{nearest(format, FORMATS)}; one of {', '.join(FORMATS)}"
        )
    options = {name: value for name, value in options.items() if value is not None}
    found = format or _recognise(path)
    if (
        not Path(path).is_file()
        or cache is False
        or (cache is None and Path(path).stat().st_size < LEAST_CACHED_BYTES)
    ):
        return _read(path, found, min_weight, progress, options)
    chosen = {"min_weight": min_weight, **options, **({} if format is None else {"format": format})}
    key, copy = content_key(path, {**chosen, "readers": READERS}), path_beside(path, chosen)
    if (table := read_cache(copy, key)) is not None:
        return table
    with _warnings_kept() as said:
        table = _read(path, found, min_weight, progress, options)
    if content_key(path, {**chosen, "readers": READERS}) == key:  # it was not changed while it was read
        write_cache(table, copy, key, [record.getMessage() for record in said.buffer])
    return table


@contextmanager
def _warnings_kept() -> Iterator[MemoryHandler]:
    """Keep what the readers warn of, so that a copy can say it again."""
    said = MemoryHandler(sys.maxsize, flushLevel=sys.maxsize)
    said.setLevel(logging.WARNING)
    of_readers = logging.getLogger("folksong.tags")
    of_readers.addHandler(said)
    try:
        yield said
    finally:
        of_readers.removeHandler(said)


def as_table(tags: Tags) -> TagTable:
    """Return a tag table as it is, or read it from the source that is named."""
    return tags if isinstance(tags, TagTable) else read_tags(tags)


def check_table_path(path: str | os.PathLike[str]) -> None:
    """Refuse a name that `write_tags` does not know, or a place it cannot write to, before hours of reading."""
    if Path(path).suffix.lower() not in SQLITE_ENDINGS:
        separator_of(path)
    folder = next(parent for parent in Path(path).absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FolksongError(f"{path}: cannot be written: {folder} is no folder that you may write to")


def write_tags(table: TagTable, path: str | os.PathLike[str]) -> None:
    """Write a table as last.fm SQLite (``.db``, ``.sqlite``) or as long CSV, TSV or Parquet, by the name's ending."""
    if Path(path).suffix.lower() in SQLITE_ENDINGS:
        write_lastfm(table, path)
    else:
        write_delimited(table, path)


def split_category(tag: str) -> tuple[str | None, str]:
    """Return a tag's category (None if it has none) and its name.

    >>> split_category("mood/theme---dark"), split_category("rock")
    (('mood/theme', 'dark'), (None, 'rock'))
    """
    category, joined, name = tag.partition(JOIN)
    return (category, name) if joined and category and name else (None, tag)


def categories(table: TagTable) -> dict[str | None, tuple[str, ...]]:
    """Return the tags of each category, in the table's order."""
    found: dict[str | None, list[str]] = {}
    for tag in table.tags:
        found.setdefault(split_category(tag)[0], []).append(tag)
    return {category: tuple(tags) for category, tags in found.items()}


def select_category(table: TagTable, category: str) -> TagTable:
    """Return the table of one category's tags, by their names alone."""
    known = categories(table)
    if category not in known:
        names = sorted(name for name in known if name is not None)
        raise FolksongError(
            f"no tag is of the category {category!r}{nearest(category, names)} "
            f"(categories: {', '.join(names) or 'none'})"
        )
    names_of: dict[str, str | None] = dict.fromkeys(table.tags)
    names_of.update({tag: split_category(tag)[1] for tag in known[category]})
    return rename_tags(table, names_of)


def _recognise(path: str | os.PathLike[str]) -> str:
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        raise FolksongError(f"{path}: neither a file nor a folder; tags cannot be read from it")
    if Path(path).is_dir():
        return "dumps" if is_dump(path) else "folders"
    with described(path):
        sqlite = is_sqlite(path)
    # A name that promises SQLite is held to it, so that the message speaks of the database that was meant.
    if sqlite or Path(path).suffix.lower() in SQLITE_ENDINGS:
        return "lastfm"
    return "dumps" if is_dump(path) else "delimited"


def _read(
    path: str | os.PathLike[str],
    found: str,
    min_weight: float | None,
    progress: bool,
    options: dict[str, Any],
) -> TagTable:
    layout = found if found in LAYOUTS else None
    delimited, library = bool(layout) or found == "delimited", found == "library"
    known = DELIMITED_OPTIONS if delimited else LIBRARY_OPTIONS if library else ()
    for name in options:
        if name not in known and name in (*DELIMITED_OPTIONS, *LIBRARY_OPTIONS):
            kind = "delimited files" if name in DELIMITED_OPTIONS else "a music library"
            raise FolksongError(f"{path}: {name} only applies to {kind}, and this is {found!r}")
        if name not in known:
            raise FolksongError(f"unknown option {name!r}{nearest(name, known)}")
    try:
        if delimited:
            return read_delimited(path, min_weight=min_weight, layout=layout, **options)
        if found in ("lastfm", "dumps"):
            if found == "lastfm":
                table = read_lastfm(path, min_weight=min_weight)
            else:
                table = read_dump(path, min_weight=min_weight, progress=progress)
            if not table.weights.nnz:
                logger.warning("%s: holds no tag of any track", path)
            return table
        return read_library(path, **options) if library else read_folders(path)
    except UnclearSourceError as error:
        error.source, error.options = path, {**options, **error.options}
        raise


def read_cache(path: str | os.PathLike[str], key: str) -> TagTable | None:
    """Return the table of a copy that is whole and of this key, and warn again as the first reading did; else None."""
    found = read_arrays(path, key)
    if found is None:
        return None
    arrays = tuple(found.arrays[name] for name in ("data", "indices", "indptr"))
    weights = sp.csr_matrix(arrays, shape=tuple(found.notes["shape"]), copy=False)
    for warning in found.notes["warnings"]:
        logger.warning("%s", warning)
    track_ids, tags = (np.array(found.strings(name), object) for name in ("track_ids", "tags"))
    return TagTable(track_ids, tags, weights)


def write_cache(
    table: TagTable, path: str | os.PathLike[str], key: str, warnings: Sequence[str] = ()
) -> None:
    """Write a copy. A folder that cannot be written to, or a name UTF-8 does not have, is no error: no copy then."""
    try:
        with write_arrays(path, key) as writer:
            for name in ("data", "indices", "indptr"):
                writer.add(name, [getattr(table.weights, name)])
            writer.add_strings("track_ids", table.track_ids.tolist())
            writer.add_strings("tags", table.tags.tolist())
            writer.notes |= {"shape": list(table.weights.shape), "warnings": list(warnings)}
    except (FolksongError, UnicodeEncodeError) as error:
        logger.info("no copy for a faster second open was made: %s", error)
