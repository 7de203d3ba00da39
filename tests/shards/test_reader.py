from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from folksong.audio.log_mel import read_preset
from folksong.errors import FileFormatError, FolksongError
from folksong.shards.index import Manifest, ShardFile, build_index, index_path, read_index, write_index
from folksong.shards.maintenance import read_one_hot_tags, repair_shards
from folksong.shards.reader import ShardReader
from folksong.tags.sources.lastfm import write_lastfm
from folksong.tags.table import TagTable

GOLDEN = Path(__file__).parent / "golden"
RATE = 16000
Shards = tuple[Path, list[npt.NDArray[np.float32]]]
Record = Callable[[int, int], npt.NDArray[np.float32]]
WriteFile = Callable[[Path, list[dict[str, object]]], ShardFile]


def test_windows_are_what_was_written(shards: Shards) -> None:
    folder, sounds = shards
    reader = ShardReader(folder)
    assert len(reader) == 12
    assert reader.track_ids == tuple(f"TR{number:02d}" for number in range(12))
    np.testing.assert_array_equal(reader.n_steps, [len(sound) for sound in sounds])
    for i, sound in enumerate(sounds):
        np.testing.assert_array_equal(reader.audio(i), sound)
        for start, length in ((0, 1), (17, 400), (len(sound) - 5, 5), (0, len(sound))):
            window = reader.window(i, start, length)
            assert window.dtype == np.float32
            np.testing.assert_array_equal(window, sound[start : start + length])


def test_a_short_clip_is_repeated_until_it_fills_the_window(shards: Shards) -> None:
    folder, sounds = shards
    window = ShardReader(folder).window(0, 0, 2500)
    np.testing.assert_array_equal(window, np.tile(sounds[0], 3)[:2500])


@pytest.mark.parametrize("start", [-1, 501])
def test_a_window_beyond_the_record_is_an_error(shards: Shards, start: int) -> None:
    with pytest.raises(FolksongError, match=rf"TR00: no window of 400 steps at {start}: the record has 900"):
        ShardReader(shards[0]).window(0, start, 400)


def test_spectrograms_are_cut_along_time(tmp_path: Path, write_shard_file: WriteFile) -> None:
    preset = read_preset("urop2019")
    spectrogram = np.arange(96 * 30, dtype=np.float32).reshape(96, 30)
    file = write_shard_file(
        tmp_path / "log-mel-spectrogram_1.tfrecord", [{"audio": spectrogram, "tid": [b"a"]}]
    )
    Manifest("log-mel-spectrogram", RATE, preset, (file,), n_tag_databases=0).write(tmp_path)
    reader = ShardReader(tmp_path)
    assert reader.n_steps.tolist() == [30]
    np.testing.assert_array_equal(reader.window(0, 4, 9), spectrogram[:, 4:13])
    np.testing.assert_array_equal(reader.window(0, 0, 70), np.tile(spectrogram, 3)[:, :70])
    assert reader.manifest.steps(0.96) == 30


def test_tags_come_with_their_weights(shards: Shards) -> None:
    reader = ShardReader(shards[0])
    assert reader.tags(5) == (["rock", "tag 5"], [100.0, 5.0])
    table = reader.tag_table()
    assert table.track_ids.tolist() == list(reader.track_ids)
    assert table.tags.tolist() == sorted(table.tags)
    assert table.tags_of("TR00") == [("rock", 100.0), ("tag 0", 0.0)]
    assert table.n_counts == 24
    with pytest.raises(FolksongError, match=r"no tag database 1; the records hold 1"):
        reader.tags(0, database=1)


def test_floats_that_lie_in_pieces_are_read(tmp_path: Path, recording: Record) -> None:
    """Each value with a field of its own, as protocol buffers of version 2 write them."""
    from folksong.shards.format import encode_example, frame

    sound = recording(1, 300)
    numbers = b"".join(b"\x0d" + value.tobytes() for value in sound)
    pieces = [b"\x0a\x05audio", numbers]
    length = len(numbers)
    varint = bytes([length & 127 | 128, length >> 7])
    total = length + 3
    feature = b"\x12" + bytes([total & 127 | 128, total >> 7]) + b"\x12" + varint + numbers
    entry = pieces[0] + feature
    size = bytes([len(entry) & 127 | 128, len(entry) >> 7])
    features = b"\x0a" + size + entry + encode_example({"tid": [b"a"]})[2:]
    message = b"\x0a" + bytes([len(features) & 127 | 128, len(features) >> 7]) + features
    (tmp_path / "waveform_1.tfrecord").write_bytes(b"".join(frame(message)))
    repair_shards(tmp_path)
    reader = ShardReader(tmp_path)
    np.testing.assert_array_equal(reader.window(0, 20, 200), sound[20:220])


