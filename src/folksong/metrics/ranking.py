"""Exact ROC-AUC and average precision, ties included, from sorted scores; per label, and averaged.

For a label with P positive tracks among n, let a positive track have score s. Over all tracks let N(s) be the number
with a score of at least s, and over the positive ones TP(s). Then, as scikit-learn defines them,

- average precision = (1/P) Σ TP(s) / N(s), the sum running over the positive tracks (no interpolation), and
- ROC-AUC = (1/(P (n − P))) Σ (negatives below s + half of the negatives equal to s).

Both need only the ranks of the positive scores among all scores, not the sorting of an index or a curve. Targets and
scores, as users have them, are checked and read label by label (`Pairs`).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError

Array = npt.NDArray[np.float64]


Floats = npt.NDArray[np.floating[Any]]

ROWS_AT_ONCE = 4096  # rows turned over together: their block of the matrix stays in the processor's cache
LABELS_AT_ONCE = 8
LEAST_FOR_THREADS = 1 << 15
MOST_THREADS = 8

Result = TypeVar("Result")


@dataclass(frozen=True)
class Column:
    """One label: its number, all tracks' scores (n_tracks,) and the rows of the tracks that carry it."""

    number: int
    scores: Floats
    positive_rows: npt.NDArray[np.integer[Any]]

    @property
    def positive_scores(self) -> Floats:
        """(n_positive,) scores of the tracks that carry the label."""
        found: Floats = self.scores[self.positive_rows]
        return found


class Pairs:
    """Targets and scores of the same tracks and labels.

    Args:
        targets: (n_tracks, n_labels) or (n_tracks,) of 0 and 1, dense or SciPy sparse.
        scores: floats of the same shape; integers are taken as float64, other types as float32.
        labels: names for messages.

    Raises:
        FolksongError: shapes differ, there is no track, a target is neither 0 nor 1, or scores are not numbers.
    """

    def __init__(self, targets: Any, scores: Any, labels: Sequence[str] | None = None) -> None:
        self.scores = _read_scores(scores)
        self._dense: npt.NDArray[Any] | None = None
        self._sparse: sp.csc_matrix | None = None
        if sp.issparse(targets):
            self._sparse = sp.csc_matrix(targets)
            shape = self._sparse.shape
        else:
            dense = np.asarray(targets)
            self._dense = dense[:, None] if dense.ndim == 1 else dense
            shape = self._dense.shape
        if shape != self.scores.shape:
            raise FolksongError(
                f"targets have shape {shape} and scores {self.scores.shape}; they must be the same"
            )
        if labels is not None and len(labels) != shape[1]:
            raise FolksongError(f"{len(labels)} label names for scores of {shape[1]} labels")
        if not shape[0]:
            raise FolksongError("there is no track to measure")
        self._labels = labels

    @property
    def n_tracks(self) -> int:
        """Number of tracks."""
        return int(self.scores.shape[0])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.scores.shape[1])

    def name(self, number: int) -> str:
        """Return how a message calls the label."""
        return f"label {number}" if self._labels is None else f"label {self._labels[number]!r}"

    def check_no_nan(self, column: Column) -> None:
        """Raise if a score of the label is NaN."""
        self.check_order(column, column.scores[[column.scores.argmax()]])  # argmax takes NaN for the largest

    def check_order(self, column: Column, ordered: Floats) -> None:
        """Raise if the sorted scores of a label hold a NaN: it sorts to one end."""
        if np.isnan(ordered[0]) or np.isnan(ordered[-1]):
            row = int(np.flatnonzero(np.isnan(column.scores))[0])
            raise FolksongError(
                f"{self.name(column.number)}: the score of row {row} is NaN; a network that gives NaN has diverged "
                "(lower the learning rate, or use a checkpoint from before)"
            )

    def columns(self) -> Iterator[Column]:
        """Yield the labels in order, their scores as contiguous arrays."""
        for first in range(0, self.n_labels, LABELS_AT_ONCE):
            yield from self._block(first)

    def map(self, function: Callable[[Column], Result]) -> list[Result]:
        """Return `function` of every label, in order; many tracks are shared out among threads.

        NumPy and SciPy sort and search without holding Python's lock.
        """
        if self.n_tracks < LEAST_FOR_THREADS:
            return [function(column) for column in self.columns()]
        blocks = range(0, self.n_labels, LABELS_AT_ONCE)
        with ThreadPoolExecutor(min(available_cores(), MOST_THREADS)) as pool:
            done = pool.map(lambda first: [function(column) for column in self._block(first)], blocks)
            return [result for results in done for result in results]

    def _block(self, first: int) -> Iterator[Column]:
        last = min(first + LABELS_AT_ONCE, self.n_labels)
        scores = turned(self.scores, first, last)
        dense = None if self._dense is None else turned(self._dense, first, last)
        for number in range(first, last):
            targets = None if dense is None else dense[number - first]
            yield Column(number, scores[number - first], self._positive_rows(number, targets))

    def targets_csr(self) -> sp.csr_matrix:
        """Return the targets as CSR float32 without stored zeros."""
        dense = [None] * self.n_labels if self._dense is None else self._dense.T
        columns = [self._positive_rows(number, column) for number, column in enumerate(dense)]
        lengths = np.cumsum([0, *map(len, columns)])
        indices = np.concatenate(columns) if columns else np.zeros(0, np.int64)
        ones = np.ones(lengths[-1], np.float32)
        return sp.csc_matrix((ones, indices, lengths), shape=self.scores.shape).tocsr()

    def _positive_rows(self, number: int, dense: npt.NDArray[Any] | None) -> npt.NDArray[np.integer[Any]]:
        if dense is not None:
            rows = np.flatnonzero(dense)
            values = dense[rows] if dense.dtype != bool else None
        else:
            assert self._sparse is not None
            entries = slice(self._sparse.indptr[number], self._sparse.indptr[number + 1])
            rows, values = self._sparse.indices[entries], self._sparse.data[entries]
            if self._sparse.dtype != bool and not values.all():
                rows, values = rows[values != 0], values[values != 0]
        if values is not None and not (values == 1).all():
            wrong = values[values != 1][0]
            raise FolksongError(
                f"{self.name(number)}: a target is {wrong}; targets must be 0 or 1 (not weights or probabilities)"
            )
        return rows


