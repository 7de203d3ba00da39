"""Whole trainings of a small network: what a run holds, exactness, and what ends one."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from folksong.errors import FileFormatError, FolksongError
from folksong.files import locked, write_signed
from folksong.labels import Label, LabelSpace
from folksong.models.checkpoint import load_model, read_checkpoint
from folksong.runs import BEGUN_NAME, Run, begin_folder
from folksong.shards.reader import ShardReader
from folksong.splits import Split
from folksong.tags.table import TagTable
from folksong.training import loop
from folksong.training.config import write_config_template
from folksong.training.loop import TrainingInterrupted
from folksong.training.resume import resume


def weights_of(run):
    return read_checkpoint(run.last_checkpoint)["tagger"]


def same_weights(one, other):
    one, other = weights_of(one), weights_of(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stop_after(monkeypatch, step, number=signal.SIGINT, per_step=1):
    """Send the signal while step `step` (from 1) runs, once."""
    original = loop.seed_dropout

    def hook(seed, batch_number, rank):
        if batch_number == (step - 1) * per_step:
            monkeypatch.setattr(loop, "seed_dropout", original)
            os.kill(os.getpid(), number)
        original(seed, batch_number, rank)

    monkeypatch.setattr(loop, "seed_dropout", hook)


def test_a_run_holds_all_that_prediction_needs(train_small, shards):
    run = Run.open(train_small(epochs=2).path)
    assert run.front_end == run.audio_format == "log-mel-spectrogram"
    assert (run.sample_rate, run.window_seconds, run.window_steps) == (16000, 0.64, 20)
    assert run.preset == ShardReader(shards).manifest.preset
    assert run.shards_dir == shards
    assert set(run.labels.names) == {"low", "middle", "high", "calm", "seen live"}
    assert len(run.split.training) == 24
    tagger = load_model(run)
    assert not tagger.training
    assert tagger.labels == run.labels
    assert tagger(torch.zeros(1, 96, 20)).shape == (1, 5)
    rows = run.history()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {"loss", "macro_pr_auc", "micro_pr_auc", "macro_roc_auc", "validation_loss"} <= rows[0].keys()
    card = run.model_card_path.read_text()
    for word in ("low, ", "| validation | ", "batch_size: 6", "torch 2", "macro_pr_auc"):
        assert word in card
    assert list((run.path / "tensorboard").glob("events.*"))


def test_what_can_be_heard_is_learned(train_small, config):
    kinds = LabelSpace(tuple(Label(kind, (kind,)) for kind in ("low", "middle", "high")))
    settings = config(batch_size=8, optimizer={"name": "Adam", "learning_rate": 0.01})
    run = train_small(config=settings, epochs=12, steps_per_epoch=10, labels=kinds)
    assert run.best_row()["macro_roc_auc"] > 0.95
    assert run.history()[-1]["loss"] < 0.5 * run.history()[0]["loss"]


def test_equal_seeds_give_equal_bits_and_others_do_not(train_small):
    one, same, other = train_small("a"), train_small("b", workers=2), train_small("c", seed=4)
    assert same_weights(one, same)
    assert one.metrics_path.read_text() == same.metrics_path.read_text()
    assert not same_weights(one, other)


EVERYTHING = {
    "batch_size": 3,
    "accumulate_batches": 2,
    "clip_gradient_norm": 0.5,
    "optimizer": {"name": "AdamW", "learning_rate": 0.003, "weight_decay": 0.1},
    "schedule": "cosine",
    "warmup_steps": 2,
    "augmentation": {"frequency_masks": 2, "time_masks": 1, "time_mask_seconds": 0.2},
}


@pytest.mark.parametrize(
    ("step", "settings"),
    [
        *((step, {}) for step in (1, 2, 3, 5, 6, 9)),
        *((step, EVERYTHING) for step in (1, 2, 6, 7)),
        (5, {**EVERYTHING, "schedule": "one-cycle"}),
        (5, {**EVERYTHING, "schedule": "plateau", "reduceLRoP_patience": 1, "reduceLRoP_min_delta": 5.0}),
    ],
)
def test_an_interrupted_training_resumes_to_the_same_bits(train_small, monkeypatch, config, step, settings):
    options = {"epochs": 3, "steps_per_epoch": 3, "config": config(**settings)}
    whole = train_small("whole", **options)
    stop_after(monkeypatch, step, per_step=settings.get("accumulate_batches", 1))
    with pytest.raises(TrainingInterrupted, match=r"interrupted; .*cut holds what was reached") as caught:
        train_small("cut", **options)
    assert read_checkpoint(caught.value.run.last_checkpoint)["step"] == step
    resumed = resume(caught.value.run.path, workers=1)
    assert same_weights(whole, resumed)
    assert whole.metrics_path.read_text() == resumed.metrics_path.read_text()
    for name in ("optimizer", "schedule", "best", "epochs_without_improvement"):
        states = [read_checkpoint(run.last_checkpoint)[name] for run in (whole, resumed)]
        assert str(states[0]) == str(states[1])


KILLED = """
import os, signal, sys
from folksong.models import tagger as network
from folksong.training import loop
network.N_FILTERS = 16
original = loop.seed_dropout
def hook(seed, batch_number, rank):
    if batch_number == 2 * (int(sys.argv[4]) - 1):  # two batches a step
        os.kill(os.getpid(), signal.SIGKILL)
    original(seed, batch_number, rank)
