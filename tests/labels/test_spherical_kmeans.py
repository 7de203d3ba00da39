"""Spherical k-means against plain loops written from its definition, scikit-learn's objective, and itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from folksong.errors import FolksongError
from folksong.labels import spherical_kmeans
from folksong.labels.spherical_kmeans import SphericalKMeans, unit_rows


def bundles(n, k, d, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    return unit_rows(rng.normal(size=(k, d))[rng.integers(k, size=n)] + spread * rng.normal(size=(n, d)))


def lloyd_reference(points, centers, max_iter):
    """Lloyd's iteration on the sphere in loops; no cluster may empty."""
    points = np.asarray(points, np.float64)
    centers = np.asarray(centers, np.float64)
    labels = None
    for _ in range(max_iter):
        new = [max(range(len(centers)), key=lambda c, p=p: (float(p @ centers[c]), -c)) for p in points]
        if new == labels:
            break
        labels = new
        for cluster in range(len(centers)):
            total = sum(p for p, label in zip(points, labels, strict=True) if label == cluster)
            centers[cluster] = total / np.sqrt(float(total @ total))
    inertia = sum(1 - float(p @ centers[c]) for p, c in zip(points, labels, strict=True)) / len(points)
    return np.array(labels), centers, inertia


def test_worked_example():
    # Two pairs in the plane at 0 and 20, 90 and 110 degrees: centroids at 10 and 100, all points 10 degrees away.
    angles = np.deg2rad([0, 20, 90, 110])
    model = SphericalKMeans(2, seed=3).fit(np.c_[np.cos(angles), np.sin(angles)] * [[1], [2], [3], [4]])
    assert model.labels_[0] == model.labels_[1] != model.labels_[2] == model.labels_[3]
    assert model.inertia_ == pytest.approx(1 - np.cos(np.deg2rad(10)), abs=1e-6)
    found = sorted(np.rad2deg(np.arctan2(*model.cluster_centers_.T[::-1])).round(3))
    assert found == [10.0, 100.0]


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_loops_from_the_same_start(seed, monkeypatch):
    points = bundles(150, 6, 5, seed, spread=0.6)
    start = points[np.random.default_rng(seed).choice(150, 5, replace=False)]
    monkeypatch.setattr(spherical_kmeans, "_seed_centers", lambda points, k, rng: start.copy())
    model = SphericalKMeans(5, n_init=1).fit(points)
    labels, centers, inertia = lloyd_reference(points, start, 60)
    np.testing.assert_array_equal(model.labels_, labels)
    np.testing.assert_allclose(model.cluster_centers_, centers, atol=1e-5)
    assert model.inertia_ == pytest.approx(inertia, abs=1e-6)


def test_objective_is_no_worse_than_scikit_learns():
    for seed in range(3):
        points = bundles(2000, 40, 20, seed, spread=0.8)
        ours = SphericalKMeans(30, n_init=5, seed=seed).fit(points)
        peer = KMeans(30, n_init=5, random_state=seed).fit(points)
        theirs = np.mean(1 - (points @ unit_rows(peer.cluster_centers_).T).max(axis=1))
        assert ours.inertia_ <= theirs * 1.01


def test_same_bits_whatever_the_number_of_threads():
    points = bundles(9000, 30, 16, spread=0.7)
    one, many = (SphericalKMeans(25, n_init=2, seed=1, n_threads=n).fit(points) for n in (1, 3))
    assert one.labels_.tobytes() == many.labels_.tobytes()
    assert one.cluster_centers_.tobytes() == many.cluster_centers_.tobytes()
    assert one.inertia_ == many.inertia_
    np.testing.assert_array_equal(one.predict(points), one.labels_)
    assert one.labels_.tobytes() != SphericalKMeans(25, n_init=2, seed=2).fit(points).labels_.tobytes()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 10_000))
def test_properties_of_any_result(n, k, seed):
    points = unit_rows(np.random.default_rng(seed).normal(size=(n, 4)))
    if k > n:
        with pytest.raises(
            FolksongError, match=f"{k} clusters were asked for, but there are only {n} points"
        ):
            SphericalKMeans(k).fit(points)
        return
    model = SphericalKMeans(k, n_init=2, seed=seed).fit(points)
    assert sorted(set(model.labels_)) == list(range(k))  # no cluster is empty
    np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1, atol=1e-5)
    cosines = np.sum(points * model.cluster_centers_[model.labels_], axis=1)
    assert model.inertia_ == pytest.approx(float(np.mean(1 - cosines)), abs=1e-5)
    assert (cosines >= (points @ model.cluster_centers_.T).max(axis=1) - 1e-5).all()
    assert 1 <= model.n_iter_ <= 60


def test_an_emptied_cluster_gets_the_worst_served_point(monkeypatch):
    angles = np.deg2rad([0, 1, 2, 3, 80])
    points = unit_rows(np.c_[np.cos(angles), np.sin(angles)])
    start = unit_rows([[1, 0], [-1, 0]])
    monkeypatch.setattr(spherical_kmeans, "_seed_centers", lambda points, k, rng: start.copy())
    model = SphericalKMeans(2, n_init=1).fit(points)
    assert model.labels_.tolist() == [0, 0, 0, 0, 1]


def test_fewer_distinct_points_than_clusters(caplog):
    points = np.repeat(np.eye(3), 4, axis=0)
    model = SphericalKMeans(5).fit(points)
    assert model.inertia_ == pytest.approx(0, abs=1e-6)
    assert "2 of 5 clusters stay empty" in caplog.text


def test_a_large_table_is_seeded_from_a_sample(monkeypatch):
    monkeypatch.setattr(spherical_kmeans, "SEEDING_POINTS", 50)
    points = bundles(3000, 5, 8, spread=0.1)
    assert SphericalKMeans(5, n_init=3).fit(points).inertia_ < 0.1


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[1.0, 0], [0, 0]], "row 1 has no direction"),
        ([[np.nan, 1]], "row 0 has no"),
        ([1.0, 2.0], "must be a matrix"),
    ],
)
def test_points_without_direction(points, message):
    with pytest.raises(FolksongError, match=message):
        SphericalKMeans(1).fit(points)
    with pytest.raises(FolksongError, match="n_clusters must be at least 1, not 0"):
        SphericalKMeans(0)
