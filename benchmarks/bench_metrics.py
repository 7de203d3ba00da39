"""Per-label ROC-AUC and average precision against scikit-learn, in one run on the same arrays.

    python benchmarks/bench_metrics.py [--tracks 500000] [--labels 100] [--dtype float32] [--sample 20]

Prints wall and CPU seconds for all labels, the ratio, and the largest difference. scikit-learn is timed on `--sample`
labels spread over the range of prevalences and scaled up unless the sample is all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from folksong import metrics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=500_000)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64", "float16"])
    parser.add_argument("--sample", type=int, default=20, help="labels given to scikit-learn")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many is taken")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    shape = arguments.tracks, arguments.labels
    targets = rng.random(shape, dtype=np.float32) < np.geomspace(0.2, 0.002, arguments.labels)
    logits = rng.standard_normal(shape, dtype=np.float32) * 2 - 4 + targets
    scores = (1 / (1 + np.exp(-logits))).astype(arguments.dtype)

    found = metrics.rank_labels(targets, scores)
    ours = best_of(arguments.repeats, lambda: metrics.rank_labels(targets, scores))
    sample = np.unique(np.linspace(0, arguments.labels - 1, arguments.sample).round().astype(int))
    theirs, worst = np.zeros(2), 0.0
    for label in sample:
        y, s = np.ascontiguousarray(targets[:, label]), np.ascontiguousarray(scores[:, label])
        theirs += best_of(arguments.repeats, lambda: (roc_auc_score(y, s), average_precision_score(y, s)))  # noqa: B023
        worst = max(
            worst,
            abs(roc_auc_score(y, s) - found.roc_auc[label]),
            abs(average_precision_score(y, s) - found.average_precision[label]),
        )
    theirs *= arguments.labels / len(sample)
    print(f"{arguments.tracks} tracks x {arguments.labels} labels, {arguments.dtype}, both metrics")
    print(f"                 wall s    CPU s   (scikit-learn from {len(sample)} labels)")
    print(f"scikit-learn   {theirs[0]:8.3f} {theirs[1]:8.3f}")
    print(f"folksong       {ours[0]:8.3f} {ours[1]:8.3f}")
    print(f"ratio          {theirs[0] / ours[0]:8.1f} {theirs[1] / ours[1]:8.1f}")
    print(f"largest difference {worst:.1e}")


def best_of(repeats: int, work: Callable[[], object]) -> np.ndarray:
    """Return the least wall and CPU seconds; CPU seconds, of all threads, hardly see what else the machine does."""
    seconds = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
    return np.min(seconds, axis=0)


if __name__ == "__main__":
    main()
