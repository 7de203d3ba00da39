"""How far in meaning a tagger's mistakes are from the truth: what the semantic loss (Model 5) is meant to lessen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.metrics.inputs import Pairs

Array = npt.NDArray[np.float64]


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
