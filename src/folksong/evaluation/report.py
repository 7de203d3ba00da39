"""The report of one or more runs: one HTML file that needs nothing else, tables in Markdown, and pictures.

The page holds Plotly and the charts as JSON; its tables are in its HTML. The same runs give the same bytes.
"""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from folksong.audio.readers import read_own_tags
from folksong.drawing import fill_template
from folksong.evaluation.charts import (
    calibration_chart,
    curve_charts,
    density_charts,
    frontier_charts,
    genre_charts,
    heat_charts,
    prevalence_charts,
)
from folksong.evaluation.plots import colour_of, front_ends, plot_frontier, plot_labels
from folksong.evaluation.report_data import (
    Report,
    ReportRun,
    collect,
    describe_space,
    doubtful_tags,
    examples,
)
from folksong.evaluation.report_tables import Section, markdown_table, number, sections, table_words
from folksong.files import atomic_write
from folksong.labels.subgenres import GenreClustering
from folksong.runs import Run

PAGE = files("folksong.evaluation") / "page"
TEXT_HEADERS = {"label space", "front-end", "first", "second", "label", "tags", "track", "missed", "mistaken"}
TALL_ROWS = 20  # a table with more of them scrolls in a box of its own
SHOWN_TAGS = 12  # of a label's member tags
WORST_LABELS = 10


