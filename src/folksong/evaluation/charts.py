"""Charts of a report's page, as Plotly has them: a dict of ``data`` and ``layout`` each, drawn in the browser.

``page/template.json`` holds their look: Plotly's defaults for the layout and for each kind of trace.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.drawing import distinct_names, plotly_text, short_name
from folksong.evaluation.analyses import density
from folksong.evaluation.figures import Average, Evaluation
from folksong.evaluation.plots import (
    BLUE,
    COLOURS,
    GREY,
    VERMILION,
    axis_around,
    colour_of,
    front_ends,
    side_by_side,
)
from folksong.evaluation.report_data import Report, ReportGroup, describe_space, heard_together
from folksong.files import json_value
from folksong.labels.analysis.cooccurrence import LabelCooccurrence
from folksong.labels.subgenres import GenreClustering, has_tsne, silhouette_samples, tsne

Chart = dict[str, Any]

SYMBOLS = ("circle", "square", "triangle-up", "diamond")
DASHES = ("solid", "dash", "dot")
SHARE_TICKS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
LARGEST_HEAT_MAP = 200  # labels; more cannot be told apart on a screen
CURVES = {
    "macro_pr_auc": "validation PR-AUC, macro",
    "micro_pr_auc": "validation PR-AUC, micro",
    "macro_roc_auc": "validation ROC-AUC, macro",
    "micro_roc_auc": "validation ROC-AUC, micro",
    "validation_loss": "validation loss",
    "loss": "training loss",
    "learning_rate": "learning rate",
}
CHANCE = {"mode": "lines", "hoverinfo": "skip", "line": {"color": GREY, "dash": "dash", "width": 1}}


def chart(data: Sequence[Mapping[str, Any]], *, x: str, y: str, height: int = 380, **layout: Any) -> Chart:
    """Return a chart with titled axes; undefined numbers become gaps, ``xaxis`` and ``yaxis`` are laid over titles."""
    for axis, title in (("xaxis", x), ("yaxis", y)):
        layout[axis] = {"title": {"text": title}, **layout.get(axis, {})}
    content: Chart = json_value({"data": list(data), "layout": {"height": height, **layout}})
    return content


def frontier_charts(report: Report) -> dict[str, Chart]:
    """Return how well label spaces are heard against how much they keep: a chart for each choice of both."""
    groups = report.groups
    qualities: dict[str, list[Average]] = {
        "macro ROC-AUC on its own labels": [group.figures["macro_roc_auc"] for group in groups],
        "macro PR-AUC on its own labels": [group.figures["macro_pr_auc"] for group in groups],
        "macro lift on its own labels": [_lift(group.figures["macro_pr_auc"]) for group in groups],
    }
    words = {"labels": "common labels", "tags": "the tags that all know", "all": "all frequent tags"}
    for ground in report.grounds:
        title = f"macro ROC-AUC on {words[ground.ground]}"
        qualities[title] = [one.figures["macro_roc_auc"] for one in ground.groups]
    found = {}
    for kept, title in (("counts", "share of tag counts kept"), ("tracks", "share of tracks kept")):
        shares = [None if group.coverage is None else getattr(group.coverage, kept) for group in groups]
        if any(share is not None for share in shares):
            for quality, figures in qualities.items():
                found[f"{quality}, by {title}"] = _frontier(groups, shares, figures, title, quality)
    return found


def _lift(figure: Average) -> Average:
    chance = figure.chance or np.nan
    value, low, high, *seeds = (
        value / chance for value in (figure.value, figure.low, figure.high, *figure.seeds)
    )
    return replace(figure, value=value, low=low, high=high, chance=1.0, seeds=tuple(seeds))


def _frontier(
    groups: Sequence[ReportGroup],
    shares: Sequence[float | None],
    figures: Sequence[Average],
    x: str,
    y: str,
) -> Chart:
    fronts, places = front_ends(groups), side_by_side(shares)
    traces = []
    for group, share, place, figure in zip(groups, shares, places, figures, strict=True):
        if share is None or place is None or math.isnan(figure.value):
            continue
        seeds = ", ".join(f"{value:.3f}" for value in figure.seeds)
        lines = (
            f"{short_name(group.group.name, 60)}, {group.group.front_end}",
            short_name(describe_space(group.group.labels), 60),
            f"kept: {share:.3f}",
            figure.text(),
            *([f"seeds {', '.join(map(str, group.group.seeds))}: {seeds}"] if len(figure.seeds) > 1 else []),
        )
        traces.append(
            {
                **_points([place], [figure.value], ["<br>".join(map(plotly_text, lines))]),
                "mode": "markers+text",
                "cliponaxis": False,
                "text": [str(group.number)],
                "textfont": {"color": "#fff", "size": 11},
                "marker": {
                    "size": 19,
                    "color": colour_of(group),
                    "symbol": SYMBOLS[fronts.index(group.group.front_end) % len(SYMBOLS)],
                },
                "error_y": _error([figure], colour_of(group)),
            }
        )
    return chart(traces, x=x, y=y, height=430, xaxis={"range": axis_around(places), "nticks": 6})


def curve_charts(report: Report) -> dict[str, Chart]:
    """Return the learning curves of runs of several epochs, one chart a figure that one of them has, by title."""
    fronts = front_ends(report.groups)
    group_of = {row: group for group in report.groups for row in group.group.rows}
    histories = [entry.run.history() for entry in report.runs]
    found = {}
    for key, title in CURVES.items():
        traces = []
        for row, (entry, history) in enumerate(zip(report.runs, histories, strict=True)):
            lines = [line for line in history if line.get(key) is not None]
            if len(lines) < 2:  # nothing, or a head that was fitted at once
                continue
            best = max((line["epoch"] for line in lines if line.get("best")), default=None)
            group = group_of[row]
            hints = [
                f"{plotly_text(short_name(entry.name, 60))}, epoch {line['epoch']}<br>{title} {line[key]:.4f}"
                for line in lines
            ]
            traces.append(
                {
                    **_points([line["epoch"] for line in lines], [line[key] for line in lines], hints),
                    "mode": "lines+markers",
                    "line": {
                        "color": colour_of(group),
                        "width": 1.5,
                        "dash": DASHES[fronts.index(entry.run.front_end) % len(DASHES)],
                    },
                    "marker": {"size": [11 if line["epoch"] == best else 4 for line in lines]},
                }
            )
        if traces:
            found[title] = chart(traces, x="epoch", y=title, height=320)
    return found


def prevalence_charts(found: Evaluation) -> dict[str, Chart]:
    """Return each label's ROC-AUC and PR-AUC against the share of tracks that carry it, with chance."""
    labels = found.defined
    if not labels:
        return {}
    shares = np.array([label.tracks / found.n_tracks for label in labels])
    charts = {}
    for name, title in (("roc_auc", "ROC-AUC"), ("pr_auc", "PR-AUC")):
        figures: list[Average] = [getattr(label, name) for label in labels]
        hints = [
            f"{plotly_text(short_name(label.name, 60))}<br>{label.tracks} tracks<br>{figure.text()}"
            for label, figure in zip(labels, figures, strict=True)
        ]
        steps = np.geomspace(shares.min() / 1.3, min(1.0, shares.max() * 1.3), 60)
        chance = np.full(60, 0.5) if name == "roc_auc" else steps
        dots = {
            **_points(shares.tolist(), [figure.value for figure in figures], hints),
            "mode": "markers",
            "marker": {"size": 8, "color": BLUE},
            "error_y": _error(figures, BLUE),
        }
        charts[title] = chart(
            [{"x": steps.tolist(), "y": chance.tolist(), **CHANCE}, dots],
            x="share of tracks that carry the label",
            y=title,
            xaxis={"type": "log", "tickvals": SHARE_TICKS, "ticktext": [f"{tick:g}" for tick in SHARE_TICKS]},
        )
    return charts


