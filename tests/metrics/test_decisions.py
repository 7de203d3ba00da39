"""Thresholds are the best there are; calibration is that of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, fbeta_score

from folksong import metrics
from folksong.errors import FolksongError


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_other_threshold_is_better(data):
    n_tracks = data.draw(st.integers(1, 30))
    targets = data.draw(hnp.arrays(bool, n_tracks))
    elements = st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 1.0]) | st.floats(0, 1, width=32)
    scores = data.draw(hnp.arrays(np.float32, n_tracks, elements=elements))
    beta = data.draw(st.sampled_from([0.5, 1.0, 2.0]))
    found = metrics.best_thresholds(targets, scores, beta=beta)
    if not targets.any():
        assert np.isnan([found.thresholds[0], found.f[0]]).all()
        return
    tried = [fbeta_score(targets, scores >= limit, beta=beta, zero_division=0) for limit in np.unique(scores)]
    reached = fbeta_score(targets, scores >= np.float32(found.thresholds[0]), beta=beta, zero_division=0)
    assert reached == pytest.approx(max(tried))
    assert found.f[0] == pytest.approx(max(tried))


def test_thresholds_agree_with_the_confusion_matrices():
    rng = np.random.default_rng(0)
    targets = rng.random((500, 7)) < np.linspace(0.02, 0.6, 7)
    scores = (1 / (1 + np.exp(2 - rng.standard_normal(targets.shape) - targets))).astype(np.float32)
    found = metrics.best_thresholds(targets, scores)
    matrices = metrics.confusion(targets, scores, found.thresholds)
    hits, false_alarms, misses = matrices[:, 1, 1], matrices[:, 0, 1], matrices[:, 1, 0]
    np.testing.assert_allclose(2 * hits / (2 * hits + false_alarms + misses), found.f)
    at_half = metrics.confusion(targets, scores)
    f_at_half = 2 * at_half[:, 1, 1] / (2 * at_half[:, 1, 1] + at_half[:, 0, 1] + at_half[:, 1, 0])
    assert (found.f >= f_at_half - 1e-12).all()


def test_calibration_is_scikit_learns():
    rng = np.random.default_rng(1)
    scores = rng.random((2000, 3)) ** [1, 2, 3]
    targets = rng.random(scores.shape) < scores ** [1.0, 0.5, 1.0]
    found = metrics.calibration(targets, scores, n_bins=10)
    for label in range(3):
        shares, means = calibration_curve(targets[:, label], scores[:, label], n_bins=10)
        np.testing.assert_allclose(found.shares[label], shares)
        np.testing.assert_allclose(found.mean_scores[label], means)
        assert found.brier[label] == pytest.approx(brier_score_loss(targets[:, label], scores[:, label]))
    assert found.error[0] < 0.03
    assert found.error[1] > 0.1
    np.testing.assert_allclose(
        found.error, (np.abs(found.shares - found.mean_scores) * found.counts).sum(axis=1) / 2000
    )


def test_pooled_calibration_is_that_of_all_pairs_as_one_label():
    rng = np.random.default_rng(2)
    scores = rng.random((300, 4)).astype(np.float32) * 0.5  # empty bins above
    targets = rng.random(scores.shape) < 0.2
    pooled = metrics.calibration(targets, scores).pooled()
    flat = metrics.calibration(targets.reshape(-1, 1), scores.reshape(-1, 1))
    np.testing.assert_array_equal(pooled.counts, flat.counts)
    np.testing.assert_allclose(pooled.shares, flat.shares)
    np.testing.assert_allclose(pooled.mean_scores, flat.mean_scores)
    np.testing.assert_allclose([pooled.error[0], pooled.brier[0]], [flat.error[0], flat.brier[0]])


def test_scores_on_the_edges():
    found = metrics.calibration(np.array([0, 1, 1]), np.array([0.0, 0.5, 1.0]), n_bins=2)
    assert found.counts.tolist() == [[1, 2]]
    assert found.error[0] == pytest.approx((1 * 0 + 2 * 0.25) / 3)


@pytest.mark.parametrize("wrong", [-0.5, 1.5, np.inf])
def test_calibration_needs_probabilities(wrong):
    with pytest.raises(FolksongError, match=r"label 'rock': scores from .* are no probabilities"):
        metrics.calibration(np.array([0, 1]), np.array([0.5, wrong]), labels=["rock"])


def test_nan_and_wrong_settings():
    for measure in (metrics.calibration, metrics.best_thresholds):
        with pytest.raises(FolksongError, match="row 1 is NaN"):
            measure(np.array([0, 1]), np.array([0.5, np.nan]))
    with pytest.raises(FolksongError, match="n_bins"):
        metrics.calibration(np.eye(2), np.eye(2), n_bins=0)
    with pytest.raises(FolksongError, match="beta"):
        metrics.best_thresholds(np.eye(2), np.eye(2), beta=0)
