"""Pictures of evaluations by Matplotlib, readable with ten labels and with hundreds, also by the colour-blind.

Colours are Okabe and Ito's; yellow is left out, it vanishes on white.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

from folksong.drawing import short_name, write_picture
from folksong.errors import FolksongError
from folksong.evaluation.figures import Average, Evaluation
from folksong.evaluation.report_data import Report, ReportGroup

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B5A2B", "#6A3D9A")
BLUE, VERMILION, GREY = COLOURS[0], COLOURS[1], "#767676"
MARKERS = ("o", "s", "^", "D")
SIDE_BY_SIDE = 0.012  # of the picture's width, between points with the same share
NARROWEST_AXIS = 0.1  # of shares: spaces of nearly the same coverage are side by side, not at the edges


def plot_labels(evaluation: Evaluation, path: str | os.PathLike[str]) -> None:
    """Draw each label's ROC-AUC and PR-AUC with their intervals, sorted by ROC-AUC, and write the picture.

    Labels whose figures are undefined are left out. Chance is drawn beside both: 0.5, and the share of tracks that
    carry the label. Part, tracks and macro averages are named above.
    """
    from matplotlib.figure import Figure

    shown = sorted(evaluation.defined, key=lambda figures: figures.roc_auc.value)
    if not shown:
        raise FolksongError("no label has both positive and negative tracks, so there is nothing to draw")
    inches_a_row, font_size = (0.30, 10.0) if len(shown) <= 30 else (0.165, 7.5)
    figure = Figure(figsize=(9.0, 1.5 + inches_a_row * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_rows(left, [figures.roc_auc for figures in shown], BLUE, "ROC-AUC")
    left.axvline(0.5, color=GREY, linestyle="--", linewidth=1, label="chance")
    _draw_rows(right, [figures.pr_auc for figures in shown], VERMILION, "PR-AUC (average precision)")
    chances = [figures.pr_auc.chance for figures in shown]
    right.scatter(
        chances, range(len(shown)), marker="|", s=40, color=GREY, label="chance: share of tracks", zorder=3
    )
    names = [f"{short_name(figures.name)} ({figures.tracks:,})" for figures in shown]
    left.set_yticks(range(len(shown)), names, fontsize=font_size)
    for text in left.get_yticklabels():
        text.set_parse_math(False)
    left.set_ylim(-0.7, len(shown) - 0.3)
    left.set_xlim(min(0.45, float(left.dataLim.x0) - 0.02), 1.01)
    right.set_xlim(-0.02, 1.01)
    figure.suptitle(_title(evaluation), fontsize=11)
    write_picture(figure, path)


def plot_frontier(report: Report, path: str | os.PathLike[str]) -> None:
    """Draw what label spaces keep of the crowd's tags against how well it is heard, and write the picture.

    A point is a mean over seeds. Every label space has a number, which stands in its marks and in the legend, so that
    the picture reads without colours; the mark's shape is the front-end's. Left: macro ROC-AUC of each space on its own
    labels. Right: on all frequent tags, those that a space leaves out at chance (left out where the runs have the same
    labels, or only one label space).
    """
    from matplotlib.figure import Figure

    groups = report.groups
    shares = [None if group.coverage is None else group.coverage.counts for group in groups]
    if all(share is None for share in shares):
        raise FolksongError("no label space's coverage is known, so there is no frontier to draw")
    panels = [("macro ROC-AUC on its own labels", [group.figures["macro_roc_auc"] for group in groups])]
    for ground in report.grounds:
        if ground.ground == "all":
            title = f"macro ROC-AUC on {len(ground.names)} tags (left out: 0.5)"
            panels.append((title, [one.figures["macro_roc_auc"] for one in ground.groups]))
    figure = Figure(figsize=(5.2 * len(panels) + 0.4, 5.4), layout="constrained")
    places = side_by_side(shares)
    for axes, (title, figures) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_points(axes, groups, places, figures)
        axes.set_xlim(axis_around(places))
        axes.set_title(title, fontsize=10.5)
        axes.set_xlabel("share of all tag counts kept")
    _draw_legend(figure, groups)
    write_picture(figure, path)


def front_ends(groups: Sequence[ReportGroup]) -> list[str]:
    """Return the front-ends, in the order of their first groups."""
    return list(dict.fromkeys(group.group.front_end for group in groups))


def colour_of(group: ReportGroup) -> str:
    """Return a group's colour."""
    return COLOURS[(group.number - 1) % len(COLOURS)]


