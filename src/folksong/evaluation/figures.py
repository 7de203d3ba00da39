"""The figures of an evaluation: over all labels and for each, with bootstrap intervals over tracks, and chance.

Labels without a positive (or negative) track in the part are listed and left out of the averages. ROC-AUC's chance
level is 0.5, that of PR-AUC (average precision) the share of positives, beside which its lift is shown: a PR-AUC of 0.3
is poor for a label of half the tracks and excellent for a rare one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.evaluation.scores import ScoredTracks
from folksong.files import json_value
from folksong.metrics import (
    Bootstrap,
    Calibration,
    Summary,
    bootstrap,
    calibration,
    centred_interval,
    confusion,
    cooccurrence,
    summarise,
)
from folksong.runs import DEFAULT_THRESHOLD

Array = npt.NDArray[np.float64]

FIGURES = ("macro_roc_auc", "macro_pr_auc", "micro_roc_auc", "micro_pr_auc")
NAMES = {name: name.replace("_roc_auc", " ROC-AUC").replace("_pr_auc", " PR-AUC") for name in FIGURES}
"""How a table calls each of `FIGURES`."""


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval; NaN where undefined."""

    value: float
    low: float
    high: float

    def interval(self, sign: str = "") -> str:
        """Return ``0.690 to 0.731``, with a plus sign if `sign` is "+"; a dash where it is undefined."""
        return "–" if math.isnan(self.low) else f"{self.low:{sign}.3f} to {self.high:{sign}.3f}"

    def text(self, sign: str = "") -> str:
        """Return ``0.712 (0.690 to 0.731)``; a dash where the value is undefined."""
        if math.isnan(self.value):
            return "–"
        value = f"{self.value:{sign}.3f}"
        return value if math.isnan(self.low) else f"{value} ({self.interval(sign)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON values; undefined ones are null."""
        content: dict[str, Any] = json_value(
            {name: value for name, value in vars(self).items() if name != "seeds"}
        )
        return content


@dataclass(frozen=True)
class Average(Estimate):
    """One figure over all labels, or of one label; of runs that differ in their seed alone, the mean.

    `chance` is what random scores reach.
    """

    chance: float
    seeds: tuple[float, ...] = ()

    @property
    def lift(self) -> float:
        """The value divided by its chance level; NaN where that is 0."""
        return self.value / self.chance if self.chance > 0 else np.nan


@dataclass(frozen=True, eq=False)
class Measured:
    """One run's figures on some tracks and labels (or tags), and those of every bootstrap resample."""

    summary: Summary
    resampled: Bootstrap


def measure_tracks(
    tracks: ScoredTracks, n_resamples: int = 1000, level: float = 0.95, seed: int = 0, *, micro: bool = True
) -> Measured:
    """Measure the tracks marked as measured; equal seeds and numbers of tracks share their resamples.

    Without `micro`, micro averages have no interval, and it takes half the time.
    """
    used = tracks.select(tracks.measured)
    if not len(used):
        raise FolksongError("no track has a label")
    resampled = bootstrap(
        used.targets,
        used.scores,
        n_resamples=n_resamples,
        seed=seed,
        level=level,
        micro=micro,
        labels=used.labels,
    )
    return Measured(summarise(used.targets, used.scores, labels=used.labels), resampled)


def averages(measured: Sequence[Measured]) -> dict[str, Average]:
    """Return each of `FIGURES`: its mean over runs (one a seed), with the interval of that mean over tracks."""
    found = {}
    for name in FIGURES:
        values = tuple(float(getattr(one.summary, name)) for one in measured)
        mean = float(np.mean(values))
        ends = np.clip(
            centred_interval(mean_resampled(measured, name), mean, measured[0].resampled.level), 0.0, 1.0
        )
        chance = 0.5 if name.endswith("roc_auc") else measured[0].summary.macro_chance
        found[name] = Average(mean, float(ends[0]), float(ends[1]), chance, values)
    return found


def mean_resampled(measured: Sequence[Measured], name: str) -> Array:
    """Return the mean over runs of a figure of each resample: (n_resamples, …)."""
    values: Array = np.mean([getattr(one.resampled, name) for one in measured], axis=0)
    return values


