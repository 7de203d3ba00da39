"""``folksong evaluate | compare | report``: how good runs are, with intervals, and as one page to look at."""

import math
from pathlib import Path
from typing import Any

import click

import folksong as fs
from folksong.cli.command import (
    Count,
    File,
    FolksongCommand,
    Output,
    Outputs,
    Positive,
    Share,
    echo_json,
    echo_table,
    wants_progress,
)
from folksong.errors import counted

SHOWN_LABELS = 5


@click.command(cls=FolksongCommand, of="evaluation.evaluate:evaluate", without=("level", "write"))
def evaluate(
    run: File, *, tune: bool = False, beta: Positive = 1.0, threshold: Share | None = None, plot: Output | None = None,
    unseen: bool = False, repeats: Count = 5, as_json: bool = False, **settings: Any,
) -> None:  # fmt: skip
    """Measure the best network of RUN: ROC-AUC and PR-AUC, macro, micro and per label, with 95% intervals.

    PR-AUC (average precision) stands beside what chance gives, the share of tracks with the label, and its lift over
    that. Labels that no track of the part carries are listed and left out of the averages. The figures, a CSV file
    with a line a label and the scores of every track are left in the run's folder evaluation/.

    --tune leaves thresholds.json in the run: decisions are then counted at these thresholds, and `folksong predict
    --threshold tuned` prints the labels that reach theirs. Evaluation and prediction score tracks by one definition of
    windows and precision, stored with the run; where thresholds were tuned on another (--hop, --precision), by that.

    --unseen: of a run with the head joint, how well it scores tags that its training never had, beside random vectors,
    the nearest tag that it had, and the hybrid label that holds it; it is trained --repeats times anew for that.

    Example:
      folksong evaluate runs/log-mel
      folksong evaluate runs/log-mel --tune
      folksong evaluate runs/log-mel --part validation --plot validation.png

    Args:
        tune: First find each label's threshold that maximises F on the validation part, and keep them in the run.
        beta: In tuning, recall counts so many times as much as precision.
        unseen: Measure tags that were left out of the training.
        repeats: With --unseen: divisions into seen and unseen tags.
        part: The part of the run's split to measure.
        shards (DIR): Where the shards are now.  [default: as in training]
        tags (SOURCE): A tag table to measure against.  [default: as in training]
        windows: Average windows over the whole track, or take the one in its middle.
            [default: the run's definition]
        threshold (T): A score of at least T decides for a label.  [default: the run's tuned thresholds, else 0.5]
        seed: Of the bootstrap.
        plot (FILE): Also draw ROC-AUC per label (.png, .svg).
    """
    from folksong.evaluation.evaluate import evaluation_to_dict

    if unseen:
        _evaluate_unseen(run, repeats, as_json, settings)
        return
    tuned = None
    if tune:
        same = {name: settings[name] for name in ("shards", "device", "batch_size", "progress")}
        scoring = [settings[name] for name in ("windows", "hop_seconds", "precision")]
        tuned = fs.tune_thresholds(
            run, beta=beta, scoring=fs.Run.open(run).scoring.replaced(*scoring), **same
        )
    found = fs.evaluate(run, threshold=threshold, **settings)
    if plot is not None:
        from folksong.evaluation.plots import plot_labels

        plot_labels(found, plot)
    if as_json:
        echo_json(evaluation_to_dict(found))
        return
    if tuned is not None:
        _echo_thresholds(run, tuned)
    echo_evaluation(found)
    if settings["shards"] is None:
        _echo_control(run, found.part)


def _evaluate_unseen(run: str, repeats: int, as_json: bool, settings: dict[str, Any]) -> None:
    taken = {name: settings[name] for name in ("part", "n_resamples", "seed", "progress")}
    found = fs.evaluate_unseen(run, repeats=repeats, **taken)
    if as_json:
        echo_json(found.to_dict())
        return
    click.echo(
        f"{found.run}, {found.part} part: {counted(found.n_tracks, 'track')}, "
        f"{counted(found.repeats, 'division')} of the tags; with "
        f"{found.level:.0%} intervals over tracks\n"
    )
    rows = [
        (
            row.group, f"{row.n_tags:.0f}", row.system, row.figures["macro_roc_auc"].text(),
            row.figures["macro_pr_auc"].text(),
            row.joint_more["macro_roc_auc"].text("+") if row.joint_more else "",
        )
        for row in found.rows
    ]  # fmt: skip
    echo_table(
        rows, ("tags", "number", "scored by", "macro ROC-AUC", "macro PR-AUC", "joint space: more ROC-AUC")
    )


