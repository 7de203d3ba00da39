"""Heads as runs: trained, measured, tuned, compared and resumed like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import folksong as fs
from folksong.embeddings.store import EmbeddingSpace, read_embeddings, write_embeddings
from folksong.errors import FolksongError
from folksong.evaluation.cross_validate import cross_validate
from folksong.models.checkpoint import load_head, load_model
from folksong.tags.decisions import Decision, decide
from folksong.training.config import Config
from folksong.training.data import read_run_data
from folksong.training.loop import TrainingInterrupted
from folksong.training.train_head import train_head

SPACE = EmbeddingSpace("made-up", "1", "last", "mean", 16000, 3.0, "CC0", "", 24)
LABELS = ("rock", "folk", "sad", "piano", "live")


def write(folder: Path, space: EmbeddingSpace = SPACE, n_tracks: int = 240) -> np.ndarray:
    """Write embeddings from which five tags can be heard, and the tags beside them."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(n_tracks, len(LABELS)))
    values = hidden @ rng.normal(size=(len(LABELS), space.dimensions)) + rng.normal(
        size=(n_tracks, space.dimensions)
    )
    present = hidden > 0.5
    present[~present.any(axis=1), 0] = True
    with write_embeddings(folder, space) as writer:
        for number, row in enumerate(values):
            writer.add(f"t{number}", row)
        writer.finish({})
    lines = [f"t{row},{LABELS[label]},100" for row, label in np.argwhere(present)]
    (folder / "tags.csv").write_text("track_id,tag,weight\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return present


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("embeddings")
    write(place)
    return place


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> fs.Run:
    return fs.train("embeddings", folder, tags=folder / "tags.csv", out=tmp_path_factory.mktemp("runs") / "a")


def test_a_run_like_any_other(folder: Path, run: fs.Run) -> None:
    found = fs.evaluate(run)
    assert found.macro_roc_auc.value > 0.9
    assert found.calibration.pooled().error[0] < 0.12
    assert (run.space, run.front_end, run.audio_format) == (SPACE, "embeddings", "embeddings")
    assert "A head" in run.model_card_path.read_text(encoding="utf-8")
    (row,) = run.history()
    assert row["macro_roc_auc"] > 0.9
    tuned = fs.tune_thresholds(run)
    assert fs.evaluate(run, write=False).settings["thresholds"] == "tuned on the validation part"
    assert set(tuned.values) == set(run.labels.names)


def test_same_seed_same_scores_and_a_head_that_is_there_stays(
    folder: Path, run: fs.Run, tmp_path: Path
) -> None:
    again = fs.train("embeddings", folder, tags=folder / "tags.csv", out=tmp_path / "again")
    for name, values in load_head(run).state_dict().items():
        assert (load_head(again).state_dict()[name] == values).all(), name
    before = again.best_checkpoint.read_bytes()
    fs.resume(again)
    assert again.best_checkpoint.read_bytes() == before
    with pytest.raises(FolksongError, match="already holds a run"):
        fs.train("embeddings", folder, tags=folder / "tags.csv", out=tmp_path / "again")


def test_interrupted_it_is_fitted_when_resumed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("folksong.training.train_head.fit_head", stop)
        with pytest.raises(TrainingInterrupted, match="can be resumed"):
            fs.train("embeddings", folder, tags=folder / "tags.csv", out=tmp_path / "x")
    assert fs.evaluate(fs.resume(tmp_path / "x"), write=False).macro_roc_auc.value > 0.9


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "asymmetric"},
        {"absent_weight": 0.5},
        {"weights": "sample"},
        {"head": "hidden", "n_dense_units": 32},
        {"keep_unlabelled": True},
    ],
    ids=str,
)
def test_losses_and_kinds(folder: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    run = fs.train("embeddings", folder, tags=folder / "tags.csv", out=tmp_path / "x", **changes)
    assert fs.evaluate(run, write=False).macro_roc_auc.value > 0.85


def test_semantic_loss(folder: Path, tmp_path: Path) -> None:
    words = tmp_path / "glove.txt"
    rows = [f"{name} {place} {1 - place} 0.3" for place, name in enumerate(LABELS)]
    words.write_text("\n".join(rows) + "\n", encoding="utf-8")
    run = fs.train("embeddings", folder, tags=folder / "tags.csv", vectors=words, out=tmp_path / "x")
    assert run.config["settings"]["loss"]["kind"] == "semantic"
    assert fs.evaluate(run, write=False).macro_roc_auc.value > 0.85


def test_one_label_each_is_a_softmax(tmp_path: Path) -> None:
    write(tmp_path)
    tags = tmp_path / "one.csv"
    best = np.random.default_rng(0).normal(size=(240, len(LABELS))).argmax(axis=1)
    rows = "".join(f"t{row},{LABELS[label]}\n" for row, label in enumerate(best))
    tags.write_text("track_id,tag\n" + rows, encoding="utf-8")
    run = fs.train("embeddings", tmp_path, tags=tags, out=tmp_path / "x")
    assert run.config["tagger"]["exclusive"]
    scores = fs.evaluate(run, write=False).tracks.scores
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)
    assert (scores.argmax(axis=1) == fs.evaluate(run).tracks.targets.argmax(axis=1)).mean() > 0.7


def test_empty_validation_part_and_few_tracks(tmp_path: Path) -> None:
    write(tmp_path, n_tracks=40)
    run = fs.train(
        "embeddings", tmp_path, tags=tmp_path / "tags.csv", out=tmp_path / "x", fractions=(70, 0, 30)
    )
    assert run.history()[0]["held_out"] == 28
    assert fs.evaluate(run).macro_roc_auc.value > 0.75


