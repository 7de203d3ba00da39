"""Thresholds are tuned on validation tracks, kept in the run, and used while they belong to its weights."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.evaluate import evaluate
from folksong.evaluation.scores import ScoredTracks
from folksong.evaluation.tune_thresholds import thresholds_of, tune_thresholds
from folksong.prediction.thresholds import Thresholds, stored_thresholds
from folksong.runs import Run


@pytest.fixture
def run(tiny_run, tmp_path):
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_evaluation_uses_the_tuned_thresholds(run):
    before = evaluate(run, part="validation", n_resamples=5, write=False)
    assert before.settings["thresholds"] == 0.5
    tuned = tune_thresholds(run)
    assert Thresholds.read(run.path) == tuned
    after = evaluate(run, part="validation", n_resamples=5, write=False)
    assert [figures.threshold for figures in after.labels] == list(tuned.values.values())
    assert [figures.f1 for figures in after.labels] == pytest.approx(list(tuned.f.values()))
    assert after.macro_f1 >= before.macro_f1
    fixed = evaluate(run, part="validation", threshold=0.25, n_resamples=5, write=False)
    assert {figures.threshold for figures in fixed.labels} == {0.25}


def test_thresholds_of_other_weights_are_not_used(run, tiny_waveform_run, caplog):
    tune_thresholds(run)
    shutil.copy(tiny_waveform_run.folder / "checkpoints/best.ckpt", run.best_checkpoint)
    with caplog.at_level(logging.WARNING, "folksong"):
        assert stored_thresholds(run) is None
    assert "tuned for other weights" in caplog.text


def test_absent_labels_keep_one_half_and_unmeasured_tracks_do_not_count():
    targets = np.array([[1, 0], [0, 0], [0, 0]], np.uint8)
    scores = np.array([[0.2, 0.3], [0.1, 0.3], [0.9, 0.9]], np.float32)
    found = thresholds_of(
        ScoredTracks(("a", "b", "c"), ("x", "y"), targets, scores, np.array([True, True, False]))
    )
    assert found.values["x"] == pytest.approx(0.15)
    assert (found.values["y"], found.untuned, found.n_tracks) == (0.5, ("y",), 2)


def test_tuning_on_the_test_part_is_warned_of(run, caplog):
    with caplog.at_level(logging.WARNING, "folksong"):
        tune_thresholds(run, part="test", write=False)
    assert "look better than they are" in caplog.text
    assert not (run.path / "thresholds.json").exists()


def test_missing_and_damaged_thresholds(run):
    with pytest.raises(FolksongError, match="no thresholds yet; tune them"):
        Thresholds.read(run.path)
    tune_thresholds(run)
    path = run.path / "thresholds.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "labels": [{"name": "tone"}]}))
    with pytest.raises(FileFormatError, match=r"thresholds.json: damaged \(KeyError"):
        Thresholds.read(run.path)
    path.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(FileFormatError, match="no thresholds of this version"):
        Thresholds.read(run.path)
