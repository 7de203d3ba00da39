"""How recordings become records, and records a shard: the unit of work of a writing, and what it costs.

A shard's bytes depend on nothing but its tracks and the encoding, whichever process makes it. Broken recordings are
left out and told with their reasons; a full disk or a missing permission ends the work with an error and leaves no
half-written file.
"""

import hashlib
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from folksong.audio.catalogue import Track
from folksong.audio.decode import read_recording
from folksong.audio.guarded import DaskWorkers
from folksong.audio.log_mel import FeaturePreset, log_mel, read_preset
from folksong.audio.workers import Guard, Workers
from folksong.errors import AudioError, FolksongError, printable
from folksong.files import json_bytes, sha256_file
from folksong.shards.format import FOOTER_BYTES, HEADER_BYTES, encode_example
from folksong.shards.index import (
    AUDIO_FORMATS,
    AUDIO_KEY,
    MANIFEST_NAME,
    SCALE_KEY,
    STORAGES,
    TAGS_KEY,
    TRACK_ID_KEY,
    WRITING_NAME,
    ShardFile,
    encode_text,
    write_records,
)
from folksong.stores import Store, brought, is_address, open_store, state_of

Item = TypeVar("Item")

ENCODING_VERSION = 1  # raise it when the same recording would give other bytes
INT16_PEAK = 32767
SECONDS_A_MEGABYTE = 2.0  # of a recording's file, beside the fixed limit: hours of audio take their time
UPLOAD_LIMIT_SECONDS = 6 * 3600.0  # the store's own time limits come first
PROBES_PER_ENDING, PROBE_LIMIT_SECONDS = 8, 20.0

TrackTags = tuple[tuple[str, ...], tuple[float, ...] | None]
"""A track's tags in one database, heaviest first, and their weights (None: the database has none)."""


@dataclass(frozen=True)
class Encoding:
    """How recordings become records: the rate in Hz, the preset of spectrograms (None: waveforms), the storage."""

    sample_rate: int
    preset: FeaturePreset | None
    storage: str


def make_encoding(
    audio_format: str, sample_rate: int, preset: str | FeaturePreset, n_mels: int | None, storage: str
) -> Encoding:
    """Check the settings of a writing and return them."""
    if audio_format not in AUDIO_FORMATS:
        raise FolksongError(f"audio format {audio_format!r}; known are {', '.join(AUDIO_FORMATS)}")
    if storage not in STORAGES:
        raise FolksongError(f"storage {storage!r}; known are {', '.join(STORAGES)}")
    if sample_rate < 1:
        raise FolksongError(f"a sample rate of {sample_rate} Hz; 16000 is usual")
    if audio_format == "waveform":
        return Encoding(sample_rate, None, storage)
    settings = read_preset(preset) if isinstance(preset, str) else preset
    bands = settings.n_mels if n_mels is None else n_mels
    return Encoding(sample_rate, replace(settings, sample_rate=sample_rate, n_mels=bands), storage)


@dataclass(frozen=True, slots=True)
class TaskTrack:
    """A track to write: id, file, and its tags in each database."""

    track_id: str
    path: str
    tags: tuple[TrackTags, ...]


@dataclass(frozen=True, slots=True, order=True)
class TrackProblem:
    """A track that could not be written, or only in part, and why."""

    track_id: str
    path: str
    reason: str

    @classmethod
    def of(cls, track: Track | TaskTrack, reason: str) -> "TrackProblem":
        """Build one in which everything is printable, whatever bytes a file name holds."""
        return cls(printable(track.track_id), printable(track.path), printable(" ".join(reason.split())))


@dataclass(frozen=True)
class ShardResult:
    """What became of a shard: its facts, the tracks left out and those written from damaged files.

    `stamp` is that of the recordings, see `stamp_of`; `inputs_sha256` says which writing it belongs to.
    """

    file: ShardFile
    skipped: tuple[TrackProblem, ...]
    damaged: tuple[TrackProblem, ...]
    stamp: str
    inputs_sha256: str


