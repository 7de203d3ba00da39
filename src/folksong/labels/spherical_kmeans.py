"""Spherical k-means: k-means on the unit sphere, with centroids scaled to length 1 after every update.

Lloyd's iteration maximises the mean cosine between points and their centroids (Dhillon & Modha 2001), which is
k-means under the distance 1 − cos. The start is k-means++ with that distance, choosing the best of a few candidates
at each step.

Rows are worked on in blocks of fixed size, each by a single thread, and what the blocks give is added in their order;
so the result is the same, bit for bit, whatever the number of threads.
"""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

BLOCK_ROWS = 2048
SEEDING_POINTS = 10_000
SEEDING_POINTS_PER_CLUSTER = 30
"""k-means++ looks at so many points at most: more do not make a better start, only a slower one."""


@dataclass
class _Fit:
    """One run from one start."""

    labels: Numbers
    centers: Floats
    inertia: float
    n_iter: int


class SphericalKMeans:
    """k-means with cosine distance.

    Args:
        n_clusters: k, at least 1.
        n_init: number of starts, of which the best is kept.
        max_iter: iterations of each start; it stops earlier when no assignment changes.
        seed: of all random choices.
        n_threads: as many as there are cores by default; the result does not depend on it.

    Attributes:
        labels_: (n,) int64, the cluster of each point.
        cluster_centers_: (k, d) float32, rows of length 1.
        inertia_: mean over the points of 1 − cos to their centroid.
        n_iter_: iterations of the start that was kept.
    """

    labels_: Numbers
    cluster_centers_: Floats
    inertia_: float
    n_iter_: int

    def __init__(
        self,
        n_clusters: int,
        *,
        n_init: int = 10,
        max_iter: int = 60,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        for name, value in (("n_clusters", n_clusters), ("n_init", n_init), ("max_iter", max_iter)):
            if value < 1:
                raise FolksongError(f"{name} must be at least 1, not {value}")
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.max_iter = max_iter
        self.seed = seed
        self.n_threads = n_threads

    def fit(self, vectors: npt.ArrayLike) -> "SphericalKMeans":
        """Cluster the rows of `vectors` (n, d), which are scaled to length 1 first.

        Raises:
            FolksongError: fewer rows than clusters, or a row without direction (zero, NaN, infinite).
        """
        points = unit_rows(vectors)
        if len(points) < self.n_clusters:
            raise FolksongError(
                f"{self.n_clusters} clusters were asked for, but there are only {len(points)} points; "
                "ask for fewer clusters or lower the threshold"
            )
        best: _Fit | None = None
        with _workers(self.n_threads) as run:
            for restart in range(self.n_init):
                fit = self._fit_once(points, np.random.default_rng([self.seed, restart]), run)
                if best is None or fit.inertia < best.inertia:
                    best = fit
        assert best is not None
        empty = self.n_clusters - len(np.unique(best.labels))
        if empty:
            logger.warning(
                "%d of %d clusters stay empty: there are fewer distinct points", empty, self.n_clusters
            )
        self.labels_, self.cluster_centers_ = best.labels, best.centers
        self.inertia_, self.n_iter_ = best.inertia, best.n_iter
        return self

    def predict(self, vectors: npt.ArrayLike) -> Numbers:
        """Return the nearest centroid of each row: (n,) int64; ties go to the smaller number."""
        with _workers(self.n_threads) as run:
            return _assign(unit_rows(vectors), self.cluster_centers_, run)[0]

    def _fit_once(self, points: Floats, rng: np.random.Generator, run: "_Runner") -> _Fit:
        centers = _seed_centers(points, self.n_clusters, rng)
        labels = np.full(len(points), -1, np.int64)
        sums = np.zeros(centers.shape, np.float64)
        for n_iter in range(1, self.max_iter + 1):  # noqa: B007 (kept for the result)
            new_labels, cosines, change = _assign(points, centers, run, previous=labels)
            sums += change
            moved = _refill_empty(points, new_labels, cosines, sums)
            if not moved and np.array_equal(new_labels, labels):
                break
            labels = new_labels
            centers = _directions(sums, centers)
        else:
            labels, cosines, _ = _assign(points, centers, run)
        return _Fit(labels, centers, float(np.mean(1.0 - cosines.astype(np.float64))), n_iter)


def unit_rows(vectors: npt.ArrayLike) -> Floats:
    """Return the rows scaled to length 1, as contiguous float32."""
    points = np.ascontiguousarray(vectors, np.float32)
    if points.ndim != 2:
        raise FolksongError(f"points must be a matrix (n, d), not of shape {points.shape}")
    lengths = np.sqrt(np.einsum("ij,ij->i", points, points, dtype=np.float64))
    bad = ~(np.isfinite(lengths) & (lengths > 0))
    if bad.any():
        raise FolksongError(f"row {int(np.argmax(bad))} has no direction (zero or not finite)")
    return np.asarray(points / lengths[:, None].astype(np.float32), np.float32)


_Runner = Callable[[Callable[[int], None], range], None]


@contextmanager
def _workers(n_threads: int | None) -> Iterator[_Runner]:
    """Give a function that runs a task for each block start, with BLAS kept to one thread a task."""
    from threadpoolctl import threadpool_limits

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = n_threads or available or 1
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(count) as pool:

        def run(task: Callable[[int], None], starts: range) -> None:
            if count == 1 or len(starts) == 1:
                for start in starts:
                    task(start)
            else:
                list(pool.map(task, starts))

        yield run


def _assign(
    points: Floats, centers: Floats, run: _Runner, previous: Numbers | None = None
) -> tuple[Numbers, Floats, npt.NDArray[np.float64]]:
    """Return each point's nearest centroid (n,), its cosine (n,), and how the clusters' sums change (k, d).

    `previous` holds the clusters of the points so far (−1: none yet); without it the last is zero.
    """
    starts = range(0, len(points), BLOCK_ROWS)
    labels = np.empty(len(points), np.int64)
    cosines = np.empty(len(points), np.float32)
    changes: list[Floats | None] = [None] * len(starts)
    transposed = np.ascontiguousarray(centers.T)

    def work(start: int) -> None:
        rows = slice(start, start + BLOCK_ROWS)
        products = points[rows] @ transposed
        nearest = products.argmax(axis=1)
        labels[rows] = nearest
        cosines[rows] = products[np.arange(len(nearest)), nearest]
        if previous is not None:
            changes[start // BLOCK_ROWS] = _change(points[rows], previous[rows], nearest, len(centers))

    run(work, starts)
    total = np.zeros(centers.shape, np.float64)
    for change in changes:
        if change is not None:
            total += change
    return labels, cosines, total


def _change(points: Floats, old: Numbers, new: npt.NDArray[np.intp], k: int) -> Floats | None:
    """Return what the points that changed cluster add to and take from the clusters' sums: (k, d), or None."""
    moved = np.flatnonzero(old != new)
    if not len(moved):
        return None
    had_one = np.flatnonzero(old[moved] >= 0)
    clusters = np.concatenate([new[moved], old[moved][had_one]])
    columns = np.concatenate([np.arange(len(moved)), had_one])
    signs = np.concatenate([np.ones(len(moved), np.float32), np.full(len(had_one), -1, np.float32)])
    picked = sp.csr_matrix((signs, (clusters, columns)), shape=(k, len(moved)))
    return np.asarray(picked @ points[moved], np.float32)


def _refill_empty(points: Floats, labels: Numbers, cosines: Floats, sums: npt.NDArray[np.float64]) -> bool:
    """Give each empty cluster the worst-served point of a cluster with several; changes the arrays in place."""
    sizes = np.bincount(labels, minlength=len(sums))
    empty = np.flatnonzero(sizes == 0)
    if not len(empty):
        return False
    worst_first = iter(np.argsort(cosines, kind="stable"))
    moved = False
    for cluster in empty:
        for point in worst_first:
            donor = labels[point]
            if cosines[point] > 1 - 1e-6:  # the rest lies on its centroid: no further point is distinct
                return moved
            if sizes[donor] > 1:
                sums[donor] -= points[point]
                sums[cluster] = points[point]
                sizes[donor] -= 1
                sizes[cluster] = 1
                labels[point], cosines[point] = cluster, 1.0
                moved = True
                break
    return moved


def _directions(sums: npt.NDArray[np.float64], previous: Floats) -> Floats:
    """Return the sums scaled to length 1; a sum of zero (no points, or opposite ones) keeps its old direction."""
    lengths = np.linalg.norm(sums, axis=1)
    good = lengths > 1e-6
    centers = previous.copy()
    centers[good] = (sums[good] / lengths[good, None]).astype(np.float32)
    return centers


def _seed_centers(points: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Choose k points as first centroids: greedy k-means++ with the distance 1 − cos."""
    limit = max(SEEDING_POINTS, SEEDING_POINTS_PER_CLUSTER * k)
    if len(points) > limit:
        points = points[np.sort(rng.choice(len(points), limit, replace=False))]
    n_candidates = 2 + int(np.log(k))
    chosen = np.empty((k, points.shape[1]), np.float32)
    chosen[0] = points[rng.integers(len(points))]
    distances = _distances(points, chosen[:1])[:, 0]
    for number in range(1, k):
        total = distances.sum()
        if total <= 0:  # every point is a centroid already
            chosen[number] = points[rng.integers(len(points))]
            continue
        draws = rng.random(n_candidates) * total
        candidates = np.searchsorted(np.cumsum(distances), draws).clip(0, len(points) - 1)
        left = np.minimum(distances[:, None], _distances(points, points[candidates]))
        best = int(left.sum(axis=0).argmin())
        chosen[number], distances = points[candidates[best]], left[:, best].copy()
    return chosen


def _distances(points: Floats, centers: Floats) -> npt.NDArray[np.float64]:
    distances = 1.0 - (points @ centers.T).astype(np.float64)
    distances[distances < 1e-6] = 0.0  # rounding must not let a chosen point be drawn again
    return distances
