"""The weighted bootstrap equals drawing tracks and measuring them; its intervals cover what they claim to."""

from __future__ import annotations

from importlib import import_module
from math import erf

import numpy as np
import pytest

from folksong import metrics
from folksong.errors import FolksongError


def simulate(rng, n_tracks, prevalences, shift=1.0):
    targets = rng.random((n_tracks, len(prevalences))) < prevalences
    return targets, rng.standard_normal(targets.shape) + shift * targets


@pytest.mark.parametrize("decimals", [1, 8])
def test_each_resample_equals_measuring_the_drawn_tracks(decimals):
    targets, scores = simulate(np.random.default_rng(0), 300, [0.4, 0.1, 0.01, 0.0])
    scores = scores.round(decimals)
    found = metrics.bootstrap(targets, scores, n_resamples=25, seed=7, micro=True)
    weights = metrics.draw_resamples(300, range(25), seed=7)
    assert weights.sum(axis=0).tolist() == [300] * 25
    for number in range(25):
        drawn = np.repeat(np.arange(300), weights[:, number].astype(int))
        summary = metrics.summarise(targets[drawn], scores[drawn])
        expected = np.where(summary.kept, summary.roc_auc, np.nan)
        np.testing.assert_allclose(found.roc_auc[number], expected, rtol=0, atol=1e-12)
        expected = np.where(summary.kept, summary.average_precision, np.nan)
        np.testing.assert_allclose(found.average_precision[number], expected, rtol=0, atol=1e-12)
        assert found.macro_roc_auc[number] == pytest.approx(summary.macro_roc_auc, abs=1e-12)
        # The micro averages of all resamples are over the labels of the whole sample, here the first three.
        micro = metrics.summarise(targets[drawn, :3].reshape(-1, 1), scores[drawn, :3].reshape(-1, 1))
        assert found.micro_roc_auc[number] == pytest.approx(micro.macro_roc_auc, abs=1e-12)
        assert found.micro_pr_auc[number] == pytest.approx(micro.macro_pr_auc, abs=1e-12)


def test_same_seed_same_resamples_whatever_the_block(monkeypatch):
    targets, scores = simulate(np.random.default_rng(1), 200, [0.3, 0.2])
    together = metrics.bootstrap(targets, scores, n_resamples=40, seed=3)
    module = import_module("folksong.metrics.bootstrap")  # the package holds the function by this name
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 200 * 7)
    monkeypatch.setattr(module, "LEAST_AT_ONCE", 1)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 90)
    np.testing.assert_array_equal(
        metrics.bootstrap(targets, scores, n_resamples=40, seed=3).roc_auc, together.roc_auc
    )
    other = metrics.bootstrap(targets, scores, n_resamples=40, seed=4)
    assert (other.roc_auc != together.roc_auc).any()


@pytest.mark.parametrize(("n_tracks", "prevalence"), [(150, 0.3), (200, 0.04)])
def test_intervals_of_the_macro_means_hold_what_such_samples_give(n_tracks, prevalence):
    """90% intervals of simulated test parts hold the mean over all such parts in about 90% of the cases.

    With rare labels the plain quantiles of the resampled macro average precision lie too high.
    """
    rng = np.random.default_rng(4)
    values, ends = [], []
    for case in range(120):
        targets, scores = simulate(rng, n_tracks, [prevalence] * 8)
        summary = metrics.summarise(targets, scores, micro=False)
        found = metrics.bootstrap(targets, scores, n_resamples=150, seed=case, level=0.9)
        values.append((summary.macro_roc_auc, summary.macro_pr_auc))
        ends.append(
            (
                found.interval(found.macro_roc_auc, summary.macro_roc_auc),
                found.interval(found.macro_pr_auc, summary.macro_pr_auc),
            )
        )
    mean = np.mean(values, axis=0)
    held = [(low <= mean[figure] <= high) for pair in ends for figure, (low, high) in enumerate(pair)]
    shares = np.reshape(held, (-1, 2)).mean(axis=0)
    assert ((shares >= 0.83) & (shares <= 0.99)).all(), shares
    truth = 0.5 * (1 + erf(1.0 / 2))  # Φ(shift / √2) for shift 1
    assert mean[0] == pytest.approx(truth, abs=0.02)


def test_interval_shapes_and_undefined_labels():
    targets, scores = simulate(np.random.default_rng(1), 100, [0.3, 0.0])
    found = metrics.bootstrap(targets, scores, n_resamples=50)
    ends = found.interval(found.average_precision, np.array([0.5, np.nan]))
    assert ends.shape == (2, 2)
    assert ends[0, 0] < ends[1, 0]
    assert np.isnan(ends[:, 1]).all()
    assert found.interval(found.macro_pr_auc, 0.5).shape == (2,)
    assert np.isnan(found.micro_roc_auc).all()  # not asked for
    assert found.micro_roc_auc.shape == (50,)


@pytest.mark.parametrize("wrong", [{"n_resamples": 0}, {"level": 1.0}])
def test_out_of_range(wrong):
    with pytest.raises(FolksongError, match="must be at least 1 and level"):
        metrics.bootstrap(np.eye(3), np.eye(3), **wrong)


def test_quantiles_are_moved_until_the_mean_of_the_resamples_lies_on_the_estimate():
    """Of skewed resamples, whose median is another value than their mean."""
    values = np.array([0.0, 0.0, 0.0, 1.0, 9.0])  # mean 2, median 0
    low, high = metrics.centred_interval(values, 5.0, level=0.5)
    assert (low, high) == (5.0 + 0.0 - 2.0, 5.0 + 1.0 - 2.0)
