"""Which tags share tracks: co-occurrence counts, P(j | i), PMI, NPMI, the NPMI distance, and which tags imply others.

P(i) is the share of tracks that carry tag i, P(i, j) the share that carry both. The normalised pointwise mutual
information is NPMI(i, j) = log(P(i) P(j)) / log P(i, j) − 1 (Bouma 2009), in [−1, 1], and the distance
d(i, j) = 1 − NPMI(i, j), in [0, 2], with d(i, i) = 0; tags that never share a track are 2 apart, tags that both sit on
every track 0.

P(j | i) is the share of the tracks with tag i that carry tag j too. Two tags are equivalent where it is high both
ways; i is contained in j where P(j | i) alone is high ("post-bop" in "jazz").

`table` is a tag table or where to read it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError, nearest
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

Counts = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]
Tracks = npt.NDArray[np.bool_]
BLOCK = 1000
"""How many tags are compared with all others at a time: bounds the memory of one block of the product."""


@dataclass(frozen=True)
class Implication:
    """Tag `tag` implies `other`: `together` tracks with both, P(other | tag) `forward`, P(tag | other) `backward`."""

    tag: str
    other: str
    together: int
    forward: float
    backward: float


def counts(table: Tags, tags: Sequence[str] | None = None) -> Counts:
    """Return how many tracks carry both tags: (n, n) int64, symmetric, the tags' own counts on the diagonal.

    Args:
        table: the tags of the tracks; weights do not matter, presence does.
        tags: rows and columns of the result; all tags of the table by default.

    Raises:
        FolksongError: a tag is not in the table.
    """
    table = as_table(table)
    presence = sp.csr_matrix(table.presence, dtype=np.int32)
    if tags is not None:
        presence = presence[:, [_column(table, tag) for tag in tags]]
    return np.asarray((presence.T @ presence).toarray(), np.int64)


def pmi(table: Tags, tags: Sequence[str] | None = None) -> Matrix:
    """Return the pointwise mutual information log(P(i, j) / (P(i) P(j))): (n, n); −inf where never together."""
    joint, single = _shares(table, tags)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(joint) - np.log(single)[:, None] - np.log(single)[None, :]
    values[joint == 0] = -np.inf
    return np.asarray(values, np.float64)


def npmi(table: Tags, tags: Sequence[str] | None = None) -> Matrix:
    """Return the normalised pointwise mutual information: (n, n), in [−1, 1], 1 on the diagonal.

    −1 where two tags never share a track, 1 where both are on every track.
    """
    joint, single = _shares(table, tags)
    return npmi_of_shares(joint, single)


def npmi_of_shares(joint: Matrix, single: Matrix) -> Matrix:
    """Return NPMI from the shares P(i, j) (n, n) and P(i) (n,)."""
    values = np.full(joint.shape, -1.0)
    together = joint > 0  # tested before the logarithm is taken
    always = joint >= 1
    rows, columns = np.nonzero(together & ~always)
    # The sum of logarithms is symmetric to the last bit; the logarithm of a product may not be.
    values[rows, columns] = (np.log(single[rows]) + np.log(single[columns])) / np.log(
        joint[rows, columns]
    ) - 1
    values[always] = 1.0
    np.clip(values, -1.0, 1.0, out=values)
    np.fill_diagonal(values, 1.0)
    return values


def npmi_distance(table: Tags, tags: Sequence[str] | None = None) -> Matrix:
    """Return d = 1 − NPMI: (n, n), symmetric, in [0, 2], exactly 0 on the diagonal."""
    return 1.0 - npmi(table, tags)


def conditional(table: Tags, tags: Sequence[str] | None = None) -> Matrix:
    """Return P(j | i) at row i, column j: (n, n); a row is NaN where no track carries tag i."""
    together = counts(table, tags)
    single = np.diagonal(together)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(together / single, np.float64)


def tracks_with(
    table: Tags,
    *,
    all_of: Sequence[str] = (),
    any_of: Sequence[str | Sequence[str]] = (),
    none_of: Sequence[str] = (),
) -> Tracks:
    """Return for each track whether it carries all of, at least one of, and none of these tags: (n_tracks,) bool.

    A list left empty asks for nothing, so that no list at all gives every track. With lists in `any_of`, at least one
    of each of them is asked for.

    >>> table = TagTable.from_pairs(["a", "a", "b", "c"], ["rock", "pop", "rock", "jazz"])
    >>> tracks_with(table, all_of=["rock"], none_of=["pop"]).tolist()
    [False, True, False]
    >>> tracks_with(table, any_of=[["rock", "jazz"], ["pop", "jazz"]]).tolist()
    [True, False, True]
    """
    table = as_table(table)
    found: Tracks = np.ones(table.n_tracks, dtype=bool)
    if all_of:
        asked = tuple(dict.fromkeys(all_of))
        found &= _number_of(table, asked) == len(asked)
    groups = [group for group in any_of if not isinstance(group, str)]
    if single := [tag for tag in any_of if isinstance(tag, str)]:
        groups.append(single)
    for group in groups:
        found &= _number_of(table, group) > 0
    if none_of:
        found &= _number_of(table, none_of) == 0
    return found


def implications(table: Tags, *, threshold: float = 0.9, min_count: int = 10) -> tuple[Implication, ...]:
    """Return all pairs with P(other | tag) of at least `threshold`, both tags on at least `min_count` tracks.

    Sorted by the number of tracks with both, largest first, then by the tags. Runs in blocks over the sparse table,
    so that any number of tags fits in memory.
    """
    if not 0 < threshold <= 1:
        raise FolksongError(f"the threshold is a share above 0 and at most 1, not {threshold}")
    table = as_table(table)
    columns = np.flatnonzero(table.counts >= max(min_count, 1))
    tags, single = table.tags[columns], table.counts[columns].tolist()
    presence = sp.csr_matrix(table.presence, dtype=np.int32)[:, columns]
    transposed = sp.csr_matrix(presence.T)
    pairs: list[Implication] = []
    for start in range(0, len(columns), BLOCK):
        block = (transposed[start : start + BLOCK] @ presence).tocoo()
        rows = block.row + start
        high = (block.data >= threshold * table.counts[columns[rows]] - 1e-9) & (rows != block.col)
        found = zip(rows[high].tolist(), block.col[high].tolist(), block.data[high].tolist(), strict=True)
        pairs += [Implication(tags[i], tags[j], n, n / single[i], n / single[j]) for i, j, n in found]
    return tuple(sorted(pairs, key=lambda pair: (-pair.together, pair.tag, pair.other)))


def equivalents(table: Tags, *, threshold: float = 0.9, min_count: int = 10) -> tuple[Implication, ...]:
    """Return the pairs that imply each other, each once: the rarer tag first (ties by code point)."""
    return tuple(
        pair
        for pair in implications(table, threshold=threshold, min_count=min_count)
        if pair.backward >= threshold - 1e-9
        and (pair.forward > pair.backward or (pair.forward == pair.backward and pair.tag < pair.other))
    )


def contained(table: Tags, *, threshold: float = 0.9, min_count: int = 10) -> tuple[Implication, ...]:
    """Return the pairs where `tag` is contained in `other` but not the other way round."""
    return tuple(
        pair
        for pair in implications(table, threshold=threshold, min_count=min_count)
        if pair.backward < threshold - 1e-9
    )


def _shares(table: Tags, tags: Sequence[str] | None) -> tuple[Matrix, Matrix]:
    table = as_table(table)
    if table.n_tracks == 0:
        raise FolksongError("the tag table has no tracks; co-occurrence needs some")
    joint = counts(table, tags) / table.n_tracks
    return joint, np.diagonal(joint).copy()


def _column(table: TagTable, tag: str) -> int:
    column = table.tag_index.get(tag)
    if column is None:
        hint = nearest(tag, table.tags.tolist()) if table.n_tags < 10_000 else ""
        raise FolksongError(f"the tag {tag!r} is not in the table{hint}")
    return column


def _number_of(table: TagTable, tags: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return how many of the distinct `tags` each track carries: (n_tracks,)."""
    wanted = np.zeros(table.n_tags, dtype=bool)
    wanted[[_column(table, tag) for tag in tags]] = True
    hits = np.concatenate([[0], np.cumsum(wanted[table.weights.indices])])
    return np.asarray(np.diff(hits[table.weights.indptr]), np.int64)


MEASURES: dict[str, Callable[[Tags, Sequence[str] | None], npt.NDArray[Any]]] = {
    "counts": counts, "conditional": conditional, "pmi": pmi, "npmi": npmi, "distance": npmi_distance,
}  # fmt: skip
"""What can be computed of all pairs of tags, by name."""
