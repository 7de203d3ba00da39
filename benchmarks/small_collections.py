"""Does default training on 40 clips keep up with MFCCs and logistic regression?

    python benchmarks/small_collections.py AUDIO [--subsets 10] [--window 3] [--config FILE] [--first 0]

AUDIO holds a folder of recordings for each class. Of each class six clips are drawn, anew for each subset: four to
learn from, one to validate on, one to test on. Log-mel training with everything at its default (but windows of 3 s) is
compared with a logistic regression (scikit-learn, standardised inputs) on mean and standard deviation of 20 MFCCs, the
discrete cosine transform of the same log-mel frames, which learns from the same 40 clips and is tested on the same ten.
As ten clips tell little (a subset's difference moves by .06), both are tested on all recordings outside the subset too.
Printed are macro ROC-AUC by subset and in the mean, argmax accuracy, steps and seconds. Exits with 1 if a mean of the
training is less.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.fft import dct
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import folksong as fs
from folksong.shards.reader import ShardReader
from folksong.training.config import Config

FRONT_END = "log-mel-spectrogram"
PER_CLASS = {"training": 4, "validation": 1, "test": 1}
N_MFCC = 20


def draw(track_ids: list[str], subset: int) -> fs.Split:
    """Return a split of some tracks of each class; a class is the first folder of an id."""
    rng = np.random.default_rng(subset)
    parts: dict[str, list[str]] = {part: [] for part in PER_CLASS}
    for name in sorted({track.split("/")[0] for track in track_ids}):
        drawn = rng.permutation([track for track in track_ids if track.split("/")[0] == name]).tolist()
        for part, count in PER_CLASS.items():
            parts[part] += drawn[:count]
            drawn = drawn[count:]
    return fs.Split(*(tuple(sorted(parts[part])) for part in PER_CLASS))


def mfcc_statistics(reader: ShardReader, record: int) -> np.ndarray:
    """Return mean and standard deviation over time of a record's MFCCs: (2 × 20,)."""
    coefficients = dct(reader.audio(record), axis=0, norm="ortho")[:N_MFCC]
    return np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1)])


def score_regression(reader: ShardReader, split: fs.Split, classes: list[str]) -> np.ndarray:
    """Return scores (n_tests, n_classes) of the baseline."""
    record_of = {track: record for record, track in enumerate(reader.track_ids)}

    def examples(tracks: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        features = np.array([mfcc_statistics(reader, record_of[track]) for track in tracks])
        return features, np.array([classes.index(track.split("/")[0]) for track in tracks])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(*examples(split.training))
    return model.predict_proba(examples(split.test)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", type=Path)
    parser.add_argument("--subsets", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first subset")
    parser.add_argument("--window", type=float, default=3.0, help="seconds")
    parser.add_argument("--config", help="settings in the place of the defaults")
    parser.add_argument("--shards", type=Path, help="kept between calls")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    config = (Config.read(given.config) if given.config else Config()).with_changes(
        window_seconds=given.window
    )
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        shards = given.shards or Path(temporary, "shards")
        table = fs.read_tags(given.audio)
        if not shards.exists():
            fs.write_shards(fs.scan_folder(given.audio), shards, table, audio_format=FRONT_END)
        reader = ShardReader(shards)
        classes = sorted({track.split("/")[0] for track in reader.track_ids})
        space = fs.LabelSpace(tuple(fs.labels.Label(name, (name,)) for name in classes))
        print(
            "subset  (ten clips) regression  training   (outside) regression  training   accuracies  best step  seconds"
        )
        for subset in range(given.first, given.first + given.subsets):
            drawn = draw(list(reader.track_ids), subset)
            outside = sorted(set(reader.track_ids) - {*drawn.training, *drawn.validation, *drawn.test})
            split = replace(drawn, test=(*drawn.test, *outside))
            began = time.monotonic()
            run = fs.train(
                FRONT_END, shards, out=Path(temporary, f"run{subset}"), labels=space, tags=table, split=split,
                config=config, progress=False,
            )  # fmt: skip
            seconds = time.monotonic() - began
            tracks = fs.evaluate(run).tracks
            place = {track: row for row, track in enumerate(tracks.track_ids)}
            order = [place[track] for track in split.test]
            targets = tracks.targets[order]
            both = score_regression(reader, split, classes), tracks.scores[order]
            few = slice(len(drawn.test))
            aucs = [
                float(np.nanmean(fs.metrics.roc_auc(targets[part], scores[part])))
                for part in (few, slice(len(drawn.test), None))
                for scores in both
            ]
            hits = [float((targets.argmax(1) == scores.argmax(1)).mean()) for scores in both]
            rows.append([*aucs, *hits, seconds])
            print(
                f"{subset:6}  {aucs[0]:16.3f}  {aucs[1]:8.3f}  {aucs[2]:20.3f}  {aucs[3]:8.3f}"
                f"  {hits[0]:.2f}, {hits[1]:.2f}  {run.best_row()['step']:9}  {seconds:7.0f}",
                flush=True,
            )
    means = np.mean(rows, axis=0)
    print(
        f"  mean  {means[0]:16.3f}  {means[1]:8.3f}  {means[2]:20.3f}  {means[3]:8.3f}"
        f"  {means[4]:.2f}, {means[5]:.2f}  {means[6]:18.0f}"
    )
    sys.exit(0 if means[1] >= means[0] and means[3] >= means[2] else 1)


if __name__ == "__main__":
    main()
