"""A1: small collections start from a logistic regression on random filters, and from settled batch norm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from folksong.evaluation.evaluate import evaluate
from folksong.labels.space import Label, LabelSpace
from folksong.models.checkpoint import load_model, read_checkpoint
from folksong.models.tagger import Tagger
from folksong.training import loop, small_collections
from folksong.training.resume import resume
from folksong.training.small_collections import estimate_statistics, fit_logistic


def test_the_regression_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 15))
    targets = (features[:, :4] + 0.5 * rng.normal(size=(120, 4)) > 0.3).astype(float)
    weight, bias = fit_logistic(torch.from_numpy(features), torch.from_numpy(targets), penalty=4.0)
    for label in range(4):
        known = LogisticRegression(C=1 / 4.0, tol=1e-8, max_iter=1000).fit(features, targets[:, label])
        np.testing.assert_allclose(weight[label].numpy(), known.coef_[0], atol=2e-4)
        np.testing.assert_allclose(bias[label].item(), known.intercept_[0], atol=2e-4)


def test_the_regression_of_exclusive_labels_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    features, classes = rng.normal(size=(90, 6)), rng.integers(0, 3, 90)
    features[:, :3] += np.eye(3)[classes]
    targets = torch.from_numpy(np.eye(3)[classes])
    weight, bias = fit_logistic(torch.from_numpy(features), targets, penalty=2.0, exclusive=True)
    known = LogisticRegression(C=1 / 2.0, tol=1e-8, max_iter=1000).fit(features, classes)
    np.testing.assert_allclose(
        torch.softmax(torch.from_numpy(features) @ weight.T + bias, 1),
        known.predict_proba(features),
        atol=1e-3,
    )


def test_labels_that_all_or_no_windows_carry_stay_finite():
    weight, bias = fit_logistic(torch.randn(20, 3).double(), torch.eye(2).double()[[0] * 20], penalty=1.0)
    assert weight.isfinite().all()
    assert bias[0] > 2 > -2 > bias[1]


def test_a16_a1_few_tracks_are_told_apart_from_the_first_steps_on(train_small, config, monkeypatch):
    settings = {"epochs": 1, "steps_per_epoch": 1, "config": config(adapt_to_small=True)}
    small = train_small("small", **settings)
    monkeypatch.setattr(small_collections, "FEW_TRACKS", 3)
    large = train_small("large", **settings)
    reached = [run.history()[0]["macro_roc_auc"] for run in (small, large)]
    assert reached[0] > reached[1]
    assert small.history()[0]["validation_loss"] < large.history()[0]["validation_loss"]
    rates = [run.history()[0]["learning_rate"] for run in (small, large)]
    assert rates == pytest.approx([0.00003, 0.003])


def test_a16_a1_a_small_training_resumes_to_the_same_bits(train_small, config):
    settings = config(adapt_to_small=True)
    whole = train_small("whole", config=settings, epochs=3, steps_per_epoch=2)
    resumed = resume(train_small("cut", config=settings, epochs=1, steps_per_epoch=2).path, epochs=3)
    one, other = (read_checkpoint(run.last_checkpoint)["tagger"] for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.metrics_path.read_text() == resumed.metrics_path.read_text()


def test_the_learning_rate_of_a_chosen_schedule_stays(train_small, config):
    run = train_small(config=config(adapt_to_small=True, schedule="constant"))
    assert run.history()[0]["learning_rate"] == pytest.approx(0.003)


def test_a16_a1_few_tracks_are_heard_often_enough_and_no_more(train_small, config, monkeypatch):
    monkeypatch.setattr(small_collections, "HEARD_OFTEN", 2)
    settings = config(adapt_to_small=True)
    run = train_small(config=settings, epochs=50, steps_per_epoch=2)
    n_tracks = len(run.split.training)
    assert 2 * n_tracks <= run.history()[-1]["step"] * settings.data.batch_size < 2 * n_tracks + 12
    patient = train_small(
        "patient", config=config(adapt_to_small=True, early_stop_patience=None), epochs=9, steps_per_epoch=2
    )
    assert len(patient.history()) == 9


def test_a16_a1_few_tracks_of_one_label_each_share_a_softmax(train_small, config):
    kinds = LabelSpace(tuple(Label(name, (name,)) for name in ("low", "middle", "high")))
    few = train_small("few", config=config(adapt_to_small=True), labels=kinds, steps_per_epoch=1)
    np.testing.assert_allclose(evaluate(few).tracks.scores.sum(axis=1), 1, atol=1e-4)
    x = torch.randn(2, 96, 40)
    wanted, exported = load_model(few)(x), Tagger.from_settings(load_model(few).settings)
    exported.load_state_dict(load_model(few).state_dict())
    torch.testing.assert_close(exported.eval()(x), wanted)
    plain = train_small("plain", labels=kinds, steps_per_epoch=1)
    assert not np.allclose(evaluate(plain).tracks.scores.sum(axis=1), 1, atol=1e-2)


def test_a16_a1_batch_norm_re_estimated_after_the_start_leaves_its_scores(train_small, config, monkeypatch):
    """The statistics that the regression was fitted with are those that the validation finds."""
    found = []

    def remembered(tagger, windows, autocast):
        estimate_statistics(tagger, windows, autocast)
        assert not any(module.training for module in tagger.modules())
        found.append(
            {name: value.clone() for name, value in tagger.state_dict().items() if "running" in name}
        )

    monkeypatch.setattr(loop, "estimate_statistics", remembered)
    still = config(adapt_to_small=True, optimizer={"name": "SGD", "learning_rate": 1e-12})
    train_small(config=still, steps_per_epoch=1)
    at_the_start, at_the_validation = found[-2:]
    assert len(found) == 3
    for name, value in at_the_start.items():
        torch.testing.assert_close(at_the_validation[name], value, rtol=1e-4, atol=1e-5)
