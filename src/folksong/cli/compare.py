"""``folksong compare``: runs against each other on common ground."""

from __future__ import annotations

from typing import Any

import click

import folksong as fs
from folksong.cli.command import File, FolksongCommand
from folksong.cli.common import echo_json, echo_table, wants_progress
from folksong.cli.evaluate import interval_text, lift_text

SHOWN_LABELS = 5


@click.command(cls=FolksongCommand, of="evaluation.compare:compare", without=("level",))
def compare(runs: tuple[File, ...], *, as_json: bool = False, **settings: Any) -> None:
    """Compare RUNs on the same tracks; differences are from the first, with intervals of a paired bootstrap.

    Runs with other label spaces are projected on the tags that all of them know: each label's score stands for its
    tags, and what is measured is how well it ranks the tracks that carry the tag itself. Runs that were not evaluated
    yet are evaluated first.

    Example:
      folksong compare runs/top100 runs/clusters
      folksong compare runs/bce runs/semantic --part validation --json

    Args:
        runs (RUN RUN...):
        part: The part of the splits to compare on; the tracks that all runs have in it.
        ground (--on): Compare equal label spaces label by label, or project all on the tags that every space knows.
        tags (SOURCE): The tags to project on.  [default: the first run's]
        min_tracks: Project only on tags that so many of the tracks carry.
        n_resamples (--resamples): Of the paired bootstrap that gives the intervals.
        seed: Of the bootstrap.
    """
    from folksong.evaluation.evaluate import current_evaluation

    for run in runs:
        current_evaluation(fs.Run.open(run), settings["part"], progress=wants_progress())
    found = fs.compare(runs, **settings)
    if as_json:
        echo_json(found.to_dict())
    else:
        _echo(found)


def _echo(found: Any) -> None:
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
            row = [one.group.runs[0].path, len(one.group.labels), figure.value, interval_text(figure)]
            row += [lift_text(figure)] if key.endswith("pr_auc") else []
            if difference is not None:
                row += [f"{difference.value:+.3f}", interval_text(difference, "+"), difference.p]
            rows.append(row)
        lift = ["lift"] if key.endswith("pr_auc") else []
        echo_table(rows, ["run", "labels", name, interval, *lift, "difference", interval, "p"], floats=".3f")
        click.echo()
    for number in range(1, len(found.groups)):
        _echo_labels(found, number)


def _echo_labels(found: Any, number: int) -> None:
    """Print the labels on which a run gains and loses most."""
    pairs = zip(found.names, found.label_differences(number), strict=True)
    defined = [(name, difference) for name, difference in pairs if difference.p == difference.p]
    defined.sort(key=lambda pair: -pair[1].value)
    few = len(defined) <= 2 * SHOWN_LABELS
    shown = defined if few else [*defined[:SHOWN_LABELS], *defined[-SHOWN_LABELS:]]
    path = found.groups[number].group.runs[0].path
    click.echo(f"{path}: ROC-AUC of single {found.ground}, most gained and most lost")
    rows = [
        (name, f"{difference.value:+.3f}", interval_text(difference, "+"), difference.p)
        for name, difference in shown
    ]
    headers = (found.ground[:-1], "difference", f"{found.level:.0%} interval", "p")
    echo_table(rows, headers, floats=".3f")
    click.echo()
