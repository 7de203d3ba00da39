"""Writing a folder of TFRecord shards: by any number of processes, stopped and continued at will, the same bytes.

Tracks are shuffled by the seed and dealt out to the files. While a writing is under way the folder holds
``.writing/``: the plan, and a note of each finished shard. Each shard appears whole or not at all; ``skipped.csv``,
``damaged.csv`` and at last ``manifest.json`` follow when all are there. Running the same command again continues.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from pathlib import Path

import numpy as np
from tqdm import tqdm

from folksong.audio.catalogue import Track
from folksong.audio.log_mel import FeaturePreset
from folksong.audio.workers import Workers, n_processes, stoppable
from folksong.errors import FolksongError
from folksong.files import locked, read_json, write_csv, write_json
from folksong.recordings import some_of
from folksong.shards.encoding import (
    estimate_write,
    free_bytes,
    make_encoding,
    recordings_sha256,
    spread,
    stamp_of,
    write_shard,
)
from folksong.shards.index import MANIFEST_NAME, WRITING_NAME, Manifest, index_path
from folksong.shards.plan import Plan, make_plan
from folksong.shards.reader import CHECKED_NAME, read_checked, remember_checked
from folksong.tags.sources.read_tags import as_table
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Tags = TagTable | str | os.PathLike[str]

PLAN_NAME, SKIPPED_NAME, DAMAGED_NAME = "plan.json", "skipped.csv", "damaged.csv"
RECORDINGS_KEY = "recordings"  # in CHECKED_NAME: the stamps of what went into each file
REMEDY = "choose another folder, or overwrite them"
TRACK_LIMIT_SECONDS = 60.0
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
    numbers = _range(start_stop, plan.n_files)
    if not overwrite and (finished := _finished(plan)) is not None:
        return finished
    with stoppable(), _reserved(plan, numbers, overwrite=overwrite):
        _write_files(plan, numbers, n_processes(jobs), limit_seconds, check_disk, progress)
        return _finish(plan)


def _finished(plan: Plan) -> Manifest | None:
    """Return the folder's manifest if all of the plan is written already, from these very recordings."""
    folder = plan.folder
    if not (folder / MANIFEST_NAME).exists():
        _refuse_foreign(folder)
        return None
    manifest = Manifest.read(folder)
    if manifest.provenance.get("inputs_sha256") != plan.fingerprint:
        raise FolksongError(f"{folder}: holds shards of other tracks, tags or settings; {REMEDY}")
    known = read_checked(folder).get(RECORDINGS_KEY, {})
    stamps: dict[str, str] = {}
    changed = []
    for number, file in enumerate(manifest.files, 1):
        tracks = plan.tracks_of(number)
        stamps[file.name] = stamp_of(tracks)
        if stamps[file.name] != known.get(file.name) and file.recordings_sha256 != recordings_sha256(tracks):
            changed.append(file.name)
    if changed:
        raise FolksongError(
            f"{folder}: recordings have changed since these shards were written, namely some of {some_of(changed)}; "
            f"{REMEDY}"
        )
    remember_checked(folder, {RECORDINGS_KEY: stamps})
    logger.info("%s: these shards are written already; nothing to do", folder)
    return manifest


def _refuse_foreign(folder: Path) -> None:
    """Leave a place alone that holds something else than an unfinished writing."""
    if folder.exists() and not folder.is_dir():
        raise FolksongError(f"{folder}: is a file; shards need a folder of their own")
    if not folder.is_dir() or (folder / WRITING_NAME / PLAN_NAME).exists():
        return
    others = sorted(
        path.name
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name not in (SKIPPED_NAME, DAMAGED_NAME)
    )
    if others:
        raise FolksongError(
            f"{folder}: holds files of something else ({some_of(others)}); shards need a folder of their own"
        )


@contextmanager
def _reserved(plan: Plan, numbers: range, *, overwrite: bool) -> Iterator[None]:
    """Make the folder ready for these files of the plan, and keep other processes from them."""
    own = plan.state / f"files_{numbers.start}_{numbers.stop - 1}.lock"
    busy = "another process writes these shards; wait until it has ended"
    if overwrite and not (plan.folder / MANIFEST_NAME).exists():
        _refuse_foreign(plan.folder)
    with ExitStack() as stack:
        with locked(plan.state / "folder.lock"):
            for path in plan.state.glob("files_*.lock"):
                first, last = map(int, path.stem.split("_")[1:])
                if overwrite or (first < numbers.stop and numbers.start <= last):
                    with locked(path, busy):
                        path.unlink()
            if overwrite:
                _clear(plan.folder)
            _require_same_plan(plan)
            stack.enter_context(locked(own, busy))
        yield


