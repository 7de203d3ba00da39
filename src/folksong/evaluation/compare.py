"""Runs against each other: the same tracks, the same labels or tags, and a paired bootstrap.

All runs are measured on the tracks that all of them scored. Runs with the same label space are compared label by
label, others on the tags that all their spaces know (`folksong.evaluation.projection`). The resamples of the bootstrap
are the same for all runs, so that the interval of a difference sees that both runs find the same tracks hard.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.evaluation.evaluate import evaluate
from folksong.evaluation.figures import Average, Evaluation
from folksong.evaluation.projection import common_tags, project
from folksong.evaluation.scored import ScoredTracks
from folksong.evaluation.scoring import open_shards
from folksong.evaluation.tables import read_evaluation
from folksong.files import json_value, sha256_file
from folksong.metrics import Bootstrap, Summary, bootstrap, centred_interval, summarise
from folksong.runs import Run
from folksong.tags.table import TagTable
from folksong.training.data import read_run_tags

logger = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]
Ground = Literal["auto", "labels", "tags"]
FIGURES = ("macro_roc_auc", "macro_average_precision", "micro_roc_auc", "micro_average_precision")


@dataclass(frozen=True)
class Difference:
    """How much more a run reaches than the first one.

    Args:
        value: its figure minus that of the first run.
        low: lower end of the interval of the difference.
        high: upper end.
        p: two-sided: the share of resamples whose difference strays at least as far from its mean as `value` from 0.
    """

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class ComparedRun:
    """One run on the common ground.

    Args:
        run: its folder.
        n_labels: size of its own label space.
        figures: macro and micro ROC-AUC and average precision, by the names in `FIGURES`.
        differences: the same minus those of the first run; empty for the first run itself.
        label_roc_auc: of each label or tag compared; NaN where undefined.
        label_differences: ROC-AUC of each label or tag minus that of the first run; empty for the first run itself.
    """

    run: str
    n_labels: int
    figures: Mapping[str, Average]
    differences: Mapping[str, Difference]
    label_roc_auc: tuple[float, ...]
    label_differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Args:
        part: the part measured.
        ground: ``"labels"`` (all spaces are equal) or ``"tags"`` (projected on the tags that all spaces know).
        names: the labels or tags measured, also those without a positive or negative track.
        n_tracks: common tracks that carry at least one of them.
        runs: in the order given; differences are from the first.
        level: of the intervals.
    """

    part: str
    ground: str
    names: tuple[str, ...]
    n_tracks: int
    runs: tuple[ComparedRun, ...]
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values; undefined figures are null."""
        return {
            "part": self.part,
            "ground": self.ground,
            "n_tracks": self.n_tracks,
            "level": self.level,
            "names": list(self.names),
            "runs": [
                {
                    "run": run.run,
                    "n_labels": run.n_labels,
                    "figures": {name: json_value(vars(figure)) for name, figure in run.figures.items()},
                    "differences": {name: json_value(vars(found)) for name, found in run.differences.items()},
                    "label_roc_auc": json_value(list(run.label_roc_auc)),
                    "label_differences": [json_value(vars(found)) for found in run.label_differences],
                }
                for run in self.runs
            ],
        }


def compare(
    runs: Sequence[Run | str | os.PathLike[str]],
    *,
    part: str = "test",
    ground: Ground = "auto",
    tags: str | os.PathLike[str] | None = None,
    min_tracks: int = 1,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Compare runs on the tracks that all of them scored; the first is the one that the others are measured against.

    Runs that were not evaluated yet, or not since they learned more, are evaluated first.

    Args:
        runs: two or more runs, or their folders.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        ground: ``"labels"`` compares equal label spaces, ``"tags"`` projects on common tags, ``"auto"`` chooses.
        tags: the table of tags to project on; None takes the first run's own tag source.
        min_tracks: of tags to project on, so many of the common tracks must carry a tag.
        n_resamples: of the bootstrap.
        level: of the intervals.
        seed: of the bootstrap.
        progress: show a bar where a run is evaluated first.

    Raises:
        FolksongError: fewer than two runs, no common track or tag, or label spaces differ where labels are to be
            compared.
    """
    if len(runs) < 2:
        raise FolksongError("a comparison needs two or more runs")
    opened = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    scored = [current_evaluation(run, part, progress=progress).tracks for run in opened]
    scored = same_tracks(scored)
    equal = all(run.labels.sha256() == opened[0].labels.sha256() for run in opened)
    if ground == "labels" and not equal:
        raise FolksongError(
            "the runs have different label spaces; compare them on the tags that all of them know"
        )
    if ground == "labels" or (ground == "auto" and equal):
        measured = np.logical_and.reduce([tracks.measured for tracks in scored])
        on_ground, used = [tracks.select(measured) for tracks in scored], "labels"
    else:
        table = read_run_tags(opened[0], open_shards(opened[0]), tags)
        on_ground, used = project_all(opened, scored, table, min_tracks), "tags"
    return _measure(opened, on_ground, part, used, n_resamples, level, seed)


