"""From a run to its figures: score one part of its split, measure, and leave the result in the run.

An evaluation is three files: ``<part>.json``, ``<part>.csv`` (a line a label) and ``<part>.npz`` (the scores).

The control of a run on embeddings is a head on plain statistics, of the same tracks, labels, split and settings: what
does not beat means and deviations of log-mel and MFCC has learned nothing from its network.
"""

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from folksong.embeddings.store import DESCRIPTION_NAME, read_embeddings
from folksong.errors import FolksongError
from folksong.evaluation.figures import FIGURES, Average, Evaluation, LabelFigures, measure
from folksong.evaluation.scores import ScoredTracks, open_run_records, score_part
from folksong.files import (
    atomic_write,
    json_value,
    read_document,
    read_json,
    reading,
    sha256_file,
    write_csv,
    write_json,
)
from folksong.metrics import average_precision, confusion, cooccurrence, roc_auc
from folksong.models.pretrained.extractors import STATISTICS
from folksong.prediction.predictor import settled
from folksong.runs import CONFIG_NAME, DEFAULT_THRESHOLD, Run, Which, stored_thresholds
from folksong.training.config import Config
from folksong.training.data import read_run_data, read_run_tags
from folksong.training.resume import resume
from folksong.training.train import train

logger = logging.getLogger(__name__)

FORMAT = "folksong.evaluation"
VERSION = 1
HEAD = ("run", "part", "n_tracks", "unlabelled", "level", "settings")
OF_LABEL = ("name", "tracks", "roc_auc", "pr_auc", "threshold", "precision", "recall", "f1", "confusion")
CSV_HEADERS = (
    "label tracks roc_auc roc_auc_low roc_auc_high pr_auc pr_auc_low pr_auc_high chance lift threshold precision "
    "recall f1 calibration_error true_negatives false_positives false_negatives true_positives"
)
ARRAYS = {
    "pr_auc": "pr_auc.npy",
    "roc_auc": "roc_auc.npy",
    "confusion": "confusion_matrix.npy",
    "tags": "tags.npy",
    "cooccurrence": "cooccurrence_matrix.npy",
}


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
    opened = Run.open(run)
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
        run=os.fspath(run),
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


def write_label_arrays(
    run: Run | str | os.PathLike[str], folders: Mapping[str, str | os.PathLike[str]]
) -> list[Path]:
    """Write arrays of a run's labels, as the earlier project left them, and return the files; NaN is undefined.

    Scores are measured on the test part, or on the validation part where the split has no other.

    Args:
        run: the run, or its folder.
        folders: array -> folder: ``pr_auc`` (n_labels,) average precision; ``roc_auc`` (n_labels,); ``confusion``
            (n_labels, 2, 2) as [[TN, FP], [FN, TP]] at 0.5; ``tags`` (n_labels,) names, in the order of the others;
            ``cooccurrence`` (n_labels, n_labels) int64, how many tracks of all parts carry both labels, each alone on
            the diagonal.
    """
    opened = Run.open(run)

    @cache
    def used() -> ScoredTracks:
        return evaluate(opened, part="test" if opened.split.test else "validation").measured

    def targets() -> Any:
        data = read_run_data(opened, None, Config.from_dict(opened.config["settings"]))
        return data.targets[np.concatenate(list(data.parts.values()))]

    compute: dict[str, Callable[[], Any]] = {
        "pr_auc": lambda: average_precision(used().targets, used().scores, labels=used().labels),
        "roc_auc": lambda: roc_auc(used().targets, used().scores, labels=used().labels),
        "confusion": lambda: confusion(used().targets, used().scores, labels=used().labels),
        "tags": lambda: np.array(opened.labels.names),
        "cooccurrence": lambda: cooccurrence(targets()),
    }
    written = []
    for name, folder in folders.items():
        path = Path(folder) / ARRAYS[name]
        with atomic_write(path) as stream:
            np.save(stream, compute[name](), allow_pickle=False)
        written.append(path)
    return written


def write_evaluation(evaluation: Evaluation, folder: str | os.PathLike[str]) -> Path:
    """Write ``<part>.npz``, ``<part>.csv`` and, last, ``<part>.json`` into `folder`; return the path of the last.

    Undefined figures are null in JSON and empty in CSV.
    """
    place = Path(folder)
    evaluation.tracks.write(place / f"{evaluation.part}.npz")
    write_csv(place / f"{evaluation.part}.csv", CSV_HEADERS.split(), _csv_rows(evaluation))
    path = place / f"{evaluation.part}.json"
    write_json(path, evaluation_to_dict(evaluation))
    return path


