"""Score of a label space on a person's pairs of tags: pairs of tags that should share a label, or should not.

A list of pairs is a tab-separated file: ``same`` or ``apart``, tag, tag; lines that begin with ``#`` are comments. The
score is balanced: the mean of the share of ``same`` pairs that do share a label and of the share of ``apart`` pairs
that do not. A pair with a tag in no label at all counts as wrong whatever it asks, so that leaving tags out never
pays.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from folksong.errors import FileFormatError
from folksong.files import read_text
from folksong.labels.space import LabelSpace
from folksong.tags.sources.read_tags import Tags, as_table

Relation = Literal["same", "apart"]

RARE_BELOW = 10
"""A pair is rare when one of its tags has fewer counts than this."""


@dataclass(frozen=True)
class Pair:
    """Two tags and what a person says of them."""

    relation: Relation
    first: str
    second: str


@dataclass(frozen=True)
class PairScores:
    """How a label space does on some pairs.

    Attributes:
        n_same: number of pairs that should share a label, and `right_same` of them that do.
        right_same: see there.
        n_apart: number of pairs that should not, and `right_apart` of them that do not.
        right_apart: see there.
        absent: pairs with a tag in no label; they count as wrong.
        wrong: the other pairs that went wrong.
    """

    n_same: int
    right_same: int
    n_apart: int
    right_apart: int
    absent: tuple[Pair, ...]
    wrong: tuple[Pair, ...]

    @property
    def same(self) -> float:
        """Share of the ``same`` pairs that share a label; NaN without any."""
        return self.right_same / self.n_same if self.n_same else float("nan")

    @property
    def apart(self) -> float:
        """Share of the ``apart`` pairs that share none; NaN without any."""
        return self.right_apart / self.n_apart if self.n_apart else float("nan")

    @property
    def balanced(self) -> float:
        """The mean of both shares."""
        return (self.same + self.apart) / 2


def read_pairs(path: str | os.PathLike[str]) -> tuple[Pair, ...]:
    """Read a list of pairs.

    Raises:
        FolksongError: the file is missing.
        FileFormatError: a line is not ``same`` or ``apart`` and two tags, separated by tabs.
    """
    pairs: list[Pair] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match line.split("\t"):
            case [("same" | "apart") as relation, first, second] if first and second:
                pairs.append(Pair(relation, first, second))
            case _:
                raise FileFormatError(
                    f"{path}, line {number}: needs 'same' or 'apart' and two tags, separated by tabs, not {line[:60]!r}"
                )
    if not pairs:
        raise FileFormatError(f"{path}: holds no pairs")
    return tuple(pairs)


def score_pairs(space: LabelSpace, pairs: Sequence[Pair]) -> PairScores:
    """Score a label space; raw spellings find their label through the space's aliases."""
    absent: list[Pair] = []
    wrong: list[Pair] = []
    right = {"same": 0, "apart": 0}
    for pair in pairs:
        first, second = set(space.labels_of(pair.first)), set(space.labels_of(pair.second))
        if not first or not second:
            absent.append(pair)
        elif bool(first & second) == (pair.relation == "same"):
            right[pair.relation] += 1
        else:
            wrong.append(pair)
    n_same = sum(pair.relation == "same" for pair in pairs)
    return PairScores(n_same, right["same"], len(pairs) - n_same, right["apart"], tuple(absent), tuple(wrong))


def rare_pairs(pairs: Sequence[Pair], tags: Tags) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Return the frequent pairs and the rare ones (a tag with fewer than 10 counts in `tags`)."""
    counts = as_table(tags).counts_by_tag

    def rare(pair: Pair) -> bool:
        return bool(min(counts.get(pair.first, 0), counts.get(pair.second, 0)) < RARE_BELOW)

    return tuple(pair for pair in pairs if not rare(pair)), tuple(pair for pair in pairs if rare(pair))
