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
from folksong.files import write_signed
from folksong.prediction import load_tagger
from folksong.runs import Run, Scoring, Thresholds, stored_thresholds


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
    assert "tuned for other weights or labels" in caplog.text


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
        tune_thresholds(run, part="test")
    assert "look better than they are" in caplog.text
    assert Thresholds.read(run.path).part == "test"


def test_missing_and_damaged_thresholds(run):
    with pytest.raises(FolksongError, match="no thresholds yet; tune them"):
        Thresholds.read(run.path)
    tune_thresholds(run)
    path = run.path / "thresholds.json"
    content = json.loads(path.read_text())
    write_signed(path, {**content, "labels": [{"name": "tone"}]})
    with pytest.raises(FileFormatError, match=r"thresholds.json: damaged \(KeyError"):
        Thresholds.read(run.path)
    write_signed(path, {**content, "labels": content["labels"][1:]})
    with pytest.raises(FileFormatError, match=r"thresholds.json: holds thresholds of other labels"):
        load_tagger(run, device="cpu")
    write_signed(path, {**content, "version": 99})
    with pytest.raises(FileFormatError, match="version 99"):
        Thresholds.read(run.path)
    path.write_text('{"mine": 1}')
    with pytest.raises(FileFormatError, match=r"thresholds.json: not thresholds .*; tune them again"):
        stored_thresholds(run)
    tune_thresholds(run)
    assert stored_thresholds(run) is not None


def test_a2_evaluation_tuning_and_prediction_score_tracks_the_same_way(run, tiny_run):
    """One definition is stored with the run; a faster one is taken if thresholds were tuned on it."""
    assert json.loads((run.path / "config.json").read_text())["scoring"] == {
        "windows": "track",
        "hop_seconds": None,
        "precision": "32",
    }
    found = evaluate(run, part="validation", n_resamples=5, write=False)

    def predicted(**how):
        tagger = load_tagger(run, device="cpu", **how)
        return tagger, [tagger.scores(tiny_run.audio / f"{track}.wav") for track in found.tracks.track_ids]

    np.testing.assert_allclose(predicted()[1], found.tracks.scores, atol=1e-5)
    tuned = tune_thresholds(run)
    tagger, scores = predicted()
    np.testing.assert_allclose(scores, found.tracks.scores, atol=1e-5)
    assert tagger.thresholds.tolist() == list(tuned.values.values())

    fast = Scoring(hop_seconds=0.25, precision="bf16")
    again = tune_thresholds(run, scoring=fast)
    assert again.scoring == fast
    tagger, scores = predicted()
    assert tagger.thresholds is not None
    later = evaluate(run, part="validation", n_resamples=5, write=False)
    np.testing.assert_allclose(scores, later.tracks.scores, atol=0.01)
    assert {"hop_seconds": 0.25, "precision": "bf16"}.items() <= later.settings.items()
    assert [figures.f1 for figures in later.labels] == pytest.approx(list(again.f.values()), abs=1e-6)


def test_a2_thresholds_are_not_used_on_scores_made_otherwise(run, caplog):
    tune_thresholds(run)
    with caplog.at_level(logging.WARNING, "folksong"):
        assert load_tagger(run, precision="bf16").thresholds is None
    assert "its thresholds were tuned on windows and precision other than those wanted" in caplog.text
    other = evaluate(run, part="validation", windows="centre", n_resamples=5, write=False)
    assert other.settings["thresholds"] == 0.5


@pytest.mark.parametrize("name", ["labels.json", "split.json", "config.json", "thresholds.json"])
def test_c1_an_edited_file_of_a_run_is_refused(run, name):
    """Labels in another order would give confident wrong names."""
    tune_thresholds(run)
    path = run.path / name
    content = json.loads(path.read_text())
    if name == "labels.json":
        content["labels"].reverse()
    elif name == "split.json":
        content["test"], content["training"] = content["training"], content["test"]
    elif name == "config.json":
        content["audio"]["window_seconds"] *= 2
    else:
        content["labels"][0]["threshold"] = 0.0
    path.write_text(json.dumps(content))
    for use in (evaluate, tune_thresholds, load_tagger):
        if name == "split.json" and use is load_tagger:
            continue  # prediction needs no split
        if name == "thresholds.json" and use is tune_thresholds:
            continue  # it replaces them
        with pytest.raises(
            FileFormatError, match=rf"{name}: was (edited|changed).*(train again|tune them again)"
        ):
            use(run.path)
