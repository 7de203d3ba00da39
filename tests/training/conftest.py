"""A small folder of log-mel shards whose labels can be heard, and a small network for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from folksong.audio.log_mel import read_preset
from folksong.models import tagger as network
from folksong.runs import Run
from folksong.shards.format import encode_example, frame
from folksong.shards.index import Manifest, ShardFile, build_index
from folksong.training.config import Config
from folksong.training.train import train

N_TRACKS = 48
KINDS = ("low", "middle", "high")


def spectrogram(number: int) -> npt.NDArray[np.float32]:
    """(96, 20 to 40) decibels: the kind of track `number` is the third of the bands that is loud."""
    rng = np.random.default_rng(number)
    loudness = rng.normal(-60, 8, (96, 20 + number % 21))
    third = number % len(KINDS)
    loudness[32 * third : 32 * third + 32] += 35
    return loudness.astype(np.float32)


def tags_of(number: int) -> list[str]:
    """Every track has its kind; some have a mood, every eighth has nothing."""
    if number % 8 == 7:
        return []
    moods = {0: ["seen live"], 1: ["calm"], 2: ["calm", "slow"]}.get(number % 5, [])
    return [KINDS[number % len(KINDS)], *moods]


def write_log_mel_shards(
    folder: Path,
    spectrograms: list[npt.NDArray[np.float32]],
    databases: list[list[list[str]]],
    n_files: int = 2,
) -> Path:
    """Write log-mel records with their tags in one or more databases; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(n_files):
        path = folder / f"log-mel-spectrogram_{number + 1}.tfrecord"
        with path.open("wb") as stream:
            for i in range(number, len(spectrograms), n_files):
                features: dict[str, Any] = {"audio": spectrograms[i].ravel(), "tid": [f"T{i:03d}".encode()]}
                for place, database in enumerate(databases):
                    key = "tags" if len(databases) == 1 else f"tags_{place}"
                    features[key] = [tag.encode() for tag in database[i]]
                stream.writelines(frame(encode_example(features)))
        index = build_index(path)
        files.append(ShardFile.of(path.name, index))
    preset = read_preset("urop2019")
    Manifest("log-mel-spectrogram", 16000, preset, tuple(files), n_tag_databases=len(databases)).write(folder)
    return folder


@pytest.fixture(autouse=True)
def _small_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 filters instead of 512: what is tested here does not depend on it, and a checkpoint has 45 MB less."""
    monkeypatch.setattr(network, "N_FILTERS", 16)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 tracks of three kinds, 42 of them tagged; the same tags upper-cased as a second database."""
    names = [tags_of(number) for number in range(N_TRACKS)]
    loud = [[tag.upper() for tag in tags] for tags in names]
    return write_log_mel_shards(
        tmp_path_factory.mktemp("training") / "mel", [spectrogram(n) for n in range(N_TRACKS)], [names, loud]
    )


def small_config(**training: Any) -> Config:
    """The smallest network, windows of 20 frames, a third of the tracks each to validate and to test."""
    settings = {
        "window_length": 0.64,
        "split": [50, 25, 25],
        "batch_size": 6,
        "adapt_to_small": False,
        "optimizer": {"name": "Adam", "learning_rate": 0.003},
        **training,
    }
    sections = {"model": {"n_dense_units": 8, "n_filters": 1}, "tags": {"top": 5}}
    return Config.from_dict({**sections, "model-training": settings})


@pytest.fixture(scope="session")
def config() -> Callable[..., Config]:
    """The function above, for tests."""
    return small_config


@pytest.fixture
def train_small(shards: Path, tmp_path: Path) -> Callable[..., Run]:
    """Train the small network for an epoch of two steps, unless said otherwise."""

    def run(name: str = "run", config: Config | None = None, **options: Any) -> Run:
        folder = options.pop("shards_folder", shards)
        options = {"epochs": 1, "precision": "32", "seed": 3, "workers": 0, **options}
        return train(
            "log-mel-spectrogram", folder, out=tmp_path / name, config=config or small_config(), **options
        )

    return run


@pytest.fixture(scope="session")
def write_shards() -> Callable[..., Path]:
    """`write_log_mel_shards`, for tests."""
    return write_log_mel_shards
