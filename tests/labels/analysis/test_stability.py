"""Repeated builds of a label space, over seeds, samples and settings."""

import numpy as np
import pytest

from folksong.embeddings.tags import embed_tags
from folksong.labels import kmeans, stability
from folksong.labels.analysis.stability import mean_silhouette, measure_setting
from folksong.labels.space import LabelSpace
from folksong.labels.subgenres import silhouette_samples


def test_stability_over_seeds_and_samples(table, vectors):
    def build(source, seed):
        return kmeans(source, vectors, threshold=3, n_clusters=3, seed=seed, n_init=3)

    found = stability(build, table, seeds=range(3), n_bootstrap=2)
    assert len(found.seeds) == 3
    assert len(found.bootstrap) == 2
    assert all(0.3 < value <= 1 for value in (*found.seeds, *found.bootstrap))
    assert stability(build, table, seeds=range(3), n_bootstrap=2) == found


def test_a_setting_is_measured(table, vectors):
    row = measure_setting(table, vectors, "kmeans", 3, 3, n_seeds=3, n_bootstrap=2)
    space = kmeans(table, vectors, threshold=3, n_clusters=3)
    kept, sizes = space.coverage(table), [len(label.tags) for label in space.labels]
    assert (row.vectors, row.labels, row.counts, row.tracks) == (vectors.source, 3, kept.counts, kept.tracks)
    assert (row.mean_size, row.largest) == (np.mean(sizes), max(sizes))
    placed = embed_tags(space.tags, vectors)
    numbers = np.array([space.labels_of(tag)[0] for tag in placed.tags])
    expected = silhouette_samples(1 - placed.vectors @ placed.vectors.T.astype(np.float64), numbers).mean()
    assert row.silhouette == pytest.approx(expected, abs=1e-6)
    assert -1 <= row.least_seeds <= row.seeds <= 1
    assert not row.problem
    alone = measure_setting(table, None, "hybrid", 3, 3, n_seeds=1, n_bootstrap=0)
    assert alone.vectors == "-"
    assert np.isnan([alone.silhouette, alone.seeds, alone.samples]).all()
    assert "900 clusters were asked for" in measure_setting(table, vectors, "kmeans", 3, 900).problem
    assert np.isnan(mean_silhouette(LabelSpace(space.labels[:1]), placed))
