"""``folksong predict`` and ``folksong evaluate`` on a real, tiny run."""

from __future__ import annotations

import csv
import json
import os
import shutil

import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.prediction import load_tagger


def run_folksong(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def recordings(tiny_run, tmp_path_factory):
    """Two good files and four that are none, in a folder with another of no recordings."""
    folder = tmp_path_factory.mktemp("recordings")
    shutil.copy(tiny_run.audio / "tone/1.wav", folder / "tone.wav")
    shutil.copy(tiny_run.audio / "noise/1.wav", folder / "noise.wav")
    whole = (folder / "tone.wav").read_bytes()
    (folder / "text.mp3").write_text("To whom it may concern")
    (folder / "empty.ogg").touch()
    (folder / "header.wav").write_bytes(whole[:44])
    (folder / "bare").mkdir()
    return folder


def test_predict_prints_the_best_labels(tiny_run, recordings):
    file = recordings / "tone.wav"
    result = run_folksong("predict", tiny_run.folder, file, "--top", 2)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    expected = load_tagger(tiny_run.folder).tag(file, top=2)
    assert lines[0] == f"{file} (2.0 s)"
    assert [line.split() for line in lines[1:]] == [[label, f"{score:.3f}"] for label, score in expected]
    assert len(run_folksong("predict", tiny_run.folder, file).stdout.splitlines()) == 1 + 5


def test_predict_json_and_csv_hold_all_labels(tiny_run, recordings):
    files = recordings / "tone.wav", recordings / "noise.wav"
    content = json.loads(run_folksong("predict", tiny_run.folder, *files, "--json").stdout)
    assert [entry["file"] for entry in content] == [str(file) for file in files]
    assert [len(entry["labels"]) for entry in content] == [5, 5]
    rows = list(csv.DictReader(run_folksong("predict", tiny_run.folder, *files, "--csv").stdout.splitlines()))
    assert [(row["file"], row["label"], float(row["score"])) for row in rows] == [
        (entry["file"], pair["label"], pair["score"]) for entry in content for pair in entry["labels"]
    ]


@pytest.mark.skipif(os.name == "nt", reason="pipes, and names of any bytes")
def test_d1_c2_predict_passes_names_that_are_not_utf8_and_pipes(tiny_run, recordings, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xc3\xa9.wav")
    shutil.copy(recordings / "tone.wav", name)
    shutil.copy(recordings / "tone.wav", tmp_path / "Live: -#1 .wav")
    os.mkfifo(tmp_path / "pipe.mp3")
    shown = [rf"{tmp_path}/caf\xe9 é.wav", f"{tmp_path}/Live: -#1 .wav"]
    for option in ("--json", "--csv", "--top=1"):
        result = run_folksong("predict", tiny_run.folder, name, tmp_path, tmp_path / "pipe.mp3", option)
        assert result.exit_code == 1
        assert "pipe.mp3: is a pipe" in result.stderr
        assert "names that are not UTF-8" in result.stderr
        text = result.stdout_bytes.decode("utf-8")
        if option == "--json":
            assert [entry["file"] for entry in json.loads(text)] == shown
        else:
            assert all(name in text for name in shown)


def test_predict_threshold(tiny_run, recordings):
    file = recordings / "tone.wav"
    best = load_tagger(tiny_run.folder).tag(file)[1][1]
    content = json.loads(run_folksong("predict", tiny_run.folder, file, "--json", "--threshold", best).stdout)
    assert len(content[0]["labels"]) == 2
    assert (
        "no label reaches its threshold"
        in run_folksong("predict", tiny_run.folder, file, "--threshold", 1).stdout
    )


def test_predict_passes_over_what_is_no_recording_and_says_so(tiny_run, recordings):
    result = run_folksong(
        "predict",
        tiny_run.folder,
        recordings,
        recordings / "bare",
        recordings / "gone.mp3",
        "--csv",
        "--top",
        1,
    )
    assert result.exit_code == 1
    tagged = [row["file"] for row in csv.DictReader(result.stdout.splitlines())]
    assert tagged == [str(recordings / "noise.wav"), str(recordings / "tone.wav")]
    for name, why in {
        "text.mp3": "not a recording",
        "empty.ogg": "empty file",
        "header.wav": "holds no sound",
        "bare": "holds no recording",
        "gone.mp3": "no such file",
    }.items():
        line = next(line for line in result.stderr.splitlines() if line.startswith(str(recordings / name)))
        assert why in line
    assert "5 of 7 could not be tagged" in result.stderr


def test_predict_names_a_folder_that_is_not_there_once(tiny_run, tmp_path):
    result = run_folksong("predict", tiny_run.folder, f"{tmp_path}/gone/")
    assert f"{tmp_path}/gone: no such file or folder" in result.stderr.splitlines()


def test_predict_without_a_run(tmp_path):
    result = run_folksong("predict", tmp_path, "a.mp3")
    assert result.exit_code == 1
    assert "no run here" in result.stderr


def test_evaluate_prints_tables_and_draws(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    result = run_folksong("evaluate", folder, "--resamples", 20, "--plot", tmp_path / "labels.png")
    assert result.exit_code == 0, result.output
    for words in (
        "test part: 12 tracks, 5 labels",
        "macro ROC-AUC",
        "micro PR-AUC",
        "lift",
        "chirp",
        "test.json",
    ):
        assert words in result.stdout
    assert (tmp_path / "labels.png").stat().st_size > 10_000
    content = json.loads((folder / "evaluation/test.json").read_text())
    shown = next(line for line in result.stdout.splitlines() if line.startswith("macro ROC-AUC"))
    assert f"{content['macro_roc_auc']['value']:.3f}" in shown


def test_evaluate_json_of_another_part(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    result = run_folksong(
        "evaluate", folder, "--part", "validation", "--windows", "centre", "--resamples", 5, "--json"
    )
    content = json.loads(result.stdout)
    assert (content["part"], content["n_tracks"], content["settings"]["windows"]) == (
        "validation",
        8,
        "centre",
    )
    assert (folder / "evaluation/validation.csv").exists()
    assert not (folder / "evaluation/test.csv").exists()


def test_thresholds_are_tuned_kept_and_used(tiny_run, recordings, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    file = recordings / "tone.wav"
    result = run_folksong("predict", folder, file, "--threshold", "tuned")
    assert result.exit_code == 1
    assert "has no tuned thresholds; `folksong evaluate" in result.stderr
    result = run_folksong("evaluate", folder, "--tune")
    assert result.exit_code == 0, result.output
    stored = json.loads((folder / "thresholds.json").read_text())
    values = {entry["name"]: entry["threshold"] for entry in stored["labels"]}
    content = json.loads(run_folksong("predict", folder, file, "--threshold", "tuned", "--json").stdout)
    scores = dict(load_tagger(folder).tag(file))
    assert {pair["label"] for pair in content[0]["labels"]} == {
        name for name, score in scores.items() if score >= values[name]
    }
    result = run_folksong("evaluate", folder, "--resamples", 5)
    assert "at thresholds tuned on the validation part" in result.stdout
    assert run_folksong("predict", folder, file, "--threshold", "2").exit_code == 2