def test_files_that_tensorflow_wrote_are_read(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "strings.tfrecord", tmp_path / "waveform_1.tfrecord")
    repair_shards(tmp_path)
    reader = ShardReader(tmp_path)
    assert reader.track_ids == ("TRAAA", "TRAAB", "TRAAC")
    for i, n_samples in enumerate((40, 25, 60)):
        expected = (np.sin(np.arange(n_samples) * (i + 1)) * 0.5).astype(np.float32)
        np.testing.assert_array_equal(reader.audio(i), expected)
    assert reader.tags(0) == (["rock", "hip hop", "été \N{ROCKET}"], [100.0, 7.0, 0.0])
    assert reader.tags(1) == ([], None)
    assert reader.tag_table().tags_of("TRAAC") == [("rock", 3.0)]


def test_one_hots_of_the_earlier_project_are_read(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "one_hot.tfrecord", tmp_path / "waveform_1.tfrecord")
    repair_shards(tmp_path)
    with pytest.raises(
        FolksongError, match=r"one-hot over 4 tags, without the tags' names; repair the folder"
    ):
        ShardReader(tmp_path).tags(0)
    names = TagTable.from_pairs(["x"] * 4, ["ambient", "blues", "choir", "dub"])
    write_lastfm(names, tmp_path / "clean_lastfm.db")
    tags = read_one_hot_tags(tmp_path / "clean_lastfm.db")
    repair_shards(tmp_path, one_hot_tags=tags)
    reader = ShardReader(tmp_path)
    assert [reader.tags(i)[0] for i in range(3)] == [[tags[1], tags[2]], [tags[0]], [tags[3]]]
    assert reader.tag_table().tags_of("TRAAB") == [("ambient", 1.0)]


def test_one_hots_of_several_databases_are_read(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "one_hot_multi.tfrecord", tmp_path / "waveform_1.tfrecord")
    (tmp_path / "tags.txt").write_text("a\nb\nc\nd\n")
    repair_shards(tmp_path, one_hot_tags=read_one_hot_tags(tmp_path / "tags.txt"))
    reader = ShardReader(tmp_path)
    assert reader.manifest.n_tag_databases == 2
    assert [reader.tags(i, 0)[0] for i in range(3)] == [["b", "c"], ["a"], ["d"]]
    assert [reader.tags(i, 1)[0] for i in range(3)] == [["b", "c"], ["d"], ["a"]]


def test_an_index_is_a_pure_function_of_its_shard(shards: Shards, caplog: pytest.LogCaptureFixture) -> None:
    folder, sounds = shards
    shard = folder / "waveform_2.tfrecord"
    ShardReader(folder)
    written = index_path(shard).read_bytes()
    index_path(shard).unlink()
    caplog.set_level("INFO", "folksong")
    np.testing.assert_array_equal(ShardReader(folder).audio(4), sounds[4])
    assert "waveform_2.tfrecord.index: missing; building it anew" in caplog.text
    assert index_path(shard).read_bytes() == written
    index_path(shard).write_bytes(written[:-30])
    np.testing.assert_array_equal(ShardReader(folder).audio(4), sounds[4])
    assert index_path(shard).read_bytes() == written
    write_index(build_index(folder / "waveform_1.tfrecord"), shard)  # of another file
    assert ShardReader(folder).track_ids[4] == "TR04"
    assert read_index(shard).digest() == build_index(shard).digest()


def test_a_missing_manifest_says_what_to_do(shards: Shards, tmp_path: Path) -> None:
    folder, _ = shards
    (folder / "manifest.json").unlink()
    with pytest.raises(FolksongError, match=r"no manifest.json; repairing the folder"):
        ShardReader(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolksongError, match=r"empty: no shards here"):
        ShardReader(tmp_path / "empty")
    with pytest.raises(FolksongError, match=r"nowhere: no such folder"):
        ShardReader(tmp_path / "nowhere")
    (folder / ".writing").mkdir()
    with pytest.raises(FolksongError, match="not finished; write these shards again"):
        ShardReader(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"format": "x"}, "not a manifest of shards"),
        ({"version": 99}, "version 99; this folksong reads 1"),
        ({"files": [{"name": "a"}]}, "damaged"),
        ({"n_tracks": 5}, "does not match the files' sum 12"),
        ({"audio_format": "midi"}, "audio format 'midi'"),
        ({"preset": {"name": "x"}}, "missing sample_rate"),
    ],
)
def test_a_damaged_manifest_is_an_error(shards: Shards, damage: dict[str, object], message: str) -> None:
    path = shards[0] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(FileFormatError, match=rf"manifest\.json: .*{message}"):
        ShardReader(shards[0])