loop.seed_dropout = hook
from folksong.training.train import train
train("log-mel-spectrogram", sys.argv[1], out=sys.argv[2], config=sys.argv[3], epochs=2, steps_per_epoch=4,
      save_every=2, precision="32", seed=3, workers=2)
"""


def test_a_killed_training_resumes_to_the_same_bits(train_small, shards, config, tmp_path):
    settings = config(**EVERYTHING)
    (tmp_path / "config.json").write_text(json.dumps(settings.to_dict()))
    words = [KILLED, shards, tmp_path / "killed", tmp_path / "config.json", 8]
    killed = subprocess.run([sys.executable, "-c", *map(str, words)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = tmp_path / "killed" / "checkpoints" / ".last.ckpt.0123abcd.part"
    left.write_bytes(b"half")
    os.utime(left, (1e9, 1e9))
    run = Run.open(tmp_path / "killed")
    assert read_checkpoint(run.last_checkpoint)["step"] == 6
    resumed = resume(run)
    whole = train_small("whole", config=settings, epochs=2, steps_per_epoch=4)
    assert same_weights(whole, resumed)
    assert whole.metrics_path.read_text() == resumed.metrics_path.read_text()
    assert not left.exists()


def test_a_request_to_end_is_heeded_too_and_handlers_are_put_back(train_small, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    stop_after(monkeypatch, 2, signal.SIGTERM)
    with pytest.raises(TrainingInterrupted):
        train_small(epochs=2)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_finished_run_can_learn_for_longer(train_small):
    longer = resume(train_small("short", epochs=1), epochs=3)
    assert same_weights(longer, train_small("long", epochs=3))


def test_a_run_that_has_nothing_to_do_stays_as_it_is(train_small):
    run = train_small()
    before = run.metrics_path.read_text()
    assert resume(run).metrics_path.read_text() == before


def test_early_stopping_waits_for_its_patience(train_small, config):
    settings = config(early_stop_patience=2, early_stop_min_delta=5.0)
    run = train_small(config=settings, epochs=9)
    assert len(run.history()) == 3
    assert "Early stopping ended it" in run.model_card_path.read_text()
    assert len(resume(run).history()) == 3


def test_the_learning_rate_is_lowered_but_not_below_its_least(train_small, config):
    settings = config(
        reduceLRoP_patience=1, reduceLRoP_factor=0.1, reduceLRoP_min_delta=5.0, reduceLRoP_min_lr=1e-4,
        early_stop_patience=None,
    )  # fmt: skip
    rates = [row["learning_rate"] for row in train_small(config=settings, epochs=6).history()]
    assert rates == pytest.approx([3e-3, 3e-3, 3e-3, 3e-4, 3e-4, 1e-4])


def test_no_reduction_when_switched_off(train_small, config):
    settings = config(reduceLRoP_patience=None, reduceLRoP_min_delta=5.0)
    assert {row["learning_rate"] for row in train_small(config=settings, epochs=4).history()} == {3e-3}


@pytest.mark.parametrize("multi_tag", [False, True])
def test_the_leading_average_decides_which_epoch_is_best(train_small, multi_tag):
    run = train_small(epochs=4, multi_tag=multi_tag)
    rows = run.history()
    leading = [row["macro_pr_auc" if multi_tag else "micro_pr_auc"] for row in rows]
    best = max(range(4), key=lambda place: (leading[place], -place))
    assert run.best_row()["epoch"] == best + 1
    assert read_checkpoint(run.best_checkpoint)["epoch"] == best + 1


def test_a_training_part_smaller_than_a_batch_shrinks_it(train_small, config, caplog):
    with caplog.at_level(logging.WARNING):
        run = train_small(config=config(batch_size=500))
    tracks = run.config["parts"]["training"]["tracks"]
    assert f"the training part has {tracks} tracks: batches of {tracks}, not 500" in caplog.text
    assert run.history()[0]["step"] == 1


def test_a_step_takes_the_batches_that_are_accumulated(train_small, config):
    run = train_small(
        config=config(batch_size=4, accumulate_batches=2)
    )  # of 21 tracks 5 batches, of those 2 steps
    assert run.history()[0]["step"] == 2
    with pytest.raises(
        FolksongError, match="accumulate_batches 6: a pass over the training part gives 5 batches"
    ):
        train_small("none", config=config(batch_size=4, accumulate_batches=6))


def test_settings_of_an_other_front_end_or_length_are_refused(train_small, config):
    with pytest.raises(FolksongError, match="gain_db is for waveforms"):
        train_small("a", config=config(augmentation={"gain_db": 6}))
    with pytest.raises(FolksongError, match="warmup_steps 30: the training has 3 steps in all"):
        train_small("b", config=config(warmup_steps=30))
    assert not (train_small("c").path.parent / "a").exists()


def test_an_incomplete_last_batch_is_dropped(train_small, config):
    run = train_small(config=config(batch_size=10))
    assert run.history()[0]["step"] == run.config["parts"]["training"]["tracks"] // 10


def test_one_window_a_step_is_refused(train_small, config):
    with pytest.raises(FolksongError, match="batch norm needs 2 or more windows"):
        train_small(config=config(batch_size=1))


def test_without_a_validation_part_the_last_epoch_is_the_best(train_small, config, caplog):
    with caplog.at_level(logging.WARNING):
        run = train_small(config=config(split=[80, 0, 20]), epochs=2)
    assert "validation part is empty" in caplog.text
    assert run.best_row()["epoch"] == 2


def test_undefined_figures_are_null(train_small, shards):
    ids = sorted(ShardReader(shards).track_ids)
    low = [track for track in ids if int(track[1:]) % 3 == 0 and int(track[1:]) % 8 != 7]
    split = Split(tuple(ids[:24]), tuple(track for track in low if track not in ids[:24]), ())
    space = LabelSpace((Label("low", ("low",)),))
    run = train_small(labels=space, split=split)
    text = run.metrics_path.read_text()
    assert json.loads(text)["macro_pr_auc"] is None
    assert run.best_checkpoint.exists()


def test_audio_that_is_not_finite_stops_with_the_names_of_its_tracks(train_small, write_shards, tmp_path):
    sounds = [np.zeros((96, 30), np.float32) + number for number in range(20)]
    sounds[7][5, :] = np.nan
    folder = write_shards(tmp_path / "broken", sounds, [[["a"], ["b"]] * 10])
    ids = [f"T{number:03d}" for number in range(20)]
    for name, split in (("a", Split(tuple(ids), (), ())), ("b", Split(tuple(ids[8:]), tuple(ids[:8]), ()))):
        with pytest.raises(
            FolksongError, match="of these tracks is not finite: T007; write their shards anew"
        ):
            train_small(name, shards_folder=folder, split=split)


def test_a_loss_that_is_not_finite_stops_with_names(train_small, config):
    settings = config(optimizer={"name": "SGD", "learning_rate": 1e30})
    with pytest.raises(FolksongError, match=r"the loss became (nan|inf) on the tracks T0"):
        train_small(config=settings, epochs=4)


def test_windows_too_short_for_the_network_are_refused(train_small, config):
    with pytest.raises(FolksongError, match=r"0\.1 s has 3 frames; .* at least 8: take longer windows"):
        train_small(config=config(window_length=0.1))


def test_the_front_end_must_fit_the_shards(shards, tmp_path):
    from folksong.training.train import train

    with pytest.raises(FolksongError, match="hold log-mel-spectrogram, the front-end takes waveform"):
        train("waveform", shards, out=tmp_path / "run")
    with pytest.raises(FolksongError, match="did you mean 'waveform'"):
        train("wavform", shards, out=tmp_path / "run")


@pytest.mark.parametrize(("key", "value"), [("n_mels", 128), ("sample_rate", 22050)])
def test_settings_must_agree_with_the_records(train_small, config, key, value):
    settings = config().with_changes(**{key: value})
    with pytest.raises(FolksongError, match=rf"{key} {value}, but the shards in .* have"):
        train_small(config=settings)


def test_a_run_is_not_overwritten(train_small):
    train_small()
    with pytest.raises(FolksongError, match=r"already holds a run.*or resume it"):
        train_small()


@pytest.mark.parametrize("name", ["labels.json", "split.json", "model_card.md", "tags.db", "config.json"])
def test_b1_files_of_another_in_the_folder_of_a_new_run_stay(train_small, tmp_path, name):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(FolksongError, match=rf"{name}.*choose another folder"):
        train_small("work", tags=TagTable(["T000"], ["low"], sp.csr_matrix([[1.0]])))
    assert [path.read_text() for path in folder.iterdir()] == ["mine"]


def test_b1_what_a_killed_training_began_is_replaced(train_small, tmp_path):
    begin_folder(tmp_path / "run")
    (tmp_path / "run" / "labels.json").write_text("{}")
    run = train_small()
    assert len(Run.open(run.path).labels) > 0
    assert not (run.path / BEGUN_NAME).exists()


def test_b3_a_run_that_another_process_trains_is_not_trained(train_small):
    run = train_small()
    kept = weights_of(run)["back_end.dense.weight"]
    with (
        locked(run.path / loop.LOCK_NAME),
        pytest.raises(FolksongError, match="another process trains this run"),
    ):
        resume(run, epochs=2)
    assert torch.equal(weights_of(run)["back_end.dense.weight"], kept)
    assert len(resume(run, epochs=2).metrics_path.read_text().splitlines()) == 2


def test_shards_and_tags_must_be_those_of_the_run(train_small, write_shards, tmp_path):
    run = train_small()
    other = write_shards(tmp_path / "other", [np.zeros((96, 30), np.float32)] * 8, [[["low"]] * 8])
    with pytest.raises(FolksongError, match=r"not the shards that .* was trained on"):
        resume(run, shards=other, epochs=2)


def test_folders_that_are_no_runs(tmp_path, train_small):
    with pytest.raises(FolksongError, match="no such folder"):
        Run.open(tmp_path / "none")
    with pytest.raises(FolksongError, match=r"no run here \(it has no config\.json\)"):
        Run.open(tmp_path)
    write_config_template(tmp_path / "config.json", overwrite=True)
    with pytest.raises(FileFormatError, match=r"config\.json: not valid JSON, but settings of a training"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileFormatError, match=r"not the config.json of a run"):
        Run.open(tmp_path)
    run = train_small()
    content = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(FileFormatError, match="version 99"):
        Run.open(run.path)
    del content["tagger"], content["sha256"]
    write_signed(run.path / "config.json", content)
    with pytest.raises(FileFormatError, match=r"damaged \(KeyError: 'tagger'\)"):
        Run.open(run.path)


def test_damaged_checkpoints_are_named(train_small, tmp_path):
    run = train_small()
    data = run.best_checkpoint.read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"text"):
        run.best_checkpoint.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"best\.ckpt: cut or damaged"):
            load_model(run)
    run.best_checkpoint.unlink()
    with pytest.raises(FolksongError, match=r"best\.ckpt: no such checkpoint"):
        load_model(run)
    torch.save({"weights": 1}, run.best_checkpoint)
    with pytest.raises(FileFormatError, match="not a checkpoint of folksong"):
        load_model(run)


def test_weights_of_another_network_are_refused(train_small, config):
    run, other = train_small("a"), train_small("b", config=config().with_changes(n_dense_units=9))
    with pytest.raises(FileFormatError, match=r"not of the network that config.json describes"):
        load_model(run, checkpoint=other.best_checkpoint)


def test_a_table_of_tags_is_kept_in_the_run(train_small, shards, caplog):
    run = train_small(tags=ShardReader(shards).tag_table())
    assert run.config["tags"]["path"] == str((run.path / "tags.db").absolute())
    with caplog.at_level(logging.WARNING):
        assert len(resume(run, epochs=2).history()) == 2
    assert "have changed" not in caplog.text


def test_one_hot_tags_must_be_as_many_as_the_settings_say(train_small, config, monkeypatch):
    monkeypatch.setattr(ShardReader, "one_hot_length", lambda self, database=0: 155)
    assert train_small("right", config=config().with_changes(n_tags=155)).history()
    with pytest.raises(FolksongError, match=r"n_tags 50, but the shards in .* have 155"):
        train_small("wrong", config=config().with_changes(n_tags=50))