def encode_track(track: TaskTrack, encoding: Encoding) -> tuple[bytes, str | None]:
    """Return a recording's record, and what the decoder could not read of it (None: nothing is lost)."""
    recording = read_recording(track.path, encoding.sample_rate)
    audio = recording.samples if encoding.preset is None else log_mel(recording.samples, encoding.preset)
    features: dict[str, Sequence[bytes] | npt.NDArray[Any]] = dict(store_audio(audio, encoding.storage))
    for number, (tags, weights) in enumerate(track.tags):
        key = TAGS_KEY if len(track.tags) == 1 else f"{TAGS_KEY}_{number}"
        features[key] = [encode_text(tag) for tag in tags]
        if weights is not None:
            features[f"{key}_weight"] = np.array(weights, np.float32)
    features[TRACK_ID_KEY] = [encode_text(track.track_id)]
    return encode_example(features), recording.damage


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


def write_shard(
    guard: Guard,
    path: Path,
    tracks: Sequence[TaskTrack],
    encoding: Encoding,
    limit_seconds: float,
    inputs_sha256: str,
    is_there: Callable[[], bool],
) -> ShardResult:
    """Write one shard and its index; both appear whole or not at all.

    The guard is told of each recording, which may take `limit_seconds` beside `SECONDS_A_MEGABYTE`; those that it
    refuses are left out.

    Raises:
        _WrittenError: `is_there` says that another process wrote the shard meanwhile.
        FolksongError: the disk is full or not writable.
    """
    skipped: list[TrackProblem] = []
    damaged: list[TrackProblem] = []

    def payloads() -> Iterator[bytes]:
        for track in tracks:
            try:
                payload, damage = _encode_guarded(guard, track, encoding, limit_seconds)
            except AudioError as error:
                skipped.append(TrackProblem.of(track, str(error)))
                continue
            if damage:
                damaged.append(TrackProblem.of(track, damage))
            yield payload
        if is_there():
            raise _WrittenError

    stamp = stamp_of(tracks)
    with threadpool_limits(1):  # matrix products give other last bits with another number of threads
        index = write_records(path, payloads())
    file = ShardFile.of(path.name, index, recordings_sha256(tracks))
    return ShardResult(file, tuple(skipped), tuple(damaged), stamp, inputs_sha256)


class _WrittenError(Exception):
    """Another process has written this shard: what is there is not replaced."""


def note_name(shard: str) -> str:
    """Return where a writing notes that a shard is whole."""
    return f"{WRITING_NAME}/{Path(shard).stem}.json"


def is_written(store: Store, name: str) -> bool:
    """Say whether a writing has noted a shard, or completed the folder."""
    return any(store.size(one) is not None for one in (note_name(name), MANIFEST_NAME))


def put_shard(
    guard: Guard,
    folder: str,
    name: str,
    tracks: Sequence[TaskTrack],
    encoding: Encoding,
    limit_seconds: float,
    inputs_sha256: str,
) -> tuple[str, int]:
    """Write one shard with its index into a folder or an object store, then its note; return name and tracks.

    A worker that slept for long may find that others took its shard, or completed the folder: it leaves that as it is.
    Where they were of another writing, these know by the note's `inputs_sha256` that the shard is none of theirs.

    Raises:
        FolksongError: the disk is full or not writable, or the store refuses.
    """
    store = open_store(folder)
    with suppress(_WrittenError):
        with store.writing(name) as path:
            result = write_shard(
                guard, path, tracks, encoding, limit_seconds, inputs_sha256, partial(is_written, store, name)
            )
            if is_address(folder):
                guard.begin(f"{folder}/{name}", UPLOAD_LIMIT_SECONDS)
        if store.size(MANIFEST_NAME) is None:
            store.put_if_absent(note_name(name), json_bytes(asdict(result)))
    return name, len(tracks)


def _encode_guarded(
    guard: Guard, track: TaskTrack, encoding: Encoding, limit_seconds: float
) -> tuple[bytes, str | None]:
    """Encode a track; whatever its recording provokes is an `AudioError`, so that the others are written.

    Raises:
        AudioError: the recording cannot be used.
        FolksongError: it is in an object store, which does not give it now.
    """
    if track.path in guard.refused:
        raise AudioError(f"{track.path}: {guard.refused[track.path]}")
    guard.begin(track.path, limit_seconds + SECONDS_A_MEGABYTE * _size(track.path) / 1e6)
    with ExitStack() as stack:
        try:
            path = stack.enter_context(brought(track.path))
        except FileNotFoundError as error:
            raise AudioError(f"{track.path}: no such file") from error
        try:
            return encode_track(replace(track, path=path), encoding)
        except AudioError as error:
            raise AudioError(str(error).replace(path, track.path)) from error
        except Exception as error:
            raise AudioError(f"{track.path}: {type(error).__name__}: {error}") from error


