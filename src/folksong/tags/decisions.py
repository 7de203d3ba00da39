"""Decisions: what a person who listened says of a track's tags, beside the crowd's table and never over it.

A journal (`folksong.journal`) of lines ``{"track", "label", "tags", "decision", "who", "when"}``. The tags are those
that the label stands for, its first the one that a yes gives to the track; a no takes all of them from it. Of several
decisions on the same track and label the last counts, and ``"open"`` takes them back.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from folksong import journal
from folksong.errors import FileFormatError, FolksongError
from folksong.tags.table import TagTable

KINDS = ("yes", "no", "skip", "open")


@dataclass(frozen=True)
class Decision:
    """What one person says of one track and label.

    Args:
        track: the track id.
        label: the label's name.
        tags: the tags that it stands for, at least one.
        decision: ``"yes"``, ``"no"``, ``"skip"`` (not to be asked again), or ``"open"``.
        who: by whom.
        when: ISO 8601, UTC.
    """

    track: str
    label: str
    tags: tuple[str, ...]
    decision: Literal["yes", "no", "skip", "open"]
    who: str = ""
    when: str = ""

    def __post_init__(self) -> None:
        texts = (self.track, self.label, *self.tags, self.who, self.when)
        if self.decision not in KINDS or not self.tags or not all(isinstance(text, str) for text in texts):
            raise FolksongError(f"no decision: {str(asdict(self))[:200]}")


def decide(path: str | os.PathLike[str], decision: Decision) -> None:
    """Append a decision to a file, made if missing, with the time if it has none; it is on disk then."""
    when = decision.when or datetime.now(UTC).isoformat(timespec="seconds")
    journal.append(path, [{**asdict(decision), "when": when}])


def read_decisions(path: str | os.PathLike[str]) -> tuple[Decision, ...]:
    """Return the decisions of a file that count: of each track and label the last, unless it is open again.

    Raises:
        FolksongError: the file is missing.
        FileFormatError: a line is no decision; the message gives its number.
    """
    last: dict[tuple[str, str], Decision] = {}
    for number, entry in enumerate(journal.read(path), 1):
        try:
            decision = _read(entry)
        except (FolksongError, KeyError, TypeError) as error:
            raise FileFormatError(
                f"{path}: line {number} is no decision ({error}); `folksong curate` writes them"
            ) from error
        last.pop(key := (decision.track, decision.label), None)
        last[key] = decision
    return tuple(decision for decision in last.values() if decision.decision != "open")


def decided(table: TagTable, decisions: Iterable[Decision]) -> TagTable:
    """Return a tag table as the decisions have it; tracks and tags that it lacks are added.

    A tag that a yes gives has the largest weight of the table (1 in one without any).
    """
    confirmed, given, taken = set[tuple[str, str]](), set[tuple[str, str]](), set[tuple[str, str]]()
    for decision in decisions:
        row = table.row_of(decision.track)
        track = decision.track if row is None else str(table.track_ids[row])
        pairs = {(track, tag) for tag in decision.tags}
        carried = pairs & {(track, tag) for tag, _ in table.tags_of(track)}
        if decision.decision == "no":
            taken |= carried
        elif decision.decision == "yes":
            confirmed |= carried
            given |= set() if carried else {(track, decision.tags[0])}
    taken -= confirmed
    if not given and not taken:
        return table
    entries, new = table.weights.tocoo(), sorted(given)
    gone = [table.track_index[track] * table.n_tags + table.tag_index[tag] for track, tag in taken]
    kept = ~np.isin(entries.row.astype(np.int64) * table.n_tags + entries.col, gone)
    weight = float(entries.data.max()) if table.n_counts else 1.0
    track_ids = list(dict.fromkeys([*table.track_ids, *(track for track, _ in new)]))
    tags = list(dict.fromkeys([*table.tags, *(tag for _, tag in new)]))
    row_of, column_of = ({name: n for n, name in enumerate(names)} for names in (track_ids, tags))
    return TagTable.from_codes(
        track_ids,
        tags,
        np.concatenate([entries.row[kept], [row_of[track] for track, _ in new]]).astype(np.int64),
        np.concatenate([entries.col[kept], [column_of[tag] for _, tag in new]]).astype(np.int64),
        np.concatenate([entries.data[kept], np.full(len(new), weight)]).astype(np.float32),
    )


def _read(entry: dict[str, Any]) -> Decision:
    if not isinstance(entry["tags"], Sequence) or isinstance(entry["tags"], str):
        raise TypeError("its tags are no list")
    return Decision(**{**entry, "tags": tuple(entry["tags"])})
