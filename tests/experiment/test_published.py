"""Published figures stand beside the experiment's own, and a file of them is checked."""

from __future__ import annotations

import csv
import json
from importlib.resources import files
from pathlib import Path

import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.analyses import read_tag_groups
from folksong.evaluation.report import write_report
from folksong.experiment import Cell, CellResult, read_plan, run_experiment
from folksong.experiment.plan import make_plan
from folksong.experiment.prepare import SPLIT_NAME, build_spaces, space_file
from folksong.experiment.published import (
    COLUMNS,
    FIGURES,
    beside_published,
    genre_clusterings,
    published_section,
)
from folksong.labels.space import Label, LabelSpace
from folksong.splits import Split
from folksong.tags.sources.read_tags import read_tags, write_tags
from folksong.tags.table import TagTable

HEADER = "\t".join(COLUMNS)
EARLIER = Path(__file__).resolve().parents[3] / "shared" / "data" / "earlier-project"
needs_earlier = pytest.mark.skipif(
    not EARLIER.is_dir(), reason=f"{EARLIER} (the earlier project's own files) is not here"
)


def rows_of(text):
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


@needs_earlier
def test_the_shipped_figures_equal_the_published_ones_value_by_value():
    published = rows_of((EARLIER / "published.tsv").read_text(encoding="utf-8"))
    shipped = rows_of((files("folksong.experiment") / "published" / "thesis.tsv").read_text(encoding="utf-8"))
    for row in shipped:
        del row["space"]
        row["model"] = row.pop("table")
    assert shipped == published
    assert len(published) == 28


@needs_earlier
def test_the_published_groups_are_those_that_ship():
    assert read_tag_groups(EARLIER / "top100.tsv") == read_tag_groups("top100")


@pytest.mark.parametrize("name", ["thesis", "thesis-small"])
def test_the_shipped_figures_belong_to_label_spaces_of_the_plan(name):
    plan = read_plan(name)
    rows = beside_published(plan, [])
    assert len(rows) == 28
    trained = {
        (space, front_end) for grid in plan.grid for space in grid.spaces for front_end in grid.front_ends
    }
    text = (files("folksong.experiment") / "published" / "thesis.tsv").read_text()
    named = {tuple(line.split("\t")[:2]) for line in text.splitlines()[1:]}
    assert named <= trained
    best = max(rows, key=lambda row: row.published["micro_pr_auc"])
    assert (best.table, best.front_end, best.n_labels) == ("3.4 tags", "log-mel-spectrogram", 11)


@pytest.fixture(scope="module")
def done(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    settings = {
        "model": {"n_dense_units": 16, "n_filters": 1},
        "model-training": {"window_length": 1.25, "batch_size": 8},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "figures.tsv").write_text(
        f"{HEADER}\ntop\tlog-mel-spectrogram\t1\tfive\t5\t0.3\t0.8\t0.2\t0.7\nother\twaveform\t2\tmore\t\t0.1\t0.2\t0.3\t0.4\n"
    )
    (folder / "plan.toml").write_text(
        f"""
        published = "figures.tsv"
        [data]
        tags = "{tiny_run.tags}"
        shards = {{ "log-mel-spectrogram" = "{tiny_run.shards}" }}
        fractions = [50, 20, 30]
        settings = "config.json"
        [training]
        epochs = 1
        [spaces]
        top = {{ builder = "top", n = 5 }}
        [[grid]]
        spaces = ["top"]
        front_ends = ["log-mel-spectrogram"]
        epochs = 2
        """
    )
    plan = read_plan(folder / "plan.toml")
    return plan, run_experiment(plan, folder / "out")


def test_ours_are_those_of_the_evaluation(done, tmp_path):
    plan, results = done
    run, other = beside_published(plan, results)
    found = json.loads((results[0].run / "evaluation" / "test.json").read_text())
    assert run.ours == {name: pytest.approx(found[name]["value"]) for name in FIGURES}
    assert (run.our_labels, run.n_seeds, run.published["macro_roc_auc"]) == (5, 1, 0.7)
    assert (other.ours, other.our_labels, other.n_labels) == ({}, None, None)
    section = published_section(plan, results)
    assert section.rows[0][3] == "5 → 5"
    assert section.rows[1][4] == "0.100 → –"
    page = write_report([results[0].run], tmp_path / "r.html", more=[section], n_resamples=20)
    assert "Beside the published figures" in page.read_text()


def test_a_grid_has_epochs_of_its_own(done):
    _, results = done
    assert results[0].cell.inputs["training"]["epochs"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("space\tfront_end\n", "no column table"),
        (
            f"{HEADER}\ntop\twaveform\t1\tfive\t5\t0.3\thigh\t0.2\t0.7\n",
            "line 2: micro_roc_auc is no number: 'high'",
        ),
    ],
)
def test_a_damaged_file_is_named(done, content, message):
    plan, results = done
    (plan.folder / "wrong.tsv").write_text(content)
    with pytest.raises(FileFormatError, match=message):
        beside_published(plan.model_copy(update={"published": "wrong.tsv"}), results)
    with pytest.raises(FolksongError, match="no such file of published figures"):
        beside_published(plan.model_copy(update={"published": "none"}), results)


def test_genres_are_divided_again_as_the_experiment_divided_them(tmp_path):
    names = ["rock", *(f"{kind} {number}" for kind in "abcde" for number in range(3))]
    pairs = [(f"t{track}", "rock") for track in range(60)]
    pairs += [(f"t{track}", f"{'abcde'[track % 5]} {number}") for track in range(60) for number in range(3)]
    write_tags(TagTable.from_pairs(*zip(*pairs, strict=True)), tmp_path / "tags.csv")
    LabelSpace((Label("rock", tuple(names)),)).write(tmp_path / "genres.labels.json")
    content = {
        "data": {"tags": "tags.csv", "groups": "top100"},
        "spaces": {
            "genres": {"builder": "file", "path": "genres.labels.json"},
            "inside": {"builder": "npmi", "of": "genres", "population": "pairs"},
        },
        "grid": [{"spaces": ["inside"], "front_ends": ["waveform"]}],
    }
    plan = make_plan(content, tmp_path, "plan")
    assert read_tag_groups(plan.beside(plan.data.groups))["rock"] == "genre"
    split = Split(tuple(f"t{track}" for track in range(50)), ("t50",), ("t51",))
    split.write(tmp_path / SPLIT_NAME)
    table = read_tags(tmp_path / "tags.csv").select_tracks(split.training)
    spaces = build_spaces(plan, table, split.sha256())
    for name, space in spaces.items():
        space.write(tmp_path / "spaces" / space_file(name, space.sha256()))
    cell = Cell("inside", "waveform", "bce", 0, {"labels": spaces["inside"].sha256()})
    found = genre_clusterings(plan, tmp_path, [CellResult(cell, tmp_path, "done")])
    assert list(found) == ["inside, rock"]
    assert set(found["inside, rock"].clusters) == {label.tags for label in spaces["inside"].labels}
    assert len(spaces["inside"]) == 5
