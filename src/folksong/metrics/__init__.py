"""How well scores rank the tracks that carry a label above those that do not. Arrays in, arrays out.

Everywhere `targets` is (n_tracks, n_labels) of 0 and 1 (bool, integer or float, dense or SciPy sparse) and `scores`
is (n_tracks, n_labels) of finite or infinite floats, larger meaning more likely; a single label may be given as two
(n_tracks,) arrays. Results are per label, NaN where undefined. A NaN among the scores is an error that names the
label.
"""

from folksong.metrics.bootstrap import Bootstrap, bootstrap, centred_interval, draw_resamples
from folksong.metrics.decisions import (
    BestThresholds,
    Calibration,
    Mistakes,
    best_thresholds,
    calibration,
    confusion,
    cooccurrence,
    mistakes_in_meaning,
)
from folksong.metrics.ranking import Summary, average_precision, rank_labels, roc_auc, summarise

__all__ = [
    "BestThresholds",
    "Bootstrap",
    "Calibration",
    "Mistakes",
    "Summary",
    "average_precision",
    "best_thresholds",
    "bootstrap",
    "calibration",
    "centred_interval",
    "confusion",
    "cooccurrence",
    "draw_resamples",
    "mistakes_in_meaning",
    "rank_labels",
    "roc_auc",
    "summarise",
]
