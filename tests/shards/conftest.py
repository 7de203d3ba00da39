"""Small recordings, tags and folders of shards that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from folksong.audio.catalogue import Track
from folksong.shards.format import encode_example, frame
from folksong.shards.index import Manifest, ShardFile, build_index
from folksong.tags.table import TagTable

RATE = 16000
N_SLOW = 36


def write_shard_file(path: Path, rows: list[dict[str, object]]) -> ShardFile:
    """Write examples to a shard without the writer; return its entry in a manifest."""
    with path.open("wb") as stream:
        for row in rows:
            stream.writelines(frame(encode_example(row)))  # type: ignore[arg-type]
    index = build_index(path)
    return ShardFile.of(path.name, index)


def recording(number: int, n_samples: int) -> npt.NDArray[np.float32]:
    """Noise of a pitch of its own, the same on every call."""
    rng = np.random.default_rng(number)
    tone = np.sin(np.arange(n_samples) * (number % 7 + 1) * 0.05)
    return (0.5 * tone + 0.05 * rng.standard_normal(n_samples)).astype(np.float32)


@pytest.fixture(name="write_shard_file")
def write_shard_file_fixture() -> Callable[[Path, list[dict[str, object]]], ShardFile]:
    """The function above, for tests."""
    return write_shard_file


@pytest.fixture(name="recording")
def recording_fixture() -> Callable[[int, int], npt.NDArray[np.float32]]:
    """The function above, for tests."""
    return recording


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Path, list[npt.NDArray[np.float32]]]:
    """A folder of 3 waveform shards of 4 tracks each, and the samples of the 12 tracks."""
    folder = tmp_path / "shards"
    folder.mkdir()
    sounds = [recording(number, 900 + 50 * number) for number in range(12)]
    files = []
    for number in range(3):
        rows: list[dict[str, object]] = [
            {
                "audio": sounds[track],
                "tags": [b"rock", f"tag {track}".encode()],
                "tags_weight": np.array([100, track], np.float32),
                "tid": [f"TR{track:02d}".encode()],
            }
            for track in range(4 * number, 4 * number + 4)
        ]
        files.append(write_shard_file(folder / f"waveform_{number + 1}.tfrecord", rows))
    Manifest("waveform", RATE, None, tuple(files)).write(folder)
    return folder, sounds


@pytest.fixture
def make_tracks(tmp_path: Path) -> Callable[[int], list[Track]]:
    """A function that records `n` short wav files and returns their catalogue."""

    def make(n: int) -> list[Track]:
        folder = tmp_path / "audio"
        folder.mkdir(exist_ok=True)
        for number in range(n):
            soundfile.write(folder / f"{number:03d}.wav", recording(number, 2000 + 100 * number), RATE)
        return [Track(f"TR{number:03d}", folder / f"{number:03d}.wav") for number in range(n)]

    return make


@pytest.fixture
def slow_tracks(tmp_path: Path) -> Path:
    """A folder of recordings that take some seconds to write; they may be removed."""
    (tmp_path / "slow").mkdir()
    first = tmp_path / "slow" / "00.wav"
    soundfile.write(first, np.random.default_rng(0).normal(0, 0.1, 40 * 44100), 44100)
    for number in range(1, N_SLOW):
        first.with_name(f"{number:02d}.wav").hardlink_to(first)
    return tmp_path / "slow"


@pytest.fixture
def tags() -> TagTable:
    """Tags of tracks TR000 to TR005; the later ones have none."""
    return TagTable.from_pairs(
        ["TR000", "TR000", "TR001", "TR002", "TR003", "TR004", "TR005"],
        ["rock", "hip hop", "rock", "très\nlong " + "x" * 10_000, "\N{ROCKET}", "rock", "folk"],
        [100, 40, 0, 7, 3, 55, 1],
    )
