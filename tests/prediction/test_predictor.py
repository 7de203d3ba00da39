"""A loaded tagger hears files as its run's audio settings say."""

from __future__ import annotations

import csv
import threading

import numpy as np
import pytest
import soundfile
import torch

from folksong.audio.decode import decode
from folksong.audio.log_mel import log_mel, read_preset
from folksong.errors import AudioError, FolksongError
from folksong.models.tagger import Tagger
from folksong.prediction import ArrayClip, AudioInput, LoadedTagger, Prediction, score_clips
from folksong.prediction.predictor import ScoresOverTime
from folksong.prediction.windows import WINDOWS_A_THREAD

RATE = 16_000
LABELS = ("rock", "piano", "rain")


@pytest.fixture(scope="module")
def waveform_tagger():
    torch.manual_seed(0)
    return LoadedTagger(
        Tagger("waveform", 3, n_dense_units=8), LABELS, AudioInput(RATE, 1.25),
        device="cpu", precision="32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def log_mel_tagger():
    torch.manual_seed(0)
    return LoadedTagger(
        Tagger("log-mel-spectrogram", 3, n_filters=1, n_dense_units=8), LABELS,
        AudioInput(RATE, 1.0, read_preset("urop2019")), device="cpu", precision="32",
    )  # fmt: skip


def write_tone(path, seconds, rate=RATE, channels=1, hertz=440.0):
    time = np.arange(int(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * np.random.default_rng(0).standard_normal(len(time))
    soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate)
    return path


@pytest.mark.parametrize("seconds", [0.01, 1.25, 3.3])
@pytest.mark.parametrize("kind", ["waveform_tagger", "log_mel_tagger"])
def test_a_file_gets_the_scores_of_its_samples(request, tmp_path, kind, seconds):
    tagger = request.getfixturevalue(kind)
    file = write_tone(tmp_path / "a.flac", seconds, rate=44_100, channels=2)
    samples = decode(file, RATE)
    np.testing.assert_array_equal(tagger.scores(file), tagger.scores(samples))
    heard = samples if tagger.audio.preset is None else log_mel(samples, tagger.audio.preset)
    (expected,) = score_clips(tagger.model, [ArrayClip(heard)], window_steps=tagger.window_steps)
    np.testing.assert_array_equal(tagger.scores(file), expected)
    pairs = tagger.tag(file)
    assert sorted(label for label, _ in pairs) == sorted(LABELS)
    assert [score for _, score in pairs] == sorted((float(x) for x in expected), reverse=True)
    assert tagger.tag(file, top=2) == pairs[:2]


def test_features_are_of_the_whole_track_never_of_a_window(log_mel_tagger):
    """top_db counts from the loudest frame of the track: a quiet half heard alone would look different."""
    rng = np.random.default_rng(0)
    quiet_then_loud = np.concatenate([rng.standard_normal(RATE) * 1e-6, rng.standard_normal(RATE)])
    samples = quiet_then_loud.astype(np.float32)
    tagger = log_mel_tagger
    clip = tagger.audio.clip(samples)
    assert (
        clip.audio[:, 2:25] == clip.audio.min()
    ).all()  # the quiet half lies on the floor, 80 dB below the peak


def test_scores_do_not_depend_on_other_files_and_keep_their_order(waveform_tagger, tmp_path):
    files = [write_tone(tmp_path / f"{n}.wav", 0.3 * n, hertz=110.0 * n) for n in range(1, 7)]
    together = list(waveform_tagger.predict_files(files))
    assert [prediction.file for prediction in together] == [str(file) for file in files]
    for file, prediction in zip(files, together, strict=True):
        np.testing.assert_array_equal(prediction.scores, waveform_tagger.scores(file))
        assert prediction.seconds == pytest.approx(soundfile.info(file).duration, abs=1e-3)


def test_broken_files_are_passed_over_and_told(waveform_tagger, tmp_path):
    good = write_tone(tmp_path / "good.wav", 1)
    text = tmp_path / "text.mp3"
    text.write_text("To whom it may concern")
    empty = tmp_path / "empty.wav"
    empty.touch()
    told = {}
    found = list(
        waveform_tagger.predict_files(
            [text, good, empty, tmp_path / "none.ogg"],
            on_error=lambda file, error: told.update({file: str(error)}),
        )
    )
    assert [prediction.file for prediction in found] == [str(good)]
    assert list(told) == [str(text), str(empty), str(tmp_path / "none.ogg")]
    assert "not a recording" in told[str(text)]
    with pytest.raises(AudioError, match="empty file"):
        list(waveform_tagger.predict_files([good, empty]))


def test_memory_for_a_long_recording_is_bounded_by_the_batch(monkeypatch):
    seen = []
    model = Tagger("waveform", 3, n_dense_units=8)
    forward = Tagger.forward
    monkeypatch.setattr(Tagger, "forward", lambda self, x: seen.append(len(x)) or forward(self, x))
    tagger = LoadedTagger(
        model,
        LABELS,
        AudioInput(RATE, 1.25),
        hop_seconds=0.1,
        batch_size=8,
        device="cpu",
    )
    tagger.scores(np.ones(RATE * 3, np.float32))
    assert max(seen) == WINDOWS_A_THREAD < 8
    assert sum(seen) == 19  # (3 - 1.25) / 0.1 + 1, and one that ends at the end


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_scores_do_not_depend_on_the_number_of_threads(precision):
    torch.manual_seed(0)
    tagger = LoadedTagger(
        Tagger("waveform", 3, n_dense_units=8), LABELS, AudioInput(RATE, 1.25),
        device="cpu", precision=precision,
    )  # fmt: skip
    samples = np.random.default_rng(0).standard_normal(12 * RATE).astype(np.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(tagger.scores(samples))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_reader_who_stops_early_leaves_no_thread_behind(waveform_tagger, tmp_path):
    files = [write_tone(tmp_path / f"{n}.wav", 2) for n in range(4)]
    before = set(threading.enumerate())
    predictions = waveform_tagger.predict_files(files * 500)
    assert next(predictions).file == str(files[0])
    predictions.close()
    assert set(threading.enumerate()) == before


def test_ranked():
    prediction = Prediction("a", 1.0, ("a", "b", "c"), np.array([0.5, 0.9, 0.5], np.float32))
    assert [label for label, _ in prediction.ranked()] == ["b", "a", "c"]
    assert [label for label, _ in prediction.ranked(top=1)] == ["b"]
    assert [label for label, _ in prediction.ranked(threshold=0.6)] == ["b"]
    assert prediction.ranked(threshold=0.95) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a",)}, "3 outputs, but there are 1 labels"),
        ({"preset": read_preset("urop2019")}, "takes no feature preset"),
        ({"window_seconds": 0.1}, "1600 steps is too short: the network needs at least"),
        ({"hop_seconds": 1e-9}, "hop between windows is shorter"),
    ],
)
def test_settings_that_do_not_fit_the_network(changes, message):
    given = {"labels": LABELS, "preset": None, "window_seconds": 1.25, **changes}
    audio = AudioInput(RATE, given.pop("window_seconds"), given.pop("preset"))
    with pytest.raises(FolksongError, match=message):
        LoadedTagger(Tagger("waveform", 3, n_dense_units=8), audio=audio, **given)


@pytest.mark.parametrize(
    ("preset", "message"), [(None, "needs a feature preset"), (read_preset("urop2019"), "gives 96 mel bands")]
)
def test_preset_is_checked(preset, message):
    model = Tagger("log-mel-spectrogram", 3, n_mels=48, n_filters=1, n_dense_units=8)
    with pytest.raises(FolksongError, match=message):
        LoadedTagger(model, LABELS, AudioInput(RATE, 1.0, preset))


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((2, 100))])
def test_samples_must_be_mono_and_some(waveform_tagger, samples):
    with pytest.raises(AudioError, match="mono samples"):
        waveform_tagger.scores(samples)


