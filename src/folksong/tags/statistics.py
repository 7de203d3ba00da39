"""What a tag table looks like: popularity, coverage of the top N, tags per track and tracks per tag, weights.

Only tags and tracks in use count, except where a figure says otherwise.

Charts: the long tail, coverage, weights, and heat maps that stay readable at 100 tags. A name that ends in ``.png`` (or
.svg, .pdf) gets a picture by Matplotlib; ``.html`` a page that can be zoomed and hovered, with all of plotly inside, so
that it opens without a network.
"""

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.drawing import PICTURES, distinct_names, plotly_text, short_name, write_picture
from folksong.errors import FolksongError
from folksong.files import atomic_write, json_value
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


PAGES = (".html",)
MOST_TAGS = 300
"""A heat map of more tags cannot be read; it is refused."""
LARGE_RATIO = 20
"""Bars that differ more are drawn on a logarithmic axis, so that each can be seen."""
POINTS = 2000
"""A curve is drawn through so many points at most, evenly on its logarithmic axis."""


def draw_long_tail(table: TagTable, path: str | os.PathLike[str]) -> None:
    """Draw tracks per tag by popularity rank (both axes logarithmic) and the share of counts and tracks covered."""
    order = table.popularity_order
    counts = table.counts[order]
    counts = counts[counts > 0]
    if not len(counts):
        raise FolksongError("the table holds no tags to draw")
    covered, tracks = coverage_curve(table)
    shown = np.unique(np.geomspace(1, len(counts), min(POINTS, len(counts))).round().astype(np.int64))
    curves = {
        "counts covered": covered[shown - 1] / table.n_counts,
        "tracks covered": tracks[shown - 1] / table.n_tracks,
    }
    if _is_page(path):
        from plotly import graph_objects as go
        from plotly.subplots import make_subplots

        names = [plotly_text(short_name(tag)) for tag in table.tags[order][shown - 1]]
        figure = make_subplots(specs=[[{"secondary_y": True}]])
        figure.add_trace(go.Scatter(x=shown, y=counts[shown - 1], text=names, name="tracks per tag"))
        for name, values in curves.items():
            figure.add_trace(go.Scatter(x=shown, y=values, text=names, name=name), secondary_y=True)
        figure.update_xaxes(type="log", title="tags by popularity", dtick=1)
        figure.update_yaxes(type="log", title="tracks per tag", dtick=1, secondary_y=False)
        figure.update_yaxes(range=[0, 1], tickformat=".0%", title="share covered", secondary_y=True)
        figure.update_layout(legend={"orientation": "h", "y": -0.2})
        _write_page(figure, path, "The long tail of tags")
        return
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = _figure(9, 5)
    axes.loglog(shown, counts[shown - 1], color="C0", label="tracks per tag")
    axes.set(xlabel="tags by popularity", ylabel="tracks per tag", title="The long tail of tags")
    axes.grid(alpha=0.3)
    for axis, most in ((axes.xaxis, len(counts)), (axes.yaxis, int(counts[0]))):  # labels that do not overlap
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 1000 else (1,)))
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter(NullFormatter())
    right = axes.twinx()
    for number, (name, values) in enumerate(curves.items(), 1):
        right.plot(shown, values, color=f"C{number}", label=name)
    right.set(ylim=(0, 1), ylabel="share covered by the top tags")
    right.yaxis.set_major_formatter("{x:.0%}")
    figure.legend(loc="outside lower center", ncols=3)
    write_picture(figure, path)


def draw_histogram(distribution: Distribution, path: str | os.PathLike[str], *, title: str) -> None:
    """Draw the bars of a distribution of `folksong.tags.statistics`."""
    labels = [bar.label for bar in distribution.bins]
    numbers = [bar.number for bar in distribution.bins]
    if not labels:
        raise FolksongError(f"there are no values to draw for {title!r}")
    scale = "log" if max(numbers) > LARGE_RATIO * min(filter(None, numbers), default=1) else "linear"
    if _is_page(path):
        from plotly import graph_objects as go

        figure = go.Figure(go.Bar(x=labels, y=numbers))
        figure.update_yaxes(title="number", type=scale)
        _write_page(figure, path, title)
        return
    figure, axes = _figure(9, 5)
    axes.bar(range(len(labels)), numbers)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set(title=title, ylabel="number", yscale=scale)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    write_picture(figure, path)


