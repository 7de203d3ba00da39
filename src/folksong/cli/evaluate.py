"""``folksong evaluate``: how good a run is, with intervals; thresholds that turn its scores into decisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import Command, FolksongCommand, OutputFile, echo_table, seed_option, wants_progress

if TYPE_CHECKING:
    from folksong.evaluation.figures import Average, Evaluation
    from folksong.prediction.thresholds import Thresholds


def part_option(what: str) -> Callable[[Command], Command]:
    """Return the option ``--part``; `what` says what it is for."""
    parts = click.Choice(["test", "validation", "training"])
    return click.option("--part", type=parts, default="test", show_default=True, help=what)


def resamples_option(of: str) -> Callable[[Command], Command]:
    """Return the option ``--resamples``; `of` says of what."""
    return click.option(
        "--resamples", "n_resamples", type=click.IntRange(1), default=1000, show_default=True, help=of
    )


@click.command(cls=FolksongCommand)
@click.argument("run", type=click.Path())
@part_option("The part of the run's split to measure.")
@click.option(
    "--tune",
    is_flag=True,
    help="First find each label's threshold that maximises F on the validation part, and keep them in the run.",
)
@click.option(
    "--beta",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="In tuning, recall counts so many times as much as precision.",
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
    help="Average windows over the whole track, or take the one in its middle.  [default: the run's definition]",
)
@click.option(
    "--hop",
    "hop_seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="From the beginning of one window to the next.  [default: the run's definition]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="T",
    help="A score of at least T decides for a label.  [default: the run's tuned thresholds, else 0.5]",
)
@resamples_option("Of the bootstrap that gives the intervals.")
@seed_option("Of the bootstrap.")
@click.option(
    "--plot",
    type=OutputFile(),
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
    help="bf16 and 16 are faster where the hardware multiplies in them, and move scores by up to about 0.01.  "
    "[default: the run's definition]",
)
def evaluate(run: str, plot: str | None, as_json: bool, tune: bool, beta: float, **options: Any) -> None:
    """Measure the best network of RUN: ROC-AUC and PR-AUC, macro, micro and per label, with 95% intervals.

    PR-AUC (average precision) stands beside what chance gives, the share of tracks with the label, and its lift over
    that. Labels that no track of the part carries are listed and left out of the averages. The figures, a CSV file
    with a line a label and the scores of every track are left in the run's folder evaluation/.

    --tune leaves thresholds.json in the run: decisions are then counted at these thresholds, and `folksong predict
    --threshold tuned` prints the labels that reach theirs. Evaluation and prediction score tracks by one definition of
    windows and precision, stored with the run; where thresholds were tuned on another (--hop, --precision), by that.

    \b
    Example:
      folksong evaluate runs/log-mel
      folksong evaluate runs/log-mel --tune
      folksong evaluate runs/log-mel --part validation --plot validation.png
    """  # fmt: skip
    from folksong.evaluation.evaluate import evaluate as evaluate_run

    tuned = None
    if tune:
        from folksong.evaluation.tune_thresholds import tune_thresholds
        from folksong.runs import Run

        same = {name: options[name] for name in ("shards", "device", "batch_size")}
        scoring = Run.open(run).scoring.replaced(
            *(options[name] for name in ("windows", "hop_seconds", "precision"))
        )
        tuned = tune_thresholds(run, beta=beta, scoring=scoring, progress=wants_progress(), **same)
    found = evaluate_run(run, progress=wants_progress(), **options)
    if plot is not None:
        from folksong.evaluation.plots import plot_labels

        plot_labels(found, plot)
    if as_json:
        import json

        from folksong.evaluation.evaluate import evaluation_to_dict

        click.echo(json.dumps(evaluation_to_dict(found), ensure_ascii=False, indent=2))
    else:
        if tuned is not None:
            _echo_thresholds(run, tuned)
        echo_evaluation(found)


def _echo_thresholds(run: str, tuned: Thresholds) -> None:
    rows = [(name, tuned.values[name], math.nan if f is None else f) for name, f in tuned.f.items()]
    echo_table(rows, ("label", "threshold", f"F{tuned.beta:g} on the {tuned.part} part"), floats=".3f")
    click.echo(f"\nWritten to {run}/thresholds.json, from {tuned.n_tracks:,} tracks\n")


def echo_evaluation(found: Evaluation) -> None:
    """Print the figures of an evaluation, and those of its labels."""
    from folksong.evaluation.figures import NAMES

    left_out = f" ({found.unlabelled:,} tracks without a label left out)" if found.unlabelled else ""
    click.echo(
        f"{found.run}, {found.part} part: {found.n_tracks:,} tracks, {len(found.labels):,} labels{left_out}\n"
    )
    rows: list[tuple[object, ...]] = []
    for name, shown in NAMES.items():
        figure: Average = getattr(found, name)
        lift = lift_text(figure) if name.endswith("pr_auc") else ""
        rows.append((shown, figure.value, figure.interval(), figure.chance, lift))
    interval = f"{found.level:.0%} interval"
    echo_table(rows, ("", "value", interval, "chance", "lift"), floats=".3f")
    if "mean_of_folds" in found.settings:
        means = ", ".join(
            f"{NAMES[name]} {value:.3f}" for name, value in found.settings["mean_of_folds"].items()
        )
        click.echo(f"\nIn the mean of {len(found.settings['folds'])} folds: {means}")
    thresholds = found.settings["thresholds"]
    click.echo(
        f"\nmacro F1 {found.macro_f1:.3f} at {'threshold ' if isinstance(thresholds, float) else 'thresholds '}"
        f"{thresholds}; expected calibration error {found.calibration.pooled().error[0]:.3f}\n"
    )
    labels = [
        (
            *(figures.name, figures.tracks, figures.roc_auc.value, figures.roc_auc.interval()),
            *(figures.pr_auc.value, figures.pr_auc.interval(), figures.pr_auc.chance),
            *(lift_text(figures.pr_auc), figures.f1),
        )
        for figures in sorted(found.defined, key=lambda figures: -figures.roc_auc.value)
    ]
    headers = ("label", "tracks", "ROC-AUC", interval, "PR-AUC", interval, "chance", "lift", "F1")
    echo_table(labels, headers, floats=".3f")
    for names, what in ((found.no_positive, "no track carries"), (found.no_negative, "every track carries")):
        if names:
            click.echo(f"\nNot in the averages, {what} them: {', '.join(names)}")
    click.echo(f"\nWritten to {found.run}/evaluation/{found.part}.json, .csv and .npz")


def lift_text(figure: Average) -> str:
    """Return the lift, to two digits behind the point."""
    return "–" if math.isnan(figure.lift) else f"{figure.lift:.2f}"
