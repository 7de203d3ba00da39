"""A report is one file that holds all its data, whatever labels and tracks are called."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from plotly.offline import get_plotlyjs

from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.charts import curve_charts, frontier_charts
from folksong.evaluation.evaluate import current_evaluation
from folksong.evaluation.plots import axis_around
from folksong.evaluation.report import _Recordings, _worst_rows, render, render_markdown, write_report
from folksong.evaluation.report_data import collect, describe_space, doubtful_tags, heard_together
from folksong.evaluation.report_tables import sections
from folksong.evaluation.scores import ScoredTracks
from folksong.files import write_signed
from folksong.labels.space import Label, LabelSpace
from folksong.labels.subgenres import GenreClustering
from folksong.metrics import best_thresholds
from folksong.runs import Run


@pytest.fixture(scope="module")
def runs(tiny_run, tiny_waveform_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(tiny_run.folder, folder / "mel")
    shutil.copytree(tiny_waveform_run.folder, folder / "wave")
    return [Run.open(folder / "mel"), Run.open(folder / "wave")]


@pytest.fixture(scope="module")
def report(runs):
    return collect(runs, n_resamples=20)


class Page(HTMLParser):
    """Collects what a browser would see: tags, the charts, and the cells of tables."""

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
    def charts(self):
        return json.loads(self.scripts[0])


def test_figures_are_those_of_the_evaluations(report, runs):
    for entry, run in zip(report.runs, runs, strict=True):
        assert entry.evaluation.macro_roc_auc == current_evaluation(run, "test").macro_roc_auc
    assert [entry.name for entry in report.runs] == ["mel", "wave"]
    assert [group.coverage.tracks for group in report.groups] == pytest.approx([39 / 40] * 2)
    assert [ground.ground for ground in report.grounds] == ["labels"]
    assert [(one.group.name, one.number) for one in report.groups] == [("mel", 1), ("wave", 2)]


def test_what_is_heard_together_is_shares_and_mean_scores(runs):
    found = current_evaluation(runs[0], "test")
    together, heard = heard_together(found)
    tracks = found.measured
    for row in range(len(found.labels)):
        carried = tracks.targets[:, row] == 1
        for column in range(len(found.labels)):
            both = carried & (tracks.targets[:, column] == 1)
            assert together[row, column] == pytest.approx(both.sum() / carried.sum())
            of = carried if row == column else carried & ~both
            expected = tracks.scores[of, column].mean() if of.any() else 0
            assert heard[row, column] == pytest.approx(expected, abs=1e-6)


def test_every_chart_is_one_that_plotly_knows(report, monkeypatch):
    go = pytest.importorskip("plotly.graph_objects", reason="it checks the names of properties")
    once = Run.history  # the runs have one epoch, which is no curve

    def twice(run):
        return [{**row, "epoch": epoch} for epoch in (1, 2) for row in once(run)]

    monkeypatch.setattr(Run, "history", twice)
    charts = Page(render(report, "x")).charts
    for content in charts.values():
        go.Figure(content)  # raises ValueError on an unknown property
    go.layout.Template(json.loads(files("folksong.evaluation").joinpath("page/template.json").read_text()))
    assert {"frontier-0", "curves-0", "run-0-together", "run-1-heard", "run-0-calibration"} <= charts.keys()
    names = charts["run-0-together"]["data"][0]["x"]
    assert names == list(report.runs[0].run.labels.names)


def test_the_page_needs_nothing_else_and_shows_the_figures(report, runs):
    text = render(report, "My report")
    page = Page(text)
    for tag, attributes in page.tags:
        assert "src" not in attributes, tag
        assert "href" not in attributes, tag
    assert "macro ROC-AUC" in page.cells
    assert "mel" in page.cells
    hosts = {attributes["data-key"] for _, attributes in page.tags if "data-key" in attributes}
    choices = {attributes["value"] for tag, attributes in page.tags if tag == "option"}
    assert hosts <= page.charts.keys() <= hosts | choices
    assert str(runs[0].path.parent) not in text, "where files lie is nobody's business"
    value = report.runs[0].evaluation.labels[0].roc_auc.value
    assert f"{value:.3f}" in page.cells


def test_a3_tracks_are_named_by_artist_and_title_and_played_where_they_lie(runs, tiny_run, tmp_path):
    """Without the recordings, nothing of where they lie is on the page."""
    audio = tmp_path / "audio"
    shutil.copytree(tiny_run.audio, audio)
    report = collect(runs[:1], n_resamples=5, audio=audio)
    track = doubtful_tags(report.runs[0].evaluation.measured)["missing"][0].track
    samples, rate = soundfile.read(audio / f"{track}.wav")
    with soundfile.SoundFile(audio / f"{track}.wav", "w", rate, 1) as stream:
        stream.artist, stream.title = "Some <One>", "A title"
        stream.write(samples)
    (tmp_path / "page").mkdir()
    page = Page(render(report, "x", folder=tmp_path / "page"))
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "audio"]
    assert f"../audio/{track}.wav" in sources
    assert "Some <One> – A title" in page.cells
    assert {attributes.get("preload") for tag, attributes in page.tags if tag == "audio"} == {"none"}


def test_a3_doubtful_tags_name_their_thresholds(report):
    page = Page(render(report, "x"))
    assert "threshold" in page.cells
    doubt = doubtful_tags(report.runs[0].evaluation.measured)["missing"][0]
    tracks = report.runs[0].evaluation.measured
    column = tracks.labels.index(doubt.label)
    best = best_thresholds(tracks.targets[:, column], tracks.scores[:, column])
    assert doubt.threshold == best.thresholds[0]
    assert f"{doubt.threshold:.2f}" in page.cells


def test_a3_runs_of_other_front_ends_are_compared(report):
    (ground,) = report.grounds
    assert [one.group.front_end for one in ground.groups] == ["log-mel-spectrogram", "waveform"]
    first, second = (one.figures["macro_roc_auc"].value for one in ground.groups)
    assert ground.groups[1].differences["macro_roc_auc"].value == pytest.approx(second - first)
    assert f"{second - first:+.3f} (" in render_markdown(report, "x")


def test_a3_spaces_of_the_same_coverage_do_not_lie_at_the_edges(report):
    """Both runs have the same labels."""
    layout = frontier_charts(report)["macro ROC-AUC on its own labels, by share of tag counts kept"]
    low, high = layout["layout"]["xaxis"]["range"]
    places = [trace["x"][0] for trace in layout["data"]]
    assert high - low >= 0.0999
    assert max(places) - min(places) < 0.1 * (high - low)


def test_a3_lift_is_printed_as_measured(runs):
    from folksong.evaluation.evaluate import evaluate

    found = evaluate(runs[0], n_resamples=5, write=False)
    result = CliRunner().invoke(main, ["evaluate", str(runs[0].path), "--resamples", "5"])
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stdout.splitlines() if "macro PR-AUC" in line)
    assert line.split()[-1] == f"{found.macro_pr_auc.lift:.2f}"


def test_analyses_are_parts_of_the_report(runs, tmp_path):
    groups = tmp_path / "groups.tsv"
    groups.write_text("tone\tpitched\nchirp\tpitched\nnoise\tnoisy\n")
    report = collect(runs, n_resamples=5, tag_groups=groups)
    text = render_markdown(report, "x")
    for title in ("PR-AUC by group of tags", "Decisions at fixed thresholds", "Imbalance of labels"):
        assert f"## {title}" in text
    assert "| pitched | noisy |" in text.replace("---:", "")
    charts = Page(render(report, "x")).charts
    assert {"densities-0", "run-0-normalised"} <= charts.keys()


def test_labels_stand_beside_their_most_popular_tags(runs, tmp_path):
    shutil.copytree(runs[0].path, tmp_path / "whole")
    shutil.copytree(runs[0].path, tmp_path / "tags")
    whole = LabelSpace.read(tmp_path / "whole" / "labels.json")
    provenance = {"builder": "main_tags", "of": dict(whole.provenance)}
    replace(whole, provenance=provenance).write(tmp_path / "tags" / "labels.json")
    found = collect([tmp_path / "tags", tmp_path / "whole"], n_resamples=5)
    (section,) = [one for one in sections(found) if one.title.startswith("Each cluster beside")]
    assert section.title.endswith("whole, log-mel-spectrogram")
    evaluation = current_evaluation(runs[0], "test")
    assert [row[0] for row in section.rows] == [label.name for label in evaluation.labels]
    first = evaluation.labels[0]
    assert section.rows[0][2:] == [f"{first.pr_auc.value:.3f}", str(first.tracks)] * 2


def test_divided_genres_have_silhouettes_and_t_sne(report):
    go = pytest.importorskip("plotly.graph_objects", reason="it checks the names of properties")
    distances = 1 - np.kron(np.eye(3), np.ones((2, 2)))
    tags = ("a", "b<i>", "c", "d", "e", "f")
    genre = GenreClustering(
        Label("rock", ("rock", *tags)), "rock", tags, np.arange(6) // 2, distances, {3: 1.0}
    )
    small = GenreClustering(Label("jazz", ("jazz",)), "jazz", ())
    page = Page(render(report, "x", genres={"4.1, rock": genre, "4.1, jazz": small}))
    assert "How genres were divided" in render(report, "x", genres={"4.1, rock": genre})
    assert "How genres were divided" not in render(report, "x", genres={"4.1, jazz": small})
    bars, plane = page.charts["genres-0"], page.charts["genres-1"]
    assert bars["data"][0]["x"] == [1.0] * 6
    assert set(bars["data"][0]["y"]) == {"a", "b&lt;i&gt;", "c", "d", "e", "f"}
    assert len({*plane["data"][0]["marker"]["color"]}) == 3
    for content in (bars, plane):
        go.Figure(content)


def test_no_name_can_break_out_of_the_page(report):
    """Labels, tracks and titles are text, also those that look like the end of a script or a placeholder."""
    evil = "</script><img src=x onerror=alert(1)> {{js}} \u2028 <!--"
    first = report.runs[0]
    labels = (replace(first.evaluation.labels[0], name=evil), *first.evaluation.labels[1:])
    tracks = replace(first.evaluation.tracks, track_ids=(evil, *first.evaluation.tracks.track_ids[1:]))
    changed = replace(first, name=evil, evaluation=replace(first.evaluation, labels=labels, tracks=tracks))
    group = replace(report.groups[0], group=replace(report.groups[0].group, space=evil))
    changed = replace(report, runs=(changed, report.runs[1]), groups=(group, report.groups[1]))
    page = Page(render(changed, evil))
    assert "img" not in [tag for tag, _ in page.tags]
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert evil in page.cells
    assert "&lt;/script&gt;" in page.charts["run-0-together"]["data"][0]["x"][0], (
        "plotly would take it for HTML"
    )
    assert "</script><img" not in render_markdown(report, "x")


def test_markdown_tables_are_well_formed(report):
    group = replace(report.groups[1], group=replace(report.groups[1].group, space="a|b\nc"))
    text = render_markdown(replace(report, groups=(report.groups[0], group)), "Title")
    assert "a\\|b c" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_same_runs_give_the_same_bytes(runs, tmp_path):
    first = write_report(runs, tmp_path / "a.html", n_resamples=20).read_bytes()
    again = write_report([run.path for run in runs], tmp_path / "b.html", n_resamples=20).read_bytes()
    assert first == again
    assert len(first) - len(get_plotlyjs().encode()) < 250_000


def test_one_run_has_no_common_ground(runs, tmp_path):
    page = Page(write_report(runs[:1], tmp_path / "a.html").read_text())
    assert "difference" not in page.cells


def test_a_common_ground_where_nothing_is_defined_is_left_out(report):
    def without_figures(ground):
        unknown = [replace(one.figures["macro_roc_auc"], value=float("nan")) for one in ground.groups]
        groups = zip(ground.groups, unknown, strict=True)
        return replace(
            ground,
            groups=tuple(replace(one, figures={**one.figures, "macro_roc_auc": nan}) for one, nan in groups),
        )

    shown = len(sections(report))
    blank = replace(report, grounds=tuple(map(without_figures, report.grounds)))
    assert len(sections(blank)) == shown - len(report.grounds)


def test_doubtful_tags_are_those_furthest_on_the_wrong_side():
    """The one track of a label that is heard in nothing, and the one that is heard and carries nothing."""
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 1], *[[0, 0]] * 6], np.uint8)
    scores = np.array(
        [[0.9, 0.1], [0.05, 0.2], [0.1, 0.8], [0.2, 0.7], [0.85, 0.1], *[[0.06, 0.1]] * 5], np.float32
    )
    tracks = ScoredTracks(tuple("abcdefghij"), ("x", "y"), targets, scores, np.ones(10, bool))
    found = doubtful_tags(tracks)
    assert [(pair.track, pair.label) for pair in found["wrong"]] == [("b", "x")]
    threshold = (0.9 + 0.85) / 2
    assert found["wrong"][0].distance == pytest.approx(
        np.log(threshold / (1 - threshold)) + np.log(19), abs=1e-3
    )
    lower = ScoredTracks(tracks.track_ids, tracks.labels, 1 - targets, 1 - scores, tracks.measured)
    assert doubtful_tags(lower)["missing"][0].track == "b"
    assert all(pair.distance > 0 for pairs in found.values() for pair in pairs)
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
    assert [entry.name for entry in found.runs] == ["a/mel", "b/mel"]
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
    write_signed(tmp_path / "run/config.json", content)
    current_evaluation(runs[0], "test")
    shutil.copytree(runs[0].evaluation_dir, tmp_path / "run/evaluation", dirs_exist_ok=True)
    assert collect([tmp_path / "run"], n_resamples=5).groups[0].coverage is None
    assert "its coverage is unknown" in caplog.text


def test_describe_space():
    space = LabelSpace((Label("a", ("a",)),), {}, {"builder": "top", "n": 50, "dropped": ["a", "b"]})
    assert describe_space(space) == "top (n 50, 2 dropped)"
    assert describe_space(LabelSpace((Label("a", ("a",)),))) == "given labels"


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


def test_a3_worst_labels_are_below_the_mean_one_epoch_is_no_curve_and_no_axis_goes_beyond_one(
    report, tmp_path
):
    assert max(axis_around([0.7, 1.0])) < 1.01
    assert axis_around([0.3, 0.5]) == pytest.approx((0.275, 0.525))
    for entry in report.runs:
        mean = entry.evaluation.macro_roc_auc.value
        assert all(float(row[1]) <= mean + 5e-4 for row in _worst_rows(entry, _Recordings({}, tmp_path)))
    shutil.copytree(report.runs[0].run.path, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    run.metrics_path.write_text('{"epoch": 1, "loss": 0.5, "macro_pr_auc": 0.5, "best": true}\n')
    one = replace(report, runs=(replace(report.runs[0], run=run), *report.runs[1:]))
    names = [trace["text"][0] for chart in curve_charts(one).values() for trace in chart["data"]]
    assert not any(report.runs[0].name in name for name in names)
