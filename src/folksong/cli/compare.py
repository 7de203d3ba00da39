"""``folksong compare``: runs against each other on common ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import FolksongCommand, echo_table, seed_option, wants_progress
from folksong.cli.evaluate import lift_text, part_option, resamples_option

if TYPE_CHECKING:
    from folksong.evaluation.compare import Comparison

SHOWN_LABELS = 5


@click.command(cls=FolksongCommand)
@click.argument("runs", type=click.Path(), nargs=-1, required=True, metavar="RUN RUN...")
@part_option("The part of the splits to compare on; the tracks that all runs have in it.")
@click.option(
    "--on",
    "ground",
    type=click.Choice(["auto", "labels", "tags"]),
    default="auto",
    show_default=True,
    help="Compare equal label spaces label by label, or project all on the tags that every space knows.",
)
@click.option(
    "--tags", type=click.Path(), metavar="SOURCE", help="The tags to project on.  [default: the first run's]"
)
@click.option(
    "--min-tracks",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Project only on tags that so many of the tracks carry.",
)
@resamples_option("Of the paired bootstrap that gives the intervals.")
@seed_option("Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the tables.")
def compare(runs: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Compare RUNs on the same tracks; differences are from the first, with intervals of a paired bootstrap.

    Runs with other label spaces are projected on the tags that all of them know: each label's score stands for its
    tags, and what is measured is how well it ranks the tracks that carry the tag itself. Runs that were not evaluated
    yet are evaluated first.

    \b
    Example:
      folksong compare runs/top100 runs/clusters
      folksong compare runs/bce runs/semantic --part validation --json
    """  # fmt: skip
    from folksong.evaluation.compare import compare as compare_runs
    from folksong.evaluation.evaluate import current_evaluation
    from folksong.runs import Run

    for run in runs:
        current_evaluation(Run.open(run), options["part"], progress=wants_progress())
    found = compare_runs(runs, **options)
    if as_json:
        import json

        click.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=2))
    else:
        _echo(found)


def _echo(found: Comparison) -> None:
    from folksong.evaluation.figures import NAMES

    what = "labels" if found.ground == "labels" else "tags that all label spaces know"
    click.echo(
        f"{found.part} part: {found.n_tracks:,} common tracks, compared on {len(found.names):,} {what}\n"
    )
    interval = f"{found.level:.0%} interval"
    for key, name in NAMES.items():
        rows: list[list[object]] = []
        for one in found.groups:
            figure, difference = one.figures[key], one.differences.get(key)
            row = [one.group.runs[0].path, len(one.group.labels), figure.value, figure.interval()]
            row += [lift_text(figure)] if key.endswith("pr_auc") else []
            if difference is not None:
                row += [f"{difference.value:+.3f}", difference.interval("+"), difference.p]
            rows.append(row)
        lift = ["lift"] if key.endswith("pr_auc") else []
        echo_table(rows, ["run", "labels", name, interval, *lift, "difference", interval, "p"], floats=".3f")
        click.echo()
    for number in range(1, len(found.groups)):
        _echo_labels(found, number)


def _echo_labels(found: Comparison, number: int) -> None:
    """Print the labels on which a run gains and loses most."""
    pairs = zip(found.names, found.label_differences(number), strict=True)
    defined = [(name, difference) for name, difference in pairs if difference.p == difference.p]
    defined.sort(key=lambda pair: -pair[1].value)
    few = len(defined) <= 2 * SHOWN_LABELS
    shown = defined if few else [*defined[:SHOWN_LABELS], *defined[-SHOWN_LABELS:]]
    path = found.groups[number].group.runs[0].path
    click.echo(f"{path}: ROC-AUC of single {found.ground}, most gained and most lost")
    rows = [
        (name, f"{difference.value:+.3f}", difference.interval("+"), difference.p)
        for name, difference in shown
    ]
    headers = (found.ground[:-1], "difference", f"{found.level:.0%} interval", "p")
    echo_table(rows, headers, floats=".3f")
    click.echo()