def test_a_cut_or_missing_shard_is_named(shards: Shards) -> None:
    shard = shards[0] / "waveform_3.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    with pytest.raises(
        FileFormatError, match=r"waveform_3.tfrecord: \d+ bytes, but the manifest says \d+: it was cut"
    ):
        ShardReader(shards[0])
    shard.unlink()
    with pytest.raises(
        FolksongError, match=r"waveform_3.tfrecord: the manifest lists this shard, but it is not there"
    ):
        ShardReader(shards[0])


def test_a_flipped_bit_is_found_on_first_opening_only(shards: Shards) -> None:
    folder, _ = shards
    ShardReader(folder)
    shard = folder / "waveform_1.tfrecord"
    content = bytearray(shard.read_bytes())
    content[5000] ^= 1
    shard.write_bytes(bytes(content))
    message = r"waveform_1.tfrecord: record 1 at byte \d+: the CRC of its content is wrong"
    with pytest.raises(FileFormatError, match=message):
        ShardReader(folder)
    ShardReader(folder, check=False)
    shard.write_bytes(bytes(content[:5000]) + bytes([content[5000] ^ 1]) + bytes(content[5001:]))
    ShardReader(folder)
    checked = json.loads((folder / ".checked.json").read_text())
    assert checked["waveform_1.tfrecord"] == [shard.stat().st_size, shard.stat().st_mtime_ns]


def test_another_file_under_a_shards_name_is_found(
    shards: Shards, recording: Record, write_shard_file: WriteFile
) -> None:
    folder, _ = shards
    other = write_shard_file(
        folder / "waveform_1.tfrecord",
        [{"audio": recording(77, 900 + 50 * n), "tid": [b"TR0%d" % n]} for n in range(4)],
    )
    manifest = Manifest.read(folder)
    first = manifest.files[0]
    files = (replace(first, n_bytes=other.n_bytes), *manifest.files[1:])
    replace(manifest, files=files).write(folder)
    with pytest.raises(
        FileFormatError, match=r"waveform_1.tfrecord: its SHA-256 or .* is not the manifest's"
    ):
        ShardReader(folder)


def test_a_read_only_folder_is_read(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FolksongError("read-only")

    monkeypatch.setattr("folksong.shards.reader.write_index", refuse)
    monkeypatch.setattr("folksong.shards.reader.write_json", refuse)
    folder, sounds = shards
    np.testing.assert_array_equal(ShardReader(folder).audio(7), sounds[7])
    assert not list(folder.glob("*.index"))


def test_a_reader_is_shared_by_threads_and_sent_to_processes(shards: Shards) -> None:
    folder, sounds = shards
    reader = ShardReader(folder, max_open_files=1)
    reader.audio(0)
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301
    np.testing.assert_array_equal(again.audio(11), sounds[11])
    order = np.random.default_rng(0).integers(0, 12, 400).tolist()
    with ThreadPoolExecutor(8) as executor:
        for i, audio in zip(order, executor.map(reader.audio, order), strict=True):
            np.testing.assert_array_equal(audio, sounds[i])


def test_a_thousand_shards_open_with_256_descriptors(
    tmp_path: Path, recording: Record, write_shard_file: WriteFile
) -> None:
    rows = [{"audio": recording(0, 50), "tags": [b"a"], "tid": [b"T0000"]}]
    first = write_shard_file(tmp_path / "waveform_1.tfrecord", rows)
    write_index(build_index(tmp_path / first.name), tmp_path / first.name)
    files = [first]
    for number in range(2, 1001):
        files.append(ShardFile(f"waveform_{number}.tfrecord", 1, first.n_bytes, first.sha256))
        for ending in ("", ".index"):
            os.link(tmp_path / f"{first.name}{ending}", tmp_path / f"{files[-1].name}{ending}")
    Manifest("waveform", RATE, None, tuple(files)).write(tmp_path)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "import numpy as np\n"
        "from folksong.shards.reader import ShardReader\n"
        "reader = ShardReader(sys.argv[1])\n"
        "windows = [reader.window(i, 0, 50) for i in range(1000)]\n"
        "batch = np.empty((1000, 50), np.float32)\n"
        "reader.windows_into(np.arange(1000), np.zeros(1000, np.int64), batch)\n"
        "print(len(reader), (np.array(windows) == windows[0]).all() and (batch == windows[0]).all())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["1000", "True"], done.stderr
