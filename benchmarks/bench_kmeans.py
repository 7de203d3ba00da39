"""Spherical k-means beside the matrix product alone and scikit-learn's KMeans (Lloyd), in the same run.

Usage: python benchmarks/bench_kmeans.py [--points 100000] [--dimension 300] [--clusters 100 500] [--rounds 5]

Per iteration: the time of `fit` with 12 iterations less that with 2, a tenth of it, so that seeding does not count.
In total: each from its own k-means++ start, up to 60 iterations, one start, on the same unit vectors.
"""

import argparse
import time

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_info

from folksong.labels.spherical_kmeans import SphericalKMeans, unit_rows


def make_points(n, dimension, rng):
    """Points in 2,000 overlapping bundles: neither pure noise nor clean clusters, as word vectors are."""
    bundles = rng.normal(size=(2000, dimension)).astype(np.float32)
    points = bundles[rng.integers(2000, size=n)] + 1.2 * rng.normal(size=(n, dimension)).astype(np.float32)
    return unit_rows(points)


def seconds(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def per_iteration(points, k, rounds):
    centers = np.ascontiguousarray(points[:k].T)
    products, iterations = [], []
    for _ in range(rounds):
        products.append(min(seconds(lambda: points @ centers)[0] for _ in range(3)))
        short, few = seconds(lambda: SphericalKMeans(k, n_init=1, max_iter=2).fit(points))
        long, many = seconds(lambda: SphericalKMeans(k, n_init=1, max_iter=12).fit(points))
        iterations.append((long - short) / (many.n_iter_ - few.n_iter_))
    return np.median(products), np.median(iterations)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=300)
    parser.add_argument("--clusters", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    points = make_points(arguments.points, arguments.dimension, np.random.default_rng(0))
    print({library["internal_api"]: library["num_threads"] for library in threadpool_info()})
    for k in arguments.clusters:
        product, iteration = per_iteration(points, k, arguments.rounds)
        print(f"k = {k}: matrix product {1e3 * product:.0f} ms, iteration {1e3 * iteration:.0f} ms,"
              f" ratio {iteration / product:.2f}")  # fmt: skip
        ours, mine = seconds(lambda k=k: SphericalKMeans(k, n_init=1, max_iter=60, seed=0).fit(points))
        settings = {"n_init": 1, "max_iter": 60, "tol": 0, "algorithm": "lloyd", "random_state": 0}
        theirs, peer = seconds(lambda k=k, settings=settings: KMeans(k, **settings).fit(points))
        centers = unit_rows(peer.cluster_centers_)
        objective = float(np.mean(1 - (points @ centers.T).max(axis=1)))
        print(f"  in total: folksong {ours:.2f} s, 1 - cos {mine.inertia_:.5f}, {mine.n_iter_} iterations;"
              f" scikit-learn {theirs:.2f} s, 1 - cos {objective:.5f}, {peer.n_iter_} iterations;"
              f" {theirs / ours:.2f} times as fast")  # fmt: skip


if __name__ == "__main__":
    main()
