"""What is decided at a threshold, and which labels come together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.metrics.inputs import Pairs


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
