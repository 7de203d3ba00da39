"""A report is one file that holds all its data, whatever labels and tracks are called."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.compare import current_evaluation
from folksong.evaluation.report import render, render_markdown, write_report
from folksong.evaluation.report_data import collect, describe_space, doubtful_tags
from folksong.evaluation.scored import ScoredTracks
from folksong.runs import Run


@pytest.fixture(scope="module")
def runs(tiny_run, tiny_waveform_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(tiny_run.folder, folder / "mel")
    shutil.copytree(tiny_waveform_run.folder, folder / "wave")
    return [Run.open(folder / "mel"), Run.open(folder / "wave")]


@pytest.fixture(scope="module")
def data(runs):
    return collect(runs, n_resamples=20)


class Page(HTMLParser):
    """Collects what a browser would see: tags, and the content of the data script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.cells = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, content):
        last = self.tags[-1][0] if self.tags else ""
        if last == "script":
            self.scripts.append(content)
        elif last in ("td", "th"):
            self.cells.append(content)

    @property
    def data(self):
        return json.loads(self.scripts[0])


def test_figures_are_those_of_the_evaluations(data, runs):
    for content, run in zip(data["runs"], runs, strict=True):
        found = current_evaluation(run, "test")
        assert content["macro_roc_auc"]["value"] == found.macro_roc_auc.value
        assert [label["name"] for label in content["labels"]] == list(run.labels.names)
        assert [label["tags"] for label in content["labels"]] == [
            list(label.tags) for label in run.labels.labels
        ]
        assert content["coverage"]["tracks"] == pytest.approx(39 / 40)  # noise/0 has no label
        assert [row["epoch"] for row in content["curves"]] == [1]
    assert [run["name"] for run in data["runs"]] == ["mel", "wave"]
    assert [ground["key"] for ground in data["grounds"]] == ["labels"]
    assert [group["name"] for group in data["groups"]] == ["mel", "wave"]


def test_heat_maps_are_shares_and_mean_scores(data, runs):
    import base64

    found = current_evaluation(runs[0], "test").measured
    maps = data["runs"][0]["heat_maps"]
    together, heard = (
        np.frombuffer(base64.b64decode(maps[key]), np.uint8).reshape(maps["n"], maps["n"]) / 255
        for key in ("together", "heard")
    )
    for row in range(maps["n"]):
        carried = found.targets[:, row] == 1
        for column in range(maps["n"]):
            both = carried & (found.targets[:, column] == 1)
            assert together[row, column] == pytest.approx(both.sum() / carried.sum(), abs=0.003)
            of = carried if row == column else carried & ~both
            expected = found.scores[of, column].mean() if of.any() else 0
            assert heard[row, column] == pytest.approx(expected, abs=0.003)


def test_the_page_needs_nothing_else_and_holds_its_data(data, runs):
    page = Page(render(data, "My report"))
    assert page.data == json.loads(json.dumps(data))
    for tag, attributes in page.tags:
        assert "src" not in attributes, tag
        assert "href" not in attributes, tag
    assert "macro ROC-AUC" in page.cells
    assert str(runs[0].path.parent) not in render(data, "My report"), "where files lie is nobody's business"
    assert "mel" in page.cells


def test_no_name_can_break_out_of_the_page(data):
    """Labels, tracks and titles are text, also those that look like the end of a script or a placeholder."""
    evil = "</script><img src=x onerror=alert(1)> {{js}} \u2028 <!--"
    changed = json.loads(json.dumps(data))
    changed["runs"][0]["labels"][0]["name"] = evil
    changed["runs"][0]["name"] = changed["groups"][0]["name"] = evil
    changed["runs"][0]["doubts"]["missing"] = [{"track": evil, "label": evil, "score": 1.0, "distance": 1.0}]
    page = Page(render(changed, evil))
    assert page.data["runs"][0]["labels"][0]["name"] == evil
    assert "img" not in [tag for tag, _ in page.tags]
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert evil in page.cells
    assert "</script><img" not in render_markdown(data, "x")


def test_markdown_tables_are_well_formed(data):
    changed = json.loads(json.dumps(data))
    changed["groups"][1]["name"] = "a|b\nc"
    text = render_markdown(changed, "Title")
    assert "a\\|b c" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_same_runs_give_the_same_bytes(runs, tmp_path):
    first = write_report(runs, tmp_path / "a.html", n_resamples=20).read_bytes()
    again = write_report([run.path for run in runs], tmp_path / "b.html", n_resamples=20).read_bytes()
    assert first == again
    assert len(first) < 250_000