def _require_same_plan(plan: Plan) -> None:
    """Note the plan, or compare it with that of the writing that is continued."""
    state = {
        "inputs_sha256": plan.fingerprint,
        "paths_sha256": plan.paths,
        "files": [plan.file(number).name for number in range(1, plan.n_files + 1)],
    }
    path = plan.state / PLAN_NAME
    if not path.exists():
        write_json(path, state)
    elif read_json(path) != state:
        raise FolksongError(
            f"{plan.folder}: holds an unfinished writing of other tracks, tags or settings; finish that one with its "
            f"own command, or {REMEDY}"
        )


def _clear(folder: Path) -> None:
    """Remove what an earlier writing left, and nothing else.

    The manifest goes first, so that no half-removed folder looks whole; locks stay.
    """
    names: list[str] = []
    if (folder / MANIFEST_NAME).exists():
        names += [file.name for file in Manifest.read(folder).files]
    if (folder / WRITING_NAME / PLAN_NAME).exists():
        names += [Path(name).name for name in read_json(folder / WRITING_NAME / PLAN_NAME)["files"]]
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    for path in [
        *(folder / name for name in (SKIPPED_NAME, DAMAGED_NAME, CHECKED_NAME)),
        *(folder / f"{name}{ending}" for name in names for ending in ("", ".index")),
        *(folder / WRITING_NAME).glob("*.json"),
    ]:
        path.unlink(missing_ok=True)


def _range(start_stop: tuple[int, int] | None, n_files: int) -> range:
    start, stop = (1, n_files) if start_stop is None else start_stop
    if not 1 <= start <= stop <= n_files:
        raise FolksongError(f"files {start} to {stop}: there are files 1 to {n_files}")
    return range(start, stop + 1)


def _write_files(
    plan: Plan, numbers: range, jobs: int, limit_seconds: float, check_disk: bool, progress: bool
) -> None:
    """Write those of these files that are not there yet."""
    todo = [number for number in numbers if not _is_done(plan, number)]
    _tell_about(plan, len(numbers) - len(todo))
    if not todo:
        return
    jobs = min(jobs, len(todo))
    tasks = (
        (plan.file(number), tuple(map(plan.task_track, plan.order[number - 1])), plan.encoding, limit_seconds)
        for number in todo
    )
    n_tracks = sum(len(plan.order[number - 1]) for number in todo)
    try:
        with Workers(jobs, isolated=jobs > 1) as workers:
            if check_disk:
                _require_room(plan, todo, workers)
            with tqdm(total=n_tracks, unit="track", disable=not progress) as bar:
                for result in workers.map(write_shard, tasks):
                    plan.remember(result)
                    bar.update(result.file.n_tracks + len(result.skipped))
    finally:
        _remove_leftovers(plan.folder, [plan.file(number).name for number in todo])


def _is_done(plan: Plan, number: int) -> bool:
    """Say whether a file is there, made of the recordings as they are now."""
    result, tracks = plan.result(number), plan.tracks_of(number)
    return result is not None and (
        result.stamp == stamp_of(tracks) or result.file.recordings_sha256 == recordings_sha256(tracks)
    )


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
    """Say what the files still to be written will take."""
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
    if (plan.folder / MANIFEST_NAME).exists():  # the writer of other files was the last
        return Manifest.read(plan.folder)
    results = [result for number in range(1, plan.n_files + 1) if (result := plan.result(number)) is not None]
    skipped = sorted([*plan.duplicates, *(problem for result in results for problem in result.skipped)])
    damaged = sorted(problem for result in results for problem in result.damaged)
    manifest = Manifest(
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
    for name, problems in ((SKIPPED_NAME, skipped), (DAMAGED_NAME, damaged)):
        write_csv(plan.folder / name, ("track_id", "path", "reason"), map(astuple, problems))
    if manifest.n_tracks == 0:
        shutil.rmtree(plan.state, ignore_errors=True)
        for number in range(1, plan.n_files + 1):
            plan.file(number).unlink()
            index_path(plan.file(number)).unlink()
        raise FolksongError(
            f"none of the {len(plan.tracks)} tracks could be read; the first: {skipped[0].reason}"
        )
    manifest.write(plan.folder)
    remember_checked(plan.folder, {RECORDINGS_KEY: {result.file.name: result.stamp for result in results}})
    shutil.rmtree(plan.state, ignore_errors=True)
    return manifest
