"""The report of one or more runs: one HTML file that needs nothing else, tables in Markdown, and pictures.

The page holds Plotly and the charts as JSON; its tables are in its HTML. The same runs give the same bytes.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

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

    def choice(name: str, found: Mapping[str, Any]) -> list[str]:
        """Put charts among the page's; return their titles."""
        charts.update((f"{name}-{place}", chart) for place, chart in enumerate(found.values()))
        return list(found)

    look = (PAGE / "template.json").read_text(encoding="utf-8").strip()
    parts = {
        "frontier": choice("frontier", frontier_charts(report)),
        "genres": choice("genres", genre_charts(genres)),
        "densities": choice("densities", density_charts(report)),
        "curves": choice("curves", curve_charts(report)),
        "runs": [_run(row, entry, charts, choice, recordings) for row, entry in enumerate(report.runs)],
    }
    return fill_template(
        PAGE / "page.html",
        title=title,
        summary=_summary(report),
        level=f"{report.level:.0%}",
        groups=report.groups,
        colour_of=colour_of,
        front_ends=front_ends(report.groups),
        sections=[*more, *sections(report)],
        headers=lambda name: table_words(name)["headers"],
        version=version("folksong"),
        css=Markup((PAGE / "page.css").read_text(encoding="utf-8")),
        js=Markup(fill_template(PAGE / "page.js", template=look)),
        plotly=Markup(get_plotlyjs()),
        charts=_script_safe(charts),
        **parts,
    )


class _Recordings:
    """What tracks are called on the page, and where it finds them (track id -> recording)."""

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
        player = Markup("<audio controls preload='none' src='{}'></audio>").format(link)
        return Markup("{}<br>{}").format(self.name(track_id), player)


def _summary(report: Report) -> str:
    runs, groups = len(report.runs), len(report.groups)
    tracks = sorted({entry.evaluation.n_tracks for entry in report.runs})
    many = f"{tracks[0]:,}" if len(tracks) == 1 else f"{tracks[0]:,} to {tracks[-1]:,}"
    seeds = f" ({groups} apart from their seeds)" if 1 < groups < runs else ""
    return f"{runs} run{'s' * (runs > 1)}{seeds}, measured on {many} tracks of the {report.part} part."


def _describe(entry: ReportRun) -> str:
    return f"{entry.name} ({describe_space(entry.run.labels)}, {entry.run.front_end})"


def _run(
    row: int,
    entry: ReportRun,
    charts: dict[str, Any],
    choice: Callable[..., list[str]],
    recordings: _Recordings,
) -> dict[str, Any]:
    """Return one run's part of the page, label by label; its charts are put among the page's."""
    found, name = entry.evaluation, f"run-{row}"
    maps = {f"{name}-{key}": chart for key, chart in heat_charts(found).items()}
    charts |= {**maps, f"{name}-calibration": calibration_chart(found)}
    doubts = {
        kind: [
            [
                *(recordings.cell(doubt.track), doubt.label, number(doubt.score, 2)),
                *(number(doubt.threshold, 2), number(doubt.distance, 1)),
            ]
            for doubt in pairs
        ]
        for kind, pairs in doubtful_tags(found.measured).items()
    }
    return {
        "id": name,
        "name": _describe(entry),
        "prevalence": choice(f"{name}-prevalence", prevalence_charts(found)),
        "labels": _label_rows(entry),
        "worst": _worst_rows(entry, recordings),
        "maps": list(maps),
        "error": found.calibration.pooled().error[0],
        **doubts,
    }


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
    """Return the labels with the lowest ROC-AUC, below the macro mean, that at least 3 tracks carry, with examples."""
    found = entry.evaluation
    mean = found.macro_roc_auc.value
    known = [
        (place, figures)
        for place, figures in enumerate(found.labels)
        if figures.tracks >= 3 and figures.roc_auc.value < mean
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


def _script_safe(content: Mapping[str, Any]) -> Markup:
    """Return JSON that no tag or track id can end early: ``<`` cannot stand inside a script element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