def stamp_of(tracks: Iterable[Track | TaskTrack]) -> str:
    """Return a hash of the sizes and times of change of recordings: the same as before means they did not change."""
    digest = hashlib.sha256()
    for track in tracks:
        try:
            n_bytes, changed_ns = state_of(track.path)
            digest.update(f"{n_bytes} {changed_ns}\n".encode())
        except OSError:
            digest.update(b"-\n")
    return digest.hexdigest()


def recordings_sha256(tracks: Iterable[Track | TaskTrack]) -> str:
    """Return a hash of the content of recordings, wherever they lie; those that cannot be read count as empty."""
    digest = hashlib.sha256()
    for track in tracks:
        try:
            with brought(os.fspath(track.path)) as path:
                digest.update(sha256_file(path).encode())
        except FileNotFoundError:
            digest.update(b"-" * 64)
        except (OSError, FolksongError):
            if is_address(track.path):  # the store does not answer: nothing is known
                raise
            digest.update(b"-" * 64)
    return digest.hexdigest()


@dataclass(frozen=True)
class Cost:
    """What a writing takes, judging from `n_tried` recordings: bytes of the records, seconds of the clock."""

    record_bytes: float
    seconds: float
    n_tried: int


def estimate_write(
    tracks: Sequence[TaskTrack], n_tracks: int, encoding: Encoding, workers: Workers | DaskWorkers
) -> Cost | None:
    """Return what writing `n_tracks` tracks will take, or None if that cannot be told.

    A few recordings of each file ending are encoded; bytes and seconds grow with the size of the file. `tracks` may be
    a sample (`spread` takes one); the sizes of these files are looked up.
    """
    by_ending: dict[str, list[TaskTrack]] = defaultdict(list)
    for track in tracks:
        by_ending[_ending(track)].append(track)
    tasks = [(track, encoding) for group in by_ending.values() for track in spread(group, PROBES_PER_ENDING)]
    tried: dict[str, list[list[float]]] = defaultdict(list)
    for ending, *costs in filter(None, workers.map(_try, tasks)):
        tried[ending].append(costs)
    if not tried:
        return None
    n_bytes = seconds = 0.0
    for ending, probes in tried.items():
        size = sum(_size(track.path) for track in by_ending[ending])
        file_bytes, record_bytes, durations = np.array(probes).T
        n_bytes += size * record_bytes.sum() / file_bytes.sum()
        seconds += size * float(np.median(durations / file_bytes))  # the first of all is slow
    factor = n_tracks / sum(len(by_ending[ending]) for ending in tried)
    return Cost(n_bytes * factor, seconds * factor / workers.jobs, sum(map(len, tried.values())))


def _try(guard: Guard, track: TaskTrack, encoding: Encoding) -> tuple[str, int, int, float] | None:
    """Return ending, bytes of the file and of the record, and seconds of the work; None for a broken recording."""
    begin = time.perf_counter()
    try:
        payload, _ = _encode_guarded(guard, track, encoding, PROBE_LIMIT_SECONDS)
    except AudioError:
        return None
    seconds = time.perf_counter() - begin
    return _ending(track), max(_size(track.path), 1), len(payload) + HEADER_BYTES + FOOTER_BYTES, seconds


def _ending(track: TaskTrack) -> str:
    return Path(track.path).suffix.lower()


def free_bytes(folder: str | os.PathLike[str]) -> int:
    """Return the free bytes on the disk where `folder` is or will be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many items, evenly spaced."""
    if len(items) <= most:
        return list(items)
    return [items[number * len(items) // most] for number in range(most)]


def _size(path: str) -> int:
    try:
        return state_of(path)[0]
    except OSError:
        return 0
