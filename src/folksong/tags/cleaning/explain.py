"""Why a track carries a tag after cleaning: which of its original tags became it, by which steps."""

from __future__ import annotations

from dataclasses import dataclass

from folksong.errors import FolksongError
from folksong.tags.cleaning.change_log import Change, ChangeLog
from folksong.tags.table import TagTable


@dataclass(frozen=True)
class Origin:
    """An original tag of a track, its weight, what happened to it and what it is now (None: dropped)."""

    tag: str
    weight: float
    changes: tuple[Change, ...]
    became: str | None


def explain(original: TagTable, log: ChangeLog, track_id: str, tag: str | None = None) -> tuple[Origin, ...]:
    """Return where a track's tags come from: its original tags, heaviest first.

    Args:
        original: the table before cleaning.
        log: of the cleaning.
        track_id: the track.
        tag: only what became this tag; None tells of all, those that were dropped included.

    Raises:
        FolksongError: the original table has no such track, or none of its tags became `tag`.
    """
    if track_id not in original.track_index:
        raise FolksongError(f"the source has no track {track_id!r}")
    origins = tuple(
        Origin(name, weight, log.changes_of(name), log.final(name))
        for name, weight in original.tags_of(track_id)
    )
    if tag is None:
        return origins
    found = tuple(origin for origin in origins if origin.became == tag)
    if not found:
        now = sorted({origin.became for origin in origins if origin.became is not None})
        raise FolksongError(
            f"the track {track_id!r} does not carry {tag!r}; its cleaned tags: {', '.join(map(repr, now)) or 'none'}"
        )
    return found
