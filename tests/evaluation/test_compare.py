"""Comparisons are paired: same tracks, same resamples, common labels or tags."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong.cli import main
from folksong.errors import FolksongError
from folksong.evaluation.common_tags import common_tags, project, same_tracks
from folksong.evaluation.compare import _with_interval, compare
from folksong.evaluation.evaluate import current_evaluation, evaluate, write_evaluation
from folksong.evaluation.figures import measure
from folksong.evaluation.scores import ScoredTracks
from folksong.files import write_signed
from folksong.labels.space import Label, LabelSpace
from folksong.metrics import summarise
from folksong.runs import Run
from folksong.tags.table import TagTable

FEW = {"n_resamples": 60}


def copy_with_scores(run, folder, change, labels=None):
    """Copy a run, and write an evaluation of it with other scores (and other labels)."""
    shutil.copytree(run.folder, folder)
    if labels is not None:
        labels.write(folder / "labels.json")
        config = json.loads((folder / "config.json").read_text())
        write_signed(folder / "config.json", {**config, "labels_sha256": labels.sha256()})
    found = evaluate(folder, n_resamples=5)
    tracks = replace(found.tracks, scores=change(found.tracks).astype(np.float32))
    changed = measure(tracks, run=str(folder), n_resamples=5, settings=found.settings)
    write_evaluation(changed, folder / "evaluation")
    return folder


@pytest.fixture(scope="module")
def folders(tiny_run, tmp_path_factory):
    """A run with random scores, and one whose scores know half of the truth."""
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    noise = rng.random((12, 5))
    return (
        copy_with_scores(tiny_run, folder / "random", lambda tracks: noise),
        copy_with_scores(tiny_run, folder / "better", lambda tracks: (noise + tracks.targets) / 2),
    )


def test_differences_are_of_the_same_tracks_and_labels(folders):
    found = compare(folders, **FEW)
    assert (found.ground, found.n_tracks, len(found.names)) == ("labels", 12, 5)
    first, second = (current_evaluation(Run.open(folder), "test") for folder in folders)
    difference = found.groups[1].differences["macro_roc_auc"]
    assert difference.value == pytest.approx(second.macro_roc_auc.value - first.macro_roc_auc.value)
    assert difference.low > 0.1
    assert difference.p < 0.05
    assert found.groups[0].differences == {}
    for number, of_label in enumerate(found.label_differences(1)):
        expected = second.labels[number].roc_auc.value - first.labels[number].roc_auc.value
        assert of_label.value == pytest.approx(expected)


def test_pairing_narrows_the_interval(folders):
    """A run that errs on the same tracks differs by less than its own figure is uncertain."""
    runs = compare([folders[0], folders[0]], **FEW).groups
    assert runs[1].differences["macro_roc_auc"].value == 0
    assert (runs[1].differences["macro_roc_auc"].low, runs[1].differences["macro_roc_auc"].high) == (0, 0)
    assert runs[1].differences["macro_roc_auc"].p == 1
    assert runs[1].figures["macro_roc_auc"].low < runs[1].figures["macro_roc_auc"].high


def test_other_label_spaces_are_projected_on_common_tags(tiny_run, folders, tmp_path):
    """One space has a label for each tag, the other lumps tone and chirp and knows nothing of "odd"."""
    lumped = LabelSpace(
        (
            Label("tonal", ("tone", "chirp")),
            *(Label(tag, (tag,)) for tag in ("noise", "clicks", "x", "y")),
        ),
        {},
        {},
    )
    other = copy_with_scores(tiny_run, tmp_path / "lumped", lambda tracks: tracks.targets * 0.9, lumped)
    found = compare([folders[1], other], **FEW)
    assert found.ground == "tags"
    assert sorted(found.names) == ["chirp", "clicks", "noise", "tone"]
    table = TagTable.from_pairs(*read_pairs(tiny_run.tags))
    tracks = current_evaluation(Run.open(other), "test").tracks
    targets = np.array(
        [[tag in dict(table.tags_of(track)) for tag in found.names] for track in tracks.track_ids], bool
    )
    measured = targets.any(axis=1)
    tonal = np.isin(found.names, ["tone", "chirp"])
    for column in np.flatnonzero(tonal):  # the same score for both tags: right about the other kinds only
        auc = found.groups[1].label_roc_auc[column]
        either = targets[measured][:, tonal].any(axis=1)
        expected = summarise(targets[measured][:, column], either.astype(float)).macro_roc_auc
        assert auc == pytest.approx(expected)
        assert auc < 1
    assert found.groups[1].label_roc_auc[found.names.index("noise")] == 1
    with pytest.raises(FolksongError, match="different label spaces; compare them on the tags"):
        compare([folders[1], other], ground="labels", **FEW)


def read_pairs(path):
    rows = [line.replace('"', "").split(",") for line in path.read_text().splitlines()[1:]]
    return [row[0] for row in rows], [row[1] for row in rows]


def test_projecting_on_its_own_single_tags_changes_nothing(tiny_run, folders):
    found = compare([folders[0], folders[1]], ground="tags", **FEW)
    labels = compare([folders[0], folders[1]], ground="labels", **FEW)
    for name in found.names:
        assert found.groups[1].label_roc_auc[found.names.index(name)] == pytest.approx(
            labels.groups[1].label_roc_auc[labels.names.index(name)]
        )


def test_common_tags_follow_aliases_and_popularity():
    table = TagTable.from_pairs(
        ["1", "2", "3", "1", "2", "1"], ["rock", "rock", "rock", "Rock!", "jazz", "pop"]
    )
    first = LabelSpace((Label("rock", ("rock",)), Label("pop", ("pop",))), {"Rock!": "rock"}, {})
    second = LabelSpace((Label("music", ("rock", "Rock!", "jazz", "pop")),), {}, {})
    assert common_tags([first, second], table) == ("rock", "Rock!", "pop")
    assert common_tags([first, second], table, min_tracks=2) == ("rock",)
    scores = np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)
    tracks = ScoredTracks(("3", "1"), ("rock", "pop"), np.zeros((2, 2), np.uint8), scores, np.ones(2, bool))
    projected = project(tracks, first, ("Rock!", "pop"), table)
    assert projected.targets.tolist() == [[0, 0], [1, 1]]
    assert projected.measured.tolist() == [False, True]
    np.testing.assert_array_equal(projected.scores, scores)


def test_a_tag_of_several_labels_has_the_highest_of_their_scores():
    table = TagTable.from_pairs(["1", "2", "3"], ["indie rock", "rock", "indie rock"])
    space = LabelSpace((Label("rock", ("rock", "indie rock")), Label("indie", ("indie rock",))))
    scores = np.array([[0.1, 0.9], [0.8, 0.3], [0.4, 0.2]], np.float32)
    tracks = ScoredTracks(("1", "2", "3"), space.names, np.zeros((3, 2), np.uint8), scores, np.ones(3, bool))
    projected = project(tracks, space, ("indie rock", "rock"), table)
    np.testing.assert_array_equal(
        projected.scores, np.array([[0.9, 0.1], [0.8, 0.8], [0.4, 0.4]], np.float32)
    )


def test_only_common_tracks_are_compared():
    def scored(*track_ids):
        n = len(track_ids)
        return ScoredTracks(
            track_ids,
            ("a",),
            np.ones((n, 1), np.uint8),
            np.arange(n)[:, None].astype(np.float32),
            np.ones(n, bool),
        )

    first, second = same_tracks([scored("c", "a", "b"), scored("b", "x", "c")])
    assert first.track_ids == second.track_ids == ("c", "b")
    assert second.scores[:, 0].tolist() == [2, 0]
    with pytest.raises(FolksongError, match="no track of this part in common"):
        same_tracks([scored("a"), scored("b")])


def test_an_evaluation_of_other_weights_is_made_again(tiny_run, tiny_waveform_run, tmp_path):
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    first = current_evaluation(run, "test")
    assert (run.evaluation_dir / "test.json").exists()
    again = current_evaluation(run, "test")
    assert again.settings == first.settings
    content = json.loads((run.evaluation_dir / "test.json").read_text())
    content["settings"]["checkpoint_sha256"] = "0" * 64
    content["n_tracks"] = 99
    (run.evaluation_dir / "test.json").write_text(json.dumps(content))
    assert current_evaluation(run, "test").n_tracks == first.n_tracks


def test_too_few_runs_and_different_tags(folders, tiny_run, tmp_path):
    with pytest.raises(FolksongError, match="two or more runs"):
        compare([folders[0]])
    shutil.copytree(folders[0], tmp_path / "other")
    path = tmp_path / "other/evaluation/test.npz"
    tracks = ScoredTracks.read(path)
    replace(tracks, targets=1 - tracks.targets).write(path)
    with pytest.raises(FolksongError, match="evaluated against different tags"):
        compare([folders[0], tmp_path / "other"], **FEW)


def test_command(folders):
    words = ["compare", *map(str, folders), "--resamples", "30"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    for text in (
        "12 common tracks, compared on 5 labels",
        "macro ROC-AUC",
        "micro PR-AUC",
        "most gained and most lost",
    ):
        assert text in result.stdout
    content = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert content["runs"][1]["differences"]["macro_roc_auc"]["value"] > 0
    assert len(content["runs"][1]["label_differences"]) == 5


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-20, 20), min_size=2, max_size=60),
    st.integers(-10, 10),
    st.sampled_from([0.5, 0.8, 0.9, 0.95]),
)
def test_16_interval_and_p_never_contradict_each_other(resampled, value, level):
    """They come from the same resamples: 0 lies outside the interval exactly where p is below 1 - level."""
    found = _with_interval(value / 8, np.array(resampled) / 8, level)
    outside = found.low > 1e-12 or found.high < -1e-12
    if abs(found.low) > 1e-12 < abs(found.high) and len(resampled) > 2 / (1 - level):
        assert outside == (found.p < 1 - level)
    assert 0 < found.p <= 1


def test_a_label_that_one_run_gets_right_always_and_the_other_but_for_one_track_is_no_sign():
    """One of 6 positive tracks is ranked lower: a third of the resamples lack it and differ by nothing."""
    rng = np.random.default_rng(0)
    resampled = -0.01 * rng.multinomial(6, [1 / 6] * 6, size=1000)[:, 0]
    found = _with_interval(-0.0101, resampled, 0.95)
    assert found.high == 0 > found.low
    assert 0.5 < found.p < 0.8
