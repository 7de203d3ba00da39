"""Which tracks carry A and B, A or B, A without B: any number of tags, straight from the sparse table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError, nearest
from folksong.tags.table import TagTable

Tracks = npt.NDArray[np.bool_]


def tracks_with(
    table: TagTable, *, all_of: Sequence[str] = (), any_of: Sequence[str] = (), none_of: Sequence[str] = ()
) -> Tracks:
    """Return for each track whether it carries all of, at least one of, and none of these tags: (n_tracks,) bool.

    A list left empty asks for nothing, so that no list at all gives every track.

    Raises:
        FolksongError: a tag is not in the table.

    >>> table = TagTable.from_pairs(["a", "a", "b", "c"], ["rock", "pop", "rock", "jazz"])
    >>> tracks_with(table, all_of=["rock"], none_of=["pop"]).tolist()
    [False, True, False]
    """
    found: Tracks = np.ones(table.n_tracks, dtype=bool)
    if all_of:
        asked = tuple(dict.fromkeys(all_of))
        found &= _number_of(table, asked) == len(asked)
    if any_of:
        found &= _number_of(table, any_of) > 0
    if none_of:
        found &= _number_of(table, none_of) == 0
    return found


def count_tracks(
    table: TagTable, *, all_of: Sequence[str] = (), any_of: Sequence[str] = (), none_of: Sequence[str] = ()
) -> int:
    """Return how many tracks carry all of, at least one of, and none of these tags."""
    return int(tracks_with(table, all_of=all_of, any_of=any_of, none_of=none_of).sum())


def _number_of(table: TagTable, tags: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return how many of the distinct `tags` each track carries: (n_tracks,)."""
    wanted = np.zeros(table.n_tags, dtype=bool)
    for tag in tags:
        column = table.tag_index.get(tag)
        if column is None:
            hint = nearest(tag, table.tags.tolist()) if table.n_tags < 10_000 else ""
            raise FolksongError(f"the tag {tag!r} is not in the table{hint}")
        wanted[column] = True
    hits = np.concatenate([[0], np.cumsum(wanted[table.weights.indices])])
    return np.asarray(np.diff(hits[table.weights.indptr]), np.int64)
