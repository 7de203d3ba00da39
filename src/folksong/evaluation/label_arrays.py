"""The figures of the test part's labels as NumPy arrays, as the earlier project left them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from folksong.evaluation.evaluate import evaluate
from folksong.files import atomic_write
from folksong.metrics import average_precision, confusion, cooccurrence, roc_auc
from folksong.runs import Run

ARRAYS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "pr_auc": ("pr_auc.npy", lambda y, scores, labels: average_precision(y, scores, labels=labels)),
    "roc_auc": ("roc_auc.npy", lambda y, scores, labels: roc_auc(y, scores, labels=labels)),
    "confusion": ("confusion_matrix.npy", lambda y, scores, labels: confusion(y, scores, labels=labels)),
    "tags": ("tags.npy", lambda y, scores, labels: np.array(labels)),
    "cooccurrence": ("cooccurrence_matrix.npy", lambda y, scores, labels: cooccurrence(y)),
}


def write_label_arrays(
    run: Run | str | os.PathLike[str],
    folders: Mapping[str, str | os.PathLike[str]],
    *,
    progress: bool = False,
) -> list[Path]:
    """Evaluate a run's test part and write arrays of its labels; return their paths. NaN stands for undefined.

    Args:
        run: the run, or its folder.
        folders: array -> folder: ``pr_auc`` (n_labels,) average precision; ``roc_auc`` (n_labels,); ``confusion``
            (n_labels, 2, 2) as [[TN, FP], [FN, TP]] at 0.5; ``tags`` (n_labels,) names, in the order of the others;
            ``cooccurrence`` (n_labels, n_labels) int64, how many tracks carry both labels, each alone on the diagonal.
        progress: show a bar.

    Raises:
        FolksongError: the test part holds no track with a label.
    """
    tracks = evaluate(run, part="test", progress=progress).tracks
    tracks = tracks.select(tracks.measured)
    written = []
    for name, folder in folders.items():
        file, compute = ARRAYS[name]
        path = Path(folder) / file
        with atomic_write(path) as stream:
            np.save(stream, compute(tracks.targets, tracks.scores, tracks.labels), allow_pickle=False)
        written.append(path)
    return written
