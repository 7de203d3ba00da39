from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.shards.format import frame
from folksong.shards.index import Manifest, build_index, index_path
from folksong.shards.maintenance import merge_shards, read_one_hot_tags, repair_shards
from folksong.shards.reader import ShardReader
from folksong.shards.verify import verify_shards

Shards = tuple[Path, list[npt.NDArray[np.float32]]]


def damage(path: Path, place: int, *, cut: bool = False) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(bytes(content[:place] if cut else content))


def test_a_sound_folder_verifies_and_repair_changes_nothing(shards: Shards) -> None:
    folder, _ = shards
    ShardReader(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = verify_shards(folder)
    assert found.is_sound
    assert [file.n_whole for file in found.files] == [4, 4, 4]
    assert [file.damage for file in repair_shards(folder)] == [(), (), ()]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_verify_names_all_damage_and_repair_keeps_the_whole_records(shards: Shards) -> None:
    folder, sounds = shards
    first = ShardReader(folder)
    offsets = np.diff(first._first_record)
    assert offsets.tolist() == [4, 4, 4]
    damage(folder / "waveform_1.tfrecord", 5000)  # in the content of record 1
    damage(folder / "waveform_2.tfrecord", int(first._offsets[6]) + 2)  # in the length of record 2
    damage(folder / "waveform_3.tfrecord", int(first._offsets[11]) + 40, cut=True)
    (folder / "waveform_9.tfrecord").write_bytes(b"")
    found = verify_shards(folder)
    text = "\n".join(found.problems)
    for message in (
        "waveform_1.tfrecord: record 1 at byte 3",
        "the CRC of its content is wrong",
        "waveform_2.tfrecord: record 2 at byte",
        "the CRC of its length is wrong",
        "waveform_2.tfrecord: 3 whole records, the manifest says 4",
        "waveform_3.tfrecord: record 3 at byte",
        "cut: ",
        "waveform_9.tfrecord: a shard that the manifest does not list",
    ):
        assert message in text
    repaired = repair_shards(folder)
    assert [file.n_kept for file in repaired] == [3, 3, 3, 0]
    assert [file.lost for file in repaired] == [("TR01",), ("TR06",), ("TR11",), ()]
    assert verify_shards(folder).is_sound
    reader = ShardReader(folder)
    assert reader.track_ids == tuple(f"TR{n:02d}" for n in range(12) if n not in {1, 6, 11})
    for i, track_id in enumerate(reader.track_ids):
        np.testing.assert_array_equal(reader.audio(i), sounds[int(track_id[2:])])
    assert reader.manifest.provenance["repaired"]


def test_records_after_foreign_bytes_are_found_without_an_index(shards: Shards) -> None:
    folder, sounds = shards
    shard = folder / "waveform_2.tfrecord"
    content = shard.read_bytes()
    first = int(ShardReader(folder)._offsets[5])
    shard.write_bytes(bytes(1000) + content[:first] + b"\xff" * 5000 + content[first:])
    index_path(shard).unlink(missing_ok=True)
    (folder / "manifest.json").unlink()
    for name in ("waveform_1", "waveform_3"):
        (folder / f"{name}.tfrecord").unlink()
    (outcome,) = repair_shards(folder)
    assert (outcome.n_kept, len(outcome.damage)) == (4, 2)
    np.testing.assert_array_equal(ShardReader(folder).audio(3), sounds[7])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (gzip.compress, "gzip"),
        (zlib.compress, "zlib"),
        (bz2.compress, "bzip2"),
        (lambda content: b"id,tags\n1,rock\n" * 100, "a text file"),
        (lambda content: bytes(4000), "no whole record"),
    ],
)
def test_repair_touches_nothing_where_a_file_has_no_whole_record(
    shards: Shards, make: Callable[[bytes], bytes], said: str
) -> None:
    folder, _ = shards
    ShardReader(folder)
    damage(folder / "waveform_1.tfrecord", 5000)
    shard = folder / "waveform_2.tfrecord"
    shard.write_bytes(make(shard.read_bytes()))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FolksongError, match=f"(?s)nothing was changed.*waveform_2.*{said}"):
        repair_shards(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not verify_shards(folder).is_sound
    if said == "gzip":
        with pytest.raises(FolksongError, match="gunzip") as raised:
            build_index(shard)
        assert "repairing" not in str(raised.value)


def test_a_record_that_holds_no_audio_stops_a_repair_before_it_begins(shards: Shards) -> None:
    folder, _ = shards
    damage(folder / "waveform_1.tfrecord", 5000)
    (folder / "waveform_2.tfrecord").write_bytes(b"".join(frame(b"\n\x00")))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileFormatError, match="no feature 'audio'"):
        repair_shards(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_file_stays_beside_the_repaired_one(shards: Shards) -> None:
    folder, _ = shards
    shard = folder / "waveform_1.tfrecord"
    for name in ("waveform_1.tfrecord.damaged", "waveform_1.tfrecord.damaged2"):
        damage(shard, 5000)
        damaged = shard.read_bytes()
        outcome = repair_shards(folder)[0]
        assert outcome.kept_as == folder / name
        assert (folder / name).read_bytes() == damaged != shard.read_bytes()
    assert verify_shards(folder).is_sound


def test_shards_without_a_record_are_not_sound(shards: Shards) -> None:
    folder, _ = shards
    for path in folder.glob("*.tfrecord"):
        path.write_bytes(b"")
    repair_shards(folder)
    assert verify_shards(folder).problems == (f"{folder}: no records at all",)


def test_verify_finds_what_crcs_cannot(shards: Shards) -> None:
    folder, _ = shards
    ShardReader(folder)
    one, two, three = (folder / f"waveform_{number}.tfrecord" for number in (1, 2, 3))
    index_path(three).write_bytes(index_path(two).read_bytes())
    two.write_bytes(one.read_bytes())
    problems = "\n".join(verify_shards(folder).problems)
    assert "waveform_2.tfrecord: " in problems
    assert "4 track ids occur in several records, the first is 'TR00'" in problems
    assert "waveform_3.tfrecord.index: not the index of this shard" in problems
    one.unlink()
    assert "waveform_1.tfrecord: missing" in "\n".join(verify_shards(folder).problems)


def test_what_cannot_be_told_is_asked_for(tmp_path: Path, shards: Shards) -> None:
    with pytest.raises(FolksongError, match="there is nothing to repair"):
        repair_shards(tmp_path)
    folder, sounds = shards
    (folder / "manifest.json").unlink()
    (folder / "waveform_1.tfrecord").rename(folder / "train.tfrecord")
    with pytest.raises(FolksongError, match="give the audio format, waveform or log-mel-spectrogram"):
        repair_shards(folder)
    repair_shards(folder, audio_format="log-mel-spectrogram", n_mels=50, sample_rate=8000)
    reader = ShardReader(folder)
    assert reader.manifest.preset is not None
    assert reader.manifest.preset.sample_rate == 8000
    np.testing.assert_array_equal(reader.audio(0), sounds[0].reshape(50, -1))


def test_one_hot_tags_must_be_numbered_without_gaps(tmp_path: Path) -> None:
    import sqlite3

    with pytest.raises(FolksongError, match="no such file"):
        read_one_hot_tags(tmp_path / "none.db")
    path = tmp_path / "tags.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE tags (tag TEXT)")
        connection.executemany("INSERT INTO tags (ROWID, tag) VALUES (?, ?)", [(1, "b"), (3, "a")])
    connection.close()
    with pytest.raises(FileFormatError, match="row ids of its table `tags` are not 1 to 2"):
        read_one_hot_tags(path)


