"""How much disk and time a writing will take, from a few recordings tried and the sizes of the files."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from folksong.errors import FolksongError
from folksong.shards.pool import ProcessDied, run_tasks
from folksong.shards.work import Encoding, Probe, TaskTrack, probe_track

Item = TypeVar("Item")

PROBES_PER_ENDING = 8
SIZES_LOOKED_AT = 1000
SAFETY = 1.03  # indexes, and recordings unlike those tried


@dataclass(frozen=True)
class Estimate:
    """What a writing will take.

    Args:
        n_bytes: of disk.
        seconds: on `jobs` processes.
        free_bytes: on the disk of the output folder.
        n_tried: how many recordings this is measured on.
    """

    n_bytes: int
    seconds: float
    free_bytes: int
    n_tried: int

    def __str__(self) -> str:
        return (
            f"about {readable_bytes(self.n_bytes)} of disk ({readable_bytes(self.free_bytes)} are free) and "
            f"{readable_seconds(self.seconds)}, judging from {self.n_tried} recordings"
        )


def estimate_write(
    tracks: Sequence[TaskTrack],
    n_tracks: int,
    encoding: Encoding,
    out_dir: str | os.PathLike[str],
    *,
    jobs: int,
) -> Estimate | None:
    """Return what writing `n_tracks` tracks will take, or None if that cannot be told.

    A few recordings of each file ending are encoded; bytes and seconds grow with the size of the file.

    Args:
        tracks: all of them, or a sample (`spread` takes one); the sizes of these files are looked up.
        n_tracks: how many there are in all.
        encoding: how recordings become records.
        out_dir: where they go.
        jobs: processes.
    """
    by_ending: dict[str, list[TaskTrack]] = defaultdict(list)
    for track in tracks:
        by_ending[Path(track.path).suffix.lower()].append(track)
    tried = {ending: spread(group, PROBES_PER_ENDING) for ending, group in by_ending.items()}
    tasks = [(track, encoding) for group in tried.values() for track in group]
    try:
        probes = iter(list(run_tasks(probe_track, tasks, jobs=jobs, in_order=True)))
    except ProcessDied:  # one of those tried crashes the decoder: the writing itself finds out which
        return None
    n_bytes = seconds = weight = 0.0
    n_tried = 0
    for ending, group in by_ending.items():
        costs: list[Probe] = [cost for cost in (next(probes) for _ in tried[ending]) if cost is not None]
        file_bytes = sum(cost.file_bytes for cost in costs)
        if not file_bytes:
            continue
        size = sum(_size(track.path) for track in group)
        n_bytes += size * sum(cost.record_bytes for cost in costs) / file_bytes
        seconds += size * median(cost.seconds / cost.file_bytes for cost in costs)  # the first of all is slow
        weight += len(group)
        n_tried += len(costs)
    if not weight:
        return None
    factor = n_tracks / weight
    return Estimate(int(n_bytes * factor), seconds * factor / jobs, free_bytes(out_dir), n_tried)


def require_room(estimate: Estimate, out_dir: str | os.PathLike[str], storage: str) -> None:
    """Refuse a writing that the disk cannot hold.

    Raises:
        FolksongError: too little is free; the message says how much is missing.
    """
    if estimate.n_bytes * SAFETY > estimate.free_bytes:
        half = " store int16 instead of float32 (half the size)," if storage == "float32" else ""
        raise FolksongError(
            f"{out_dir}: the disk is too small: the shards need about {readable_bytes(estimate.n_bytes)}, and "
            f"{readable_bytes(estimate.free_bytes)} are free. Free some space,{half} choose another folder, or write "
            "anyway without this check"
        )


def free_bytes(folder: str | os.PathLike[str]) -> int:
    """Return the free bytes on the disk where `folder` is or will be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def readable_bytes(n_bytes: float) -> str:
    """Return a size for people.

    >>> readable_bytes(1_920_000), readable_bytes(960e9)
    ('1.9 MB', '960.0 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def readable_seconds(seconds: float) -> str:
    """Return a duration for people.

    >>> readable_seconds(42.3), readable_seconds(600), readable_seconds(36_000)
    ('42 s', '10 min', '10.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many items, evenly spaced."""
    if len(items) <= most:
        return list(items)
    return [items[number * len(items) // most] for number in range(most)]


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