def side_by_side(shares: Sequence[float | None]) -> list[float | None]:
    """Move points with nearly the same share apart, so that all their intervals can be seen."""
    rows = sorted((share, row) for row, share in enumerate(shares) if share is not None)
    least = 2 * SIDE_BY_SIDE * max(rows[-1][0] - rows[0][0], NARROWEST_AXIS)
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


def axis_around(places: Sequence[float | None]) -> tuple[float, float]:
    """Return the ends of an axis with room around the places, which are shares: hardly any beyond 1."""
    known = [place for place in places if place is not None]
    middle, width = (max(known) + min(known)) / 2, max(1.25 * (max(known) - min(known)), NARROWEST_AXIS)
    end = min(middle + width / 2, 1 + width / 50)
    return end - width, end


def _middle(cluster: Sequence[tuple[float, int]]) -> float:
    return sum(share for share, _ in cluster) / len(cluster)


def _draw_rows(axes: Any, figures: list[Average], colour: str, title: str) -> None:
    many = len(figures) > 30
    defined = [(row, figure) for row, figure in enumerate(figures) if not math.isnan(figure.low)]
    axes.hlines(
        [row for row, _ in defined],
        [figure.low for _, figure in defined],
        [figure.high for _, figure in defined],
        color=colour,
        linewidth=1.3 if many else 2,
        alpha=0.45,
    )
    values = [figure.value for figure in figures]
    axes.scatter(values, range(len(figures)), color=colour, s=11 if many else 28, zorder=4)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelbottom=True, labeltop=many, top=many)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _title(evaluation: Evaluation) -> str:
    auc, precision = evaluation.macro_roc_auc, evaluation.macro_pr_auc
    return (
        f"{evaluation.part} part, {evaluation.n_tracks:,} tracks: macro ROC-AUC {auc.text()}, "
        f"macro PR-AUC {precision.value:.3f} ({precision.interval()}, chance {precision.chance:.3f})\n"
        f"dot: value; line: {evaluation.level:.0%} interval; grey: chance; (n): tracks with the label"
    )


def _draw_points(
    axes: Any, groups: Sequence[ReportGroup], places: Sequence[float | None], figures: Sequence[Average]
) -> None:
    fronts = front_ends(groups)
    for group, place, found in zip(groups, places, figures, strict=True):
        if place is None or math.isnan(found.value):
            continue
        colour = colour_of(group)
        if not math.isnan(found.low):
            axes.vlines(place, found.low, found.high, color=colour, linewidth=1.6, alpha=0.55)
        marker = MARKERS[fronts.index(group.group.front_end) % len(MARKERS)]
        axes.scatter([place], [found.value], s=150, marker=marker, color=colour, edgecolors="white", zorder=3)
        axes.annotate(
            str(group.number),
            (place, found.value),
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


def _draw_legend(figure: Any, groups: Sequence[ReportGroup]) -> None:
    from matplotlib.lines import Line2D

    handles: dict[str, Line2D] = {}
    for group in groups:
        label = f"{group.number} {short_name(group.group.name, 48)} ({len(group.group.labels)})"
        handles.setdefault(
            label, Line2D([], [], marker="o", color=colour_of(group), linestyle="", label=label)
        )
    for place, front_end in enumerate(front_ends(groups)):
        marker = MARKERS[place % len(MARKERS)]
        handles[front_end] = Line2D([], [], marker=marker, color=GREY, linestyle="", label=front_end)
    inches = 0.35 + 0.075 * max(map(len, handles))  # of a column, at the legend's size
    legend = figure.legend(
        handles=list(handles.values()),
        loc="outside lower center",
        ncols=max(1, min(4, int(figure.get_figwidth() / inches))),
        fontsize=8.5,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
