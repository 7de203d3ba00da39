"""What ``folksong predict`` says of networks, thresholds and recordings that promise more than they hold."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from folksong.cli import main
from folksong.models.checkpoint import write_checkpoint
from folksong.prediction import load_tagger
from folksong.runs import Run


def predict(*words):
    result = CliRunner().invoke(main, ["predict", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def tone(tiny_run):
    return tiny_run.audio / "tone/1.wav"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_16_a4_weights_that_are_no_numbers_are_an_error(tiny_run, tone, tmp_path, value):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    path = Run.open(folder).best_checkpoint
    content = torch.load(path, weights_only=True)
    next(iter(content["tagger"].values())).view(-1)[0] = value
    path.unlink()
    write_checkpoint(path, content)
    result = predict(folder, tone, "--threshold", 0.5)
    assert result.exit_code == 1
    assert f"{folder}: 1 of the network's arrays hold values that are no finite numbers" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("noise", [0.0, 2e-5])
def test_16_a4_silence_is_said_to_be_silence(tiny_run, tone, tmp_path, noise):
    file = tmp_path / "silence.wav"
    soundfile.write(file, np.random.default_rng(0).uniform(-noise, noise, 32_000), 16_000)
    result = predict(tiny_run.folder, file)
    assert result.exit_code == 0
    assert result.stdout == f"{file} (2.0 s)\n  silence: there is nothing to hear\n"
    (heard,) = json.loads(predict(tiny_run.folder, file, "--json").stdout)
    assert (heard["silent"], heard["labels"]) == (True, [])
    assert load_tagger(tiny_run.folder).tag(file) == []
    (heard,) = json.loads(predict(tiny_run.folder, tone, "--json").stdout)
    assert "silent" not in heard


def test_16_a4_a_network_of_one_epoch_is_hinted_at(tiny_run, tone, tmp_path, caplog):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    metrics = folder / "metrics.jsonl"
    first = metrics.read_text().splitlines()[0] + "\n"
    metrics.write_text(first * 2)
    load_tagger(folder)
    assert "scores mean little" not in caplog.text
    metrics.write_text(first)
    load_tagger(folder)
    assert "this network was trained for one epoch of" in caplog.text


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ("tuend", "'tuend' is neither a score from 0 to 1 nor the word 'tuned'; did you mean 'tuned'?"),
        ("1.5", "1.5 is not in the range 0<=x<=1"),
        ("nan", "is neither a score"),
    ],
)
def test_16_b4_a_wrong_threshold_is_named(tiny_run, tone, threshold, message):
    result = predict(tiny_run.folder, tone, "--threshold", threshold)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_16_c7_hostile_labels_and_names_cannot_command_the_terminal(tiny_run, tone, tmp_path, monkeypatch):
    hostile = "rock\x1b[2J\u202e\nfalse line"
    file = tmp_path / "a\x1b]0;owned\x07.wav"
    shutil.copy(tone, file)
    (tmp_path / "b\x1b[31m.wav").write_text("text")
    tagger = load_tagger(tiny_run.folder)
    tagger.labels = (hostile, *tagger.labels[1:])
    monkeypatch.setattr("folksong.load_tagger", lambda *_, **__: tagger)
    for form in ([], ["--json"]):
        result = predict("run", tmp_path, "--top", 5, *form)
        assert not set(result.output) & set("\x1b\x07\u202e")
        assert "rock\\u001b[2J\\u202e\\nfalse line" in result.stdout
    assert "b\\u001b[31m.wav: " in result.stderr


def test_scores_over_time_go_into_a_table_and_a_picture_that_replace_nothing(tiny_run, tone, tmp_path):
    out = tmp_path / "time.csv"
    result = predict(tiny_run.folder, tone, "--over-time", out)
    assert result.exit_code == 0, result.output
    header, *rows = out.read_text(encoding="utf-8").splitlines()
    assert sorted(header.split(",")[2:]) == sorted(load_tagger(tiny_run.folder).labels)
    assert f"{len(rows)} windows" in result.stderr
    assert (tmp_path / "time.csv.png").read_bytes().startswith(b"\x89PNG")
    out.write_text("mine", encoding="utf-8")
    result = predict(tiny_run.folder, tone, "--over-time", out)
    assert (result.exit_code, out.read_text(encoding="utf-8")) == (1, "mine")
    for words in ([tone, "--json"], [tone, tone], [tone.parent]):
        result = predict(tiny_run.folder, *words, "--over-time", tmp_path / "other.csv")
        assert result.exit_code == 2
        assert "--over-time is of one recording" in result.stderr
