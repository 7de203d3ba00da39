"""Writing a folder of TFRecord shards: by any number of processes, stopped and continued at will, the same bytes.

Tracks are shuffled by the seed and dealt out to the files. The same command, given any number of times on any number of
machines, shares the files out by claims (`folksong.claims`). While a writing is under way the folder, on disk or in an
object store, holds ``.writing/``: the plan, claims, and a note of each finished shard, put when shard and index are
there whole. ``skipped.csv``, ``damaged.csv`` and at last ``manifest.json`` follow when all are.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from tqdm import tqdm

from folksong.audio.catalogue import Track
from folksong.audio.guarded import DaskWorkers, open_workers
from folksong.audio.log_mel import FeaturePreset
from folksong.audio.workers import Workers, n_processes, stop_if_asked, stoppable
from folksong.claims import ENDING, FINISH, SECONDS_BETWEEN_LOOKS, Claims, in_turn
from folksong.errors import FolksongError, some_of
from folksong.files import json_bytes, remove_leftovers, write_csv
from folksong.shards.encoding import (
    ShardResult,
    estimate_write,
    free_bytes,
    is_written,
    make_encoding,
    note_name,
    put_shard,
    recordings_sha256,
    spread,
    stamp_of,
)
from folksong.shards.index import MANIFEST_NAME, WRITING_NAME, Manifest, index_path
from folksong.shards.plan import Plan, make_plan
from folksong.shards.reader import CHECKED_NAME, read_checked, remember_checked
from folksong.stores import Store, is_address, open_store
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

PLAN_NAME, SKIPPED_NAME, DAMAGED_NAME = f"{WRITING_NAME}/plan.json", "skipped.csv", "damaged.csv"
RECORDINGS_KEY = "recordings"  # in CHECKED_NAME: the stamps of what went into each file
REMEDY = "choose another folder, or overwrite them"
ANOTHER_BEGUN = f"another writing was begun here while this one slept or was cut off; {REMEDY}"
REMOVE = "remove"  # in a plan: the files of the writing that it replaces, until they are gone
TRACK_LIMIT_SECONDS = 60.0
SIZES_LOOKED_AT = 1000
SAFETY = 1.03  # indexes, and recordings unlike those tried
READ_AT_ONCE = 16
_RESULT = TypeAdapter(ShardResult)


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
    worker: tuple[int, int] | None = None,
    jobs: int = -1,
    dask: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    check_disk: bool = True,
    limit_seconds: float = TRACK_LIMIT_SECONDS,
    progress: bool = False,
) -> Manifest:
    """Encode recordings and their tags into a folder of TFRecord shards; continue a writing, or join one under way.

    Args:
        tracks: what to write (`folksong.audio.catalogue`); of a track id that occurs twice the first is taken.
        out: the folder of shards, or its address in an object store (`folksong.stores`).
        tags: a tag table or where it is, or several: then records hold ``tags_0``, ``tags_1``, …
        audio_format: ``waveform`` or ``log-mel-spectrogram``.
        sample_rate: Hz.
        preset: name or settings of the spectrograms; its sample rate gives way to `sample_rate`.
        n_mels: mel bands; None takes the preset's.
        storage: ``float32`` (TensorFlow reads it), ``float16`` or ``int16`` (half the disk).
        n_files: number of shards; None chooses by the number of tracks.
        start_stop: write only these files, from 1, both included; whoever writes the last one completes the folder.
        worker: this is worker I of N, from 1: it begins with its N-th part of the files, and then helps with the rest.
        jobs: processes; -1 is one a core. With 1 the work happens in this process.
        dask: address of a Dask scheduler, whose workers take the place of `jobs`.
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
    plan = make_plan(tracks, _tables(tags), encoding, n_files, seed)
    numbers = in_turn(_range(start_stop, plan.n_files), worker)
    store = open_store(out)
    with stoppable(), Claims(store, WRITING_NAME) as claims:
        if not overwrite and (finished := _finished(plan, store, claims)) is not None:
            return finished
        writing = _Writing(plan, store, claims, overwrite=overwrite)
        while True:
            writing.write(numbers, n_processes(jobs), dask, limit_seconds, check_disk, progress)
            if (manifest := writing.finish()) is not None:
                return manifest


def _tables(tags: Tags | Sequence[Tags] | None) -> list[TagTable]:
    given = [] if tags is None else [tags] if isinstance(tags, TagTable | str | os.PathLike) else tags
    return [as_table(one) for one in given]


def _range(start_stop: tuple[int, int] | None, n_files: int) -> range:
    start, stop = (1, n_files) if start_stop is None else start_stop
    if not 1 <= start <= stop <= n_files:
        raise FolksongError(f"files {start} to {stop}: there are files 1 to {n_files}")
    return range(start, stop + 1)


