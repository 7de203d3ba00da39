"""K-fold cross-validation: every track tested once, by a network that never heard it; pooled; goes on after a stop."""

from __future__ import annotations

import numpy as np
import pytest

from folksong.errors import FolksongError
from folksong.evaluation import cross_validate as module
from folksong.evaluation.cross_validate import cross_validate
from folksong.evaluation.evaluate import read_evaluation
from folksong.labels.space import LabelSpace
from folksong.runs import Run
from folksong.tags.sources.read_tags import read_tags


def validate(tiny_run, out, **options):
    run = Run.open(tiny_run.folder)
    settings = {
        "labels": run.labels, "tags": tiny_run.tags, "n_folds": 3, "adapt_to_small": False, "precision": "32",
        "epochs": 1, "n_dense_units": 8, "n_filters": 1, "window_seconds": 1.25, "batch_size": 4,
    }  # fmt: skip
    return cross_validate(
        "log-mel-spectrogram", tiny_run.shards, out=out, config=None, progress=False, **settings | options
    )


def test_every_track_is_tested_once_by_a_network_that_never_heard_it(tiny_run, tmp_path):
    found = validate(tiny_run, tmp_path / "out")
    runs = [Run.open(tmp_path / "out" / f"fold-{number}") for number in (1, 2, 3)]
    tested = [track for run in runs for track in run.split.test]
    assert len(tested) == len(set(tested)) == len(read_tags(tiny_run.tags).track_ids)
    for run in runs:
        assert not set(run.split.test) & {*run.split.training, *run.split.validation}
    for run in runs:  # the pooled scores are those of the fold that tested the track
        own = read_evaluation(run.evaluation_dir).tracks
        for row, track in enumerate(own.track_ids):
            at = found.tracks.track_ids.index(track)
            np.testing.assert_array_equal(found.tracks.scores[at], own.scores[row])
    means = [read_evaluation(run.evaluation_dir).macro_roc_auc.value for run in runs]
    assert found.settings["mean_of_folds"]["macro_roc_auc"] == pytest.approx(np.mean(means))
    assert read_evaluation(tmp_path / "out" / "evaluation").n_tracks == found.n_tracks


def test_it_goes_on_where_it_stopped(tiny_run, tmp_path, monkeypatch):
    whole = validate(tiny_run, tmp_path / "whole")
    trained, train = [], module.train

    def stop_in_the_second(*arguments, **options):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(options["out"].name)
        return train(*arguments, **options)

    monkeypatch.setattr(module, "train", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        validate(tiny_run, tmp_path / "cut")
    monkeypatch.setattr(module, "train", lambda *a, **o: (trained.append(o["out"].name), train(*a, **o))[1])
    again = validate(tiny_run, tmp_path / "cut")
    assert trained == ["fold-1", "fold-2", "fold-3"]
    np.testing.assert_array_equal(again.tracks.scores, whole.tracks.scores)


def test_a_folder_with_folds_of_other_settings_is_left_alone(tiny_run, tmp_path):
    validate(tiny_run, tmp_path / "out")
    with pytest.raises(FolksongError, match=r"fold-1: holds a run of other (tracks|settings)"):
        validate(tiny_run, tmp_path / "out", learning_rate=0.1)
    with pytest.raises(FolksongError, match=r"fold-1: holds a run of other (tracks|settings)"):
        validate(tiny_run, tmp_path / "out", loss="asymmetric")
    again = validate(tiny_run, tmp_path / "out", loss="bce")  # what the default is
    assert again.n_tracks == read_evaluation(tmp_path / "out" / "evaluation").n_tracks
    with pytest.raises(FolksongError, match=r"fold-1: holds a run of other (tracks|settings)"):
        validate(tiny_run, tmp_path / "out", n_folds=4)
    table = read_tags(tiny_run.tags)
    validate(tiny_run, tmp_path / "out", tags=table)  # the same, as a table
    fewer = LabelSpace(Run.open(tiny_run.folder).labels.labels[:2])
    for other, options in {
        "labels": {"labels": fewer},
        "tags": {"tags": table.select_tags(table.tags[1:])},
        "settings": {"window_seconds": 1.0},
    }.items():
        with pytest.raises(FolksongError, match=rf"fold-1: holds a run of other {other}"):
            validate(tiny_run, tmp_path / "out", **options)


def test_more_folds_than_tracks_are_refused(tiny_run, tmp_path):
    with pytest.raises(FolksongError, match="99 folds need at least 198 tracks by different artists"):
        validate(tiny_run, tmp_path / "out", n_folds=99)
    with pytest.raises(FolksongError, match="at least 2 folds, not 1"):
        validate(tiny_run, tmp_path / "out", n_folds=1)
