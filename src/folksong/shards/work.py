"""The unit of work: one shard, written by one pure function of its task, on any process or machine.

A shard's bytes depend on nothing but the task. Broken recordings are left out and told with their reasons; a full disk
or a missing permission ends the work with an error and leaves no half-written file.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from folksong.audio.decode import read_recording
from folksong.audio.log_mel import FeaturePreset, log_mel
from folksong.errors import AudioError
from folksong.files import atomic_path
from folksong.shards.example import encode_example
from folksong.shards.index import (
    AUDIO_KEY,
    SCALE_KEY,
    TAGS_KEY,
    TRACK_ID_KEY,
    IndexBuilder,
    encode_text,
    write_index,
)
from folksong.shards.manifest import STORAGES
from folksong.shards.tfrecord import FOOTER_BYTES, HEADER_BYTES, Record, frame
from folksong.shards.watchdog import Watchdog

ENCODING_VERSION = 1  # raise it when the same recording would give other bytes
INT16_PEAK = 32767


@dataclass(frozen=True)
class Encoding:
    """How recordings become records.

    Args:
        sample_rate: Hz.
        preset: of the spectrograms; None for waveforms.
        storage: ``float32``, ``float16`` or ``int16``; see `folksong.shards.manifest`.
    """

    sample_rate: int
    preset: FeaturePreset | None
    storage: str


@dataclass(frozen=True, slots=True)
class TrackTags:
    """A track's tags in one database, heaviest first, and their weights (None: the database has none)."""

    tags: tuple[str, ...]
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class TaskTrack:
    """A track to write: id, file, and its tags in each database."""

    track_id: str
    path: str
    tags: tuple[TrackTags, ...]


@dataclass(frozen=True)
class ShardTask:
    """All that one shard is made of.

    Args:
        path: the shard's file.
        tracks: in the order of the records.
        encoding: how recordings become records.
        refused: track id -> reason, for recordings that must not be touched (they crash the decoder).
        note: a file that always holds the id of the track at hand, for whoever finds the process dead; or None.
        limit_seconds: the process kills itself when one track takes longer (a decoder that hangs cannot be stopped
            otherwise); None on a process that must live.
    """

    path: Path
    tracks: tuple[TaskTrack, ...]
    encoding: Encoding
    refused: Mapping[str, str] = field(default_factory=dict)
    note: Path | None = None
    limit_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TrackProblem:
    """A track that could not be written, or only in part, and why."""

    track_id: str
    path: str
    reason: str

    @classmethod
    def of(cls, track: TaskTrack, reason: str) -> TrackProblem:
        """Build one in which everything is printable, whatever bytes a file name holds."""
        texts = (track.track_id, track.path, " ".join(reason.split()))
        return cls(*(text.encode("utf-8", "backslashreplace").decode("utf-8") for text in texts))


@dataclass(frozen=True)
class ShardResult:
    """What became of a task: the shard's facts, the tracks left out and those written from damaged files."""

    name: str
    n_tracks: int
    n_bytes: int
    sha256: str
    skipped: tuple[TrackProblem, ...]
    damaged: tuple[TrackProblem, ...]


@dataclass(frozen=True)
class EncodedTrack:
    """A record's payload, and what the decoder could not read of the recording (None: nothing is lost)."""

    payload: bytes
    damage: str | None


def encode_track(track: TaskTrack, encoding: Encoding) -> EncodedTrack:
    """Decode a recording and return its record.

    Raises:
        AudioError: nothing in the file can be decoded.
    """
    recording = read_recording(track.path, encoding.sample_rate)
    audio = recording.samples if encoding.preset is None else log_mel(recording.samples, encoding.preset)
    features: dict[str, Sequence[bytes] | npt.NDArray[Any]] = dict(store_audio(audio, encoding.storage))
    for number, given in enumerate(track.tags):
        key = TAGS_KEY if len(track.tags) == 1 else f"{TAGS_KEY}_{number}"
        features[key] = [encode_text(tag) for tag in given.tags]
        if given.weights is not None:
            features[f"{key}_weight"] = np.array(given.weights, np.float32)
    features[TRACK_ID_KEY] = [encode_text(track.track_id)]
    return EncodedTrack(encode_example(features), recording.damage)


