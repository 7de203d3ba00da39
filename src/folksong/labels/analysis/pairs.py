"""Score of a label space on a person's pairs of tags: pairs of tags that should share a label, or should not.

A list of pairs is a tab-separated file: ``same`` or ``apart``, tag, tag; lines that begin with ``#`` are comments. The
score is balanced: the mean of the share of ``same`` pairs that do share a label and of the share of ``apart`` pairs
that do not. A pair with a tag in no label at all counts as wrong whatever it asks, so that leaving tags out never
pays.

Sharing is easy to have by chance: `control_scores` gives what a score is worth beside the share of random pairs of tags
that share a label, and beside what the plain cosine of co-occurrence vectors reaches when as many random pairs pass.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from folksong.embeddings.ppmi import ppmi_vectors
from folksong.errors import FileFormatError, FolksongError
from folksong.files import read_text
from folksong.labels.analysis.cooccurrence import own_tags
from folksong.labels.kmeans import frequent_tags
from folksong.labels.space import LabelSpace
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

Relation = Literal["same", "apart"]

N_RANDOM = 20_000
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
        n_same, right_same: pairs that should share a label, and how many of them do.
        n_apart, right_apart: pairs that should not, and how many of them do not.
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


@dataclass(frozen=True)
class PairControls:
    """What stands beside a score of pairs.

    Attributes:
        random: share of random pairs of the table's tags that share a label.
        shuffled: the same of the list's own tags, put together at random.
        average_precision: of the ``same`` pairs among all, ranked by the Jaccard index of both tags' labels.
        cosine: the balanced score of the PPMI vectors' cosine, cut where as many random pairs pass as share a label.
        own: share of the labels' tracks that carry one of the label's own tags, not only further ones.
    """

    random: float
    shuffled: float
    average_precision: float
    cosine: float
    own: float


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


def control_scores(
    space: LabelSpace, pairs: Sequence[Pair], tags: Tags, *, threshold: int = 2, seed: int = 0
) -> PairControls:
    """Return what a score of these pairs is worth, by the tags that the labels were learned from.

    Random pairs are of tags with more counts than `threshold`.
    """
    table, rng = as_table(tags), np.random.default_rng(seed)
    names = frequent_tags(table, threshold) or frequent_tags(table, 0)
    if not names:
        raise FolksongError("the table has no tags, so that there is nothing to compare the score with")
    random = _random_pairs(names, rng)
    listed = [tag for pair in pairs for tag in (pair.first, pair.second)]
    shuffled = _random_pairs(listed, rng)
    sharing = float(np.mean([_jaccard(space, *pair) > 0 for pair in random]))
    likeness = np.array([_jaccard(space, pair.first, pair.second) for pair in pairs])
    same = np.array([pair.relation == "same" for pair in pairs])
    return PairControls(
        sharing,
        float(np.mean([_jaccard(space, *pair) > 0 for pair in shuffled])),
        _average_precision(same, likeness),
        _cosine_score(table, names, pairs, random, sharing),
        own_tags(space).encode(table).nnz / max(space.encode(table).nnz, 1),
    )


def _random_pairs(names: Sequence[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    chosen = rng.integers(0, len(names), (N_RANDOM, 2))
    return [(names[one], names[other]) for one, other in chosen.tolist() if names[one] != names[other]]


def _jaccard(space: LabelSpace, first: str, second: str) -> float:
    one, other = set(space.labels_of(first)), set(space.labels_of(second))
    return len(one & other) / max(len(one | other), 1)


def _average_precision(same: npt.NDArray[np.bool_], likeness: npt.NDArray[np.float64]) -> float:
    """Return the sum over distinct likenesses of precision × gain in recall; NaN without a ``same`` pair."""
    found, before = 0.0, 0
    for value in np.unique(likeness)[::-1]:
        reached = likeness >= value
        right = int(same[reached].sum())
        found += (right - before) * right / reached.sum()
        before = right
    return found / same.sum() if same.any() else float("nan")


def _cosine_score(
    table: TagTable,
    names: Sequence[str],
    pairs: Sequence[Pair],
    random: Sequence[tuple[str, str]],
    sharing: float,
) -> float:
    """Return the balanced score of the plain cosine at the same share of random pairs; NaN in a table too small."""
    try:
        vectors = ppmi_vectors(table, names)
    except FolksongError:  # too few frequent tags for co-occurrence
        return float("nan")
    row = {tag: place for place, tag in enumerate(names)}

    def cosine(first: str, second: str) -> float:
        return float(vectors[row[first]] @ vectors[row[second]]) if first in row and second in row else np.nan

    cut = np.quantile([cosine(*pair) for pair in random], 1 - sharing)
    right: dict[str, list[bool]] = {"same": [], "apart": []}
    for pair in pairs:
        value = cosine(pair.first, pair.second)
        right[pair.relation].append(not np.isnan(value) and (value >= cut) == (pair.relation == "same"))
    return float(np.mean([np.mean(shares) if shares else np.nan for shares in right.values()]))


def rare_pairs(pairs: Sequence[Pair], tags: Tags) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Return the frequent pairs and the rare ones (a tag with fewer than 10 counts in `tags`)."""
    counts = as_table(tags).counts_by_tag

    def rare(pair: Pair) -> bool:
        return bool(min(counts.get(pair.first, 0), counts.get(pair.second, 0)) < RARE_BELOW)

    return tuple(pair for pair in pairs if not rare(pair)), tuple(pair for pair in pairs if rare(pair))
