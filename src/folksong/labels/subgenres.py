"""Clusters of tags inside each genre: what Models 4.1 (`labels.npmi`) and 4.2 (`labels.skipgram`) have in common.

The main genre of a cluster is the tag that names it (the most popular one, unless a person named it after another). It
is left out by default and the other tags are clustered. The number of clusters is the one from 5 to min(20, n − 1)
with the best silhouette; clusters of a single tag are removed. A genre with fewer than 6 tags to cluster stays one
label.

The silhouette (Rousseeuw 1987) of a point is (b − a) / max(a, b), with a its mean distance to the others of its cluster
and b the smallest mean distance to another cluster; it is 0 for a cluster of one. Pictures show how
genres were clustered: silhouettes, t-SNE and dendrograms with the tags' names.
"""

import importlib.util
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.drawing import short_name, write_picture
from folksong.errors import FolksongError
from folksong.labels.space import Label, LabelSpace
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Distances = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

FEWEST_TAGS = 6
FEWEST_CLUSTERS, MOST_CLUSTERS = 5, 20


@dataclass(frozen=True, eq=False)
class Cuts:
    """Clusterings of n tags to choose from.

    Attributes:
        distances: (n, n) what silhouettes are measured on.
        numbers: number of clusters -> (n,) the cluster of each tag.
        tree: SciPy's linkage matrix (n − 1, 4), for a dendrogram; None where there is none.
    """

    distances: Distances
    numbers: Mapping[int, Numbers]
    tree: Distances | None = None


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


def cluster_genres(
    table: TagTable,
    genres: LabelSpace,
    cut: Callable[[Label, tuple[str, ...], range], Cuts],
    *,
    settings: Mapping[str, Any],
    main_as_label: bool,
    provenance: Mapping[str, Any] | None,
    on_genre: Callable[[GenreClustering], None] | None,
) -> LabelSpace:
    """Cluster the tags of each genre, for the best silhouette, and make the labels, genre by genre.

    A label is named by its most popular tag; where two genres would give the same name, the later one says its genre.

    Args:
        table: the tags of the tracks.
        genres: the genre clusters.
        cut: gives the clusterings of a genre's tags (the second argument) into so many clusters (the third).
        settings: the builder and its parameters, for the provenance; with ``drop_rare`` tags rarer than the fourth
            root of the genre's most frequent one's count are left out, with ``keep_main`` the main genre is clustered
            with the others.
        main_as_label: make the main genre a label of its own.
        provenance: further entries.
        on_genre: called with how each genre with a tag on some track was clustered.
    """
    counts = table.counts_by_tag
    labels: list[Label] = []
    names: set[str] = set()
    for label in genres.labels:
        used = table.by_popularity(tag for tag in label.tags if counts.get(tag))
        if len(used) < len(label.tags):
            unused = len(label.tags) - len(used)
            logger.warning("genre %r: %d of its tags are on no track and left out", label.name, unused)
        if not used:
            continue
        if settings["drop_rare"]:
            used = [tag for tag in used if counts[tag] >= counts[used[0]] ** 0.25]
        main = None if settings["keep_main"] else label.name if label.name in used else used[0]
        found = _cluster(Label(label.name, tuple(used)), main, cut)
        members = found.clusters or [found.genre.tags]
        if found.clusters and main_as_label and main is not None:
            members = [(main,), *members]
        for tags in members:
            name = tags[0] if tags[0] not in names else f"{tags[0]} ({label.name})"
            labels.append(Label(name, tags))
            names.add(name)
        if on_genre is not None:
            on_genre(found)
    if not labels:
        raise FolksongError("there are no genres, so there are no labels")
    known = {"main_as_label": main_as_label, "genres": dict(genres.provenance)}
    known |= {"genres_sha256": genres.sha256(), **(provenance or {})}
    return LabelSpace.built(labels, genres.aliases, settings, table, known)


