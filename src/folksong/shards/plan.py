"""What a writing puts into which file: a pure function of tracks, tags, settings and seed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from folksong.audio.log_mel import FeaturePreset, read_preset
from folksong.errors import FileFormatError, FolksongError
from folksong.files import read_json
from folksong.shards.index import index_path
from folksong.shards.manifest import AUDIO_FORMATS, STORAGES
from folksong.shards.window_positions import Indices
from folksong.shards.work import (
    ENCODING_VERSION,
    Encoding,
    ShardResult,
    ShardTask,
    TaskTrack,
    TrackProblem,
    TrackTags,
)
from folksong.tags.table import TagTable

if TYPE_CHECKING:
    from folksong.audio.catalogue import Track

WRITING_NAME = ".writing"
TRACKS_PER_FILE = 500
FEWEST_FILES, MOST_FILES = 8, 1000  # of a writing that does not say; fewest: so that several cores have work


def make_encoding(
    audio_format: str, sample_rate: int, preset: str | FeaturePreset, n_mels: int | None, storage: str
) -> Encoding:
    """Check the settings of a writing and return them.

    Raises:
        FolksongError: one of them is unknown or out of range.
    """
    if audio_format not in AUDIO_FORMATS:
        raise FolksongError(f"audio format {audio_format!r}; known are {', '.join(AUDIO_FORMATS)}")
    if storage not in STORAGES:
        raise FolksongError(f"storage {storage!r}; known are {', '.join(STORAGES)}")
    if sample_rate < 1:
        raise FolksongError(f"a sample rate of {sample_rate} Hz; 16000 is usual")
    if audio_format == "waveform":
        return Encoding(sample_rate, None, storage)
    settings = read_preset(preset) if isinstance(preset, str) else preset
    return Encoding(
        sample_rate,
        replace(settings, sample_rate=sample_rate, n_mels=settings.n_mels if n_mels is None else n_mels),
        storage,
    )


@dataclass(frozen=True)
class Plan:
    """What goes into which file.

    Args:
        folder: of the shards.
        tracks: without duplicates.
        duplicates: tracks left out for their id.
        tables: one a tag database.
        encoding: how recordings become records.
        order: for each file the numbers of its tracks.
        seed: of that order.
        tags_sha256: hash of each table.
        fingerprint: hash of ids, tags, settings and seed; `paths` of where the recordings are.
    """

    folder: Path
    tracks: Sequence[Track]
    duplicates: tuple[TrackProblem, ...]
    tables: Sequence[TagTable]
    encoding: Encoding
    order: Sequence[Indices]
    seed: int
    tags_sha256: tuple[str, ...]
    fingerprint: str
    paths: str

    @property
    def audio_format(self) -> str:
        return AUDIO_FORMATS[0] if self.encoding.preset is None else AUDIO_FORMATS[1]

    @property
    def n_files(self) -> int:
        return len(self.order)

    @property
    def state(self) -> Path:
        return self.folder / WRITING_NAME

    def file(self, number: int) -> Path:
        return self.folder / f"{self.audio_format}_{number}.tfrecord"

    def result_path(self, number: int) -> Path:
        return self.state / f"{self.file(number).stem}.json"

    def result(self, number: int) -> ShardResult | None:
        """Return what became of a file, or None if it is still to be written."""
        path = self.result_path(number)
        if not path.exists():
            return None
        try:
            content = read_json(path)
            for key in ("skipped", "damaged"):
                content[key] = tuple(TrackProblem(**problem) for problem in content[key])
            result = ShardResult(**content)
            whole = self.file(number).stat().st_size == result.n_bytes
        except (FileFormatError, OSError, KeyError, TypeError, AttributeError):
            return None
        return result if whole and index_path(self.file(number)).exists() else None

    def task_track(self, position: int) -> TaskTrack:
        track = self.tracks[position]
        tags = zip(self.tables, self._weighted, strict=True)
        return TaskTrack(
            track.track_id,
            os.fspath(track.path),
            tuple(_tags_of(table, track.track_id, weighted=weighted) for table, weighted in tags),
        )

    @cached_property
    def _weighted(self) -> tuple[bool, ...]:
        """For each table whether it has weights at all: a source without any gives 1 to each pair."""
        return tuple(bool((table.weights.data != 1).any()) for table in self.tables)

    @cached_property
    def n_untagged(self) -> int:
        """Number of tracks that no table gives a tag."""
        counts = [(table.track_index, np.diff(table.weights.indptr)) for table in self.tables]
        return sum(
            all(track.track_id not in rows or not n_tags[rows[track.track_id]] for rows, n_tags in counts)
            for track in self.tracks
        )

    def note(self, number: int) -> Path:
        """Return the file that names the track at hand while a shard is written."""
        return self.state / f"{self.file(number).stem}.now"

    def task(self, number: int, refused: Mapping[str, str], limit_seconds: float | None) -> ShardTask:
        """Return all that one shard is made of."""
        tracks = tuple(self.task_track(int(position)) for position in self.order[number - 1])
        return ShardTask(self.file(number), tracks, self.encoding, refused, self.note(number), limit_seconds)


def make_plan(
    tracks: Iterable[Track],
    tables: Sequence[TagTable],
    folder: Path,
    encoding: Encoding,
    n_files: int | None,
    seed: int,
) -> Plan:
    """Check the inputs of a writing and deal the tracks out to the files.

    Raises:
        FolksongError: there are no tracks, or `n_files` is not positive.
    """
    kept, duplicates = _without_duplicates(tracks)
    if not kept:
        raise FolksongError("there are no tracks to write: the catalogue or folder is empty")
    wanted = max(FEWEST_FILES, -(-len(kept) // TRACKS_PER_FILE)) if n_files is None else n_files
    if wanted < 1:
        raise FolksongError(f"the number of files must be 1 or more, not {n_files}")
    n_files = min(wanted, len(kept), MOST_FILES if n_files is None else wanted)
    order = np.array_split(np.random.default_rng(seed).permutation(len(kept)), n_files)
    tags_sha256 = tuple(table.sha256() for table in tables)
    settings = {
        "version": ENCODING_VERSION,
        "encoding": asdict(encoding),
        "n_files": n_files,
        "seed": seed,
        "tags": list(tags_sha256),
    }
    digest, paths = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()), hashlib.sha256()
    for track in kept:
        digest.update(f"{track.track_id}\0".encode("utf-8", "surrogatepass"))
        paths.update(f"{os.fspath(track.path)}\0".encode("utf-8", "surrogatepass"))
    return Plan(
        folder,
        kept,
        duplicates,
        tables,
        encoding,
        order,
        seed,
        tags_sha256,
        digest.hexdigest(),
        paths.hexdigest(),
    )


def _without_duplicates(tracks: Iterable[Track]) -> tuple[list[Track], tuple[TrackProblem, ...]]:
    first: dict[str, Track] = {}
    duplicates = []
    for track in tracks:
        if track.track_id in first:
            reason = f"the track id occurs twice; {os.fspath(first[track.track_id].path)} is taken"
            duplicates.append(TrackProblem.of(TaskTrack(track.track_id, os.fspath(track.path), ()), reason))
        else:
            first[track.track_id] = track
    return list(first.values()), tuple(duplicates)


def _tags_of(table: TagTable, track_id: str, *, weighted: bool) -> TrackTags:
    pairs = table.tags_of(track_id)
    return TrackTags(
        tuple(tag for tag, _ in pairs), tuple(weight for _, weight in pairs) if weighted else None
    )
