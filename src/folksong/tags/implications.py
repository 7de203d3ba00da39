"""Which tags imply which: P(j | i), tags that are practically equivalent, and tags contained in another.

P(j | i) is the share of the tracks with tag i that carry tag j too. Two tags are equivalent where it is high both
ways; i is contained in j where P(j | i) alone is high ("post-bop" in "jazz").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.tags.cooccurrence import counts
from folksong.tags.queries import tracks_with
from folksong.tags.table import TagTable

BLOCK = 1000
"""How many tags are compared with all others at a time: bounds the memory of one block of the product."""


@dataclass(frozen=True)
class Implication:
    """Tag `tag` implies tag `other`.

    Args:
        tag: the tag that implies.
        other: the tag that is implied.
        together: number of tracks with both.
        forward: P(other | tag).
        backward: P(tag | other).
    """

    tag: str
    other: str
    together: int
    forward: float
    backward: float


def conditional(table: TagTable, tags: Sequence[str] | None = None) -> npt.NDArray[np.float64]:
    """Return P(j | i) at row i, column j: (n, n); a row is NaN where no track carries tag i."""
    together = counts(table, tags)
    single = np.diagonal(together)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(together / single, np.float64)


def implied_share(table: TagTable, tag: str, others: Sequence[str]) -> float:
    """Return P(j or k or … | tag): the share of the tracks with `tag` that carry at least one of `others`."""
    with_tag = tracks_with(table, all_of=[tag])
    if not with_tag.any():
        return float("nan")
    return float((with_tag & tracks_with(table, any_of=others)).sum() / with_tag.sum())


def implications(table: TagTable, *, threshold: float = 0.9, min_count: int = 10) -> tuple[Implication, ...]:
    """Return all pairs with P(other | tag) of at least `threshold`, both tags on at least `min_count` tracks.

    Sorted by the number of tracks with both, largest first, then by the tags. Runs in blocks over the sparse table,
    so that any number of tags fits in memory.

    Raises:
        FolksongError: the threshold is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise FolksongError(f"the threshold is a share above 0 and at most 1, not {threshold}")
    columns = np.flatnonzero(table.counts >= max(min_count, 1))
    presence = sp.csr_matrix(table.presence, dtype=np.int32).tocsc()[:, columns]
    single = table.counts[columns]
    transposed = sp.csr_matrix(presence.T)
    rows_matrix = sp.csr_matrix(presence)
    found: list[tuple[int, int, int]] = []
    for start in range(0, len(columns), BLOCK):
        block = (transposed[start : start + BLOCK] @ rows_matrix).tocoo()
        rows = block.row + start
        high = (block.data >= threshold * single[rows] - 1e-9) & (rows != block.col)
        found += zip(rows[high].tolist(), block.col[high].tolist(), block.data[high].tolist(), strict=True)
    tags = table.tags[columns]
    pairs = [
        Implication(tags[i], tags[j], together, together / int(single[i]), together / int(single[j]))
        for i, j, together in found
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.together, pair.tag, pair.other)))


def equivalents(table: TagTable, *, threshold: float = 0.9, min_count: int = 10) -> tuple[Implication, ...]:
    """Return the pairs that imply each other, each once: the rarer tag first (ties by code point)."""
    return tuple(
        pair
        for pair in implications(table, threshold=threshold, min_count=min_count)
        if pair.backward >= threshold - 1e-9
        and (pair.forward > pair.backward or (pair.forward == pair.backward and pair.tag < pair.other))
    )


def contained(table: TagTable, *, threshold: float = 0.9, min_count: int = 10) -> tuple[Implication, ...]:
    """Return the pairs where `tag` is contained in `other` but not the other way round."""
    return tuple(
        pair
        for pair in implications(table, threshold=threshold, min_count=min_count)
        if pair.backward < threshold - 1e-9
    )
