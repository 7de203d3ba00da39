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
from folksong.evaluation.cells import open_runs
from folksong.evaluation.compare import current_evaluation
from folksong.evaluation.frontier import plot_frontier
from folksong.evaluation.plots import plot_labels
from folksong.evaluation.report_data import collect
from folksong.evaluation.report_tables import Section, markdown_table, sections
from folksong.files import atomic_write
from folksong.runs import Run

TEXT_HEADERS = ("label space", "front-end", "first", "second")
_CLASS = " class='number'"
TALL_ROWS = 20  # a table with more of them scrolls in a box of its own


def write_report(
    runs: Sequence[Run | str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    title: str = "folksong report",
    part: str = "test",
    n_resamples: int = 1000,
    truth: str | os.PathLike[str] | None = None,
    pictures: str | os.PathLike[str] | None = None,
    markdown: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Path:
    """Write the report of `runs` as one HTML file; runs without an up-to-date evaluation are evaluated.

    Args:
        runs: the runs, their folders, or folders of experiments (all their finished cells). Runs that differ in their
            seed alone are one in all tables; where label spaces differ, all are also projected on common tags.
        path: the HTML file.
        title: its heading.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        n_resamples: of the bootstraps.
        truth: a CSV of what tags mean (columns ``tag`` and ``concept``): adds how well label spaces recover it.
        pictures: a folder that gets PNGs: the frontier, and the labels of the first seed of each group.
        markdown: a file that gets the tables in Markdown.
        progress: show a bar where a run is evaluated first.

    Raises:
        FolksongError: as `folksong.evaluation.evaluate.evaluate`, or a file cannot be written.
    """
    data = collect(runs, part=part, n_resamples=n_resamples, truth=truth, progress=progress)
    with atomic_write(path, "w") as stream:
        stream.write(render(data, title))
    if markdown is not None:
        with atomic_write(markdown, "w") as stream:
            stream.write(render_markdown(data, title))
    if pictures is not None:
        _write_pictures(Path(pictures), data, [one.run for one in open_runs(runs)], part)
    return Path(path)


def _write_pictures(folder: Path, data: Mapping[str, Any], runs: Sequence[Run], part: str) -> None:
    if any(group["coverage"] for group in data["groups"]):
        plot_frontier(data, folder / "frontier.png")
    for group in data["groups"]:
        first = group["runs"][0]
        name = data["runs"][first]["name"].replace("/", "-")
        plot_labels(current_evaluation(runs[first], part), folder / f"{name}.png")


def render(data: Mapping[str, Any], title: str) -> str:
    """Return the page as HTML."""
    page = files("folksong.evaluation").joinpath("page")
    parts = {
        "title": html.escape(title),
        "summary": html.escape(_summary(data)),
        "level": f"{data['runs'][0]['level']:.0%}",
        "tables": "".join(map(_html_section, sections(data))),
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
    """Return the tables of the report in Markdown."""
    text = [f"# {title}", _summary(data)]
    for section in sections(data):
        text += [f"## {section.title}", section.note, markdown_table(section.headers, section.rows)]
    return "\n\n".join(text) + "\n"


def _summary(data: Mapping[str, Any]) -> str:
    runs = data["runs"]
    tracks = sorted({run["n_tracks"] for run in runs})
    many = f"{tracks[0]:,}" if len(tracks) == 1 else f"{tracks[0]:,} to {tracks[-1]:,}"
    groups = len(data["groups"])
    seeds = f" ({groups} apart from their seeds)" if 1 < groups < len(runs) else ""
    return f"{len(runs)} run{'s' * (len(runs) > 1)}{seeds}, measured on {many} tracks of the {data['part']} part."


def _html_section(section: Section) -> str:
    tall = " tall" if len(section.rows) > TALL_ROWS else ""
    return (
        f"<section><h2>{html.escape(section.title)}</h2><p class='note'>{html.escape(section.note)}</p>"
        f"<div class='scroll{tall}'>{_html_table(section.headers, section.rows)}</div></section>"
    )


def _html_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], kind: str) -> str:
        content = (
            f"<{kind}{_CLASS if header not in TEXT_HEADERS else ''}>{_html_cell(cell)}</{kind}>"
            for cell, header in zip(cells, headers, strict=True)
        )
        return f"<tr>{''.join(content)}</tr>"

    return f"<table>{line(headers, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _html_cell(text: str) -> str:
    """Return a cell; an interval in brackets goes on a line of its own, so that tables stay narrow."""
    value, bracket, interval = text.partition(" (")
    if not (bracket and interval.endswith(")") and " to " in interval):
        return html.escape(text)
    return f"{html.escape(value)}<br><small>{html.escape(interval[:-1])}</small>"


def _script_safe(data: Mapping[str, Any]) -> str:
    """Return JSON that no tag or track id can end early: ``<`` cannot stand inside a script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
