"""The steps of a cleaning. Each looks at a table and says what becomes of its tags (or tracks), and why.

Steps belong to phases, and phases have one order: whole tracks, then the text of a tag, then aliases (merges that a
person decided), then canonical forms (spelling variants), then implied tags, then lists and counts. A recipe may name
its steps in any order; phases come first, and within a phase the recipe's order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.tags.cleaning.spelling import canonical_form, fold_case, unify_blanks, variants
from folksong.tags.cooccurrence import contained
from folksong.tags.table import TagTable

Renaming = dict[str, tuple[str | None, str]]
"""Tag -> what it becomes (None: it is dropped) and why; tags not named stay."""


class Phase(IntEnum):
    """When a step is applied, whatever its place in the recipe."""

    TRACKS = 0
    TEXT = 1
    ALIAS = 2
    CANONICAL = 3
    IMPLIED = 4
    LISTS = 5


@dataclass(frozen=True)
class Context:
    """What a step knows of the other steps of its recipe.

    Args:
        targets: what aliases make; these tags stay themselves.
        rejected: tags of which a merge was rejected; these stay themselves too.
        by_form: a recipe with spelling variants compares tags by their canonical form.
    """

    targets: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    by_form: bool = False


class Step(Protocol):
    """One step of a recipe."""

    phase: ClassVar[Phase]

    @property
    def name(self) -> str:
        """The step's name in recipes."""

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        """Return what becomes of the tags of `table`."""


@dataclass(frozen=True)
class Normalise:
    """Unicode's NFKC form, single blanks, no control characters."""

    name: ClassVar[str] = "normalise"
    phase: ClassVar[Phase] = Phase.TEXT

    def text(self, tag: str) -> str:
        """Return the tag's new text."""
        return _until_stable(unify_blanks, tag)

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        return _renamed(table, self.text, "Unicode form and blanks")


@dataclass(frozen=True)
class FoldCase:
    """No capital letters."""

    name: ClassVar[str] = "fold-case"
    phase: ClassVar[Phase] = Phase.TEXT

    def text(self, tag: str) -> str:
        """Return the tag's new text."""
        return _until_stable(fold_case, tag)

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        return _renamed(table, self.text, "case")


@dataclass(frozen=True)
class MergeTags:
    """Explicit merges: a reviewed proposal, a shipped list, pairs of the recipe."""

    merges: Mapping[str, str]
    rejected: frozenset[str] = frozenset()
    name: ClassVar[str] = "merge"
    phase: ClassVar[Phase] = Phase.ALIAS

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        by_form: dict[str, set[str]] = {}
        if context.by_form:
            for source, target in self.merges.items():
                by_form.setdefault(canonical_form(source), set()).add(target)
        found: Renaming = {}
        for tag in table.tags:
            if tag in self.merges:
                found[tag] = (self.merges[tag], "listed merge")
            elif by_form and tag not in context.targets and tag not in context.rejected:
                targets = by_form.get(canonical_form(tag), set())
                if len(targets) == 1:  # spelt like tags that are merged into different ones: left alone
                    found[tag] = (next(iter(targets)), "listed merge, in another spelling")
        return found


@dataclass(frozen=True)
class MergeVariants:
    """Spelling variants become the most popular of them."""

    min_count: int = 1
    mistyped: bool = True
    name: ClassVar[str] = "merge-variants"
    phase: ClassVar[Phase] = Phase.CANONICAL

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        stay = context.targets | context.rejected
        merges = variants(
            table, min_count=self.min_count, mistyped=self.mistyped, preferred=stay, progress=progress
        )
        return {merge.source: (merge.target, merge.reason) for merge in merges}


@dataclass(frozen=True)
class MinimumCount:
    """Tags on too few tracks go."""

    count: int
    name: ClassVar[str] = "minimum-count"
    phase: ClassVar[Phase] = Phase.LISTS

    def __post_init__(self) -> None:
        if self.count < 1:
            raise FolksongError(f"the minimum count must be at least 1, not {self.count}")

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        rare = np.flatnonzero(table.counts < self.count)
        return {table.tags[column]: (None, f"on fewer than {self.count} tracks") for column in rare.tolist()}


@dataclass(frozen=True)
class DropTags:
    """Listed tags go."""

    tags: frozenset[str]
    ignore_case: bool = False
    name: ClassVar[str] = "drop"
    phase: ClassVar[Phase] = Phase.LISTS

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        form = form_of(context, self.ignore_case)
        listed = {form(tag) for tag in self.tags}
        return {tag: (None, "listed to be dropped") for tag in table.tags if form(tag) in listed}


