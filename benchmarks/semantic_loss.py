"""What the semantic loss does, by γ: ROC-AUC, PR-AUC and the distance in meaning of false positives, with intervals.

    folksong experiment benchmarks/semantic_loss.toml --demo demo --out gamma
    python benchmarks/semantic_loss.py gamma

False positives are those among as many best-scored labels as a track has (`folksong.metrics.mistakes_in_meaning`). Each
figure is the mean over the seeds; its difference to γ = 0, the same loss as binary cross-entropy, has a 95%
interval from 1,000 resamples of the test tracks, the same for all runs (a paired bootstrap).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from folksong.evaluation.groups import open_runs
from folksong.evaluation.scores import ScoredTracks
from folksong.metrics import (
    average_precision,
    bootstrap,
    centred_interval,
    draw_resamples,
    mistakes_in_meaning,
)
from folksong.metrics import roc_auc as roc_auc_of
from folksong.runs import Run

N_RESAMPLES = 1000
FIGURES = ("macro ROC-AUC", "macro PR-AUC", "distance of false positives", "false positives a track")


@dataclass(frozen=True)
class Measured:
    """Figures of one run: their values (4,), and those of each resample (4, n_resamples)."""

    values: np.ndarray
    resampled: np.ndarray
    n_tracks: int
    n_labels: int


def measure(run: Run) -> Measured:
    scored = ScoredTracks.read(run.evaluation_dir / "test.npz")
    scored = scored.select(scored.measured)
    mistakes = mistakes_in_meaning(scored.targets, scored.scores, run.label_vectors)
    drawn = bootstrap(scored.targets, scored.scores, n_resamples=N_RESAMPLES)
    weights = draw_resamples(len(scored), range(N_RESAMPLES), 0).T.astype(np.float64)
    numbers, distances = weights @ mistakes.numbers, weights @ mistakes.distances
    values = [
        np.nanmean(roc_auc_of(scored.targets, scored.scores)),
        np.nanmean(average_precision(scored.targets, scored.scores)),
        mistakes.mean_distance,
        mistakes.numbers.mean(),
    ]
    resampled = [
        drawn.macro_roc_auc,
        drawn.macro_pr_auc,
        distances / numbers,
        numbers / len(scored),
    ]
    return Measured(np.array(values), np.stack(resampled), len(scored), len(scored.labels))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help="folder of the experiment")
    folder = parser.parse_args().experiment
    runs: dict[float, list[Measured]] = defaultdict(list)
    for named in open_runs([folder]):
        runs[named.run.config["settings"]["loss"]["gamma"]].append(measure(named.run))
    first = runs[0.0][0]
    print(f"{len(runs[0.0])} seeds, {first.n_tracks} test tracks, {first.n_labels} labels\n")
    print("| γ | " + " | ".join(FIGURES) + " |")
    print("|---|" + "---|" * len(FIGURES))
    plain = np.mean([run.resampled for run in runs[0.0]], axis=0)
    base = np.mean([run.values for run in runs[0.0]], axis=0)
    for gamma, measured in sorted(runs.items()):
        values = np.mean([run.values for run in measured], axis=0)
        spread = np.std([run.values for run in measured], axis=0, ddof=1)
        change = np.mean([run.resampled for run in measured], axis=0) - plain
        cells = []
        for number, value in enumerate(values):
            cell = f"{value:.4f} ± {spread[number]:.4f}"
            if gamma:
                low, high = centred_interval(change[number], value - base[number])
                cell += f"; {value - base[number]:+.4f} [{low:+.4f}, {high:+.4f}]"
            cells.append(cell)
        print(f"| {gamma:g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
