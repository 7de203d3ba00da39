"""Writing a folder of shards: any number of processes, stopped and continued at will, always the same bytes.

Tracks are shuffled by the seed and dealt out to the files. While a writing is under way the folder holds
``.writing/``: the plan, and a note of each finished shard. Each shard appears whole or not at all; ``skipped.csv``,
``damaged.csv`` and at last ``manifest.json`` follow when all are there. Running the same command again continues.
"""

from __future__ import annotations

import csv
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from folksong.audio.log_mel import FeaturePreset
from folksong.audio.workers import n_processes
from folksong.errors import FolksongError
from folksong.files import atomic_write, read_json, write_json
from folksong.shards.crashes import refused_tracks
from folksong.shards.estimate import SIZES_LOOKED_AT, estimate_write, require_room, spread
from folksong.shards.index import index_path
from folksong.shards.manifest import AUDIO_FORMATS, MANIFEST_NAME, Manifest, ShardFile
from folksong.shards.plan import WRITING_NAME, Plan, make_encoding, make_plan
from folksong.shards.pool import ProcessDied, run_tasks
from folksong.shards.work import ShardResult, ShardTask, TrackProblem, write_shard
from folksong.tags.table import TagTable

if TYPE_CHECKING:
    from folksong.audio.catalogue import Track

logger = logging.getLogger(__name__)

PLAN_NAME = "plan.json"
SKIPPED_NAME = "skipped.csv"
DAMAGED_NAME = "damaged.csv"
TRACK_LIMIT_SECONDS = 60.0
DEATHS_WITHOUT_CAUSE = 3  # in a row, and nothing finished in between


