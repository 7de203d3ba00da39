"""Bootstrap intervals over tracks (Efron 1979): how far a figure would move on another sample of tracks.

A resample draws n tracks from n with replacement, which gives every track a whole-number weight. The metrics of a
weighted sample need no new sort: with the tracks of a label sorted once and cut into the runs between its positive
scores, all resamples together are one sparse matrix product. All labels share the resamples, so that the interval
of a macro mean sees how the labels move together, and two systems measured with the same seed and tracks are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.metrics.inputs import Column, Pairs, turned

Array = npt.NDArray[np.float64]

BLOCK_BYTES = 128 << 20  # memory for the weights of the resamples computed together
EXACT_IN_FLOAT32 = 1 << 24


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """The metrics of every resample.

    Args:
        roc_auc: (n_resamples, n_labels), NaN where a resample holds no positive or no negative track of the label.
        average_precision: (n_resamples, n_labels), NaN likewise.
        level: the share of resamples inside an interval, 0.95 by default.
    """

    roc_auc: Array
    average_precision: Array
    level: float

    @property
    def macro_roc_auc(self) -> Array:
        """(n_resamples,) mean over the labels that are defined in the resample."""
        return _mean_over_labels(self.roc_auc)

    @property
    def macro_average_precision(self) -> Array:
        """(n_resamples,) mean over the labels that are defined in the resample."""
        return _mean_over_labels(self.average_precision)

    def interval(self, values: Array) -> Array:
        """Return the lower and upper end of the percentile interval of `values` (n_resamples, …): shape (2, …).

        NaN where no resample is defined.
        """
        tail = (1 - self.level) / 2
        ends = np.full((2, *values.shape[1:]), np.nan)
        flat, flat_ends = values.reshape(len(values), -1), ends.reshape(2, -1)
        for number in range(flat.shape[1]):
            defined = flat[~np.isnan(flat[:, number]), number]
            if len(defined):
                flat_ends[:, number] = np.quantile(defined, [tail, 1 - tail])
        return ends


def bootstrap(
    targets: Any,
    scores: Any,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    labels: Sequence[str] | None = None,
) -> Bootstrap:
    """Measure `n_resamples` resamples of the tracks.

    Takes about n_tracks * n_labels * n_resamples / 10^9 seconds and 4 bytes a track-label pair. Labels without a
    positive or a negative track are NaN throughout.

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n_tracks, n_labels), larger meaning more likely.
        n_resamples: how many; 1000 settle a 95% interval to about a tenth of its width.
        seed: equal seeds and numbers of tracks give equal resamples.
        level: share of resamples inside an interval.
        labels: names for messages.

    Raises:
        FolksongError: as `folksong.metrics.roc_auc`, or `n_resamples` or `level` is out of range.
    """
    if n_resamples < 1 or not 0 < level < 1:
        raise FolksongError(
            f"n_resamples = {n_resamples} must be at least 1 and level = {level} between 0 and 1"
        )
    pairs = Pairs(targets, scores, labels)
    runs = pairs.map(lambda column: _cut(pairs, column))
    auc = np.full((n_resamples, pairs.n_labels), np.nan)
    precision = np.full((n_resamples, pairs.n_labels), np.nan)
    at_once = max(1, BLOCK_BYTES // (4 * pairs.n_tracks))
    for first in range(0, n_resamples, at_once):
        numbers = range(first, min(first + at_once, n_resamples))
        weights = draw_resamples(pairs.n_tracks, numbers, seed)
        for number, run in enumerate(runs):
            if run is not None:
                auc[numbers, number], precision[numbers, number] = run.measure(weights)
    return Bootstrap(auc, precision, level)


def draw_resamples(n_tracks: int, numbers: range, seed: int) -> npt.NDArray[np.float32]:
    """Return how often each resample draws each track: float32 (n_tracks, len(numbers)), columns summing to n_tracks.

    Resample number r depends on `seed`, r and `n_tracks` only.
    """
    weights = np.empty((len(numbers), n_tracks), np.float32)
    for row, number in enumerate(numbers):
        generator = np.random.default_rng([seed, number])
        weights[row] = np.bincount(generator.integers(0, n_tracks, n_tracks), minlength=n_tracks)
    return turned(weights, 0, n_tracks)


@dataclass(frozen=True, eq=False)
class _Runs:
    """A label's tracks in the order of their scores, cut at its K distinct positive scores.

    Args:
        all_tracks: CSR (2K, n_tracks) of ones: row 2k holds the tracks between positive scores k - 1 and k, all
            negative, and row 2k + 1 those, positive or not, that share positive score k.
        positives: CSR (K, n_tracks) of ones: the positive tracks of each positive score.
    """

    all_tracks: sp.csr_matrix
    positives: sp.csr_matrix

    def measure(self, weights: npt.NDArray[np.float32]) -> tuple[Array, Array]:
        """Return ROC-AUC and average precision of each resample, (n_resamples,), as `ranking.rank_sorted`."""
        exact = weights if len(weights) < EXACT_IN_FLOAT32 else weights.astype(np.float64)
        sums = (self.all_tracks @ exact).astype(np.float64)
        positive = (self.positives @ exact).astype(np.float64)
        between, equal = sums[0::2], sums[1::2]
        n_positive = positive.sum(axis=0)
        n_negative = weights.shape[0] - n_positive  # the columns of `weights` sum to n_tracks
        negative = equal - positive
        upto = np.cumsum(between + negative, axis=0)  # negatives at or below each positive score
        with np.errstate(divide="ignore", invalid="ignore"):
            auc = (positive * (upto - negative / 2)).sum(axis=0) / (n_positive * n_negative)
            positives_from = np.cumsum(positive[::-1], axis=0)[::-1]
            tracks_from = positives_from + n_negative - upto + negative
            terms = np.where(positive > 0, positive * positives_from / tracks_from, 0.0)
            precision = np.where(n_negative > 0, terms.sum(axis=0) / n_positive, np.nan)
        return auc, precision


def _cut(pairs: Pairs, column: Column) -> _Runs | None:
    order = np.argsort(column.scores, kind="stable")
    ordered = column.scores[order]
    pairs.check_order(column, ordered)
    if not 0 < len(column.positive_rows) < len(ordered):
        return None
    values, of_positive = np.unique(column.positive_scores, return_inverse=True)
    ends = np.empty(2 * len(values), np.int64)
    ends[0::2] = np.searchsorted(ordered, values, side="left")
    ends[1::2] = np.searchsorted(ordered, values, side="right")
    n_tracks = len(ordered)
    by_score = np.argsort(of_positive, kind="stable")
    counts = np.bincount(of_positive, minlength=len(values))
    return _Runs(
        _ones(order[: ends[-1]], np.concatenate([[0], ends]), n_tracks),
        _ones(column.positive_rows[by_score], np.concatenate([[0], np.cumsum(counts)]), n_tracks),
    )


def _ones(columns: npt.NDArray[Any], starts: npt.NDArray[np.int64], n_columns: int) -> sp.csr_matrix:
    ones = np.ones(len(columns), np.float32)
    return sp.csr_matrix((ones, columns.astype(np.int32), starts), shape=(len(starts) - 1, n_columns))


def _mean_over_labels(values: Array) -> Array:
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1)
    return mean