def test_merged_and_resharded_records_are_the_same(shards: Shards, tmp_path: Path) -> None:
    folder, sounds = shards
    manifest = merge_shards([folder], tmp_path / "five", n_files=5)
    assert [file.n_tracks for file in manifest.files] == [3, 3, 2, 2, 2]
    assert verify_shards(tmp_path / "five").is_sound
    again = merge_shards([tmp_path / "five"], tmp_path / "three", n_files=3)
    assert again.files == Manifest.read(folder).files
    shuffled = merge_shards([folder, tmp_path / "five"], tmp_path / "all", n_files=2, seed=1)
    assert shuffled.provenance["n_duplicates"] == 12
    reader = ShardReader(tmp_path / "all")
    assert sorted(reader.track_ids) == [f"TR{n:02d}" for n in range(12)]
    assert reader.track_ids != ShardReader(folder).track_ids
    for i, track_id in enumerate(reader.track_ids):
        np.testing.assert_array_equal(reader.audio(i), sounds[int(track_id[2:])])
        assert reader.tags(i)[0] == ["rock", f"tag {int(track_id[2:])}"]


def test_folders_that_do_not_fit_are_not_merged(shards: Shards, tmp_path: Path) -> None:
    folder, _ = shards
    merge_shards([folder], tmp_path / "other")
    replace(Manifest.read(tmp_path / "other"), sample_rate=22050).write(tmp_path / "other")
    with pytest.raises(FolksongError, match="sample_rate is 16000 here and 22050 there"):
        merge_shards([folder, tmp_path / "other"], tmp_path / "out")
    with pytest.raises(FolksongError, match="other: not an empty folder"):
        merge_shards([folder], tmp_path / "other")
