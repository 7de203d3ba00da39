"""The information-quality frontier as a picture: what label spaces keep of the crowd's tags, and how well it is heard.

A point is a mean over seeds. Every label space has a number, which stands in its marks and in the legend, so that the
picture reads without colours; the mark's shape is the front-end's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from folksong.errors import FolksongError
from folksong.evaluation.plots import GREY, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind tell apart; yellow is left out, it vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B5A2B", "#6A3D9A")
MARKERS = ("o", "s", "^", "D")
SIDE_BY_SIDE = 0.012  # of the picture's width, between points with the same share


def plot_frontier(data: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw the frontier of a report's data and write the picture.

    Left: macro ROC-AUC of each space on its own labels. Right: on all frequent tags, those that a space leaves out at
    chance (left out where the runs have the same labels, or only one label space).

    Args:
        data: what `folksong.evaluation.report_data.collect` returned.
        path: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        FolksongError: no group's coverage is known, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    groups = data["groups"]
    shares = [None if group["coverage"] is None else group["coverage"]["counts"] for group in groups]
    if all(share is None for share in shares):
        raise FolksongError("no label space's coverage is known, so there is no frontier to draw")
    everything = next((ground for ground in data["grounds"] if ground["key"] == "all"), None)
    panels: list[tuple[str, list[Mapping[str, Any]]]] = [
        ("macro ROC-AUC on its own labels", [group["figures"]["macro_roc_auc"] for group in groups])
    ]
    if everything is not None:
        panels.append(
            (
                f"macro ROC-AUC on {everything['names']} tags (left out: 0.5)",
                [entry["figures"]["macro_roc_auc"] for entry in everything["groups"]],
            )
        )
    figure = Figure(figsize=(5.2 * len(panels) + 0.4, 5.4), layout="constrained")
    places = _side_by_side(shares)
    for axes, (title, figures) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, groups, places, figures)
        axes.set_title(title, fontsize=10.5)
        axes.set_xlabel("share of all tag counts kept")
    _legend(figure, groups)
    write_figure(figure, path)


def group_numbers(groups: Any) -> list[int]:
    """Return the number of each group: equal names (on several front-ends) have the same one, from 1."""
    names = list(dict.fromkeys(group["name"] for group in groups))
    return [names.index(group["name"]) + 1 for group in groups]


def _side_by_side(shares: list[float | None]) -> list[float | None]:
    """Move points with nearly the same share apart, so that all their intervals can be seen."""
    rows = sorted((share, row) for row, share in enumerate(shares) if share is not None)
    least = 2 * SIDE_BY_SIDE * max(rows[-1][0] - rows[0][0], 0.1)
    clusters: list[list[tuple[float, int]]] = []
    for point in rows:
        cluster = [point]
        while (
            clusters
            and _middle(cluster) - _middle(clusters[-1]) < least * (len(clusters[-1]) + len(cluster)) / 2
        ):
            cluster = [*clusters.pop(), *cluster]
        clusters.append(cluster)
    places: list[float | None] = [None] * len(shares)
    for cluster in clusters:
        for place, (_, row) in enumerate(cluster):
            places[row] = _middle(cluster) + (place - (len(cluster) - 1) / 2) * least
    return places


def _middle(cluster: list[tuple[float, int]]) -> float:
    return sum(share for share, _ in cluster) / len(cluster)


def _draw(axes: Axes, groups: Any, places: list[float | None], figures: list[Mapping[str, Any]]) -> None:
    fronts = list(dict.fromkeys(group["front_end"] for group in groups))
    for group, place, found, number in zip(groups, places, figures, group_numbers(groups), strict=True):
        if place is None or found["value"] is None:
            continue
        colour = COLOURS[(number - 1) % len(COLOURS)]
        if found["low"] is not None:
            axes.vlines(place, found["low"], found["high"], color=colour, linewidth=1.6, alpha=0.55)
        marker = MARKERS[fronts.index(group["front_end"]) % len(MARKERS)]
        axes.scatter(
            [place], [found["value"]], s=150, marker=marker, color=colour, edgecolors="white", zorder=3
        )
        axes.annotate(
            str(number),
            (place, found["value"]),
            color="white",
            fontsize=7.5,
            fontweight="bold",
            ha="center",
            va="center_baseline",
            zorder=4,
        )
    if axes.get_ylim()[0] < 0.5:
        axes.axhline(0.5, color=GREY, linestyle="--", linewidth=0.8)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(figure: Any, groups: Any) -> None:
    from matplotlib.lines import Line2D

    handles: dict[str, Line2D] = {}
    for group, number in zip(groups, group_numbers(groups), strict=True):
        label = f"{number} {group['name']} ({group['n_labels']})"
        colour = COLOURS[(number - 1) % len(COLOURS)]
        handles.setdefault(label, Line2D([], [], marker="o", color=colour, linestyle="", label=label))
    fronts = list(dict.fromkeys(group["front_end"] for group in groups))
    for place, front_end in enumerate(fronts):
        marker = MARKERS[place % len(MARKERS)]
        handles[front_end] = Line2D([], [], marker=marker, color=GREY, linestyle="", label=front_end)
    legend = figure.legend(
        handles=list(handles.values()), loc="outside lower center", ncols=4, fontsize=8.5, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
