"""An evaluation as files and as rows to print: ``<part>.json``, ``<part>.csv`` (a line a label), ``<part>.npz``."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.figures import Average, Evaluation, LabelFigures
from folksong.evaluation.scored import ScoredTracks
from folksong.files import atomic_write, json_value, read_json, write_json

FORMAT = "folksong.evaluation"
VERSION = 1

AVERAGE_HEADERS = ("", "value", "95% interval", "chance", "lift")
LABEL_HEADERS = (
    "label",
    "tracks",
    "ROC-AUC",
    "95% interval",
    "PR-AUC",
    "95% interval",
    "chance",
    "lift",
    "F1",
)
CSV_HEADERS = (
    "label tracks roc_auc roc_auc_low roc_auc_high pr_auc pr_auc_low pr_auc_high chance lift threshold precision "
    "recall f1 calibration_error true_negatives false_positives false_negatives true_positives"
)
_AVERAGES = ("macro_roc_auc", "macro_pr_auc", "micro_roc_auc", "micro_pr_auc")


def average_rows(evaluation: Evaluation) -> list[tuple[object, ...]]:
    """Return the rows of the table of averages, for `AVERAGE_HEADERS`; ROC-AUC has no lift."""
    rows: list[tuple[object, ...]] = []
    for name in _AVERAGES:
        figure: Average = getattr(evaluation, name)
        shown = name.replace("_roc_auc", " ROC-AUC").replace("_pr_auc", " PR-AUC")
        lift = f"{_lift(figure):.1f}" if name.endswith("pr_auc") else ""
        rows.append((shown, figure.value, interval_text(figure), figure.chance, lift))
    return rows


def label_rows(evaluation: Evaluation) -> list[tuple[object, ...]]:
    """Return the rows of the table of labels, for `LABEL_HEADERS`, best ROC-AUC first; absent labels are left out."""
    shown = [figures for figures in evaluation.labels if not math.isnan(figures.roc_auc.value)]
    shown.sort(key=lambda figures: -figures.roc_auc.value)
    return [
        (
            figures.name,
            figures.tracks,
            figures.roc_auc.value,
            interval_text(figures.roc_auc),
            figures.pr_auc.value,
            interval_text(figures.pr_auc),
            figures.pr_auc.chance,
            f"{_lift(figures.pr_auc):.1f}",
            figures.f1,
        )
        for figures in shown
    ]


def interval_text(figure: Average) -> str:
    """Return the interval as text, ``0.912 to 0.953``; a dash where it is undefined."""
    return "–" if math.isnan(figure.low) else f"{figure.low:.3f} to {figure.high:.3f}"


def write_evaluation(evaluation: Evaluation, folder: str | os.PathLike[str]) -> Path:
    """Write ``<part>.npz``, ``<part>.csv`` and, last, ``<part>.json`` into `folder`; return the path of the last.

    Undefined figures are null in JSON and empty in CSV.
    """
    place = Path(folder)
    evaluation.tracks.write(place / f"{evaluation.part}.npz")
    _write_csv(evaluation, place / f"{evaluation.part}.csv")
    path = place / f"{evaluation.part}.json"
    write_json(path, evaluation_to_dict(evaluation))
    return path


def evaluation_to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON values, without the scores."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "run": evaluation.run,
        "part": evaluation.part,
        "n_tracks": evaluation.n_tracks,
        "unlabelled": evaluation.unlabelled,
        "level": evaluation.level,
        "settings": dict(evaluation.settings),
        **{name: _figure(getattr(evaluation, name), name) for name in _AVERAGES},
        "macro_f1": json_value(evaluation.macro_f1),
        "calibration": _calibration(evaluation),
        "no_positive": list(evaluation.no_positive),
        "no_negative": list(evaluation.no_negative),
        "labels": [
            {
                "name": figures.name,
                "tracks": figures.tracks,
                "roc_auc": _figure(figures.roc_auc, "roc_auc"),
                "pr_auc": _figure(figures.pr_auc, "pr_auc"),
                "threshold": figures.threshold,
                "precision": json_value(figures.precision),
                "recall": json_value(figures.recall),
                "f1": json_value(figures.f1),
                "confusion": [list(row) for row in figures.confusion],
            }
            for figures in evaluation.labels
        ],
    }


def read_evaluation(folder: str | os.PathLike[str], part: str = "test") -> Evaluation:
    """Read what `write_evaluation` wrote.

    Raises:
        FolksongError: the part was not evaluated yet.
        FileFormatError: a file is damaged.
    """
    path = Path(folder) / f"{part}.json"
    if not path.exists():
        raise FolksongError(f"{path}: not there; `folksong evaluate` (--part {part}) writes it")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise FileFormatError(
            f"{path}: not an evaluation of this version of folksong; evaluate the run again"
        )
    try:
        return Evaluation(
            run=content["run"],
            part=content["part"],
            n_tracks=content["n_tracks"],
            unlabelled=content["unlabelled"],
            labels=tuple(_read_label(entry) for entry in content["labels"]),
            no_positive=tuple(content["no_positive"]),
            no_negative=tuple(content["no_negative"]),
            level=content["level"],
            settings=content["settings"],
            tracks=ScoredTracks.read(Path(folder) / f"{part}.npz"),
            **{name: _read_figure(content[name]) for name in _AVERAGES},
        )
    except (KeyError, TypeError) as error:
        raise FileFormatError(
            f"{path}: damaged ({type(error).__name__}: {error}); evaluate the run again"
        ) from error


def _write_csv(evaluation: Evaluation, path: Path) -> None:
    with atomic_write(path, "w") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(CSV_HEADERS.split())
        errors = evaluation.calibration.error
        for figures, error in zip(evaluation.labels, errors.tolist(), strict=True):
            auc, precision = figures.roc_auc, figures.pr_auc
            values = [auc.value, auc.low, auc.high, precision.value, precision.low, precision.high]
            values += [precision.chance, _lift(precision), figures.threshold]
            values += [figures.precision, figures.recall, figures.f1, error]
            counts = [count for row in figures.confusion for count in row]
            writer.writerow([figures.name, figures.tracks, *_texts(values), *counts])


def _texts(values: Iterable[float]) -> list[str]:
    return ["" if math.isnan(value) else f"{value:.6f}" for value in values]


def _lift(figure: Average) -> float:
    return figure.lift if figure.chance > 0 else math.nan


def _figure(figure: Average, name: str) -> dict[str, float | None]:
    values = {"value": figure.value, "low": figure.low, "high": figure.high, "chance": figure.chance}
    if name.endswith("pr_auc"):
        values["lift"] = _lift(figure)
    cleaned: dict[str, float | None] = json_value(values)
    return cleaned


def _calibration(evaluation: Evaluation) -> dict[str, Any]:
    """Return the calibration of all pairs together, bin by bin."""
    pooled = evaluation.calibration.pooled()
    return {
        "expected_error": float(pooled.error[0]),
        "brier": float(pooled.brier[0]),
        "bins": [
            {
                "pairs": int(pairs),
                "mean_score": json_value(float(score)),
                "share_positive": json_value(float(share)),
            }
            for pairs, score, share in zip(
                pooled.counts[0], pooled.mean_scores[0], pooled.shares[0], strict=True
            )
        ],
    }


def _read_figure(content: Mapping[str, float | None]) -> Average:
    value, low, high, chance = (
        np.nan if content[key] is None else float(content[key] or 0.0)
        for key in ("value", "low", "high", "chance")
    )
    return Average(value, low, high, chance)


def _read_label(content: Mapping[str, Any]) -> LabelFigures:
    negatives, positives = content["confusion"]
    return LabelFigures(
        name=content["name"],
        tracks=content["tracks"],
        roc_auc=_read_figure(content["roc_auc"]),
        pr_auc=_read_figure(content["pr_auc"]),
        threshold=content["threshold"],
        confusion=(tuple(negatives), tuple(positives)),
    )
