"""Shards that were edited, exchanged or made by a stranger (issue 16, C2 and C5): found, never followed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from folksong.audio.catalogue import Track
from folksong.errors import FileFormatError, FolksongError
from folksong.shards.index import Manifest, ShardFile, index_path, read_index, write_index
from folksong.shards.maintenance import repair_shards
from folksong.shards.reader import ShardReader
from folksong.shards.verify import describe_shards, verify_shards
from folksong.shards.writer import write_shards

Shards = tuple[Path, list[npt.NDArray[np.float32]]]


def edit(folder: Path, change: Callable[[dict[str, Any]], None], *, forge: bool = False) -> None:
    """Change the manifest's JSON; forged, its own hash is taken out."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    if forge:
        del content["manifest_sha256"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["../outside.tfrecord", "/etc/passwd", "a/b.tfrecord", "..", "", "a\\b", 7])
def test_c5_only_plain_names_are_followed(shards: Shards, name: object) -> None:
    folder, _ = shards
    (folder.parent / "outside.tfrecord").write_bytes((folder / "waveform_1.tfrecord").read_bytes())
    edit(folder, lambda content: content["files"][0].update(name=name), forge=True)
    for act in (ShardReader, verify_shards, repair_shards):
        with pytest.raises(FileFormatError, match=r"is not the plain name of a file in the folder"):
            act(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate": -5}, "sample_rate must be a whole number, 1 to"),
        ({"sample_rate": 16000.5}, "sample_rate must be a whole number"),
        ({"sample_rate": True}, "sample_rate must be a whole number"),
        ({"storage": "int16"}, "its audio is stored as float32, not as int16"),
        ({"n_tag_databases": 10**9}, "n_tag_databases must be a whole number, 0 to 1,000"),
        ({"provenance": 3}, "damaged"),
    ],
)
def test_c5_fields_that_cannot_be_are_named(shards: Shards, change: dict[str, object], message: str) -> None:
    folder, _ = shards
    edit(folder, lambda content: content.update(change), forge=True)
    begin = time.process_time()
    with pytest.raises(FileFormatError, match=message):
        describe_shards(ShardReader(folder))
    assert time.process_time() - begin < 5, "C2: work is bounded"


def test_c5_a_preset_of_another_rate_is_refused(
    make_tracks: Callable[[int], list[Track]], tmp_path: Path
) -> None:
    write_shards(make_tracks(2), tmp_path / "out", audio_format="log-mel-spectrogram", n_files=1, jobs=1)
    edit(tmp_path / "out", lambda content: content.update(sample_rate=8000), forge=True)
    with pytest.raises(FileFormatError, match="8000 Hz, but a feature preset for 16000 Hz"):
        ShardReader(tmp_path / "out")


@pytest.mark.parametrize("n_mels", [48, 7])
def test_c5_another_number_of_mel_bands_is_found(
    make_tracks: Callable[[int], list[Track]], tmp_path: Path, n_mels: int
) -> None:
    write_shards(make_tracks(2), tmp_path / "out", audio_format="log-mel-spectrogram", n_files=1, jobs=1)
    edit(tmp_path / "out", lambda content: content["preset"].update(n_mels=n_mels))
    for act in (ShardReader, verify_shards, repair_shards):
        with pytest.raises(FileFormatError, match="was changed after it was written"):
            act(tmp_path / "out")
    if n_mels == 7:  # does not even fit the sizes
        edit(tmp_path / "out", lambda content: None, forge=True)
        with pytest.raises(FileFormatError, match="does not consist of steps of 28 bytes"):
            ShardReader(tmp_path / "out")


@pytest.mark.parametrize(
    "file",
    [
        {"name": "x", "n_tracks": -1, "n_bytes": 5, "sha256": "0" * 64},
        {"name": "x", "n_tracks": 1, "n_bytes": 5, "sha256": "0" * 64},
        {"name": "x", "n_tracks": 0, "n_bytes": "5", "sha256": "0" * 64},
        {"name": "x", "n_tracks": 0, "n_bytes": 5, "sha256": "0" * 63},
        {"name": "x", "n_tracks": 0, "n_bytes": 5, "sha256": None},
        {"name": "x", "n_tracks": 0, "n_bytes": 5, "sha256": "0" * 64, "index_sha256": 5},
    ],
)
def test_c5_entries_of_files_are_checked(file: dict[str, Any]) -> None:
    with pytest.raises(FolksongError):
        ShardFile(**file)


def test_c5_a_file_that_is_listed_twice_is_refused(shards: Shards) -> None:
    manifest = Manifest.read(shards[0])
    with pytest.raises(FolksongError, match="a file is listed twice"):
        replace(manifest, files=(*manifest.files, manifest.files[0]))


def test_c5_exchanged_offsets_are_found(shards: Shards) -> None:
    folder, sounds = shards
    ShardReader(folder)
    shard = folder / "waveform_2.tfrecord"
    index = read_index(shard)
    order = [1, 0, 2, 3]
    names = ("offsets", "audio_offsets", "audio_bytes")
    write_index(replace(index, **{name: getattr(index, name)[order] for name in names}), shard)
    assert "waveform_2.tfrecord.index: not the index of this shard" in verify_shards(folder).problems[0]
    reader = ShardReader(folder)
    for i in range(len(reader)):
        np.testing.assert_array_equal(reader.audio(i), sounds[i])
    assert verify_shards(folder).is_sound, "the index was built anew"


def test_c5_an_index_that_is_packed_or_not_an_archive_is_built_anew(shards: Shards) -> None:
    folder, sounds = shards
    ShardReader(folder)
    path = index_path(folder / "waveform_1.tfrecord")
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez_compressed(path.with_suffix(".npz"), **{**arrays, "codes_0": np.zeros(10**7, np.int64)})
    for content in (path.with_suffix(".npz").read_bytes(), b"PK\x03\x04", b"", b"\x93NUMPY\x01\x00\xff\xff"):
        path.write_bytes(content)
        np.testing.assert_array_equal(ShardReader(folder).audio(0), sounds[0])


def test_c2_a_database_number_without_bounds_is_no_database(
    tmp_path: Path, write_shard_file: Callable[[Path, list[dict[str, object]]], ShardFile]
) -> None:
    begin = time.process_time()
    write_shard_file(
        tmp_path / "waveform_1.tfrecord",
        [{"audio": np.zeros(5, np.float32), "tid": [b"a"], "tags_999999999": [b"x"]}],
    )
    repair_shards(tmp_path)
    assert ShardReader(tmp_path).manifest.n_tag_databases == 0
    assert time.process_time() - begin < 5


def test_16_c5_a_manifest_without_its_number_of_tracks_is_refused(shards: Shards) -> None:
    folder, _ = shards
    edit(folder, lambda content: content.pop("n_tracks"), forge=True)
    with pytest.raises(FileFormatError, match=r"manifest\.json: damaged \(KeyError: 'n_tracks'\)"):
        Manifest.read(folder)
