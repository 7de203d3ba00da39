"""Labels that overlap: tags that are near share a label, tags that are not share none, as far as labels suffice.

This is overlapping correlation clustering (Bonchi, Gionis & Ukkonen 2011): each tag has a set of at most `most` labels,
and local search looks for sets that make the sum over all pairs of tags that share a label of

    √(nᵢ nⱼ) · (cos(i, j) − t)

great. n are the tags' counts; t is such that a sixth of all pairs, weighed the same way, are nearer, but at least 0.
Tags in contrast (two decades, female and male) count as opposite, whatever their cosine.

From a division of the tags, each in turn, the most popular first, takes the label that adds most, then the next, as
long as one adds something; this is repeated until hardly any tag changes, or `MAX_PASSES` times. In a large table only
the most popular tags decide what a label is; the others then choose among the labels.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.labels.wording import contrasts_of

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

JUDGES_PER_LABEL = 5
"""The most popular tags of each label of the division decide too, so that no label is nobody's."""

BLOCK_TAGS = 1000


@dataclass(frozen=True, eq=False)
class TagGroups:
    """Groups of tags that share all their labels, most popular first.

    Attributes:
        names: (n,) the most popular tag of each.
        wordings: (n,) the words of all its tags.
        counts: (n,) their counts.
        points: (n, d) where they lie; only the directions count.
        apart: row -> rows with which it must share no label.
    """

    names: Sequence[str]
    wordings: Sequence[str]
    counts: Numbers
    points: npt.NDArray[np.float64]
    apart: Mapping[int, Set[int]]


def share_labels(
    groups: TagGroups, division: Numbers, n_labels: int, most: int, *, progress: bool = False
) -> list[tuple[int, ...]]:
    """Return the labels of each group, at most `most`, the nearest one (its main label) first.

    A label that is nobody's nearest one becomes the main one of its nearest member that can be spared. Labels that are
    nobody's main one even so, most of them since no group needs them, are left out with a warning.

    `division`, (n,), is the label of each group to start from; those of groups that must be apart differ.
    """
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    for row, rivals in groups.apart.items():
        if any(division[rival] == division[row] for rival in rivals):
            raise FolksongError(
                f"the division puts {groups.names[row]!r} with tags that it must be apart from"
            )
    judging = _judging(division)
    m, n = int(judging.sum()), len(division)
    order = np.concatenate([np.flatnonzero(judging), np.flatnonzero(~judging)])  # judges first
    place = np.argsort(order)
    points = groups.points[order] / np.linalg.norm(groups.points[order], axis=1, keepdims=True)
    members = np.zeros((n, n_labels), np.float32)
    members[np.arange(m), division[order[:m]]] = 1
    rivals_of = {int(place[row]): place[sorted(rivals)] for row, rivals in groups.apart.items()}
    bar = tqdm(total=MAX_PASSES * m + n - m, desc="labels", unit=" tags", disable=not progress)
    with threadpool_limits(1, "blas"), bar:  # the same sums on any number of cores
        worth = _Worth([groups.wordings[row] for row in order], points, groups.counts[order], m)
        own = worth.of(slice(0, m))
        for number in range(1, MAX_PASSES + 1):
            changed = _choose_all(0, own, worth.weights, members, rivals_of, most)
            bar.update(m)
            if changed <= SETTLED_SHARE * m:
                bar.total -= (MAX_PASSES - number) * m
                break
        for start in range(m, n, BLOCK_TAGS):
            values = worth.of(slice(start, start + BLOCK_TAGS))
            _choose_all(start, values, worth.weights, members, rivals_of, most)
            bar.update(len(values))
        found = _nearest_first(points[place], np.sqrt(groups.counts), members[place])
    if left_out := n_labels - len({main for main, *_ in found}):
        logger.warning("%d of %d labels are left out: no tag needs them", left_out, n_labels)
    return found