def store_audio(
    audio: npt.NDArray[np.float32], storage: str
) -> dict[str, Sequence[bytes] | npt.NDArray[np.float32]]:
    """Return the features that hold `audio` (of any shape, flattened in C order) in this storage."""
    if storage == "float32":
        return {AUDIO_KEY: audio.ravel()}
    if storage == "float16":
        return {AUDIO_KEY: [audio.astype(STORAGES[storage]).tobytes()]}
    peak = float(np.abs(audio).max(initial=0.0))
    scale = np.float32(peak / INT16_PEAK if peak > 0 else 1.0)
    stored = np.clip(np.rint(audio / scale), -INT16_PEAK, INT16_PEAK).astype(STORAGES[storage])
    return {AUDIO_KEY: [stored.tobytes()], SCALE_KEY: np.array([scale], np.float32)}


def write_shard(task: ShardTask) -> ShardResult:
    """Write one shard and its index; both appear whole or not at all.

    Raises:
        FolksongError: the disk is full or not writable.
    """
    skipped: list[TrackProblem] = []
    damaged: list[TrackProblem] = []
    builder = IndexBuilder()
    digest = hashlib.sha256()
    n_bytes = n_tracks = 0
    # matrix products give other last bits with another number of threads
    with (
        threadpool_limits(1),
        atomic_path(task.path) as temporary,
        temporary.open("wb") as stream,
        Watchdog(task.note, task.limit_seconds) as watchdog,
    ):
        for track in task.tracks:
            watchdog.begin(track.track_id, track.path)
            encoded = _encode_or_tell(track, task, skipped)
            if encoded is None:
                continue
            if encoded.damage:
                damaged.append(TrackProblem.of(track, encoded.damage))
            payload = encoded.payload
            for part in frame(payload):
                stream.write(part)
                digest.update(part)
            record = Record(n_tracks, n_bytes, n_bytes + HEADER_BYTES, len(payload))
            builder.add_payload(np.frombuffer(payload, np.uint8), record, task.path)
            n_bytes += HEADER_BYTES + len(payload) + FOOTER_BYTES
            n_tracks += 1
        stream.flush()
    write_index(builder.finish(digest.hexdigest(), n_bytes), task.path)
    return ShardResult(task.path.name, n_tracks, n_bytes, digest.hexdigest(), tuple(skipped), tuple(damaged))


def _encode_or_tell(track: TaskTrack, task: ShardTask, skipped: list[TrackProblem]) -> EncodedTrack | None:
    """Return the record of a track, or None and the reason in `skipped`."""
    reason = task.refused.get(track.track_id)
    if reason is None:
        try:
            return encode_track(track, task.encoding)
        except AudioError as error:
            reason = str(error)
        except Exception as error:  # whatever one recording provokes, the others are written
            reason = f"{track.path}: {type(error).__name__}: {error}"
    skipped.append(TrackProblem.of(track, reason))
    return None


@dataclass(frozen=True, slots=True)
class Probe:
    """What one recording costs: bytes of its file and record, seconds of work."""

    file_bytes: int
    record_bytes: int
    seconds: float


def probe_track(track: TaskTrack, encoding: Encoding) -> Probe | None:
    """Return what a recording costs, or None if it is broken."""
    begin = time.perf_counter()
    try:
        payload = encode_track(track, encoding).payload
        file_bytes = Path(track.path).stat().st_size
    except Exception:  # the writing itself tells what is wrong with it
        return None
    return Probe(file_bytes, len(payload) + HEADER_BYTES + FOOTER_BYTES, time.perf_counter() - begin)
