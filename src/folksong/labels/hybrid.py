"""The hybrid label space: tags grouped by co-occurrence, with the help of word vectors where tags are rare.

Tags become vectors and groups of what belongs together for sure (`folksong.labels.hybrid_vectors`). Labels do not
cross facets (`folksong.labels.inside_facets`) unless asked: then the vectors of the groups are clustered by spherical
k-means, learned on tags with 5 counts or more; rarer ones go to the nearest centroid.

A person's pairs can be added: those that must share a label are linked, those that must not are moved apart.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from folksong.embeddings.read_vectors import VectorSource, as_vectors
from folksong.errors import FolksongError
from folksong.labels.analysis.pairs import Pair
from folksong.labels.hybrid_vectors import (
    MEANING_COUNTS,
    HybridVectors,
    Numbers,
    TagGroups,
    group_tags,
    hybrid_vectors,
)
from folksong.labels.inside_facets import inside_facets
from folksong.labels.kmeans import labels_of_clusters
from folksong.labels.space import Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.tags.facets import TagFacets
from folksong.tags.facets import facets as facets_of
from folksong.tags.sources.read_tags import Tags, as_table

logger = logging.getLogger(__name__)

LEARN_FROM_COUNTS = 5
CLUSTERS_ACROSS_FACETS = 65


def hybrid(
    tags: Tags,
    vectors: VectorSource | None,
    *,
    threshold: int = 2,
    n_clusters: int | None = None,
    across_facets: bool = False,
    without: Sequence[str] = (),
    facets: TagFacets | None = None,
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
        n_clusters: number of labels; by default as many as the data ask for, or 65 across facets.
        across_facets: divide all tags by spherical k-means, whatever they are about.
        without: facets to leave out, such as ``("opinion", "name")``.
        facets: of the tags; by default `folksong.tags.facets.facets` says.
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
    if across_facets and (without or facets is not None):
        raise FolksongError("facets can be given or left out only where labels do not cross them")
    table, pairs = as_table(tags), tuple(pairs)
    words = None if vectors is None else as_vectors(vectors)
    vector_settings: dict[str, Any] = {"meaning": meaning, "dimension": dimension, "weighted": weighted}
    vector_settings |= {"merge_spellings": merge_spellings, "link_stems": link_stems}
    placed = hybrid_vectors(table, words, threshold=threshold, alone=not across_facets, **vector_settings)
    if across_facets:
        n_clusters = n_clusters or CLUSTERS_ACROSS_FACETS
        labels, by_facet = _across_facets(placed, pairs, n_clusters, n_init, seed), dict[str, Any]()
    else:
        said = facets or facets_of(table, words, progress=progress)
        labels, costs = inside_facets(placed, table, said, pairs, n_clusters, frozenset(without))
        by_facet = {"across_facets": False, "without": sorted(without), "left_out": costs}
    settings = {"builder": "hybrid", "threshold": threshold, "n_clusters": n_clusters, **vector_settings}
    settings |= {**by_facet, "n_init": n_init, "seed": seed, "pairs": [[*astuple(one)] for one in pairs]}
    return LabelSpace.built(labels, placed.aliases, settings, table, provenance, words)


def _across_facets(
    placed: HybridVectors, pairs: Sequence[Pair], n_clusters: int, n_init: int, seed: int
) -> tuple[Label, ...]:
    groups, group_of = group_tags(placed, placed.leaders, pairs)
    division = _divide(groups, n_clusters, n_init, seed)
    main = [int(division[row]) if row >= 0 else -1 for row in group_of]
    return labels_of_clusters(placed.tags, main)


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