def write_shards(
    tracks: Iterable[Track],
    out_dir: str | os.PathLike[str],
    tags: TagTable | Sequence[TagTable] | None = None,
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

    The shards' bytes depend on the recordings, tags, settings and seed only. Broken recordings are left out and
    listed with the reason in ``skipped.csv``; those of which a part could be read are written and listed in
    ``damaged.csv``; tracks without tags are written.

    Args:
        tracks: what to write (`folksong.audio.catalogue`); of a track id that occurs twice the first is taken.
        out_dir: the folder; made if missing.
        tags: the tag table, or several: then records hold ``tags_0``, ``tags_1``, …; None writes no tags.
        audio_format: ``waveform`` or ``log-mel-spectrogram``.
        sample_rate: Hz.
        preset: name or settings of the spectrograms; its sample rate gives way to `sample_rate`.
        n_mels: mel bands; None takes the preset's.
        storage: ``float32`` (TensorFlow reads it), ``float16`` or ``int16`` (half the disk).
        n_files: number of shards; None chooses by the number of tracks.
        start_stop: write only the files from the first to the second number, from 1, both included; whoever writes
            the last missing file completes the folder.
        jobs: processes; -1 is one a core.
        seed: of the order of tracks.
        overwrite: replace a folder of shards written from other inputs.
        check_disk: estimate the size first, and refuse if the disk is too small.
        limit_seconds: a recording whose decoding takes longer than this and 2 s a megabyte is left out (with 2 or
            more jobs).
        progress: show a progress bar.

    Returns:
        The manifest; of the files that are there, if `start_stop` leaves some to others.

    Raises:
        FolksongError: nothing can be written (no tracks, a full disk), or the folder holds other shards.
    """
    encoding = make_encoding(audio_format, sample_rate, preset, n_mels, storage)
    tables = [] if tags is None else [tags] if isinstance(tags, TagTable) else list(tags)
    plan = make_plan(tracks, tables, Path(out_dir), encoding, n_files, seed)
    finished = _open_folder(plan, overwrite=overwrite)
    if finished is not None:
        logger.info("%s: these shards are written already; nothing to do", plan.folder)
        return finished
    numbers = _range(start_stop, plan.n_files)
    done = {number: result for number in numbers if (result := plan.result(number)) is not None}
    todo = [number for number in numbers if number not in done]
    _tell_about(plan, len(done))
    if todo:
        jobs = min(n_processes(jobs), len(todo))
        if check_disk:
            _estimate(plan, todo, jobs)
        _write_files(plan, todo, jobs, limit_seconds, progress)
    return _finish(plan)


def _open_folder(plan: Plan, *, overwrite: bool) -> Manifest | None:
    """Make the folder ready for this plan; return its manifest if all is written already.

    Raises:
        FolksongError: it holds other shards.
    """
    folder = plan.folder
    state = {"inputs_sha256": plan.fingerprint, "paths_sha256": plan.paths, "n_files": plan.n_files}
    remedy = "choose another folder, or replace them with --overwrite (overwrite=True)"
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
        for path in [
            *folder.glob(f"{audio_format}_*.tfrecord"),
            *folder.glob(f"{audio_format}_*.tfrecord.index"),
        ]:
            path.unlink()
    for name in (SKIPPED_NAME, DAMAGED_NAME):
        (folder / name).unlink(missing_ok=True)


def _range(start_stop: tuple[int, int] | None, n_files: int) -> range:
    if start_stop is None:
        return range(1, n_files + 1)
    start, stop = start_stop
    if not 1 <= start <= stop <= n_files:
        raise FolksongError(f"files {start} to {stop}: there are files 1 to {n_files}")
    return range(start, stop + 1)


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


def _estimate(plan: Plan, todo: list[int], jobs: int) -> None:
    """Say what the files still to be written will take.

    Raises:
        FolksongError: the disk is too small.
    """
    positions: list[int] = np.concatenate([plan.order[number - 1] for number in todo]).tolist()
    tracks = [plan.task_track(position) for position in spread(positions, SIZES_LOOKED_AT)]
    estimate = estimate_write(tracks, len(positions), plan.encoding, plan.folder, jobs=jobs)
    if estimate is not None:
        logger.info(
            "%d tracks with %d %s: %s", len(positions), jobs, "job" if jobs == 1 else "jobs", estimate
        )
        require_room(estimate, plan.folder, plan.encoding.storage)


def _write_files(plan: Plan, todo: list[int], jobs: int, limit_seconds: float, progress: bool) -> None:
    """Write these files; a recording that takes a process down is found, left out, and the rest goes on."""
    refused = _refused(plan, todo, {}, limit_seconds)
    limit = limit_seconds if jobs > 1 else None
    n_tracks = sum(len(plan.order[number - 1]) for number in todo)
    with tqdm(total=n_tracks, unit="track", disable=not progress) as bar:
        deaths = 0
        while todo:
            n_todo = len(todo)
            _remove_leftovers(plan.folder, [plan.file(number).name for number in todo])
            tasks = ((plan.task(number, refused, limit), plan.result_path(number)) for number in todo)
            try:
                for result in run_tasks(_write_and_note, tasks, jobs=jobs):
                    bar.update(result.n_tracks + len(result.skipped))
            except ProcessDied as error:
                found = _refused(plan, todo, refused, limit_seconds)
                refused |= found
                deaths = 0 if found else deaths + 1
                if deaths == DEATHS_WITHOUT_CAUSE:
                    raise FolksongError(
                        "worker processes are killed from outside, perhaps for want of memory; run the same command "
                        "again to continue, with fewer jobs"
                    ) from error
            todo = [number for number in todo if plan.result(number) is None]
            deaths = 0 if len(todo) < n_todo else deaths
            bar.n = n_tracks - sum(len(plan.order[number - 1]) for number in todo)


def _remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files of these names that a process that died could not remove."""
    for name in names:
        for leftover in folder.glob(f".{name}*.part"):
            leftover.unlink(missing_ok=True)


def _refused(plan: Plan, todo: list[int], refused: dict[str, str], limit_seconds: float) -> dict[str, str]:
    """Return the recordings that crash the decoder, among those at hand in processes that died."""
    noted = [plan.task(number, refused, None) for number in todo if plan.note(number).exists()]
    return refused_tracks(noted, limit_seconds=limit_seconds)


def _write_and_note(task: ShardTask, result_path: Path) -> ShardResult:
    result = write_shard(task)
    write_json(result_path, asdict(result))
    return result


def _finish(plan: Plan) -> Manifest:
    """Write the lists and the manifest, if every file is there."""
    results = [result for number in range(1, plan.n_files + 1) if (result := plan.result(number)) is not None]
    skipped = sorted(
        [*plan.duplicates, *(problem for result in results for problem in result.skipped)],
        key=lambda problem: (problem.track_id, problem.path),
    )
    damaged = sorted(
        (problem for result in results for problem in result.damaged), key=lambda problem: problem.track_id
    )
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
            plan.folder,
            len(results),
            plan.n_files,
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


def _write_problems(path: Path, problems: list[TrackProblem]) -> None:
    with atomic_write(path, "w") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["track_id", "path", "reason"])
        rows.writerows([problem.track_id, problem.path, problem.reason] for problem in problems)