def write_report(
    runs: Sequence[Run | str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    title: str = "folksong report",
    pictures: str | os.PathLike[str] | None = None,
    markdown: str | os.PathLike[str] | None = None,
    more: Sequence[Section] = (),
    genres: Mapping[str, GenreClustering] | None = None,
    **collecting: Any,
) -> Path:
    """Write the report of `runs` as one HTML file; runs without an up-to-date evaluation are evaluated.

    Args:
        runs: the runs, their folders, or folders of experiments (all their finished cells). Runs that differ in their
            seed alone are one in all tables; where label spaces differ, all are also projected on common tags.
        path: the HTML file.
        title: its heading.
        pictures: a folder that gets PNGs: the frontier, and the labels of the first seed of each group.
        markdown: a file that gets the tables in Markdown.
        more: further tables, which come first.
        genres: what a genre is called -> how its tags were divided: adds silhouettes and t-SNE.
        collecting: ``part``; ``n_resamples`` of the bootstraps; ``truth``, a CSV of what tags mean
            (`folksong.evaluation.analyses.read_truth`); ``tag_groups``, a file of groups of tags (`read_tag_groups`
            there); ``audio``, the recordings, a track list or a folder, which the page names and plays where they lie;
            ``progress``, a bar where a run is evaluated first.

    Raises:
        FolksongError: as `folksong.evaluation.evaluate.evaluate`, or a file cannot be written.
    """
    report = collect(runs, **collecting)
    with atomic_write(path, "w") as stream:
        stream.write(render(report, title, more, Path(path).parent, genres or {}))
    if markdown is not None:
        with atomic_write(markdown, "w") as stream:
            stream.write(render_markdown(report, title, more))
    if pictures is not None:
        if any(group.coverage for group in report.groups):
            plot_frontier(report, Path(pictures) / "frontier.png")
        for group in report.groups:
            first = report.first_seed(group)
            plot_labels(first.evaluation, Path(pictures) / f"{first.name.replace('/', '-')}.png")
    return Path(path)


def render_markdown(report: Report, title: str, more: Sequence[Section] = ()) -> str:
    """Return the tables of the report in Markdown."""
    text = [f"# {title}", _summary(report)]
    for section in [*more, *sections(report)]:
        text += [f"## {section.title}", section.note, markdown_table(section.headers, section.rows)]
    return "\n\n".join(text) + "\n"


def render(
    report: Report,
    title: str,
    more: Sequence[Section] = (),
    folder: str | os.PathLike[str] = ".",
    genres: Mapping[str, GenreClustering] = MappingProxyType({}),
) -> str:
    """Return the page as HTML; its links to recordings start from `folder`."""
    from plotly.offline import get_plotlyjs

    recordings = _Recordings(report.recordings, Path(folder))
    charts: dict[str, Any] = {}
    parts = {
        "title": html.escape(title),
        "summary": html.escape(_summary(report)),
        "level": f"{report.level:.0%}",
        "legend": _legend(report),
        "frontier": _chooser("frontier", frontier_charts(report), charts),
        "tables": "".join(map(_section, [*more, *sections(report)])),
        "genres": _genres(genres, charts),
        "curves": _chooser("curves", curve_charts(report), charts),
        "options": "".join(
            f"<option value='run-{row}'>{html.escape(_describe(entry))}</option>"
            for row, entry in enumerate(report.runs)
        ),
        "densities": _chooser("densities", density_charts(report), charts),
        "runs": "".join(_run(row, entry, charts, recordings) for row, entry in enumerate(report.runs)),
        "footer": f"Made by folksong {version('folksong')}.",
        "css": fill_template(PAGE / "page.css", {}),
        "js": fill_template(
            PAGE / "page.js", {"template": fill_template(PAGE / "template.json", {}).strip()}
        ),
        "plotly": get_plotlyjs(),
    }
    parts["charts"] = _script_safe(charts)
    return fill_template(PAGE / "page.html", parts)


class _Markup(str):
    """Text of a cell that is HTML already."""


class _Recordings:
    """What tracks are called on the page, and where it finds them.

    Args:
        paths: track id -> recording.
        folder: of the page.
    """

    def __init__(self, paths: Mapping[str, Path], folder: Path) -> None:
        self.paths, self.folder, self.names = paths, folder, dict[str, str]()

    def name(self, track_id: str) -> str:
        """Return artist and title where the file's own tags name them, else the track id."""
        path = self.paths.get(track_id)
        if path is None:
            return track_id
        if track_id not in self.names:
            own = read_own_tags(path)
            named = [own[key] for key in ("artist", "title")]
            self.names[track_id] = " – ".join(word for word in named if word) if own["title"] else track_id
        return self.names[track_id]

    def cell(self, track_id: str) -> str:
        """Return the name, with a player where the recording is at hand."""
        path = self.paths.get(track_id)
        if path is None or not path.is_file():
            return self.name(track_id)
        try:
            link = quote(Path(os.path.relpath(path, self.folder)).as_posix())
        except ValueError:  # on another drive
            link = path.absolute().as_uri()
        player = f"<audio controls preload='none' src='{html.escape(link, quote=True)}'></audio>"
        return _Markup(f"{html.escape(self.name(track_id))}<br>{player}")


def _summary(report: Report) -> str:
    runs, groups = len(report.runs), len(report.groups)
    tracks = sorted({entry.evaluation.n_tracks for entry in report.runs})
    many = f"{tracks[0]:,}" if len(tracks) == 1 else f"{tracks[0]:,} to {tracks[-1]:,}"
    seeds = f" ({groups} apart from their seeds)" if 1 < groups < runs else ""
    return f"{runs} run{'s' * (runs > 1)}{seeds}, measured on {many} tracks of the {report.part} part."


def _describe(entry: ReportRun) -> str:
    return f"{entry.name} ({describe_space(entry.run.labels)}, {entry.run.front_end})"


def _legend(report: Report) -> str:
    """Return the numbers of the label spaces and the shapes of the front-ends; it wraps where the page is narrow."""
    names = {
        entry.group.name: f"<span><b style='background:{colour_of(entry)}'>{entry.number}</b>"
        f"{html.escape(entry.group.name)} ({len(entry.group.labels)} labels)</span>"
        for entry in report.groups
    }
    shapes = [
        f"<span>{shape} {html.escape(front_end)}</span>"
        for shape, front_end in zip("●■▲◆", front_ends(report.groups), strict=False)
    ]
    return f"<div class='legend'>{''.join([*names.values(), *(shapes if len(shapes) > 1 else [])])}</div>"


def _chooser(name: str, found: Mapping[str, Any], charts: dict[str, Any]) -> str:
    """Return a chart, above it a choice of which is shown, and put them all among the page's."""
    if not found:
        return "<p class='note'>Not known for these runs.</p>"
    keys = [f"{name}-{place}" for place in range(len(found))]
    charts.update(zip(keys, found.values(), strict=True))
    options = "".join(
        f"<option value='{key}'>{html.escape(title)}</option>" for key, title in zip(keys, found, strict=True)
    )
    choice = (
        f"<p class='no-print'><select aria-label='figure' data-chart='{name}'>{options}</select></p>"
        if len(keys) > 1
        else ""
    )
    return f"{choice}<div class='chart' id='{name}' data-key='{keys[0]}'></div>"


def _genres(genres: Mapping[str, GenreClustering], charts: dict[str, Any]) -> str:
    found = genre_charts(genres)
    if not found:
        return ""
    words = table_words("genres")
    heading = f"<h2>{words['title']}</h2><p class='note'>{words['note']}</p>"
    return f"<section>{heading}{_chooser('genres', found, charts)}</section>"


def _run(row: int, entry: ReportRun, charts: dict[str, Any], recordings: _Recordings) -> str:
    """Return one run's part of the page, label by label."""
    found, name = entry.evaluation, f"run-{row}"
    doubts = doubtful_tags(found.measured)
    heat = heat_charts(found)
    charts.update({f"{name}-{key}": chart for key, chart in heat.items()})
    charts[f"{name}-calibration"] = calibration_chart(found)
    parts = {
        "id": name,
        "name": html.escape(_describe(entry)),
        "prevalence": _chooser(f"{name}-prevalence", prevalence_charts(found), charts),
        "labels": _table(table_words("labels")["headers"], _label_rows(entry), "sortable"),
        "worst": _table(table_words("worst")["headers"], _worst_rows(entry, recordings)),
        "maps": "".join(
            f"<div class='chart' id='{name}-{key}' data-key='{name}-{key}'></div>" for key in heat
        )
        or "<p class='note'>Too many labels for a heat map.</p>",
        "calibration": f"<div class='chart small' id='{name}-calibration' data-key='{name}-calibration'></div>",
        "error": f"{found.calibration.pooled().error[0]:.3f}",
        **{
            kind: _table(
                table_words("doubts")["headers"],
                [
                    [
                        *(recordings.cell(doubt.track), doubt.label, number(doubt.score, 2)),
                        *(number(doubt.threshold, 2), number(doubt.distance, 1)),
                    ]
                    for doubt in pairs
                ],
            )
            for kind, pairs in doubts.items()
        },
    }
    return fill_template(PAGE / "run.html", parts)


def _label_rows(entry: ReportRun) -> list[list[str]]:
    """Return a row a label, best ROC-AUC first."""
    pairs = zip(entry.evaluation.labels, entry.run.labels.labels, strict=True)
    ordered = sorted(
        pairs, key=lambda pair: -pair[0].roc_auc.value if not math.isnan(pair[0].roc_auc.value) else 1.0
    )
    return [
        [
            figures.name,
            f"{figures.tracks:,}",
            *(number(figures.roc_auc.value), figures.roc_auc.interval()),
            *(number(figures.pr_auc.value), figures.pr_auc.interval()),
            *(number(figures.pr_auc.chance), number(figures.pr_auc.lift, 2)),
            *(number(figures.f1), number(figures.threshold)),
            _member_tags(label.tags),
        ]
        for figures, label in ordered
    ]


def _worst_rows(entry: ReportRun, recordings: _Recordings) -> list[list[str]]:
    """Return the labels with the lowest ROC-AUC that at least 3 tracks carry, with examples."""
    found = entry.evaluation
    known = [
        (place, figures)
        for place, figures in enumerate(found.labels)
        if figures.tracks >= 3 and not math.isnan(figures.roc_auc.value)
    ]
    worst = sorted(known, key=lambda pair: pair[1].roc_auc.value)[:WORST_LABELS]
    return [
        [
            figures.name,
            number(figures.roc_auc.value),
            _member_tags(entry.run.labels.labels[place].tags),
            *(
                ", ".join(f"{recordings.name(track)} ({score:.2f})" for track, score in tracks)
                for tracks in examples(found.measured, place)
            ),
        ]
        for place, figures in worst
    ]


def _member_tags(tags: Sequence[str]) -> str:
    more = f", … ({len(tags)})" if len(tags) > SHOWN_TAGS else ""
    return ", ".join(tags[:SHOWN_TAGS]) + more


def _section(section: Section) -> str:
    return (
        f"<section><h2>{html.escape(section.title)}</h2><p class='note'>{html.escape(section.note)}</p>"
        f"{_table(section.headers, section.rows)}</section>"
    )


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Return a table in a box that scrolls by itself where the page is too narrow for it."""

    def line(cells: Sequence[str], element: str) -> str:
        content = (
            f"<{element}{'' if header in TEXT_HEADERS else _NUMBER}>{_cell(cell)}</{element}>"
            for cell, header in zip(cells, headers, strict=True)
        )
        return f"<tr>{''.join(content)}</tr>"

    tall = " tall" if len(rows) > TALL_ROWS else ""
    body = "".join(line(row, "td") for row in rows)
    return (
        f"<div class='scroll{tall}'><table class='{kind}'><thead>{line(headers, 'th')}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


_NUMBER = " class='number'"


def _cell(text: str) -> str:
    """Return a cell; an interval in brackets goes on a line of its own, so that tables stay narrow."""
    if isinstance(text, _Markup):
        return text
    value, bracket, interval = text.partition(" (")
    if not (bracket and interval.endswith(")") and " to " in interval):
        return html.escape(text)
    return f"{html.escape(value)}<br><small>{html.escape(interval[:-1])}</small>"


def _script_safe(content: Mapping[str, Any]) -> str:
    """Return JSON that no tag or track id can end early: ``<`` cannot stand inside a script element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