def _finished(plan: Plan, store: Store, claims: Claims) -> Manifest | None:
    """Return the folder's manifest if all of the plan is written already, from these very recordings."""
    if store.size(MANIFEST_NAME) is None:
        _refuse_foreign(store)
        return None
    manifest = _own_manifest(plan, store)
    known = read_checked(store.folder).get(RECORDINGS_KEY, {})
    stamps: dict[str, str] = {}
    changed = []
    for number, file in enumerate(manifest.files, 1):
        tracks = plan.tracks_of(number)
        stamps[file.name] = stamp_of(tracks)
        if stamps[file.name] != known.get(file.name) and file.recordings_sha256 != recordings_sha256(tracks):
            changed.append(file.name)
    sizes = store.sizes("")
    if damaged := [file.name for file in manifest.files if sizes.get(file.name) != file.n_bytes]:
        raise FolksongError(
            f"{store}: shards are missing, or not as long as they were written: {some_of(damaged)}; repairing them "
            f"keeps their whole records; else {REMEDY}"
        )
    if changed:
        raise FolksongError(
            f"{store}: recordings have changed since these shards were written, namely some of {some_of(changed)}; "
            f"{REMEDY}"
        )
    remember_checked(store.folder, {RECORDINGS_KEY: stamps})
    logger.info("%s: these shards are written already; nothing to do", store)
    if not claims.holders():
        _tidy(store, claims)
    return manifest


def _own_manifest(plan: Plan, store: Store) -> Manifest:
    manifest = Manifest.read(str(store))
    if manifest.provenance.get("inputs_sha256") != plan.fingerprint:
        raise FolksongError(f"{store}: holds shards of other tracks, tags or settings; {REMEDY}")
    return manifest


def _refuse_foreign(store: Store) -> None:
    """Leave a place alone that holds something else than an unfinished writing."""
    if store.is_file():
        raise FolksongError(f"{store}: is a file; shards need a folder of their own")
    if store.size(PLAN_NAME) is not None:
        return
    others = [
        name
        for name in store.names()
        if not name.startswith(".") and name not in (SKIPPED_NAME, DAMAGED_NAME)
    ]
    if others:
        raise FolksongError(
            f"{store}: holds files of something else ({some_of(others)}); shards need a folder of their own"
        )


