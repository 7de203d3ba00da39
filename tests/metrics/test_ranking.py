"""ROC-AUC and average precision are scikit-learn's, exactly, whatever the ties, types and class balance."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, roc_auc_score

from folksong import metrics
from folksong.errors import FolksongError

TOLERANCE = 1e-12


def reference(targets, scores):
    """scikit-learn, label by label; NaN where a class is absent."""
    aucs, precisions = [], []
    for y, s in zip(targets.T, scores.T, strict=True):
        aucs.append(roc_auc_score(y, s) if 0 < y.sum() < len(y) else np.nan)
        precisions.append(average_precision_score(y, s) if y.sum() else np.nan)
    return np.array(aucs), np.array(precisions)


@st.composite
def targets_and_scores(draw):
    n_tracks, n_labels = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16]))
    # Few distinct values make many ties; the widest range includes both zeros and subnormal numbers.
    few = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 1.0])
    any_finite = st.floats(
        width={np.float16: 16, np.float32: 32, np.float64: 64}[dtype], allow_nan=False, allow_infinity=False
    )
    elements = draw(st.sampled_from([few, any_finite]))
    scores = draw(hnp.arrays(dtype, (n_tracks, n_labels), elements=elements))
    targets = draw(hnp.arrays(bool, (n_tracks, n_labels)))
    return targets, scores


@settings(max_examples=300, deadline=None)
@given(targets_and_scores())
def test_equals_scikit_learn(case):
    targets, scores = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        auc, precision = reference(targets, scores.astype(np.float64))
    np.testing.assert_allclose(metrics.roc_auc(targets, scores), auc, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(metrics.average_precision(targets, scores), precision, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, "bfloat16"])
@pytest.mark.parametrize("scale", ["probabilities", "logits"])
def test_equals_scikit_learn_on_many_tracks(dtype, scale):
    rng = np.random.default_rng(3)
    targets = rng.random((20_000, 20)) < np.geomspace(0.3, 0.001, 20)
    logits = 2 * rng.standard_normal(targets.shape) + targets
    scores = logits if scale == "logits" else 1 / (1 + np.exp(-logits))
    if dtype == "bfloat16":
        torch = pytest.importorskip("torch")
        scores = torch.from_numpy(scores).bfloat16().float().numpy()
        assert len(np.unique(scores)) < 10_000
    else:
        scores = scores.astype(dtype)
    auc, precision = reference(targets, scores)
    np.testing.assert_allclose(metrics.roc_auc(targets, scores), auc, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(metrics.average_precision(targets, scores), precision, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("as_type", [np.bool_, np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("form", ["dense", "fortran", "csr", "csc", "coo", "csr_array"])
def test_every_form_of_targets_gives_the_same(as_type, form):
    rng = np.random.default_rng(0)
    targets = (rng.random((5000, 21)) < 0.1).astype(as_type)
    scores = rng.random(targets.shape, dtype=np.float32).round(2)
    forms = {
        "dense": np.ascontiguousarray,
        "fortran": np.asfortranarray,
        "csr": sp.csr_matrix,
        "csc": sp.csc_matrix,
        "coo": sp.coo_matrix,
        "csr_array": sp.csr_array,
    }
    expected = reference(targets.astype(bool), scores)
    given_targets = forms[form](targets)
    for given_scores in (scores, np.asfortranarray(scores), scores[::-1].copy()[::-1]):
        found = metrics.rank_labels(given_targets, given_scores)
        np.testing.assert_allclose(found.roc_auc, expected[0], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(found.average_precision, expected[1], rtol=0, atol=TOLERANCE)
        assert found.positives.tolist() == targets.sum(axis=0).tolist()


def test_stored_zeros_of_a_sparse_matrix_are_negatives():
    entries = np.array([1, 0, 1, 1]), (np.array([0, 1, 2, 3]), np.zeros(4, int))
    scores = np.array([0.3, 0.9, 0.5, 0.7])
    assert metrics.roc_auc(sp.csr_matrix(entries, (4, 1)), scores[:, None]).tolist() == [0.0]
    assert metrics.rank_labels(sp.csr_matrix(entries, (4, 1)), scores).positives.tolist() == [3]


def test_constant_scores_are_chance():
    targets = np.zeros((1000, 2), bool)
    targets[:70, 0] = targets[:300, 1] = True
    scores = np.full((1000, 2), 0.25, np.float32)
    assert metrics.roc_auc(targets, scores).tolist() == [0.5, 0.5]
    np.testing.assert_allclose(metrics.average_precision(targets, scores), [0.07, 0.3], rtol=1e-15)


def test_absent_classes_are_nan_and_stop_nothing():
    targets = np.array([[0, 1, 1], [0, 1, 0]])
    scores = np.array([[0.2, 0.1, 0.9], [0.3, 0.7, 0.1]])
    np.testing.assert_equal(metrics.roc_auc(targets, scores), [np.nan, np.nan, 1.0])
    np.testing.assert_equal(metrics.average_precision(targets, scores), [np.nan, 1.0, 1.0])


def test_infinite_scores_are_ranked():
    scores = np.array([-np.inf, 0.0, np.inf, np.inf])
    assert metrics.roc_auc(np.array([0, 0, 1, 1]), scores).tolist() == [1.0]


def test_monotone_change_of_scores_changes_nothing():
    rng = np.random.default_rng(1)
    targets = rng.random((3000, 5)) < 0.2
    scores = rng.standard_normal(targets.shape)
    np.testing.assert_array_equal(metrics.roc_auc(targets, scores), metrics.roc_auc(targets, np.exp(scores)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "measure",
    [metrics.roc_auc, metrics.average_precision, metrics.confusion, metrics.bootstrap, metrics.summarise],
)
def test_nan_names_the_label(measure, dtype):
    targets = np.zeros((30, 3), bool)
    targets[:9] = True
    scores = np.linspace(0, 1, 90).reshape(30, 3).astype(dtype)
    scores[17, 1] = np.nan
    with pytest.raises(FolksongError, match=r"label 'post-rock'.*row 17.*NaN"):
        measure(targets, scores, labels=["rock", "post-rock", "jazz"])
    with pytest.raises(FolksongError, match="label 1: "):
        measure(targets, scores)


@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        (np.zeros((3, 2)), np.zeros((2, 3)), r"shape \(3, 2\) and scores \(2, 3\)"),
        (np.full((3, 1), 0.5), np.zeros((3, 1)), "a target is 0.5; targets must be 0 or 1"),
        (np.array([[2], [0]]), np.zeros((2, 1)), "a target is 2"),
        (np.array([[np.nan], [0]]), np.zeros((2, 1)), "a target is nan"),
        (sp.csr_matrix([[75.0], [0.0]]), np.zeros((2, 1)), "a target is 75.0"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "no track"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), r"must be \(n_tracks, n_labels\)"),
        (np.zeros((2, 1)), np.array([["a"], ["b"]]), "not an array of numbers"),
    ],
)
def test_wrong_input_is_an_error_that_says_so(targets, scores, message):
    with pytest.raises(FolksongError, match=message):
        metrics.roc_auc(targets, scores)


def test_label_names_must_fit():
    with pytest.raises(FolksongError, match="1 label names for scores of 2 labels"):
        metrics.roc_auc(np.zeros((3, 2)), np.zeros((3, 2)), labels=["rock"])
