"""Any source of tags as a `TagTable`: the one way in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from folksong.errors import FolksongError, nearest
from folksong.files import describe_os_error
from folksong.tags.delimited import LAYOUTS, read_delimited, write_delimited
from folksong.tags.folders import read_folders
from folksong.tags.lastfm import is_sqlite, read_lastfm, write_lastfm
from folksong.tags.table import TagTable

FORMATS = ("lastfm", *LAYOUTS, "folders")
SQLITE_ENDINGS = (".db", ".sqlite", ".sqlite3")


def read_tags(
    path: str | os.PathLike[str],
    *,
    min_weight: float | None = None,
    format: str | None = None,  # noqa: A002 (the word a user looks for)
    **options: Any,
) -> TagTable:
    r"""Read tags from a last.fm SQLite database, a delimited or Parquet file, or a folder of class folders.

    Args:
        path: the file or folder.
        min_weight: keep the pairs with a weight greater than this; None keeps all, weight 0 included.
        format: ``"lastfm"``, ``"long"``, ``"wide"`` or ``"folders"``; None looks at the content.
        options: for delimited files: `track_column`, `tag_column`, `weight_column`, `separator`, `encoding`,
            `quotes`, as `folksong.tags.delimited.read_delimited` takes them.

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
    if found in LAYOUTS or found == "delimited":
        return read_delimited(
            path, min_weight=min_weight, layout=found if found in LAYOUTS else None, **options
        )
    if options:
        raise FolksongError(
            f"{path}: {', '.join(options)} only apply to delimited files, and this is {found!r}"
        )
    return read_lastfm(path, min_weight=min_weight) if found == "lastfm" else read_folders(path)


def write_tags(table: TagTable, path: str | os.PathLike[str]) -> None:
    """Write a table as last.fm SQLite (``.db``, ``.sqlite``) or as long CSV, TSV or Parquet, by the name's ending.

    Raises:
        FolksongError: the ending is another, or the file cannot be written.
    """
    if Path(path).suffix.lower() in SQLITE_ENDINGS:
        write_lastfm(table, path)
    else:
        write_delimited(table, path)


def _recognise(path: str | os.PathLike[str]) -> str:
    if Path(path).is_dir():
        return "folders"
    try:
        sqlite = is_sqlite(path)
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    # A name that promises SQLite is held to it, so that the message speaks of the database that was meant.
    return "lastfm" if sqlite or Path(path).suffix.lower() in SQLITE_ENDINGS else "delimited"
