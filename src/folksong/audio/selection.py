"""Which of the measured files become tracks, and why the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from folksong.audio.measure import FileFacts
from folksong.audio.msd import TrackList, seven_digital_id
from folksong.errors import FolksongError, nearest
from folksong.recordings import track_id_of

DUPLICATE_KINDS = ("list", "file", "audio")


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

    def reasons(self) -> list[tuple[str, int]]:
        """Return each reason with its number of files, the most frequent first."""
        return sorted(
            Counter(file.reason for file in self.dropped).items(), key=lambda pair: (-pair[1], pair[0])
        )


@dataclass
class _Progress:
    """The files still in the running, and those out of it."""

    kept: list[Kept]
    dropped: list[DroppedFile] = field(default_factory=list)

    def drop(self, file: Kept, reason: str, detail: str) -> None:
        self.dropped.append(DroppedFile(file.facts.path, file.track_id, reason, detail))


def select(
    facts: Iterable[FileFacts],
    filters: Filters | None = None,
    *,
    track_list: TrackList | None = None,
    mismatches: Collection[str] = (),
    duplicates: Sequence[Sequence[str]] = (),
) -> Selection:
    """Decide which files become tracks.

    A file is dropped for the first reason of: not decodable, damaged, too small, too short, too much silence, not in
    the track list, mismatched, another file of the same track, then the kinds of duplicates. Of duplicates the first by
    path stays (by list: the first that the list names).

    Args:
        facts: measured files.
        filters: what to keep; None keeps all that decodes.
        track_list: gives files with 7digital names their track ids; others are dropped. Without it, the track id is
            the path without its extension.
        mismatches: track ids to drop.
        duplicates: groups of track ids that are the same song, for the kind `list`.

    Raises:
        FolksongError: duplicates by list are to be dropped, but there is no list.
    """
    filters = filters or Filters()
    if "list" in filters.drop_duplicates and not duplicates:
        raise FolksongError("dropping duplicates by list needs the list (--duplicates msd_duplicates.txt)")
    state = _Progress([])
    for file in sorted(facts, key=lambda entry: entry.path):
        named = _identify(file, track_list)
        fault = _fault(file, filters) or _unknown(named, track_list, mismatches)
        if fault:
            state.drop(named, *fault)
        else:
            state.kept.append(named)
    _drop_same_track(state)
    if "list" in filters.drop_duplicates:
        _drop_listed(state, duplicates)
    for kind, attribute in (("file", "file_sha256"), ("audio", "audio_sha256")):
        if kind in filters.drop_duplicates:
            _drop_same(state, f"same {kind}", attribute)
    return Selection(tuple(state.kept), tuple(sorted(state.dropped, key=lambda file: file.path)))


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


def _drop_same_track(state: _Progress) -> None:
    first: dict[str, Kept] = {}
    for file in state.kept:
        if file.track_id in first:
            state.drop(file, "same track", f"{first[file.track_id].facts.path} has the same track id")
        else:
            first[file.track_id] = file
    state.kept = list(first.values())


def _drop_listed(state: _Progress, duplicates: Sequence[Sequence[str]]) -> None:
    present = {file.track_id for file in state.kept}
    stays: dict[str, str] = {}
    for group in duplicates:
        members = [track_id for track_id in group if track_id in present and track_id not in stays]
        stays.update((track_id, members[0]) for track_id in members)
    kept = []
    for file in state.kept:
        if stays.get(file.track_id, file.track_id) == file.track_id:
            kept.append(file)
        else:
            state.drop(file, "listed duplicate", f"{stays[file.track_id]} is the same song")
    state.kept = kept


def _drop_same(state: _Progress, reason: str, attribute: str) -> None:
    first: dict[str, Kept] = {}
    for file in state.kept:
        key: str = getattr(file.facts, attribute)
        if key in first:
            state.drop(file, reason, f"{first[key].facts.path} holds the same")
        else:
            first[key] = file
    state.kept = list(first.values())
