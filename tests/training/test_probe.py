"""The estimator: scikit-learn's own checks, and parity with its logistic regression."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

import folksong as fs
from folksong.errors import FolksongError
from folksong.models.heads import EmbeddingHead
from folksong.training.fit_head import standardise

sklearn = pytest.importorskip("sklearn", reason="pip install scikit-learn")
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402


@parametrize_with_checks([fs.Probe()])
def test_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def clips(n: int, n_classes: int, n_features: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    centres, y = rng.normal(size=(n_classes, n_features)), np.arange(n) % n_classes
    return centres[y] + spread * rng.normal(size=(n, n_features)), y


def test_few_clips_of_ten_classes_as_well_as_logistic_regression() -> None:
    x, y = clips(260, 10, 300, 6.0)
    training, test = slice(0, 60), slice(60, None)
    scaler = StandardScaler().fit(x[training])
    theirs = LogisticRegression(max_iter=2000).fit(scaler.transform(x[training]), y[training])
    wanted = roc_auc_score(y[test], theirs.predict_proba(scaler.transform(x[test])), multi_class="ovr")
    probe = fs.Probe().fit(x[training], y[training])
    scores = probe.predict_proba(x[test])
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    assert roc_auc_score(y[test], scores, multi_class="ovr") >= wanted - 0.005
    assert (probe.predict(x[test]) == probe.classes_[scores.argmax(axis=1)]).all()


def test_features_of_a_long_tail_are_heard_better_than_by_logistic_regression() -> None:
    x, y = clips(360, 10, 300, 6.0)
    x = np.exp(x / 2)  # as maxima over windows are: some clips hold nearly all of a feature's variance
    training, test = slice(0, 160), slice(160, None)
    scaler = StandardScaler().fit(x[training])
    theirs = LogisticRegression(max_iter=2000).fit(scaler.transform(x[training]), y[training])
    wanted = theirs.score(scaler.transform(x[test]), y[test])
    assert fs.Probe().fit(x[training], y[training]).score(x[test], y[test]) > wanted + 0.05


def test_bent_features_run_straight_between_quantiles_and_end_at_the_least_and_the_largest() -> None:
    rng = np.random.default_rng(0)
    rare = (np.arange(200) == 7).astype(np.float32)
    x = torch.from_numpy(np.stack([np.exp(rng.normal(size=200)), rare, np.full(200, 3)], axis=1)).float()
    head = EmbeddingHead(3, 1)
    standardise(head, x)
    bent = head.bent(x)
    middle = head.bent(x.quantile(torch.tensor(special.ndtr(np.array([-0.5, 0.5]))).float(), dim=0))
    torch.testing.assert_close(middle[:, 0], torch.tensor([2.0, 3.0]), atol=2e-3, rtol=0)
    torch.testing.assert_close(head.bent(x[:1] * 1e6)[0, 0], bent[:, 0].amax())
    assert bent[7, 1] > 0
    assert not bent[np.arange(200) != 7, 1].any()  # rarer than the outer quantiles, heard all the same
    assert not head.standardised(x)[:, 2].any()


def test_rare_labels_of_weak_features_not_below_a_regression_for_each() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(300, 10))
    x = hidden @ rng.normal(size=(10, 40)) * 0.5 + 2 * rng.normal(size=(300, 40))
    y = rng.random((300, 60)) < 1 / (1 + np.exp(2.5 - hidden @ rng.normal(size=(10, 60)) * 0.6))
    training, test = slice(0, 200), slice(200, None)
    kept = y[training].any(axis=0) & y[test].any(axis=0)
    y = y[:, kept].astype(int)
    scaler = StandardScaler().fit(x[training])
    a, b = scaler.transform(x[training]), scaler.transform(x[test])
    theirs = np.stack(
        [
            LogisticRegression(C=0.01, class_weight="balanced").fit(a, column).predict_proba(b)[:, 1]
            for column in y[training].T
        ],
        axis=1,
    )
    ours = fs.Probe().fit(x[training], y[training]).predict_proba(x[test])
    for figure in (roc_auc_score, average_precision_score):
        assert figure(y[test], ours) >= figure(y[test], theirs) - 0.01


def test_one_label_alone_and_labels_that_never_occur() -> None:
    x, y = clips(40, 2, 5, 1.0)
    for labels in (y[:, None] > 0, np.stack([y > 0, y > 5, y >= 0], axis=1)):
        scores = fs.Probe().fit(x, np.hstack([labels, labels])).predict_proba(x)
        assert np.isfinite(scores).all()
    assert (fs.Probe().fit(x, np.array(["a", "b"])[y]).predict(x) == np.array(["a", "b"])[y]).mean() > 0.9


def test_hidden_layer_learns_what_no_line_parts() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, size=(600, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    assert fs.Probe().fit(x[:400], y[:400]).score(x[400:], y[400:]) < 0.65
    assert fs.Probe(n_hidden=64, n_members=2).fit(x[:400], y[:400]).score(x[400:], y[400:]) > 0.9


def test_works_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    module = importlib.util.spec_from_file_location("alone", sys.modules["folksong.training.probe"].__file__)
    alone = importlib.util.module_from_spec(module)
    module.loader.exec_module(alone)
    x, y = clips(60, 3, 8, 1.0)
    probe = alone.Probe().set_params(random_state=3)
    assert probe.get_params() == {"n_hidden": 0, "n_members": 5, "random_state": 3, "parts": ()}
    with pytest.raises(FolksongError, match="not fitted"):
        probe.predict(x)
    assert (probe.fit(x, y).predict(x) == y).mean() > 0.8
    np.testing.assert_allclose(
        probe.predict_proba(x), fs.Probe(random_state=3).fit(x, y).predict_proba(x), atol=1e-6
    )
    with pytest.raises(FolksongError, match="do not fit"):
        probe.fit(x, y[:-1])
    with pytest.raises(FolksongError, match="no finite numbers"):
        probe.fit(np.full_like(x, np.nan), y)
    with pytest.raises(ValueError, match="no parameter 'seed'"):
        probe.set_params(seed=1)
