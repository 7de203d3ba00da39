"""Stability of a label space: how far repeated builds agree, over seeds and over samples of the tracks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from folksong.embeddings.tags import TagVectors, embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError
from folksong.labels.analysis.diff import diff
from folksong.labels.hybrid import hybrid
from folksong.labels.kmeans import frequent_tags, kmeans
from folksong.labels.space import LabelSpace
from folksong.labels.subgenres import cosine_silhouettes
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable


@dataclass(frozen=True)
class Stability:
    """Agreement (adjusted Rand index) of repeated builds with each other; empty where fewer than two were made.

    Attributes:
        space: what the first seed gave.
        seeds: between every two seeds, on the same tracks.
        bootstrap: between the first space and those of tracks drawn with replacement, same seed.
    """

    space: LabelSpace
    seeds: tuple[float, ...]
    bootstrap: tuple[float, ...]


def stability(
    build: Callable[[TagTable, int], LabelSpace],
    tags: Tags,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n_bootstrap: int = 3,
) -> Stability:
    """Build a space again and again and say how far the results agree.

    `build` makes a space of a table and a seed. It is called for each of the `seeds`, and with `n_bootstrap` samples of
    the tracks, drawn with replacement.
    """
    table = as_table(tags)
    spaces = [build(table, seed) for seed in seeds]
    between = [diff(one, other).adjusted_rand for i, one in enumerate(spaces) for other in spaces[i + 1 :]]
    sampled = []
    for number in range(n_bootstrap):
        rows = np.sort(np.random.default_rng([seeds[0], number]).integers(0, table.n_tracks, table.n_tracks))
        track_ids = [str(position) for position in range(len(rows))]
        sample = TagTable(np.array(track_ids, dtype=object), table.tags, table.weights[rows])
        sampled.append(diff(spaces[0], build(sample, seeds[0])).adjusted_rand)
    return Stability(spaces[0], tuple(between), tuple(sampled))


def mean_silhouette(space: LabelSpace, vectors: TagVectors) -> float:
    """Return the mean silhouette of a space's tags under 1 − cos of their vectors; NaN where it is undefined."""
    row_of = {tag: row for row, tag in enumerate(vectors.tags)}
    tags = [tag for tag in space.tags if tag in row_of]
    numbers = np.array([space.labels_of(tag)[0] for tag in tags])
    if not 2 <= len(np.unique(numbers)) <= len(tags) - 1:
        return float("nan")
    return float(cosine_silhouettes(vectors.vectors[[row_of[tag] for tag in tags]], numbers).mean())


@dataclass(frozen=True)
class SettingRow:
    """One setting of a builder and what came of it; figures are NaN where they are undefined.

    Attributes:
        vectors, threshold, n_clusters: the setting; "-" without word vectors.
        labels, counts, tracks: labels made, and the shares of counts and tracks that they keep.
        mean_size, largest: tags in a label.
        silhouette: mean silhouette under 1 − cos of the word vectors.
        seeds, least_seeds: mean and least adjusted Rand index over pairs of seeds.
        samples, least_samples: the same over samples of the tracks.
        problem: why the setting gave no space; empty if it did.
    """

    vectors: str
    threshold: int
    n_clusters: int
    labels: int = 0
    counts: float = float("nan")
    tracks: float = float("nan")
    mean_size: float = float("nan")
    largest: int = 0
    silhouette: float = float("nan")
    seeds: float = float("nan")
    least_seeds: float = float("nan")
    samples: float = float("nan")
    least_samples: float = float("nan")
    problem: str = ""


def measure_setting(
    tags: Tags,
    vectors: WordVectors | None,
    builder: Literal["kmeans", "hybrid"],
    threshold: int,
    n_clusters: int,
    *,
    n_seeds: int = 5,
    n_bootstrap: int = 3,
) -> SettingRow:
    """Build a setting again and again, and say what it keeps and how stable it is.

    A setting that cannot be built (more clusters than tags) gives a row that says so.
    """
    table = as_table(tags)
    row = SettingRow("-" if vectors is None else vectors.source, threshold, n_clusters)
    settings: dict[str, Any] = {"threshold": threshold, "n_clusters": n_clusters}
    placed = None if vectors is None else embed_tags(frequent_tags(table, threshold), vectors)

    def build(source: TagTable, seed: int) -> LabelSpace:
        if builder == "kmeans" and placed is not None:
            return kmeans(source, placed, **settings, seed=seed)
        return hybrid(source, vectors, across_facets=True, **settings, seed=seed)

    try:
        found = stability(build, table, seeds=range(n_seeds), n_bootstrap=n_bootstrap)
    except FolksongError as error:
        return replace(row, problem=str(error))
    kept, sizes = found.space.coverage(table), [len(label.tags) for label in found.space.labels]
    (seeds, least_seeds), (samples, least_samples) = (
        _mean_and_least(found.seeds),
        _mean_and_least(found.bootstrap),
    )
    return replace(
        row, labels=len(sizes), counts=kept.counts, tracks=kept.tracks, mean_size=float(np.mean(sizes)),
        largest=max(sizes), silhouette=float("nan") if placed is None else mean_silhouette(found.space, placed),
        seeds=seeds, least_seeds=least_seeds, samples=samples, least_samples=least_samples,
    )  # fmt: skip


def _mean_and_least(values: Sequence[float]) -> tuple[float, float]:
    return (float(np.mean(values)), min(values)) if values else (float("nan"), float("nan"))
