"""The arrays of the labels that ``--save-PR``, ``--save-ROC``, ``--save-confusion-matrix``, ``--save-tags-path`` and
``--save-cooccurrence-matrix-path`` want.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.files import atomic_write
from folksong.metrics import average_precision, confusion, cooccurrence, roc_auc


@dataclass(frozen=True)
class ArrayFolders:
    """Where the arrays go; None leaves one out.

    Args:
        pr_auc: ``pr_auc.npy``: (n_labels,) average precision.
        roc_auc: ``roc_auc.npy``: (n_labels,).
        confusion: ``confusion_matrix.npy``: (n_labels, 2, 2) as [[TN, FP], [FN, TP]] at 0.5.
        tags: ``tags.npy``: (n_labels,) the names, in the order of the other arrays.
        cooccurrence: ``cooccurrence_matrix.npy``: (n_labels, n_labels) int64, how many tracks carry both labels; the
            diagonal holds how many carry each.
    """

    pr_auc: str | os.PathLike[str] | None = None
    roc_auc: str | os.PathLike[str] | None = None
    confusion: str | os.PathLike[str] | None = None
    tags: str | os.PathLike[str] | None = None
    cooccurrence: str | os.PathLike[str] | None = None

    def any(self) -> bool:
        """Say whether any array is wanted."""
        return any(getattr(self, field.name) is not None for field in fields(self))


def write_label_arrays(
    folders: ArrayFolders, targets: Any, scores: npt.NDArray[np.float32], labels: tuple[str, ...]
) -> list[Path]:
    """Write the arrays that are wanted, and return their paths. NaN stands for an undefined figure.

    Args:
        folders: where to.
        targets: (n, n_labels) of 0 and 1, dense or SciPy sparse.
        scores: (n, n_labels) probabilities.
        labels: names, in order.
    """
    wanted = (
        (folders.pr_auc, "pr_auc.npy", lambda: average_precision(targets, scores, labels=labels)),
        (folders.roc_auc, "roc_auc.npy", lambda: roc_auc(targets, scores, labels=labels)),
        (folders.confusion, "confusion_matrix.npy", lambda: confusion(targets, scores, labels=labels)),
        (folders.tags, "tags.npy", lambda: np.array(labels)),
        (folders.cooccurrence, "cooccurrence_matrix.npy", lambda: cooccurrence(targets)),
    )
    written = []
    for folder, name, compute in wanted:
        if folder is not None:
            path = Path(folder) / name
            with atomic_write(path) as stream:
                np.save(stream, compute(), allow_pickle=False)
            written.append(path)
    return written
