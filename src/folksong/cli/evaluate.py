"""``folksong evaluate``: how good a run is, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import FolksongCommand, echo_table, seed_option, wants_progress

if TYPE_CHECKING:
    from folksong.evaluation.figures import Evaluation


@click.command(cls=FolksongCommand)
@click.argument("run", type=click.Path())
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "training"]),
    default="test",
    show_default=True,
    help="The part of the run's split to measure.",
)
@click.option(
    "--shards", type=click.Path(), metavar="DIR", help="Where the shards are now.  [default: as in training]"
)
@click.option(
    "--tags",
    type=click.Path(),
    metavar="SOURCE",
    help="A tag table to measure against.  [default: as in training]",
)
@click.option(
    "--windows",
    type=click.Choice(["track", "centre"]),
    default="track",
    show_default=True,
    help="Average sliding windows over the whole track, or take the one in its middle.",
)
@click.option(
    "--hop",
    "hop_seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="From the beginning of one window to the next.  [default: half the run's window]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="T",
    help="A score of at least T decides for a label.  [default: the run's tuned thresholds, else 0.5]",
)
@click.option(
    "--resamples",
    "n_resamples",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Of the bootstrap that gives the intervals.",
)
@seed_option("Of the bootstrap.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also draw ROC-AUC per label (.png, .svg).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the tables.")
@click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1, …  [default: a GPU where there is one]")
@click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Windows scored at once."
)
@click.option(
    "--precision",
    type=click.Choice(["32", "bf16", "16", "auto"]),
    default="32",
    show_default=True,
    help="bf16 and 16 are faster where the hardware multiplies in them, and move scores by up to about 0.01.",
)
def evaluate(run: str, plot: str | None, as_json: bool, **options: Any) -> None:
    """Measure the best network of RUN: ROC-AUC and PR-AUC, macro, micro and per label, with 95% intervals.

    PR-AUC (average precision) stands beside what chance gives, the share of tracks with the label, and its lift over
    that. Labels that no track of the part carries are listed and left out of the averages. The figures, a CSV file
    with a line a label and the scores of every track are left in the run's folder evaluation/.

    \b
    Example:
      folksong evaluate runs/log-mel
      folksong evaluate runs/log-mel --part validation --plot validation.png
    """  # fmt: skip
    from folksong.evaluation.evaluate import evaluate as evaluate_run

    found = evaluate_run(run, progress=wants_progress(), **options)
    if plot is not None:
        from folksong.evaluation.plots import plot_labels

        plot_labels(found, plot)
    if as_json:
        import json

        from folksong.evaluation.tables import evaluation_to_dict

        click.echo(json.dumps(evaluation_to_dict(found), ensure_ascii=False, indent=2))
    else:
        _echo(found)


def _echo(found: Evaluation) -> None:
    from folksong.evaluation.tables import AVERAGE_HEADERS, LABEL_HEADERS, average_rows, label_rows

    left_out = f" ({found.unlabelled:,} tracks without a label left out)" if found.unlabelled else ""
    click.echo(
        f"{found.run}, {found.part} part: {found.n_tracks:,} tracks, {len(found.labels):,} labels{left_out}\n"
    )
    echo_table(average_rows(found), AVERAGE_HEADERS, floats=".3f")
    thresholds = found.settings["thresholds"]
    click.echo(
        f"\nmacro F1 {found.macro_f1:.3f} at {'threshold ' if isinstance(thresholds, float) else 'thresholds '}"
        f"{thresholds}; expected calibration error {found.calibration.pooled().error[0]:.3f}\n"
    )
    echo_table(label_rows(found), LABEL_HEADERS, floats=".3f")
    for names, what in ((found.no_positive, "no track carries"), (found.no_negative, "every track carries")):
        if names:
            click.echo(f"\nNot in the averages, {what} them: {', '.join(names)}")
    click.echo(f"\nWritten to {found.run}/evaluation/{found.part}.json, .csv and .npz")
