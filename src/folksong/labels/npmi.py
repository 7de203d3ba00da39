"""Models 4.1 and 4.2: labels inside each genre, by the company its tags keep.

Inside a genre cluster the main genre (the most popular tag) is left out by default, and the others are clustered:
4.1 by linkage on the NPMI distance, 4.2 by spherical k-means of skip-gram tag vectors. The number of clusters is the
one from 5 to min(20, n − 1) with the best silhouette; clusters of a single tag are removed. A genre with fewer than 6
tags to cluster stays one label.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from folksong.embeddings.skipgram import Output, train_skipgram
from folksong.errors import FolksongError
from folksong.labels.analysis.silhouette import silhouette, silhouette_samples
from folksong.labels.space import Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.tags.cooccurrence import npmi_distance
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Distances = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Linkage = Literal["average", "complete", "single"]
Population = Literal["all", "genre"]

LINKAGES: tuple[Linkage, ...] = ("average", "complete", "single")
FEWEST_TAGS = 6


@dataclass(frozen=True, eq=False)
class GenreClustering:
    """How the tags of one genre were clustered.

    Attributes:
        genre: the genre's label.
        main: its main tag, left out of the clustering; None where it took part.
        tags: (n,) the clustered tags, most popular first.
        numbers: (n,) the cluster of each tag; None where the genre stays one label.
        distances: (n, n) what the silhouettes were measured on.
        silhouettes: number of clusters tried -> mean silhouette.
        tree: SciPy's linkage matrix (n − 1, 4), for a dendrogram; None for Model 4.2.
    """

    genre: Label
    main: str | None
    tags: tuple[str, ...]
    numbers: Numbers | None = None
    distances: Distances = field(default_factory=lambda: np.zeros((0, 0)))
    silhouettes: Mapping[int, float] = field(default_factory=dict)
    tree: Distances | None = None

    @property
    def clusters(self) -> list[tuple[str, ...]]:
        """The clusters of two tags or more, in the order of their most popular tag; empty if there are none."""
        if self.numbers is None:
            return []
        members: dict[int, list[str]] = {}
        for tag, number in zip(self.tags, self.numbers.tolist(), strict=True):
            members.setdefault(number, []).append(tag)
        return [tuple(cluster) for cluster in members.values() if len(cluster) > 1]

    @property
    def singletons(self) -> tuple[str, ...]:
        """The tags that were alone in their cluster and are removed."""
        kept = {tag for cluster in self.clusters for tag in cluster}
        return () if self.numbers is None else tuple(tag for tag in self.tags if tag not in kept)

    @property
    def silhouette(self) -> float:
        """The mean silhouette of the chosen clustering; NaN where the genre stays one label."""
        return max(self.silhouettes.values()) if self.silhouettes else float("nan")

    def silhouette_samples(self) -> npt.NDArray[np.float64]:
        """Return the silhouette of each tag (n,)."""
        if self.numbers is None:
            raise FolksongError(f"the genre {self.genre.name!r} was not clustered")
        return silhouette_samples(self.distances, self.numbers)


def npmi(
    table: TagTable,
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
        table: the tags; to learn from training tracks only, give ``table.select_tracks(split.training)``.
        genres: the genre clusters.
        linkage: "average", "complete" or "single".
        population: the tracks that shares are taken over: "all", or those of the "genre" only.
        keep_main: cluster the main genre with the others.
        main_as_label: make the main genre a label of its own.
        provenance: further entries for the space's provenance.
    """
    clusterings = cluster_by_npmi(table, genres, linkage=linkage, population=population, keep_main=keep_main)
    settings = {"builder": "npmi", "linkage": linkage, "population": population}
    return subgenre_space(clusterings, table, genres, main_as_label, {**settings, **(provenance or {})})


