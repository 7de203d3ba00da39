"""Log-mel-spectrograms: golden values of librosa, librosa itself where installed, properties, bad settings."""

import dataclasses
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong.audio.log_mel import FeaturePreset, log_mel, mel_filterbank, read_preset
from folksong.errors import AudioError, FolksongError

GOLDEN = Path(__file__).with_name("log_mel_golden.npz")
TOLERANCE_DB = 1e-3
RATE = 16000


def chord_and_tone(repeats: int = 1) -> np.ndarray:
    """Return the golden signal, 2 s of float32, so many times."""
    return np.tile(np.load(GOLDEN)["waveform"].astype(np.float32) / np.float32(32768), repeats)


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("name", ["urop2019", "pons2018"])
def test_log_mel_equals_librosas_golden_values(name, pad_mode):
    preset = dataclasses.replace(read_preset(name), pad_mode=pad_mode)
    expected = np.load(GOLDEN)[f"{name}_{pad_mode}"]
    found = log_mel(chord_and_tone(), preset)
    assert found.dtype == np.float32
    assert found.shape == (96, preset.n_frames(2 * RATE))
    scale = 1.0 if name == "urop2019" else 10.0  # log10(1 + x) in tenths of a bel
    assert np.abs(found[::3, ::2] - expected).max() * scale < TOLERANCE_DB


@pytest.mark.parametrize("n_fft", [512, 2048])
def test_filters_equal_librosas(n_fft):
    expected = np.load(GOLDEN)[f"filters_{n_fft}"]
    assert np.abs(mel_filterbank(RATE, n_fft, 96)[:, ::8] - expected).max() < 1e-7 * expected.max()


def test_parity_with_librosa_at_other_settings():
    librosa = pytest.importorskip("librosa")
    waveform = chord_and_tone(2)[:70_001]
    preset = FeaturePreset("other", 22050, 1024, 300, 64, pad_mode="reflect", top_db=None)
    expected = librosa.power_to_db(
        librosa.feature.melspectrogram(
            y=waveform, sr=22050, n_fft=1024, hop_length=300, n_mels=64, pad_mode="reflect"
        ),
        top_db=None,
    )
    found = log_mel(waveform, preset)
    quiet = expected < expected.max() - 100  # float32 itself ends about there
    assert np.abs(found - expected)[~quiet].max() < TOLERANCE_DB


def test_a_faint_band_beside_a_loud_tone_keeps_its_precision():
    """Bands 75 dB below a pure tone are where a float32 transform alone is off by more than 1e-3 dB."""
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 1000.0 * time)
    faint = 3.2e-4 * np.sin(2 * np.pi * 5200.0 * time)
    waveform = (0.9 * (tone + faint)).astype(np.float32)
    preset = read_preset("urop2019")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform.astype(float), 1024), 2048)[::512]
    power = np.abs(np.fft.rfft(frames * window)) ** 2 @ mel_filterbank(RATE, 2048, 96).T.astype(float)
    exact = 10 * np.log10(np.maximum(power.T, 1e-10))
    exact = np.maximum(exact, exact.max() - 80)
    assert (exact < exact.max() - 74).any()
    assert np.abs(log_mel(waveform, preset) - exact).max() < TOLERANCE_DB


@given(st.integers(1, 9000), st.sampled_from(["urop2019", "pons2018"]))
@settings(deadline=None, max_examples=30)
def test_shape_follows_the_number_of_samples(n_samples, name):
    preset = read_preset(name)
    waveform = np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32) * 0.1
    assert log_mel(waveform, preset).shape == (96, preset.n_frames(n_samples))


def test_an_inner_frame_is_the_same_whatever_lies_far_away():
    waveform = chord_and_tone(2)
    preset = dataclasses.replace(read_preset("urop2019"), top_db=None)
    whole = log_mel(waveform, preset)
    part = log_mel(waveform[: 200 * 512], preset)
    assert np.abs(whole[:, 5:190] - part[:, 5:190]).max() < 1e-4


def test_decibels_are_cut_80_below_the_whole_tracks_maximum():
    found = log_mel(chord_and_tone(), read_preset("urop2019"))
    assert found.min() == found.max() - np.float32(80)
    silence = log_mel(np.zeros(RATE, np.float32), read_preset("urop2019"))
    np.testing.assert_allclose(silence, -100, rtol=1e-6)
    assert (log_mel(np.zeros(RATE, np.float32), read_preset("pons2018")) == 0).all()


def test_memory_is_flat():
    waveform = np.zeros(600 * RATE, np.float32)
    log_mel(waveform[:RATE], read_preset("urop2019"))
    tracemalloc.start()
    mel = log_mel(waveform, read_preset("urop2019"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    frames_at_once = 18750 * 2048 * 4
    assert peak < waveform.nbytes + 3 * mel.nbytes + 20e6 < frames_at_once


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 100)), r"mono.*\(2, 100\)"),
        (np.zeros(0), "0 samples"),
        (np.array([0.1, np.nan] * 500), "not finite"),
        (np.full(5000, 3e19), "not finite"),
    ],
)
def test_a_waveform_that_is_none(waveform, message):
    with pytest.raises(AudioError, match=message):
        log_mel(waveform, read_preset("urop2019"))


def test_presets_are_what_the_papers_say():
    with pytest.raises(FolksongError, match="there are urop2019, pons2018, musicnn"):
        read_preset("of nobody")
    ours, pons = read_preset("urop2019"), read_preset("pons2018")
    assert (ours.sample_rate, ours.n_fft, ours.hop_length, ours.n_mels, ours.top_db) == (
        16000,
        2048,
        512,
        96,
        80,
    )
    assert (pons.sample_rate, pons.n_fft, pons.hop_length, pons.n_mels, pons.gain) == (
        16000,
        512,
        256,
        96,
        10000,
    )
    assert ours.frames(15) == 468
    assert pons.frames(15) == 937
    assert pons.frames(0.016) == 1
    with pytest.raises(
        FolksongError, match=r"'urop2018'.*urop2019, pons2018, musicnn; did you mean 'urop2019'"
    ):
        read_preset("urop2018")


@pytest.mark.parametrize("name", ["urop2019", "pons2018"])
def test_settings_survive_json(name):
    preset = read_preset(name)
    assert FeaturePreset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_mel": 96}, "unknown setting 'n_mel'; did you mean 'n_mels'"),
        ({"n_fft": 2047}, "n_fft must be even"),
        ({"hop_length": 0}, "hop_length must be a whole number above 0"),
        ({"n_mels": 96.0}, "n_mels must be a whole number"),
        ({"scaling": "db"}, "scaling must be decibel or log10"),
        ({"pad_mode": "edge"}, "pad_mode must be constant or reflect"),
        ({"scaling": "log10"}, "gain must be a number above 0, not None"),
        ({"top_db": -80.0}, "top_db must be a number above 0"),
        ({"amin": float("inf")}, "amin must be a number above 0"),
    ],
)
def test_settings_that_make_no_spectrogram(change, message):
    with pytest.raises(FolksongError, match=message):
        FeaturePreset.from_dict(read_preset("urop2019").to_dict() | change)


def test_missing_settings_are_named():
    with pytest.raises(FolksongError, match="missing n_fft, hop_length"):
        FeaturePreset.from_dict({"name": "x", "sample_rate": 16000, "n_mels": 96})


@pytest.mark.parametrize("settings", [[1, 2], "urop2019", 3])
def test_c6_what_is_no_table_of_settings_is_no_preset(settings):
    with pytest.raises(FolksongError, match="settings by name belong here"):
        FeaturePreset.from_dict(settings)
