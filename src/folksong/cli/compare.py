"""``folksong compare``: runs against each other on common ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import FolksongCommand, echo_table, seed_option, wants_progress

if TYPE_CHECKING:
    from folksong.evaluation.compare import Comparison

SHOWN_LABELS = 5
_NAMES = {
    "macro_roc_auc": "macro ROC-AUC",
    "macro_pr_auc": "macro PR-AUC",
    "micro_roc_auc": "micro ROC-AUC",
    "micro_pr_auc": "micro PR-AUC",
}


@click.command(cls=FolksongCommand)
@click.argument("runs", type=click.Path(), nargs=-1, required=True, metavar="RUN RUN...")
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "training"]),
    default="test",
    show_default=True,
    help="The part of the splits to compare on; the tracks that all runs have in it.",
)
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
@click.option(
    "--resamples",
    "n_resamples",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Of the paired bootstrap that gives the intervals.",
)
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

    found = compare_runs(runs, progress=wants_progress(), **options)
    if as_json:
        import json

        click.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=2))
    else:
        _echo(found)


def _echo(found: Comparison) -> None:
    what = "labels" if found.ground == "labels" else "tags that all label spaces know"
    click.echo(
        f"{found.part} part: {found.n_tracks:,} common tracks, compared on {len(found.names):,} {what}\n"
    )
    for key, name in _NAMES.items():
        rows = []
        for run in found.runs:
            figure, difference = run.figures[key], run.differences.get(key)
            row: list[object] = [
                run.run,
                run.n_labels,
                figure.value,
                f"{figure.low:.3f} to {figure.high:.3f}",
            ]
            if "precision" in key:
                row.append(figure.lift)
            if difference is not None:
                row += [
                    f"{difference.value:+.3f}",
                    f"{difference.low:+.3f} to {difference.high:+.3f}",
                    difference.p,
                ]
            rows.append(row)
        headers = ["run", "labels", name, "95% interval", *(["lift"] if "precision" in key else [])]
        echo_table(rows, [*headers, "difference", "95% interval", "p"], floats=".3f")
        click.echo()
    for run in found.runs[1:]:
        _echo_labels(found, run.run, run.label_differences)


def _echo_labels(found: Comparison, run: str, differences: tuple[Any, ...]) -> None:
    """Print the labels on which a run gains and loses most."""
    pairs = [
        (found.names[n], difference)
        for n, difference in enumerate(differences)
        if difference.p == difference.p
    ]
    pairs.sort(key=lambda pair: -pair[1].value)
    shown = pairs if len(pairs) <= 2 * SHOWN_LABELS else [*pairs[:SHOWN_LABELS], *pairs[-SHOWN_LABELS:]]
    click.echo(f"{run}: ROC-AUC of single {found.ground}, most gained and most lost")
    rows = [
        (name, f"{difference.value:+.3f}", f"{difference.low:+.3f} to {difference.high:+.3f}", difference.p)
        for name, difference in shown
    ]
    echo_table(rows, (found.ground[:-1], "difference", "95% interval", "p"), floats=".3f")
    click.echo()
