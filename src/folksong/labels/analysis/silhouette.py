"""The silhouette of a clustering, from a matrix of distances (Rousseeuw 1987).

For a point, a is its mean distance to the others of its cluster and b the smallest mean distance to another cluster;
its silhouette is (b − a) / max(a, b), and 0 for a cluster of one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError


def silhouette_samples(
    distances: npt.NDArray[np.floating], numbers: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return the silhouette of each point: (n,), in [−1, 1].

    Args:
        distances: (n, n), symmetric, 0 on the diagonal.
        numbers: (n,) the cluster of each point.

    Raises:
        FolksongError: there are not between 2 and n − 1 clusters, where it is undefined.
    """
    clusters, codes = np.unique(numbers, return_inverse=True)
    n, k = len(codes), len(clusters)
    if not 2 <= k <= n - 1:
        raise FolksongError(f"a silhouette needs 2 to {n - 1} clusters for {n} points, not {k}")
    member = np.zeros((n, k))
    member[np.arange(n), codes] = 1
    sizes = member.sum(axis=0)
    totals = np.asarray(distances, np.float64) @ member
    own = sizes[codes]
    within = totals[np.arange(n), codes] / np.maximum(own - 1, 1)
    means = totals / sizes
    means[np.arange(n), codes] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(within, nearest)
    values: npt.NDArray[np.float64] = np.divide(nearest - within, larger, out=np.zeros(n), where=larger > 0)
    values[own == 1] = 0.0
    return values


def silhouette(distances: npt.NDArray[np.floating], numbers: npt.NDArray[np.integer]) -> float:
    """Return the mean silhouette of all points."""
    return float(silhouette_samples(distances, numbers).mean())