def heat_charts(found: Evaluation) -> dict[str, Chart]:
    """Return which labels come together and which are heard together; empty with too many labels."""
    if len(found.labels) > LARGEST_HEAT_MAP:
        return {}
    names = [figures.name for figures in found.labels]
    together, heard = heard_together(found)
    normalised = LabelCooccurrence(tuple(names), found.cooccurrence).normalised
    return {
        "normalised": heat_map(names, normalised, "“%{y}” and “%{x}”: n_ij / √(n_i n_j) = %{z:.2f}"),
        "together": heat_map(names, together, "%{z:.2f} of the tracks with “%{y}” carry “%{x}”"),
        "heard": heat_map(names, heard, "“%{x}” scores %{z:.2f} on tracks with “%{y}” alone of the two"),
    }


def heat_map(names: Sequence[str], values: npt.NDArray[np.float64], hint: str) -> Chart:
    """Return a heat map of shares (n, n); `hint` is Plotly's template, with ``%{x}``, ``%{y}`` and ``%{z}``."""
    shown = distinct_names([plotly_text(short_name(name, 22)) for name in names])
    trace = {
        "type": "heatmap",
        "x": shown,
        "y": shown,
        "z": np.round(values, 3).tolist(),
        "hovertemplate": hint + "<extra></extra>",
    }
    small = {"tickfont": {"size": 10 if len(names) <= 60 else 8}, "showgrid": False}
    return chart(
        [trace],
        x="",
        y="",
        height=max(360, min(1400, 150 + 13 * len(names))),
        xaxis={**small, "tickangle": -90},
        yaxis={**small, "autorange": "reversed"},
    )


