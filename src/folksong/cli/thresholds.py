"""``folksong thresholds``: from scores to decisions."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import FolksongCommand, echo_table, wants_progress


@click.command(cls=FolksongCommand)
@click.argument("run", type=click.Path())
@click.option(
    "--part",
    type=click.Choice(["validation", "training", "test"]),
    default="validation",
    show_default=True,
    help="The part of the run's split to tune on.",
)
@click.option(
    "--beta",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Recall counts so many times as much as precision.",
)
@click.option(
    "--shards", type=click.Path(), metavar="DIR", help="Where the shards are now.  [default: as in training]"
)
@click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1, …  [default: a GPU where there is one]")
@click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Windows scored at once."
)
def thresholds(run: str, **options: Any) -> None:
    """Find for each label of RUN the threshold that maximises F on the validation part, and keep them in the run.

    `folksong evaluate` then counts decisions at these thresholds, and `folksong predict --threshold tuned` prints the
    labels that reach theirs.

    \b
    Example:
      folksong thresholds runs/log-mel
      folksong predict runs/log-mel song.mp3 --threshold tuned
    """  # fmt: skip
    from folksong.evaluation.tuning import tune_thresholds

    found = tune_thresholds(run, progress=wants_progress(), **options)
    rows = [(name, found.values[name], float("nan") if f is None else f) for name, f in found.f.items()]
    echo_table(rows, ("label", "threshold", f"F{found.beta:g} on the {found.part} part"), floats=".3f")
    click.echo(f"\nWritten to {run}/thresholds.json, from {found.n_tracks:,} tracks")
