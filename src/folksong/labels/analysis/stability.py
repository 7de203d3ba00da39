"""How far two label spaces agree: adjusted Rand index, normalised mutual information, and which tags moved.

Over the tags that both spaces hold in a label (a tag of several labels counts with its first):

    ARI = (Σ C(n_ij, 2) − E) / ((Σ C(a_i, 2) + Σ C(b_j, 2)) / 2 − E),  E = Σ C(a_i, 2) Σ C(b_j, 2) / C(n, 2)

(Hubert & Arabie 1985), and NMI = I(A; B) / ((H(A) + H(B)) / 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.labels.kmeans import tags_of
from folksong.labels.space import LabelSpace
from folksong.tags.table import TagTable

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Move:
    """A tag that changed company: its label in the first space, in the second, and where it was expected."""

    tag: str
    before: str
    after: str
    expected: str


@dataclass(frozen=True)
class Agreement:
    """How two spaces agree.

    Attributes:
        adjusted_rand: 1 for the same division, about 0 for chance; NaN without common tags.
        mutual_information: normalised, 0 to 1; NaN without common tags.
        n_common: number of tags in both.
        only_first: tags only in the first space; `only_second` likewise.
        only_second: see there.
        moved: common tags whose label in the second space is not the one that most of their old label went to.
    """

    adjusted_rand: float
    mutual_information: float
    n_common: int
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    moved: tuple[Move, ...]


@dataclass(frozen=True)
class Stability:
    """Agreement (adjusted Rand index) of repeated buildings with each other; NaN where fewer than two were made.

    Attributes:
        seeds: between every two seeds, on the same tracks.
        bootstrap: between the first space and those of tracks drawn with replacement, same seed.
    """

    seeds: tuple[float, ...]
    bootstrap: tuple[float, ...]


def agreement(first: LabelSpace, second: LabelSpace) -> Agreement:
    """Compare two label spaces; a raw spelling that is an alias in one and a member in the other counts as common."""
    names = tuple(dict.fromkeys((*tags_of(first), *tags_of(second))))
    common = [tag for tag in names if first.labels_of(tag) and second.labels_of(tag)]
    mine = np.array([first.labels_of(tag)[0] for tag in common], np.int64)
    theirs = np.array([second.labels_of(tag)[0] for tag in common], np.int64)
    table = contingency(mine, theirs)
    expected = {label: int(second_of) for label, second_of in _largest(mine, theirs).items()}
    moved = tuple(
        Move(tag, first.labels[a].name, second.labels[b].name, second.labels[expected[a]].name)
        for tag, a, b in zip(common, mine.tolist(), theirs.tolist(), strict=True)
        if b != expected[a]
    )
    return Agreement(
        adjusted_rand_index(table),
        normalised_mutual_information(table),
        len(common),
        tuple(tag for tag in tags_of(first) if not second.labels_of(tag)),
        tuple(tag for tag in tags_of(second) if not first.labels_of(tag)),
        moved,
    )


def contingency(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> Matrix:
    """Return how many points are in cluster i of the first and j of the second division: (k1, k2)."""
    _, rows = np.unique(first, return_inverse=True)
    _, columns = np.unique(second, return_inverse=True)
    table = np.zeros((rows.max(initial=-1) + 1, columns.max(initial=-1) + 1))
    np.add.at(table, (rows, columns), 1)
    return table


def adjusted_rand_index(table: Matrix) -> float:
    """Return the adjusted Rand index of a contingency table; 1 where both divisions are trivial and equal."""
    n = table.sum()
    if n == 0:
        return float("nan")
    together = _pairs(table).sum()
    in_first, in_second = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    chance = in_first * in_second / _pairs(n) if n > 1 else 0.0
    most = (in_first + in_second) / 2
    return float((together - chance) / (most - chance)) if most != chance else 1.0


def normalised_mutual_information(table: Matrix) -> float:
    """Return the mutual information over the mean of both entropies; 1 where both divisions have one cluster."""
    n = table.sum()
    if n == 0:
        return float("nan")
    shares = table / n
    first, second = shares.sum(axis=1), shares.sum(axis=0)
    rows, columns = np.nonzero(shares)
    values = shares[rows, columns]
    information = float((values * np.log(values / (first[rows] * second[columns]))).sum())
    entropy = -float((first * np.log(first)).sum() + (second * np.log(second)).sum()) / 2
    return min(max(information / entropy, 0.0), 1.0) if entropy > 0 else 1.0


def stability(
    build: Callable[[TagTable, int], LabelSpace],
    table: TagTable,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n_bootstrap: int = 3,
) -> Stability:
    """Build a space again and again and say how far the results agree.

    Args:
        build: makes a space of a table and a seed.
        table: the tags.
        seeds: the seeds to compare.
        n_bootstrap: how many samples of the tracks, drawn with replacement, to build from.
    """
    spaces = [build(table, seed) for seed in seeds]
    between = [
        agreement(one, other).adjusted_rand for i, one in enumerate(spaces) for other in spaces[i + 1 :]
    ]
    sampled = []
    for number in range(n_bootstrap):
        rows = np.sort(np.random.default_rng([seeds[0], number]).integers(0, table.n_tracks, table.n_tracks))
        track_ids = [str(position) for position in range(len(rows))]
        sample = TagTable(np.array(track_ids, dtype=object), table.tags, table.weights[rows])
        sampled.append(agreement(spaces[0], build(sample, seeds[0])).adjusted_rand)
    return Stability(tuple(between), tuple(sampled))


def _pairs(counts: Matrix) -> Matrix:
    return counts * (counts - 1) / 2


def _largest(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> dict[int, int]:
    """Return label -> the second space's label that most of its tags are in (ties: the smaller number)."""
    result: dict[int, int] = {}
    for label in np.unique(first).tolist():
        numbers, sizes = np.unique(second[first == label], return_counts=True)
        result[label] = int(numbers[sizes.argmax()])
    return result
