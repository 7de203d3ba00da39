"""Seeds are averaged and compared one by one, label spaces on the same tracks and tags."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.analyses import read_truth, recovery
from folksong.evaluation.common_tags import common_tags, project
from folksong.evaluation.compare import difference
from folksong.evaluation.evaluate import current_evaluation
from folksong.evaluation.figures import averages, measure_tracks
from folksong.evaluation.groups import NamedRun, group_runs, open_runs
from folksong.evaluation.plots import SIDE_BY_SIDE, plot_frontier, side_by_side
from folksong.evaluation.report import render_markdown
from folksong.evaluation.report_data import collect
from folksong.evaluation.scores import ScoredTracks
from folksong.files import write_json, write_signed
from folksong.labels.space import Label, LabelSpace
from folksong.metrics import average_precision, roc_auc
from folksong.runs import Run
from folksong.tags.table import TagTable


def scored(seed, n_tracks=60, quality=1.0, targets=None):
    """Scores of five labels; the same tracks and targets whatever the seed."""
    if targets is None:
        targets = (np.random.default_rng(1).random((n_tracks, 5)) < 0.3).astype(np.uint8)
    noise = np.random.default_rng([2, seed]).standard_normal(targets.shape)
    scores = (1 / (1 + np.exp(-quality * targets - noise))).astype(np.float32)
    names = tuple(f"label {number}" for number in range(targets.shape[1]))
    return ScoredTracks(tuple(map(str, range(n_tracks))), names, targets, scores, np.ones(n_tracks, bool))


def test_the_mean_over_seeds_is_one_figure_with_the_seeds_beside_it():
    runs = [scored(seed) for seed in range(3)]
    measured = [measure_tracks(tracks, 400) for tracks in runs]
    found = averages(measured)
    own = [float(np.mean(roc_auc(tracks.targets, tracks.scores))) for tracks in runs]
    assert found["macro_roc_auc"].seeds == pytest.approx(own)
    assert found["macro_roc_auc"].value == pytest.approx(np.mean(own))
    precision = [np.mean(average_precision(tracks.targets, tracks.scores)) for tracks in runs]
    assert found["macro_pr_auc"].value == pytest.approx(np.mean(precision))
    assert found["macro_pr_auc"].chance == pytest.approx(runs[0].targets.mean())
    widths = [one.high - one.low for one in (averages([m])["macro_roc_auc"] for m in measured)]
    mean = found["macro_roc_auc"]
    assert mean.low < mean.value < mean.high
    assert mean.high - mean.low < max(widths), "a mean of three moves less with the tracks than they do"


def test_differences_are_taken_seed_by_seed():
    """Each seed of the better group is its worse twin with one label put right: a sure difference of unsure runs."""
    worse = {seed: scored(seed, quality=0.3) for seed in range(3)}
    better = {}
    for seed, tracks in worse.items():
        scores = tracks.scores.copy()
        scores[:, 0] = tracks.targets[:, 0] * 0.8 + 0.1
        better[seed] = ScoredTracks(tracks.track_ids, tracks.labels, tracks.targets, scores, tracks.measured)
    of, minus = (
        {seed: measure_tracks(tracks, 300) for seed, tracks in runs.items()} for runs in (better, worse)
    )
    found = difference(of, minus, "macro_roc_auc")
    each = [of[seed].summary.macro_roc_auc - minus[seed].summary.macro_roc_auc for seed in range(3)]
    assert found.seeds == pytest.approx(each)
    assert found.value == pytest.approx(np.mean(each))
    assert 0 < found.low < found.value < found.high
    same = difference(minus, minus, "macro_roc_auc")
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)

    # Only seeds that both have are paired; without one, the means are compared.
    two = difference({0: of[0], 7: of[1]}, minus, "macro_roc_auc")
    assert two.seeds == pytest.approx(each[:1])
    none = difference({7: of[1]}, {0: minus[0]}, "macro_roc_auc")
    assert none.seeds == ()
    assert none.value == pytest.approx(of[1].summary.macro_roc_auc - minus[0].summary.macro_roc_auc)


@pytest.fixture(scope="module")
def experiment(tiny_run, tmp_path_factory):
    """An experiment's folder: two label spaces with two seeds each, made of one evaluated run and changed scores."""
    folder = tmp_path_factory.mktemp("groups")
    evaluated = folder / "evaluated"
    shutil.copytree(tiny_run.folder, evaluated)
    current_evaluation(Run.open(evaluated), "test")
    spaces = {
        "single": LabelSpace(
            tuple(Label(tag, (tag,)) for tag in ("tone", "chirp", "noise", "clicks", "odd"))
        ),
        "pairs": LabelSpace((Label("tone", ("tone", "chirp")), Label("noise", ("noise", "clicks")))),
    }
    cells = []
    for name, space in spaces.items():
        for seed in (0, 1):
            place = folder / "runs" / f"{name}-{seed}"
            shutil.copytree(evaluated, place)
            space.write(place / "labels.json")
            config = json.loads((place / "config.json").read_text())
            config["settings"]["runtime"]["seed"] = seed
            config["labels_sha256"] = space.sha256()
            write_signed(place / "config.json", config)
            fake_evaluation(place, space, seed)
            cells.append({"run": f"runs/{place.name}", "space": name, "loss": "bce", "done": True})
    write_json(folder / "experiment.json", {"format": "folksong.experiment", "version": 1, "cells": cells})
    return folder


