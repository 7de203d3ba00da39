"""What company a tag's words let expect: a linear map from word vectors to company, learned on the frequent tags.

Company says where a frequent tag belongs and word vectors do not ("female vocalists" is not "male vocalists"), but the
company of three tracks is mostly chance. Ridge regression (Hoerl & Kennard 1970) from the words' vectors to the company
of the frequent tags gives each tag a guess from its words alone, in the same space, so that the two can be added.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from folksong.embeddings.words import Vectors

Matrix = npt.NDArray[np.float64]

RIDGE = 3.0
"""Penalty on the map's squared weights; from 1 to 10 it made no difference, with vectors of 50 to 768 dimensions."""


def expected_company(words: Vectors, company: Matrix, learned: npt.NDArray[np.bool_]) -> Matrix:
    """Return the company that each tag's words let expect: (n, d), the shorter the less the words say.

    Args:
        words: (n, m) unit vectors of the tags' words; rows of zeros for tags that have none, which expect nothing.
        company: (n, d) company vectors of the same tags.
        learned: (n,) the tags to learn from; those without words or company are passed over.
    """
    from threadpoolctl import threadpool_limits

    has_words: npt.NDArray[np.bool_] = np.asarray(words.any(axis=1))
    rows = np.asarray(learned & has_words & company.any(axis=1))
    if not rows.any():
        return np.zeros_like(company)
    known, kept = words[rows].astype(np.float64), company[rows]
    mean_words, mean_company = known.mean(axis=0), kept.mean(axis=0)
    known -= mean_words
    with threadpool_limits(1, "blas"):  # the same sums on any number of cores
        weights = np.linalg.solve(
            known.T @ known + RIDGE * np.eye(words.shape[1]), known.T @ (kept - mean_company)
        )
        expected = words @ weights + (mean_company - mean_words @ weights)
    return np.where(has_words[:, None], expected, 0.0)
