"""mp3 files of other people: joined, with wrong notes of their encoder, behind tags and bytes of any kind."""

import struct

import numpy as np
import pytest
import soundfile

from folksong.audio import mpeg, readers
from folksong.audio.decode import decode, read_recording
from folksong.errors import AudioError

RATE = 44100


def sound(seconds, hz=440.0):
    time = np.arange(int(RATE * seconds)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * hz * time)
    tone[: RATE // 2] = 0
    return np.stack([tone, tone / 2], 1).astype(np.float32)


def mp3(tmp_path, seconds, hz=440.0, mode="VARIABLE"):
    soundfile.write(tmp_path / "made.mp3", sound(seconds, hz), RATE, format="MP3", bitrate_mode=mode)
    return (tmp_path / "made.mp3").read_bytes()


def id3(payload=b"TIT2\0\0\0\5\0\0\3abcd", footer=False):
    size = bytes(len(payload) >> shift & 127 for shift in (21, 14, 7, 0))
    end = b"3DI\4\0\x10" + size if footer else b""
    return b"ID3\4\0" + (b"\x10" if footer else b"\0") + size + payload + end


def note_at(data):
    return max(data.find(b"Xing"), data.find(b"Info"))


def with_promise(data, n_frames):
    changed, at = bytearray(data), note_at(data)
    assert changed[at + 7] & 1
    changed[at + 8 : at + 12] = struct.pack(">I", n_frames)
    return bytes(changed)


def without_note(data):
    return data[mpeg.walk_frames(data).segments[0].note.n_bytes + data.index(b"\xff\xfb") :]


def read(tmp_path, content):
    (tmp_path / "x.mp3").write_bytes(content)
    return read_recording(tmp_path / "x.mp3", None)


def test_d2_joined_mp3s_are_heard_to_the_end(tmp_path):
    first, second = mp3(tmp_path, 3), mp3(tmp_path, 4, 880)
    apart = np.concatenate([read(tmp_path, data).samples for data in (first, second)])
    for between in (b"", id3(), b"TAG" + bytes(125), b"TAG" + bytes(125) + id3() + bytes(500)):
        found = read(tmp_path, first + between + second)
        assert found.damage is None
        np.testing.assert_array_equal(found.samples, apart)


def test_d2_joined_mp3s_without_notes(tmp_path):
    first, second = (without_note(mp3(tmp_path, seconds)) for seconds in (3, 4))
    found = read(tmp_path, first + second)
    assert found.damage is None
    assert found.seconds == pytest.approx(7, abs=0.12)


def test_d2_joined_mp3s_of_another_kind_are_told(tmp_path):
    first = mp3(tmp_path, 4)
    soundfile.write(tmp_path / "mono.mp3", sound(1)[:, 0], RATE)
    found = read(tmp_path, first + (tmp_path / "mono.mp3").read_bytes())
    assert found.seconds == pytest.approx(4)
    assert "another sample rate or number of channels" in found.damage


@pytest.mark.parametrize("promised", [1, 30, 100])
def test_d2_the_walk_decides_where_a_note_promises_too_few_frames(tmp_path, promised):
    data = mp3(tmp_path, 6)
    whole, found = read(tmp_path, data), read(tmp_path, with_promise(data, promised))
    assert found.damage is None
    assert 0 <= len(found.samples) - len(whole.samples) < 2 * 1152  # the encoder's padding at the end
    np.testing.assert_allclose(found.samples[: len(whole.samples)], whole.samples, atol=1e-6)


def test_d2_a_note_that_promises_no_frames_is_not_believed(tmp_path):
    found = read(tmp_path, with_promise(mp3(tmp_path, 6), 0))
    assert found.damage is None
    assert found.seconds == pytest.approx(6, abs=0.06)


def test_d2_a_note_that_promises_more_tells_of_a_cut(tmp_path):
    found = read(tmp_path, with_promise(mp3(tmp_path, 2), 500))
    assert found.seconds == pytest.approx(2, abs=0.1)
    assert "cut: 2.0" in found.damage


@pytest.mark.parametrize(
    "before",
    [
        id3() + id3(),
        id3(footer=True) + id3(),
        id3() + bytes(2048),
        id3() + b"junkjunk" * 20,
        b"junkjunk" * 20,
        b"APETAGEX"
        + struct.pack("<IIII", 2000, 32, 0, 0xA0000000)
        + bytes(8)
        + bytes(1968)
        + b"APETAGEX"
        + bytes(24),
        id3(b"APIC" + b"\xff\xfb\x90\x64" * 40_000) + id3(),
    ],
    ids=[
        "two tags",
        "footer",
        "padding",
        "junk behind a tag",
        "junk",
        "APE in front",
        "large tag and another",
    ],
)
def test_d3_the_sound_begins_with_the_first_frame(tmp_path, before):
    data = mp3(tmp_path, 3)
    found = read(tmp_path, before + data)
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, read(tmp_path, data).samples)
    assert len(found.samples) == 3 * RATE


def test_an_mp3_behind_more_tags_than_anyone_writes(tmp_path):
    assert readers.sniff(id3() * 50) == "mp3"
    with pytest.raises(AudioError, match="holds no mp3 frame"):
        read(tmp_path, id3() * 50)


def test_c3_a_file_of_12_gb_is_not_read_whole(tmp_path, monkeypatch):
    data = mp3(tmp_path, 3)
    whole = read(tmp_path, data).samples
    with (tmp_path / "huge.mp3").open("wb") as stream:
        stream.write(data)
        try:
            stream.truncate(12 << 30)
        except OSError:
            pytest.skip("this file system has no holes")
    np.testing.assert_array_equal(read_recording(tmp_path / "huge.mp3", None).samples, whole)


def test_c3_a_recording_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path):
    (tmp_path / "x.mp3").write_bytes(mp3(tmp_path, 60))
    with pytest.raises(AudioError, match="longer than"):
        read_recording(tmp_path / "x.mp3", max_seconds=30)
    assert decode(tmp_path / "x.mp3").shape == (60 * 16000,)


def test_d3_a_fraunhofer_note_is_no_sound(tmp_path):
    """The decoder does not know it and would begin with a frame of silence."""
    data = mp3(tmp_path, 4)
    start = note_at(data) - 36
    length = mpeg.walk_frames(data).segments[0].note.n_bytes
    note = b"VBRI" + bytes(10) + struct.pack(">I", mpeg.walk_frames(data).n_frames)
    head = data[start : start + 4] + bytes(32) + note
    found = read(tmp_path, data[:start] + head.ljust(length, b"\0") + data[start + length :])
    without = read(tmp_path, without_note(data))
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, without.samples)
