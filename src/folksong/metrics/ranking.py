"""Exact ROC-AUC and average precision, ties included, from sorted scores.

For a label with P positive tracks among n, let a positive track have score s. Over all tracks let N(s) be the number
with a score of at least s, and over the positive ones TP(s). Then, as scikit-learn defines them,

- average precision = (1/P) Σ TP(s) / N(s), the sum running over the positive tracks (no interpolation), and
- ROC-AUC = (1/(P (n − P))) Σ (negatives below s + half of the negatives equal to s).

Both need only the ranks of the positive scores among all scores, not the sorting of an index or a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.metrics.inputs import Column, Floats, Pairs


@dataclass(frozen=True, eq=False)
class LabelRanking:
    """Per label, each (n_labels,): ROC-AUC and average precision (NaN where undefined) and number of positives."""

    roc_auc: npt.NDArray[np.float64]
    average_precision: npt.NDArray[np.float64]
    positives: npt.NDArray[np.int64]
    n_tracks: int


def roc_auc(targets: Any, scores: Any, *, labels: Sequence[str] | None = None) -> npt.NDArray[np.float64]:
    """Return the area under the ROC curve of each label: (n_labels,), ties counting one half.

    NaN where a label has no positive or no negative track.

    Raises:
        FolksongError: shapes differ, a target is neither 0 nor 1, or a score is NaN (the label is named).

    >>> import numpy as np
    >>> float(roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))[0])
    0.75
    """
    return rank_labels(targets, scores, labels=labels).roc_auc


def average_precision(
    targets: Any, scores: Any, *, labels: Sequence[str] | None = None
) -> npt.NDArray[np.float64]:
    """Return the average precision (PR-AUC as scikit-learn defines it, not trapezoidal) of each label: (n_labels,).

    NaN where a label has no positive track; 1 where it has no negative one.

    Raises:
        FolksongError: shapes differ, a target is neither 0 nor 1, or a score is NaN (the label is named).

    >>> import numpy as np
    >>> round(float(average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))[0]), 4)
    0.8333
    """
    return rank_labels(targets, scores, labels=labels).average_precision


def rank_labels(targets: Any, scores: Any, *, labels: Sequence[str] | None = None) -> LabelRanking:
    """Return ROC-AUC and average precision of each label from one sort; see `roc_auc` and `average_precision`."""
    pairs = Pairs(targets, scores, labels)

    def rank(column: Column) -> tuple[float, float, int]:
        pairs.check_no_nan(column)
        return *rank_positives(column.scores, column.positive_scores), len(column.positive_rows)

    auc, precision, positives = np.array(pairs.map(rank), np.float64).reshape(-1, 3).T
    return LabelRanking(auc, precision, positives.astype(np.int64), pairs.n_tracks)


def rank_positives(scores: Floats, positives: Floats) -> tuple[float, float]:
    """Return ROC-AUC and average precision of one label.

    Args:
        scores: (n,) of all tracks, no NaN.
        positives: (n_positive,) those of the tracks that carry the label.
    """
    n_negatives = len(scores) - len(positives)
    if not len(positives):
        return np.nan, np.nan
    positives = np.sort(positives)
    # Ties share one rank, so each distinct score is looked up once.
    first = np.flatnonzero(np.concatenate([[True], positives[1:] != positives[:-1]]))
    counts = np.diff(first, append=len(positives))
    below, upto = _ranks(np.sort(scores), positives[first])
    precision = float(((len(positives) - first) / (len(scores) - below)) @ counts) / len(positives)
    if not n_negatives:
        return np.nan, precision
    negatives_below = below - first
    negatives_equal = upto - below - counts
    # Twice the area is a whole number, below 2^63 for fewer than 2 * 10^9 tracks: exact.
    twice_the_area = int((2 * negatives_below + negatives_equal) @ counts)
    return twice_the_area / (2 * len(positives) * n_negatives), precision


def _ranks(ordered: Floats, values: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how many of the sorted scores are less than, and how many at most, each of `values` among them."""
    below = np.searchsorted(ordered, values, side="left").astype(np.int64)
    upto = below + 1
    more = np.flatnonzero(
        ordered[np.minimum(upto, len(ordered) - 1)] == values
    )  # ties are few: the rest need no search
    upto[more] = np.searchsorted(ordered, values[more], side="right")
    return below, upto
