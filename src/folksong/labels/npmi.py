"""Model 4.1: inside each genre, clusters of tags by linkage on the co-occurrence distance 1 − NPMI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from folksong.errors import FolksongError
from folksong.labels.space import Label, LabelSpace
from folksong.labels.subgenres import Cuts, Distances, Numbers, Subgenres, cluster_genres
from folksong.tags.cooccurrence import npmi_distance
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

Linkage = Literal["average", "complete", "single"]
Population = Literal["all", "genre"]

LINKAGES: tuple[Linkage, ...] = ("average", "complete", "single")


def npmi(
    tags: Tags,
    genres: LabelSpace,
    *,
    linkage: Linkage = "average",
    population: Population = "all",
    keep_main: bool = False,
    main_as_label: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Build Model 4.1: inside each genre, clusters of tags by linkage on 1 − NPMI.

    Args:
        tags: a tag table, or where to read it; to learn from training tracks only, give
            ``table.select_tracks(split.training)``.
        genres: the genre clusters.
        linkage: "average", "complete" or "single".
        population: the tracks that shares are taken over: "all", or those of the "genre" only.
        keep_main: cluster the main genre with the others.
        main_as_label: make the main genre a label of its own.
        provenance: further entries for the space's provenance.

    Raises:
        FolksongError: an unknown linkage or population, or no label is left.
    """
    found = cluster_by_npmi(tags, genres, linkage=linkage, population=population, keep_main=keep_main)
    return found.to_space(main_as_label=main_as_label, provenance=provenance)


def cluster_by_npmi(
    tags: Tags,
    genres: LabelSpace,
    *,
    linkage: Linkage = "average",
    population: Population = "all",
    keep_main: bool = False,
) -> Subgenres:
    """Cluster the tags of each genre, with the trees and silhouettes; arguments as for `npmi`."""
    if linkage not in LINKAGES:
        raise FolksongError(f"the linkage must be one of {', '.join(LINKAGES)}, not {linkage!r}")
    if population not in ("all", "genre"):
        raise FolksongError(f"the population must be 'all' or 'genre', not {population!r}")
    table = as_table(tags)

    def cut(genre: Label, members: tuple[str, ...], numbers: range) -> Cuts:
        from scipy.cluster.hierarchy import linkage as link
        from scipy.spatial.distance import squareform

        tracks = table if population == "all" else tracks_with(table, genre.tags)
        distances = npmi_distance(tracks, members)
        tree = link(squareform(distances, checks=False), linkage)
        return Cuts(distances, {k: cut_tree(tree, k) for k in numbers}, tree)

    settings = {"builder": "npmi", "linkage": linkage, "population": population}
    return cluster_genres(table, genres, cut, keep_main=keep_main, settings=settings)


def tracks_with(table: TagTable, tags: Sequence[str]) -> TagTable:
    """Return the table of the tracks that carry at least one of the tags."""
    columns = np.zeros(table.n_tags, bool)
    columns[[table.tag_index[tag] for tag in tags if tag in table.tag_index]] = True
    rows = np.flatnonzero(table.presence @ columns.astype(np.float32) > 0)
    return TagTable(table.track_ids[rows], table.tags, table.weights[rows])


def cut_tree(tree: Distances, n_clusters: int) -> Numbers:
    """Cut a linkage tree into exactly `n_clusters`, by undoing its last merges; ties do not matter.

    SciPy's ``fcluster`` gives fewer clusters where merges have equal heights. Clusters are numbered by their first
    point.
    """
    n_points = len(tree) + 1
    group = np.arange(2 * n_points - 1)
    for merge in range(n_points - n_clusters):
        left, right = int(tree[merge, 0]), int(tree[merge, 1])
        group[left] = group[right] = n_points + merge
    for node in range(2 * n_points - 2, -1, -1):  # parents before their children
        group[node] = group[group[node]]
    _, first, numbers = np.unique(group[:n_points], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers].astype(np.int64)
