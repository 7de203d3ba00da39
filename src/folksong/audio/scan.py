"""A tree of recordings -> a catalogue of the good ones, and a report of the others.

Three files are written: the catalogue (`track_id`, `mp3_path`, ... as `folksong.audio.catalogue` reads it), beside it
``<name>.dropped.csv`` (each file left out, with the reason) and ``<name>.files.csv`` (every file's facts). A later scan
into the same catalogue measures only files whose size or time of change is new. While files are measured, results go
to a journal line by line, so that a scan which was stopped, or killed, continues where it was.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from folksong.audio.catalogue import ROOT_COMMENT
from folksong.audio.known_files import KnownFiles
from folksong.audio.measure import FileFacts, measure_file
from folksong.audio.msd import read_duplicates, read_mismatches, read_track_list
from folksong.audio.selection import Filters, Kept, Selection, select
from folksong.audio.silence import DEFAULT_THRESHOLD_DB
from folksong.audio.workers import n_processes, run_guarded
from folksong.errors import FolksongError
from folksong.files import atomic_write
from folksong.recordings import walk_recordings

logger = logging.getLogger(__name__)

BATCH_BYTES, BATCH_FILES = 16 << 20, 16
LIMIT_SECONDS = 300.0


@dataclass(frozen=True)
class ScanReport:
    """What a scan found.

    Args:
        catalogue: the file of tracks.
        dropped_list: the file of reasons.
        n_files: recordings in the tree.
        n_measured: of these, read now rather than known from an earlier scan.
        n_kept: tracks.
        kept_seconds: their length.
        reasons: (reason, number of files) of the others, the most frequent first.
    """

    catalogue: Path
    dropped_list: Path
    n_files: int
    n_measured: int
    n_kept: int
    kept_seconds: float
    reasons: tuple[tuple[str, int], ...]


def scan_tree(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    filters: Filters | None = None,
    *,
    track_list: str | os.PathLike[str] | None = None,
    mismatches: str | os.PathLike[str] | None = None,
    duplicates: str | os.PathLike[str] | None = None,
    silence_db: float = DEFAULT_THRESHOLD_DB,
    jobs: int = -1,
    limit_seconds: float = LIMIT_SECONDS,
    progress: bool = False,
) -> ScanReport:
    """Measure every recording below a folder and write the catalogue of those that pass.

    Args:
        root: the folder.
        out: the catalogue to write, a CSV file.
        filters: what to keep; None keeps all that decodes.
        track_list: the Million Song Dataset's `track_metadata.db` or `msd_summary_file.h5`: gives 7digital previews
            their track ids, and drops files that are none of its tracks.
        mismatches: its `sid_mismatches.txt`: tracks to drop.
        duplicates: its `msd_duplicates.txt`, for ``drop_duplicates=["list"]``.
        silence_db: frames so far below a recording's loudest are silent, dB.
        jobs: processes; -1 is one a core.
        limit_seconds: a file that takes longer to decode counts as not decodable.
        progress: show a progress bar.

    Raises:
        FolksongError: no recordings, unreadable lists, a disk that is full, or no track left (the reports are written).
    """
    if not silence_db > 0:
        raise FolksongError(f"the silence threshold must be above 0 dB, not {silence_db:g}")
    wrong = read_mismatches(mismatches) if mismatches is not None else frozenset()
    groups = read_duplicates(duplicates) if duplicates is not None else []
    known_tracks = read_track_list(track_list) if track_list is not None else None
    catalogue = Path(out)
    paths = walk_recordings(root)
    if not paths:
        raise FolksongError(f"{root}: holds no recording; give the folder that holds the audio files")
    known = KnownFiles.read(catalogue, silence_db)
    todo = [entry for entry in _stat(Path(root), paths) if not known.has(entry)]
    logger.info("%s: %d recordings, %d to read", root, len(paths), len(todo))
    with known.journal(), tqdm(total=len(todo), unit="file", disable=not progress, smoothing=0.05) as bar:
        for measured in _measure(Path(root), todo, silence_db, n_processes(jobs), limit_seconds):
            known.add(measured)
            bar.update(len(measured))
    facts = known.of(paths)
    selection = select(facts, filters, track_list=known_tracks, mismatches=wrong, duplicates=groups)
    dropped_list = catalogue.with_name(f"{catalogue.stem}.dropped.csv")
    _write_dropped(dropped_list, selection)
    _write_catalogue(catalogue, Path(root), selection)
    known.write(facts)
    report = ScanReport(
        catalogue=catalogue,
        dropped_list=dropped_list,
        n_files=len(facts),
        n_measured=len(todo),
        n_kept=len(selection.kept),
        kept_seconds=sum(kept.facts.seconds or 0.0 for kept in selection.kept),
        reasons=tuple(selection.reasons()),
    )
    if not selection.kept:
        causes = ", ".join(f"{count} {reason}" for reason, count in report.reasons)
        raise FolksongError(
            f"{root}: no track is left of {report.n_files} files ({causes}); see {report.dropped_list}"
        )
    return report


def _stat(root: Path, paths: Iterable[str]) -> Iterator[FileFacts]:
    """Yield size and time of change of each file that is (still) there."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = (root / path).stat()
            yield FileFacts(path, status.st_size, status.st_mtime_ns)


