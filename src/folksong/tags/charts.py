"""Charts of a tag table: the long tail, coverage, weights, and heat maps that stay readable at 100 tags.

A name that ends in ``.png`` (or .svg, .pdf) gets a picture by Matplotlib; ``.html`` a page that can be zoomed and
hovered, with all of plotly inside, so that it opens without a network.
"""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.drawing import PICTURES, distinct_names, plotly_text, short_name, write_picture
from folksong.errors import FolksongError
from folksong.files import atomic_write
from folksong.tags.statistics import Distribution, coverage_curve
from folksong.tags.table import TagTable

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
