"""What the hybrid label space is made of: tags as vectors of company and words, and those that belong together.

1. Spelling variants are merged; the raw spellings stay as aliases.
2. Tags of the same word stems ("relax", "relaxing"; "favourite songs", "fave songs") are linked, unless their
   co-occurrence vectors contradict ("blues" and "blue" is such a risk, "country" and "countries" another).
3. Where word vectors are given, the co-occurrence vector that ridge regression predicts from a tag's words
   (`folksong.embeddings.ppmi`) is added to the tag's own, as if it had been counted a few times: it decides on rare
   tags and leaves frequent ones alone.
"""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.embeddings.ppmi import MIN_CONTEXT_COUNT, ppmi_vectors, predict_from_words
from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError
from folksong.labels.analysis.pairs import Pair
from folksong.labels.kmeans import frequent_tags
from folksong.labels.wording import stems_of
from folksong.tags.cleaning.spelling import SURE, freely_spelt, variants
from folksong.tags.table import TagTable, rename_tags

logger = logging.getLogger(__name__)

Numbers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]

LEAST_COSINE_OF_STEMS = 0.05
MEANING_COUNTS = 6.0
MOST_MEANING = 1e6


@dataclass(frozen=True, eq=False)
class HybridVectors:
    """Tags, their vectors, and which of them belong together for sure.

    Attributes:
        tags: (n,) canonical spellings, most popular first.
        counts: (n,) their counts.
        vectors: (n, d) co-occurrence and words joined, rows of length 1, or 0 where neither says anything.
        leaders: (n,) the row of the most popular tag that each is linked to (its own where it is alone).
        aliases: raw spelling -> tag.
        words: (n, m) their word vectors, rows of length 1 or zeros; None without.
    """

    tags: tuple[str, ...]
    counts: Numbers
    vectors: Matrix
    leaders: Numbers
    aliases: Mapping[str, str]
    words: Matrix | None = None


@dataclass(frozen=True, eq=False)
class TagGroups:
    """Groups of tags that share their label, most popular first.

    Attributes:
        names: (n,) the most popular tag of each.
        wordings: (n,) the words of all its tags.
        counts: (n,) their counts.
        points: (n, d) where they lie; only the directions count.
        apart: row -> rows with which it must share no label.
    """

    names: Sequence[str]
    wordings: Sequence[str]
    counts: Numbers
    points: Matrix
    apart: Mapping[int, Set[int]]


def hybrid_vectors(
    table: TagTable,
    vectors: WordVectors | None,
    *,
    threshold: int = 2,
    meaning: float = MEANING_COUNTS,
    dimension: int = 60,
    weighted: bool = False,
    merge_spellings: bool = True,
    link_stems: bool = True,
    alone: bool = False,
) -> HybridVectors:
    """Return the tags' vectors, and link those of the same stems; arguments as for `hybrid`.

    `alone` keeps tags of which neither co-occurrence nor words say anything, each standing for itself.
    """
    if not 0 <= meaning <= MOST_MEANING:
        raise FolksongError(
            f"the weight of meaning must be a number from 0 to {MOST_MEANING:g}, not {meaning}"
        )
    aliases: dict[str, str] = {}
    if merge_spellings:
        merges = variants(table, mistyped=False)
        sure = SURE if not freely_spelt(table, merges) else {merge.reason for merge in merges}
        aliases = {merge.source: merge.target for merge in merges if merge.reason in sure}
        table = rename_tags(table, aliases)
    tags = frequent_tags(table, threshold)
    if not tags:
        remedy = "lower the threshold" if threshold and table.n_counts else "there are no tags"
        raise FolksongError(f"no tag has more than {threshold} counts; {remedy}")
    own = ppmi_vectors(table, tags, dimension=dimension, weighted=weighted).astype(np.float64)
    counts = np.array([table.counts[table.tag_index[tag]] for tag in tags], np.int64)
    joined = own
    if vectors is not None:
        words = _words_of(tags, vectors)
        if own.any():
            joined = with_predicted(own, words, counts, meaning)
        else:
            logger.warning("no two tags share a track: the labels go by word vectors alone")
            joined = words.astype(np.float64)
    told = joined.any(axis=1)
    if not told.any():
        raise FolksongError(
            f"the {len(tags)} tags with more than {threshold} counts share too few tracks, so that there is no "
            "co-occurrence to go by; give word vectors, or build labels of the most popular tags"
        )
    if not told.all():
        go_by = "each stands for itself" if vectors is None else "words alone tell what they are like"
        logger.info(
            "%d of %d tags share too few tracks with others to be placed by them%s",
            *((~told).sum(), len(tags), f": {go_by}" if alone else ", and are left out"),
        )
    placed = np.arange(len(tags)) if alone else np.flatnonzero(told)
    kept = tuple(tags[row] for row in placed)
    joined = direction_of(joined[placed])
    leaders = _link_stems(kept, own[placed]) if link_stems else np.arange(len(kept))
    members = set(kept)
    return HybridVectors(
        *(kept, counts[placed], joined, leaders, {r: t for r, t in sorted(aliases.items()) if t in members}),
        words=None if vectors is None else words[placed].astype(np.float64),
    )