def test_folds(folder: Path, tmp_path: Path) -> None:
    pooled = cross_validate("embeddings", folder, out=tmp_path / "f", n_folds=3, tags=folder / "tags.csv")
    assert pooled.n_tracks == 240
    assert pooled.macro_roc_auc.value > 0.9


def test_embeddings_of_another_space_are_refused_by_name(run: fs.Run, tmp_path: Path) -> None:
    write(tmp_path / "other", replace(SPACE, model="else"))
    with pytest.raises(FolksongError, match=r"embeddings of else .*has made-up .*never mix"):
        fs.evaluate(run, shards=tmp_path / "other")
    with pytest.raises(FolksongError, match=r"no extractor makes these here \(no extractor 'made-up'"):
        fs.load_tagger(run)
    with pytest.raises(FolksongError, match="has a head"):
        load_model(run)


def test_compared_with_a_run_on_other_embeddings(folder: Path, run: fs.Run, tmp_path: Path) -> None:
    write(tmp_path / "narrow", replace(SPACE, model="narrow", dimensions=2))
    other = fs.train(
        "embeddings", tmp_path / "narrow", tags=folder / "tags.csv", split=run.split, out=tmp_path / "b"
    )
    found = fs.compare([run, other])
    assert found is not None
    with pytest.raises(FolksongError, match="records hold no tags; give a tag table"):
        fs.train("embeddings", folder, out=tmp_path / "c")
    with pytest.raises(FolksongError, match="no front-end is called 'embedings'"):
        fs.train("embedings", folder, out=tmp_path / "c")


def test_not_finite_features_end_it(folder: Path, run: fs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from folksong.training.config import Config
    from folksong.training.data import read_run_data

    config = Config.from_dict(run.config["settings"])
    data = read_run_data(run, None, config)
    values = np.array(read_embeddings(folder).values)
    values[3, 2] = np.inf
    object.__setattr__(data.reader, "values", values)
    with pytest.raises(FolksongError, match="no finite numbers"):
        train_head(run, data, config)


def test_command(folder: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from folksong.cli import main

    command = [
        "train",
        "embeddings",
        str(folder),
        "--tags",
        str(folder / "tags.csv"),
        "--out",
        str(tmp_path / "r"),
    ]
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 0, found.output
    assert "macro ROC-AUC" in found.output
    assert json.loads((tmp_path / "r" / "config.json").read_text())["front_end"] == "embeddings"
    twice = CliRunner().invoke(main, [*command, "--tfrecords-dir", str(folder)])
    assert "name the same thing" in twice.output


def test_the_control_is_printed_beside_an_evaluation(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from folksong.cli import main

    write(tmp_path / "made-up")
    run = fs.train(
        "embeddings", tmp_path / "made-up", tags=tmp_path / "made-up" / "tags.csv", out=tmp_path / "run"
    )
    found = CliRunner().invoke(main, ["evaluate", str(run.path)])
    assert "No control (what the same head reaches on plain statistics of the spectrum" in found.output
    assert f"extract AUDIO {tmp_path}/statistics --model statistics" in found.output
    space = replace(SPACE, model="statistics", dimensions=3)
    with write_embeddings(tmp_path / "few", space) as writer:
        writer.add("of-another-collection", np.ones(3, np.float32))
        writer.finish({})
    write(tmp_path / "statistics", space)
    for _ in range(2):  # trained once, then kept
        found = CliRunner().invoke(main, ["evaluate", str(run.path)])
        assert found.exit_code == 0, found.output
        assert "Control, a head on statistics of the spectrum: macro ROC-AUC 0." in found.output
    control = fs.Run.open(run.path / "control")
    assert control.space is not None
    assert (control.space.model, control.split.sha256()) == ("statistics", run.split.sha256())
    assert "Control" not in CliRunner().invoke(main, ["evaluate", str(control.path)]).output


def test_what_listeners_decided_is_learned_measured_and_remembered(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    table = fs.read_tags(folder / "tags.csv")
    rocking = [track for track in table.track_ids if "rock" in dict(table.tags_of(track))]
    for track in rocking[:-40]:
        decide(path, Decision(track, "rock", ("rock",), "no", "me"))
    decide(path, Decision("not a record", "rock", ("rock",), "yes", "me"))
    space = fs.labels.top(table, 5)
    run = fs.train(
        "embeddings", folder, tags=folder / "tags.csv", labels=space, decisions=path, out=tmp_path / "run"
    )
    counts = {
        part: fs.evaluate(run, part=part).tracks.targets[:, space.index("rock")].sum()
        for part in ("training", "validation", "test")
    }
    assert sum(counts.values()) == 40
    decide(path, Decision(rocking[-1], "rock", ("rock",), "no", "me"))
    with pytest.raises(FolksongError, match="the tags have changed"):
        read_run_data(run, None, Config())


def test_exported_head_scores_embeddings(folder: Path, run: fs.Run, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    from folksong.export.onnx import export_onnx

    session = onnxruntime.InferenceSession(export_onnx(run, tmp_path / "head.onnx"))
    tracks = fs.evaluate(run, write=False).tracks
    (scores,) = session.run(None, {"embeddings": read_embeddings(folder).vectors(tracks.track_ids)})
    np.testing.assert_allclose(scores, tracks.scores, atol=1e-5)
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept["embedding_space"])["model"] == "made-up"