class _Writing:
    """A plan that is being written into a folder, by this process and perhaps others."""

    def __init__(self, plan: Plan, store: Store, claims: Claims, *, overwrite: bool) -> None:
        """Note the plan, or compare it with that of the writing that is joined or continued."""
        self.plan, self.store, self.claims = plan, store, claims
        self.state = {
            "inputs_sha256": plan.fingerprint,
            "paths_sha256": plan.paths,
            "files": [plan.name(number) for number in range(1, plan.n_files + 1)],
        }
        self.content = json_bytes(self.state)
        if overwrite and (whole := store.size(MANIFEST_NAME)) is None:
            _refuse_foreign(store)
        # Held to the end: between two shards, too, other writings see that this one lives.
        claims.take(f"process-{os.urandom(8).hex()}")
        if overwrite and (whole is not None or self._plan_there() not in (None, self.state)):
            self._refuse_busy()
            store.put(PLAN_NAME, json_bytes(self.state | {REMOVE: self._files_there()}))
        elif not store.put_if_absent(PLAN_NAME, self.content) and self._is_other():
            self._refuse_busy()
            raise FolksongError(
                f"{store}: holds an unfinished writing of other tracks, tags or settings; finish that one with its "
                f"own command, or {REMEDY}"
            )
        self._clear()

    def _plan_there(self) -> dict[str, Any] | None:
        if (found := self.store.read(PLAN_NAME)) is None:
            return None
        with suppress(ValueError):
            plan = json.loads(found.data)
            if isinstance(plan, dict) and all(
                isinstance(plan.get(key, []), list) for key in ("files", REMOVE)
            ):
                return plan
        return {}

    def _is_other(self) -> bool:
        there = self._plan_there()
        return there is not None and there | {REMOVE: None} != self.state | {REMOVE: None}

    def _require_own_plan(self) -> None:
        """Stop a writing that slept so long that another one was begun in its place."""
        found = self.store.read(PLAN_NAME)
        if found is not None and found.data != self.content:
            raise FolksongError(f"{self.store}: {ANOTHER_BEGUN}")

    def _files_there(self) -> list[str]:
        """Return the shards that earlier writings wrote or were to write."""
        plan = self._plan_there() or {}
        names = {*map(str, plan.get("files", ())), *(self._to_remove() or ())}
        if self.store.size(MANIFEST_NAME) is not None:
            names |= {file.name for file in Manifest.read(str(self.store)).files}
        return sorted(names)

    def _to_remove(self) -> list[str] | None:
        """Return the shards that the plan says are to be removed first, None once they are."""
        if (names := (self._plan_there() or {}).get(REMOVE)) is None:
            return None
        return [str(name) for name in names if Path(str(name)).name == name and name.endswith(".tfrecord")]

    def _note(self, number: int) -> str:
        return note_name(self.plan.name(number))

    def _refuse_busy(self) -> None:
        if holders := self.claims.holders():
            raise FolksongError(
                f"{self.store}: another process writes these shards; wait until it has ended ({some_of(holders)})"
            )

    def _clear(self) -> None:
        """Remove what an earlier writing left, and nothing else; the manifest first, so that no half looks whole.

        The plan says what is to be removed until it is: whoever is killed on the way, the same command goes on.
        """
        while self._to_remove() is not None:
            if not self.claims.take(REMOVE):
                time.sleep(SECONDS_BETWEEN_LOOKS)
                stop_if_asked()
                continue
            if (names := self._to_remove()) is not None:  # else whoever had the claim has done it
                for name in (MANIFEST_NAME, SKIPPED_NAME, DAMAGED_NAME, CHECKED_NAME):
                    self.store.delete(name)
                for name in names:
                    for one in (name, index_path(name).name, note_name(name)):
                        self.store.delete(one)
                self.store.put(PLAN_NAME, self.content)
            self.claims.release(REMOVE)

    def write(
        self,
        numbers: Sequence[int],
        jobs: int,
        dask: str | None,
        limit_seconds: float,
        check_disk: bool,
        progress: bool,
    ) -> None:
        """Write those of these files that are not there yet and that nobody else writes, until all are there."""
        joined = self.claims.holders()
        if not joined:  # else the notes are as fresh as ours
            self._forget_changed(numbers)
        todo = self._left(numbers)
        _tell_about(self.plan, str(self.store), len(numbers) - len(todo), joined)
        if not todo:
            return
        jobs = min(jobs, len(todo))
        try:
            with open_workers(jobs, dask, isolated=jobs > 1) as workers:
                if check_disk and not joined and not is_address(str(self.store)):
                    _require_room(self.plan, self.store.folder, todo, workers)
                n_tracks = sum(len(self.plan.order[number - 1]) for number in todo)
                with tqdm(total=n_tracks, unit="track", disable=not progress) as bar:
                    while todo:
                        all_are_others = True
                        for name, n_done in workers.map(put_shard, self._claimed(todo, limit_seconds)):
                            all_are_others = False
                            self.claims.release(Path(name).stem)
                            bar.update(n_done)
                        if all_are_others:
                            time.sleep(SECONDS_BETWEEN_LOOKS)
                            stop_if_asked()
                        todo = self._left(todo)
        finally:
            remove_leftovers(self.store.folder)

    def _forget_changed(self, numbers: Sequence[int]) -> None:
        """Remove the notes of files that are not whole, or made of recordings that have changed since."""
        for number, result in self._results(numbers).items():
            tracks = self.plan.tracks_of(number)
            if result is None or (
                result.stamp != stamp_of(tracks)
                and result.file.recordings_sha256 != recordings_sha256(tracks)
            ):
                self.store.delete(self._note(number))

    def _left(self, numbers: Sequence[int]) -> list[int]:
        """Return those of these files that are still to be written."""
        if self.store.size(MANIFEST_NAME) is not None:
            return []
        there = self.store.sizes(WRITING_NAME)
        return [number for number in numbers if Path(self._note(number)).name not in there]

    def _claimed(self, todo: Sequence[int], limit_seconds: float) -> Iterator[tuple[Any, ...]]:
        """Claim one file after the other, and yield the task of writing it."""
        number_of = {Path(self.plan.name(number)).stem: number for number in todo}
        for task in self.claims.each(
            number_of, lambda task: is_written(self.store, self.plan.name(number_of[task]))
        ):
            name, order = self.plan.name(number_of[task]), self.plan.order[number_of[task] - 1]
            tracks = tuple(map(self.plan.task_track, order))
            self._require_own_plan()
            yield str(self.store), name, tracks, self.plan.encoding, limit_seconds, self.plan.fingerprint

    def _results(self, numbers: Iterable[int]) -> dict[int, ShardResult | None]:
        """Return what became of those files that have a note; None where note or file is not whole."""
        notes, files = self.store.sizes(WRITING_NAME), self.store.sizes("")
        noted = sorted(number for number in numbers if Path(self._note(number)).name in notes)

        def read(number: int) -> ShardResult | None:
            found = self.store.read(self._note(number))
            try:
                result = _RESULT.validate_json(b"" if found is None else found.data)
            except ValueError:
                return None
            name = self.plan.name(number)
            whole = files.get(name) == result.file.n_bytes and index_path(name).name in files
            return result if whole and result.inputs_sha256 == self.plan.fingerprint else None

        with ThreadPoolExecutor(READ_AT_ONCE) as readers:
            return dict(zip(noted, readers.map(read, noted), strict=True))

    def finish(self) -> Manifest | None:
        """Write the lists and the manifest, if every file is there; None if that has to be looked at again."""
        if self.store.size(MANIFEST_NAME) is not None:
            manifest = _own_manifest(self.plan, self.store)
            _tidy(self.store, self.claims)
            return manifest
        found = self._results(range(1, self.plan.n_files + 1))
        if broken := [number for number, result in found.items() if result is None]:
            for number in broken:
                self.store.delete(self._note(number))
            return None
        results = [result for result in found.values() if result is not None]
        if len(results) < self.plan.n_files:
            if self.store.size(MANIFEST_NAME) is not None:  # another process completed the folder meanwhile
                return None
            logger.info(
                "%s: %d of %d files are there; the manifest follows with the last",
                *(self.store, len(results), self.plan.n_files),
            )
            return self._describe(results)
        if not self.claims.take(FINISH):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            stop_if_asked()
            return None
        self._require_own_plan()
        return self._complete(results)

    def _describe(self, results: Sequence[ShardResult]) -> Manifest:
        plan = self.plan
        return Manifest(
            audio_format=plan.audio_format,
            sample_rate=plan.encoding.sample_rate,
            preset=plan.encoding.preset,
            files=tuple(result.file for result in results),
            storage=plan.encoding.storage,
            n_tag_databases=len(plan.tables),
            provenance={
                "inputs_sha256": plan.fingerprint,
                "seed": plan.seed,
                "tags_sha256": list(plan.tags_sha256),
                "n_skipped": len(plan.duplicates) + sum(len(result.skipped) for result in results),
                "n_damaged": sum(len(result.damaged) for result in results),
                "n_untagged": plan.n_untagged,
            },
        )

    def _complete(self, results: Sequence[ShardResult]) -> Manifest:
        manifest, store = self._describe(results), self.store
        skipped = [*self.plan.duplicates, *(problem for result in results for problem in result.skipped)]
        damaged = [problem for result in results for problem in result.damaged]
        for name, problems in ((SKIPPED_NAME, skipped), (DAMAGED_NAME, damaged)):
            with store.writing(name) as path:
                write_csv(path, ("track_id", "path", "reason"), map(astuple, sorted(problems)))
        if manifest.n_tracks == 0:
            self.claims.clear()
            for file in manifest.files:
                store.delete(file.name)
                store.delete(index_path(file.name).name)
            raise FolksongError(
                f"none of the {len(self.plan.tracks)} tracks could be read; the first: {min(skipped).reason}"
            )
        manifest.write(str(store))
        remember_checked(
            store.folder, {RECORDINGS_KEY: {result.file.name: result.stamp for result in results}}
        )
        self.claims.clear()
        return manifest


