"""A head on many tracks: seconds, processor seconds and memory, beside scikit-learn's LogisticRegression.

    python benchmarks/bench_heads.py [--tracks 10000] [--features 1506] [--labels 50]

Embeddings and labels are simulated: labels are drawn by logits that are linear in 100 hidden numbers, the features a
noisy mixture of these, with variances that fall as those of networks do. Both learn from the same four fifths and are
judged on the rest. The head chooses its λ along a path of them; scikit-learn is given one C, its default, and fits the
labels one after the other (in one thread each; ``--peer-labels`` of them, times their number).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

import folksong as fs
from timing import peak_memory


def simulated(n_tracks: int, n_features: int, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n_tracks, 100), dtype=np.float32)
    strength = (1 + np.arange(100, dtype=np.float32)) ** -0.5
    x = (hidden * strength) @ rng.standard_normal((100, n_features), dtype=np.float32)
    x += 0.7 * rng.standard_normal(x.shape, dtype=np.float32)
    logits = hidden @ rng.standard_normal((100, n_labels), dtype=np.float32) * 0.25
    y = rng.random(logits.shape) < 1 / (1 + np.exp(3 * rng.random(n_labels) + 0.5 - logits))
    return x, y.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=1506)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--peer-labels", type=int, default=5)
    given = parser.parse_args()
    n_held = given.tracks // 4
    x, y = simulated(given.tracks + n_held, given.features, given.labels)
    train, test = slice(0, given.tracks), slice(given.tracks, None)
    print(
        f"{given.tracks} tracks x {given.features} features x {given.labels} labels; "
        f"{peak_memory() / 1e6:.0f} MB before"
    )

    began, processor = time.perf_counter(), time.process_time()
    probe = fs.Probe().fit(x[train], y[train])
    seconds, used = time.perf_counter() - began, time.process_time() - processor
    scores = probe.predict_proba(x[test])
    print(
        f"folksong: {seconds:.1f} s ({used:.1f} s of processor), "
        f"peak {peak_memory() / 1e6:.0f} MB, λ {probe.penalty_:.1e}"
    )

    began, processor = time.perf_counter(), time.process_time()
    scaler = StandardScaler().fit(x[train])
    a, b = scaler.transform(x[train]), scaler.transform(x[test])
    few = range(given.peer_labels)
    theirs = np.stack(
        [LogisticRegression(max_iter=1000).fit(a, y[train, label]).predict_proba(b)[:, 1] for label in few],
        axis=1,
    )
    scale = given.labels / given.peer_labels
    seconds, used = (time.perf_counter() - began) * scale, (time.process_time() - processor) * scale
    print(
        f"scikit-learn: {seconds:.0f} s ({used:.0f} s of processor), {given.peer_labels} labels times {scale:g}"
    )
    for name, figure in (("ROC-AUC", roc_auc_score), ("PR-AUC", average_precision_score)):
        mine, peer = (
            figure(y[test, : given.peer_labels], found[:, : given.peer_labels]) for found in (scores, theirs)
        )
        print(f"macro {name} of {given.peer_labels} labels: folksong {mine:.4f}, scikit-learn {peer:.4f}")


if __name__ == "__main__":
    main()
