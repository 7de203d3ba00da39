"""An experiment trains each cell once, goes on where it stopped, and survives cells that fail."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import folksong as fs
from folksong.cli import main
from folksong.embeddings.store import EmbeddingSpace, write_embeddings
from folksong.errors import FolksongError
from folksong.experiment import read_plan, run_experiment
from folksong.experiment.run_experiment import _run_cells, run_cell
from folksong.training.config import Config

MEL = "log-mel-spectrogram"
SETTINGS = {
    "model": {"n_dense_units": 16, "n_filters": 1},
    "model-training": {"window_length": 1.25, "batch_size": 8},
}


@pytest.fixture(scope="module")
def plan(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    path = folder / "plan.toml"
    path.write_text(
        f"""
        [data]
        tags = "{tiny_run.tags}"
        shards = {{ "log-mel-spectrogram" = "{tiny_run.shards}" }}
        fractions = [50, 20, 30]
        settings = "config.json"
        [training]
        epochs = 1
        precision = "32"
        [spaces]
        top = {{ builder = "top", n = 5 }}
        less = {{ builder = "drop", of = "top", tags = ["odd"] }}
        [[grid]]
        spaces = ["top", "less"]
        front_ends = ["log-mel-spectrogram"]
        """
    )
    return path


@pytest.fixture(scope="module")
def done(plan):
    return run_experiment(plan, plan.parent / "out")


def test_every_cell_is_trained_and_evaluated(done, plan):
    assert [(found.cell.space, found.status) for found in done] == [("top", "done"), ("less", "done")]
    for found in done:
        content = json.loads((found.run / "evaluation/test.json").read_text())
        assert len(content["labels"]) == {"top": 5, "less": 4}[found.cell.space]
    splits = {(found.run / "split.json").read_bytes() for found in done}
    assert splits == {(plan.parent / "out/plan.split.json").read_bytes()}
    listed = json.loads((plan.parent / "out/experiment.json").read_text())["cells"]
    assert [cell["done"] for cell in listed] == [True, True]


def test_what_is_done_is_kept_and_what_is_half_done_is_finished(done, plan):
    weights = {found.run: (found.run / "checkpoints/best.ckpt").read_bytes() for found in done}
    shutil.rmtree(done[0].run / "evaluation")  # as if it had been stopped before its evaluation
    again = run_experiment(plan, plan.parent / "out")
    assert [found.status for found in again] == ["done", "kept"]
    assert (done[0].run / "evaluation/test.json").exists()
    for run, content in weights.items():
        assert (run / "checkpoints/best.ckpt").read_bytes() == content


def test_a_cell_that_fails_says_why(done, plan, tmp_path):
    opened = read_plan(plan)
    missing = opened.model_copy(
        update={
            "data": opened.data.model_copy(update={"shards": {"log-mel-spectrogram": str(tmp_path / "gone")}})
        }
    )
    shutil.copytree(plan.parent / "out/spaces", tmp_path / "spaces")
    shutil.copy(plan.parent / "out/plan.split.json", tmp_path)
    cells = [found.cell for found in done]
    in_processes = list(_run_cells(missing, tmp_path, Config.from_dict(SETTINGS), cells, jobs=2))
    for found in [run_cell(missing, tmp_path, Config.from_dict(SETTINGS), cells[0]), *in_processes]:
        assert found.status == "failed"
        assert "gone" in str(found.error)
        assert found.run == found.cell.folder(tmp_path)
    assert {found.cell.name for found in in_processes} == {cell.name for cell in cells}


def test_command_on_a_finished_plan_writes_the_report(done, plan):
    result = CliRunner().invoke(main, ["experiment", str(plan), "--out", str(plan.parent / "out")])
    assert result.exit_code == 0, result.output
    assert "kept" in result.stdout
    assert "<title>plan</title>" in (plan.parent / "out/report.html").read_text()
    wrong = CliRunner().invoke(main, ["experiment", str(plan.parent / "none.toml")])
    assert wrong.exit_code == 1
    assert "no such file" in wrong.stderr


def test_recordings_become_shards_once(tiny_run, plan, tmp_path):
    """A plan that names recordings in the place of shards trains from shards in the experiment's own folder."""
    given = {
        "data": {"audio": str(tiny_run.audio), "shards": {}},
        "grid": [{"spaces": ["top"], "front_ends": [MEL]}],
    }
    (tmp_path / "config.json").write_text(json.dumps({**SETTINGS, "tfrecords": {"n_mels": 64}}))
    settings = {"settings": str(tmp_path / "config.json")}
    changed = read_plan(plan, {**given, "data": {**given["data"], **settings}})
    changed = changed.model_copy(update={"data": changed.data.model_copy(update={"shards": {}})})
    (found,) = run_experiment(changed, tmp_path / "out")
    assert found.status == "done", found.error
    manifest = tmp_path / "out/shards" / MEL / "manifest.json"
    assert json.loads(manifest.read_text())["preset"]["n_mels"] == 64  # what the settings say
    written = manifest.stat().st_mtime_ns
    assert [again.status for again in run_experiment(changed, tmp_path / "out")] == ["kept"]
    assert manifest.stat().st_mtime_ns == written
    nothing = changed.model_copy(update={"data": changed.data.model_copy(update={"audio": None})})
    with pytest.raises(FolksongError, match=r"data.shards: none for log-mel-spectrogram"):
        run_experiment(nothing, tmp_path / "other")


def test_heads_in_the_place_of_the_plans_front_ends(tiny_run, plan, tmp_path):
    rng = np.random.default_rng(0)
    space = EmbeddingSpace("made-up", "", "", "", None, None, "", "", 6)
    with write_embeddings(tmp_path / "embeddings", space) as writer:
        for track_id in fs.read_tags(tiny_run.tags).track_ids:
            writer.add(track_id, rng.normal(size=6))
        writer.finish({})
    command = ["experiment", str(plan), "--out", str(tmp_path / "out"), "--front-end", "embeddings"]
    command += ["--set", f"data.shards.embeddings={tmp_path / 'embeddings'}", "--no-report"]
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 0, found.output
    cells = json.loads((tmp_path / "out/experiment.json").read_text())["cells"]
    assert {(cell["front_end"], cell["done"]) for cell in cells} == {("embeddings", True)}
    assert [(cell["space"], cell["seed"]) for cell in cells] == [
        (space, seed) for space in ("top", "less") for seed in range(10)
    ]