def _measure(
    root: Path, todo: Sequence[FileFacts], silence_db: float, jobs: int, limit_seconds: float
) -> Iterator[list[FileFacts]]:
    """Yield the facts of the files, as they come."""
    if not todo:
        return
    asked = {entry.path: entry for entry in todo}
    arguments = (str(root), silence_db)
    jobs = min(jobs, len(todo))
    for outcomes in run_guarded(
        measure_file, _batches(todo), arguments, jobs=jobs, limit_seconds=limit_seconds
    ):
        found = []
        for outcome in outcomes:
            if outcome.result is not None:
                found.append(outcome.result)
            else:
                entry = asked[outcome.path]
                logger.warning("%s: %s", root / outcome.path, outcome.crash)
                found.append(FileFacts(entry.path, entry.size, entry.mtime_ns, problem=outcome.crash))
        yield found


def _batches(todo: Iterable[FileFacts]) -> Iterator[list[str]]:
    """Cut the work into pieces of a second or so."""
    batch: list[str] = []
    size = 0
    for entry in todo:
        batch.append(entry.path)
        size += entry.size
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_COLUMNS = (
    *(
        "track_id",
        "mp3_path",
        "artist_id",
        "track_7digitalid",
        "file_size",
        "clip_length",
        "effective_clip_length",
    ),
    *("mid_silence_length", "max_silence_length", "loudest_db", "sample_rate", "channels", "format"),
    *("file_sha256", "audio_sha256", "damage"),
)


def _write_dropped(path: Path, selection: Selection) -> None:
    with atomic_write(path, "w") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["mp3_path", "track_id", "reason", "detail"])
        rows.writerows([file.path, file.track_id, file.reason, file.detail] for file in selection.dropped)


def _write_catalogue(path: Path, root: Path, selection: Selection) -> None:
    with atomic_write(path, "w") as stream:
        stream.write(f"{ROOT_COMMENT}{root.resolve()}\n")
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(_COLUMNS)
        rows.writerows(_row(kept) for kept in selection.kept)


def _row(kept: Kept) -> list[Any]:
    facts = kept.facts
    return [
        *(kept.track_id, facts.path, kept.artist_id, kept.seven_digital, facts.size, facts.seconds),
        *(facts.effective_seconds, facts.silence_seconds, facts.longest_silence_seconds, facts.loudest_db),
        *(
            facts.sample_rate,
            facts.channels,
            facts.format,
            facts.file_sha256,
            facts.audio_sha256,
            facts.damage,
        ),
    ]
