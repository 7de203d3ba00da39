"""The figures of a run's labels as NumPy arrays, as the earlier project left them."""

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
from folksong.training.config import Config
from folksong.training.data import read_run_data

FILES = {
    "pr_auc": "pr_auc.npy",
    "roc_auc": "roc_auc.npy",
    "confusion": "confusion_matrix.npy",
    "tags": "tags.npy",
    "cooccurrence": "cooccurrence_matrix.npy",
}
MEASURED: Mapping[str, Callable[..., Any]] = {
    "pr_auc": average_precision,
    "roc_auc": roc_auc,
    "confusion": confusion,
}


def write_label_arrays(
    run: Run | str | os.PathLike[str],
    folders: Mapping[str, str | os.PathLike[str]],
    *,
    progress: bool = False,
) -> list[Path]:
    """Write arrays of a run's labels; return their paths. NaN stands for undefined.

    Scores are measured on the test part; where the split has none (two fractions), on the validation part, as the
    earlier project did.

    Args:
        run: the run, or its folder.
        folders: array -> folder: ``pr_auc`` (n_labels,) average precision; ``roc_auc`` (n_labels,); ``confusion``
            (n_labels, 2, 2) as [[TN, FP], [FN, TP]] at 0.5; ``tags`` (n_labels,) names, in the order of the others;
            ``cooccurrence`` (n_labels, n_labels) int64, how many tracks of all parts carry both labels, each alone
            on the diagonal.
        progress: show a bar.

    Raises:
        FolksongError: the part holds no track with a label.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    arrays: dict[str, Any] = {"tags": np.array(opened.labels.names)}
    if "cooccurrence" in folders:
        data = read_run_data(opened, None, Config.from_dict(opened.config["settings"]))
        arrays["cooccurrence"] = cooccurrence(
            data.targets[np.concatenate(list(data.parts.values()))].toarray()
        )
    if MEASURED.keys() & folders.keys():
        part = "test" if opened.split.test else "validation"
        tracks = evaluate(opened, part=part, progress=progress).tracks
        tracks = tracks.select(tracks.measured)
        for name, figures in MEASURED.items():
            arrays[name] = figures(tracks.targets, tracks.scores, labels=tracks.labels)
    written = []
    for name, folder in folders.items():
        path = Path(folder) / FILES[name]
        with atomic_write(path) as stream:
            np.save(stream, arrays[name], allow_pickle=False)
        written.append(path)
    return written
