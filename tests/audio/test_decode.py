"""Decoding: one definition of mono and of level for every format, and every kind of broken file."""

import logging
import os
import sys

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong.audio import mpeg, readers
from folksong.audio.decode import decode, read_recording
from folksong.audio.readers import sniff
from folksong.errors import AudioError

WRITERS = {
    "wav": {"subtype": "PCM_24"},
    "flac": {"subtype": "PCM_16"},
    "ogg": {"subtype": "VORBIS"},
    "mp3": {"format": "MP3"},
    "aiff": {"subtype": "PCM_16"},
}


def stereo(rate: int, seconds: float = 1.0, channels: int = 2) -> np.ndarray:
    """Return (n_samples, channels) float32: another tone in each channel, 0.2 loud."""
    time = np.arange(int(rate * seconds)) / rate
    return np.stack([0.2 * np.sin(2 * np.pi * 330 * (k + 1) * time) for k in range(channels)], 1).astype(
        np.float32
    )


def write(path, samples, rate):
    kind = path.suffix[1:]
    if kind == "m4a":
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=rate)
            stream.layout = layout
            stream.bit_rate = 448_000
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts = 0
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    elif path.suffix == ".opus":
        soundfile.write(path, samples, rate, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, samples, rate, **WRITERS[kind])
    return path


def snr_db(reference, found):
    length = min(len(reference), len(found))
    error = reference[:length].astype(float) - found[:length]
    return 10 * np.log10(np.sum(reference[:length].astype(float) ** 2) / max(np.sum(error**2), 1e-20))


@pytest.mark.parametrize(
    ("kind", "rate", "least_snr_db"),
    [
        ("wav", 44100, 60),
        ("flac", 44100, 60),
        ("aiff", 22050, 60),
        ("mp3", 44100, 25),
        ("mp3", 22050, 25),
        ("mp3", 8000, 15),
        ("ogg", 44100, 20),
        ("m4a", 44100, 25),
    ],
)
def test_mono_is_the_mean_of_the_channels_in_every_format(tmp_path, kind, rate, least_snr_db):
    """A decoder's own down-mix (louder by √2) would come out at 8 dB."""
    samples = stereo(rate)
    expected = soxr.resample(samples.mean(axis=1), rate, 16000, "VHQ")
    found = decode(write(tmp_path / f"a.{kind}", samples, rate))
    assert found.dtype == np.float32
    assert found.ndim == 1
    assert abs(len(found) - len(expected)) <= (0 if kind in ("wav", "flac", "aiff") else 1600)
    inner = slice(800, -800)
    assert snr_db(expected[inner], found[: len(expected)][inner]) > least_snr_db


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "m4a"])
def test_six_channels_are_averaged(tmp_path, kind):
    samples = stereo(44100, channels=6)
    samples[:, [3, 5]] = 0  # the channels for low frequencies only, of m4a and of ogg
    recording = read_recording(write(tmp_path / f"a.{kind}", samples, 44100), None)
    assert recording.channels == 6
    assert snr_db(samples.mean(axis=1)[2000:40000], recording.samples[2000:40000]) > 20


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 48000, 96000])
def test_every_rate_becomes_16_khz_like_the_best_resampler(tmp_path, rate):
    samples = stereo(rate, 2.0)
    recording = read_recording(write(tmp_path / "a.wav", samples, rate))
    assert (recording.sample_rate, recording.source_rate, recording.format) == (16000, rate, "wav")
    expected = soxr.resample(samples.mean(axis=1), rate, 16000, "VHQ")
    assert len(recording.samples) == len(expected)
    assert snr_db(expected, recording.samples) > 60
    assert recording.damage is None


def test_blocks_are_resampled_as_the_whole_would_be(tmp_path):
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(200_001)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 44100, subtype="FLOAT")
    whole = soxr.resample(noise, 44100, 16000, "HQ")
    found = decode(tmp_path / "a.wav")
    assert found.shape == whole.shape
    assert np.abs(found - whole).max() < 1e-6