def _read_scores(scores: Any) -> Floats:
    try:
        array = np.asarray(scores)
        if array.dtype.kind in "iub":
            array = array.astype(np.float64)
        elif array.dtype.kind != "f":
            array = array.astype(np.float32)  # bfloat16 from ml_dtypes: exact in float32
        elif array.dtype == np.float16:
            array = array.astype(np.float32)  # exact, and sorts faster
    except (TypeError, ValueError) as error:
        raise FolksongError(f"scores are not an array of numbers ({error}); turn them to float32") from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise FolksongError(f"scores must be (n_tracks, n_labels), not of shape {array.shape}")
    return array


def turned(matrix: npt.NDArray[Any], first: int, last: int) -> npt.NDArray[Any]:
    """Return columns `first` to `last` as contiguous rows; in blocks, which is 3 times faster than ``.T.copy()``."""
    part = matrix[:, first:last]
    if part.T.flags.c_contiguous:
        return part.T
    turned = np.empty(part.shape[::-1], matrix.dtype)
    for row in range(0, len(part), ROWS_AT_ONCE):
        turned[:, row : row + ROWS_AT_ONCE] = part[row : row + ROWS_AT_ONCE].T
    return turned


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, eq=False)
class LabelRanking:
    """Per label, each (n_labels,): ROC-AUC and average precision (NaN where undefined) and number of positives."""

    roc_auc: Array
    average_precision: Array
    positives: npt.NDArray[np.int64]
    n_tracks: int


