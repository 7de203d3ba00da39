"""Writing a folder of TFRecord shards: by any number of processes, stopped and continued at will, the same bytes.

Tracks are shuffled by the seed and dealt out to the files. While a writing is under way the folder holds
``.writing/``: the plan, and a note of each finished shard. Each shard appears whole or not at all; ``skipped.csv``,
``damaged.csv`` and at last ``manifest.json`` follow when all are there. Running the same command again continues.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from folksong.audio.log_mel import FeaturePreset
from folksong.audio.workers import Workers, ended_by_sigterm, n_processes
from folksong.errors import FolksongError
from folksong.files import atomic_write, read_json, write_json
from folksong.shards.encoding import (
    ENCODING_VERSION,
    Encoding,
    ShardResult,
    TaskTrack,
    TrackProblem,
    TrackTags,
    estimate_write,
    free_bytes,
    make_encoding,
    spread,
    write_shard,
)
from folksong.shards.index import index_path
from folksong.shards.manifest import AUDIO_FORMATS, MANIFEST_NAME, WRITING_NAME, Manifest, ShardFile
from folksong.shards.window_positions import Indices
from folksong.tags.sources.read_tags import as_table
from folksong.tags.table import TagTable

if TYPE_CHECKING:
    from folksong.audio.catalogue import Track

logger = logging.getLogger(__name__)

Tags = TagTable | str | os.PathLike[str]

PLAN_NAME, SKIPPED_NAME, DAMAGED_NAME = "plan.json", "skipped.csv", "damaged.csv"
TRACK_LIMIT_SECONDS = 60.0
TRACKS_PER_FILE = 500
FEWEST_FILES, MOST_FILES = 8, 1000  # of a writing that does not say; fewest: so that several cores have work
SIZES_LOOKED_AT = 1000
SAFETY = 1.03  # indexes, and recordings unlike those tried


def write_shards(
    tracks: Iterable[Track],
    out: str | os.PathLike[str],
    tags: Tags | Sequence[Tags] | None = None,
    *,
    audio_format: str = "waveform",
    sample_rate: int = 16000,
    preset: str | FeaturePreset = "urop2019",
    n_mels: int | None = None,
    storage: str = "float32",
    n_files: int | None = None,
    start_stop: tuple[int, int] | None = None,
    jobs: int = -1,
    seed: int = 0,
    overwrite: bool = False,
    check_disk: bool = True,
    limit_seconds: float = TRACK_LIMIT_SECONDS,
    progress: bool = False,
) -> Manifest:
    """Encode recordings and their tags into a folder of TFRecord shards; continue a writing that was stopped.

    Broken recordings are left out and listed in ``skipped.csv``, damaged ones that were written in ``damaged.csv``.

    Args:
        tracks: what to write (`folksong.audio.catalogue`); of a track id that occurs twice the first is taken.
        out: the folder of shards.
        tags: a tag table or where it is, or several: then records hold ``tags_0``, ``tags_1``, …
        audio_format: ``waveform`` or ``log-mel-spectrogram``.
        sample_rate: Hz.
        preset: name or settings of the spectrograms; its sample rate gives way to `sample_rate`.
        n_mels: mel bands; None takes the preset's.
        storage: ``float32`` (TensorFlow reads it), ``float16`` or ``int16`` (half the disk).
        n_files: number of shards; None chooses by the number of tracks.
        start_stop: write only these files, from 1, both included; whoever writes the last one completes the folder.
        jobs: processes; -1 is one a core. With 1 the work happens in this process.
        seed: of the order of tracks.
        overwrite: replace shards that were written from other inputs.
        check_disk: estimate the size first, and refuse if the disk is too small.
        limit_seconds: a recording that takes longer than this and 2 s a megabyte is left out (2 or more jobs).
        progress: show a progress bar.

    Returns:
        The manifest; of the files that are there, if `start_stop` leaves some to others.

    Raises:
        FolksongError: nothing can be written (no tracks, a full disk), or the folder holds other shards.
    """
    encoding = make_encoding(audio_format, sample_rate, preset, n_mels, storage)
    given = [] if tags is None else [tags] if isinstance(tags, TagTable | str | os.PathLike) else tags
    plan = make_plan(tracks, [as_table(one) for one in given], Path(out), encoding, n_files, seed)
    finished = _open_folder(plan, overwrite=overwrite)
    if finished is not None:
        logger.info("%s: these shards are written already; nothing to do", plan.folder)
        return finished
    numbers = _range(start_stop, plan.n_files)
    with ended_by_sigterm():
        _write_files(
            plan, numbers, n_processes(jobs), limit_seconds, check_disk=check_disk, progress=progress
        )
    return _finish(plan)


@dataclass(frozen=True)
class Plan:
    """What goes into which file: a pure function of tracks, tags, settings and seed.

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

    def remember(self, result: ShardResult) -> None:
        write_json(self.state / f"{Path(result.name).stem}.json", asdict(result))

    def result(self, number: int) -> ShardResult | None:
        """Return what became of a file, or None if it is still to be written."""
        try:
            content = read_json(self.state / f"{self.file(number).stem}.json")
            for key in ("skipped", "damaged"):
                content[key] = tuple(TrackProblem(**problem) for problem in content[key])
            result = ShardResult(**content)
            whole = self.file(number).stat().st_size == result.n_bytes
        except (FolksongError, OSError, KeyError, TypeError, AttributeError):
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

    def task_tracks(self, number: int) -> tuple[TaskTrack, ...]:
        """Return the tracks of a file, in its order."""
        return tuple(self.task_track(position) for position in self.order[number - 1].tolist())

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
    return Plan(
        folder, kept, duplicates, tables, encoding, order, seed, tags_sha256, fingerprint, paths.hexdigest()
    )


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