def test_an_mp3_starts_where_its_source_did(tmp_path):
    """Encoder delay and padding (LAME tag) are cut off: same length, same start."""
    samples = stereo(44100)
    recording = read_recording(write(tmp_path / "a.mp3", samples, 44100), None)
    assert len(recording.samples) == len(samples)
    assert snr_db(samples.mean(axis=1)[:20000], recording.samples[:20000]) > 25


def test_the_content_decides_not_the_name(tmp_path):
    write(tmp_path / "a.flac", stereo(16000), 16000).rename(tmp_path / "b.mp3")
    assert read_recording(tmp_path / "b.mp3").format == "flac"
    write(tmp_path / "a.mp3", stereo(16000), 16000).rename(tmp_path / "b.wav")
    assert read_recording(tmp_path / "b.wav").format == "mp3"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not text")
@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "m4a"])
def test_a_file_removed_or_replaced_once_it_is_open_is_read_as_it_was(tmp_path, monkeypatch, kind):
    path = write(tmp_path / f"a.{kind}", stereo(16000), 16000)
    whole, identify = decode(path), readers._identify
    for content in (None, b"another"):

        def disturb(stream, size, content=content):
            path.unlink()
            if content:
                path.write_bytes(content)
            return identify(stream, size)

        monkeypatch.setattr(readers, "_identify", disturb)
        kept = path.read_bytes()
        np.testing.assert_array_equal(decode(path), whole)
        path.write_bytes(kept)


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "m4a"])
def test_a_file_name_that_is_not_utf_8(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", stereo(16000), 16000)
    path = path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9." + kind.encode()))
    assert read_recording(path).seconds == pytest.approx(1, abs=0.1)


def test_an_mp3_behind_a_large_tag(tmp_path):
    sound = write(tmp_path / "a.mp3", stereo(16000), 16000).read_bytes()
    picture = b"\x89PNG" + b"\xff\xfb\x90\x00" * 150_000
    size = len(picture)
    digits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    (tmp_path / "b.mp3").write_bytes(b"ID3\x03\x00\x00" + digits + picture + sound)
    np.testing.assert_array_equal(decode(tmp_path / "b.mp3"), decode(tmp_path / "a.mp3"))
    assert read_recording(tmp_path / "b.mp3").damage is None


@pytest.mark.parametrize("stored", ["mono", "channels", "integers"])
def test_samples_that_numpy_stored(tmp_path, stored):
    sound = stereo(22050)
    arrays = {"mono": sound.mean(axis=1), "channels": sound.T, "integers": (sound.T * 32767).astype(np.int16)}
    np.savez(tmp_path / "a.npz", array=arrays[stored], sr=22050, split=np.zeros((1, 2), int))
    write(tmp_path / "a.wav", sound, 22050)
    expected, found = decode(tmp_path / "a.wav"), decode(tmp_path / "a.npz")
    assert snr_db(expected, found) > 70
    assert len(found) == len(expected)
    assert read_recording(tmp_path / "a.npz").damage is None


def test_archives_without_sound(tmp_path):
    np.savez(tmp_path / "a.npz", samples=np.zeros(9))
    np.savez(tmp_path / "b.npz", array=np.array([{}, {}]), sr=16000)
    np.savez(tmp_path / "c.npz", array=np.zeros((2, 2, 2)), sr=16000)
    (tmp_path / "d.npz").write_bytes((tmp_path / "c.npz").read_bytes()[:200])
    for name, message in (("a", "whole arrays `array`"), ("b", "whole"), ("c", "no samples"), ("d", "whole")):
        with pytest.raises(AudioError, match=f"{name}.npz: .*{message}"):
            decode(tmp_path / f"{name}.npz")


BROKEN = {
    "empty.mp3": (b"", "empty file .0 bytes."),
    "text.mp3": (
        b"Where has all the music gone?\n" * 99,
        "not a recording that folksong knows.*begins with 'Where has al'",
    ),
    "page.ogg": (b"<html><body>404</body></html>", "not a recording"),
    "zeros.mp3": (bytes(5000), "not a recording"),
    "tag_only.mp3": (b"ID3\x03\x00\x00\x00\x00\x07\x76" + bytes(1014), "holds no mp3 frame"),
    "head.flac": (b"fLaC" + bytes(50), "damaged, or a kind of flac"),
    "head.ogg": (b"OggS" + bytes(500), "damaged, or a kind of ogg"),
    "head.wav": (b"RIFF\x24\x00\x00\x00WAVEfmt ", "damaged, or a kind of wav"),
    "head.m4a": (b"\x00\x00\x00\x18ftypM4A " + bytes(100), "damaged m4a"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_recording_is_named_with_the_cause(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=f"{name}: .*{message}"):
        decode(tmp_path / name)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(AudioError, match=r"a.mp3: no such file"):
        decode(tmp_path / "a.mp3")
    with pytest.raises(AudioError, match="is a folder"):
        decode(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="a permission that does not bind root")
def test_a_file_without_permission(tmp_path):
    path = write(tmp_path / "a.wav", stereo(16000), 16000)
    path.chmod(0)
    with pytest.raises(AudioError, match="no permission"):
        decode(path)


@pytest.mark.parametrize("kind", ["wav", "aiff"])
def test_a_clip_of_no_length(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", np.zeros((0, 1), np.float32), 44100)
    with pytest.raises(AudioError, match=r"holds no sound: 0 samples.*get the recording again"):
        decode(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, bad):
    samples = stereo(16000)
    samples[7000, 1] = bad
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="not finite numbers"):
        decode(tmp_path / "a.wav")


def test_integers_stored_as_floats(tmp_path):
    soundfile.write(tmp_path / "a.wav", stereo(16000) * 32768, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"magnitude 5.77e\+03, but full scale is 1"):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("kind", "share"), [("mp3", 0.45), ("wav", 0.5), ("aiff", 0.5), ("flac", 0.3), ("ogg", 0.2)]
)
def test_a_cut_file_keeps_what_decodes_and_says_so(tmp_path, kind, share, caplog):
    path = write(tmp_path / f"a.{kind}", stereo(44100, 4.0) + 0.01, 44100)
    whole = decode(path)
    assert not caplog.records
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        cut = decode(path)
    assert share * len(whole) <= len(cut) + 500 < len(whole)
    assert snr_db(whole[1000 : len(cut) - 1000], cut[1000:-1000]) > 30
    (record,) = caplog.records
    assert f"a.{kind}" in record.getMessage()
    assert "the rest is used" in record.getMessage()
    with pytest.raises(AudioError, match=f"a.{kind}: .*replace the file, or leave it out"):
        decode(path, strict=True)


@pytest.mark.parametrize("kind", ["wav", "aiff", "ogg", "mp3", "flac"])
def test_whole_files_are_not_called_damaged(tmp_path, kind):
    for channels, seconds in ((1, 0.3), (2, 1.0001)):
        assert (
            read_recording(write(tmp_path / f"a.{kind}", stereo(22050, seconds, channels), 22050)).damage
            is None
        )


def test_an_ogg_cut_between_two_pages(tmp_path):
    path = write(tmp_path / "a.ogg", stereo(44100, 8.0) + 0.01, 44100)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS", 0, len(content) // 2)])
    assert read_recording(path).damage == "cut: its last page is not the end of the stream"


def test_a_wav_of_a_writer_that_could_not_seek_back(tmp_path):
    path = write(tmp_path / "a.wav", stereo(16000), 16000)
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert read_recording(path).damage is None


def test_damage_in_the_middle_of_an_mp3_costs_only_itself(tmp_path):
    path = write(tmp_path / "a.mp3", stereo(44100, 4.0), 44100)
    content = path.read_bytes()
    path.write_bytes(content[:20_000] + b"\x00" * 4000 + content[24_000:])
    recording = read_recording(path)
    assert recording.seconds > 3.3
    assert "bytes in the middle are no mp3 frames" in recording.damage


def test_what_is_overwritten_at_either_end_of_an_mp3_is_told(tmp_path):
    whole = write(tmp_path / "a.mp3", stereo(44100, 3.0), 44100).read_bytes()
    half, noise = len(whole) // 2, np.random.default_rng(0).bytes(len(whole))
    found = {}
    for name, content in {"start": noise[:half] + whole[half:], "end": whole[:half] + noise[half:]}.items():
        (tmp_path / "b.mp3").write_bytes(content)
        recording = read_recording(tmp_path / "b.mp3")
        assert 1.0 < recording.seconds < 2.0
        found[name] = recording.damage
    assert "its first" in found["start"]
    assert "are no mp3 frames" in found["start"]
    assert "its last" in found["end"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"TAG" + b"a title".ljust(125, b"\0")),
        (b"\0" * 9000, b"\0" * 9000),
        (b"", b"APETAGEX" + b"an item " * 1000),
        (b"", b"an item " * 1000 + b"APETAGEX" + bytes(24)),
        (b"", b"LYRICSBEGIN" + b"la la la " * 1000),
        (b"\x17" * 800, b""),
    ],
    ids=["ID3v1", "padding", "APE", "APE without a header", "Lyrics3", "the rest of a frame"],
)
def test_tags_padding_and_the_rest_of_a_frame_are_no_damage(tmp_path, before, after):
    path = write(tmp_path / "a.mp3", stereo(44100, 2.0), 44100)
    path.write_bytes(before + path.read_bytes() + after)
    assert read_recording(path).damage is None