@dataclass(frozen=True)
class KeepTags:
    """Only listed tags stay."""

    tags: frozenset[str]
    ignore_case: bool = False
    name: ClassVar[str] = "keep"
    phase: ClassVar[Phase] = Phase.LISTS

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        form = form_of(context, self.ignore_case)
        listed = {form(tag) for tag in self.tags}
        return {tag: (None, "not listed to be kept") for tag in table.tags if form(tag) not in listed}


@dataclass(frozen=True)
class DropTracks:
    """Listed tracks go: mismatches, or all but one of each group of duplicates.

    Args:
        tracks: track id -> why it goes.
        groups: tracks that are one recording; the first that the table has stays.
    """

    tracks: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()
    name: ClassVar[str] = "drop-tracks"
    phase: ClassVar[Phase] = Phase.TRACKS

    def dropped(self, table: TagTable) -> dict[str, str]:
        """Return the tracks of `table` that go, and why."""
        index = table.track_index
        gone = {track: reason for track, reason in self.tracks.items() if track in index}
        for group in self.groups:
            present = [track for track in group if track in index and track not in gone]
            gone.update(dict.fromkeys(present[1:], f"a duplicate of {present[0]}"))
        return gone

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        return {}


@dataclass(frozen=True)
class ImpliedTags:
    """Tracks with a tag get the tags that it implies (bebop: jazz), or lose these.

    Args:
        add: or else drop.
        pairs: tag -> a tag that it implies, from a list.
        threshold: the least P(other | tag) of two tags for which tag implies other, unless it is as high the other way
            round; None takes the pairs alone.
        min_count: tags on fewer tracks imply nothing and are not implied.
    """

    add: bool
    pairs: tuple[tuple[str, str], ...] = ()
    threshold: float | None = None
    min_count: int = 10
    phase: ClassVar[Phase] = Phase.IMPLIED

    @property
    def name(self) -> str:
        """The step's name in recipes."""
        return ADD_IMPLIED if self.add else DROP_IMPLIED

    def changed(self, table: TagTable) -> tuple[TagTable, dict[str, list[str]]]:
        """Return the table after the step, and the implied tags that some track got or lost, by tag."""
        found = [(tag, other) for tag, other in self.pairs if tag in table.tag_index and tag != other]
        if self.threshold is not None:
            pairs = contained(table, threshold=self.threshold, min_count=self.min_count)
            found += [(pair.tag, pair.other) for pair in pairs]
        tags = np.array(sorted({*table.tags, *(other for _, other in found)}), object)
        number = {tag: column for column, tag in enumerate(tags)}
        entries = table.weights.tocoo()
        columns = np.array([number[tag] for tag in table.tags], np.int64)[entries.col]
        keys, by_tag = entries.row.astype(np.int64) * len(tags) + columns, table.weights.tocsc()
        log: dict[str, list[str]] = {}
        moved: list[npt.NDArray[np.int64]] = []
        weights: list[npt.NDArray[np.float32]] = []
        for tag, other in dict.fromkeys(found):
            place = table.tag_index[tag]
            entry = slice(by_tag.indptr[place], by_tag.indptr[place + 1])
            new = by_tag.indices[entry].astype(np.int64) * len(tags) + number[other]
            there = np.isin(new, keys)
            if there.all() if self.add else not there.any():
                continue
            log.setdefault(tag, []).append(other)
            moved.append(new[~there] if self.add else new[there])
            weights.append(by_tag.data[entry][~there])
        if not log:
            return table, {}
        if self.add:
            keys, values = np.concatenate([keys, *moved]), np.concatenate([entries.data, *weights])
        else:
            stays = ~np.isin(keys, np.concatenate(moved))
            keys, values = keys[stays], entries.data[stays]
        rows, columns = np.divmod(keys, len(tags))
        return TagTable.from_codes(table.track_ids, tags, rows, columns, values), log

    def renaming(self, table: TagTable, context: Context, *, progress: bool = False) -> Renaming:
        return {}


ADD_IMPLIED, DROP_IMPLIED = "add-implied", "drop-implied"
TextStep = Normalise | FoldCase


def form_of(context: Context, ignore_case: bool = False) -> Callable[[str], str]:
    """Return how a recipe's lists compare tags: exactly, ignoring case, or by canonical form."""
    if context.by_form:
        return canonical_form
    return fold_case if ignore_case else _itself


def _itself(tag: str) -> str:
    return tag


def _renamed(table: TagTable, text: Callable[[str], str], reason: str) -> Renaming:
    found: Renaming = {}
    for tag in table.tags:
        new = text(tag)
        if not new:
            found[tag] = (None, "nothing but blanks")
        elif new != tag:
            found[tag] = (new, reason)
    return found


def _until_stable(change: Callable[[str], str], tag: str) -> str:
    """Apply a change until it changes nothing more: NFKC can make new blanks, and folding case new forms."""
    new = change(tag)
    return new if new == tag else _until_stable(change, new)
