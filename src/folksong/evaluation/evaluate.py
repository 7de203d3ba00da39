"""From a run to its figures: score one part of its split, measure, and leave the result in the run.

An evaluation is three files: ``<part>.json``, ``<part>.csv`` (a line a label) and ``<part>.npz`` (the scores).
"""

from __future__ import annotations

import csv
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.figures import FIGURES, Average, Evaluation, LabelFigures, measure
from folksong.evaluation.scores import ScoredTracks, score_part
from folksong.files import atomic_write, json_value, read_document, sha256_file, write_json
from folksong.prediction.predictor import settled
from folksong.prediction.thresholds import DEFAULT_THRESHOLD, stored_thresholds
from folksong.prediction.windows import Which
from folksong.runs import Run

logger = logging.getLogger(__name__)

FORMAT = "folksong.evaluation"
VERSION = 1
CSV_HEADERS = (
    "label tracks roc_auc roc_auc_low roc_auc_high pr_auc pr_auc_low pr_auc_high chance lift threshold precision "
    "recall f1 calibration_error true_negatives false_positives false_negatives true_positives"
)


def evaluate(
    run: Run | str | os.PathLike[str],
    *,
    part: str = "test",
    shards: str | os.PathLike[str] | None = None,
    tags: str | os.PathLike[str] | None = None,
    windows: Which | None = None,
    hop_seconds: float | None = None,
    threshold: float | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    device: str | None = None,
    batch_size: int = 32,
    precision: str | None = None,
    write: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Measure a run's best network on one part of its split.

    Args:
        run: the run, or its folder.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        shards: where the shards are now; None: where the run found them.
        tags: a tag table instead of the run's own tag source.
        windows: ``"track"`` averages windows over the whole track, ``"centre"`` takes the middle one; None takes the
            definition that the run's thresholds were tuned on, or the run's own, as prediction does.
        hop_seconds: between the beginnings of windows; None likewise.
        threshold: a score of at least this decides for a label in the confusion matrices; None takes the run's tuned
            thresholds where it has some, else 0.5.
        n_resamples: of the bootstrap.
        level: of the intervals.
        seed: of the bootstrap.
        device: ``"cpu"``, ``"cuda"``, …; a GPU where there is one if None.
        batch_size: windows scored at once.
        precision: ``"32"``, ``"bf16"``, ``"16"`` or ``"auto"``; None likewise.
        write: write ``evaluation/<part>.json``, ``.csv`` (a line a label) and ``.npz`` (scores) into the run.
        progress: show a bar.

    Raises:
        FolksongError: shards or tags are missing or of another kind, or no track of the part has a label.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    tuned = stored_thresholds(opened)
    stored = opened.scoring if tuned is None else tuned.scoring
    scoring = settled(stored.replaced(windows, hop_seconds, precision), device)
    tracks = score_part(
        opened,
        part,
        scoring,
        shards=shards,
        tags=tags,
        device=device,
        batch_size=batch_size,
        progress=progress,
    )
    if threshold is not None or scoring != stored:
        tuned = None  # thresholds hold for scores that are made like those that they were tuned on
    fixed = DEFAULT_THRESHOLD if threshold is None else threshold
    found = measure(
        tracks,
        thresholds=fixed if tuned is None else tuned.array(opened.labels.names),
        run=os.fspath(run.path if isinstance(run, Run) else run),
        part=part,
        n_resamples=n_resamples,
        level=level,
        seed=seed,
        settings={
            "window_seconds": opened.window_seconds,
            **asdict(scoring),
            "thresholds": fixed if tuned is None else f"tuned on the {tuned.part} part",
            "checkpoint_sha256": sha256_file(opened.best_checkpoint),
            "labels_sha256": opened.labels.sha256(),
            "split_sha256": opened.split.sha256(),
        },
    )
    if write:
        write_evaluation(found, opened.evaluation_dir)
    return found


def current_evaluation(run: Run, part: str, *, progress: bool = False) -> Evaluation:
    """Return a run's evaluation of `part`; make it if there is none, or if the weights have changed since."""
    if (run.evaluation_dir / f"{part}.json").exists():
        found = read_evaluation(run.evaluation_dir, part)
        if found.settings.get("checkpoint_sha256") == sha256_file(run.best_checkpoint):
            return found
        logger.info("%s: has learned since its %s part was evaluated; evaluating again", run.path, part)
    return evaluate(run, part=part, progress=progress)


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
        **{name: _figure(getattr(evaluation, name), name) for name in FIGURES},
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
        raise FolksongError(f"{path}: not there; evaluate the {part} part of the run first")
    content = read_document(path, FORMAT, VERSION, "an evaluation", "evaluate the run again")
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
            **{name: _read_figure(content[name]) for name in FIGURES},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
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
            values += [precision.chance, precision.lift, figures.threshold]
            values += [figures.precision, figures.recall, figures.f1, error]
            counts = [count for row in figures.confusion for count in row]
            texts = ["" if math.isnan(value) else f"{value:.6f}" for value in values]
            writer.writerow([figures.name, figures.tracks, *texts, *counts])


def _figure(figure: Average, name: str) -> dict[str, float | None]:
    values = {"value": figure.value, "low": figure.low, "high": figure.high, "chance": figure.chance}
    if name.endswith("pr_auc"):
        values["lift"] = figure.lift
    cleaned: dict[str, float | None] = json_value(values)
    return cleaned


def _calibration(evaluation: Evaluation) -> dict[str, Any]:
    """Return the calibration of all pairs together, bin by bin."""
    pooled = evaluation.calibration.pooled()
    bins = zip(pooled.counts[0], pooled.mean_scores[0], pooled.shares[0], strict=True)
    return {
        "expected_error": float(pooled.error[0]),
        "brier": float(pooled.brier[0]),
        "bins": [
            {
                "pairs": int(pairs),
                "mean_score": json_value(float(score)),
                "share_positive": json_value(float(share)),
            }
            for pairs, score, share in bins
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