def evaluation_to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON values, without the scores; undefined figures are null."""
    pooled = evaluation.calibration.pooled()
    bins = zip(pooled.counts[0].tolist(), pooled.mean_scores[0], pooled.shares[0], strict=True)
    content = {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(evaluation, name) for name in HEAD},
        **{name: _figure(getattr(evaluation, name), name) for name in FIGURES},
        "macro_f1": evaluation.macro_f1,
        "calibration": {
            "expected_error": pooled.error[0],
            "brier": pooled.brier[0],
            "bins": [
                {"pairs": pairs, "mean_score": score, "share_positive": share} for pairs, score, share in bins
            ],
        },
        "no_positive": evaluation.no_positive,
        "no_negative": evaluation.no_negative,
        "labels": [
            {name: _figure(getattr(figures, name), name) for name in OF_LABEL}
            for figures in evaluation.labels
        ],
    }
    values: dict[str, Any] = json_value(content)
    return values


def _figure(value: Any, name: str) -> Any:
    if not isinstance(value, Average):
        return value
    return {**value.to_dict(), **({"lift": value.lift} if name.endswith("pr_auc") else {})}


def read_evaluation(folder: str | os.PathLike[str], part: str = "test") -> Evaluation:
    """Read what `write_evaluation` wrote."""
    path = Path(folder) / f"{part}.json"
    if not path.exists():
        raise FolksongError(f"{path}: not there; evaluate the {part} part of the run first")
    content = read_document(path, FORMAT, VERSION, "an evaluation", "evaluate the run again")
    with reading(path, "evaluate the run again"):
        figures: dict[str, Any] = {name: _read_figure(content[name]) for name in FIGURES}
        return Evaluation(
            **{name: content[name] for name in HEAD},
            **figures,
            labels=tuple(map(_read_label, content["labels"])),
            no_positive=tuple(content["no_positive"]),
            no_negative=tuple(content["no_negative"]),
            tracks=ScoredTracks.read(Path(folder) / f"{part}.npz"),
        )


def _read_figure(content: Mapping[str, Any]) -> Average:
    value, low, high, chance = (
        np.nan if content[name] is None else float(content[name])
        for name in ("value", "low", "high", "chance")
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


def _csv_rows(evaluation: Evaluation) -> Iterator[list[object]]:
    for figures, error in zip(evaluation.labels, evaluation.calibration.error.tolist(), strict=True):
        auc, precision = figures.roc_auc, figures.pr_auc
        values = [auc.value, auc.low, auc.high, precision.value, precision.low, precision.high]
        values += [precision.chance, precision.lift, figures.threshold]
        values += [figures.precision, figures.recall, figures.f1, error]
        counts = [count for row in figures.confusion for count in row]
        texts = ["" if math.isnan(value) else f"{value:.6f}" for value in values]
        yield [figures.name, figures.tracks, *texts, *counts]


CONTROL_NAME = "control"


def train_control(run: Run) -> Run | None:
    """Return a run's control, kept in it as ``control/`` and trained if it is not yet; None where there can be none.

    None: it learned from audio, or from statistics itself, or no statistics of its tracks lie beside its embeddings.
    """
    if run.space is None or run.space.model == STATISTICS:
        return None
    place = run.path / CONTROL_NAME
    if (place / CONFIG_NAME).exists():
        return resume(place)
    folder = _statistics_beside(run)
    if folder is None:
        return None
    config = Config.from_dict(run.config["settings"])
    plain = config.model_copy(update={"data": config.data.model_copy(update={"tags": None, "remove": ()})})
    try:
        table = read_run_tags(run, open_run_records(run))
        return train(
            "embeddings", folder, out=place, labels=run.labels, split=run.split, tags=table, config=plain
        )
    except FolksongError:  # of other tracks, or no longer there
        return None


def _statistics_beside(run: Run) -> Path | None:
    """Return the folder of statistics beside a run's embeddings that holds most of its tracks."""
    wanted, best, most = set(run.split.training), None, 0
    for path in sorted(run.shards_dir.parent.glob(f"*/{DESCRIPTION_NAME}")):
        try:
            if read_json(path)["space"]["model"] != STATISTICS:  # before all of the others' values are hashed
                continue
            n_shared = len(wanted.intersection(read_embeddings(path.parent).track_ids))
        except (FolksongError, KeyError, TypeError):
            continue
        if n_shared > most:
            best, most = path.parent, n_shared
    return best
