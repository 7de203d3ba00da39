"""What tests of several rooms share: a tiny run, trained for one epoch on tones, chirps and noise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

RATE = 16_000
SECONDS = 2.0
KINDS = ("tone", "chirp", "noise", "clicks")
TRACKS_PER_KIND = 10


@pytest.fixture(autouse=True)
def _no_command_speaks_in_the_next_test() -> Iterator[None]:
    """Take away the handler by which a command's log lines reach stderr."""
    yield
    logger = logging.getLogger("folksong")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@dataclass(frozen=True)
class TinyRun:
    """A run and where its inputs lie."""

    folder: Path
    shards: Path
    audio: Path
    tags: Path


def make_sound(kind: str, number: int, seconds: float = SECONDS) -> np.ndarray:
    """Return (samples,) float32 at 16 kHz: a different sound for each kind and number."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    time = np.arange(int(seconds * RATE)) / RATE
    hertz = rng.uniform(200, 800)
    sound = {
        "tone": lambda: np.sin(2 * np.pi * hertz * time),
        "chirp": lambda: np.sin(2 * np.pi * hertz * time * (1 + time)),
        "noise": lambda: rng.standard_normal(len(time)),
        "clicks": lambda: (np.arange(len(time)) % int(RATE / rng.uniform(4, 9)) < 20).astype(float),
    }[kind]()
    return (0.3 * sound + 0.003 * rng.standard_normal(len(time))).astype(np.float32)


def build_tiny_run(folder: Path, front_end: str, **options) -> TinyRun:
    """Write recordings, tags and shards into `folder`, and train on them for an epoch."""
    import soundfile

    from folksong.audio.catalogue import scan_folder
    from folksong.shards.writer import write_shards
    from folksong.tags.sources.read_tags import write_tags
    from folksong.tags.table import TagTable
    from folksong.training.config import Config
    from folksong.training.train import train

    audio, shards, tags = folder / "audio", folder / "shards", folder / "tags.csv"
    pairs = []
    for kind in KINDS:
        (audio / kind).mkdir(parents=True)
        for number in range(TRACKS_PER_KIND):
            seconds = SECONDS if number else 0.7  # one of each is shorter than the window
            soundfile.write(audio / kind / f"{number}.wav", make_sound(kind, number, seconds), RATE)
            pairs.append((f"{kind}/{number}", kind))
            if number % 2:
                pairs.append((f"{kind}/{number}", "odd"))
    pairs.remove(("noise/0", "noise"))
    pairs.append(("noise/0", "a tag of no label"))
    write_tags(TagTable.from_pairs(*zip(*pairs, strict=True)), tags)
    write_shards(scan_folder(audio), shards, None, audio_format=front_end, jobs=1)
    settings = Config.from_dict(
        {
            "model": {"n_dense_units": 16, "n_filters": 1},
            "model-training": {
                "window_length": 1.25,
                "batch_size": 8,
                "split": [50, 20, 30],
                "adapt_to_small": False,
            },
            "tags": {"top": 5},
        }
    )
    run = train(
        front_end, shards, out=folder / "run", config=settings, tags=tags, epochs=1, precision="32", **options
    )
    return TinyRun(run.path, shards, audio, tags)


@contextmanager
def left_alone(folder: Path) -> Iterator[None]:
    """Fail at the end if a test wrote into a folder that the tests of this process share."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    yield
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, f"a test changed {folder}"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Iterator[TinyRun]:
    """A log-mel run of one epoch. Read only: copy it before changing it."""
    run = build_tiny_run(tmp_path_factory.mktemp("tiny"), "log-mel-spectrogram")
    with left_alone(run.folder):
        yield run


@pytest.fixture(scope="session")
def tiny_waveform_run(tmp_path_factory) -> Iterator[TinyRun]:
    """A waveform run of one epoch. Read only: copy it before changing it."""
    run = build_tiny_run(tmp_path_factory.mktemp("tiny-waveform"), "waveform")
    with left_alone(run.folder):
        yield run