@dataclass(frozen=True)
class LabelFigures:
    """One label's figures; NaN where undefined (no positive or no negative track).

    Args:
        name: the label.
        tracks: how many of the measured tracks carry it.
        roc_auc: chance is 0.5.
        pr_auc: average precision; chance is the share of tracks.
        threshold: a score of at least this decides for the label.
        confusion: [[TN, FP], [FN, TP]] at the threshold.
    """

    name: str
    tracks: int
    roc_auc: Average
    pr_auc: Average
    threshold: float
    confusion: tuple[tuple[int, int], tuple[int, int]]

    @property
    def precision(self) -> float:
        """Share of the tracks decided for that carry the label; NaN if none was."""
        (_, false_alarms), (_, hits) = self.confusion
        return hits / (hits + false_alarms) if hits + false_alarms else np.nan

    @property
    def recall(self) -> float:
        """Share of the tracks with the label that were decided for; NaN if none carries it."""
        _, (misses, hits) = self.confusion
        return hits / (hits + misses) if hits + misses else np.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 0 where nothing was decided for; NaN if no track carries the label."""
        (_, false_alarms), (misses, hits) = self.confusion
        return 2 * hits / (2 * hits + false_alarms + misses) if hits + misses else np.nan


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found: macro averages over labels with positive and negative tracks, micro ones over all pairs.

    Args:
        run: the run's folder as it was given.
        part: the part measured.
        n_tracks: tracks measured.
        unlabelled: tracks of the part left out because they have no label of the space.
        macro_roc_auc: and so on: `FIGURES`.
        labels: in the label space's order.
        no_positive: labels that no measured track carries.
        no_negative: labels that every measured track carries.
        level: of the intervals, 0.95 by default.
        settings: how it was measured (windows, seed, resamples, checkpoint), as JSON values.
        tracks: the scores themselves.
    """

    run: str
    part: str
    n_tracks: int
    unlabelled: int
    macro_roc_auc: Average
    macro_pr_auc: Average
    micro_roc_auc: Average
    micro_pr_auc: Average
    labels: tuple[LabelFigures, ...]
    no_positive: tuple[str, ...]
    no_negative: tuple[str, ...]
    level: float
    settings: Mapping[str, Any]
    tracks: ScoredTracks = field(repr=False)

    @cached_property
    def measured(self) -> ScoredTracks:
        """The tracks that the figures are of."""
        return self.tracks.select(self.tracks.measured)

    @property
    def defined(self) -> list[LabelFigures]:
        """The labels in the averages: those with a positive and a negative track."""
        return [figures for figures in self.labels if not np.isnan(figures.roc_auc.value)]

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the labels in the macro averages, at their thresholds."""
        values = [figures.f1 for figures in self.defined]
        return float(np.mean(values)) if values else np.nan

    @cached_property
    def calibration(self) -> Calibration:
        """Scores as probabilities, of each label."""
        return calibration(self.measured.targets, self.measured.scores, labels=self.tracks.labels)

    @cached_property
    def cooccurrence(self) -> npt.NDArray[np.int64]:
        """(n_labels, n_labels) measured tracks that carry both labels."""
        return cooccurrence(self.measured.targets)

    def __getitem__(self, label: str) -> LabelFigures:
        return next(figures for figures in self.labels if figures.name == label)


def measure(
    tracks: ScoredTracks,
    *,
    run: str = "",
    part: str = "test",
    thresholds: float | Array = DEFAULT_THRESHOLD,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Turn the scores of the tracks marked as measured into figures with intervals.

    `thresholds`, one or (n_labels,), are for the confusion matrices; `run`, `part` and `settings` are kept with the
    result, and the rest is as in `evaluate`.
    """
    found = measure_tracks(tracks, n_resamples, level, seed)
    names, n_tracks = tracks.labels, int(tracks.measured.sum())
    return Evaluation(
        run=run,
        part=part,
        n_tracks=n_tracks,
        unlabelled=len(tracks) - n_tracks,
        **{name: replace(average, seeds=()) for name, average in averages([found]).items()},
        labels=_label_figures(tracks.select(tracks.measured), found, thresholds),
        no_positive=tuple(names[number] for number in found.summary.no_positive),
        no_negative=tuple(names[number] for number in found.summary.no_negative),
        level=level,
        settings={**(settings or {}), "n_resamples": n_resamples, "seed": seed},
        tracks=tracks,
    )


def _label_figures(
    used: ScoredTracks, measured: Measured, thresholds: float | Array
) -> tuple[LabelFigures, ...]:
    summary, resampled = measured.summary, measured.resampled
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (len(used.labels),))
    matrices = confusion(used.targets, used.scores, limits, labels=used.labels).tolist()
    auc_ends = resampled.interval(resampled.roc_auc, summary.roc_auc)
    precision_ends = resampled.interval(resampled.average_precision, summary.average_precision)

    def figure(values: Array, ends: Array, number: int, chance: float) -> Average:
        return Average(float(values[number]), float(ends[0, number]), float(ends[1, number]), chance)

    return tuple(
        LabelFigures(
            name=name,
            tracks=int(summary.positives[number]),
            roc_auc=figure(summary.roc_auc, auc_ends, number, 0.5),
            pr_auc=figure(summary.average_precision, precision_ends, number, float(summary.chance[number])),
            threshold=float(limits[number]),
            confusion=(tuple(matrices[number][0]), tuple(matrices[number][1])),
        )
        for number, name in enumerate(used.labels)
    )