def _echo_control(run: str, part: str) -> None:
    """Print what plain statistics reach in the place of a run's embeddings."""
    from folksong.evaluation.evaluate import current_evaluation, train_control

    opened = fs.Run.open(run)
    control = train_control(opened)
    if control is not None:
        found = current_evaluation(control, part)
        figures = ", ".join(
            f"{name} {figure.value:.3f} ({figure.interval()})"
            for name, figure in (("ROC-AUC", found.macro_roc_auc), ("PR-AUC", found.macro_pr_auc))
        )
        click.echo(
            f"\nControl, a head on statistics of the spectrum: macro {figures}; `folksong compare {run} "
            f"{control.path}` says whether the difference holds"
        )
    elif opened.space is not None and opened.space.model != "statistics":
        beside = opened.shards_dir.parent / "statistics"
        click.echo(
            "\nNo control (what the same head reaches on plain statistics of the spectrum, which these embeddings "
            f"should beat): `folksong embeddings extract AUDIO {beside} --model statistics` gives one"
        )


def _echo_thresholds(run: str, tuned: Any) -> None:
    rows = [(name, tuned.values[name], math.nan if f is None else f) for name, f in tuned.f.items()]
    echo_table(rows, ("label", "threshold", f"F{tuned.beta:g} on the {tuned.part} part"), floats=".3f")
    click.echo(f"\nWritten to {run}/thresholds.json, from {counted(tuned.n_tracks, 'track')}\n")


def echo_evaluation(found: Any) -> None:
    """Print the figures of an evaluation, and those of its labels."""
    from folksong.evaluation.figures import NAMES

    left_out = f" ({counted(found.unlabelled, 'track')} without a label left out)" if found.unlabelled else ""
    click.echo(
        f"{found.run}, {found.part} part: {counted(found.n_tracks, 'track')}, "
        f"{counted(len(found.labels), 'label')}{left_out}\n"
    )
    rows: list[tuple[object, ...]] = []
    for name, shown in NAMES.items():
        figure = getattr(found, name)
        lift = lift_text(figure) if name.endswith("pr_auc") else ""
        rows.append((shown, figure.value, figure.interval(), figure.chance, lift))
    interval = f"{found.level:.0%} interval"
    echo_table(rows, ("", "value", interval, "chance", "lift"), floats=".3f")
    if "mean_of_folds" in found.settings:
        means = ", ".join(
            f"{NAMES[name]} {value:.3f}" for name, value in found.settings["mean_of_folds"].items()
        )
        click.echo(f"\nIn the mean of {counted(len(found.settings['folds']), 'fold')}: {means}")
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


def lift_text(figure: Any) -> str:
    """Return the lift, to two digits behind the point."""
    return "–" if math.isnan(figure.lift) else f"{figure.lift:.2f}"


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
        _echo_comparison(found)


def _echo_comparison(found: Any) -> None:
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


def _echo_labels(found: Any, number: int) -> None:
    """Print the labels on which a run gains and loses most."""
    pairs = zip(found.names, found.label_differences(number), strict=True)
    defined = [(name, difference) for name, difference in pairs if difference.p == difference.p]
    defined.sort(key=lambda pair: -pair[1].value)
    few = len(defined) <= 2 * SHOWN_LABELS
    shown = defined if few else [*defined[:SHOWN_LABELS], *defined[-SHOWN_LABELS:]]
    path = found.groups[number].group.runs[0].path
    click.echo(f"{path}: ROC-AUC of single {found.ground}, most gained and most lost; p of each by itself")
    rows = [
        (name, f"{difference.value:+.3f}", difference.interval("+"), difference.p)
        for name, difference in shown
    ]
    headers = (found.ground[:-1], "difference", f"{found.level:.0%} interval", "p")
    echo_table(rows, headers, floats=".3f")
    click.echo()


@click.command(
    cls=FolksongCommand, of="evaluation.report:write_report evaluation.report_data:collect", without=("more",)
)
def report(
    runs: tuple[File, ...], *, out: Output = "report.html", markdown: Output | None = None,
    pictures: Outputs | None = None, **settings: Any,
) -> None:  # fmt: skip
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
        tag_groups (--groups TSV): Lines tag<TAB>group, or a table whose header has tag and group: adds mean PR-AUC by
            group. top100 names the grouping that ships with folksong.
        audio (SOURCE): The recordings, a track list or a folder: the page names them by artist and title, and plays
            them where they lie.
        pictures (DIR): Also write PNGs: the frontier, and the labels of each label space's first seed.
        markdown (FILE): Also write the tables in Markdown.
    """
    from folksong.evaluation.report import write_report

    written = write_report(runs, out, markdown=markdown, pictures=pictures, **settings)
    click.echo(f"{written}: {Path(written).stat().st_size / 1e6:.2f} MB")