def fake_evaluation(place, space, seed):
    """Give a run's evaluation the labels of `space`, and scores that know them more or less."""
    from folksong.evaluation.evaluate import write_evaluation
    from folksong.evaluation.figures import measure

    run = Run.open(place)
    old = current_evaluation(run, "test")
    kinds = [track_id.split("/")[0] for track_id in old.tracks.track_ids]
    targets = np.array([[kind in label.tags for label in space.labels] for kind in kinds], np.uint8)
    noise = np.random.default_rng(seed).random(targets.shape)
    tracks = ScoredTracks(
        old.tracks.track_ids,
        space.names,
        targets,
        (0.3 * targets + 0.6 * noise).astype(np.float32),
        targets.any(axis=1),
    )
    write_evaluation(measure(tracks, part="test", n_resamples=20, settings=old.settings), run.evaluation_dir)


def test_an_experiments_folder_stands_for_its_cells(experiment, tmp_path):
    named = open_runs([experiment])
    assert [(one.space, one.loss, one.run.path.name) for one in named] == [
        ("single", "bce", "single-0"),
        ("single", "bce", "single-1"),
        ("pairs", "bce", "pairs-0"),
        ("pairs", "bce", "pairs-1"),
    ]
    alone = open_runs([experiment / "runs/pairs-1"])
    assert [(one.space, one.run.path.name) for one in alone] == [("pairs", "pairs-1")]
    content = json.loads((experiment / "experiment.json").read_text())
    for cell in content["cells"]:
        cell["done"] = False
    write_json(tmp_path / "experiment.json", content)
    with pytest.raises(FolksongError, match="no cell of this experiment is finished yet"):
        open_runs([tmp_path])
    write_json(tmp_path / "experiment.json", {**content, "cells": [{"run": "runs/a"}]})
    with pytest.raises(FileFormatError, match=r"experiment.json: damaged .*run the experiment again"):
        open_runs([tmp_path])
    for name in ("a" * 10_000, "../x", "\0"):
        write_json(tmp_path / "experiment.json", {**content, "cells": [{**cell, "done": True, "run": name}]})
        with pytest.raises(FileFormatError, match=r"experiment.json: |File name too long"):
            open_runs([tmp_path])


def test_runs_are_grouped_by_all_but_their_seed(experiment):
    named = open_runs([experiment])
    groups = group_runs(named)
    assert [(group.name, group.seeds, group.rows) for group in groups] == [
        ("single", (0, 1), (0, 1)),
        ("pairs", (0, 1), (2, 3)),
    ]
    twice = [named[0], NamedRun(named[0].run, "b", "single", "bce")]
    assert len(group_runs(twice)) == 2, "the same seed twice is no average"


