"""Which tags share tracks: co-occurrence counts, PMI, NPMI and the NPMI distance.

P(i) is the share of tracks that carry tag i, P(i, j) the share that carry both. The normalised pointwise mutual
information is NPMI(i, j) = log(P(i) P(j)) / log P(i, j) − 1 (Bouma 2009), in [−1, 1], and the distance
d(i, j) = 1 − NPMI(i, j), in [0, 2], with d(i, i) = 0; tags that never share a track are 2 apart, tags that both sit on
every track 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError, nearest
from folksong.tags.table import TagTable

Counts = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]


def counts(table: TagTable, tags: Sequence[str] | None = None) -> Counts:
    """Return how many tracks carry both tags: (n, n) int64, symmetric, the tags' own counts on the diagonal.

    Args:
        table: the tags of the tracks; weights do not matter, presence does.
        tags: rows and columns of the result; all tags of the table by default.

    Raises:
        FolksongError: a tag is not in the table.
    """
    presence = _presence(table, tags)
    return np.asarray((presence.T @ presence).toarray(), np.int64)


def pmi(table: TagTable, tags: Sequence[str] | None = None) -> Matrix:
    """Return the pointwise mutual information log(P(i, j) / (P(i) P(j))): (n, n); −inf where never together."""
    joint, single = _shares(table, tags)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(joint) - np.log(single)[:, None] - np.log(single)[None, :]
    values[joint == 0] = -np.inf
    return np.asarray(values, np.float64)


def npmi(table: TagTable, tags: Sequence[str] | None = None) -> Matrix:
    """Return the normalised pointwise mutual information: (n, n), in [−1, 1], 1 on the diagonal.

    −1 where two tags never share a track, 1 where both are on every track.
    """
    joint, single = _shares(table, tags)
    return npmi_of_shares(joint, single)


def npmi_of_shares(joint: Matrix, single: Matrix) -> Matrix:
    """Return NPMI from the shares P(i, j) (n, n) and P(i) (n,)."""
    values = np.full(joint.shape, -1.0)
    together = joint > 0  # tested before the logarithm is taken
    always = joint >= 1
    rows, columns = np.nonzero(together & ~always)
    # The sum of logarithms is symmetric to the last bit; the logarithm of a product may not be.
    values[rows, columns] = (np.log(single[rows]) + np.log(single[columns])) / np.log(
        joint[rows, columns]
    ) - 1
    values[always] = 1.0
    np.clip(values, -1.0, 1.0, out=values)
    np.fill_diagonal(values, 1.0)
    return values


def npmi_distance(table: TagTable, tags: Sequence[str] | None = None) -> Matrix:
    """Return d = 1 − NPMI: (n, n), symmetric, in [0, 2], exactly 0 on the diagonal."""
    return 1.0 - npmi(table, tags)


def _shares(table: TagTable, tags: Sequence[str] | None) -> tuple[Matrix, Matrix]:
    if table.n_tracks == 0:
        raise FolksongError("the tag table has no tracks; co-occurrence needs some")
    together = counts(table, tags)
    joint = together / table.n_tracks
    return joint, np.diagonal(joint).copy()


def _presence(table: TagTable, tags: Sequence[str] | None) -> sp.csr_matrix:
    presence = sp.csr_matrix(table.presence, dtype=np.int32)
    if tags is None:
        return presence
    missing = next((tag for tag in tags if tag not in table.tag_index), None)
    if missing is not None:
        hint = nearest(missing, table.tags.tolist()) if table.n_tags < 10_000 else ""
        raise FolksongError(f"the tag {missing!r} is not in the table{hint}")
    return sp.csr_matrix(presence[:, [table.tag_index[tag] for tag in tags]])
