"""Figures of a label space that follow its changes: only labels that changed are counted anew.

They are those of `LabelSpace.coverage` and `folksong.labels.doubtful`, without encoding the table again: each label
keeps the tracks that it is on, each track the number of its labels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.labels.analysis.cooccurrence import NEARLY_SAME
from folksong.labels.space import Label, LabelSpace
from folksong.tags.table import TagTable

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelFigures:
    """What is known of one label as it was counted.

    `columns` are those of the table whose tags belong to it, `rows` its tracks, of which `n_own` carry one of its own
    tags.
    """

    label: Label
    columns: Numbers
    rows: Numbers
    n_own: int

    @property
    def own_share(self) -> float:
        """The share of its tracks that carry one of its own tags; NaN on no track."""
        return self.n_own / len(self.rows) if len(self.rows) else float("nan")


class SpaceFigures:
    """The figures of a label space on a tag table; `follow` takes the space further."""

    def __init__(self, table: TagTable, space: LabelSpace) -> None:
        self.table = table
        self._by_tag = table.presence.tocsc()
        self._raw: dict[str, list[str]] = {}
        for raw, member in space.aliases.items():
            if raw in table.tag_index:
                self._raw.setdefault(member, []).append(raw)
        self._aliases = set(space.aliases)
        self._count(space.labels)

    def _count(self, labels: Sequence[Label]) -> None:
        self.of: dict[str, LabelFigures] = {}
        self.nearly_same: dict[str, set[str]] = {}
        self._n_of_tag: dict[str, int] = {}
        self._labels_of_track = np.zeros(self.table.n_tracks, np.int32)
        self._labels_of_column = np.zeros(self.table.n_tags, np.int32)
        self._members(labels, 1)
        for label in labels:
            self._add(label)

    def follow(self, labels: Sequence[Label]) -> set[str]:
        """Take the labels as they are now, and return the names of those that are new, gone or changed."""
        now = {label.name: label for label in labels}
        gone = [figures.label for name, figures in self.of.items() if now.get(name) is not figures.label]
        new = [
            label for name, label in now.items() if name not in self.of or self.of[name].label is not label
        ]
        before = set(self._n_of_tag)
        self._members(gone, -1)
        self._members(new, 1)
        if self._aliases and not self._aliases.isdisjoint(before ^ set(self._n_of_tag)):
            # A raw spelling became a member, or is none any more: it changes what others have.
            self._count(labels)
            return {*now, *(label.name for label in gone)}
        for label in gone:
            self._remove(label.name)
        for label in new:
            self._add(label)
        return {label.name for label in (*gone, *new)}

    def _members(self, labels: Iterable[Label], step: int) -> None:
        for label in labels:
            for tag in label.members:
                number = self._n_of_tag.get(tag, 0) + step
                if number:
                    self._n_of_tag[tag] = number
                else:
                    del self._n_of_tag[tag]

    def columns(self, tags: Iterable[str]) -> Numbers:
        """Return the columns of member tags, those of their raw spellings too."""
        index = self.table.tag_index
        found = [index[tag] for tag in tags if tag in index]
        if self._raw:
            raw = (raw for tag in tags for raw in self._raw.get(tag, ()))
            found += [index[one] for one in raw if one not in self._n_of_tag]
        return np.array(found, np.int64)

    def rows(self, columns: Numbers) -> Numbers:
        """Return the tracks that carry one of these columns' tags."""
        there = np.zeros(self.table.n_tracks, bool)
        there[self._by_tag[:, columns].indices] = True
        return np.flatnonzero(there)

    def _add(self, label: Label) -> None:
        own = self.columns(label.tags)
        columns = np.union1d(own, self.columns(label.also)) if label.also else np.unique(own)
        rows = self.rows(columns)
        n_own = len(self.rows(own)) if label.also else len(rows)
        self._labels_of_track[rows] += 1
        self._labels_of_column[columns] += 1
        on = np.zeros(self.table.n_tracks, bool)
        on[rows] = True
        near = set()
        for name, other in self.of.items():
            if min(len(rows), len(other.rows)) <= NEARLY_SAME * max(len(rows), len(other.rows)):
                continue  # they cannot be
            shared = int(np.count_nonzero(on[other.rows]))
            if shared and shared > NEARLY_SAME * (len(rows) + len(other.rows) - shared):
                near.add(name)
                self.nearly_same[name].add(label.name)
        self.nearly_same[label.name] = near
        self.of[label.name] = LabelFigures(label, columns, rows, n_own)

    def _remove(self, name: str) -> None:
        figures = self.of.pop(name)
        self._labels_of_track[figures.rows] -= 1
        self._labels_of_column[figures.columns] -= 1
        for other in self.nearly_same.pop(name):
            self.nearly_same[other].discard(name)

    def overall(self) -> dict[str, Any]:
        """Return the shares of counts and tracks that have a label, and of own tags; None of what is undefined."""
        counts = int(self.table.counts[self._labels_of_column > 0].sum())
        tracks = int(np.count_nonzero(self._labels_of_track))
        on = sum(len(figures.rows) for figures in self.of.values())
        own = sum(figures.n_own for figures in self.of.values())
        return {
            "n_labels": len(self.of),
            "n_tags": len(self._n_of_tag),
            "n_counts": counts,
            "counts": counts / self.table.n_counts if self.table.n_counts else None,
            "n_tracks": tracks,
            "tracks": tracks / self.table.n_tracks if self.table.n_tracks else None,
            "own": own / on if on else None,
        }

    def warnings(self, name: str) -> list[str]:
        """Return what is doubtful of a label, a short line each."""
        figures = self.of[name]
        lines = []
        if not len(figures.rows):
            return ["on no track"]
        if figures.own_share < 0.5:
            lines.append(f"only {figures.own_share:.0%} of its tracks carry one of its own tags")
        if len(figures.rows) > self.table.n_tracks / 3:
            lines.append(f"on {len(figures.rows) / self.table.n_tracks:.0%} of all tracks")
        lines += [f"nearly the same tracks as {other!r}" for other in sorted(self.nearly_same[name])]
        return lines

    def without_label(self) -> Numbers:
        """Return the columns of the tags of no label, most popular first."""
        order = self.table.popularity_order
        return np.asarray(order[self._labels_of_column[order] == 0], np.int64)

    def count(self, tag: str) -> int:
        """Return the number of tracks with a member tag, by any of its spellings."""
        if tag not in self._raw:
            return self.table.counts_by_tag.get(tag, 0)
        return len(self.rows(self.columns([tag])))
