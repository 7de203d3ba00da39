"""The hybrid label space: clusters of tags by co-occurrence, with the help of word vectors where tags are rare.

1. Spelling variants are merged; the raw spellings stay as the space's aliases.
2. Tags of the same word stems ("relax", "relaxing"; "favourite songs", "fave songs") are linked, unless their
   co-occurrence vectors contradict ("blues" and "blue" is such a risk, "country" and "countries" another).
3. Where word vectors are given, the co-occurrence vector that ridge regression predicts from a tag's words
   (`folksong.embeddings.ridge`) is added to the tag's own, as if it had been counted a few times: it decides on rare
   tags and leaves frequent ones alone.
4. The vectors of the linked groups are clustered by spherical k-means. Clusters are learned on tags with 5 counts or
   more; rarer ones go to the nearest centroid.
5. With `overlap`, tags then take part in several labels, so that those that are near share one and others do not
   (`folksong.labels.overlapping`); opposites, such as two decades, share none as far as that goes.

By default labels do not cross facets (`folksong.tags.facets`): instead of 4 and 5, the tags of each facet are given to
those that stand for them best (`folksong.labels.inside_facets`), as many as the counts ask for. Places,
instruments and decades that mean the same in any language are linked first.

A person's pairs can be added: those that must share a label are linked, those that must not are moved apart.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.embeddings.ppmi import ppmi_vectors
from folksong.embeddings.read_vectors import VectorSource, as_vectors
from folksong.embeddings.ridge import MEANING_COUNTS, add_predicted
from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError
from folksong.labels.analysis.pairs import Pair
from folksong.labels.inside_facets import divide_inside_facets, link_meanings
from folksong.labels.kmeans import frequent_tags, labels_of_clusters
from folksong.labels.overlapping import TagGroups, share_labels
from folksong.labels.space import Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.labels.wording import stems_of
from folksong.tags.cleaning.spelling import variants
from folksong.tags.facets import TagFacets
from folksong.tags.facets import facets as facets_of
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable, rename_tags

logger = logging.getLogger(__name__)

Numbers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]

LEARN_FROM_COUNTS = 5
LEAST_COSINE_OF_STEMS = 0.05
MOST_MEANING = 1e6
CLUSTERS_ACROSS_FACETS = 65


@dataclass(frozen=True, eq=False)
class HybridVectors:
    """Tags, their vectors, and which of them belong together for sure.

    Attributes:
        tags: (n,) canonical spellings, most popular first.
        counts: (n,) their counts.
        vectors: (n, d) co-occurrence and words joined, rows of length 1.
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


