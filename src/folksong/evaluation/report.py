"""The report of one or more runs: one HTML file that needs nothing else, tables in Markdown, and pictures.

The page holds its data as JSON and draws it in the browser; tables of the runs are in its HTML. The same runs give the
same bytes.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import folksong
from folksong.evaluation.compare import current_evaluation
from folksong.evaluation.plots import plot_labels
from folksong.evaluation.report_data import collect
from folksong.files import atomic_write
from folksong.runs import Run

RUN_HEADERS = (
    "run",
    "labels",
    "macro ROC-AUC",
    "macro PR-AUC",
    "chance",
    "lift",
    "micro ROC-AUC",
    "micro PR-AUC",
)
COMMON_HEADERS = ("run", "macro ROC-AUC", "difference", "p", "macro PR-AUC", "lift", "difference", "p")


def write_report(
    runs: Sequence[Run | str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    title: str = "folksong report",
    part: str = "test",
    n_resamples: int = 1000,
    pictures: str | os.PathLike[str] | None = None,
    markdown: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Path:
    """Write the report of `runs` as one HTML file; runs without an up-to-date evaluation are evaluated.

    Args:
        runs: the runs, or their folders. Where label spaces differ, all are also projected on common tags.
        path: the HTML file.
        title: its heading.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        n_resamples: of the paired bootstrap between runs.
        pictures: a folder that gets a PNG of each run's labels.
        markdown: a file that gets the tables in Markdown.
        progress: show a bar where a run is evaluated first.

    Raises:
        FolksongError: as `folksong.evaluation.evaluate.evaluate`, or a file cannot be written.
    """
    opened = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    data = collect(opened, part=part, n_resamples=n_resamples, progress=progress)
    with atomic_write(path, "w") as stream:
        stream.write(render(data, title))
    if markdown is not None:
        with atomic_write(markdown, "w") as stream:
            stream.write(render_markdown(data, title))
    if pictures is not None:
        for run, content in zip(opened, data["runs"], strict=True):
            name = content["name"].replace("/", "-")
            plot_labels(current_evaluation(run, part), Path(pictures) / f"{name}.png")
    return Path(path)


def render(data: Mapping[str, Any], title: str) -> str:
    """Return the page as HTML."""
    page = files("folksong.evaluation").joinpath("page")
    parts = {
        "title": html.escape(title),
        "summary": html.escape(_summary(data)),
        "level": f"{data['runs'][0]['level']:.0%}",
        "runs_table": _html_table(RUN_HEADERS, run_rows(data)),
        "common_section": _common_section(data),
        "footer": f"Made by folksong {folksong.__version__}.",
        "css": page.joinpath("page.css").read_text(encoding="utf-8"),
        "js": page.joinpath("page.js").read_text(encoding="utf-8"),
        "data": _script_safe(data),
    }
    # One pass over the template, so that text which looks like a placeholder stays as it is.
    pieces = page.joinpath("page.html").read_text(encoding="utf-8").split("{{")
    return pieces[0] + "".join(
        parts[piece[: piece.index("}}")]] + piece[piece.index("}}") + 2 :] for piece in pieces[1:]
    )


def render_markdown(data: Mapping[str, Any], title: str) -> str:
    """Return the tables of the runs in Markdown."""
    text = [f"# {title}", _summary(data), _markdown_table(RUN_HEADERS, run_rows(data))]
    if data["common"] is not None:
        text += [
            "## " + _common_title(data),
            _common_note(data),
            _markdown_table(COMMON_HEADERS, common_rows(data)),
        ]
    return "\n\n".join(text) + "\n"


def run_rows(data: Mapping[str, Any]) -> list[list[str]]:
    """Return a row a run, for `RUN_HEADERS`."""
    rows = []
    for run in data["runs"]:
        precision = run["macro_pr_auc"]
        rows.append(
            [
                run["name"],
                str(len(run["labels"])),
                _with_interval(run["macro_roc_auc"]),
                _with_interval(precision),
                _number(precision["chance"]),
                _number(precision["lift"], 1),
                _with_interval(run["micro_roc_auc"]),
                _with_interval(run["micro_pr_auc"]),
            ]
        )
    return rows


def common_rows(data: Mapping[str, Any]) -> list[list[str]]:
    """Return a row a run on the common ground, for `COMMON_HEADERS`."""
    rows = []
    for run, own in zip(data["common"]["runs"], data["runs"], strict=True):
        row = [own["name"]]
        for name in ("macro_roc_auc", "macro_average_precision"):
            figure, difference = run["figures"][name], run["differences"].get(name)
            row.append(_with_interval(figure))
            if name == "macro_average_precision":
                row.append(_number(_ratio(figure["value"], figure["chance"]), 1))
            row += (
                ["–", "–"]
                if difference is None
                else [_with_interval(difference, "+"), _number(difference["p"])]
            )
        rows.append(row)
    return rows


def _summary(data: Mapping[str, Any]) -> str:
    runs = data["runs"]
    tracks = sorted({run["n_tracks"] for run in runs})
    many = f"{tracks[0]:,}" if len(tracks) == 1 else f"{tracks[0]:,} to {tracks[-1]:,}"
    return f"{len(runs)} run{'s' * (len(runs) > 1)}, measured on {many} tracks of the {data['part']} part."


def _common_title(data: Mapping[str, Any]) -> str:
    common = data["common"]
    what = "labels" if common["ground"] == "labels" else "tags that all label spaces know"
    return f"Common ground: {len(common['names'])} {what}, {common['n_tracks']:,} tracks"


def _common_note(data: Mapping[str, Any]) -> str:
    if data["common"]["ground"] == "labels":
        how = "All runs have the same labels and are measured on the same tracks."
    else:
        how = (
            "Each label's score stands for its member tags; measured is how well it ranks the tracks that carry the "
            "tag itself, so that a label space gains nothing by larger labels."
        )
    return f"{how} Differences are from the first run, with intervals of a paired bootstrap."


def _common_section(data: Mapping[str, Any]) -> str:
    if data["common"] is None:
        return ""
    return (
        f"<section><h2>{html.escape(_common_title(data))}</h2><p class='note'>{html.escape(_common_note(data))}</p>"
        f"<div class='scroll'>{_html_table(COMMON_HEADERS, common_rows(data))}</div></section>"
    )


def _html_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], kind: str) -> str:
        classes = ["", *[" class='number'"] * (len(cells) - 1)]
        content = (
            f"<{kind}{css}>{html.escape(cell)}</{kind}>" for cell, css in zip(cells, classes, strict=True)
        )
        return f"<tr>{''.join(content)}</tr>"

    return f"<table>{line(headers, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join(["---", *["---:"] * (len(headers) - 1)]) + "|"
    return "\n".join([line(headers), rule, *map(line, rows)])


def _with_interval(figure: Mapping[str, float | None], sign: str = "") -> str:
    if figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:{sign}.3f}"
    return f"{figure['value']:{sign}.3f} ({figure['low']:{sign}.3f} to {figure['high']:{sign}.3f})"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _ratio(value: float | None, chance: float | None) -> float | None:
    return None if value is None or not chance else value / chance


def _script_safe(data: Mapping[str, Any]) -> str:
    """Return JSON that no tag or track id can end early: ``<`` cannot stand inside a script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