def draw_heat_map(
    matrix: npt.NDArray[Any],
    tags: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a matrix (n, n) over n tags; every tag is written at both edges, the picture grows with their number.

    NaN is left blank. `limits` are the least and greatest colour, -x and x for colours that diverge from 0; by default
    those of the values off the diagonal.
    """
    if not 0 < len(tags) <= MOST_TAGS:
        raise FolksongError(f"a heat map of {len(tags)} tags cannot be read; choose 1 to {MOST_TAGS}")
    values = np.array(matrix, np.float64)
    if limits is None:
        others = values[~np.eye(len(tags), dtype=bool) & np.isfinite(values)]
        limits = (float(others.min()), float(others.max())) if len(others) else (0.0, 1.0)
    names = distinct_names([short_name(tag) for tag in tags])
    around = -limits[0] == limits[1]  # of values around 0, the colours diverge from white
    if _is_page(path):
        from plotly import graph_objects as go

        shown = [plotly_text(name) for name in names]
        figure = go.Figure(
            go.Heatmap(
                z=np.where(np.isfinite(values), values, np.nan), x=shown, y=shown, zmin=limits[0], zmax=limits[1],
                colorscale="RdBu_r" if around else "Viridis",
                hovertemplate="row %{y}<br>column %{x}<br>%{z:.4g}<extra></extra>",
            )
        )  # fmt: skip
        figure.update_xaxes(tickfont={"size": 9}, dtick=1, tickangle=90, constrain="domain")
        figure.update_yaxes(
            tickfont={"size": 9}, dtick=1, autorange="reversed", scaleanchor="x", constrain="domain"
        )
        _write_page(figure, path, title, least_pixels=200 + 12 * len(tags))
        return
    plain = [name.replace("$", r"\$") for name in names]  # Matplotlib reads $ as the start of a formula
    side = 3 + 0.16 * len(tags)  # inches; 0.16 is the height of a line of 8 points and the space around it
    figure, axes = _figure(side + 1, side)
    colours = "RdBu_r" if around else "viridis"
    image = axes.imshow(values, vmin=limits[0], vmax=limits[1], cmap=colours, interpolation="nearest")
    axes.set_xticks(range(len(tags)), plain, rotation=90, fontsize=8)
    axes.set_yticks(range(len(tags)), plain, fontsize=8)
    axes.set_title(title)
    figure.colorbar(image, ax=axes, fraction=0.04)
    write_picture(figure, path)


def _is_page(path: str | os.PathLike[str]) -> bool:
    ending = Path(path).suffix.lower()
    if ending not in (*PICTURES, *PAGES):
        raise FolksongError(f"{path}: a chart's name ends in .html, {', '.join(PICTURES)}")
    return ending in PAGES


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _write_page(figure: Any, path: str | os.PathLike[str], title: str, least_pixels: int = 0) -> None:
    """Write a page that fills the window, however narrow, and scrolls where the chart needs `least_pixels`."""
    figure.update_layout(title=title, template="plotly_white", margin={"l": 40, "r": 20})
    chart = figure.to_html(
        {"responsive": True, "displaylogo": False}, include_plotlyjs=True, full_html=False, div_id="chart",
        default_height="100%",
    )  # fmt: skip
    size = f"min-width: {least_pixels}px; min-height: {least_pixels}px; height: 95vh"
    with atomic_write(path, "w") as stream:
        stream.write(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(title)}</title></head>\n"
            f'<body style="margin: 0"><div style="{size}">{chart}</div></body></html>\n'
        )
