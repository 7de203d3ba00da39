"""The figures of an evaluation: what scores come to, over all labels and for each, with intervals and chance.

A bootstrap over tracks gives the intervals; labels without a positive (or negative) track in the part are listed and
left out of the averages. ROC-AUC's chance level is 0.5, that of PR-AUC (average precision) the share of positives,
beside which its lift is shown: a PR-AUC of 0.3 is poor for a label of half the tracks and excellent for a rare one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.evaluation.scored import ScoredTracks
from folksong.metrics import Calibration, Summary, bootstrap, calibration, confusion, cooccurrence, summarise
from folksong.prediction.thresholds import DEFAULT_THRESHOLD

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Average:
    """One figure over all labels.

    Args:
        value: the figure.
        low: lower end of its interval.
        high: upper end.
        chance: what random scores reach.
    """

    value: float
    low: float
    high: float
    chance: float

    @property
    def lift(self) -> float:
        """The value divided by its chance level."""
        return self.value / self.chance


@dataclass(frozen=True)
class LabelFigures:
    """One label's figures; NaN where undefined (no positive or no negative track).

    Args:
        name: the label.
        tracks: how many of the measured tracks carry it.
        roc_auc: value, its interval and chance (0.5).
        pr_auc: average precision, its interval and chance (the share of tracks).
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
    """What `evaluate` found; `folksong.evaluation.tables` writes and prints it.

    Args:
        run: the run's folder as it was given.
        part: the part measured.
        n_tracks: tracks measured.
        unlabelled: tracks of the part left out because they have no label of the space.
        macro_roc_auc: mean over the labels that have positive and negative tracks.
        macro_pr_auc: likewise.
        micro_roc_auc: all track-label pairs of those labels.
        micro_pr_auc: likewise.
        labels: each label, in the label space's order.
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
    def macro_f1(self) -> float:
        """Mean F1 of the labels in the macro averages, at their thresholds."""
        values = [figures.f1 for figures in self.labels if not np.isnan(figures.roc_auc.value)]
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
    """Turn scores into figures with intervals; see `evaluate`.

    Args:
        tracks: scores and targets; only the tracks marked as measured count.
        run: where they come from, for the record.
        part: likewise.
        thresholds: one, or (n_labels,), for the confusion matrices.
        n_resamples: of the bootstrap.
        level: of the intervals.
        seed: of the bootstrap.
        settings: kept with the result.
    """
    used = tracks.select(tracks.measured)
    names = tracks.labels
    summary = summarise(used.targets, used.scores, labels=names)
    resampled = bootstrap(
        used.targets, used.scores, n_resamples=n_resamples, seed=seed, level=level, micro=True, labels=names
    )

    return Evaluation(
        run=run,
        part=part,
        n_tracks=len(used),
        unlabelled=len(tracks) - len(used),
        macro_roc_auc=_average(
            summary.macro_roc_auc, resampled.interval(resampled.macro_roc_auc, summary.macro_roc_auc), 0.5
        ),
        macro_pr_auc=_average(
            summary.macro_average_precision,
            resampled.interval(resampled.macro_average_precision, summary.macro_average_precision),
            summary.macro_chance,
        ),
        micro_roc_auc=_average(
            summary.micro_roc_auc, resampled.interval(resampled.micro_roc_auc, summary.micro_roc_auc), 0.5
        ),
        micro_pr_auc=_average(
            summary.micro_average_precision,
            resampled.interval(resampled.micro_average_precision, summary.micro_average_precision),
            summary.micro_chance,
        ),
        labels=_label_figures(
            used,
            summary,
            resampled.interval(resampled.roc_auc, summary.roc_auc),
            resampled.interval(resampled.average_precision, summary.average_precision),
            np.broadcast_to(np.asarray(thresholds, np.float64), (len(names),)),
        ),
        no_positive=tuple(names[number] for number in summary.no_positive),
        no_negative=tuple(names[number] for number in summary.no_negative),
        level=level,
        settings={**(settings or {}), "n_resamples": n_resamples, "seed": seed},
        tracks=tracks,
    )


def _label_figures(
    used: ScoredTracks, summary: Summary, auc_ends: Array, precision_ends: Array, thresholds: Array
) -> tuple[LabelFigures, ...]:
    matrices = confusion(used.targets, used.scores, thresholds, labels=used.labels).tolist()
    return tuple(
        LabelFigures(
            name=name,
            tracks=int(summary.positives[number]),
            roc_auc=_average(summary.roc_auc[number], auc_ends[:, number], 0.5),
            pr_auc=_average(
                summary.average_precision[number], precision_ends[:, number], summary.chance[number]
            ),
            threshold=float(thresholds[number]),
            confusion=(tuple(matrices[number][0]), tuple(matrices[number][1])),
        )
        for number, name in enumerate(used.labels)
    )


def _average(value: float, ends: Array, chance: float) -> Average:
    return Average(float(value), float(ends[0]), float(ends[1]), float(chance))
