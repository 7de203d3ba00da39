"""300 clips of ten instruments by pretrained features and a head: accuracy, ROC-AUC and PR-AUC with intervals.

    python benchmarks/probe_instruments.py AUDIO [--weights WHEEL_OR_FOLDER] [--keep FOLDER]
    python benchmarks/probe_instruments.py EMBEDDINGS [EMBEDDINGS ...]

AUDIO holds a folder a class; embeddings are extracted from it (and kept in FOLDER). Folders of embeddings whose ids
begin with the class, ``Cello/0123``, are taken as they are. 60/40 stratified, means over three splits (or more,
`--splits`), and over three others; then 60 clips to learn from. Every single extractor and every pair is shown; the row
"chosen" takes in each split the pair whose head describes held-out training clips best (their log-loss, in the folds by
which λ is chosen): the test clips take no part in that. The peer is scikit-learn's logistic regression on standardised
features.
Intervals: 95%, percentile bootstrap over the tests' clips.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import folksong as fs
from folksong.embeddings.store import DESCRIPTION_NAME, Embeddings, read_embeddings

EXTRACTORS = ("statistics", "musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd")
N_RESAMPLES = 1000


def read_all(places: list[Path], weights: str | None, keep: Path) -> list[Embeddings]:
    if all((place / DESCRIPTION_NAME).exists() for place in places):
        return [read_embeddings(place) for place in places]
    (audio,) = places
    return [fs.embed_audio(audio, keep / name, name, weights=weights) for name in EXTRACTORS]


def figures(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    targets = y[:, None] == np.arange(scores.shape[1])
    ranked = [figure(targets, scores) for figure in (fs.metrics.roc_auc, fs.metrics.average_precision)]
    return np.array([np.mean(scores.argmax(axis=1) == y), *(np.nanmean(one) for one in ranked)])


def interval(tests: list[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """Return mean and interval of the three figures over splits."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(N_RESAMPLES):
        rows = [rng.integers(len(y), size=len(y)) for y, _ in tests]
        drawn.append(np.mean([figures(y[r], s[r]) for (y, s), r in zip(tests, rows, strict=True)], axis=0))
    mean = np.mean([figures(y, s) for y, s in tests], axis=0)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return [f"{m:.3f} ({a:.3f} to {b:.3f})" for m, a, b in zip(mean, low, high, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("places", type=Path, nargs="+")
    parser.add_argument("--weights")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--sizes", default="0.6,60")
    parser.add_argument("--seeds", default="0,1", help="of the splits")
    parser.add_argument("--splits", type=int, default=3, help="of each seed and size")
    given = parser.parse_args()
    keep = given.keep or Path(tempfile.mkdtemp())
    found = read_all(given.places, given.weights, keep)
    track_ids = found[0].track_ids
    _, y = np.unique([track_id.split("/")[0] for track_id in track_ids], return_inverse=True)
    alone = {one.space.model: one.vectors(track_ids) for one in found}
    features = {name: [values] for name, values in alone.items()}
    for a, b in itertools.combinations(alone, 2):
        features[f"{a}+{b}"] = [alone[a], alone[b]]
    for size in map(float, given.sizes.split(",")):
        for seed in map(int, given.seeds.split(",")):
            report(features, y, size, seed, given.splits)


def report(
    features: dict[str, list[np.ndarray]], y: np.ndarray, size: float, seed: int, n_splits: int
) -> None:
    splits = StratifiedShuffleSplit(n_splits, train_size=int(size) if size > 1 else size, random_state=seed)
    tests: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    seconds = 0.0
    for train, test in splits.split(y, y):
        merits = {}
        for name, parts in features.items():
            x = np.hstack(parts)
            began = time.perf_counter()
            probe = fs.Probe(parts=[part.shape[1] for part in parts]).fit(x[train], y[train])
            seconds = max(seconds, time.perf_counter() - began)
            tests.setdefault(name, []).append((y[test], probe.predict_proba(x[test])))
            if "+" in name:
                merits[name] = -probe.held_out_loss_
            else:
                peer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
                scores = peer.fit(x[train], y[train]).predict_proba(x[test])
                tests.setdefault(f"{name}, scikit-learn", []).append((y[test], scores))
        best = max(merits, key=merits.__getitem__)
        tests.setdefault("chosen", []).append(tests[best][-1])
        print(f"chosen on the {len(train)} training clips: {best}")
    print(
        f"\n{len(train)} clips to learn from, {len(test)} to test, {n_splits} splits (seed {seed}); "
        f"the slowest head took {seconds:.1f} s"
    )
    print("| features | accuracy | macro ROC-AUC | macro PR-AUC |\n|---|---|---|---|")
    for name, pairs in sorted(tests.items(), key=lambda item: (item[0] != "chosen", item[0])):
        print(f"| {name} | {' | '.join(interval(pairs))} |")
    print()


if __name__ == "__main__":
    main()
