"""wav, flac, Ogg, aac and m4a of other people: wrong sizes, chained streams, tags in front and behind."""

import io
import os
import re
import struct

import av
import numpy as np
import pytest
import soundfile

from folksong.audio.containers import Region
from folksong.audio.decode import open_recording, read_recording
from folksong.errors import AudioError
from folksong.recordings import AUDIO_EXTENSIONS

RATE = 44100
BLOCK = 4  # bytes of a stereo sample of 16 bits


def sound(seconds=2.0, hz=440.0, rate=RATE):
    time = np.arange(int(rate * seconds)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * hz * time), 0.2 * np.sin(2 * np.pi * 3 * hz * time)], 1).astype(
        np.float32
    )


def encoded(container, codec, samples, rate=RATE, **metadata):
    """Return a file that FFmpeg writes."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as out:
        out.metadata.update(metadata)
        track = out.add_stream(codec, rate=rate)
        track.layout, track.bit_rate = "stereo", 128_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=track.format.name, layout="stereo", rate=rate)
        for part in resampler.resample(frame):
            out.mux(track.encode(part))
        out.mux(track.encode(None))
    return stream.getvalue()


def written(samples, rate=RATE, **options):
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, **options)
    return stream.getvalue()


def read(tmp_path, content, name="x"):
    (tmp_path / name).write_bytes(content)
    return read_recording(tmp_path / name, None)


def id3(n_bytes):
    payload = b"APIC" + b"\0image/jpeg\0\3\0" + np.random.default_rng(0).bytes(n_bytes)
    return b"ID3\4\0\0" + bytes(len(payload) >> shift & 127 for shift in (21, 14, 7, 0)) + payload


def wav(samples, riff_size=None, data_size=None, coding=1, behind=b""):
    data = (samples * 32767).astype("<i2").tobytes()
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, coding, 2, RATE, RATE * BLOCK, BLOCK, 16) + b"data"
    riff_size = len(head) + 4 + len(data) + len(behind) if riff_size is None else riff_size
    data_size = len(data) if data_size is None else data_size
    return b"RIFF" + struct.pack("<I", riff_size) + head + struct.pack("<I", data_size) + data + behind


UNKNOWN = [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFD8]


@pytest.mark.parametrize("data_size", UNKNOWN)
@pytest.mark.parametrize("riff_size", [*UNKNOWN, 36])
def test_23_8_a_wav_whose_sizes_were_never_filled_in(tmp_path, riff_size, data_size):
    samples = sound()
    found = read(tmp_path, wav(samples, riff_size, data_size))
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, read(tmp_path, wav(samples)).samples)


@pytest.mark.parametrize("off", [-44, -8, -4, 1, 2, 8, 36, 44])
@pytest.mark.parametrize("both", [False, True])
def test_23_8_wav_sizes_that_are_off_by_a_few_bytes(tmp_path, off, both):
    samples = sound()
    n_bytes = len(samples) * BLOCK
    found = read(tmp_path, wav(samples, n_bytes + 36 + (off if both else 0), n_bytes + off))
    assert found.damage is None
    assert abs(len(found.samples) - len(samples)) <= 11
    np.testing.assert_array_equal(found.samples, read(tmp_path, wav(samples)).samples[: len(found.samples)])


@pytest.mark.parametrize("n_written", [4, 1000, 100_000])
def test_23_8_a_recorder_that_was_switched_off_left_an_early_size(tmp_path, n_written):
    samples = sound()
    found = read(tmp_path, wav(samples, n_written + 36, n_written))
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, read(tmp_path, wav(samples)).samples)


@pytest.mark.parametrize("n_bytes", [0, 0xFFFFFFFFFFFFFFFF, 2 * RATE * BLOCK + 44])
def test_23_8_rf64_whose_sizes_were_never_filled_in(tmp_path, n_bytes):
    content = bytearray(written(sound(), format="RF64"))
    plain = read(tmp_path, bytes(content))
    at = content.index(b"ds64") + 8
    content[at : at + 24] = struct.pack("<QQQ", 0, n_bytes, 0)
    found = read(tmp_path, bytes(content))
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, plain.samples)


def test_d4_a_wav_that_was_cut_is_still_told(tmp_path):
    found = read(tmp_path, wav(sound())[:-100_000])
    assert found.damage == "holds 252844 of the 352844 bytes that it promises"
    assert found.seconds == pytest.approx(2 - 100_000 / BLOCK / RATE)


def test_d4_a_wav_without_sound_and_with_a_list_is_empty(tmp_path):
    with pytest.raises(AudioError, match="0 samples"):
        read(tmp_path, wav(sound(0), behind=b"LIST" + struct.pack("<I", 4) + b"INFO"))


def test_d4_chunks_behind_the_sound_are_no_sound(tmp_path):
    behind = b"LIST" + struct.pack("<I", 4) + b"INFO"
    for data_size in (None, 2 * RATE * BLOCK):
        assert read(tmp_path, wav(sound(), None, data_size, behind=behind)).seconds == 2


def test_d4_mp3_in_wav_is_read_as_mp3(tmp_path):
    mp3 = written(sound(), format="MP3")
    chunks = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 0x55, 2, RATE, 16000, 1, 0) + b"data"
    content = (
        b"RIFF" + struct.pack("<I", len(chunks) + 4 + len(mp3)) + chunks + struct.pack("<I", len(mp3)) + mp3
    )
    found = read(tmp_path, content, "x.wav")
    assert (found.format, found.damage) == ("mp3", None)
    np.testing.assert_array_equal(found.samples, read(tmp_path, mp3).samples)


@pytest.mark.parametrize("tag_bytes", [100, 100_000, 400_000])
@pytest.mark.parametrize("kind", ["flac", "aac", "wav", "ogg", "aiff", "m4a"])
def test_d4_a_tag_in_front_of_any_kind(tmp_path, kind, tag_bytes):
    content = {
        "aac": lambda: encoded("adts", "aac", sound()),
        "m4a": lambda: encoded("mp4", "aac", sound()),
        "wav": lambda: wav(sound()),
    }.get(kind, lambda: written(sound(), format=kind.upper()))()
    plain = read(tmp_path, content)
    for before in (id3(tag_bytes), id3(tag_bytes) + id3(50) + bytes(999)):
        found = read(tmp_path, before + content)
        assert (found.format, found.damage) == (kind, None)
        np.testing.assert_array_equal(found.samples, plain.samples)


@pytest.mark.parametrize(
    "behind",
    [
        b"TAG" + b"a title".ljust(125, b"\0"),
        b"an item " * 1000 + b"APETAGEX" + bytes(24),
        b"LYRICSBEGIN" + b"la la la " * 1000 + b"009011LYRICS200",
        bytes(10_000),
        bytes(1),
    ],
    ids=["ID3v1", "APE", "Lyrics3", "zeros", "a zero"],
)
def test_d4_a_tag_behind_flac_costs_nothing(tmp_path, behind):
    content = written(sound(3), format="FLAC")
    found = read(tmp_path, content + behind)
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, read(tmp_path, content).samples)


@pytest.mark.parametrize(
    "behind", [b"TAG" + bytes(125), b"x" * 100 + b"APETAGEX" + struct.pack("<III", 0, 132, 0) + bytes(12)]
)
def test_d4_a_tag_behind_flac_of_unknown_length_costs_nothing(tmp_path, behind):
    content = bytearray(written(sound(3), format="FLAC"))
    plain = read(tmp_path, bytes(content))
    at = 4 + 4 + 13  # STREAMINFO's 36 bits of total samples
    content[at] &= 0xF0
    content[at + 1 : at + 5] = bytes(4)
    found = read(tmp_path, bytes(content) + behind)
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, plain.samples)


def test_d4_a_damaged_flac_keeps_what_comes_before_the_damage(tmp_path):
    content = bytearray(written(sound(3), format="FLAC"))
    whole = read(tmp_path, bytes(content)).samples
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    found = read(tmp_path, bytes(content))
    assert 1 < found.seconds < 2
    assert "cannot be decoded after 1." in found.damage
    sure = len(found.samples) - 2 * 4096  # libFLAC gives silence for the frame in which the damage lies
    np.testing.assert_array_equal(found.samples[:sure], whole[:sure])


def test_d4_raw_aac_promises_no_length(tmp_path):
    quiet, loud = np.zeros((20 * RATE, 2), np.float32), sound(20) + 0.1
    for samples in (np.concatenate([loud, quiet]), np.concatenate([quiet, loud])):
        found = read(tmp_path, encoded("adts", "aac", samples))
        assert found.damage is None
        assert found.seconds == pytest.approx(40, abs=0.1)


def test_d4_a_wma_from_a_pipe_promises_no_length(tmp_path):
    content = bytearray(
        encoded("asf", "wmav2", sound(10) * np.linspace(0, 1, 10 * RATE, dtype=np.float32)[:, None])
    )
    plain = read(tmp_path, bytes(content))
    at = content.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    content[at + 64 : at + 80] = bytes(16)  # play and send duration
    content[at + 88] |= 1
    found = read(tmp_path, bytes(content))
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, plain.samples)


@pytest.mark.parametrize(("container", "codec", "rate"), [("mp4", "aac", RATE), ("webm", "libopus", 48000)])
def test_d4_tags_that_are_not_utf8_never_decide(tmp_path, container, codec, rate):
    content = encoded(container, codec, sound(rate=rate), rate, title="CafEZZ")
    assert content.count(b"CafEZZ") == 1
    plain, found = read(tmp_path, content), read(tmp_path, content.replace(b"CafEZZ", b"Caf\xe9 Z"))
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, plain.samples)


@pytest.mark.parametrize(("subtype", "rate"), [("VORBIS", RATE), ("OPUS", 48000)])
def test_d2_chained_ogg(tmp_path, subtype, rate):
    lengths = ((3, 440), (4, 880), (1, 220))
    parts = [written(sound(*length, rate), rate, format="OGG", subtype=subtype) for length in lengths]
    apart = [read(tmp_path, part).samples for part in parts]
    found = read(tmp_path, b"".join(parts))
    assert found.damage is None
    assert found.seconds == pytest.approx(8, abs=0.05)
    np.testing.assert_array_equal(found.samples, np.concatenate(apart))


def test_d2_chained_ogg_of_another_rate_and_number_of_channels(tmp_path):
    parts = [written(sound(2), format="OGG"), written(sound(3, rate=22050)[:, 0], 22050, format="OGG")]
    found = read(tmp_path, b"".join(parts))
    assert (found.source_rate, found.damage) == (RATE, None)
    assert found.seconds == pytest.approx(5, abs=0.05)
    later = found.samples[3 * RATE : 4 * RATE]
    assert np.sqrt(np.mean(later**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)


def test_d2_chained_ogg_whose_second_part_is_damaged(tmp_path):
    first, second = (written(sound(3, hz), format="OGG") for hz in (440, 880))
    found = read(tmp_path, first + second[:-3000])
    assert 3 < found.seconds < 6
    assert "cut" in found.damage
    found = read(tmp_path, first + second[:40] + bytes(100))
    assert found.seconds == pytest.approx(3, abs=0.05)
    assert "its part 2: damaged, or a kind of ogg" in found.damage


@pytest.mark.parametrize("codec", ["flac", "libspeex"])
def test_d8_flac_and_speex_in_ogg(tmp_path, codec):
    if codec not in av.codecs_available:
        pytest.skip("this FFmpeg does not write it")
    rate = RATE if codec == "flac" else 16000
    content = encoded("ogg", codec, sound(rate=rate), rate)
    found = read(tmp_path, content)
    assert (found.format, found.damage) == ("ogg", None)
    assert found.seconds == pytest.approx(2, abs=0.05)
    assert read(tmp_path, content + content).seconds == pytest.approx(2 * found.seconds, abs=0.05)


FILES = {
    ".aac": ("adts", "aac"), ".aif": "AIFF", ".aifc": "AIFF", ".aiff": "AIFF", ".au": "AU", ".caf": "CAF",
    ".flac": "FLAC", ".m4a": ("mp4", "aac"), ".m4b": ("mp4", "aac"), ".mka": ("matroska", "aac"),
    ".mp2": ("mp2", "mp2"), ".mp3": "MP3", ".mp4": ("mp4", "aac"), ".oga": ("ogg", "flac"), ".ogg": "OGG",
    ".opus": ("ogg", "libopus"), ".snd": "AU", ".spx": ("ogg", "libopus"), ".w64": "W64", ".wav": "WAV",
    ".wave": "RF64", ".weba": ("webm", "libopus"), ".webm": ("webm", "libopus"), ".wma": ("asf", "wmav2"),
}  # fmt: skip


@pytest.mark.parametrize("ending", sorted(AUDIO_EXTENSIONS))
def test_d8_whatever_a_folder_is_searched_for_is_decoded(tmp_path, ending):
    kind = FILES[ending]
    rate = RATE if ending == ".wma" else 48000
    samples = sound(rate=rate)
    content = written(samples, rate, format=kind) if isinstance(kind, str) else encoded(*kind, samples, rate)
    found = read(tmp_path, content, f"x{ending}")
    assert found.damage is None
    assert found.seconds == pytest.approx(2, abs=0.1)
    assert np.sqrt(np.mean(found.samples**2)) == pytest.approx(0.158, rel=0.1)


@pytest.mark.skipif(os.name == "nt", reason="colons in names")
@pytest.mark.parametrize("kind", ["m4a", "wav", "mp3"])
def test_d1_a_colon_in_a_relative_name_is_no_protocol(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    content = encoded("mp4", "aac", sound()) if kind == "m4a" else written(sound(), format=kind.upper())
    for name in (f"Live: Song.{kind}", f"http:x.{kind}", f"-x.{kind}", f"#x.{kind}"):
        (tmp_path / name).write_bytes(content)
        assert read_recording(name, None).seconds == pytest.approx(2, abs=0.1)


@pytest.mark.skipif(os.name == "nt", reason="pipes with names")
def test_c2_a_pipe_among_the_recordings_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.mp3")
    with pytest.raises(AudioError, match=r"x.mp3: is a pipe, socket or device, not a file"):
        read_recording(tmp_path / "x.mp3")


def test_23_9_a_recording_in_pieces_is_the_whole(tmp_path):
    for content in (written(sound(20), format="MP3"), wav(sound(20))):
        (tmp_path / "x").write_bytes(content)
        whole = read_recording(tmp_path / "x")
        with open_recording(tmp_path / "x") as stream:
            parts = [block.copy() for block in stream.blocks]
            assert stream.damage is None
        assert len(parts) > 10
        np.testing.assert_array_equal(np.concatenate(parts), whole.samples)


def test_c3_a_file_that_needs_too_much_memory_is_named(tmp_path, monkeypatch):
    def full(*_arguments):
        raise MemoryError

    (tmp_path / "x").write_bytes(wav(sound()))
    monkeypatch.setattr("folksong.audio.decode._joined", full)
    with pytest.raises(AudioError, match="x: needs more memory than there is; leave it out"):
        read_recording(tmp_path / "x")


def test_a_region_reads_as_a_file_of_its_own(tmp_path):
    region = Region(io.BytesIO(bytes(range(100))), 10, 30, {5: b"abc", 18: b"xyz"})
    expected = bytes([*range(10, 15), *b"abc", *range(18, 28), *b"xy"])
    assert region.read() == expected
    for start, length in ((0, 6), (6, 3), (17, 99), (25, 1)):
        region.seek(start)
        assert region.read(length) == expected[start : start + length]
    assert region.seek(-3, os.SEEK_END) == 17


ONE_BEHIND_ANOTHER = {
    "wav": {"format": "WAV"}, "flac": {"format": "FLAC"}, "aiff": {"format": "AIFF"}, "au": {"format": "AU"},
    "caf": {"format": "CAF"}, "w64": {"format": "W64"}, "m4a": {},
}  # fmt: skip


@pytest.mark.parametrize("kind", ONE_BEHIND_ANOTHER)
def test_16_d2_recordings_put_one_behind_another_are_heard_whole(tmp_path, kind):
    made = [
        encoded("mp4", "aac", samples) if kind == "m4a" else written(samples, **ONE_BEHIND_ANOTHER[kind])
        for samples in (sound(2, 440), sound(3, 880))
    ]
    apart = [read(tmp_path, content).samples for content in made]
    found = read(tmp_path, b"".join(made))
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, np.concatenate(apart))


@pytest.mark.parametrize("kind", ["caf", "w64", "au", "aiff", "wav"])
def test_16_d4_a_cut_recording_is_told(tmp_path, kind):
    content = written(sound(4), **ONE_BEHIND_ANOTHER[kind])
    found = read(tmp_path, content[: len(content) // 2])
    assert found.seconds == pytest.approx(2, abs=0.1)
    assert re.search(r"holds \d+ of the \d+ bytes that it promises", found.damage)


def test_16_d4_an_au_file_whose_size_was_never_filled_in(tmp_path):
    content = written(sound(2), format="AU", subtype="PCM_16")
    found = read(tmp_path, content[:8] + bytes(4) + content[12:])
    assert found.damage is None
    np.testing.assert_array_equal(found.samples, read(tmp_path, content).samples)
