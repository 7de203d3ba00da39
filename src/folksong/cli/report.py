"""``folksong report``: runs as one page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from folksong.cli.common import FolksongCommand, OutputFile, wants_progress
from folksong.cli.evaluate import part_option, resamples_option


@click.command(cls=FolksongCommand)
@click.argument("runs", type=click.Path(), nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-o",
    "--out",
    "path",
    type=OutputFile(),
    default="report.html",
    show_default=True,
    help="The HTML file; it needs no other file and no network.",
)
@click.option("--title", default="folksong report", show_default=True, help="Its heading.")
@part_option("The part of the runs' splits that is shown.")
@resamples_option("Of the bootstraps.")
@click.option(
    "--truth",
    type=click.Path(),
    metavar="CSV",
    help="What each tag means, where that is known (columns tag and concept): adds how well label spaces recover it.",
)
@click.option(
    "--groups",
    "tag_groups",
    type=click.Path(),
    metavar="TSV",
    help="Lines tag<TAB>group: adds mean PR-AUC by group. top100 names the grouping that ships with folksong.",
)
@click.option(
    "--audio",
    type=click.Path(),
    metavar="SOURCE",
    help="The recordings, a track list or a folder: the page names them by artist and title, and plays them where they "
    "lie.",
)
@click.option(
    "--pictures",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Also write PNGs: the frontier, and the labels of each label space's first seed.",
)
@click.option("--markdown", type=OutputFile(), metavar="FILE", help="Also write the tables in Markdown.")
def report(runs: tuple[str, ...], path: str, **options: Any) -> None:
    """Write one interactive HTML page about RUNs; the folder of an experiment stands for all its finished cells.

    It shows information kept against quality, figures with intervals, all runs on common ground, learning curves, every
    label against its prevalence, which labels come and are heard together, calibration, the worst labels with examples,
    and the tags that the tagger doubts. Runs that differ in their seed alone are averaged and compared seed by seed.
    Runs that were not evaluated yet are evaluated first.

    \b
    Example:
      folksong report runs/log-mel
      folksong report runs/* --out report.html --markdown tables.md --pictures figures/
      folksong report answer --truth demo/corpus/truth/tags.csv
    """  # fmt: skip
    from folksong.evaluation.report import write_report

    written = write_report(runs, path, progress=wants_progress(), **options)
    click.echo(f"{written}: {Path(written).stat().st_size / 1e6:.2f} MB")
