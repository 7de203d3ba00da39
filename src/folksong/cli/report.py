"""``folksong report``: runs as one page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from folksong.cli.command import File, FolksongCommand, Output


@click.command(
    cls=FolksongCommand, of="evaluation.report:write_report evaluation.report_data:collect", without=("more",)
)
def report(
    runs: tuple[File, ...], *, out: Output = "report.html", markdown: Output | None = None, **settings: Any
) -> None:
    """Write one interactive HTML page about RUNs; the folder of an experiment stands for all its finished cells.

    It shows information kept against quality, figures with intervals, all runs on common ground, learning curves, every
    label against its prevalence, which labels come and are heard together, calibration, the worst labels with examples,
    and the tags that the tagger doubts. Runs that differ in their seed alone are averaged and compared seed by seed.
    Runs that were not evaluated yet are evaluated first.

    Example:
      folksong report runs/log-mel
      folksong report runs/* --out report.html --markdown tables.md --pictures figures/
      folksong report answer --truth demo/corpus/truth/tags.csv

    Args:
        runs (RUN...):
        out (-o, --out): The HTML file; it needs no other file and no network.
        title: Its heading.
        part: The part of the runs' splits that is shown.
        n_resamples (--resamples): Of the bootstraps.
        truth (CSV): What each tag means, where that is known (columns tag and concept): adds how well label spaces
            recover it.
        tag_groups (--groups TSV): Lines tag<TAB>group: adds mean PR-AUC by group. top100 names the grouping that ships
            with folksong.
        audio (SOURCE): The recordings, a track list or a folder: the page names them by artist and title, and plays
            them where they lie.
        pictures (DIR): Also write PNGs: the frontier, and the labels of each label space's first seed.
        markdown (FILE): Also write the tables in Markdown.
    """
    from folksong.evaluation.report import write_report

    written = write_report(runs, out, markdown=markdown, **settings)
    click.echo(f"{written}: {Path(written).stat().st_size / 1e6:.2f} MB")
