"""Ridge regression from word vectors to co-occurrence vectors, learned on the frequent tags (Hoerl & Kennard 1970).

Co-occurrence says where a frequent tag belongs and word vectors do not ("female vocalists" is not "male vocalists"),
but what a tag of three tracks co-occurs with is mostly chance. The regression gives each tag a guess from its words
alone, in the space of the co-occurrence vectors, so that the two can be added.
"""

import numpy as np
import numpy.typing as npt

from folksong.embeddings.words import Vectors

Matrix = npt.NDArray[np.float64]

RIDGE = 3.0
"""Penalty on the map's squared weights; from 1 to 10 it made no difference, with vectors of 50 to 768 dimensions."""


def predict_from_words(words: Vectors, vectors: Matrix, learned: npt.NDArray[np.bool_]) -> Matrix:
    """Return the co-occurrence vector that each tag's words predict: (n, d), the shorter the less the words say.

    Args:
        words: (n, m) unit vectors of the tags' words; rows of zeros for tags that have none, which predict zeros.
        vectors: (n, d) co-occurrence vectors of the same tags.
        learned: (n,) the tags to learn from; those without words or co-occurrence are passed over.
    """
    from threadpoolctl import threadpool_limits

    has_words: npt.NDArray[np.bool_] = np.asarray(words.any(axis=1))
    rows = np.asarray(learned & has_words & vectors.any(axis=1))
    if not rows.any():
        return np.zeros_like(vectors)
    known, targets = words[rows].astype(np.float64), vectors[rows]
    mean_words, mean_targets = known.mean(axis=0), targets.mean(axis=0)
    known -= mean_words
    with threadpool_limits(1, "blas"):  # the same sums on any number of cores
        weights = np.linalg.solve(
            known.T @ known + RIDGE * np.eye(words.shape[1]), known.T @ (targets - mean_targets)
        )
        predicted = words @ weights + (mean_targets - mean_words @ weights)
    return np.where(has_words[:, None], predicted, 0.0)