def hybrid(
    tags: Tags,
    vectors: VectorSource | None,
    *,
    threshold: int = 2,
    n_clusters: int | None = None,
    across_facets: bool = False,
    without: Sequence[str] = (),
    facets: TagFacets | None = None,
    overlap: int = 1,
    meaning: float = MEANING_COUNTS,
    dimension: int = 60,
    weighted: bool = False,
    merge_spellings: bool = True,
    link_stems: bool = True,
    pairs: Iterable[Pair] = (),
    n_init: int = 10,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> LabelSpace:
    """Build labels from co-occurrence and word vectors together.

    Args:
        tags: a tag table, or where to read it; ``table.select_tracks(split.training)`` learns from training tracks.
        vectors: word vectors or a sentence model, or where to read them; None uses the words' stems alone.
        threshold: only tags with more counts than this take part (variants counted together).
        n_clusters: number of labels; by default as many as the data ask for, or 65 across facets. With `overlap` some
            may turn out to be needed by no tag and are left out.
        across_facets: divide all tags by spherical k-means, whatever they are about.
        without: facets to leave out, such as ``("opinion", "name")``.
        facets: of the tags; by default `folksong.tags.facets.facets` says.
        overlap: labels that a tag may take part in, across facets; 1 divides the tags.
        meaning: counts of its own that a tag's words weigh as much as; 0 uses them for tags that co-occur with none.
        dimension: of the co-occurrence vectors.
        weighted: whether co-occurrence counts by the tags' weights (see `folksong.embeddings.ppmi.ppmi_vectors`).
        merge_spellings: merge spelling variants first and keep them as aliases.
        link_stems: link tags of the same word stems, unless their co-occurrence contradicts.
        pairs: a person's pairs of tags that must (``same``) or must not (``apart``) share a label.
        n_init: starts of k-means, of which the best is kept.
        seed: of k-means.
        provenance: further entries for the space's provenance.
        progress: show a progress bar.

    Raises:
        FolksongError: fewer tags than clusters, or pairs that contradict each other.
    """
    if overlap < 1:
        raise FolksongError(f"a tag takes part in 1 label or more, not in {overlap}")
    if across_facets and (without or facets is not None):
        raise FolksongError("facets can be given or left out only where labels do not cross them")
    if overlap > 1 and not across_facets:
        raise FolksongError(
            "labels overlap only where they cross facets (across_facets): inside a facet a tag that belonged to two "
            "labels would drown the rarer one"
        )
    table, pairs = as_table(tags), tuple(pairs)
    words = None if vectors is None else as_vectors(vectors)
    vector_settings: dict[str, Any] = {"meaning": meaning, "dimension": dimension, "weighted": weighted}
    vector_settings |= {"merge_spellings": merge_spellings, "link_stems": link_stems}
    placed = hybrid_vectors(table, words, threshold=threshold, **vector_settings)
    if across_facets:
        n_clusters = n_clusters or CLUSTERS_ACROSS_FACETS
        labels, facet_settings = (
            _across_facets(placed, pairs, n_clusters, overlap, n_init, seed, progress),
            {},
        )
    else:
        said = facets or facets_of(table, words, progress=progress)
        of_tag = [said.of(tag) for tag in placed.tags]
        groups, group_of = _group(placed, link_meanings(placed.tags, placed.leaders, of_tag), pairs)
        counts = dict(zip(placed.tags, placed.counts.tolist(), strict=True))
        labels, costs = divide_inside_facets(
            counts, of_tag, placed.words, groups, group_of, table, n_clusters, frozenset(without)
        )
        facet_settings = {"across_facets": False, "without": sorted(without), "left_out": costs}
    settings: dict[str, Any] = {"builder": "hybrid", "threshold": threshold, "n_clusters": n_clusters}
    settings |= {"overlap": overlap, **vector_settings, **facet_settings, "n_init": n_init, "seed": seed}
    settings["pairs"] = [[pair.relation, pair.first, pair.second] for pair in pairs]
    settings |= {"n_tracks": table.n_tracks, "table_sha256": table.sha256()}
    if words is not None:
        settings |= {"vectors": words.source, "vectors_sha256": words.sha256}
    members = {tag for label in labels for tag in label.tags}
    aliases = {raw: tag for raw, tag in placed.aliases.items() if tag in members}
    return LabelSpace(labels, aliases, {**settings, **(provenance or {})})


def _across_facets(
    placed: HybridVectors,
    pairs: Sequence[Pair],
    n_clusters: int,
    overlap: int,
    n_init: int,
    seed: int,
    progress: bool,
) -> tuple[Label, ...]:
    groups, group_of = _group(placed, placed.leaders, pairs)
    division = _divide(groups, n_clusters, n_init, seed)
    found: list[tuple[int, ...]] = [(label,) for label in division.tolist()]
    if overlap > 1:
        found = share_labels(groups, division, n_clusters, overlap, progress=progress)
    numbers = [found[row] if row >= 0 else (-1,) for row in group_of]
    return labels_of_clusters(placed.tags, [main for main, *_ in numbers], [also for _, *also in numbers])


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
) -> HybridVectors:
    """Return the tags' vectors, and link those of the same stems; arguments as for `hybrid`."""
    if not 0 <= meaning <= MOST_MEANING:
        raise FolksongError(
            f"the weight of meaning must be a number from 0 to {MOST_MEANING:g}, not {meaning}"
        )
    aliases: dict[str, str] = {}
    if merge_spellings:
        aliases = {merge.source: merge.target for merge in variants(table, mistyped=False)}
        table = rename_tags(table, aliases)
    tags = frequent_tags(table, threshold)
    if not tags:
        remedy = "lower the threshold" if threshold and table.n_counts else "there are no tags"
        raise FolksongError(f"no tag has more than {threshold} counts; {remedy}")
    own = ppmi_vectors(table, tags, dimension=dimension, weighted=weighted).astype(np.float64)
    counts = np.array([table.counts[table.tag_index[tag]] for tag in tags], np.int64)
    joined = own
    if vectors is not None:
        embedded = embed_tags(tags, vectors)
        words = np.zeros((len(tags), vectors.dimension), np.float32)  # zeros where no word has a vector
        row_of = {tag: row for row, tag in enumerate(tags)}
        words[[row_of[tag] for tag in embedded.tags]] = embedded.vectors
        if own.any():
            joined = add_predicted(own, words, counts, meaning)
        else:
            logger.warning("no two tags share a track: the labels go by word vectors alone")
            joined = words.astype(np.float64)
    placed = np.flatnonzero(joined.any(axis=1))
    kept = tuple(tags[row] for row in placed)
    if not kept:
        raise FolksongError(
            f"none of the {len(tags)} tags with more than {threshold} counts shares a track with another, so that "
            "there is no co-occurrence to go by; give word vectors, or build labels of the most popular tags"
        )
    if len(kept) < len(tags):
        logger.info("%d of %d tags have neither co-occurrence nor a vector", len(tags) - len(kept), len(tags))
    joined = joined[placed] / np.linalg.norm(joined[placed], axis=1, keepdims=True)
    leaders = _link_stems(kept, own[placed]) if link_stems else np.arange(len(kept))
    members = set(kept)
    return HybridVectors(
        *(kept, counts[placed], joined, leaders, {r: t for r, t in sorted(aliases.items()) if t in members}),
        words=None if vectors is None else words[placed].astype(np.float64),
    )


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