def _judging(division: Numbers) -> npt.NDArray[np.bool_]:
    """Return which rows decide: the most popular ones, and the most popular ones of each label."""
    order = np.argsort(division, kind="stable")
    starts = np.flatnonzero(np.diff(division[order], prepend=-1))
    rank_in_label = np.empty(len(division), np.int64)
    rank_in_label[order] = np.arange(len(division)) - np.repeat(starts, np.diff([*starts, len(division)]))
    return np.asarray((np.arange(len(division)) < MAX_JUDGES) | (rank_in_label < JUDGES_PER_LABEL))


class _Worth:
    """What it is worth that a group shares a label with each of the judges, the first `m` groups."""

    def __init__(
        self, wordings: Sequence[str], points: npt.NDArray[np.float64], counts: Numbers, m: int
    ) -> None:
        self._points = points.astype(np.float32)
        self._judges = slice(0, m)
        self.weights = np.sqrt(counts[:m]).astype(np.float32)
        self._contrasts = contrasts_of(wordings)
        self._near = np.float32(near_cosine(self._points[:m], self.weights))
        logger.debug("tags are near from a cosine of %.3f", self._near)

    def of(self, rows: slice) -> Floats:
        """Return (rows, judges)."""
        values: Floats = np.asarray(self._points[rows] @ self._points[self._judges].T, np.float32)
        values[self._contrasts.between(rows, self._judges)] = -1
        return np.asarray((values - self._near) * self.weights, np.float32)


def near_cosine(points: Floats, weights: Floats) -> float:
    """Return the cosine, at least 0, that `NEAR_SHARE` of the pairs of unit points exceed.

    A pair weighs the product of its points' weights.
    """
    bins = np.linspace(0, 1, 1001)
    weighed, total = np.zeros(len(bins) - 1), 0.0
    for row in range(len(points) - 1):
        cosines = np.clip(points[row + 1 :] @ points[row], -1, 1)
        pair_weights = weights[row + 1 :].astype(np.float64) * weights[row]
        weighed += np.histogram(cosines, bins, weights=pair_weights)[0]
        total += float(pair_weights.sum())
    from_above = np.cumsum(weighed[::-1])
    found = int(np.searchsorted(from_above, NEAR_SHARE * total))
    return float(bins[::-1][1:][found]) if found < len(from_above) else 0.0


def _choose_all(
    start: int,
    worth: Floats,
    weights: Floats,
    members: Floats,
    rivals_of: Mapping[int, Numbers],
    most: int,
) -> int:
    """Let the rows from `start` on choose their labels in turn; return how many are others than before.

    Only judges fill labels that are empty: nothing would keep the others out of one.
    """
    changed, m = 0, len(weights)
    unused = ~members[:m].any(axis=0) & (start >= m)
    for row, values in enumerate(worth, start):
        before = members[row].copy()
        members[row] = 0
        barred = np.asarray(members[rivals_of.get(row, [])].any(axis=0) | unused)
        members[row, _choose(values, weights, members[:m], barred, most)] = 1
        changed += bool((members[row] != before).any())
    return changed


def _choose(
    worth: Floats, weights: Floats, judged: Floats, barred: npt.NDArray[np.bool_], most: int
) -> list[int]:
    """Return the labels that add most to what a group is worth: one at least, `most` at most.

    A group that every label takes something from gets one that is still empty, or else the nearest one on average.
    `worth`, (m,), is of sharing a label with each judge, `judged`, (m, n_labels), their labels; a judge that chooses
    has none yet.
    """
    gains = np.where(barred, -np.inf, worth @ judged)
    if not gains.max() > 0:
        return [int((gains / np.maximum(weights @ judged, 1e-12)).argmax())]
    chosen: list[int] = []
    reached = np.zeros(len(worth), bool)
    while len(chosen) < most and gains.max() > 0:
        best = int(gains.argmax())
        new = np.flatnonzero((judged[:, best] > 0) & ~reached)
        gains[best] = -np.inf
        if not chosen or worth[new].sum(dtype=np.float64) > 0:  # not by rounding alone
            chosen.append(best)
            reached[new] = True
            gains -= worth[new] @ judged[new]
    return chosen


def _nearest_first(
    points: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], members: Floats
) -> list[tuple[int, ...]]:
    """Return each group's labels by the cosine to their members' weighted sum."""
    centres = members.T @ (points * weights[:, None])
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
