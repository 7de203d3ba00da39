"""Merging tags of a table: the tracks of one tag become tracks of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.tags.table import TagTable, csr_of_largest

WEIGHTS = ("maximum", "sum")


@dataclass(frozen=True)
class Merge:
    """One merge: `source` becomes `target`, for a reason that a person can read.

    Args:
        source: the tag that goes.
        target: the tag that it becomes.
        reason: why, in words.
        source_count: number of tracks with `source`.
        target_count: number of tracks with `target`.
    """

    source: str
    target: str
    reason: str
    source_count: int = 0
    target_count: int = 0


def rename_tags(table: TagTable, names: Mapping[str, str | None], *, weights: str = "maximum") -> TagTable:
    """Return the table with tags renamed; tags that get one name are merged, a tag renamed to None goes.

    Merging never loses a (track, concept) pair: a track that carried any of the merged tags carries their new name.
    Tags come in code point order.

    Args:
        table: the tags.
        names: old name -> new name, or None to drop the tag; tags not named stay. One step: a new name is not
            looked up again.
        weights: of a track that carried several of the merged tags, the ``"maximum"`` or the ``"sum"``.

    Raises:
        FolksongError: `weights` is another word.
    """
    if weights not in WEIGHTS:
        raise FolksongError(f"merged weights are 'maximum' or 'sum', not {weights!r}")
    new_names = [names.get(tag, tag) for tag in table.tags]
    kept = sorted({name for name in new_names if name is not None})
    number = {name: column for column, name in enumerate(kept)}
    new_column = np.array([-1 if name is None else number[name] for name in new_names], np.int64)
    columns = new_column[table.weights.indices]
    rows = np.repeat(np.arange(table.n_tracks, dtype=np.int64), np.diff(table.weights.indptr))
    stays = columns >= 0
    rows, columns, values = rows[stays], columns[stays], table.weights.data[stays]
    if weights == "sum":
        rows, columns, values = _summed(rows, columns, values, len(kept))
    array = np.empty(len(kept), dtype=object)
    array[:] = kept
    return TagTable(
        table.track_ids, array, csr_of_largest(rows, columns, values, (table.n_tracks, len(kept)))
    )


def _summed(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], values: npt.NDArray[np.float32], n_tags: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    keys, place = np.unique(rows * max(n_tags, 1) + columns, return_inverse=True)
    # bincount adds in float64, in the order of the tags, so that the sum is the same on every run
    sums = np.bincount(place, weights=values.astype(np.float64), minlength=len(keys))
    return keys // max(n_tags, 1), keys % max(n_tags, 1), sums.astype(np.float32)
