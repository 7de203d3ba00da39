"""Model 4.1: inside each genre, clusters of tags by linkage on the co-occurrence distance 1 − NPMI.

P(i) and P(i, j) are shares of tracks. The thesis behind the project takes them of the genre's co-occurrence matrix
instead (``population="pairs"``): P(i, j) = n_ij / N and P(i) = n_i / N with N = Σ n_ij, n_i = n_ii.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from folksong.errors import FolksongError
from folksong.labels.space import Label, LabelSpace
from folksong.labels.subgenres import Cuts, Distances, GenreClustering, Numbers, cluster_genres
from folksong.tags.cooccurrence import counts, npmi_distance, npmi_of_shares, tracks_with
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

Linkage = Literal["average", "complete", "single"]
Population = Literal["all", "genre", "pairs"]

LINKAGES: tuple[Linkage, ...] = ("average", "complete", "single")
POPULATIONS: tuple[Population, ...] = ("all", "genre", "pairs")


def npmi(
    tags: Tags,
    genres: LabelSpace,
    *,
    linkage: Linkage = "average",
    population: Population = "all",
    drop_rare: bool = False,
    keep_main: bool = False,
    main_as_label: bool = False,
    provenance: Mapping[str, Any] | None = None,
    on_genre: Callable[[GenreClustering], None] | None = None,
) -> LabelSpace:
    """Build Model 4.1: inside each genre, clusters of tags by linkage on 1 − NPMI.

    Args:
        tags: a tag table, or where to read it; ``table.select_tracks(split.training)`` learns from training tracks.
        genres: the genre clusters.
        linkage: "average", "complete" or "single".
        population: what shares are taken of: "all" tracks, those of the "genre" only, or the "pairs" that the
            genre's co-occurrence matrix counts.
        drop_rare: leave out tags rarer than the fourth root of the genre's most frequent one's count.
        keep_main: cluster the main genre with the others.
        main_as_label: make the main genre a label of its own.
        provenance: further entries for the space's provenance.
        on_genre: called with how each genre was clustered: the tree, the silhouettes.

    Raises:
        FolksongError: an unknown linkage or population, or no label is left.
    """
    if linkage not in LINKAGES:
        raise FolksongError(f"the linkage must be one of {', '.join(LINKAGES)}, not {linkage!r}")
    if population not in POPULATIONS:
        raise FolksongError(f"the population must be one of {', '.join(POPULATIONS)}, not {population!r}")
    table = as_table(tags)

    def cut(genre: Label, members: tuple[str, ...], numbers: range) -> Cuts:
        from scipy.cluster.hierarchy import linkage as link
        from scipy.spatial.distance import squareform

        tracks = table
        if population == "genre":
            rows = tracks_with(table, any_of=genre.tags)
            tracks = TagTable(table.track_ids[rows], table.tags, table.weights[rows])
        measure = _distance_of_pairs if population == "pairs" else npmi_distance
        distances = measure(tracks, members)
        tree = link(squareform(distances, checks=False), linkage)
        return Cuts(distances, {k: cut_tree(tree, k) for k in numbers}, tree)

    settings: dict[str, Any] = {"builder": "npmi", "linkage": linkage, "population": population}
    settings |= {"drop_rare": drop_rare, "keep_main": keep_main}
    return cluster_genres(
        table,
        genres,
        cut,
        settings=settings,
        main_as_label=main_as_label,
        provenance=provenance,
        on_genre=on_genre,
    )


def _distance_of_pairs(table: TagTable, tags: Sequence[str]) -> Distances:
    """Return 1 − NPMI from shares of all the co-occurrences among `tags`: (n, n)."""
    together = counts(table, tags)
    joint = together / together.sum()
    return 1.0 - npmi_of_shares(joint, np.diagonal(joint).copy())


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