def _open_folder(plan: Plan, *, overwrite: bool) -> Manifest | None:
    """Make the folder ready for this plan; return its manifest if all is written already.

    Raises:
        FolksongError: it holds other shards.
    """
    folder = plan.folder
    state = {"inputs_sha256": plan.fingerprint, "paths_sha256": plan.paths, "n_files": plan.n_files}
    remedy = "choose another folder, or overwrite them"
    if overwrite:
        _clear(folder)
    if (folder / MANIFEST_NAME).exists():
        manifest = Manifest.read(folder)
        if manifest.provenance.get("inputs_sha256") != plan.fingerprint:
            raise FolksongError(f"{folder}: holds shards of other tracks, tags or settings; {remedy}")
        shutil.rmtree(plan.state, ignore_errors=True)
        return manifest
    if plan.state.is_dir() and (plan.state / PLAN_NAME).exists():
        if read_json(plan.state / PLAN_NAME) != state:
            raise FolksongError(
                f"{folder}: holds an unfinished writing of other tracks, tags or settings; finish that one with "
                f"its own command, or {remedy}"
            )
    elif any(folder.glob("*.tfrecord")):
        raise FolksongError(f"{folder}: holds .tfrecord files of something else; {remedy}")
    else:
        write_json(plan.state / PLAN_NAME, state)
    return None


def _clear(folder: Path) -> None:
    """Remove what an earlier writing left: the manifest first, so that no half-removed folder looks whole."""
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    shutil.rmtree(folder / WRITING_NAME, ignore_errors=True)
    for audio_format in AUDIO_FORMATS:
        for ending in ("tfrecord", "tfrecord.index"):
            for path in folder.glob(f"{audio_format}_*.{ending}"):
                path.unlink()
    for name in (SKIPPED_NAME, DAMAGED_NAME):
        (folder / name).unlink(missing_ok=True)


def _range(start_stop: tuple[int, int] | None, n_files: int) -> range:
    start, stop = (1, n_files) if start_stop is None else start_stop
    if not 1 <= start <= stop <= n_files:
        raise FolksongError(f"files {start} to {stop}: there are files 1 to {n_files}")
    return range(start, stop + 1)


def _write_files(
    plan: Plan, numbers: range, jobs: int, limit_seconds: float, *, check_disk: bool, progress: bool
) -> None:
    """Write those of these files that are not there yet."""
    todo = [number for number in numbers if plan.result(number) is None]
    _tell_about(plan, len(numbers) - len(todo))
    if not todo:
        return
    jobs = min(jobs, len(todo))
    tasks = ((plan.file(number), plan.task_tracks(number), plan.encoding, limit_seconds) for number in todo)
    n_tracks = sum(len(plan.order[number - 1]) for number in todo)
    try:
        with Workers(jobs, isolated=jobs > 1) as workers:
            if check_disk:
                _require_room(plan, todo, workers)
            with tqdm(total=n_tracks, unit="track", disable=not progress) as bar:
                for result in workers.map(write_shard, tasks):
                    plan.remember(result)
                    bar.update(result.n_tracks + len(result.skipped))
    finally:
        _remove_leftovers(plan.folder, [plan.file(number).name for number in todo])


