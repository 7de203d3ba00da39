"""A grid of label spaces: every embedding × threshold × number of clusters, one row each.

Rows are kept in a Parquet file. A grid that was interrupted goes on where it stopped: settings whose row is there
(for the same table and vectors) are not built again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from folksong.embeddings.tags import TagVectors, embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path
from folksong.labels.analysis.silhouette import silhouette
from folksong.labels.analysis.stability import agreement
from folksong.labels.kmeans import frequent_tags, kmeans, tags_of
from folksong.labels.space import LabelSpace
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GridRow:
    """One setting and what came of it.

    Attributes:
        vectors: name of the embedding; `vectors_sha256` its hash, `table_sha256` that of the tags.
        vectors_sha256: see there.
        table_sha256: see there.
        threshold: tags with more counts take part.
        n_clusters: number of clusters asked for.
        seed: the first of the seeds.
        n_seeds: number of seeds that stability is measured over.
        labels: number of labels made.
        tags: number of tags in them.
        counts: share of counts kept; `tracks` of tracks with a label.
        tracks: see there.
        silhouette: mean silhouette under 1 − cos.
        stability: mean adjusted Rand index between the first seed's space and the others'.
        mean_size: mean number of tags in a label; `largest` the most.
        largest: see there.
        problem: why the setting gave no space; empty if it did.
    """

    vectors: str
    vectors_sha256: str
    table_sha256: str
    threshold: int
    n_clusters: int
    seed: int
    n_seeds: int
    labels: int = 0
    tags: int = 0
    counts: float = float("nan")
    tracks: float = float("nan")
    silhouette: float = float("nan")
    stability: float = float("nan")
    mean_size: float = float("nan")
    largest: int = 0
    problem: str = ""

    @property
    def setting(self) -> tuple[str, str, int, int, int, int]:
        """What makes two rows the same work."""
        return (
            self.vectors_sha256,
            self.table_sha256,
            self.threshold,
            self.n_clusters,
            self.seed,
            self.n_seeds,
        )


def run_grid(
    table: TagTable,
    vectors: Sequence[WordVectors],
    path: str | os.PathLike[str],
    *,
    thresholds: Sequence[int] = (100, 500),
    numbers_of_clusters: Sequence[int] = (50, 100, 200),
    n_seeds: int = 3,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = False,
) -> list[GridRow]:
    """Build and measure every setting; rows appear in the Parquet file `path` as they are done.

    A setting that cannot be built (more clusters than tags) gives a row that says so.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    digest = table.sha256()
    done = {row.setting: row for row in read_grid(path)} if Path(path).exists() else {}
    embedded = [embed_tags(frequent_tags(table, min(thresholds)), source) for source in vectors]
    wanted = [
        (source, GridRow(source.source, source.sha256, digest, threshold, k, seed, n_seeds))
        for source, threshold, k in product(embedded, thresholds, numbers_of_clusters)
    ]
    missing = [(source, row) for source, row in wanted if row.setting not in done]
    if len(missing) < len(wanted):
        logger.info("%d of %d settings are done already", len(wanted) - len(missing), len(wanted))
    work = (delayed(_measure)(table, source, row) for source, row in missing)
    results = Parallel(n_jobs=jobs, return_as="generator")(work)
    for row in tqdm(results, total=len(missing), desc="grid", disable=not progress):
        done[row.setting] = row
        write_grid(list(done.values()), path)
    return [done[row.setting] for _, row in wanted]


def read_grid(path: str | os.PathLike[str]) -> list[GridRow]:
    """Read the rows of a grid.

    Raises:
        FileFormatError: the file is no grid.
    """
    import polars as pl

    try:
        return [GridRow(**row) for row in pl.read_parquet(Path(path)).to_dicts()]
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise FileFormatError(f"{path}: not a grid of label spaces ({error}); choose another file") from error


def write_grid(rows: Sequence[GridRow], path: str | os.PathLike[str]) -> None:
    """Write the rows as Parquet, ordered by embedding, threshold and number of clusters."""
    import polars as pl

    ordered = sorted(rows, key=lambda row: (row.vectors, row.threshold, row.n_clusters, row.setting))
    with atomic_path(path) as temporary:
        pl.DataFrame([asdict(row) for row in ordered]).write_parquet(temporary)


def plot_grid(rows: Sequence[GridRow], path: str | os.PathLike[str]) -> None:
    """Plot the share of counts kept against the number of labels, a line for each embedding and threshold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    lines: dict[tuple[str, int], list[GridRow]] = {}
    for row in rows:
        if not row.problem:
            lines.setdefault((row.vectors, row.threshold), []).append(row)
    if not lines:
        raise FolksongError("no setting of the grid gave a label space, so there is nothing to plot")
    for (name, threshold), group in sorted(lines.items()):
        group.sort(key=lambda row: row.labels)
        shares = [row.counts for row in group]
        axes.plot([row.labels for row in group], shares, marker="o", label=f"{name}, > {threshold}")
    axes.set_xlabel("number of labels")
    axes.set_ylabel("share of counts kept")
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _measure(table: TagTable, vectors: TagVectors, row: GridRow) -> GridRow:
    try:
        spaces = [
            kmeans(table, vectors, threshold=row.threshold, n_clusters=row.n_clusters, seed=row.seed + number)
            for number in range(row.n_seeds)
        ]
    except FolksongError as error:
        return GridRow(**{**asdict(row), "problem": str(error)})
    space = spaces[0]
    kept = space.coverage(table)
    sizes = [len(label.tags) for label in space.labels]
    agreements = [agreement(space, other).adjusted_rand for other in spaces[1:]]
    measured: Mapping[str, Any] = {
        "labels": len(space),
        "tags": sum(sizes),
        "counts": kept.counts,
        "tracks": kept.tracks,
        "silhouette": _silhouette(space, vectors),
        "stability": float(np.mean(agreements)) if agreements else float("nan"),
        "mean_size": float(np.mean(sizes)),
        "largest": max(sizes),
    }
    return GridRow(**{**asdict(row), **measured})


def _silhouette(space: LabelSpace, vectors: TagVectors) -> float:
    row_of = {tag: row for row, tag in enumerate(vectors.tags)}
    tags = [tag for tag in tags_of(space) if tag in row_of]
    numbers = np.array([space.labels_of(tag)[0] for tag in tags])
    if not 2 <= len(np.unique(numbers)) <= len(tags) - 1:
        return float("nan")
    points = vectors.vectors[[row_of[tag] for tag in tags]].astype(np.float64)
    return silhouette(np.clip(1 - points @ points.T, 0, 2), numbers)
