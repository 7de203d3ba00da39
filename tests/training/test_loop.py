"""Small collections (issue 16, A1): epochs of enough steps, statistics that are those of the data, and doubts."""

from __future__ import annotations

import logging

import pytest
import torch

from folksong.errors import FileFormatError
from folksong.models.checkpoint import load_model, read_checkpoint, write_checkpoint
from folksong.shards.loader import WindowDataset
from folksong.shards.reader import ShardReader
from folksong.training import loop, small_collections
from folksong.training.batches import LEAST_STEPS
from folksong.training.config import Config
from folksong.training.loop import TrainingInterrupted
from folksong.training.resume import resume


@pytest.fixture
def adapted(config, monkeypatch):
    """Settings that adapt to small collections in epochs and batch norm alone."""
    monkeypatch.setattr(small_collections, "FEW_TRACKS", 0)

    def make(**training):
        return config(adapt_to_small=True, **training)

    return make


def test_a16_a1_an_epoch_of_few_tracks_has_enough_steps(train_small, config, adapted):
    assert train_small("small", config=adapted()).history()[0]["step"] == LEAST_STEPS
    assert train_small("published", config=config()).history()[0]["step"] == 3  # of 21 tracks
    assert train_small("told", config=adapted(), steps_per_epoch=4).history()[0]["step"] == 4


def test_a16_a1_statistics_are_those_of_the_training_part(train_small, config, adapted, shards):
    """With them a network out of training gives what it gives in training; with running ones it does not."""
    gaps = {}
    for name, settings in (("adapted", adapted()), ("published", config())):
        run = train_small(name, config=settings, epochs=1, steps_per_epoch=6)
        tagger = load_model(run, checkpoint=run.last_checkpoint)
        reader = ShardReader(shards)
        records = [reader.track_ids.index(track) for track in run.split.training]
        dataset = WindowDataset(
            reader, records, run.labels.encode(reader.tag_table())[records], 20, random=False
        )
        x = dataset.__getitems__(range(len(records)))["x"]
        with torch.inference_mode():
            settled = tagger(x)
            for module in tagger.modules():
                if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                    module.train()
            gaps[name] = float((tagger(x) - settled).abs().mean())
    assert gaps["adapted"] < 0.6 * gaps["published"]


def test_a16_a1_statistics_are_left_alone_once_many_batches_were_seen(train_small, adapted, monkeypatch):
    called = []
    monkeypatch.setattr(loop, "SETTLED_BATCHES", 8)
    original = loop.re_estimate_statistics
    monkeypatch.setattr(
        loop,
        "re_estimate_statistics",
        lambda state, *given: (called.append(state.counts.step), original(state, *given)),
    )
    train_small(config=adapted(), epochs=3, steps_per_epoch=4)
    assert called == [4]


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a16_a1_a_resumed_training_finds_the_same_statistics(train_small, adapted, monkeypatch, step):
    options = {"epochs": 3, "steps_per_epoch": 3, "config": adapted(batch_size=3, accumulate_batches=2)}
    whole = train_small("whole", **options)
    original = loop.seed_dropout

    def stop(seed, batch_number, rank):
        if batch_number == 2 * step - 1:
            raise_signal()
        original(seed, batch_number, rank)

    def raise_signal():
        import os
        import signal

        monkeypatch.setattr(loop, "seed_dropout", original)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "seed_dropout", stop)
    with pytest.raises(TrainingInterrupted):
        train_small("cut", **options)
    resumed = resume(whole.path.parent / "cut")
    one, other = (read_checkpoint(run.last_checkpoint)["tagger"] for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.metrics_path.read_text() == resumed.metrics_path.read_text()


def test_a16_a1_a_lucky_epoch_of_few_validation_tracks_is_not_the_best_one():
    figures = [0.2, 0.3, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7]
    settings = Config().with_changes(schedule={"early_stop_patience": 3})
    decided = {}
    for smoothed in (1, 5):
        counts = loop.Counts()
        for figure in figures:
            counts.finish_epoch({"micro_pr_auc": figure}, 1e-3, settings, smoothed)
        decided[smoothed] = [row["epoch"] for row in counts.history if row["best"]][-1]
        assert counts.is_out_of_patience(settings) == (smoothed == 1)
    assert decided == {1: 3, 5: 7}
    assert counts.best == pytest.approx(0.54)  # the mean of five


def test_a16_a1_too_few_steps_and_constant_scores_are_said(train_small, config, caplog, monkeypatch):
    with caplog.at_level(logging.WARNING):
        run = train_small(config=config())
    assert "the best network has learned for 3 steps only" in caplog.text
    assert run.history()[0]["constant_labels"] == 0
    caplog.clear()
    monkeypatch.setattr(loop, "CONSTANT_SCORES", 2.0)
    monkeypatch.setattr(loop, "FEW_STEPS", 3)
    with caplog.at_level(logging.WARNING):
        train_small("constant", config=config())
    assert "5 of 5 labels have the same score for every track" in caplog.text
    assert "steps only" not in caplog.text


def test_a16_a4_a_stopped_training_ends_a_script_without_a_traceback(train_small):
    assert issubclass(TrainingInterrupted, SystemExit)
    assert "can be resumed" in str(TrainingInterrupted(train_small()))


@pytest.mark.parametrize(
    "change",
    [
        {"step": "x"},
        {"epoch": -5},
        {"history": [3]},
        {"optimizer": {}},
        {"schedule": None},
        {"tagger": 7},
        {"step": 10_000},
        {"epoch": 0},
        {"history": []},
    ],
    ids=str,
)
def test_16_c6_an_edited_checkpoint_is_not_gone_on_with(train_small, change):
    run = train_small()
    content = read_checkpoint(run.last_checkpoint)
    write_checkpoint(run.last_checkpoint, {**content, **change})
    with pytest.raises(FileFormatError, match=r"last\.ckpt: damaged \("):
        resume(run)


def test_16_c6_figures_of_epochs_that_are_none_are_named(train_small):
    run = train_small()
    for content in (b"\xff\n", b"3\n", b'{"epoch": 1', b"[" * 100_000):
        run.metrics_path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"metrics\.jsonl"):
            run.best_row()
