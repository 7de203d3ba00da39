"""One measurement in a few numbers: macro and micro averages, and what chance alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.metrics.inputs import Pairs
from folksong.metrics.ranking import rank_labels, rank_positives

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Summary:
    """Ranking quality per label and averaged.

    The averages run over the labels that have both a positive and a negative track (`kept`); the others are listed
    in `no_positive` and `no_negative`. Macro is the mean of the per-label values; micro pools all track-label pairs
    of the kept labels. Chance is what random scores reach in average precision: the prevalence. A lift is the
    average precision divided by its chance level; the macro lift divides the two macro values, so that a few rare
    labels do not decide it. ROC-AUC's chance level is 0.5. Averages are NaN when no label is kept (micro also when
    it was not asked for).
    """

    n_tracks: int
    roc_auc: Array
    average_precision: Array
    positives: npt.NDArray[np.int64]
    macro_roc_auc: float
    macro_pr_auc: float
    macro_chance: float
    micro_roc_auc: float
    micro_pr_auc: float
    micro_chance: float

    @property
    def n_labels(self) -> int:
        """Number of labels, kept or not."""
        return len(self.positives)

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """(n_labels,) whether a label has both positive and negative tracks, and so counts in the averages."""
        return (self.positives > 0) & (self.positives < self.n_tracks)

    @property
    def no_positive(self) -> list[int]:
        """Numbers of the labels that no track carries."""
        return np.flatnonzero(self.positives == 0).tolist()

    @property
    def no_negative(self) -> list[int]:
        """Numbers of the labels that every track carries."""
        return np.flatnonzero(self.positives == self.n_tracks).tolist()

    @property
    def chance(self) -> Array:
        """(n_labels,) average precision of random scores: the share of tracks that carry the label."""
        return self.positives / self.n_tracks

    @property
    def lift(self) -> Array:
        """(n_labels,) average precision divided by chance; NaN where no track carries the label."""
        return self.average_precision / np.where(self.positives > 0, self.chance, np.nan)

    @property
    def macro_lift(self) -> float:
        """Macro average precision divided by the mean prevalence."""
        return self.macro_pr_auc / self.macro_chance

    @property
    def micro_lift(self) -> float:
        """Micro average precision divided by the share of positive pairs."""
        return self.micro_pr_auc / self.micro_chance


def summarise(
    targets: Any, scores: Any, *, labels: Sequence[str] | None = None, micro: bool = True
) -> Summary:
    """Measure all labels and average.

    Args:
        targets: (n_tracks, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n_tracks, n_labels), larger meaning more likely. Micro averages compare scores across labels.
        labels: names for messages.
        micro: also compute the micro averages, which takes one more sort of all pairs.

    Raises:
        FolksongError: shapes differ, a target is neither 0 nor 1, or a score is NaN (the label is named).
    """
    ranking = rank_labels(targets, scores, labels=labels)
    n_tracks, positives = ranking.n_tracks, ranking.positives
    kept = (positives > 0) & (positives < n_tracks)
    micro_values = np.nan, np.nan
    if micro and kept.any():
        micro_values = _rank_all_pairs(Pairs(targets, scores, labels), kept)
    chance = _mean(positives[kept] / n_tracks)
    return Summary(
        n_tracks=n_tracks,
        roc_auc=ranking.roc_auc,
        average_precision=ranking.average_precision,
        positives=positives,
        macro_roc_auc=_mean(ranking.roc_auc[kept]),
        macro_pr_auc=_mean(ranking.average_precision[kept]),
        macro_chance=chance,
        micro_roc_auc=micro_values[0],
        micro_pr_auc=micro_values[1],
        micro_chance=chance if micro else np.nan,  # the same number: every label has the same tracks
    )


def _rank_all_pairs(pairs: Pairs, kept: npt.NDArray[np.bool_]) -> tuple[float, float]:
    scores = pairs.scores if kept.all() else pairs.scores[:, kept]
    positives = [column.positive_scores for column in pairs.columns() if kept[column.number]]
    return rank_positives(scores.ravel(), np.concatenate(positives))


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else np.nan