def _tell_about(plan: Plan, n_done: int) -> None:
    """Log what is special about the inputs."""
    if plan.duplicates:
        logger.warning(
            "%d tracks have the id of another one and are left out (%s)", len(plan.duplicates), SKIPPED_NAME
        )
    untagged = plan.n_untagged
    if plan.tables and untagged == len(plan.tracks):
        logger.warning(
            "none of the tracks has tags: tracks are called like %r, in the tag source like %r",
            plan.tracks[0].track_id,
            plan.tables[0].track_ids[0] if len(plan.tables[0]) else "(it has none)",
        )
    elif plan.tables and untagged:
        logger.info("%d of %d tracks have no tags; they are written too", untagged, len(plan.tracks))
    if n_done:
        logger.info("%s: %d of %d files are there already; continuing", plan.folder, n_done, plan.n_files)


def _require_room(plan: Plan, todo: list[int], workers: Workers) -> None:
    """Say what the files still to be written will take.

    Raises:
        FolksongError: the disk is too small; the message says how much is missing.
    """
    positions: list[int] = np.concatenate([plan.order[number - 1] for number in todo]).tolist()
    tracks = [plan.task_track(position) for position in spread(positions, SIZES_LOOKED_AT)]
    cost = estimate_write(tracks, len(positions), plan.encoding, workers)
    if cost is None:
        return
    free = free_bytes(plan.folder)
    needed, available = (tqdm.format_sizeof(n_bytes, "B") for n_bytes in (cost.record_bytes, free))
    logger.info(
        "%d tracks with %d %s: about %s of disk (%s are free) and %s, judging from %d recordings",
        *(len(positions), workers.jobs, "job" if workers.jobs == 1 else "jobs", needed, available),
        *(tqdm.format_interval(cost.seconds), cost.n_tried),
    )
    if cost.record_bytes * SAFETY > free:
        half = (
            " store int16 instead of float32 (half the size)," if plan.encoding.storage == "float32" else ""
        )
        raise FolksongError(
            f"{plan.folder}: the disk is too small: the shards need about {needed}, and {available} are free. Free "
            f"some space,{half} choose another folder, or write anyway without this check"
        )


def _remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove temporary files of these names that a process left when it died, now or in an earlier run."""
    for name in names:
        for leftover in folder.glob(f".{name}*.part"):
            leftover.unlink(missing_ok=True)


def _finish(plan: Plan) -> Manifest:
    """Write the lists and the manifest, if every file is there."""
    results = [result for number in range(1, plan.n_files + 1) if (result := plan.result(number)) is not None]
    skipped = _sorted([*plan.duplicates, *(problem for result in results for problem in result.skipped)])
    damaged = _sorted([problem for result in results for problem in result.damaged])
    manifest = Manifest(
        audio_format=plan.audio_format,
        sample_rate=plan.encoding.sample_rate,
        preset=plan.encoding.preset,
        files=tuple(ShardFile(r.name, r.n_tracks, r.n_bytes, r.sha256) for r in results),
        storage=plan.encoding.storage,
        n_tag_databases=len(plan.tables),
        provenance={
            "inputs_sha256": plan.fingerprint,
            "seed": plan.seed,
            "tags_sha256": list(plan.tags_sha256),
            "n_skipped": len(skipped),
            "n_damaged": len(damaged),
            "n_untagged": plan.n_untagged,
        },
    )
    if len(results) < plan.n_files:
        logger.info(
            "%s: %d of %d files are there; the manifest follows with the last",
            *(plan.folder, len(results), plan.n_files),
        )
        return manifest
    _remove_leftovers(plan.folder, (MANIFEST_NAME, SKIPPED_NAME, DAMAGED_NAME))
    _write_problems(plan.folder / SKIPPED_NAME, skipped)
    _write_problems(plan.folder / DAMAGED_NAME, damaged)
    if manifest.n_tracks == 0:
        shutil.rmtree(plan.state, ignore_errors=True)
        for number in range(1, plan.n_files + 1):
            plan.file(number).unlink()
            index_path(plan.file(number)).unlink()
        raise FolksongError(
            f"none of the {len(plan.tracks)} tracks could be read; the first: {skipped[0].reason}"
        )
    manifest.write(plan.folder)
    shutil.rmtree(plan.state, ignore_errors=True)
    return manifest


def _sorted(problems: list[TrackProblem]) -> list[TrackProblem]:
    return sorted(problems, key=lambda problem: (problem.track_id, problem.path))


def _write_problems(path: Path, problems: list[TrackProblem]) -> None:
    with atomic_write(path, "w") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["track_id", "path", "reason"])
        rows.writerows([problem.track_id, problem.path, problem.reason] for problem in problems)
