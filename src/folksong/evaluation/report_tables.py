"""The tables of a report as rows of text, for its page and for Markdown; ``page/tables.toml`` holds their words."""

import itertools
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from folksong.evaluation.analyses import decisions_at, figures_by_group, imbalance
from folksong.evaluation.compare import LEAST_TRACKS, Comparison, Difference
from folksong.evaluation.figures import Average
from folksong.evaluation.report_data import Report


@dataclass(frozen=True)
class Section:
    """A heading, what it means, and a table: a cell for each of its headers in each row."""

    title: str
    note: str
    headers: tuple[str, ...]
    rows: list[list[str]]


def sections(report: Report) -> list[Section]:
    """Return all tables of a report, those that need several groups only where there are several."""
    found = [_own_section(report)]
    found += [_ground_section(ground) for ground in report.grounds if _is_measured(ground)]
    if report.pairs:
        found.append(_pair_section(report))
    if report.tag_groups:
        found.append(_tag_group_section(report))
    found += [*_main_tag_sections(report), _decision_section(report), _imbalance_section(report)]
    if any(group.recovery is not None for group in report.groups):
        found.append(_recovery_section(report))
    return found


def _section(name: str, rows: list[list[str]], more: Sequence[str] = (), **values: object) -> Section:
    """Return a table of ``tables.toml``; `more` headers follow its own, `values` stand in its words."""
    words = table_words(name)
    title, note = (words[key].format(**values) for key in ("title", "note"))
    return Section(title, note, (*words["headers"], *more), rows)


def table_words(name: str) -> dict[str, Any]:
    """Return the words of one of the page's tables: ``headers``, and ``title`` and ``note`` where it has them."""
    page = files("folksong.evaluation").joinpath("page", "tables.toml")
    words: dict[str, Any] = tomllib.loads(page.read_text(encoding="utf-8"))[name]
    return words


def _own_section(report: Report) -> Section:
    rows = []
    for entry in report.groups:
        auc, precision = entry.figures["macro_roc_auc"], entry.figures["macro_pr_auc"]
        kept = ["–"] * 2
        if entry.coverage is not None:
            kept = [f"{share:.1%}" for share in (entry.coverage.counts, entry.coverage.tracks)]
        rows.append(
            [
                *(entry.group.name, entry.group.front_end),
                *(str(len(entry.group.seeds)), str(len(entry.group.labels))),
                *kept,
                *(auc.text(), spread(auc)),
                *(precision.text(), number(precision.chance), number(precision.lift, 2)),
            ]
        )
    return _section("own", rows, level=f"{report.level:.0%}")


def _is_measured(ground: Comparison) -> bool:
    """Return whether anything is defined: a single tag that all the tracks carry cannot be ranked."""
    return not all(math.isnan(one.figures["macro_roc_auc"].value) for one in ground.groups)


def _ground_section(ground: Comparison) -> Section:
    rows = []
    for one in ground.groups:
        auc, precision = one.figures["macro_roc_auc"], one.figures["macro_pr_auc"]
        of_auc, of_precision = (one.differences.get(name) for name in ("macro_roc_auc", "macro_pr_auc"))
        rows.append(
            [
                *(one.group.name, one.group.front_end),
                *([str(one.known)] if ground.ground == "all" else []),
                *(auc.text(), spread(auc)),
                *(("–", "–") if of_auc is None else (of_auc.text("+"), number(of_auc.p))),
                *(precision.text(), number(precision.chance), number(precision.lift, 2)),
                "–" if of_precision is None else of_precision.text("+"),
            ]
        )
    names, tracks = len(ground.names), f"{ground.n_tracks:,} tracks"
    return _section(f"on_{ground.ground}", rows, names=names, tracks=tracks, least_tracks=LEAST_TRACKS)


def _pair_section(report: Report) -> Section:
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
                *(difference.text("+"), spread(difference, "+"), number(difference.p)),
            ]
        )
    return _section("pairs", rows)


def _tag_group_section(report: Report) -> Section:
    names = list(dict.fromkeys(report.tag_groups.values()))
    rows = []
    for entry in report.groups:
        of_run = figures_by_group(report.first_seed(entry).evaluation, report.tag_groups)
        cells = {one.name: f"{one.pr_auc:.3f} of {one.labels}" for one in of_run}
        rows.append([entry.group.name, entry.group.front_end, *(cells.get(name, "–") for name in names)])
    return _section("tag_groups", rows, names)


def _main_tag_sections(report: Report) -> list[Section]:
    """Return a table for each label space that is here beside that of its labels' most popular tags."""
    found = []
    for tags, entry in itertools.product(report.groups, report.groups):
        space, main = entry.group, tags.group
        of = (
            main.labels.provenance.get("of") if main.labels.provenance.get("builder") == "main_tags" else None
        )
        if of != dict(space.labels.provenance) or space.front_end != main.front_end:
            continue
        pairs = zip(
            report.first_seed(entry).evaluation.labels, report.first_seed(tags).evaluation.labels, strict=True
        )
        rows = [
            [
                *(whole.name, str(len(label.tags))),
                *(
                    number(whole.pr_auc.value),
                    f"{whole.tracks:,}",
                    number(tag.pr_auc.value),
                    f"{tag.tracks:,}",
                ),
            ]
            for (whole, tag), label in zip(pairs, space.labels.labels, strict=True)
        ]
        found.append(_section("main_tags", rows, space=space.name, tags=main.name, front_end=main.front_end))
    return found


def _decision_section(report: Report) -> Section:
    rows = []
    for entry in report.groups:
        for found in decisions_at(report.first_seed(entry).evaluation):
            (tn, fp), (fn, tp) = found.shares
            rows.append(
                [
                    *(entry.group.name, entry.group.front_end, f"{found.threshold:g}"),
                    *(f"{share:.2%}" for share in (tp, fp, fn, tn)),
                    number(found.macro_f1),
                    f"{len(found.never)} of {len(entry.group.labels)}",
                ]
            )
    return _section("decisions", rows)


def _imbalance_section(report: Report) -> Section:
    rows = []
    for entry in report.groups:
        ratio, correlation = imbalance(report.first_seed(entry).evaluation)
        rows.append([entry.group.name, entry.group.front_end, number(ratio, 2), number(correlation)])
    return _section("imbalance", rows)


def _recovery_section(report: Report) -> Section:
    rows: dict[str, list[str]] = {}
    for entry in report.groups:
        found = entry.recovery
        if found is not None:
            counts = f"{found.n_tags:,} of {found.n_all:,}", str(found.n_meanings)
            row = [entry.group.space, str(len(entry.group.labels)), *counts]
            rows.setdefault(entry.group.space, [*row, number(found.known), number(found.all_tags)])
    return _section("recovery", list(rows.values()))


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
