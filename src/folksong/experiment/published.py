"""Published figures beside an experiment's own, table by table, and how its genres were divided.

A file of published figures is tab-separated with the columns ``space``, ``front_end``, ``table``, ``what``, ``labels``
and the four averages; ``space`` is the name of a label space of the plan. ``thesis`` ships in the package: every result
table of the thesis that folksong continues.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from math import nan
from pathlib import Path
from statistics import fmean

from folksong import labels
from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.evaluate import read_evaluation
from folksong.evaluation.groups import PLAIN_LOSS
from folksong.evaluation.report_tables import Section, number
from folksong.experiment.plan import Plan
from folksong.experiment.prepare import SPLIT_NAME, space_file
from folksong.experiment.run_experiment import CellResult
from folksong.labels.space import LabelSpace
from folksong.labels.subgenres import GenreClustering
from folksong.splits import Split
from folksong.tags.sources.read_tags import read_tags

FIGURES = ("micro_pr_auc", "micro_roc_auc", "macro_pr_auc", "macro_roc_auc")
COLUMNS = ("space", "front_end", "table", "what", "labels", *FIGURES)


@dataclass(frozen=True)
class PublishedRow:
    """One published training, in the publication's words, and ours where it was run.

    Args:
        table: of the publication.
        what: the label space.
        front_end: ``waveform`` or ``log-mel-spectrogram``.
        n_labels: None where it is not said.
        published: figure -> value.
        ours: figure -> mean over seeds; empty where it was not run.
        our_labels: our number of labels.
        n_seeds: trainings in the mean.
    """

    table: str
    what: str
    front_end: str
    n_labels: int | None
    published: Mapping[str, float]
    ours: Mapping[str, float]
    our_labels: int | None = None
    n_seeds: int = 0


def beside_published(plan: Plan, results: Iterable[CellResult]) -> list[PublishedRow]:
    """Return every published training of the plan's file with the mean of our figures on the test part.

    Raises:
        FolksongError: the plan names no published figures, or their file is missing.
        FileFormatError: the file lacks a column or holds no number where one belongs.
    """
    if plan.published is None:
        raise FolksongError("the plan names no published figures (published = ...)")
    found: dict[tuple[str, str], list[Path]] = {}
    for result in results:
        if result.status != "failed" and result.cell.loss == PLAIN_LOSS:
            found.setdefault((result.cell.space, result.cell.front_end), []).append(result.run)
    rows = []
    for row in _read(plan):
        runs = [
            read_evaluation(run / "evaluation") for run in found.get((row["space"], row["front_end"]), ())
        ]
        rows.append(
            PublishedRow(
                table=row["table"],
                what=row["what"],
                front_end=row["front_end"],
                n_labels=int(row["labels"]) if row["labels"] else None,
                published={name: float(row[name]) for name in FIGURES},
                ours={name: fmean(getattr(run, name).value for run in runs) for name in FIGURES if runs},
                our_labels=len(runs[0].labels) if runs else None,
                n_seeds=len(runs),
            )
        )
    return rows


def published_section(plan: Plan, results: Iterable[CellResult]) -> Section:
    """Return a table of the report: each figure as published and, behind an arrow, ours on the test part.

    Raises:
        FolksongError: as `beside_published`.
    """
    return Section(
        "Beside the published figures",
        "Published → ours, the mean over seeds on the test part; – where it was not run. Only trainings on the "
        "published data compare.",
        ("table", "label space", "front-end", "labels", *(name.replace("_", " ") for name in FIGURES)),
        [
            [
                row.table,
                row.what,
                row.front_end,
                f"{row.n_labels or '–'} → {row.our_labels or '–'}",
                *(f"{row.published[name]:.3f} → {number(row.ours.get(name, nan))}" for name in FIGURES),
            ]
            for row in beside_published(plan, results)
        ],
    )


def genre_clusterings(plan: Plan, folder: Path, results: Iterable[CellResult]) -> dict[str, GenreClustering]:
    """Return "space, genre" -> how the tags of a genre were divided, of the label spaces inside genres that were used.

    They are built again from the tags of the training part, as the experiment in `folder` built them.
    """
    used = {result.cell.space: result.cell.space_file for result in results}
    inside = {name: file for name, file in used.items() if plan.spaces[name].builder in ("npmi", "skipgram")}
    if not inside:
        return {}
    table = read_tags(plan.place(str(plan.data.tags)), min_weight=plan.data.min_weight)
    table = table.select_tracks(Split.read(folder / SPLIT_NAME).training)
    found: dict[str, GenreClustering] = {}
    for name, file in inside.items():
        space = plan.spaces[name]
        of = space_file(str(space.of), LabelSpace.read(folder / "spaces" / file).provenance["genres_sha256"])
        genres, divided = LabelSpace.read(folder / "spaces" / of), list[GenreClustering]()
        build = labels.npmi if space.builder == "npmi" else labels.skipgram
        build(table, genres, on_genre=divided.append, **space.arguments)
        found |= {f"{name}, {one.genre.name}": one for one in divided}
    return found


def _read(plan: Plan) -> list[dict[str, str]]:
    shipped = files("folksong.experiment").joinpath("published", f"{plan.published}.tsv")
    source = shipped if shipped.is_file() else plan.place(str(plan.published))
    if not source.is_file():
        raise FolksongError(f"{source}: no such file of published figures, and none of that name ships")
    reader = csv.DictReader(
        source.read_text(encoding="utf-8").split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise FileFormatError(f"{source}: no column {', '.join(missing)}")
    rows = list(reader)
    for line, row in enumerate(rows, 2):
        for name in FIGURES:
            try:
                float(row[name])
            except (TypeError, ValueError):
                raise FileFormatError(f"{source}: line {line}: {name} is no number: {row[name]!r}") from None
    return rows
