"""What is decided by scores: confusion matrices, thresholds that maximise F, calibration, the co-occurrence of labels.

And how far in meaning mistakes are from the truth, which the semantic loss (Model 5) is meant to lessen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.metrics.ranking import Column, Pairs

Array = npt.NDArray[np.float64]


def logit(scores: npt.ArrayLike) -> Array:
    """Return log(s / (1 − s)) of scores in 0 to 1, each kept 1e-6 away from both ends."""
    inside = np.clip(np.asarray(scores, np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))


def confusion(
    targets: Any,
    scores: Any,
    thresholds: float | Sequence[float] | npt.NDArray[np.floating[Any]] = 0.5,
    *,
    labels: Sequence[str] | None = None,
) -> npt.NDArray[np.int64]:
    """Return a 2 × 2 confusion matrix per label: (n_labels, 2, 2), each [[TN, FP], [FN, TP]].

    A track is given the label if its score is at least the threshold (compared in the scores' own precision, so
    that a threshold taken from the scores meets its own track).

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n_tracks, n_labels).
        thresholds: one for all labels, or (n_labels,).
        labels: names for messages.

    Raises:
        FolksongError: shapes differ, a target is neither 0 nor 1, or a score or threshold is NaN.

    >>> import numpy as np
    >>> confusion(np.array([0, 0, 1, 1]), np.array([0.1, 0.9, 0.5, 0.2])).tolist()
    [[[1, 1], [1, 1]]]
    """
    pairs = Pairs(targets, scores, labels)
    limits = np.asarray(thresholds, np.float64)
    if limits.ndim > 1 or (limits.ndim == 1 and len(limits) != pairs.n_labels):
        raise FolksongError(
            f"{limits.shape} thresholds for {pairs.n_labels} labels; give one, or one per label"
        )
    if np.isnan(limits).any():
        raise FolksongError("a threshold is NaN")
    limits = np.broadcast_to(limits, (pairs.n_labels,)).astype(pairs.scores.dtype)
    matrices = np.empty((pairs.n_labels, 2, 2), np.int64)
    for column in pairs.columns():
        pairs.check_no_nan(column)
        chosen = column.scores >= limits[column.number]
        true_positives = np.count_nonzero(chosen[column.positive_rows])
        false_positives = np.count_nonzero(chosen) - true_positives
        false_negatives = len(column.positive_rows) - true_positives
        true_negatives = pairs.n_tracks - true_positives - false_positives - false_negatives
        matrices[column.number] = [[true_negatives, false_positives], [false_negatives, true_positives]]
    return matrices


def cooccurrence(targets: Any) -> npt.NDArray[np.int64]:
    """Return the number of tracks that carry both labels of each pair: (n_labels, n_labels), symmetric.

    The diagonal is the number of tracks that carry each label.

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
    """
    shape = targets.shape if sp.issparse(targets) else np.shape(targets)
    matrix = Pairs(targets, np.broadcast_to(np.float32(0), shape)).targets_csr().astype(np.int64)
    return np.asarray((matrix.T @ matrix).toarray(), np.int64)


@dataclass(frozen=True, eq=False)
class BestThresholds:
    """Thresholds that maximise F on the tracks they were found on.

    Args:
        thresholds: (n_labels,) NaN for labels without a positive track.
        f: (n_labels,) the F reached there: 1 where all decisions are right; NaN likewise.
    """

    thresholds: Array
    f: Array


def best_thresholds(
    targets: Any, scores: Any, *, beta: float = 1.0, labels: Sequence[str] | None = None
) -> BestThresholds:
    """Return the threshold of each label that maximises F_beta (van Rijsbergen 1979) on these tracks.

    A score of at least the threshold decides for the label. The threshold lies half-way between the lowest score
    taken in and the highest left out, so that it does not hang on one track; of equally good ones the highest.

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n_tracks, n_labels), larger meaning more likely.
        beta: recall counts `beta` times as much as precision.
        labels: names for messages.

    Raises:
        FolksongError: as `folksong.metrics.roc_auc`, or `beta` is not above 0.

    >>> import numpy as np
    >>> found = best_thresholds(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.8]))
    >>> float(found.thresholds[0]), float(found.f[0])
    (0.4, 1.0)
    """
    if not beta > 0:
        raise FolksongError(f"beta must be above 0, not {beta}")
    pairs = Pairs(targets, scores, labels)

    def best(column: Column) -> tuple[float, float]:
        order = np.argsort(-column.scores, kind="stable")
        ordered = column.scores[order].astype(np.float64)
        pairs.check_order(column, ordered)
        n_positive = len(column.positive_rows)
        if not n_positive:
            return np.nan, np.nan
        is_positive = np.zeros(len(order), np.int64)
        is_positive[column.positive_rows] = 1
        last_of_tie = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        hits, taken = np.cumsum(is_positive[order])[last_of_tie], last_of_tie + 1
        f = (1 + beta**2) * hits / (beta**2 * n_positive + taken)
        place = int(np.argmax(f))
        lowest_taken = ordered[last_of_tie[place]]
        highest_left = ordered[taken[place]] if taken[place] < len(ordered) else lowest_taken
        return float(_between(highest_left, lowest_taken, column.scores.dtype)), float(f[place])

    found = np.array(pairs.map(best), np.float64).reshape(-1, 2)
    return BestThresholds(found[:, 0], found[:, 1])


def _between(low: float, high: float, dtype: np.dtype[Any]) -> float:
    """Return the middle in the scores' own precision, above `low` so that a score of `low` stays out."""
    middle = float(np.asarray((low + high) / 2, dtype))
    return middle if middle > low else high


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores as probabilities, against how often they came true.

    Args:
        counts: (n_labels, n_bins) pairs in each bin of scores.
        mean_scores: (n_labels, n_bins) mean score of a bin; NaN where it is empty.
        shares: (n_labels, n_bins) share of positives of a bin; NaN where it is empty.
        brier: (n_labels,) mean squared difference between score and target (Brier 1950).
    """

    counts: npt.NDArray[np.int64]
    mean_scores: Array
    shares: Array
    brier: Array

    @property
    def error(self) -> Array:
        """(n_labels,) expected calibration error: mean distance of score and share over the bins, by their counts."""
        distance = np.nan_to_num(np.abs(self.mean_scores - self.shares))
        error: Array = (distance * self.counts).sum(axis=1) / self.counts.sum(axis=1)
        return error

    def pooled(self) -> "Calibration":
        """Return the calibration of all pairs together, as one label."""
        counts = self.counts.sum(axis=0, keepdims=True)
        with np.errstate(invalid="ignore"):
            scores = (np.nan_to_num(self.mean_scores) * self.counts).sum(axis=0, keepdims=True) / counts
            shares = (np.nan_to_num(self.shares) * self.counts).sum(axis=0, keepdims=True) / counts
        return Calibration(counts, scores, shares, self.brier.mean(keepdims=True))


def calibration(
    targets: Any, scores: Any, *, n_bins: int = 15, labels: Sequence[str] | None = None
) -> Calibration:
    """Compare scores with how often they came true, in bins of equal width (Guo et al. 2017, with binary labels).

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n_tracks, n_labels) in 0 to 1.
        n_bins: bins between 0 and 1; a score on an edge belongs to the bin above it.
        labels: names for messages.

    Raises:
        FolksongError: as `folksong.metrics.roc_auc`, or a score lies outside 0 to 1.
    """
    if n_bins < 1:
        raise FolksongError(f"n_bins must be at least 1, not {n_bins}")
    pairs = Pairs(targets, scores, labels)
    counts = np.zeros((pairs.n_labels, n_bins), np.int64)
    score_sums, positives = np.zeros((2, pairs.n_labels, n_bins))
    brier = np.zeros(pairs.n_labels)
    for column in pairs.columns():
        values = column.scores.astype(np.float64)
        ends = np.sort(values[[values.argmin(), values.argmax()]])  # NaN counts as both
        pairs.check_order(column, ends)
        if ends[0] < 0 or ends[1] > 1:
            raise FolksongError(
                f"{pairs.name(column.number)}: scores from {ends[0]:g} to {ends[1]:g} are no probabilities; "
                "calibration needs them in 0 to 1 (apply the sigmoid to logits)"
            )
        bins = np.minimum((values * n_bins).astype(np.int64), n_bins - 1)
        counts[column.number] = np.bincount(bins, minlength=n_bins)
        score_sums[column.number] = np.bincount(bins, values, minlength=n_bins)
        positives[column.number] = np.bincount(bins[column.positive_rows], minlength=n_bins)
        missed = values.copy()
        missed[column.positive_rows] -= 1
        brier[column.number] = np.mean(missed**2)
    with np.errstate(invalid="ignore"):
        return Calibration(counts, score_sums / counts, positives / counts, brier)


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The false positives of each track.

    Args:
        numbers: (n_tracks,) how many there are.
        distances: (n_tracks,) the sum of their distances 1 − max ωᵢ·ωⱼ over the true labels j.
    """

    numbers: npt.NDArray[np.int64]
    distances: Array

    @property
    def mean_distance(self) -> float:
        """Mean distance of a false positive; NaN if there is none."""
        return float(self.distances.sum() / self.numbers.sum()) if self.numbers.any() else np.nan