def _cluster(
    genre: Label, main: str | None, cut: Callable[[Label, tuple[str, ...], range], Cuts]
) -> GenreClustering:
    tags = tuple(tag for tag in genre.tags if tag != main)
    if len(tags) < FEWEST_TAGS:
        logger.warning(
            "genre %r: %d tags to cluster are fewer than %d; it stays one label",
            genre.name, len(tags), FEWEST_TAGS,
        )  # fmt: skip
        return GenreClustering(genre, main, tags)
    to_try = range(FEWEST_CLUSTERS, min(MOST_CLUSTERS, len(tags) - 1) + 1)
    found = _best(genre, main, tags, cut(genre, tags, to_try))
    if not found.clusters:
        logger.warning("genre %r: every cluster is a single tag; it stays one label", genre.name)
    return found


def _best(genre: Label, main: str | None, tags: tuple[str, ...], cuts: Cuts) -> GenreClustering:
    # k-means of few distinct vectors can leave a cluster empty: such a number of clusters was not reached.
    reached = {k: numbers for k, numbers in cuts.numbers.items() if len(np.unique(numbers)) == k}
    scores = {k: float(silhouette_samples(cuts.distances, numbers).mean()) for k, numbers in reached.items()}
    if not scores:
        return GenreClustering(genre, main, tags)
    # Rounding aside, so that another BLAS does not decide between equals; of equals the smaller number stays.
    best = max(scores, key=lambda k: (round(scores[k], 9), -k))
    return GenreClustering(genre, main, tags, reached[best], cuts.distances, scores, cuts.tree)


