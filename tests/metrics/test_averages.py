"""Macro, micro, chance, lift; decisions at thresholds; co-occurrence. scikit-learn is the reference."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import average_precision_score, multilabel_confusion_matrix, roc_auc_score

from folksong import metrics
from folksong.errors import FolksongError


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(11)
    targets = rng.random((800, 6)) < [0.5, 0.3, 0.1, 0.02, 0.0, 1.0]
    scores = (1 / (1 + np.exp(-rng.standard_normal(targets.shape) - targets))).astype(np.float32).round(2)
    return targets, scores


def test_averages_are_scikit_learns_over_the_labels_kept(case):
    targets, scores = case
    summary = metrics.summarise(targets, scores)
    assert summary.kept.tolist() == [True] * 4 + [False] * 2
    assert (summary.no_positive, summary.no_negative) == ([4], [5])
    kept_targets, kept_scores = targets[:, :4], scores[:, :4]
    for average in ("macro", "micro"):
        expected = roc_auc_score(kept_targets, kept_scores, average=average)
        assert getattr(summary, f"{average}_roc_auc") == pytest.approx(expected, abs=1e-12)
        expected = average_precision_score(kept_targets, kept_scores, average=average)
        assert getattr(summary, f"{average}_pr_auc") == pytest.approx(expected, abs=1e-12)


def test_chance_and_lift(case):
    targets, scores = case
    summary = metrics.summarise(targets, scores)
    np.testing.assert_allclose(summary.chance, targets.mean(axis=0))
    np.testing.assert_allclose(summary.lift[:4], summary.average_precision[:4] / targets[:, :4].mean(axis=0))
    assert np.isnan(summary.lift[4])
    assert summary.macro_chance == pytest.approx(targets[:, :4].mean())
    assert summary.macro_lift == pytest.approx(summary.macro_pr_auc / targets[:, :4].mean())


def test_random_scores_reach_chance():
    rng = np.random.default_rng(2)
    targets = rng.random((20_000, 10)) < np.linspace(0.05, 0.5, 10)
    summary = metrics.summarise(targets, rng.random(targets.shape))
    assert summary.macro_roc_auc == pytest.approx(0.5, abs=0.01)
    assert summary.macro_lift == pytest.approx(1.0, abs=0.05)


def test_micro_is_left_out_when_not_asked_for(case):
    summary = metrics.summarise(*case, micro=False)
    assert np.isnan(summary.micro_roc_auc)
    assert np.isnan(summary.micro_pr_auc)
    assert summary.macro_roc_auc == metrics.summarise(*case).macro_roc_auc


def test_no_label_kept_gives_nan_and_no_warning(recwarn):
    summary = metrics.summarise(np.zeros((5, 2)), np.zeros((5, 2)))
    assert np.isnan([summary.macro_roc_auc, summary.micro_pr_auc, summary.macro_lift]).all()
    assert not recwarn.list


@pytest.mark.parametrize("thresholds", [0.5, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
def test_confusion_is_scikit_learns(case, thresholds):
    targets, scores = case
    decided = scores >= np.asarray(thresholds, np.float32)
    found = metrics.confusion(targets, scores, thresholds)
    assert found.shape == (6, 2, 2)
    np.testing.assert_array_equal(found, multilabel_confusion_matrix(targets, decided))
    np.testing.assert_array_equal(found, metrics.confusion(sp.csr_matrix(targets), scores, thresholds))


def test_a_threshold_taken_from_the_scores_meets_its_track():
    scores = np.array([[0.1], [0.7]], np.float32)
    assert metrics.confusion(np.array([[0], [1]]), scores, 0.7).tolist() == [[[1, 0], [0, 1]]]


@pytest.mark.parametrize(
    ("thresholds", "message"), [([0.5, 0.5], "thresholds for 6 labels"), (np.nan, "NaN")]
)
def test_wrong_thresholds(case, thresholds, message):
    with pytest.raises(FolksongError, match=message):
        metrics.confusion(*case, thresholds)


def test_cooccurrence_counts_pairs(case):
    targets, _ = case
    expected = targets.astype(int).T @ targets.astype(int)
    for form in (np.asarray, sp.csr_matrix, sp.coo_matrix):
        found = metrics.cooccurrence(form(targets))
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)