def _tidy(store: Store, claims: Claims) -> None:
    """Remove what a finished writing has left because it was killed before it had removed all."""
    if not store.sizes(WRITING_NAME):
        return
    claims.remove_dead()
    left = [name for name in store.sizes(WRITING_NAME) if not name.endswith(ENDING)]
    if left and claims.take(FINISH) and store.size(MANIFEST_NAME) is not None:
        claims.clear()


def _tell_about(plan: Plan, folder: str, n_done: int, others: Sequence[str]) -> None:
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
        logger.info("%s: %d of %d files are there already; continuing", folder, n_done, plan.n_files)
    if others:
        logger.info("%s: joining %s", folder, some_of(others))


def _require_room(plan: Plan, folder: Path, todo: Sequence[int], workers: Workers | DaskWorkers) -> None:
    """Say what the files still to be written will take."""
    positions: list[int] = np.concatenate([plan.order[number - 1] for number in todo]).tolist()
    tracks = [plan.task_track(position) for position in spread(positions, SIZES_LOOKED_AT)]
    cost = estimate_write(tracks, len(positions), plan.encoding, workers)
    if cost is None:
        return
    free = free_bytes(folder)
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
            f"{folder}: the disk is too small: the shards need about {needed}, and {available} are free. Free "
            f"some space,{half} choose another folder, or write anyway without this check"
        )