def current_evaluation(run: Run, part: str, *, progress: bool = False) -> Evaluation:
    """Return a run's evaluation of `part`; make it if there is none, or if the weights have changed since."""
    if (run.evaluation_dir / f"{part}.json").exists():
        found = read_evaluation(run.evaluation_dir, part)
        if found.settings.get("checkpoint_sha256") == sha256_file(run.best_checkpoint):
            return found
        logger.info("%s: has learned since its %s part was evaluated; evaluating again", run.path, part)
    return evaluate(run, part=part, progress=progress)


def same_tracks(scored: Sequence[ScoredTracks]) -> list[ScoredTracks]:
    """Return the tracks that all have, in the order of the first.

    Raises:
        FolksongError: there is none.
    """
    common = set(scored[0].track_ids).intersection(*(tracks.track_ids for tracks in scored[1:]))
    if not common:
        raise FolksongError("the runs have no track of this part in common; train them with the same --split")
    order = [track_id for track_id in scored[0].track_ids if track_id in common]
    found = []
    for tracks in scored:
        row_of = {track_id: row for row, track_id in enumerate(tracks.track_ids)}
        found.append(tracks.select([row_of[track_id] for track_id in order]))
    if len(order) < max(map(len, scored)):
        logger.warning("only %d tracks of this part are common to all runs", len(order))
    return found


def project_all(
    runs: Sequence[Run], scored: Sequence[ScoredTracks], table: TagTable, min_tracks: int = 1
) -> list[ScoredTracks]:
    """Project all runs on the tags that all of them know, and keep the tracks that carry at least one.

    Raises:
        FolksongError: no tag is known to all.
    """
    present = table.select_tracks(scored[0].track_ids)
    tags = common_tags([run.labels for run in runs], present, min_tracks=min_tracks)
    if not tags:
        raise FolksongError(
            "no tag of these tracks belongs to a label in every run; there is no common ground"
        )
    projected = [project(tracks, run.labels, tags, table) for run, tracks in zip(runs, scored, strict=True)]
    return [tracks.select(tracks.measured) for tracks in projected]


def _measure(
    runs: Sequence[Run],
    scored: Sequence[ScoredTracks],
    part: str,
    ground: str,
    n_resamples: int,
    level: float,
    seed: int,
) -> Comparison:
    if not len(scored[0]):
        raise FolksongError("no common track has a label")
    summaries: list[Summary] = []
    resampled: list[Bootstrap] = []
    for tracks in scored:
        if (tracks.targets != scored[0].targets).any():
            raise FolksongError(
                "the runs were evaluated against different tags; evaluate them again with the same table (--tags)"
            )
        summaries.append(summarise(tracks.targets, tracks.scores, labels=tracks.labels))
        resampled.append(
            bootstrap(
                tracks.targets,
                tracks.scores,
                n_resamples=n_resamples,
                seed=seed,
                level=level,
                micro=True,
                labels=tracks.labels,
            )
        )
    compared = [
        _compare_one(run, summary, found, None if place == 0 else (summaries[0], resampled[0]))
        for place, (run, summary, found) in enumerate(zip(runs, summaries, resampled, strict=True))
    ]
    return Comparison(part, ground, scored[0].labels, len(scored[0]), tuple(compared), level)


def _compare_one(
    run: Run, summary: Summary, resampled: Bootstrap, first: tuple[Summary, Bootstrap] | None
) -> ComparedRun:
    figures = {}
    differences = {}
    for name in FIGURES:
        value, values = getattr(summary, name), getattr(resampled, name)
        low, high = resampled.interval(values, value)
        chance = 0.5 if name.endswith("auc") else summary.macro_chance
        figures[name] = Average(float(value), float(low), float(high), chance)
        if first is not None:
            differences[name] = difference_of(
                value - getattr(first[0], name), values - getattr(first[1], name), resampled.level
            )
    of_labels: tuple[Difference, ...] = ()
    if first is not None:
        by_label, by_label_resampled = (
            summary.roc_auc - first[0].roc_auc,
            resampled.roc_auc - first[1].roc_auc,
        )
        of_labels = tuple(
            difference_of(value, by_label_resampled[:, number], resampled.level)
            for number, value in enumerate(by_label.tolist())
        )
    return ComparedRun(
        os.fspath(run.path), len(run.labels), figures, differences, tuple(summary.roc_auc.tolist()), of_labels
    )


def difference_of(value: float, values: Array, level: float) -> Difference:
    """Return a difference with its interval and p.

    Args:
        value: the difference of the tracks themselves.
        values: (n_resamples,) that of each resample.
        level: of the interval.
    """
    low, high = centred_interval(values, value, level)
    defined = values[~np.isnan(values)]
    if not len(defined) or np.isnan(value):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    as_far = np.abs(defined - defined.mean()) >= abs(value)
    p = (1 + int(as_far.sum())) / (1 + len(defined))
    return Difference(float(value), float(low), float(high), p)
