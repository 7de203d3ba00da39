"""Pictures of how genres were clustered: silhouettes, t-SNE and dendrograms with the tags' names."""

import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.drawing import short_name, write_picture
from folksong.labels.subgenres import GenreClustering, silhouette_samples

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


def tsne(clustering: GenreClustering, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return the tags in two dimensions by t-SNE (van der Maaten and Hinton 2008) of their distances: (n, 2).

    It needs scikit-learn (``folksong[map]``).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(clustering.tags) - 1) / 3)
    settings = {"metric": "precomputed", "init": "random", "method": "exact"}
    with threadpool_limits(1):  # threads only wait for each other on so few tags
        plane: npt.NDArray[np.float32] = TSNE(
            perplexity=perplexity, random_state=seed, **settings
        ).fit_transform(clustering.distances)
    return plane


def plot_tsne(clustering: GenreClustering, path: str | os.PathLike[str], *, seed: int = 0) -> None:
    """Plot the tags by `tsne`, coloured by cluster."""
    from matplotlib.figure import Figure

    assert clustering.numbers is not None
    plane = tsne(clustering, seed=seed)
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