def density_charts(report: Report) -> dict[str, Chart]:
    """Return how PR-AUC is spread over labels, as histogram and density: the first group beside each of the others."""
    groups = report.groups
    places = np.linspace(0, 1, 201)
    found = {}
    for other in groups[1:] or groups[:1]:
        traces: list[dict[str, Any]] = []
        for group in dict.fromkeys((groups[0], other)):
            values = [label.pr_auc.value for label in report.first_seed(group).evaluation.defined]
            name = f"{group.number} {plotly_text(short_name(group.group.name, 40))}, {group.group.front_end}"
            colour = GREY if traces and colour_of(group) == colour_of(groups[0]) else colour_of(group)
            bars: dict[str, Any] = {
                "type": "histogram",
                "x": values,
                "histnorm": "probability density",
                "name": name,
            }
            bars |= {"xbins": {"start": 0, "end": 1.0001, "size": 0.05}, "opacity": 0.4}
            line = {"type": "scatter", "mode": "lines", "x": places.tolist(), "hoverinfo": "skip"}
            traces += [
                {**bars, "marker": {"color": colour}},
                {**line, "y": density(values, places).tolist(), "line": {"color": colour, "width": 2}},
            ]
        title = " and ".join(
            f"{group.number} ({group.group.front_end})" for group in dict.fromkeys((groups[0], other))
        )
        found[title] = chart(
            traces,
            x="PR-AUC of a label",
            y="density",
            height=320,
            barmode="overlay",
            xaxis={"range": [0, 1]},
        )
    return found


def genre_charts(clusterings: Mapping[str, GenreClustering]) -> dict[str, Chart]:
    """Return the silhouette of each tag of a genre, cluster by cluster, and its tags by t-SNE, where that is there."""
    found = {}
    for title, genre in clusterings.items():
        if genre.numbers is None:
            continue
        colours = [COLOURS[number % len(COLOURS)] for number in genre.numbers]
        names = distinct_names([plotly_text(short_name(tag, 28)) for tag in genre.tags])
        values = silhouette_samples(genre.distances, genre.numbers)
        order = np.lexsort((-values, genre.numbers))
        bars = {"x": values[order].tolist(), "y": [names[tag] for tag in order], "orientation": "h"}
        found[f"{title}: silhouettes"] = chart(
            [{**bars, "type": "bar", "marker": {"color": [colours[tag] for tag in order]}}],
            x=f"silhouette; mean {genre.silhouette:.3f} of {len(np.unique(genre.numbers))} clusters",
            y="",
            height=max(360, 120 + 14 * len(names)),
            yaxis={"autorange": "reversed", "tickfont": {"size": 10}, "showgrid": False, "dtick": 1},
        )
        if has_tsne():
            (x, y), bare = tsne(genre).T.tolist(), {"showticklabels": False, "showgrid": False}
            dots = {**_points(x, y, names), "mode": "markers+text", "text": names}
            dots |= {
                "marker": {"color": colours, "size": 7},
                "textfont": {"size": 10},
                "textposition": "top center",
            }
            room = 0.2 * (max(x) - min(x))  # for names at the edges of a narrow page
            sides = {"range": [min(x) - room, max(x) + room], **bare}
            found[f"{title}: t-SNE"] = chart([dots], x="", y="", height=640, xaxis=sides, yaxis=bare)
    return found


def calibration_chart(found: Evaluation) -> Chart:
    """Return the share of positives against the mean score, bin by bin, of all pairs together."""
    pooled = found.calibration.pooled()
    counts, scores, shares = pooled.counts[0], pooled.mean_scores[0], pooled.shares[0]
    filled = np.flatnonzero(counts)
    hints = [
        f"scores of about {scores[place]:.2f}: {shares[place]:.2f} carry the label<br>{counts[place]:,} pairs"
        for place in filled
    ]
    sizes = 6 + 10 * np.log1p(counts[filled]) / np.log1p(counts.max())
    return chart(
        [
            {"x": [0, 1], "y": [0, 1], **CHANCE},
            {
                **_points(scores[filled].tolist(), shares[filled].tolist(), hints),
                "mode": "lines+markers",
                "line": {"color": VERMILION, "width": 1.5},
                "marker": {"size": sizes.tolist()},
            },
        ],
        x="mean score",
        y="share with the label",
        xaxis={"range": [-0.02, 1.02]},
        yaxis={"range": [-0.02, 1.02]},
    )


def _points(x: Sequence[Any], y: Sequence[Any], hints: Sequence[str]) -> dict[str, Any]:
    return {"type": "scatter", "x": x, "y": y, "hovertext": hints, "hoverinfo": "text"}


def _error(figures: Sequence[Average], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [figure.high - figure.value for figure in figures],
        "arrayminus": [figure.value - figure.low for figure in figures],
        "color": colour,
    }
