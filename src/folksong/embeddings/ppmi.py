"""Co-occurrence vectors of tags: the truncated SVD of their positive pointwise mutual information (PPMI).

Rows are tags, columns the frequent tags as contexts. The contexts' shares are smoothed by the power 0.75 (Levy,
Goldberg & Dagan 2015), and each value is shrunk by c / (c + 8) where the pair was counted only c times (as Pantel and
Lin 2002 discount rare pairs). Directions are learned on the frequent tags; rare ones are folded in, so that what
meets by chance on three tracks shapes no axis. Pairs are counted for a block of tags at a time; of more than one block,
the first one's frequent tags shape the directions.

What a rare tag co-occurs with is mostly chance. Ridge regression from word vectors to co-occurrence vectors, learned on
the frequent tags (Hoerl & Kennard 1970), gives each tag a guess from its words alone, in the same space, so that the
two can be added.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.embeddings.words import Vectors
from folksong.errors import FolksongError
from folksong.tags.table import TagTable

CONTEXT_POWER = 0.75
SHRINKAGE_COUNTS = 8  # at which a pair's value is halved
MIN_CONTEXT_COUNT = 10
MAX_CONTEXTS = 3000
"""More columns than this cost minutes and add little: contexts are the most popular tags."""
BLOCK = 1 << 16
"""Tags whose pairs are in memory at once; callers that give more give the most popular first."""
DENSE, DENSE_ROWS = 0.2, 4096
"""The share of contexts from which on a row is quicker as dense numbers, and how many such rows are so at once."""


def ppmi_vectors(
    table: TagTable,
    tags: Sequence[str],
    *,
    dimension: int = 60,
    min_context_count: int = MIN_CONTEXT_COUNT,
    weighted: bool = False,
) -> npt.NDArray[np.float32]:
    """Return the co-occurrence vector of each tag: (n, dimension) float32, rows of length 1 (or all zero).

    A tag that shares no track with a context has a row of zeros. There are fewer dimensions where there are fewer
    contexts.

    Args:
        table: the tags of the tracks.
        tags: rows of the result, all in the table.
        dimension: number of singular directions kept.
        min_context_count: tags with at least so many counts (3,000 at most) are contexts, and shape the directions.
        weighted: count a tag on a track by the logarithm of 1 + its weight there, scaled to a mean of 1, instead of
            once: what many listeners agree on says more.

    Raises:
        FolksongError: a tag is not in the table, or fewer than 2 tags are frequent enough to be contexts.
    """
    from threadpoolctl import threadpool_limits

    missing = next((tag for tag in tags if tag not in table.tag_index), None)
    if missing is not None:
        raise FolksongError(f"the tag {missing!r} is not in the table")
    columns = np.array([table.tag_index[tag] for tag in tags], np.int64)
    ranked = table.popularity_order[:MAX_CONTEXTS]
    contexts = ranked[table.counts[ranked] >= min_context_count]
    if len(contexts) < 2:
        raise FolksongError(
            f"co-occurrence needs at least 2 tags with {min_context_count} counts or more, and there are "
            f"{len(contexts)}: the table, of {table.n_tracks:,} tracks, is too small"
        )
    strengths = _strengths(table, weighted)
    with_contexts = sp.csr_matrix(strengths[:, contexts])
    totals = _context_totals(strengths, columns, with_contexts, contexts)
    parts = [columns[start : start + BLOCK] for start in range(0, len(columns), BLOCK)]
    values = (_shrunk_ppmi(strengths, part, with_contexts, contexts, totals) for part in parts)
    first = next(values)
    with threadpool_limits(1, "blas"):  # the same sums on any number of cores
        shaping = sp.csr_matrix(first[np.flatnonzero(table.counts[parts[0]] >= min_context_count)])
        if not shaping.nnz:  # only rare tags are asked for: they shape the directions themselves
            shaping = first
        squares, directions = np.linalg.eigh(_gram(shaping))
        squares, directions = squares[::-1][:dimension], directions[:, ::-1][:, :dimension]
        useful = squares > 1e-9 * max(float(squares[0]), 1e-300)
        # Rows of U √S: halfway between directions that all weigh the same (U) and the full spectrum (U S).
        folded = directions[:, useful] * squares[useful] ** -0.25
        rows = np.concatenate([np.asarray(block @ folded) for block in chain([first], values)])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-12)
    return np.asarray(units, np.float32)


def _gram(rows: sp.csr_matrix) -> npt.NDArray[np.float64]:
    """Return rowsᵀ rows: (contexts, contexts). Rows of many contexts are multiplied as dense numbers, in parts."""
    many = np.diff(rows.indptr) > DENSE * rows.shape[1]
    few, dense = rows[np.flatnonzero(~many)], np.flatnonzero(many)
    product: npt.NDArray[np.float64] = (few.T @ few).toarray()
    for start in range(0, len(dense), DENSE_ROWS):
        part = rows[dense[start : start + DENSE_ROWS]].toarray()
        product += part.T @ part
    return product


def _strengths(table: TagTable, weighted: bool) -> sp.csr_matrix:
    """Return how much each tag of a track counts: (n_tracks, n_tags) float64, ones unless weighted."""
    if not weighted:
        return table.presence.astype(np.float64)
    strengths = table.weights.astype(np.float64).log1p()
    mean = strengths.data.mean() if strengths.nnz else 0.0
    if not mean > 0:
        raise FolksongError("all weights are 0, so that no tag would count; leave them out (weighted=False)")
    return strengths / mean


def _context_totals(
    strengths: sp.csr_matrix,
    columns: npt.NDArray[np.int64],
    with_contexts: sp.csr_matrix,
    contexts: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return how often each context was counted with any of the tags but itself, to the power that smooths shares."""
    taken = np.bincount(columns, minlength=strengths.shape[1]).astype(np.float64)
    totals = with_contexts.T @ (strengths @ taken)
    totals -= taken[contexts] * np.asarray(with_contexts.power(2).sum(axis=0)).ravel()
    return np.asarray(np.maximum(totals, 0) ** CONTEXT_POWER, np.float64)


def _shrunk_ppmi(
    strengths: sp.csr_matrix,
    columns: npt.NDArray[np.int64],
    with_contexts: sp.csr_matrix,
    contexts: npt.NDArray[np.int64],
    totals: npt.NDArray[np.float64],
) -> sp.csr_matrix:
    """Return max(0, log(P(i, c) / (P(i) P(c)^0.75))) · n / (n + 8): (tags, contexts); none its own.

    A pair's count n is the sum over tracks of the product of both strengths; `with_contexts` are the contexts'
    strengths, `totals` are `_context_totals`.
    """
    together = sp.csr_matrix(strengths[:, columns].T @ with_contexts).tocoo()
    different = (columns[together.row] != contexts[together.col]) & (together.data > 0)
    row, column, count = together.row[different], together.col[different], together.data[different]
    of_tag = np.bincount(row, count, minlength=len(columns))
    information = np.log(count * totals.sum() / (of_tag[row] * totals[column]))
    values = np.maximum(information, 0) * count / (count + SHRINKAGE_COUNTS)
    return sp.csr_matrix((values, (row, column)), shape=(len(columns), len(contexts)))


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
