"""The plan of a writing: which track goes into which shard. A pure function of tracks, tags, settings and seed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.shards.encoding import (
    ENCODING_VERSION,
    Encoding,
    TaskTrack,
    TrackProblem,
    TrackTags,
)
from folksong.shards.index import AUDIO_FORMATS
from folksong.stores import text_of
from folksong.tags.table import TagTable

if TYPE_CHECKING:
    from folksong.audio.catalogue import Track

TRACKS_PER_FILE = 500
FEWEST_FILES, MOST_FILES = 8, 1000  # of a writing that does not say; fewest: so that several cores have work


@dataclass(frozen=True)
class Plan:
    """What goes into which file.

    Args:
        tracks: without `duplicates`, which are left out for their id.
        tables: one a tag database; `tags_sha256` are their hashes.
        order: for each file the numbers of its tracks.
        fingerprint: hash of ids, tags, settings and seed; `paths` of where the recordings are.
    """

    tracks: Sequence[Track]
    duplicates: tuple[TrackProblem, ...]
    tables: Sequence[TagTable]
    encoding: Encoding
    order: Sequence[npt.NDArray[np.int64]]
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

    def name(self, number: int) -> str:
        """Return the name of a file, from 1."""
        return f"{self.audio_format}_{number}.tfrecord"

    def tracks_of(self, number: int) -> list[Track]:
        """Return the tracks of a file, in its order."""
        return [self.tracks[position] for position in self.order[number - 1].tolist()]

    def task_track(self, position: int) -> TaskTrack:
        """Return a track with its tags."""
        track = self.tracks[position]
        tags = zip(self.tables, self._weighted, strict=True)
        return TaskTrack(
            track.track_id,
            text_of(track.path),
            tuple(_tags_of(table, track.track_id, weighted=weighted) for table, weighted in tags),
        )

    @cached_property
    def _weighted(self) -> tuple[bool, ...]:
        """For each table whether it has weights at all: a source without any gives 1 to each pair."""
        return tuple(bool((table.weights.data != 1).any()) for table in self.tables)

    @cached_property
    def n_untagged(self) -> int:
        """Number of tracks that no table gives a tag."""
        counts = [(table, np.diff(table.weights.indptr)) for table in self.tables]
        return sum(
            all((row := table.row_of(track.track_id)) is None or not n_tags[row] for table, n_tags in counts)
            for track in self.tracks
        )


def make_plan(
    tracks: Iterable[Track],
    tables: Sequence[TagTable],
    encoding: Encoding,
    n_files: int | None,
    seed: int,
) -> Plan:
    """Check the inputs of a writing and deal the tracks out to the files."""
    kept, duplicates = _without_duplicates(tracks)
    if not kept:
        raise FolksongError("there are no tracks to write: the catalogue or folder is empty")
    if n_files is not None and n_files < 1:
        raise FolksongError(f"the number of files must be 1 or more, not {n_files}")
    n_files = number_of_files(len(kept), n_files)
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
    fingerprint = digest.hexdigest()
    return Plan(kept, duplicates, tables, encoding, order, seed, tags_sha256, fingerprint, paths.hexdigest())


def number_of_files(n_tracks: int, wanted: int | None) -> int:
    """Return into how many files so many tracks go; None wants what suits their number."""
    chosen = min(MOST_FILES, max(FEWEST_FILES, -(-n_tracks // TRACKS_PER_FILE)))
    return max(1, min(n_tracks, chosen if wanted is None else wanted))


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
    return tuple(tag for tag, _ in pairs), tuple(weight for _, weight in pairs) if weighted else None