def direction_of(points: Matrix) -> Matrix:
    """Return rows of length 1; those of 0 stay."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1)


def _words_of(tags: Sequence[str], vectors: WordVectors) -> npt.NDArray[np.float32]:
    """Return the tags' word vectors (n, m), zeros where no word has one."""
    embedded = embed_tags(tags, vectors)
    words = np.zeros((len(tags), vectors.dimension), np.float32)
    row_of = {tag: row for row, tag in enumerate(tags)}
    words[[row_of[tag] for tag in embedded.tags]] = embedded.vectors
    return words


def with_predicted(
    own: Matrix, words: npt.NDArray[np.float32], counts: Numbers, meaning: float = MEANING_COUNTS
) -> Matrix:
    """Return co-occurrence vectors (n, d) plus what words (n, m) predict of them, as if counted `meaning` times."""
    predicted = predict_from_words(words, own, counts >= MIN_CONTEXT_COUNT)
    weight = np.where(own.any(axis=1), meaning / np.maximum(counts, 1), 1.0)
    joined: Matrix = own + predicted * weight[:, None]
    return joined


def _link_stems(tags: Sequence[str], vectors: Matrix) -> Numbers:
    leaders = np.arange(len(tags))
    first: dict[tuple[str, ...], int] = {}
    for row, tag in enumerate(tags):  # most popular first, so that the leader of a group is
        stems = stems_of(tag)
        leader = first.setdefault(stems, row) if stems else row
        if leader != row and vectors[row] @ vectors[leader] >= LEAST_COSINE_OF_STEMS:
            leaders[row] = leader
    return leaders


def _link_pairs(leaders: Numbers, pairs: Sequence[Pair], rows: Mapping[str, int]) -> Numbers:
    leaders = leaders.copy()
    for pair in pairs:
        if pair.first not in rows or pair.second not in rows:
            missing = pair.second if pair.first in rows else pair.first
            logger.warning(
                "the pair %r and %r is passed over: %r, spelt so, is no tag with enough counts",
                *(pair.first, pair.second, missing),
            )
        elif pair.relation == "same":
            one, other = leaders[rows[pair.first]], leaders[rows[pair.second]]
            leaders[leaders == max(one, other)] = min(one, other)
    return leaders


def _apart(pairs: Sequence[Pair], rows: Mapping[str, int], leaders: Numbers) -> dict[int, set[int]]:
    """Return leader -> leaders that must not be in its cluster."""
    apart: dict[int, set[int]] = {}
    for pair in pairs:
        if pair.relation == "apart" and pair.first in rows and pair.second in rows:
            one, other = int(leaders[rows[pair.first]]), int(leaders[rows[pair.second]])
            if one == other:
                raise FolksongError(
                    f"{pair.first!r} and {pair.second!r} must be apart, but other pairs, their spelling or their stems "
                    "put them together; remove a pair, or leave spellings unmerged and stems unlinked"
                )
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
    return apart


def group_tags(
    placed: HybridVectors, leaders: Numbers, pairs: Sequence[Pair], *, alone: bool = False
) -> tuple[TagGroups, list[int]]:
    """Return the groups of linked tags, each at its tags' weighted mean, and each tag's group (-1: it has none).

    `alone` keeps groups that lie nowhere.
    """
    rows = {tag: row for row, tag in enumerate(placed.tags)}
    rows |= {raw: rows[tag] for raw, tag in placed.aliases.items()}
    leaders = _link_pairs(leaders, pairs, rows)
    apart = _apart(pairs, rows, leaders)
    points = np.zeros_like(placed.vectors)
    np.add.at(points, leaders, placed.vectors * np.sqrt(placed.counts)[:, None])
    heads = np.unique(leaders)
    if not alone:
        heads = heads[np.linalg.norm(points[heads], axis=1) > 1e-9]
    row_of = {head: row for row, head in enumerate(heads.tolist())}
    tags_of: dict[int, list[str]] = {}
    for tag, leader in zip(placed.tags, leaders.tolist(), strict=True):
        tags_of.setdefault(leader, []).append(tag)
    groups = TagGroups(
        tuple(placed.tags[head] for head in heads),
        tuple(" ".join(tags_of[head]) for head in row_of),
        np.bincount(leaders, placed.counts, minlength=len(leaders))[heads].astype(np.int64),
        points[heads],
        {
            row_of[one]: {row_of[rival] for rival in rivals if rival in row_of}
            for one, rivals in apart.items()
            if one in row_of
        },
    )
    return groups, [row_of.get(leader, -1) for leader in leaders.tolist()]
