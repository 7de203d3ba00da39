"""Recordings decoded while their windows are asked for: the windows are those of the whole."""

import logging

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong.audio.decode import LongRecording, decode, is_long
from folksong.audio.log_mel import log_mel, log_mel_blocks, read_preset
from folksong.errors import AudioError

RATE = 16000


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """150 s of noise of changing loudness, whose loudest part comes late."""
    path = tmp_path_factory.mktemp("long") / "a.mp3"
    rng = np.random.default_rng(0)
    loudness = np.repeat(10 ** rng.uniform(-5, -1, 15), 10 * RATE)
    soundfile.write(path, loudness * rng.standard_normal(150 * RATE), RATE, format="MP3")
    return path


@pytest.mark.parametrize("starts", [[0, 300, 600, 900], [0, 1, 2, 2, 700, 4000], [50]])
@pytest.mark.parametrize("name", [None, "urop2019", "pons2018"])
def test_23_9_windows_are_those_of_the_whole(recording, name, starts):
    preset = None if name is None else read_preset(name)
    samples = decode(recording)
    whole = samples if preset is None else log_mel(samples, preset)
    clip = LongRecording(recording, RATE, preset)
    assert (clip.n_samples, clip.n_steps) == (len(samples), whole.shape[-1])
    assert clip.peak == np.abs(samples).max()
    scale = 512 if preset is None else 1
    out = np.empty((*whole.shape[:-1], 468 * scale), np.float32)
    for start in [start * scale for start in starts] + [clip.n_steps - out.shape[-1]]:
        clip.window_into(start, out)
        np.testing.assert_allclose(
            out, whole[..., start : start + out.shape[-1]], atol=0 if preset is None else 1e-4
        )
    with pytest.raises(ValueError, match="behind"):
        clip.window_into(0, out)


def test_a_recording_shorter_than_a_window_is_repeated(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.arange(100) / 1000, RATE, subtype="FLOAT")
    out = np.empty(250, np.float32)
    LongRecording(tmp_path / "a.wav", RATE).window_into(0, out)
    np.testing.assert_array_equal(out, np.resize(decode(tmp_path / "a.wav"), 250))


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=40),
    st.sampled_from(["urop2019", "pons2018"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=30)
def test_blocks_do_not_matter_to_a_spectrogram(lengths, name, reflected: bool):
    import dataclasses

    import folksong.audio.log_mel as module

    preset = read_preset(name)
    if reflected and sum(lengths) > preset.n_fft:
        preset = dataclasses.replace(preset, pad_mode="reflect")
    samples = np.random.default_rng(1).standard_normal(sum(lengths)).astype(np.float32)
    blocks = np.split(samples, np.cumsum(lengths)[:-1])
    kept, module.CHUNK_FRAMES = module.CHUNK_FRAMES, 16
    try:
        found = np.concatenate(list(log_mel_blocks(blocks, preset)), axis=1)
    finally:
        module.CHUNK_FRAMES = kept
    if preset.top_db is not None:
        found = np.maximum(found, found.max() - preset.top_db)
    expected = log_mel(samples, preset)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_damage_is_told_once(recording, tmp_path, caplog):
    data = recording.read_bytes()
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING):
        clip = LongRecording(tmp_path / "a.mp3", RATE)
        clip.window_into(0, np.empty(RATE, np.float32))
    assert "a.mp3: cut: 7" in caplog.text
    assert len(caplog.records) == 1


def test_what_is_long(recording, tmp_path, monkeypatch):
    monkeypatch.setattr("folksong.audio.decode.LONG_SECONDS", 149)
    assert not is_long(recording), "a small file is not looked into"
    monkeypatch.setattr("folksong.audio.decode.SMALL_BYTES", 0)
    assert is_long(recording)
    monkeypatch.setattr("folksong.audio.decode.LONG_SECONDS", 152)
    assert not is_long(recording)
    (tmp_path / "b.mp3").write_text("no sound")
    with pytest.raises(AudioError):
        is_long(tmp_path / "b.mp3")
