"""Difference of two label spaces: adjusted Rand index, normalised mutual information, and which tags moved.

Over the tags that both spaces hold in a label (a tag of several labels counts with its first):

    ARI = (Σ C(n_ij, 2) − E) / ((Σ C(a_i, 2) + Σ C(b_j, 2)) / 2 − E),  E = Σ C(a_i, 2) Σ C(b_j, 2) / C(n, 2)

(Hubert & Arabie 1985), and NMI = I(A; B) / ((H(A) + H(B)) / 2).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.labels.space import LabelSpace

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Move:
    """A tag that changed its label: the one in the first space, in the second, and where it was expected."""

    tag: str
    before: str
    after: str
    expected: str


@dataclass(frozen=True)
class Difference:
    """How far two label spaces agree.

    Attributes:
        adjusted_rand: 1 for the same division, about 0 for chance; NaN without common tags.
        mutual_information: normalised, 0 to 1; NaN without common tags.
        n_common: number of tags in both.
        only_first: tags only in the first space.
        only_second: tags only in the second one.
        moved: common tags whose label in the second space is not the one that most of their old label went to.
    """

    adjusted_rand: float
    mutual_information: float
    n_common: int
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    moved: tuple[Move, ...]


def diff(first: LabelSpace, second: LabelSpace) -> Difference:
    """Compare two label spaces; a raw spelling that is an alias in one and a member in the other counts as common."""
    names = tuple(dict.fromkeys((*first.tags, *second.tags)))
    common = [tag for tag in names if first.labels_of(tag) and second.labels_of(tag)]
    mine = np.array([first.labels_of(tag)[0] for tag in common], np.int64)
    theirs = np.array([second.labels_of(tag)[0] for tag in common], np.int64)
    table = contingency(mine, theirs)
    expected = _largest(mine, theirs, table)
    moved = tuple(
        Move(tag, first.labels[a].name, second.labels[b].name, second.labels[expected[a]].name)
        for tag, a, b in zip(common, mine.tolist(), theirs.tolist(), strict=True)
        if b != expected[a]
    )
    return Difference(
        adjusted_rand_index(table),
        normalised_mutual_information(table),
        len(common),
        tuple(tag for tag in first.tags if not second.labels_of(tag)),
        tuple(tag for tag in second.tags if not first.labels_of(tag)),
        moved,
    )


def contingency(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> sp.csr_matrix:
    """Return how many points are in cluster i of the first and j of the second division: (k1, k2), sparse."""
    _, rows = np.unique(first, return_inverse=True)
    _, columns = np.unique(second, return_inverse=True)
    shape = (rows.max(initial=-1) + 1, columns.max(initial=-1) + 1)
    return sp.coo_matrix((np.ones(len(rows)), (rows, columns)), shape).tocsr()


def adjusted_rand_index(table: sp.csr_matrix) -> float:
    """Return the adjusted Rand index of a contingency table; 1 where both divisions are trivial and equal."""
    n = table.sum()
    if n == 0:
        return float("nan")
    together = _pairs(table.data).sum()
    in_first, in_second = (_pairs(_sums(table, axis)).sum() for axis in (1, 0))
    chance = in_first * in_second / _pairs(n) if n > 1 else 0.0
    most = (in_first + in_second) / 2
    return float((together - chance) / (most - chance)) if most != chance else 1.0


def normalised_mutual_information(table: sp.csr_matrix) -> float:
    """Return the mutual information over the mean of both entropies; 1 where both divisions have one cluster."""
    n = table.sum()
    if n == 0:
        return float("nan")
    first, second = _sums(table, 1) / n, _sums(table, 0) / n
    rows, columns = table.nonzero()
    values = table.data / n
    information = float((values * np.log(values / (first[rows] * second[columns]))).sum())
    entropy = -float((first * np.log(first)).sum() + (second * np.log(second)).sum()) / 2
    return min(max(information / entropy, 0.0), 1.0) if entropy > 0 else 1.0


def _pairs(counts: Array) -> Array:
    return counts * (counts - 1) / 2


def _sums(table: sp.csr_matrix, axis: int) -> Array:
    return np.asarray(table.sum(axis=axis)).ravel()


def _largest(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], table: sp.csr_matrix
) -> dict[int, int]:
    """Return label -> the second space's label that most of its tags are in (ties: the smaller number)."""
    if not len(first):
        return {}
    best = np.unique(second)[np.asarray(table.argmax(axis=1)).ravel()]
    return dict(zip(np.unique(first).tolist(), best.tolist(), strict=True))