def test_one_run_has_no_common_ground(runs, tmp_path):
    page = Page(write_report(runs[:1], tmp_path / "a.html").read_text())
    assert page.data["grounds"] == []
    assert "difference" not in page.cells


def test_doubtful_tags_are_those_furthest_on_the_wrong_side():
    """The one track of a label that is heard in nothing, and the one that is heard and carries nothing."""
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 1], *[[0, 0]] * 6], np.uint8)
    scores = np.array(
        [[0.9, 0.1], [0.05, 0.2], [0.1, 0.8], [0.2, 0.7], [0.85, 0.1], *[[0.06, 0.1]] * 5], np.float32
    )
    tracks = ScoredTracks(tuple("abcdefghij"), ("x", "y"), targets, scores, np.ones(10, bool))
    found = doubtful_tags(tracks)
    assert [(pair["track"], pair["label"]) for pair in found["wrong"]] == [("b", "x")]
    threshold = (0.9 + 0.85) / 2
    assert found["wrong"][0]["distance"] == pytest.approx(
        np.log(threshold / (1 - threshold)) + np.log(19), abs=1e-3
    )
    lower = ScoredTracks(tracks.track_ids, tracks.labels, 1 - targets, 1 - scores, tracks.measured)
    assert doubtful_tags(lower)["missing"][0]["track"] == "b"
    assert all(pair["distance"] > 0 for pairs in found.values() for pair in pairs)
    assert len(doubtful_tags(lower, most=1)["missing"]) == 1


def test_labels_without_tracks_are_in_no_doubt():
    tracks = ScoredTracks(
        ("a", "b"), ("x",), np.zeros((2, 1), np.uint8), np.array([[0.1], [0.9]], np.float32), np.ones(2, bool)
    )
    assert doubtful_tags(tracks) == {"missing": [], "wrong": []}


def test_runs_of_the_same_name_are_told_apart_by_their_parents(runs, tmp_path):
    for place in ("a", "b"):
        shutil.copytree(runs[0].path, tmp_path / place / "mel")
    found = collect([tmp_path / "a/mel", tmp_path / "b/mel"], n_resamples=5)
    assert [run["name"] for run in found["runs"]] == ["a/mel", "b/mel"]
    with pytest.raises(FolksongError, match="named twice"):
        collect([tmp_path / "a/mel", tmp_path / "a/mel"])


def test_no_runs_and_damaged_curves(runs, tmp_path):
    with pytest.raises(FolksongError, match="at least one run"):
        collect([])
    shutil.copytree(runs[0].path, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    run.metrics_path.write_text('{"epoch": 1')
    with pytest.raises(FileFormatError, match=r"metrics.jsonl: damaged"):
        run.history()
    run.metrics_path.unlink()
    assert run.history() == []


def test_coverage_is_unknown_when_the_tags_are_gone(runs, tmp_path, caplog):
    shutil.copytree(runs[0].path, tmp_path / "run")
    content = json.loads((tmp_path / "run/config.json").read_text())
    content["tags"]["path"] = str(tmp_path / "gone.csv")
    (tmp_path / "run/config.json").write_text(json.dumps(content))
    current_evaluation(runs[0], "test")
    shutil.copytree(runs[0].evaluation_dir, tmp_path / "run/evaluation", dirs_exist_ok=True)
    assert collect([tmp_path / "run"])["runs"][0]["coverage"] is None
    assert "its coverage is unknown" in caplog.text


def test_describe_space():
    assert describe_space({"builder": "top", "n": 50, "dropped": ["a", "b"]}) == "top (n 50, 2 dropped)"
    assert describe_space({}) == "given labels"


def test_command(runs, tmp_path):
    result = CliRunner().invoke(
        main,
        ["report", *(str(run.path) for run in runs), "-o", str(tmp_path / "r.html"), "--resamples", "10",
         "--pictures", str(tmp_path / "figures"), "--markdown", str(tmp_path / "r.md"), "--title", "Two runs"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "<title>Two runs</title>" in (tmp_path / "r.html").read_text()
    pictures = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert pictures == ["frontier.png", "mel.png", "wave.png"]
    assert (tmp_path / "r.md").read_text().startswith("# Two runs\n")
