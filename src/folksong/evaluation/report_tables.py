"""The tables of a report as rows of text, for its page and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from folksong.evaluation.common_tags import LEAST_TRACKS

GROUP_HEADERS = (
    "label space",
    "front-end",
    "seeds",
    "labels",
    "counts kept",
    "tracks kept",
    "macro ROC-AUC",
    "of the seeds",
    "macro PR-AUC",
    "chance",
    "lift",
)
GROUND_HEADERS = (
    "label space",
    "front-end",
    "macro ROC-AUC",
    "of the seeds",
    "difference",
    "p",
    "macro PR-AUC",
    "chance",
    "lift",
    "difference",
)
PAIR_HEADERS = (
    "first",
    "second",
    "on",
    "ROC-AUC of the first",
    "of the second",
    "difference",
    "by seed",
    "p",
)
RECOVERY_HEADERS = ("label space", "labels", "tags", "meanings", "adjusted Rand index", "left-out tags alone")

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
DIFFERENCE_NOTE = (
    "Differences are from the first of the same front-end, seed by seed, with intervals over tracks."
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


@dataclass(frozen=True)
class Section:
    """A heading, what it means, and a table."""

    title: str
    note: str
    headers: tuple[str, ...]
    rows: list[list[str]]


def sections(data: Mapping[str, Any]) -> list[Section]:
    """Return all tables of a report, those that need several groups only where there are several."""
    found = [
        Section(
            "Label spaces, each on its own labels",
            OWN_NOTE.format(level=f"{data['runs'][0]['level']:.0%}"),
            GROUP_HEADERS,
            group_rows(data),
        )
    ]
    for ground in data["grounds"]:
        title, note = _ground_words(ground)
        found.append(Section(title, note, _ground_headers(ground), ground_rows(data, ground)))
    if data["pairs"] and len(data["groups"]) > 2:
        found.append(
            Section(
                "Two by two",
                PAIR_NOTE,
                PAIR_HEADERS,
                pair_rows(data),
            )
        )
    if any(group["recovery"] is not None for group in data["groups"]):
        found.append(
            Section(
                "Recovery of what tags mean",
                RECOVERY_NOTE,
                RECOVERY_HEADERS,
                recovery_rows(data),
            )
        )
    return found


def group_rows(data: Mapping[str, Any]) -> list[list[str]]:
    """Return a row a group, for `GROUP_HEADERS`."""
    rows = []
    for group in data["groups"]:
        auc, precision = group["figures"]["macro_roc_auc"], group["figures"]["macro_average_precision"]
        kept = group["coverage"] or {"counts": None, "tracks": None}
        rows.append(
            [
                group["name"],
                group["front_end"],
                str(len(group["seeds"])),
                str(group["n_labels"]),
                percent(kept["counts"]),
                percent(kept["tracks"]),
                with_interval(auc),
                spread(auc),
                with_interval(precision),
                number(precision["chance"]),
                number(_ratio(precision), 1),
            ]
        )
    return rows


def ground_rows(data: Mapping[str, Any], ground: Mapping[str, Any]) -> list[list[str]]:
    """Return a row a group on a ground, for its headers."""
    rows = []
    for entry, group in zip(ground["groups"], data["groups"], strict=True):
        auc, precision = entry["figures"]["macro_roc_auc"], entry["figures"]["macro_average_precision"]
        row = [group["name"], group["front_end"]]
        if ground["key"] == "all":
            row.append(str(entry["known"]))
        row += [
            with_interval(auc),
            spread(auc),
            *_difference_cells(entry["differences"].get("macro_roc_auc")),
        ]
        row += [with_interval(precision), number(precision["chance"]), number(_ratio(precision), 1)]
        row += _difference_cells(entry["differences"].get("macro_average_precision"))[:1]
        rows.append(row)
    return rows


def pair_rows(data: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for every two groups, for `PAIR_HEADERS`."""
    groups = data["groups"]
    several = len({group["front_end"] for group in groups}) > 1
    rows = []
    for pair in data["pairs"]:
        one, other = groups[pair["first"]], groups[pair["second"]]
        difference = pair["differences"]["macro_roc_auc"]
        what = "labels" if one["space"] == other["space"] else "tags"
        rows.append(
            [
                one["name"] + (f" ({one['front_end']})" if several else ""),
                other["name"],
                f"{pair['names']} {what}",
                number(pair["figures"][0]["macro_roc_auc"]["value"]),
                number(pair["figures"][1]["macro_roc_auc"]["value"]),
                with_interval(difference, "+"),
                spread(difference, "+"),
                number(difference["p"]),
            ]
        )
    return rows


def recovery_rows(data: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each label space, for `RECOVERY_HEADERS`."""
    rows: dict[str, list[str]] = {}
    for group in data["groups"]:
        found = group["recovery"]
        rows.setdefault(
            group["space"],
            [
                group["space"],
                str(group["n_labels"]),
                f"{found['n_tags']:,} of {found['n_all']:,}",
                str(found["n_meanings"]),
                number(found["known"]),
                number(found["all_tags"]),
            ],
        )
    return list(rows.values())


def with_interval(figure: Mapping[str, Any], sign: str = "") -> str:
    """Return ``0.712 (0.690 to 0.731)``; a dash where the figure is undefined."""
    if figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:{sign}.3f}"
    return f"{figure['value']:{sign}.3f} ({figure['low']:{sign}.3f} to {figure['high']:{sign}.3f})"


def spread(figure: Mapping[str, Any], sign: str = "") -> str:
    """Return the least and the most of the seeds' own figures; a dash where there is one seed."""
    values = [value for value in figure["seeds"] if value is not None]
    return "–" if len(values) < 2 else f"{min(values):{sign}.3f} to {max(values):{sign}.3f}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Return a share as per cent, or a dash."""
    return "–" if value is None else f"{value:.1%}"


def _difference_cells(difference: Mapping[str, Any] | None) -> list[str]:
    return ["–", "–"] if difference is None else [with_interval(difference, "+"), number(difference["p"])]


def _ratio(figure: Mapping[str, Any]) -> float | None:
    return None if figure["value"] is None or not figure["chance"] else figure["value"] / figure["chance"]


def _ground_headers(ground: Mapping[str, Any]) -> tuple[str, ...]:
    if ground["key"] != "all":
        return GROUND_HEADERS
    return (*GROUND_HEADERS[:2], "tags known", *GROUND_HEADERS[2:])


def _ground_words(ground: Mapping[str, Any]) -> tuple[str, str]:
    """Return a ground's title and note."""
    tracks = f"{ground['n_tracks']:,} tracks"
    if ground["key"] == "labels":
        return (
            f"Common ground: {ground['names']} labels, {tracks}",
            f"All runs have the same labels and are measured on the same tracks. {DIFFERENCE_NOTE}",
        )
    if ground["key"] == "common":
        title = f"Common ground: {ground['names']} tags that all label spaces know, {tracks}"
        return title, f"{PROJECTION_NOTE} {DIFFERENCE_NOTE}"
    left_out = (
        f"Every tag that at least {LEAST_TRACKS} of the tracks carry, known or not; one that a space leaves out is at "
        "chance (ROC-AUC 0.5)."
    )
    title = f"What is kept and how well it is heard: {ground['names']} tags, {tracks}"
    return title, f"{left_out} {PROJECTION_NOTE} {DIFFERENCE_NOTE}"


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join(["---", *["---:"] * (len(headers) - 1)]) + "|"
    return "\n".join([line(headers), rule, *map(line, rows)])
