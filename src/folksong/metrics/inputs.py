"""Targets and scores as users have them, checked and read label by label."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError

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
        columns = [self._positive_rows(number, self._dense_column(number)) for number in range(self.n_labels)]
        lengths = np.cumsum([0, *map(len, columns)])
        indices = np.concatenate(columns) if columns else np.zeros(0, np.int64)
        ones = np.ones(lengths[-1], np.float32)
        return sp.csc_matrix((ones, indices, lengths), shape=self.scores.shape).tocsr()

    def _dense_column(self, number: int) -> npt.NDArray[Any] | None:
        return None if self._dense is None else self._dense[:, number]

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
