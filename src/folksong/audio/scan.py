"""A tree of recordings -> a catalogue of the good ones, and a report of the others.

Three files are written: the catalogue (`track_id`, `mp3_path`, ... as `folksong.audio.catalogue` reads it), beside it
``<name>.dropped.csv`` (each file left out, with the reason) and ``<name>.files.csv`` (every file's facts). A later scan
into the same catalogue measures only files whose size or time of change is new. What is to be measured is shared out in
parts (`folksong.claims`), and each part's facts are kept: a scan that was stopped, or killed, continues where it was,
and the same scan given several times shares the work. Each process then writes the same files.
"""

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from operator import attrgetter
from pathlib import Path

from tqdm import tqdm

from folksong.audio.catalogue import ROOT_COMMENT
from folksong.audio.file_facts import DEFAULT_THRESHOLD_DB, FileFacts, KnownFiles, measure_file
from folksong.audio.guarded import Outcome, run_guarded
from folksong.audio.msd import MsdLists, TrackList, seven_digital_id
from folksong.audio.workers import n_processes
from folksong.claims import FINISH, SECONDS_BETWEEN_LOOKS
from folksong.errors import PASSING, FolksongError, nearest, printable
from folksong.files import write_csv
from folksong.recordings import track_id_of, walk_recordings
from folksong.stores import is_address, state_of, text_of

logger = logging.getLogger(__name__)

DUPLICATE_KINDS = ("list", "file", "audio")
LIMIT_SECONDS = 300.0
LOOKED_AT_ONCE = 16


