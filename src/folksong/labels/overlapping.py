"""Labels that overlap: tags that are near share a label, tags that are not share none, as far as labels suffice.

This is overlapping correlation clustering (Bonchi, Gionis & Ukkonen 2011): choose for each tag a set of at most
`most` labels so that the sum over all pairs of tags that share a label of

    √(nᵢ nⱼ) · (cos(i, j) − t)

is as great as local search makes it. n are the tags' counts; t is such that a sixth of all pairs, weighed the same way,
are nearer. Tags in contrast (two decades, female and male) count as opposite, whatever their cosine. From a division of
the tags, each tag in turn, the most popular first, takes the labels that add most, until hardly any tag changes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.labels.contrasts import contrasts_of

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

NEAR_SHARE = 1 / 6
"""Share of the pairs of tags that are near. On HetRec the threshold it gives was best with four kinds of vectors."""

MAX_PASSES = 12
SETTLED_SHARE = 0.005
"""The search ends when no more than this share of the tags changed its labels in a pass."""

MAX_JUDGES = 4000
"""Nearness to so many tags, the most popular, decides; more would need memory with the square of their number."""

BLOCK_TAGS = 1000


@dataclass(frozen=True, eq=False)
class TagGroups:
    """Groups of tags that share all their labels, most popular first.

    Attributes:
        names: (n,) the most popular tag of each.
        counts: (n,) their counts.
        points: (n, d) where they lie; only the directions count.
        apart: row -> rows with which it must share no label.
    """

    names: Sequence[str]
    counts: Numbers
    points: npt.NDArray[np.float64]
    apart: Mapping[int, Set[int]]


def share_labels(
    tags: TagGroups, division: Numbers, n_labels: int, most: int, *, progress: bool = False
) -> list[tuple[int, ...]]:
    """Return the labels of each tag, the nearest one (its main label) first; each label is somebody's main one.

    Args:
        tags: the tags, in groups.
        division: (n,) the label of each group to start from; those of groups that must be apart differ.
        n_labels: number of labels.
        most: labels that a tag may take part in.
        progress: show a progress bar.

    Raises:
        FolksongError: a tag must be apart from tags in every label.
    """
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    n = len(tags.names)
    judges = min(n, MAX_JUDGES)
    points = tags.points / np.linalg.norm(tags.points, axis=1, keepdims=True)
    members = np.zeros((n, n_labels), np.float32)
    members[np.arange(n), division] = 1
    with threadpool_limits(1, "blas"):  # the same sums on any number of cores
        worth = _Worth(tags, points, judges)
        own = worth.of(slice(0, judges))
        for _ in tqdm(range(MAX_PASSES), desc="labels", unit=" passes", disable=not progress):
            changed = sum(_choose(tags, row, own[row], members, judges, most) for row in range(judges))
            if changed <= SETTLED_SHARE * judges:
                break
        for start in range(judges, n, BLOCK_TAGS):
            block = slice(start, min(start + BLOCK_TAGS, n))
            for row, values in zip(range(n)[block], worth.of(block), strict=True):
                _choose(tags, row, values, members, judges, most)
        return _nearest_first(points * np.sqrt(tags.counts)[:, None], members)


class _Worth:
    """What it is worth that a tag shares a label with each of the judges, the most popular tags."""

    def __init__(self, tags: TagGroups, points: npt.NDArray[np.float64], judges: int) -> None:
        self._points = points.astype(np.float32)
        self._judges = slice(0, judges)
        self._weights = np.sqrt(tags.counts[:judges]).astype(np.float32)
        self._contrasts = contrasts_of(tags.names)
        self.near = near_cosine(self._points[:judges], self._weights)
        logger.debug("tags are near from a cosine of %.3f", self.near)

    def of(self, rows: slice) -> Floats:
        """Return (rows, judges); a tag is worth nothing to itself."""
        values: Floats = np.asarray(self._points[rows] @ self._points[self._judges].T, np.float32)
        values[self._contrasts.between(rows, self._judges)] = -1
        values = (values - np.float32(self.near)) * self._weights
        if rows.start < len(self._weights):
            np.fill_diagonal(values, 0)
        return np.asarray(values, np.float32)


def near_cosine(points: Floats, weights: Floats) -> float:
    """Return the cosine that `NEAR_SHARE` of the pairs of points exceed, each weighed by the product of its weights."""
    bins = np.linspace(-1, 1, 2001)
    weighed = np.zeros(len(bins) - 1)
    for row in range(len(points) - 1):
        cosines = np.clip(points[row + 1 :] @ points[row], -1, 1)
        weighed += np.histogram(cosines, bins, weights=weights[row + 1 :].astype(np.float64) * weights[row])[
            0
        ]
    from_above = np.cumsum(weighed[::-1])
    if not from_above[-1] > 0:
        return 0.0
    return float(bins[::-1][1:][np.searchsorted(from_above, NEAR_SHARE * from_above[-1])])


def _choose(tags: TagGroups, row: int, worth: Floats, members: Floats, judges: int, most: int) -> bool:
    """Give a tag the labels that add most to what it is worth, and return whether they are others than before."""
    before = members[row].copy()
    members[row] = 0
    rivals = list(tags.apart.get(row, ()))
    gains = np.where(members[rivals].any(axis=0), -np.inf, worth @ members[:judges])
    if not np.isfinite(gains).any():
        raise FolksongError(
            f"{tags.names[row]!r} must be apart from tags in every label; ask for more labels or less overlap"
        )
    reached = np.zeros(judges, bool)
    for number in range(most):
        best = int(gains.argmax())
        if gains[best] == -np.inf or (number and not gains[best] > 0):
            break
        members[row, best] = 1
        new = np.flatnonzero((members[:judges, best] > 0) & ~reached)
        reached[new] = True
        gains -= worth[new] @ members[new]
        gains[best] = -np.inf
    return bool((members[row] != before).any())


def _nearest_first(points: npt.NDArray[np.float64], members: Floats) -> list[tuple[int, ...]]:
    """Return each tag's labels by the cosine to their members' sum; a label that is nobody's first gets a tag."""
    centres = members.T @ points
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    nearness = np.where(members > 0, points @ centres.T, -np.inf)
    main = nearness.argmax(axis=1)
    for label in np.flatnonzero(members.any(axis=0)):
        if not (main == label).any():
            spare = (members[:, label] > 0) & (np.bincount(main, minlength=members.shape[1])[main] > 1)
            if spare.any():
                main[np.where(spare, nearness[:, label], -np.inf).argmax()] = label
    order = np.argsort(-nearness, axis=1, kind="stable")
    n_labels = members.sum(axis=1).astype(int)
    return [
        (int(first), *(int(label) for label in ranked[:number] if label != first))
        for first, ranked, number in zip(main, order, n_labels, strict=True)
    ]
