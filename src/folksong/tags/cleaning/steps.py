"""The steps of a cleaning. Each looks at a table and says what becomes of its tags (or tracks), and why.

Steps belong to phases, and phases have one order: whole tracks, then the text of a tag, then aliases (merges that a
person decided), then canonical forms (spelling variants), then implied tags, then lists and counts. A recipe may name
its steps in any order; phases come first, and within a phase the recipe's order.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.tags.cleaning.change_log import ADD_IMPLIED, StepLog
from folksong.tags.cleaning.spelling import (
    canonical_form,
    fold_case,
    unify_blanks,
    variants,
    with_evidence,
)
from folksong.tags.cooccurrence import contained
from folksong.tags.table import TagTable, rename_tags

DROP_IMPLIED = "drop-implied"
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
    """What a step knows of the other steps of its recipe, and how the recipe is applied.

    What aliases make (`targets`), and tags of which a merge was rejected, stay themselves. `by_form`: a recipe with
    spelling variants compares tags by their canonical form. `accept_proposals`: merge
    spellings that only their letters speak for, too.
    """

    targets: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    by_form: bool = False
    weights: str = "maximum"
    accept_proposals: bool = False
    progress: bool = False

    def form(self, ignore_case: bool) -> Callable[[str], str]:
        """Return how a recipe's lists compare tags: exactly, ignoring case, or by canonical form."""
        return canonical_form if self.by_form else fold_case if ignore_case else str


class Step:
    """One step of a recipe."""

    phase: ClassVar[Phase]

    @property
    def name(self) -> str:
        """The step's name in recipes."""
        raise NotImplementedError

    def apply(self, table: TagTable, context: Context) -> tuple[TagTable, StepLog]:
        """Return the table after the step, and what the step did."""
        log = self.log(table, context)
        names = {tag: after for tag, (after, _) in log.tags.items()}
        return rename_tags(table, names, weights=context.weights) if names else table, log

    def log(self, table: TagTable, context: Context) -> StepLog:
        """Return what becomes of the tags of `table`, and what is left to review."""
        return StepLog(self.name, self.renaming(table, context))

    def renaming(self, table: TagTable, context: Context) -> Renaming:
        """Return what becomes of the tags of `table`."""
        raise NotImplementedError


class TextStep(Step):
    """A change of each tag's text."""

    phase = Phase.TEXT
    reason: ClassVar[str]

    @staticmethod
    def change(tag: str) -> str:
        """Change a tag's text once."""
        raise NotImplementedError

    def text(self, tag: str) -> str:
        """Return the tag's new text; `change` may need a few rounds, NFKC can make new blanks or capitals."""
        new = self.change(tag)
        return new if new == tag else self.text(new)

    def renaming(self, table: TagTable, context: Context) -> Renaming:
        texts = ((tag, self.text(tag)) for tag in table.tags)
        return {
            tag: (new, self.reason) if new else (None, "nothing but blanks")
            for tag, new in texts
            if new != tag or not new
        }


@dataclass(frozen=True)
class Normalise(TextStep):
    """Unicode's NFKC form, single blanks, no control characters."""

    name: ClassVar[str] = "normalise"
    change = staticmethod(unify_blanks)
    reason = "Unicode form and blanks"


@dataclass(frozen=True)
class FoldCase(TextStep):
    """No capital letters."""

    name: ClassVar[str] = "fold-case"
    change = staticmethod(fold_case)
    reason = "case"


@dataclass(frozen=True)
class MergeTags(Step):
    """Explicit merges: a reviewed proposal, a shipped list, pairs of the recipe.

    Args:
        merges: tag -> what it becomes.
        rejected: tags that stay themselves.
        shipped: tags whose merge is a shipped list's: it is for joining tags, not for renaming one, and what it makes
            is written as the table writes it.
    """

    merges: Mapping[str, str]
    rejected: frozenset[str] = frozenset()
    shipped: frozenset[str] = frozenset()
    name: ClassVar[str] = "merge"
    phase = Phase.ALIAS

    def renaming(self, table: TagTable, context: Context) -> Renaming:
        by_form: dict[str, set[tuple[str, bool]]] = {}
        for source, target in self.merges.items() if context.by_form else ():
            by_form.setdefault(canonical_form(source), set()).add((target, source in self.shipped))
        found: Renaming = {}
        joined: dict[str, list[str]] = {}
        for tag in table.tags:
            if tag in self.merges:
                target, shipped, reason = self.merges[tag], tag in self.shipped, "listed merge"
            elif by_form and tag not in context.targets and tag not in context.rejected:
                targets = by_form.get(canonical_form(tag), set())
                if len({target for target, _ in targets}) != 1:
                    continue  # spelt like tags that are merged into different ones: left alone
                target, shipped = min(targets)
                reason = "listed merge, in another spelling"
            else:
                continue
            found[tag] = (target, reason)
            if shipped:
                joined.setdefault(target, []).append(tag)
        return self._as_the_table_writes(table, found, joined) if joined else found

    def _as_the_table_writes(
        self, table: TagTable, found: Renaming, joined: Mapping[str, Sequence[str]]
    ) -> Renaming:
        written: dict[str, str] = {}
        for tag in table.popularity().tags:
            written.setdefault(fold_case(tag), tag)
        capitals = 2 * sum(tag[:1].isupper() for tag in table.tags) > table.n_tags
        for target, tags in joined.items():
            cased = (
                " ".join(word[:1].upper() + word[1:] for word in target.split(" ")) if capitals else target
            )
            there = target if target in table.tag_index else written.get(fold_case(target))
            if len({*tags, there} - {None}) < 2:
                cased = tags[0]
            for tag in tags:
                found[tag] = (there or cased, found[tag][1])
        return {tag: to for tag, to in found.items() if tag != to[0]}