def mistakes_in_meaning(targets: Any, scores: Any, label_vectors: npt.ArrayLike) -> Mistakes:
    """Measure the false positives among as many best-scored labels as each track has labels.

    No threshold takes part, so that losses whose scores lie on different scales can be compared, and a tagger that says
    little is not better for it. Labels without a vector take no part, nor do tracks with no label that has one.

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n_tracks, n_labels), larger meaning more likely; of equal scores the first label counts.
        label_vectors: (n_labels, dimension) rows of length 1, or of zeros for a label without a vector.

    Raises:
        FolksongError: shapes do not fit, or a score is NaN.
    """
    pairs = Pairs(targets, scores)
    vectors = np.asarray(label_vectors, np.float64)
    truth = sp.csr_matrix(pairs.targets_csr()).toarray().astype(bool)
    if vectors.ndim != 2 or len(vectors) != truth.shape[1]:
        raise FolksongError(f"{truth.shape[1]} labels do not fit label vectors of shape {vectors.shape}")
    known = np.flatnonzero(vectors.any(axis=1))
    vectors, truth, ranked = vectors[known], truth[:, known], np.asarray(scores)[:, known]
    if np.isnan(ranked).any():
        raise FolksongError("a score is NaN")
    similar = np.clip(vectors @ vectors.T, -1, 1)
    numbers, distances = np.zeros(len(truth), np.int64), np.zeros(len(truth))
    order = np.argsort(-ranked, axis=1, kind="stable")
    for row, (true, best) in enumerate(zip(truth, order, strict=True)):
        chosen = best[: true.sum()]
        wrong = chosen[~true[chosen]]
        if len(wrong):
            numbers[row] = len(wrong)
            distances[row] = (1 - similar[np.ix_(wrong, np.flatnonzero(true))].max(axis=1)).sum()
    return Mistakes(numbers, distances)