def test_frames_of_another_rate_are_left_out_and_told(tmp_path):
    long = write(tmp_path / "a.mp3", stereo(44100, 4.0), 44100).read_bytes()
    short = write(tmp_path / "b.mp3", stereo(22050, 1.0), 22050).read_bytes()
    (tmp_path / "c.mp3").write_bytes(long + short)
    recording = read_recording(tmp_path / "c.mp3")
    assert recording.source_rate == 44100
    assert recording.seconds == pytest.approx(4, abs=0.1)
    assert "have another sample rate or number of channels" in recording.damage


def test_a_recording_longer_than_the_limit(tmp_path):
    path = write(tmp_path / "a.flac", np.zeros((80_000, 1), np.float32), 8000)
    with pytest.raises(AudioError, match=r"longer than 0\.\d+ minutes"):
        read_recording(path, max_seconds=5)
    assert read_recording(path, max_seconds=10).seconds == 10


def test_a_wav_of_an_impossible_rate(tmp_path):
    path = write(tmp_path / "a.wav", stereo(16000), 16000)
    content = bytearray(path.read_bytes())
    at = content.index(b"fmt ") + 12
    content[at : at + 4] = (3).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(AudioError, match="sample rate of 3 Hz cannot be right"):
        decode(path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's own file descriptors")
def test_files_are_closed_after_an_error(tmp_path):
    path = write(tmp_path / "a.flac", stereo(16000), 16000)
    path.write_bytes(path.read_bytes()[:-3000])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        read_recording(path, max_seconds=100)
        with pytest.raises(AudioError):
            read_recording(path, max_seconds=1e-3)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"ID3\x03\x00\x00\x00\x00\x00\x05", b"\xff\xfb\x90\x64", b"\xff\xf3"]),
)
@settings(deadline=None, max_examples=200)
def test_walking_any_bytes_ends(tail, start):
    data = start + tail * 9
    found = mpeg.walk_frames(data)
    sniff(data)
    if found is not None:
        assert found.n_frames >= 0
        spans = [span for segment in found.segments for span in segment.spans]
        assert all(0 <= begin <= end <= len(data) for begin, end in spans)


@pytest.mark.parametrize(("rate", "samples_per_frame"), [(44100, 1152), (16000, 576), (8000, 576)])
def test_the_walk_counts_frames_without_decoding(tmp_path, rate, samples_per_frame):
    path = write(tmp_path / "a.mp3", stereo(rate, 3.0), rate)
    found = mpeg.walk_frames(path.read_bytes())
    assert (found.kind.sample_rate, found.kind.channels, found.kind.samples) == (rate, 2, samples_per_frame)
    assert 3.0 <= found.seconds < 3.0 + 4 * samples_per_frame / rate
    (segment,) = found.segments
    assert segment.note.promised_frames == found.n_frames
    assert (found.foreign_frames, found.skipped_bytes, found.cut) == (0, 0, False)
    assert (found.leading_bytes, found.trailing_bytes) == (0, 0)