def silhouette_samples(
    distances: npt.NDArray[np.floating], numbers: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return the silhouette of each point, (n,) in [−1, 1], by distances (n, n) and numbers of clusters (n,).

    Raises:
        FolksongError: there are not between 2 and n − 1 clusters, where it is undefined.
    """
    member = _members(numbers)
    return _silhouettes(np.asarray(distances, np.float64) @ member, member)


def cosine_silhouettes(
    vectors: npt.NDArray[np.floating], numbers: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return the silhouettes of unit vectors (n, d) under 1 − cos, without the matrix of all distances."""
    member, points = _members(numbers), np.asarray(vectors, np.float64)
    totals = np.maximum(member.sum(axis=0) - points @ (points.T @ member), 0)
    return _silhouettes(totals, member)


def _members(numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return which point is in which cluster: (n, k), ones and zeros."""
    clusters, codes = np.unique(numbers, return_inverse=True)
    n, k = len(codes), len(clusters)
    if not 2 <= k <= n - 1:
        raise FolksongError(f"a silhouette needs 2 to {n - 1} clusters for {n} points, not {k}")
    member = np.zeros((n, k))
    member[np.arange(n), codes] = 1
    return member


def _silhouettes(totals: npt.NDArray[np.float64], member: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the silhouettes from each point's summed distance to each cluster, (n, k)."""
    n, codes, sizes = len(member), member.argmax(axis=1), member.sum(axis=0)
    own = sizes[codes]
    within = totals[np.arange(n), codes] / np.maximum(own - 1, 1)
    means = totals / sizes
    means[np.arange(n), codes] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(within, nearest)
    values: npt.NDArray[np.float64] = np.divide(nearest - within, larger, out=np.zeros(n), where=larger > 0)
    values[own == 1] = 0.0
    return values


INCHES_PER_TAG = 0.16
DPI = 110


def write_plots(clusterings: Sequence[GenreClustering], folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``silhouette-*.png`` and, where there is a tree, ``dendrogram-*.png`` for each clustered genre.

    Where scikit-learn is installed (``folksong[map]``), also ``tsne-*.png``.
    """
    with_tsne = has_tsne()
    written: list[Path] = []
    for number, clustering in enumerate(clusterings):
        if clustering.numbers is None:
            continue
        name = f"{number:02d}-{_file_name(clustering.genre.name)}.png"
        written.append(Path(folder, f"silhouette-{name}"))
        plot_silhouette(clustering, written[-1])
        if clustering.tree is not None:
            written.append(Path(folder, f"dendrogram-{name}"))
            plot_dendrogram(clustering, written[-1])
        if with_tsne:
            written.append(Path(folder, f"tsne-{name}"))
            plot_tsne(clustering, written[-1])
    return written


def has_tsne() -> bool:
    """Say whether scikit-learn is there."""
    return importlib.util.find_spec("sklearn") is not None


def plot_silhouette(clustering: GenreClustering, path: str | os.PathLike[str]) -> None:
    """Plot each tag's silhouette, cluster by cluster, beside the mean silhouette of each number of clusters."""
    from matplotlib.figure import Figure

    assert clustering.numbers is not None
    values = silhouette_samples(clustering.distances, clustering.numbers)
    order = np.lexsort((-values, clustering.numbers))
    height = max(3.0, INCHES_PER_TAG * len(order) + 1)
    figure = Figure(figsize=(10, min(height, 60)), layout="constrained")
    bars, curve = figure.subplots(1, 2, width_ratios=(2, 1))
    colours = [f"C{clustering.numbers[tag] % 10}" for tag in order]
    bars.barh(np.arange(len(order)), values[order], color=colours)
    bars.set_yticks(np.arange(len(order)), [_shown(clustering.tags[tag]) for tag in order], fontsize=7)
    bars.invert_yaxis()
    bars.set_ylim(len(order) - 0.5, -0.5)
    bars.axvline(clustering.silhouette, color="black", linestyle=":")
    bars.set_xlabel("silhouette")
    bars.set_title(f"{_shown(clustering.genre.name)}: {len(np.unique(clustering.numbers))} clusters")
    curve.plot(list(clustering.silhouettes), list(clustering.silhouettes.values()), marker="o")
    curve.set_xlabel("number of clusters")
    curve.set_ylabel("mean silhouette")
    write_picture(figure, path, dpi=DPI)


def plot_dendrogram(clustering: GenreClustering, path: str | os.PathLike[str]) -> None:
    """Plot the linkage tree with the tags' names; branches below the chosen cut are coloured."""
    from matplotlib.figure import Figure
    from scipy.cluster.hierarchy import dendrogram

    assert clustering.tree is not None
    assert clustering.numbers is not None
    height = max(3.0, INCHES_PER_TAG * len(clustering.tags) + 1)
    figure = Figure(figsize=(8, min(height, 60)), layout="constrained")
    axes = figure.subplots()
    n_clusters = len(np.unique(clustering.numbers))
    cut = clustering.tree[len(clustering.tree) - n_clusters + 1, 2]
    names = [_shown(tag) for tag in clustering.tags]
    dendrogram(
        clustering.tree, orientation="left", labels=names, color_threshold=cut, ax=axes, leaf_font_size=7
    )
    axes.axvline(cut, color="black", linestyle=":")
    axes.set_xlabel("1 − NPMI")
    axes.set_title(_shown(clustering.genre.name))
    write_picture(figure, path, dpi=DPI)


def tsne(clustering: GenreClustering) -> npt.NDArray[np.float32]:
    """Return the tags in two dimensions by t-SNE (van der Maaten and Hinton 2008) of their distances: (n, 2).

    It needs scikit-learn (``folksong[map]``).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(clustering.tags) - 1) / 3)
    settings = {"metric": "precomputed", "init": "random", "method": "exact"}
    with threadpool_limits(1):  # threads only wait for each other on so few tags
        plane: npt.NDArray[np.float32] = TSNE(
            perplexity=perplexity, random_state=0, **settings
        ).fit_transform(clustering.distances)
    return plane


def plot_tsne(clustering: GenreClustering, path: str | os.PathLike[str]) -> None:
    """Plot the tags by `tsne`, coloured by cluster."""
    from matplotlib.figure import Figure

    assert clustering.numbers is not None
    plane = tsne(clustering)
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots()
    axes.scatter(plane[:, 0], plane[:, 1], c=[f"C{number % 10}" for number in clustering.numbers], s=20)
    for (x, y), tag in zip(plane, clustering.tags, strict=True):
        axes.annotate(_shown(tag), (x, y), fontsize=6, xytext=(3, 0), textcoords="offset points")
    axes.set_axis_off()
    axes.set_title(_shown(clustering.genre.name))
    write_picture(figure, path, dpi=DPI)


def _shown(tag: str) -> str:
    """Return a tag that a plot can show: short, without Matplotlib's formulas."""
    return short_name(tag, 40).replace("$", r"\$")


def _file_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "genre"
