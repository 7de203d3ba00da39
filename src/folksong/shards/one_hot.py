"""The tags behind a one-hot of the earlier project: position p of the one-hot is row p + 1 of the database's `tags`."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from folksong.errors import FileFormatError, FolksongError
from folksong.tags.sources.lastfm import is_sqlite
from folksong.tags.tag_lists import read_tag_list


def read_one_hot_tags(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the tags of a last.fm database in the order of their row ids, or a text file with one tag a line.

    Raises:
        FolksongError: the file is missing.
        FileFormatError: the database has no table `tags`, or its row ids are not 1, 2, 3, …
    """
    if not Path(path).is_file():
        raise FolksongError(f"{path}: no such file; a last.fm database or a list of tags is needed")
    if not is_sqlite(path):
        return read_tag_list(path)
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT ROWID, tag FROM tags ORDER BY ROWID").fetchall()
    except sqlite3.Error as error:
        raise FileFormatError(f"{path}: not a last.fm tag database ({error})") from error
    if [row_id for row_id, _ in rows] != list(range(1, len(rows) + 1)):
        raise FileFormatError(
            f"{path}: the row ids of its table `tags` are not 1 to {len(rows)}: no one-hot was made from it"
        )
    return tuple(str(tag) for _, tag in rows)
