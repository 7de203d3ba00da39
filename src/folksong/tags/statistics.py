"""What a tag table looks like: popularity, coverage of the top N, tags per track and tracks per tag, weights.

Only tags and tracks in use count, except where a figure says otherwise.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.files import json_value
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

COVERAGE_SIZES = (10, 20, 50, 100, 200, 500, 1000, 5000)
WEIGHT_BINS = 10
QUANTILES = {"least": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "most": 1.0}


@dataclass(frozen=True)
class TopCoverage:
    """What the `n` most popular tags hold: counts and tracks with at least one of them, numbers and shares."""

    n: int
    n_counts: int
    counts: float
    n_tracks: int
    tracks: float


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram: how it is written, its ends, and how many values it holds."""

    label: str
    low: float
    high: float
    number: int


@dataclass(frozen=True)
class Distribution:
    """Mean, quantiles and histogram of one quantity; NaN where there is no value."""

    mean: float
    quantiles: dict[str, float]
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Statistics:
    """All figures of a tag table; see `tag_statistics`."""

    n_tracks: int
    n_tagged_tracks: int
    n_tags: int
    n_used_tags: int
    n_tags_on_one_track: int
    n_counts: int
    n_zero_weights: int
    coverage: tuple[TopCoverage, ...]
    tracks_per_tag: Distribution
    tags_per_track: Distribution
    weights: Distribution

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values; undefined ones are null."""
        cleaned: dict[str, Any] = json_value(asdict(self))
        return cleaned

    def rows(self) -> list[tuple[str, str, float]]:
        """Return the figures as rows (figure, of what, value), the form of the CSV output."""
        whole = [(name, "", float(value)) for name, value in vars(self).items() if isinstance(value, int)]
        for row in self.coverage:
            figures = asdict(row)
            size = figures.pop("n")
            whole += [(f"coverage_{name}", f"top {size}", value) for name, value in figures.items()]
        for name in ("tracks_per_tag", "tags_per_track", "weights"):
            distribution: Distribution = getattr(self, name)
            whole.append((name, "mean", distribution.mean))
            whole += [(name, quantile, value) for quantile, value in distribution.quantiles.items()]
            whole += [(name, bar.label, float(bar.number)) for bar in distribution.bins]
        return whole


def tag_statistics(
    tags: Tags, *, sizes: Sequence[int] = COVERAGE_SIZES, tracks: Iterable[str] | None = None
) -> Statistics:
    """Return the statistics of a table, of these tracks only if some are given; `sizes` are the N of its top tags."""
    table = as_table(tags)
    if tracks is not None:
        table = table.select_tracks(tracks)
    per_track = np.diff(table.weights.indptr)
    used = table.counts[table.counts > 0]
    return Statistics(
        n_tracks=table.n_tracks,
        n_tagged_tracks=int((per_track > 0).sum()),
        n_tags=table.n_tags,
        n_used_tags=len(used),
        n_tags_on_one_track=int((used == 1).sum()),
        n_counts=table.n_counts,
        n_zero_weights=int((table.weights.data == 0).sum()),
        coverage=coverage_of_top(table, sizes),
        tracks_per_tag=_distribution(used, _doubling_bins(used)),
        tags_per_track=_distribution(per_track[per_track > 0], _doubling_bins(per_track[per_track > 0])),
        weights=_distribution(table.weights.data, _even_bins(table.weights.data)),
    )


def coverage_of_top(table: TagTable, sizes: Sequence[int]) -> tuple[TopCoverage, ...]:
    """Return what the top N tags hold, for each N of `sizes` up to the number of tags (larger N say the same)."""
    if any(size < 1 for size in sizes):
        raise FolksongError(f"coverage is of the top N tags with N at least 1, not {min(sizes)}")
    counts, tracks = coverage_curve(table)
    all_counts, all_tracks = table.n_counts or math.nan, table.n_tracks or math.nan
    held = [(n, int(counts[:n][-1:].sum()), int(tracks[:n][-1:].sum())) for n in sizes]
    return tuple(TopCoverage(n, c, c / all_counts, t, t / all_tracks) for n, c, t in held)


def coverage_curve(table: TagTable) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return, for the top 1, 2, … n_tags: the counts they hold, and the tracks with at least one. Both (n_tags,)."""
    order = table.popularity_order
    rank = np.empty(table.n_tags, np.int64)
    rank[order] = np.arange(table.n_tags)
    ranks, indptr = rank[table.weights.indices], table.weights.indptr
    tagged = np.diff(indptr) > 0
    best = np.minimum.reduceat(ranks, indptr[:-1][tagged]) if tagged.any() else np.empty(0, np.int64)
    new = np.bincount(best, minlength=table.n_tags)  # tracks whose most popular tag this is
    return np.cumsum(table.counts[order]), np.cumsum(new).astype(np.int64)


def _distribution(values: npt.NDArray[Any], bins: tuple[Bin, ...]) -> Distribution:
    if not len(values):
        return Distribution(float("nan"), dict.fromkeys(QUANTILES, float("nan")), ())
    quantiles = {name: float(np.quantile(values, share)) for name, share in QUANTILES.items()}
    return Distribution(float(values.mean(dtype=np.float64)), quantiles, bins)


def _doubling_bins(values: npt.NDArray[np.integer]) -> tuple[Bin, ...]:
    """1, 2 to 3, 4 to 7, …: the long tail needs bins that grow."""
    edges = [(1 << power, (2 << power) - 1) for power in range(int(values.max(initial=0)).bit_length())]
    numbers = [int(((values >= low) & (values <= high)).sum()) for low, high in edges]
    labels = [str(low) if low == high else f"{low}–{high}" for low, high in edges]
    return tuple(
        Bin(label, *edge, number) for label, edge, number in zip(labels, edges, numbers, strict=True)
    )


def _even_bins(weights: npt.NDArray[np.float32]) -> tuple[Bin, ...]:
    """Zero on its own, then about ten bins of a round width, each with its upper end and without its lower."""
    highest = float(weights.max(initial=0))
    bins = [Bin("0", 0.0, 0.0, int((weights == 0).sum()))]
    if highest > 0:
        magnitude = 10.0 ** math.floor(math.log10(highest / WEIGHT_BINS))
        least = highest * (1 - 1e-6) / WEIGHT_BINS
        width = next(magnitude * step for step in (1, 2, 5, 10) if magnitude * step >= least)
        ends = [number * width for number in range(math.ceil(highest / width - 1e-6) + 1)]
        for low, high in itertools.pairwise(ends):
            inside = (weights > np.float32(low)) & (weights <= np.float32(high))
            bins.append(Bin(f"{low:g} < w ≤ {high:g}", low, high, int(inside.sum())))
    return tuple(bins)