def test_bf16_moves_scores_by_little(waveform_tagger):
    samples = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    fast = LoadedTagger(
        waveform_tagger.model, LABELS, AudioInput(RATE, 1.25), device="cpu",
        precision="bf16",
    )  # fmt: skip
    exact = waveform_tagger.scores(samples)
    assert (fast.scores(samples) != exact).any()
    np.testing.assert_allclose(fast.scores(samples), exact, atol=0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "abacus"}, "no device 'abacus' here"),
        ({"precision": "64"}, "precision '64'; there are auto"),
    ],
)
def test_unknown_device_and_precision(settings, message):
    model = Tagger("waveform", 3, n_dense_units=8)
    with pytest.raises(FolksongError, match=message):
        LoadedTagger(model, LABELS, AudioInput(RATE, 1.25), **settings)


@pytest.mark.parametrize("kind", ["waveform_tagger", "log_mel_tagger"])
@pytest.mark.parametrize("hop_steps", [None, 12])
def test_issue23_9_a_long_recording_is_heard_in_pieces(request, tmp_path, monkeypatch, kind, hop_steps):
    tagger = request.getfixturevalue(kind)
    monkeypatch.setattr(
        tagger, "hop_steps", hop_steps if hop_steps is None else hop_steps * tagger.window_steps // 20
    )
    file = write_tone(tmp_path / "a.wav", 40, rate=44_100, channels=2)
    whole = tagger.predict(file)
    monkeypatch.setattr("folksong.audio.decode.LONG_SECONDS", 30)
    monkeypatch.setattr("folksong.prediction.predictor.decode", None)
    found = tagger.predict(file)
    assert (found.seconds, found.silent) == (whole.seconds, whole.silent)
    np.testing.assert_allclose(found.scores, whole.scores, atol=1e-5)
    assert [prediction.seconds for prediction in tagger.predict_files([file, file])] == [whole.seconds] * 2