@dataclass(frozen=True)
class MergeVariants(Step):
    """Spelling variants become the most popular of them, where more than their letters speaks for it."""

    min_count: int = 1
    mistyped: bool = True
    name: ClassVar[str] = "merge-variants"
    phase = Phase.CANONICAL

    def log(self, table: TagTable, context: Context) -> StepLog:
        proposed = variants(
            table,
            min_count=self.min_count,
            mistyped=self.mistyped,
            preferred=context.targets | context.rejected,
            progress=context.progress,
        )
        merges = proposed if context.accept_proposals else with_evidence(table, proposed)
        renaming = {merge.source: (merge.target, merge.reason) for merge in merges}
        return StepLog(self.name, renaming, left=tuple(one for one in proposed if one.source not in renaming))


@dataclass(frozen=True)
class MinimumCount(Step):
    """Tags on too few tracks go."""

    count: int
    name: ClassVar[str] = "minimum-count"
    phase = Phase.LISTS

    def __post_init__(self) -> None:
        if self.count < 1:
            raise FolksongError(f"the minimum count must be at least 1, not {self.count}")

    def renaming(self, table: TagTable, context: Context) -> Renaming:
        reason = f"on fewer than {self.count} tracks"
        return dict.fromkeys(table.tags[table.counts < self.count], (None, reason))


@dataclass(frozen=True)
class ListedTags(Step):
    """Listed tags go, or only they stay."""

    tags: frozenset[str]
    ignore_case: bool = False
    phase = Phase.LISTS

    def listed(self, tags: Iterable[str], context: Context) -> list[str]:
        """Return those of the tags that the list has."""
        form = context.form(self.ignore_case)
        listed = {form(tag) for tag in self.tags}
        return [tag for tag in tags if form(tag) in listed]


class DropTags(ListedTags):
    """Listed tags go."""

    name: ClassVar[str] = "drop"

    def renaming(self, table: TagTable, context: Context) -> Renaming:
        return dict.fromkeys(self.listed(table.tags, context), (None, "listed to be dropped"))


class KeepTags(ListedTags):
    """Only listed tags stay."""

    name: ClassVar[str] = "keep"

    def renaming(self, table: TagTable, context: Context) -> Renaming:
        kept = set(self.listed(table.tags, context))
        return {tag: (None, "not listed to be kept") for tag in table.tags if tag not in kept}


@dataclass(frozen=True)
class DropTracks(Step):
    """Listed tracks go, for a reason each; of each group of tracks that are one recording, all but the first."""

    tracks: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()
    name: ClassVar[str] = "drop-tracks"
    phase = Phase.TRACKS

    def apply(self, table: TagTable, context: Context) -> tuple[TagTable, StepLog]:
        index = table.track_index
        gone = {track: reason for track, reason in self.tracks.items() if track in index}
        for group in self.groups:
            present = [track for track in group if track in index and track not in gone]
            gone.update(dict.fromkeys(present[1:], f"a duplicate of {present[0]}"))
        kept = table.select_tracks(index.keys() - gone.keys()) if gone else table
        return kept, StepLog(self.name, {}, gone)


@dataclass(frozen=True)
class ImpliedTags(Step):
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
    phase = Phase.IMPLIED

    @property
    def name(self) -> str:
        return ADD_IMPLIED if self.add else DROP_IMPLIED

    def apply(self, table: TagTable, context: Context) -> tuple[TagTable, StepLog]:
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
            return table, StepLog(self.name)
        if self.add:
            keys, values = np.concatenate([keys, *moved]), np.concatenate([entries.data, *weights])
        else:
            stays = ~np.isin(keys, np.concatenate(moved))
            keys, values = keys[stays], entries.data[stays]
        rows, columns = np.divmod(keys, len(tags))
        changed = TagTable.from_codes(table.track_ids, tags, rows, columns, values)
        return changed, StepLog(self.name, implied=log)
