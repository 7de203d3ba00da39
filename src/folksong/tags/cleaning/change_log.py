"""The change log of a cleaning: what each original tag became, by which step and why."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from folksong.errors import FolksongError
from folksong.files import atomic_write, read_document, reading
from folksong.tags.cleaning.spelling import Merge
from folksong.tags.sources.read_tags import Tags, as_table

FORMAT = "folksong.changes"
VERSION = 1
ADD_IMPLIED = "add-implied"


@dataclass(frozen=True)
class Change:
    """What one step did to one tag: `before` became `after` (None: it was dropped), and why."""

    step: str
    before: str
    after: str | None
    reason: str


@dataclass(frozen=True)
class StepLog:
    """What one step did: tags by their name before it, and tracks it left out, each with the reason.

    `implied` holds tags and which others the tracks with them got (step add-implied) or lost (drop-implied). `left` are
    the merges that letters propose and the step did not make; it is not written.
    """

    name: str
    tags: Mapping[str, tuple[str | None, str]] = field(default_factory=dict)
    tracks: Mapping[str, str] = field(default_factory=dict)
    implied: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left: tuple[Merge, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class ChangeLog:
    """All steps of a cleaning, in the order they were applied.

    `source` is where the original tags came from, as the user named it, `source_sha256` their `TagTable.sha256`.
    """

    steps: tuple[StepLog, ...] = ()
    source: str = ""
    source_sha256: str = ""

    def changes_of(self, tag: str) -> tuple[Change, ...]:
        """Return the changes that an original tag went through; none if it stayed as it was."""
        changes: list[Change] = []
        name = tag
        for step in self.steps:
            if name in step.tags:
                after, reason = step.tags[name]
                changes.append(Change(step.name, name, after, reason))
                if after is None:
                    break
                name = after
        return tuple(changes)

    def final(self, tag: str) -> str | None:
        """Return what an original tag became; None if it was dropped."""
        changes = self.changes_of(tag)
        return changes[-1].after if changes else tag

    def aliases(self, members: Collection[str]) -> dict[str, str]:
        """Return original tag -> cleaned tag for those that changed and are now one of `members`.

        For a label space's `aliases`: raw strings still find their label.
        """
        wanted = set(members)
        found = {tag: self.final(tag) for tag in self.changed_tags}
        return {
            tag: name for tag, name in found.items() if name is not None and name in wanted and name != tag
        }

    @property
    def changed_tags(self) -> tuple[str, ...]:
        """The names that some step changed or dropped, by code point."""
        return tuple(sorted({name for step in self.steps for name in step.tags}))

    def dropped_track(self, track_id: str) -> tuple[str, str] | None:
        """Return the step that left a track out and why, or None."""
        return next(
            ((step.name, step.tracks[track_id]) for step in self.steps if track_id in step.tracks), None
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the log as JSON, one line a change, so that it can be searched with any tool."""
        steps = []
        for step in self.steps:
            parts = {"tags": step.tags, "tracks": step.tracks, "implied": step.implied}
            lines = [
                f'"{name}": {_entries(part)}' for name, part in parts.items() if part or name != "implied"
            ]
            steps.append(",\n".join([f'\n{{"name": {_json(step.name)}', *lines]) + "}")
        head = {
            "format": FORMAT,
            "version": VERSION,
            "source": self.source,
            "source_sha256": self.source_sha256,
        }
        with atomic_write(path, "w") as stream:
            stream.write(f'{_json(head)[:-1]},\n"steps": [{",".join(steps)}\n]}}\n')

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ChangeLog":
        """Read a change log."""
        content = read_document(path, FORMAT, VERSION, "a change log", "cleaning tags writes them")
        with reading(path, "clean the tags again"):
            return TypeAdapter(cls).validate_python(
                {name: content[name] for name in ("steps", "source", "source_sha256")}
            )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entries(entries: Mapping[str, Any]) -> str:
    return "{" + ",".join(f"\n{_json(name)}: {_json(entry)}" for name, entry in sorted(entries.items())) + "}"


def changes_path(path: str | os.PathLike[str]) -> Path:
    """Return where the change log of a cleaned table lies: beside it."""
    return Path(f"{os.fspath(path)}.changes.json")


@dataclass(frozen=True)
class Origin:
    """An original tag of a track, its weight, what happened to it and what it is now (None: dropped)."""

    tag: str
    weight: float
    changes: tuple[Change, ...]
    became: str | None


def explain(original: Tags, log: ChangeLog, track_id: str, tag: str | None = None) -> tuple[Origin, ...]:
    """Return where a track's tags come from: its original tags, heaviest first.

    Args:
        original: the table before cleaning, or where to read it.
        log: of the cleaning.
        track_id: the track.
        tag: only what became this tag; None tells of all, those that were dropped included.

    Raises:
        FolksongError: the original table has no such track, or none of its tags became `tag`.
    """
    original = as_table(original)
    if track_id not in original.track_index:
        raise FolksongError(f"the source has no track {track_id!r}")
    origins = [Origin(name, weight, (), name) for name, weight in original.tags_of(track_id)]
    for step in log.steps:  # one after another: what a tag implied is logged by the name that it had then
        origins = _with_implied(step, [_renamed(step, origin) for origin in origins])
    if tag is None:
        return tuple(origins)
    found = tuple(origin for origin in origins if origin.became == tag)
    if not found:
        now = sorted({origin.became for origin in origins if origin.became is not None})
        raise FolksongError(
            f"the track {track_id!r} does not carry {tag!r}; its cleaned tags: {', '.join(map(repr, now)) or 'none'}"
        )
    return found


def _renamed(step: StepLog, origin: Origin) -> Origin:
    if origin.became is None or origin.became not in step.tags:
        return origin
    after, reason = step.tags[origin.became]
    return _changed(step, origin, origin.became, after, reason)


def _changed(step: StepLog, origin: Origin, before: str, after: str | None, reason: str) -> Origin:
    return replace(origin, changes=(*origin.changes, Change(step.name, before, after, reason)), became=after)


def _with_implied(step: StepLog, origins: list[Origin]) -> list[Origin]:
    """Return a track's origins after a step of implied tags: what a tag brought is added, what it took is dropped."""
    by = {
        other: origin
        for origin in origins
        if origin.became is not None
        for other in step.implied.get(origin.became, ())
    }
    if step.name == ADD_IMPLIED:
        there = {origin.became for origin in origins}
        added = {other: origin for other, origin in by.items() if other not in there}
        return origins + [
            _changed(step, origin, origin.became or origin.tag, other, "implied")
            for other, origin in added.items()
        ]
    return [
        _changed(step, origin, name, None, f"implied by {by[name].became!r}")
        if (name := origin.became) is not None and name in by
        else origin
        for origin in origins
    ]