@pytest.mark.parametrize("seconds", [0.4, 1.25, 4.9])
@pytest.mark.parametrize("hop", [None, 0.5])
@pytest.mark.parametrize("kind", ["waveform_tagger", "log_mel_tagger"])
def test_the_mean_of_the_scores_over_time_is_the_score(request, tmp_path, monkeypatch, kind, hop, seconds):
    tagger = request.getfixturevalue(kind)
    monkeypatch.setattr(tagger, "hop_steps", None if hop is None else tagger.audio.steps(hop))
    file = write_tone(tmp_path / "a.flac", seconds)
    found = tagger.over_time(file)
    np.testing.assert_allclose(found.scores.mean(axis=0), tagger.scores(file), atol=1e-6)
    assert found.starts[0] == pytest.approx(0, abs=0.2)
    assert found.starts[-1] + found.window_seconds == pytest.approx(
        max(seconds, found.window_seconds), abs=0.2
    )
    assert (np.diff(found.starts) > 0).all()


def test_scores_over_time_of_a_long_recording_are_those_of_a_short_one(log_mel_tagger, tmp_path, monkeypatch):
    file = write_tone(tmp_path / "a.flac", 4.9)
    whole = log_mel_tagger.over_time(file)
    monkeypatch.setattr("folksong.prediction.predictor.is_long", lambda file: True)
    np.testing.assert_allclose(log_mel_tagger.over_time(file).scores, whole.scores, atol=1e-5)


def test_scores_over_time_as_a_table_and_a_picture(tmp_path):
    scores = np.array([[0.1, 0.9], [0.2, 0.5]], np.float32)
    found = ScoresOverTime("a.mp3", ("$a$, b", "日本"), np.array([0.0, 3.0]), 3.0, scores)
    found.write(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["start", "end", "日本", "$a$, b"],
        ["0.000", "3.000", "0.900000", "0.100000"],
        ["3.000", "6.000", "0.500000", "0.200000"],
    ]
    found.draw(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