def test_a_report_holds_groups_grounds_pairs_and_recovery(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(
        import_module("folksong.evaluation.compare"), "LEAST_TRACKS", 1
    )  # the test part has a dozen tracks
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "tag,kind,concept\ntone,k,pitched\nchirp,k,pitched\nnoise,k,noisy\nclicks,k,noisy\nodd,o,odd\nrare,o,rare\n"
    )
    report = collect([experiment], n_resamples=50, truth=truth)
    assert [(one.group.name, len(one.group.labels), one.group.seeds) for one in report.groups] == [
        ("single", 5, (0, 1)),
        ("pairs", 2, (0, 1)),
    ]
    assert [one.recovery.known for one in report.groups] == [0.0, 1.0]
    assert report.groups[1].recovery.all_tags == 1.0
    common, everything = report.grounds
    assert (common.ground, len(common.names)) == ("tags", 4)  # "odd" is known to one space only
    assert everything.ground == "all"
    assert [one.known for one in everything.groups] == [5, 4]
    assert len(everything.names) >= 5
    for on in report.grounds:
        first, second = on.groups
        assert first.differences == {}
        found = second.differences["macro_roc_auc"]
        expected = second.figures["macro_roc_auc"].value - first.figures["macro_roc_auc"].value
        assert found.value == pytest.approx(expected)
        assert len(found.seeds) == 2
    assert report.pairs == (), "two groups are a pair already"
    text = render_markdown(report, "x")
    assert "## Recovery of what tags mean" in text
    assert "at least 5 of the tracks carry" in text
    assert "4 runs (2 apart from their seeds)" in text
    plot_frontier(report, tmp_path / "a.png")
    plot_frontier(report, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    found = CliRunner().invoke(
        main,
        [
            "report",
            str(experiment),
            "-o",
            str(tmp_path / "r.html"),
            "--truth",
            str(truth),
            "--resamples",
            "5",
        ],
    )
    assert found.exit_code == 0, found.output
    assert "Recovery of what tags mean" in (tmp_path / "r.html").read_text()


def test_a_tag_of_no_label_is_at_chance():
    """Every track gets the same score for it: ROC-AUC 0.5 and PR-AUC at its share of tracks, exactly."""
    table = TagTable.from_pairs(["1", "2", "3", "4", "4"], ["a", "a", "b", "c", "b"])
    space = LabelSpace((Label("a", ("a",)), Label("c", ("c",))))
    targets = np.array([[1, 0], [1, 0], [0, 0], [0, 1]], np.uint8)
    tracks = ScoredTracks(
        ("1", "2", "3", "4"), ("a", "c"), targets, targets.astype(np.float32), np.ones(4, bool)
    )
    found = project(tracks, space, ["a", "b"], table)
    assert roc_auc(found.targets, found.scores).tolist() == [1.0, 0.5]
    assert average_precision(found.targets, found.scores).tolist() == [1.0, 0.5]
    assert common_tags([space], table) == ("a", "c")


def test_recovery_is_the_adjusted_rand_index():
    """Against scikit-learn, over the tags that the space knows and over all."""
    metrics = pytest.importorskip("sklearn.metrics", reason="the reference is scikit-learn's")
    truth = {tag: tag[0] for tag in ("a1", "a2", "a3", "b1", "b2", "c1", "c2", "d1")}
    space = LabelSpace(
        (Label("a1", ("a1", "a2", "b1")), Label("b2", ("b2",)), Label("c1", ("c1", "c2", "other")))
    )
    found = recovery(space, truth)
    known = [tag for tag in truth if space.labels_of(tag)]
    mine = [space.labels_of(tag)[0] for tag in known]
    assert found.known == pytest.approx(metrics.adjusted_rand_score([truth[tag] for tag in known], mine))
    everything = [space.labels_of(tag)[0] if space.labels_of(tag) else f"alone {tag}" for tag in truth]
    assert found.all_tags == pytest.approx(metrics.adjusted_rand_score(list(truth.values()), everything))
    assert (found.n_tags, found.n_all, found.n_meanings) == (6, 8, 3)


def test_damaged_truth_says_what_is_wrong(tmp_path):
    path = tmp_path / "truth.csv"
    for content, message in (
        ("tag,meaning\na,b\n", "no column 'concept'"),
        ("tag,concept\na,b\na,c\n", "'a' has two meanings"),
    ):
        path.write_text(content)
        with pytest.raises(FileFormatError, match=message):
            read_truth(path)
    path.write_bytes(b"tag,concept\n\xff,a\n")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read_truth(path)
    with pytest.raises(FolksongError, match="no such file"):
        read_truth(tmp_path / "none.csv")


def test_every_two_groups_are_compared_on_what_both_know(experiment, tmp_path):
    shutil.copytree(experiment / "runs/single-0", tmp_path / "third")
    config = json.loads((tmp_path / "third/config.json").read_text())
    config["tells it apart"] = True
    write_signed(tmp_path / "third/config.json", config)
    report = collect([experiment, tmp_path / "third"], n_resamples=5)
    found = [(tuple(one.group.name for one in pair.groups), pair.ground) for pair in report.pairs]
    assert found == [
        (("single", "pairs"), "tags"),
        (("single", "third"), "labels"),
        (("pairs", "third"), "tags"),
    ]
    same = report.pairs[1].groups[1].differences["macro_roc_auc"]
    assert (same.value, same.seeds) == (0.0, (0.0,))
    assert len(report.pairs[0].names) == 4
    assert "## Two by two" in render_markdown(report, "x")


def test_no_frontier_without_coverage(experiment, tmp_path):
    report = collect([experiment], n_resamples=5)
    groups = tuple(replace(group, coverage=None) for group in report.groups)
    with pytest.raises(FolksongError, match="no label space's coverage is known"):
        plot_frontier(replace(report, groups=groups), tmp_path / "a.png")


def test_points_with_nearly_the_same_share_stand_side_by_side():
    """No two places are nearer than the marks are wide, the order of shares stays, and nobody moves without need."""
    shares = [0.5, 0.16, 0.16, None, 0.165, 0.18, 0.9]
    places = side_by_side(shares)
    least = 2 * SIDE_BY_SIDE * (0.9 - 0.16)
    known = sorted((share, place) for share, place in zip(shares, places, strict=True) if share is not None)
    assert [place for _, place in known] == sorted(place for _, place in known)
    assert min(np.diff([place for _, place in known])) >= least * 0.999
    assert places[3] is None
    assert (places[0], places[6]) == (0.5, 0.9)
