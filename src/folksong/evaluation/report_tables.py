"""The tables of a report as rows of text, for its page and for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from folksong.evaluation.analyses import decisions_at, figures_by_group, imbalance
from folksong.evaluation.compare import LEAST_TRACKS, Comparison, Difference
from folksong.evaluation.figures import Average
from folksong.evaluation.report_data import Report

OWN_NOTE = (
    "Macro is the mean over labels. Behind each value its {level} interval (a bootstrap over tracks of the mean over "
    "seeds); the seeds' own figures, least to most, stand beside it. Chance is the PR-AUC of random scores, lift is "
    "PR-AUC divided by it. Label spaces of different size do not compare here: frequent labels have a higher PR-AUC by "
    "that alone."
)
PROJECTION_NOTE = (
    "Each label's score stands for its member tags; measured is how well it ranks the tracks that carry the tag "
    "itself, so that a label space gains nothing by larger labels."
)
DIFFERENCE_NOTE = "Differences are from the first, seed by seed, with intervals over tracks."
ALL_NOTE = (
    f"Every tag that at least {LEAST_TRACKS} of the tracks carry, known or not; one that a space leaves out is at "
    "chance (ROC-AUC 0.5)."
)
PAIR_NOTE = (
    "Every two on the tags that both of them know (with the same labels: on these), on the tracks that carry one; the "
    "difference is second minus first, taken seed by seed, with its interval over tracks."
)
RECOVERY_NOTE = (
    "Adjusted Rand index of the label space against the meanings: 1 is the same division, 0 chance. A space of single "
    "tags groups nothing, which is 0. First over the tags that the space knows, then over those that any of the spaces "
    "knows, each that is left out being alone."
)


TAG_GROUP_NOTE = (
    "Mean over the labels of a group whose PR-AUC is defined, and how many these are; a label belongs to the group of "
    "its name. Of several seeds, the first."
)
DECISION_NOTE = (
    "Shares of all track-label pairs if one threshold holds for all labels, the mean F1 over labels, and how many "
    "labels are predicted for no track. Of several seeds, the first."
)
IMBALANCE_NOTE = (
    "The mean over labels of the largest label's count divided by the label's own (Charte et al. 2015), and Pearson's "
    "correlation of a label's count with its PR-AUC, on the measured tracks. Of several seeds, the first."
)


@dataclass(frozen=True)
class Section:
    """A heading, what it means, and a table: a cell for each of its headers in each row."""

    title: str
    note: str
    headers: tuple[str, ...]
    rows: list[list[str]]


def sections(report: Report) -> list[Section]:
    """Return all tables of a report, those that need several groups only where there are several."""
    found = [own_section(report), *map(ground_section, report.grounds)]
    if report.pairs:
        found.append(pair_section(report))
    if report.tag_groups:
        found.append(tag_group_section(report))
    found += [decision_section(report), imbalance_section(report)]
    if any(group.recovery is not None for group in report.groups):
        found.append(recovery_section(report))
    return found


def own_section(report: Report) -> Section:
    """Return each group on its own labels."""
    rows = []
    for entry in report.groups:
        auc, precision = entry.figures["macro_roc_auc"], entry.figures["macro_pr_auc"]
        kept = entry.coverage or {}
        rows.append(
            [
                *(entry.group.name, entry.group.front_end),
                *(str(len(entry.group.seeds)), str(len(entry.group.labels))),
                *("–" if key not in kept else f"{kept[key]:.1%}" for key in ("counts", "tracks")),
                *(with_interval(auc), spread(auc)),
                *(with_interval(precision), number(precision.chance), number(precision.lift, 2)),
            ]
        )
    headers = (
        "label space,front-end,seeds,labels,counts kept,tracks kept,macro ROC-AUC,of the seeds,macro PR-AUC"
    )
    note = OWN_NOTE.format(level=f"{report.level:.0%}")
    return Section(
        "Label spaces, each on its own labels", note, (*headers.split(","), "chance", "lift"), rows
    )


def ground_section(ground: Comparison) -> Section:
    """Return all groups on a common ground, with their differences from the first."""
    names, tracks = len(ground.names), f"{ground.n_tracks:,} tracks"
    title, note = {
        "labels": (
            f"Common ground: {names} labels, {tracks}",
            "All runs have the same labels and are measured on the same tracks.",
        ),
        "tags": (f"Common ground: {names} tags that all label spaces know, {tracks}", PROJECTION_NOTE),
        "all": (
            f"What is kept and how well it is heard: {names} tags, {tracks}",
            f"{ALL_NOTE} {PROJECTION_NOTE}",
        ),
    }[ground.ground]
    known = ground.ground == "all"
    rows = []
    for one in ground.groups:
        auc, precision = one.figures["macro_roc_auc"], one.figures["macro_pr_auc"]
        of_auc, of_precision = (one.differences.get(name) for name in ("macro_roc_auc", "macro_pr_auc"))
        rows.append(
            [
                *(one.group.name, one.group.front_end),
                *([str(one.known)] if known else []),
                *(with_interval(auc), spread(auc), with_interval(of_auc, "+")),
                "–" if of_auc is None else number(of_auc.p),
                *(with_interval(precision), number(precision.chance), number(precision.lift, 2)),
                with_interval(of_precision, "+"),
            ]
        )
    headers = [
        "macro ROC-AUC",
        "of the seeds",
        "difference",
        "p",
        "macro PR-AUC",
        "chance",
        "lift",
        "difference",
    ]
    first = ("label space", "front-end", *(["tags known"] if known else []))
    return Section(title, f"{note} {DIFFERENCE_NOTE}", (*first, *headers), rows)


def pair_section(report: Report) -> Section:
    """Return every two groups on what both know."""
    several = len({entry.group.front_end for entry in report.groups}) > 1
    rows = []
    for pair in report.pairs:
        names = [one.group.name + (f" ({one.group.front_end})" if several else "") for one in pair.groups]
        difference = pair.groups[1].differences["macro_roc_auc"]
        rows.append(
            [
                *names,
                f"{len(pair.names)} {pair.ground}",
                *(number(one.figures["macro_roc_auc"].value) for one in pair.groups),
                *(with_interval(difference, "+"), spread(difference, "+"), number(difference.p)),
            ]
        )
    headers = ["first", "second", "on", "ROC-AUC of the first", "of the second", "difference", "by seed", "p"]
    return Section("Two by two", PAIR_NOTE, tuple(headers), rows)


def tag_group_section(report: Report) -> Section:
    """Return the mean PR-AUC of each group of tags; of a group of runs, of its first seed."""
    names = list(dict.fromkeys(report.tag_groups.values()))
    rows = []
    for entry in report.groups:
        of_run = figures_by_group(report.runs[entry.group.rows[0]].evaluation, report.tag_groups)
        cells = {one.name: f"{one.pr_auc:.3f} of {one.labels}" for one in of_run}
        rows.append([entry.group.name, entry.group.front_end, *(cells.get(name, "–") for name in names)])
    return Section("PR-AUC by group of tags", TAG_GROUP_NOTE, ("label space", "front-end", *names), rows)


def decision_section(report: Report) -> Section:
    """Return what is decided at each of three thresholds; of a group of runs, by its first seed."""
    rows = []
    for entry in report.groups:
        for found in decisions_at(report.runs[entry.group.rows[0]].evaluation):
            (tn, fp), (fn, tp) = found.shares
            rows.append(
                [
                    *(entry.group.name, entry.group.front_end, f"{found.threshold:g}"),
                    *(f"{share:.2%}" for share in (tp, fp, fn, tn)),
                    number(found.macro_f1),
                    f"{len(found.never)} of {len(entry.group.labels)}",
                ]
            )
    headers = ("label space", "front-end", "threshold", "TP", "FP", "FN", "TN", "macro F1", "never predicted")
    return Section("Decisions at fixed thresholds", DECISION_NOTE, headers, rows)


def imbalance_section(report: Report) -> Section:
    """Return how uneven label counts are, and how PR-AUC hangs on them; of a group of runs, of its first seed."""
    rows = []
    for entry in report.groups:
        ratio, correlation = imbalance(report.runs[entry.group.rows[0]].evaluation)
        rows.append([entry.group.name, entry.group.front_end, number(ratio, 2), number(correlation)])
    headers = ("label space", "front-end", "mean imbalance ratio", "correlation of count and PR-AUC")
    return Section("Imbalance of labels", IMBALANCE_NOTE, headers, rows)


def recovery_section(report: Report) -> Section:
    """Return how well each label space recovers what tags mean."""
    rows: dict[str, list[str]] = {}
    for entry in report.groups:
        found = entry.recovery
        if found is not None:
            counts = f"{found.n_tags:,} of {found.n_all:,}", str(found.n_meanings)
            row = [entry.group.space, str(len(entry.group.labels)), *counts]
            rows.setdefault(entry.group.space, [*row, number(found.known), number(found.all_tags)])
    headers = ("label space", "labels", "tags", "meanings", "adjusted Rand index", "left-out tags alone")
    return Section("Recovery of what tags mean", RECOVERY_NOTE, headers, list(rows.values()))


def with_interval(figure: Average | Difference | None, sign: str = "") -> str:
    """Return ``0.712 (0.690 to 0.731)``; a dash where the figure is undefined."""
    if figure is None or math.isnan(figure.value):
        return "–"
    if math.isnan(figure.low):
        return f"{figure.value:{sign}.3f}"
    return f"{figure.value:{sign}.3f} ({figure.low:{sign}.3f} to {figure.high:{sign}.3f})"


def spread(figure: Average | Difference, sign: str = "") -> str:
    """Return the least and the most of the seeds' own figures; a dash where there is one seed."""
    values = [value for value in figure.seeds if not math.isnan(value)]
    return "–" if len(values) < 2 else f"{min(values):{sign}.3f} to {max(values):{sign}.3f}"


def number(value: float, digits: int = 3) -> str:
    """Return a number, or a dash."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join(["---", *["---:"] * (len(headers) - 1)]) + "|"
    return "\n".join([line(headers), rule, *map(line, rows)])