def _group(placed: HybridVectors, leaders: Numbers, pairs: Sequence[Pair]) -> tuple[TagGroups, list[int]]:
    """Return the groups of linked tags, each at its tags' weighted mean, and each tag's group (-1: it has none)."""
    rows = {tag: row for row, tag in enumerate(placed.tags)}
    rows |= {raw: rows[tag] for raw, tag in placed.aliases.items()}
    leaders = _link_pairs(leaders, pairs, rows)
    apart = _apart(pairs, rows, leaders)
    points = np.zeros_like(placed.vectors)
    np.add.at(points, leaders, placed.vectors * np.sqrt(placed.counts)[:, None])
    heads = np.unique(leaders)
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


def _divide(groups: TagGroups, n_clusters: int, n_init: int, seed: int) -> Numbers:
    """Return the cluster of each group of tags."""
    learned = groups.counts >= LEARN_FROM_COUNTS
    if learned.sum() < n_clusters:
        raise FolksongError(
            f"{n_clusters} clusters were asked for, but only {learned.sum()} tags share tracks with others (or have a "
            f"word vector) and have {LEARN_FROM_COUNTS} counts or more, variants and linked tags together; ask for "
            "fewer clusters"
        )
    model = SphericalKMeans(n_clusters, n_init=n_init, seed=seed).fit(groups.points[learned])
    chosen = model.predict(groups.points)
    # Groups are in order of popularity: of two that must be apart, the more popular one stays and the other moves.
    for row in sorted(groups.apart):
        rivals = {int(chosen[rival]) for rival in groups.apart[row] if rival < row}
        ranked = np.argsort(-(model.cluster_centers_ @ groups.points[row]), kind="stable").tolist()
        free = [place for place in dict.fromkeys([int(chosen[row]), *ranked]) if place not in rivals]
        if not free:
            raise FolksongError(
                f"{groups.names[row]!r} must be apart from tags in every cluster; ask for more clusters"
            )
        chosen[row] = free[0]
    return chosen
