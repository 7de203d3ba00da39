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
those that stand for them best (`folksong.labels.facility_location`), as many as the counts ask for. Places,
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
from folksong.labels.facility_location import facility_location
from folksong.labels.kmeans import frequent_tags, labels_of_clusters
from folksong.labels.likeness import likeness
from folksong.labels.overlapping import TagGroups, share_labels
from folksong.labels.space import Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.labels.wording import meaning_of, stems_of
from folksong.tags.cleaning.spelling import variants
from folksong.tags.facet_lists import FACETS, UNKNOWN
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
LEAST_TRACKS = 20
"""A label's name has at least so many counts, its spellings and what means the same together; in a table of fewer than
4,000 tracks, one for 200 tracks."""
MOST_CANDIDATES = 1500
LEAST_LIKENESS, LEAST_LIKENESS_OF_RARE, FREQUENT = 0.33, 0.4, 10
"""Tags less like any label's name are in none; what a tag with fewer counts than the last says of itself is unsure."""
LOOSE_FACETS = ("opinion", "name")
"""Facets whose labels hold together by nothing but their facet: every tag is in the one that it is most like."""
ENOUGH_COMPANY = 4.0
MOOD_BY_WORDS = 0.5
"""Moods and occasions suit any music, so that their company says less of them than their words."""


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
        labels, costs = _within_facets(placed, table, said, pairs, n_clusters, frozenset(without))
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


def _within_facets(
    placed: HybridVectors,
    table: TagTable,
    facets: TagFacets,
    pairs: Sequence[Pair],
    n_labels: int | None,
    without: frozenset[str],
) -> tuple[tuple[Label, ...], dict[str, int]]:
    """Return the labels by facet, the most popular first, and the counts left out of each facet."""
    if unknown := without - {*FACETS}:
        raise FolksongError(f"there is no facet {', '.join(sorted(unknown))}; facets are {', '.join(FACETS)}")
    of_tag = [facets.of(tag) for tag in placed.tags]
    leaders = _link_meanings(placed, of_tag)
    groups, group_of = _group(placed, leaders, pairs)
    row_of = {tag: row for row, tag in enumerate(placed.tags)}
    of_group = [of_tag[row_of[name]] for name in groups.names]
    wanted = np.array([facet != UNKNOWN and facet not in without for facet in of_group], bool)
    if not wanted.any() and not without:
        logger.warning("nothing is known of what the tags are about: they are divided as they are")
        wanted[:] = True
    least_tracks = min(LEAST_TRACKS, max(2, table.n_tracks // 200))
    frequent = np.flatnonzero(wanted & (groups.counts >= least_tracks))[:MOST_CANDIDATES]
    if not len(frequent):
        raise FolksongError(
            f"no tag of the facets to keep has {least_tracks} counts or more, so that a label could be learned; keep "
            "more facets, or build labels of the most popular tags"
        )
    units = groups.points / np.linalg.norm(groups.points, axis=1, keepdims=True)
    words = None if placed.words is None else placed.words[[row_of[name] for name in groups.names]]
    meanings = [meaning_of(name, facet) for name, facet in zip(groups.names, of_group, strict=True)]
    by_words = np.array([MOOD_BY_WORDS if facet in ("mood", "use") else 0.0 for facet in of_group])
    by_words = np.maximum(by_words, _words_share(table))
    alike = likeness(groups.names, groups.wordings, units, words, by_words, of_group, meanings, frequent)
    found = facility_location(alike, frequent, np.where(wanted, groups.counts, 0), n_labels)
    loose = np.array([facet in LOOSE_FACETS for facet in of_group], bool)
    least = np.where(groups.counts < FREQUENT, LEAST_LIKENESS_OF_RARE, LEAST_LIKENESS)
    near = found.likeness >= np.where(loose, 1e-6, least)
    label_of = np.where(wanted & near, found.label, -1)
    _keep_apart(groups, label_of, alike[:, np.searchsorted(frequent, found.chosen)])
    members: dict[int, list[int]] = {}
    costs: dict[str, int] = {}
    for row, group in enumerate(group_of):
        label = int(label_of[group]) if group >= 0 else -1
        if label >= 0:
            members.setdefault(label, []).append(row)
        else:
            costs[of_tag[row]] = costs.get(of_tag[row], 0) + int(placed.counts[row])
    labels = [
        Label(
            placed.tags[rows[0]],
            tuple(placed.tags[row] for row in rows),
            (),
            of_group[int(found.chosen[label])],
        )
        for label, rows in members.items()
    ]
    order = {facet: place for place, facet in enumerate((*FACETS, UNKNOWN))}
    logger.info(
        "counts left out, by facet: %s", ", ".join(f"{facet} {n:,}" for facet, n in costs.items()) or "none"
    )
    return tuple(sorted(labels, key=lambda label: order[label.facet])), costs


def _link_meanings(placed: HybridVectors, facets: Sequence[str]) -> Numbers:
    """Return the leaders of tags that mean the same: of one facet, and of one stem, place, instrument or decade."""
    leaders = placed.leaders.copy()
    first: dict[tuple[str, str], int] = {}
    for row, (tag, facet) in enumerate(zip(placed.tags, facets, strict=True)):
        if facets[leaders[row]] != facet:
            leaders[row] = row
        meaning = meaning_of(tag, facet)
        if meaning:
            other = leaders[first.setdefault((facet, meaning), row)]
            one = leaders[row]
            leaders[leaders == max(one, other)] = min(one, other)
    return leaders


def _keep_apart(groups: TagGroups, label_of: Numbers, alike: npt.NDArray[np.float32]) -> None:
    """Move the rarer of two groups that must be apart to the next label that it is like, or out."""
    for row in sorted(groups.apart):
        rivals = {int(label_of[rival]) for rival in groups.apart[row] if rival < row}
        if int(label_of[row]) in rivals:
            ranked = np.argsort(-alike[row], kind="stable").tolist()
            free = (label for label in ranked if label not in rivals and alike[row, label] >= LEAST_LIKENESS)
            label_of[row] = next(free, -1)


def _words_share(table: TagTable) -> float:
    """Return how much words say rather than company: none where a tag shares its tracks with many others."""
    tags_of = np.diff(table.weights.indptr)
    company = float((tags_of * (tags_of - 1)).sum() / max(table.n_counts, 1))
    share = max(0.0, 1 - company / ENOUGH_COMPANY)
    if share:
        logger.info(
            "a tag has %.1f others on its tracks on average: likeness goes by words to %.0f%%",
            company,
            100 * share,
        )
    return share


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