def skipgram(
    table: TagTable,
    genres: LabelSpace,
    *,
    output: Output = "softmax",
    batch_size: int | None = None,
    epochs: int | None = None,
    n_init: int = 10,
    keep_main: bool = False,
    main_as_label: bool = False,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Build Model 4.2: inside each genre, spherical k-means of skip-gram tag vectors.

    Args:
        table: the tags; to learn from training tracks only, give ``table.select_tracks(split.training)``.
        genres: the genre clusters.
        output: of the network, "softmax" or "sigmoid".
        batch_size: None trains full-batch on the co-occurrence counts; the original took 10 samples.
        epochs: at most so many.
        n_init: starts of k-means, of which the best is kept.
        keep_main: cluster the main genre with the others.
        main_as_label: make the main genre a label of its own.
        seed: of the network and of k-means.
        provenance: further entries for the space's provenance.
    """
    clusterings = cluster_by_skipgram(
        table,
        genres,
        output=output,
        batch_size=batch_size,
        epochs=epochs,
        n_init=n_init,
        keep_main=keep_main,
        seed=seed,
    )
    settings = {"builder": "skipgram", "output": output, "batch_size": batch_size, "epochs": epochs}
    settings |= {"n_init": n_init, "seed": seed}
    return subgenre_space(clusterings, table, genres, main_as_label, {**settings, **(provenance or {})})


def cluster_by_npmi(
    table: TagTable,
    genres: LabelSpace,
    *,
    linkage: Linkage = "average",
    population: Population = "all",
    keep_main: bool = False,
) -> list[GenreClustering]:
    """Cluster the tags of each genre by linkage on the NPMI distance, for the best silhouette."""
    if linkage not in LINKAGES:
        raise FolksongError(f"the linkage must be one of {', '.join(LINKAGES)}, not {linkage!r}")
    if population not in ("all", "genre"):
        raise FolksongError(f"the population must be 'all' or 'genre', not {population!r}")

    def cluster(genre: Label, main: str | None, tags: tuple[str, ...]) -> GenreClustering:
        from scipy.cluster.hierarchy import linkage as link
        from scipy.spatial.distance import squareform

        tracks = table if population == "all" else tracks_with(table, genre.tags)
        distances = npmi_distance(tracks, tags)
        tree = link(squareform(distances, checks=False), linkage)
        cuts = {k: cut_tree(tree, k) for k in _numbers_to_try(len(tags))}
        return _best(genre, main, tags, distances, cuts, tree)

    return _cluster_each(table, genres, keep_main, cluster)


def cluster_by_skipgram(
    table: TagTable,
    genres: LabelSpace,
    *,
    output: Output = "softmax",
    batch_size: int | None = None,
    epochs: int | None = None,
    n_init: int = 10,
    keep_main: bool = False,
    seed: int = 0,
) -> list[GenreClustering]:
    """Cluster the tags of each genre by spherical k-means of skip-gram vectors, for the best silhouette."""

    def cluster(genre: Label, main: str | None, tags: tuple[str, ...]) -> GenreClustering:
        learned = train_skipgram(table, tags, output=output, batch_size=batch_size, epochs=epochs, seed=seed)
        vectors = learned.vectors.astype(np.float64)
        distances = np.clip(1 - vectors @ vectors.T, 0, 2)
        np.fill_diagonal(distances, 0)
        cuts = {
            k: SphericalKMeans(k, n_init=n_init, seed=seed).fit(vectors).labels_
            for k in _numbers_to_try(len(tags))
        }
        return _best(genre, main, tags, distances, cuts, None)

    return _cluster_each(table, genres, keep_main, cluster)


def subgenre_space(
    clusterings: Sequence[GenreClustering],
    table: TagTable,
    genres: LabelSpace,
    main_as_label: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Make the labels of clustered genres, genre by genre.

    A label is named by its most popular tag; where two genres would give the same name, the later one says its genre.

    Raises:
        FolksongError: no label is left.
    """
    labels: list[Label] = []
    names: set[str] = set()
    for clustering in clusterings:
        members: list[tuple[str, ...]] = list(clustering.clusters)
        if not members:
            members = [clustering.genre.tags]
        elif main_as_label and clustering.main is not None:
            members = [(clustering.main,), *members]
        for tags in members:
            name = tags[0] if tags[0] not in names else f"{tags[0]} ({clustering.genre.name})"
            labels.append(Label(name, tags))
            names.add(name)
    if not labels:
        raise FolksongError("there are no genres, so there are no labels")
    kept = {tag for label in labels for tag in label.tags}
    return LabelSpace(
        tuple(labels),
        {raw: member for raw, member in genres.aliases.items() if member in kept},
        {
            "keep_main": any(c.main is None and c.numbers is not None for c in clusterings),
            "main_as_label": main_as_label,
            "n_tracks": table.n_tracks,
            "table_sha256": table.sha256(),
            "genres": dict(genres.provenance),
            "genres_sha256": genres.sha256(),
            **(provenance or {}),
        },
    )


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


def _cluster_each(
    table: TagTable,
    genres: LabelSpace,
    keep_main: bool,
    cluster: Callable[[Label, str | None, tuple[str, ...]], GenreClustering],
) -> list[GenreClustering]:
    counts = dict(zip(table.tags, table.counts.tolist(), strict=True))
    result: list[GenreClustering] = []
    for label in genres.labels:
        used = sorted((tag for tag in label.tags if counts.get(tag)), key=lambda tag: (-counts[tag], tag))
        if len(used) < len(label.tags):
            unused = len(label.tags) - len(used)
            logger.warning("genre %r: %d of its tags are on no track and left out", label.name, unused)
        if not used:
            continue
        genre = Label(label.name, tuple(used))
        main, tags = (None, genre.tags) if keep_main else (used[0], genre.tags[1:])
        if len(tags) < FEWEST_TAGS:
            logger.warning(
                "genre %r: %d tags to cluster are fewer than %d; it stays one label",
                label.name,
                len(tags),
                FEWEST_TAGS,
            )
            result.append(GenreClustering(genre, main, tags))
            continue
        result.append(cluster(genre, main, tags))
        if not result[-1].clusters:
            logger.warning("genre %r: every cluster is a single tag; it stays one label", label.name)
    return result


def _numbers_to_try(n_tags: int) -> range:
    return range(5, min(20, n_tags - 1) + 1)


def _best(
    genre: Label,
    main: str | None,
    tags: tuple[str, ...],
    distances: Distances,
    cuts: Mapping[int, Numbers],
    tree: Distances | None,
) -> GenreClustering:
    # k-means of few distinct vectors can leave a cluster empty: such a number of clusters was not reached.
    reached = {k: numbers for k, numbers in cuts.items() if len(np.unique(numbers)) == k}
    scores = {k: silhouette(distances, numbers) for k, numbers in reached.items()}
    if not scores:
        return GenreClustering(genre, main, tags)
    # Rounding aside, so that another BLAS does not decide between equals; of equals the smaller number stays.
    best = max(scores, key=lambda k: (round(scores[k], 9), -k))
    return GenreClustering(genre, main, tags, reached[best], distances, scores, tree)
