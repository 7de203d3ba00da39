"""``folksong experiment``: a plan of many runs."""

from __future__ import annotations

from pathlib import Path

import click

from folksong.cli.common import FolksongCommand, echo_table, wants_progress


@click.command(cls=FolksongCommand)
@click.argument("plan", type=click.Path(dir_okay=False))
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="The experiment's folder.  [default: the plan's name without its ending]",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes; the processor's cores are shared out among them.",
)
@click.option(
    "--report/--no-report", "with_report", default=True, show_default=True, help="Write DIR/report.html."
)
def experiment(plan: str, out: str | None, jobs: int, with_report: bool) -> None:
    """Train and evaluate every cell of PLAN: label spaces x front-ends x losses x seeds.

    A cell's folder is named by a hash of all that goes into it: the same command goes on where it was stopped, and a
    changed plan trains only what has changed. A cell that fails is named, and the others go on; the exit code is then
    1.

    \b
    Example of a plan:
      [data]
      tags = "lastfm_tags.db"
      shards = { "log-mel-spectrogram" = "shards/mel", "waveform" = "shards/wave" }
      [spaces]
      top = { builder = "top", n = 100 }
      filtered = { builder = "drop", of = "top" }
      [[grid]]
      spaces = ["top", "filtered"]
      front_ends = ["log-mel-spectrogram"]
      seeds = [0, 1, 2]
    """  # fmt: skip
    from folksong.experiment import run_experiment

    folder = Path(out) if out is not None else Path(plan).with_suffix("")
    results = run_experiment(plan, folder, jobs=jobs, progress=wants_progress())
    echo_table(
        [
            (
                found.cell.space,
                found.cell.front_end,
                found.cell.loss,
                found.cell.seed,
                found.status,
                f"{found.seconds:.0f}",
            )
            for found in results
        ],
        ("label space", "front-end", "loss", "seed", "status", "seconds"),
    )
    finished = [found.run for found in results if found.status != "failed"]
    if with_report and finished:
        from folksong.evaluation.report import write_report

        click.echo(f"\n{write_report(finished, folder / 'report.html', title=Path(plan).stem)}")
    failed = [found for found in results if found.status == "failed"]
    for found in failed:
        click.echo(f"{found.cell.name}: {found.error}", err=True)
    if failed:
        raise SystemExit(1)