@dataclass(frozen=True, eq=False)
class Summary(LabelRanking):
    """Ranking quality per label and averaged.

    The averages run over the labels that have both a positive and a negative track (`kept`); the others are listed
    in `no_positive` and `no_negative`. Macro is the mean of the per-label values; micro pools all track-label pairs
    of the kept labels. Chance is what random scores reach in average precision: the prevalence, which is the same for
    both averages, as every label has the same tracks. A lift is the average precision divided by its chance level; the
    macro lift divides the two macro values, so that a few rare labels do not decide it. ROC-AUC's chance level is 0.5.
    Averages are NaN when no label is kept (micro also when it was not asked for).
    """

    macro_roc_auc: float
    macro_pr_auc: float
    macro_chance: float
    micro_roc_auc: float
    micro_pr_auc: float

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """(n_labels,) whether a label has both positive and negative tracks, and so counts in the averages."""
        return (self.positives > 0) & (self.positives < self.n_tracks)

    @property
    def no_positive(self) -> list[int]:
        """Numbers of the labels that no track carries."""
        return np.flatnonzero(self.positives == 0).tolist()

    @property
    def no_negative(self) -> list[int]:
        """Numbers of the labels that every track carries."""
        return np.flatnonzero(self.positives == self.n_tracks).tolist()

    @property
    def chance(self) -> Array:
        """(n_labels,) average precision of random scores: the share of tracks that carry the label."""
        return self.positives / self.n_tracks

    @property
    def lift(self) -> Array:
        """(n_labels,) average precision divided by chance; NaN where no track carries the label."""
        return self.average_precision / np.where(self.positives > 0, self.chance, np.nan)

    @property
    def macro_lift(self) -> float:
        """Macro average precision divided by the mean prevalence."""
        return self.macro_pr_auc / self.macro_chance


def roc_auc(targets: Any, scores: Any, *, labels: Sequence[str] | None = None) -> Array:
    """Return the area under the ROC curve of each label: (n_labels,), ties counting one half.

    NaN where a label has no positive or no negative track.

    Raises:
        FolksongError: shapes differ, a target is neither 0 nor 1, or a score is NaN (the label is named).

    >>> import numpy as np
    >>> float(roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))[0])
    0.75
    """
    return rank_labels(targets, scores, labels=labels).roc_auc


def average_precision(targets: Any, scores: Any, *, labels: Sequence[str] | None = None) -> Array:
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


def summarise(
    targets: Any, scores: Any, *, labels: Sequence[str] | None = None, micro: bool = True
) -> Summary:
    """Measure all labels and average.

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n_tracks, n_labels), larger meaning more likely. Micro averages compare scores across labels.
        labels: names for messages.
        micro: also compute the micro averages, which takes one more sort of all pairs.

    Raises:
        FolksongError: shapes differ, a target is neither 0 nor 1, or a score is NaN (the label is named).
    """
    ranking = rank_labels(targets, scores, labels=labels)
    n_tracks, positives = ranking.n_tracks, ranking.positives
    kept = (positives > 0) & (positives < n_tracks)
    micro_values = np.nan, np.nan
    if micro and kept.any():
        micro_values = _rank_all_pairs(Pairs(targets, scores, labels), kept)
    return Summary(
        **vars(ranking),
        macro_roc_auc=_mean(ranking.roc_auc[kept]),
        macro_pr_auc=_mean(ranking.average_precision[kept]),
        macro_chance=_mean(positives[kept] / n_tracks),
        micro_roc_auc=micro_values[0],
        micro_pr_auc=micro_values[1],
    )


def _rank_all_pairs(pairs: Pairs, kept: npt.NDArray[np.bool_]) -> tuple[float, float]:
    scores = pairs.scores if kept.all() else pairs.scores[:, kept]
    positives = [column.positive_scores for column in pairs.columns() if kept[column.number]]
    return rank_positives(scores.ravel(), np.concatenate(positives))


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else np.nan


def rank_positives(scores: Floats, positives: Floats) -> tuple[float, float]:
    """Return ROC-AUC and average precision of a label by the scores (n,) of all tracks and of those that carry it."""
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
    more = np.flatnonzero(ordered[np.minimum(upto, len(ordered) - 1)] == values)  # ties, which are few
    upto[more] = np.searchsorted(ordered, values[more], side="right")
    return below, upto
