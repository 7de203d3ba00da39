"""Evaluating a real, tiny run: the figures of what `predict` says of the same recordings, against the tags."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.evaluate import evaluate, read_evaluation
from folksong.evaluation.scores import ScoredTracks
from folksong.files import write_signed
from folksong.prediction import load_tagger
from folksong.runs import Run

FEW = {"n_resamples": 50, "device": "cpu"}


@pytest.fixture(scope="module")
def evaluated(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(tiny_run.folder, folder)
    return evaluate(folder, **FEW)


def copy_of(run, tmp_path, **config):
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    if config:
        content = json.loads((folder / "config.json").read_text())
        write_signed(folder / "config.json", {**content, **config})
    return folder


def tags_of(path):
    with path.open() as stream:
        rows = list(csv.reader(stream))[1:]
    tags = {}
    for row in rows:
        tags.setdefault(row[0], set()).add(row[1])
    return tags


@pytest.mark.parametrize("kind", ["tiny_run", "tiny_waveform_run"])
def test_scores_are_those_of_predict_and_targets_those_of_the_tags(request, kind):
    tiny = request.getfixturevalue(kind)
    found = evaluate(tiny.folder, write=False, **FEW)
    run = Run.open(tiny.folder)
    assert sorted(found.tracks.track_ids) == sorted(run.split.test)
    tagger = load_tagger(run, device="cpu", precision="32")
    tags = tags_of(tiny.tags)
    for row, track_id in enumerate(found.tracks.track_ids):
        expected = tagger.scores(tiny.audio / f"{track_id}.wav")
        np.testing.assert_allclose(found.tracks.scores[row], expected, atol=1e-5)
        carried = [name in tags[track_id] for name in found.tracks.labels]
        assert found.tracks.targets[row].astype(bool).tolist() == carried


def test_figures_are_scikit_learns(evaluated):
    targets, scores = evaluated.tracks.targets, evaluated.tracks.scores
    assert evaluated.n_tracks == len(targets)
    assert evaluated.unlabelled == 0
    for column, figures in enumerate(evaluated.labels):
        expected = roc_auc_score(targets[:, column], scores[:, column])
        assert figures.roc_auc.value == pytest.approx(expected, abs=1e-12)
        expected = average_precision_score(targets[:, column], scores[:, column])
        assert figures.pr_auc.value == pytest.approx(expected, abs=1e-12)
        assert figures.pr_auc.chance == pytest.approx(targets[:, column].mean())
        (tn, fp), (fn, tp) = figures.confusion
        assert (tp + fn, tn + fp + fn + tp) == (targets[:, column].sum(), len(targets))
        assert tp + fp == (scores[:, column] >= 0.5).sum()
    for average in ("macro", "micro"):
        found = getattr(evaluated, f"{average}_roc_auc")
        assert found.value == pytest.approx(roc_auc_score(targets, scores, average=average), abs=1e-12)
        assert found.low <= found.value <= found.high
        found = getattr(evaluated, f"{average}_pr_auc")
        assert found.value == pytest.approx(
            average_precision_score(targets, scores, average=average), abs=1e-12
        )
        assert found.lift == pytest.approx(found.value / targets.mean())


def test_what_is_written_is_what_was_found(evaluated, tiny_run):
    folder = Run.open(evaluated.run).evaluation_dir
    again = read_evaluation(folder)
    for name in ("n_tracks", "unlabelled", "macro_roc_auc", "micro_pr_auc", "labels", "level", "settings"):
        assert getattr(again, name) == getattr(evaluated, name)
    np.testing.assert_array_equal(again.tracks.scores, evaluated.tracks.scores)
    with np.load(folder / "test.npz", allow_pickle=False) as file:
        assert file["track_ids"].tolist() == list(evaluated.tracks.track_ids)
    with (folder / "test.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == list(evaluated.tracks.labels)
    assert float(rows[0]["roc_auc"]) == pytest.approx(evaluated.labels[0].roc_auc.value, abs=1e-6)


def test_same_inputs_and_seed_give_the_same_bytes(evaluated, tiny_run, tmp_path):
    folder = copy_of(tiny_run, tmp_path)
    evaluate(folder, **FEW)
    first = Run.open(evaluated.run).evaluation_dir
    assert (folder / "evaluation/test.npz").read_bytes() == (first / "test.npz").read_bytes()
    assert (folder / "evaluation/test.csv").read_bytes() == (first / "test.csv").read_bytes()
    found, before = (
        json.loads((place / "test.json").read_text()) for place in (folder / "evaluation", first)
    )
    assert {**found, "run": ""} == {**before, "run": ""}


def test_labels_without_a_track_are_listed_and_left_out(tiny_run, tmp_path):
    tags = tmp_path / "tags.csv"
    kept = [line for line in tiny_run.tags.read_text().splitlines() if '"odd"' not in line]
    assert len(kept) < len(tiny_run.tags.read_text().splitlines())
    tags.write_text("\n".join(kept) + "\n")
    folder = copy_of(tiny_run, tmp_path)
    found = evaluate(folder, tags=tags, **FEW)
    assert found.no_positive == ("odd",)
    assert np.isnan(found["odd"].roc_auc.value)
    others = [figures.roc_auc.value for figures in found.labels if figures.name != "odd"]
    assert found.macro_roc_auc.value == pytest.approx(np.mean(others))
    content = json.loads((folder / "evaluation/test.json").read_text())
    assert next(entry for entry in content["labels"] if entry["name"] == "odd")["roc_auc"]["value"] is None
    assert np.isnan(read_evaluation(folder / "evaluation")["odd"].pr_auc.value)


@pytest.mark.parametrize("keep", [False, True])
def test_unlabelled_tracks_are_scored_but_measured_only_if_the_run_keeps_them(tiny_run, tmp_path, keep):
    """noise/0 has no label of the space; it is in the training part of this split or another."""
    run = Run.open(tiny_run.folder)
    part = next(name for name in ("training", "validation", "test") if "noise/0" in run.split.part(name))
    folder = copy_of(tiny_run, tmp_path, keep_unlabelled=keep)
    found = evaluate(folder, part=part, **FEW)
    row = found.tracks.track_ids.index("noise/0")
    assert found.tracks.measured[row] == keep
    assert not found.tracks.targets[row].any()
    assert found.tracks.scores[row].all()
    assert found.n_tracks == len(run.split.part(part)) - (not keep)
    assert found.unlabelled == (not keep)


def test_centre_windows_differ_from_whole_tracks(evaluated, tiny_run):
    centre = evaluate(tiny_run.folder, windows="centre", write=False, **FEW)
    run = Run.open(tiny_run.folder)
    lengths = {track: 0.7 if track.endswith("/0") else 2.0 for track in centre.tracks.track_ids}
    same = np.isclose(centre.tracks.scores, evaluated.tracks.scores, atol=1e-6).all(axis=1)
    assert same.tolist() == [lengths[track] < run.window_seconds for track in centre.tracks.track_ids]
    short_hop = evaluate(tiny_run.folder, hop_seconds=0.1, write=False, **FEW)
    assert (short_hop.tracks.scores != evaluated.tracks.scores).any()


def test_moved_and_foreign_shards(tiny_run, tiny_waveform_run, tmp_path):
    content = json.loads((tiny_run.folder / "config.json").read_text())
    folder = copy_of(tiny_run, tmp_path, shards={**content["shards"], "folder": str(tmp_path / "gone")})
    with pytest.raises(FolksongError, match=r"gone: the shards of .* are no longer there; say where"):
        evaluate(folder, **FEW)
    found = evaluate(folder, shards=tiny_run.shards, write=False, **FEW)
    assert found.n_tracks == len(Run.open(folder).split.test)
    with pytest.raises(FolksongError, match="these shards have audio_format 'waveform', but"):
        evaluate(folder, shards=tiny_waveform_run.shards, **FEW)


def test_changed_and_missing_tags(tiny_run, tmp_path, caplog):
    content = json.loads((tiny_run.folder / "config.json").read_text())
    tags = tmp_path / "tags.csv"
    shutil.copy(tiny_run.tags, tags)
    folder = copy_of(tiny_run, tmp_path, tags={**content["tags"], "path": str(tags)})
    with caplog.at_level(logging.WARNING, "folksong"):
        evaluate(folder, write=False, **FEW)
        assert "tags have changed" not in caplog.text
        with tags.open("a") as stream:
            stream.write('"tone/1","noise",1.0\n')
        evaluate(folder, write=False, **FEW)
    assert "the tags have changed since" in caplog.text
    tags.unlink()
    with pytest.raises(FolksongError, match=r"tags\.csv"):
        evaluate(folder, **FEW)


def test_unknown_part_and_part_without_records(tiny_run, tmp_path):
    with pytest.raises(FolksongError, match="no part is called 'tests'; did you mean 'test'"):
        evaluate(tiny_run.folder, part="tests", **FEW)
    folder = copy_of(tiny_run, tmp_path)
    split = Run.open(folder).split

    def change_test_part(*tracks):
        changed = replace(split, test=tracks)
        changed.write(folder / "split.json")
        content = json.loads((folder / "config.json").read_text())
        write_signed(folder / "config.json", {**content, "split_sha256": changed.sha256()})

    change_test_part("elsewhere/1")
    with pytest.raises(
        FolksongError, match=r"test part has no track to score \(none of its 1 tracks has a record"
    ):
        evaluate(folder, **FEW)
    change_test_part()
    with pytest.raises(FolksongError, match="the split has none"):
        evaluate(folder, **FEW)


def test_damaged_and_missing_results(evaluated, tmp_path):
    source = Run.open(evaluated.run).evaluation_dir
    with pytest.raises(FolksongError, match=r"validation.json: not there; evaluate the validation part"):
        read_evaluation(source, "validation")
    for name in ("test.json", "test.npz"):
        shutil.copy(source / name, tmp_path)
    whole = (tmp_path / "test.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "test.npz").write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"test.npz: not the scores of an evaluation, or damaged"):
            read_evaluation(tmp_path)
    (tmp_path / "test.npz").write_bytes(whole)
    with pytest.raises(FolksongError, match=r"none.npz: no such file.*evaluate the run"):
        ScoredTracks.read(tmp_path / "none.npz")
    content = json.loads((tmp_path / "test.json").read_text())
    del content["micro_roc_auc"]
    (tmp_path / "test.json").write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"damaged \(KeyError: 'micro_roc_auc'"):
        read_evaluation(tmp_path)
    (tmp_path / "test.json").write_text("{}")
    with pytest.raises(FileFormatError, match="not an evaluation"):
        read_evaluation(tmp_path)