@dataclass(frozen=True)
class Filters:
    """What a file must be to be kept; the defaults keep all that decodes.

    Args:
        min_size: bytes.
        min_length: seconds, without the silence at both ends.
        max_total_silence: seconds of silence between the ends, or None for any.
        max_silence: seconds of the longest silence between the ends, or None for any.
        drop_damaged: leave out files that decode in part only.
        drop_duplicates: any of `list` (the dataset's list of duplicates), `file` (same bytes), `audio` (same sound).
    """

    min_size: int = 0
    min_length: float = 0.0
    max_total_silence: float | None = None
    max_silence: float | None = None
    drop_damaged: bool = False
    drop_duplicates: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in ("min_size", "min_length", "max_total_silence", "max_silence"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise FolksongError(f"{name} must not be negative, not {value!r}")
        for kind in self.drop_duplicates:
            if kind not in DUPLICATE_KINDS:
                raise FolksongError(
                    f"no such kind of duplicates: {kind!r}{nearest(kind, DUPLICATE_KINDS)}; "
                    f"there are {', '.join(DUPLICATE_KINDS)}"
                )


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that becomes a track."""

    facts: FileFacts
    track_id: str
    seven_digital: int | None = None
    artist_id: str = ""


@dataclass(frozen=True, slots=True)
class DroppedFile:
    """A file that does not, and why: `reason` is one of few, `detail` tells the particulars."""

    path: str
    track_id: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Selection:
    """The outcome: kept files and dropped ones, both in the order of their paths."""

    kept: tuple[Kept, ...]
    dropped: tuple[DroppedFile, ...]


@dataclass(frozen=True)
class ScanReport:
    """What a scan found: of `n_files` this process read `n_measured`; the others are known by others, or from before.

    `reasons` are (reason, number of files) of those not kept, the most frequent first. Of those kept, `n_damaged`
    can be read only in part, and `n_duplicates` sound like one further up.
    """

    catalogue: Path
    dropped_list: Path
    n_files: int
    n_measured: int
    n_kept: int
    kept_seconds: float
    reasons: tuple[tuple[str, int], ...]
    n_damaged: int
    n_duplicates: int


def scan_tree(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    filters: Filters | None = None,
    *,
    lists: MsdLists | None = None,
    silence_db: float = DEFAULT_THRESHOLD_DB,
    jobs: int = -1,
    dask: str | None = None,
    limit_seconds: float = LIMIT_SECONDS,
    progress: bool = False,
) -> ScanReport:
    """Measure every recording below a folder and write the catalogue of those that pass.

    What was stopped goes on, and the same call in several processes shares the work.

    Args:
        root: the folder, or its address in an object store.
        out: the catalogue to write, a CSV file.
        filters: what to keep; None keeps all that decodes.
        lists: the Million Song Dataset's lists, for a tree of its previews.
        silence_db: frames so far below a recording's loudest are silent, dB.
        jobs: processes; -1 is one a core.
        dask: address of a Dask scheduler, whose workers take the place of `jobs`.
        limit_seconds: a file that takes longer to decode counts as not decodable.
        progress: show a progress bar.

    Raises:
        FolksongError: no recordings, a disk that is full, or no track left (the reports are written).
    """
    if not silence_db > 0:
        raise FolksongError(f"the silence threshold must be above 0 dB, not {silence_db:g}")
    root, catalogue = text_of(root), Path(out)
    place = _place_of(root)
    if not (paths := walk_recordings(root)):
        raise FolksongError(f"{root}: holds no recording; give the folder that holds the audio files")
    known, entries = KnownFiles(catalogue, place, silence_db), list(_stat(root, paths))
    with known.claims as claims:
        n_measured = _measure(known, root, entries, n_processes(jobs), dask, limit_seconds, progress)
        selection = select(facts := known.of(entries), filters, lists)
        reasons = Counter(file.reason for file in selection.dropped).items()
        report = ScanReport(
            catalogue=catalogue,
            dropped_list=catalogue.with_name(f"{catalogue.stem}.dropped.csv"),
            n_files=len(facts),
            n_measured=n_measured,
            n_kept=len(selection.kept),
            kept_seconds=sum(kept.facts.seconds or 0.0 for kept in selection.kept),
            reasons=tuple(sorted(reasons, key=lambda pair: (-pair[1], pair[0]))),
            n_damaged=sum(kept.facts.damage is not None for kept in selection.kept),
            n_duplicates=len(selection.kept) - len({kept.facts.audio_sha256 for kept in selection.kept}),
        )
        kept = map(attrgetter(*_COLUMNS.values()), selection.kept)
        while not claims.take(FINISH):  # another process writes the three files, perhaps by other filters
            time.sleep(SECONDS_BETWEEN_LOOKS)
        write_csv(report.dropped_list, DROPPED_COLUMNS, map(astuple, selection.dropped))
        write_csv(catalogue, tuple(_COLUMNS), kept, comment=f"{ROOT_COMMENT}{place}")
        known.write(facts)
    if not selection.kept:
        raise _nothing_left(root, report)
    return report


def _nothing_left(root: str, report: ScanReport) -> FolksongError:
    causes = ", ".join(f"{count} {reason}" for reason, count in report.reasons)
    return FolksongError(
        f"{root}: no track is left of {report.n_files} files ({causes}); see {report.dropped_list}"
    )


def _stat(root: str, paths: Iterable[str]) -> Iterator[FileFacts]:
    """Yield size and time of change of each file that is (still) there."""

    def look(path: str) -> FileFacts | None:
        with contextlib.suppress(FileNotFoundError):
            return FileFacts(path, *state_of(Path(root, path)))
        return None

    with ThreadPoolExecutor(LOOKED_AT_ONCE) as lookers:  # of an object store each look is a request
        yield from filter(None, lookers.map(look, paths))


def _measure(
    known: KnownFiles,
    root: str,
    entries: Sequence[FileFacts],
    jobs: int,
    dask: str | None,
    limit_seconds: float,
    progress: bool,
) -> int:
    """Measure what is not known, until all is, by this process and others; return how many files this one measured."""
    asked = {entry.path: entry for entry in entries}
    states = {entry.path: [entry.size, entry.mtime_ns] for entry in entries}

    def done() -> set[str]:
        return {entry.path for entry in entries if known.has(entry)}

    def measured(parts: Iterator[Sequence[str]]) -> Iterator[dict[str, FileFacts]]:
        for outcomes in run_guarded(
            measure_file, parts, (root, known.silence_db), jobs=jobs, limit_seconds=limit_seconds, dask=dask
        ):
            yield {outcome.path: _facts_of(outcome, asked[outcome.path], root) for outcome in outcomes}

    n_todo, n_measured = len(entries) - len(done()), 0
    jobs = min(jobs, n_todo)
    logger.info("%s: %d recordings, %d to read", root, len(entries), n_todo)
    with tqdm(total=n_todo, unit="file", disable=not progress, smoothing=0.05) as bar:
        while todo := known.parts.cut(states, done()):
            n_before = n_measured
            for found in known.parts.share(known.claims, todo, measured, known.content, known.is_over):
                known.add(found.values())
                bar.update(len(found))
                n_measured += len(found)
            if n_measured == n_before:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            known.look()
    return n_measured


def _facts_of(outcome: Outcome[FileFacts], entry: FileFacts, root: str) -> FileFacts:
    """Return what was measured as facts of the file that was asked for, also if it has changed meanwhile."""
    if outcome.result is not None:
        return replace(outcome.result, size=entry.size, mtime_ns=entry.mtime_ns)
    logger.warning("%s/%s: %s", root.rstrip("/"), outcome.path, outcome.crash)
    again = PASSING if outcome.crash and outcome.crash.may_pass else ""
    return replace(entry, problem=f"{again}{outcome.crash}")


def select(
    facts: Iterable[FileFacts], filters: Filters | None = None, lists: MsdLists | None = None
) -> Selection:
    """Decide which files become tracks.

    A file is dropped for the first reason of: not decodable, damaged, too small, too short, too much silence, not in
    the track list, mismatched, another file of the same track, then the kinds of duplicates. Of duplicates the first by
    path stays (by list: the first that the list names). A track list gives files with 7digital names their track ids
    and drops the others; without one, the track id is the path without its ending.
    """
    filters, lists = filters or Filters(), lists or MsdLists()
    if "list" in filters.drop_duplicates and not lists.duplicates:
        raise FolksongError("dropping duplicates by list needs the list, the dataset's msd_duplicates.txt")
    kept: list[Kept] = []
    dropped: list[DroppedFile] = []
    mismatches = frozenset(lists.mismatches)
    for entry in sorted(facts, key=lambda entry: entry.path):
        file = _identify(entry, lists.tracks)
        if fault := _fault(entry, filters) or _unknown(file, lists.tracks, mismatches):
            dropped.append(DroppedFile(entry.path, file.track_id, *fault))
        else:
            kept.append(file)
    kept = _first_of_each(kept, dropped, "track_id", "same track", "has the same track id")
    if "list" in filters.drop_duplicates:
        kept = _drop_listed(kept, dropped, lists.duplicates)
    for kind, attribute in (("file", "facts.file_sha256"), ("audio", "facts.audio_sha256")):
        if kind in filters.drop_duplicates:
            kept = _first_of_each(kept, dropped, attribute, f"same {kind}", "holds the same")
    return Selection(tuple(kept), tuple(sorted(dropped, key=lambda file: file.path)))


def _identify(facts: FileFacts, track_list: TrackList | None) -> Kept:
    number = seven_digital_id(facts.path)
    if track_list is None:
        return Kept(facts, track_id_of(facts.path), number)
    found = track_list.find(number) if number is not None else []
    track_id, artist_id = found[0] if found else ("", "")
    return Kept(facts, track_id, number, artist_id)


def _fault(facts: FileFacts, filters: Filters) -> tuple[str, str] | None:
    """Return reason and detail if the file itself is not good enough."""
    if facts.problem is not None:
        return "not decodable", facts.problem
    seconds, silence, longest = facts.effective_seconds, facts.silence_seconds, facts.longest_silence_seconds
    assert seconds is not None
    assert silence is not None
    assert longest is not None
    if filters.drop_damaged and facts.damage is not None:
        return "damaged", facts.damage
    if facts.size < filters.min_size:
        return "too small", f"{facts.size} bytes, fewer than {filters.min_size}"
    if seconds < filters.min_length:
        return "too short", f"{seconds:g} s without silence at the ends, less than {filters.min_length:g} s"
    if filters.max_total_silence is not None and silence > filters.max_total_silence:
        return "too much silence", f"{silence:g} s in all, more than {filters.max_total_silence:g} s"
    if filters.max_silence is not None and longest > filters.max_silence:
        return "silence too long", f"{longest:g} s at a stretch, more than {filters.max_silence:g} s"
    return None


def _unknown(file: Kept, track_list: TrackList | None, mismatches: Collection[str]) -> tuple[str, str] | None:
    """Return reason and detail if the file's track is unknown or known to be wrong."""
    if track_list is not None and not file.track_id:
        if file.seven_digital is None:
            return "not in the track list", "the name holds no 7digital number (1234567.clip.mp3)"
        return "not in the track list", f"no track has the 7digital number {file.seven_digital}"
    if file.track_id in mismatches:
        return "mismatched", f"{file.track_id} is in the list of mismatches"
    return None


def _first_of_each(
    files: Iterable[Kept], dropped: list[DroppedFile], attribute: str, reason: str, detail: str
) -> list[Kept]:
    """Return the first file for each value of `attribute`; the others are dropped."""
    first: dict[str, Kept] = {}
    for file in files:
        same = first.setdefault(attrgetter(attribute)(file), file)
        if same is not file:
            dropped.append(DroppedFile(file.facts.path, file.track_id, reason, f"{same.facts.path} {detail}"))
    return list(first.values())


def _drop_listed(
    files: Sequence[Kept], dropped: list[DroppedFile], duplicates: Sequence[Sequence[str]]
) -> list[Kept]:
    """Return the files without those that the list calls the same song as another that is there."""
    present = {file.track_id for file in files}
    stays: dict[str, str] = {}
    for group in duplicates:
        members = [track_id for track_id in group if track_id in present and track_id not in stays]
        stays.update((track_id, members[0]) for track_id in members)
    others = [file for file in files if stays.get(file.track_id, file.track_id) != file.track_id]
    for file in others:
        detail = f"{stays[file.track_id]} is the same song"
        dropped.append(DroppedFile(file.facts.path, file.track_id, "listed duplicate", detail))
    return [file for file in files if stays.get(file.track_id, file.track_id) == file.track_id]


DROPPED_COLUMNS = ("mp3_path", "track_id", "reason", "detail")
_COLUMNS = {
    "track_id": "track_id",
    "mp3_path": "facts.path",
    "artist_id": "artist_id",
    "track_7digitalid": "seven_digital",
    "file_size": "facts.size",
    "clip_length": "facts.seconds",
    "effective_clip_length": "facts.effective_seconds",
    "mid_silence_length": "facts.silence_seconds",
    "max_silence_length": "facts.longest_silence_seconds",
    "loudest_db": "facts.loudest_db",
    "sample_rate": "facts.sample_rate",
    "channels": "facts.channels",
    "format": "facts.format",
    "file_sha256": "facts.file_sha256",
    "audio_sha256": "facts.audio_sha256",
    "damage": "facts.damage",
    "artist": "facts.artist",
    "album": "facts.album",
    "title": "facts.title",
}
"""Columns of the catalogue: the attribute of `Kept` that each holds."""


def _place_of(root: str) -> str:
    """Return the folder's place as a line of text, which stands at the top of the catalogue."""
    places = [root] if is_address(root) else [str(Path(root).resolve()), str(Path(root).absolute())]
    for place in places:  # a link may have the better name
        if place == printable(place) and len(place.splitlines()) == 1:
            return place
    raise FolksongError(
        f"{printable(root)}: a track list cannot hold this name; rename the folder, or link to it"
    )
