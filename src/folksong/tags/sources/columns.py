"""Which column of a delimited file is which: the usual names, and the user's own choice.

Names are compared by their letters and digits only, whatever their case: ``TRACK_ID``, ``track id`` and ``trackID``
are one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from folksong.errors import FileFormatError, FolksongError, nearest

# In order of preference. Artists stand in for tracks where a file (HetRec 2011) tags artists and has no tracks.
TRACK_NAMES = (
    "trackid", "tid", "track", "songid", "song", "clipid", "recordingid", "recording", "itemid", "item", "msdid",
    "filename", "file", "path", "mp3path", "artistid", "artistmbid", "artist", "artistname", "id",
)  # fmt: skip
TAG_NAMES = ("tag", "tagvalue", "tagname", "label", "genre")
WEIGHT_NAMES = ("weight", "val", "value", "tagweight", "count", "score")
ARTIST_NAMES = ("artistid", "artistmbid", "artist", "artistname", "performer")
METADATA_NAMES = frozenset(
    {*TRACK_NAMES, *ARTIST_NAMES, "albumid", "album", "releaseid", "userid", "duration", "year"}
)
# last.fm's list of an artist's top tags calls the artist "search", the tag "name" and the weight "count".
LASTFM_TOP_TAGS = {"count", "name", "search"}


def plain(name: str) -> str:
    """Return the letters and digits of a column's name, in lower case.

    >>> plain("TRACK_ID")
    'trackid'
    """
    return "".join(character for character in name.casefold() if character.isalnum())


def find_column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the column that bears the most preferred of the usual names, or None."""
    by_plain: dict[str, str] = {}
    for column in columns:
        by_plain.setdefault(plain(column), column)
    return next((by_plain[name] for name in usual if name in by_plain), None)


def chosen_column(path: str | os.PathLike[str], columns: Sequence[str], choice: str) -> str:
    """Return the column that the user named.

    Raises:
        FolksongError: there is none of this name; the message gives the nearest and all there are.
    """
    if choice in columns:
        return choice
    raise FolksongError(
        f"{path}: no column is called {choice!r}{nearest(choice, list(columns))} (columns: {listed(columns)})"
    )


def long_columns(
    path: str | os.PathLike[str],
    columns: Sequence[str],
    track: str | None = None,
    tag: str | None = None,
    weight: str | None = None,
) -> tuple[str | None, str | None, str | None]:
    """Return the names of the track, tag and weight columns, None for those that were not found."""
    lastfm = {plain(column) for column in columns} == LASTFM_TOP_TAGS
    chosen = tuple(
        chosen_column(path, columns, choice) if choice else None for choice in (track, tag, weight)
    )
    free = [column for column in columns if column not in chosen]
    usual = (("search",), ("name",), ("count",)) if lastfm else (TRACK_NAMES, TAG_NAMES, WEIGHT_NAMES)
    found = [one or find_column(free, names) for one, names in zip(chosen, usual, strict=True)]
    return found[0], found[1], found[2]


def track_column(path: str | os.PathLike[str], columns: Sequence[str], choice: str | None = None) -> str:
    """Return the column of track ids.

    Raises:
        FileFormatError: no column has a usual name; the message says how to name it.
    """
    found = chosen_column(path, columns, choice) if choice else find_column(columns, TRACK_NAMES)
    if found is None:
        raise FileFormatError(
            f"{path}: no column looks like a track id (columns: {listed(columns)}); name it with "
            "track_column=... (--track-column)"
        )
    return found


def listed(columns: Sequence[str], most: int = 12) -> str:
    """Return the first columns' names for a message."""
    names = ", ".join(repr(column[:40]) for column in columns[:most])
    return names + (f" and {len(columns) - most} more" if len(columns) > most else "")
