"""Thresholds of a run's labels, kept in the run as ``thresholds.json``; `folksong.evaluation` tunes them."""

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError, FolksongError
from folksong.files import check_signature, read_document, reading, sha256_file, write_signed
from folksong.runs import Run, Scoring

logger = logging.getLogger(__name__)

FORMAT = "folksong.thresholds"
VERSION = 1
DEFAULT_THRESHOLD = 0.5
FILE_NAME = "thresholds.json"


@dataclass(frozen=True)
class Thresholds:
    """A threshold for each label; a score of at least it decides for the label.

    Args:
        values: label -> threshold, in the label space's order.
        f: label -> F on the tracks they were tuned on; None for a label that none of them carries, whose threshold
            is 0.5.
        beta: recall counted so many times as much as precision.
        part: the part they were tuned on.
        n_tracks: its size.
        checkpoint_sha256: of the weights that gave the scores.
        labels_sha256: of the label space.
        scoring: how tracks were scored; the thresholds hold for scores made so.
    """

    values: Mapping[str, float]
    f: Mapping[str, float | None]
    beta: float
    part: str
    n_tracks: int
    checkpoint_sha256: str
    labels_sha256: str = ""
    scoring: Scoring = field(default_factory=Scoring)

    def array(self, labels: tuple[str, ...]) -> npt.NDArray[np.float64]:
        """Return the thresholds (n_labels,) in the order of `labels`."""
        return np.array([self.values[label] for label in labels], np.float64)

    @property
    def untuned(self) -> tuple[str, ...]:
        """Labels that no track carried, which keep 0.5."""
        return tuple(label for label, f in self.f.items() if f is None)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``thresholds.json`` into a run's folder."""
        path = Path(folder) / FILE_NAME
        labels = [{"name": name, "threshold": self.values[name], "f": self.f[name]} for name in self.values]
        content = {key: value for key, value in asdict(self).items() if key not in ("values", "f")}
        write_signed(path, {"format": FORMAT, "version": VERSION, **content, "labels": labels})
        return path

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Thresholds":
        """Read a run's ``thresholds.json``.

        Raises:
            FolksongError: the run has none.
            FileFormatError: the file is damaged.
        """
        path = Path(folder) / FILE_NAME
        if not path.exists():
            raise FolksongError(f"{path}: no thresholds yet; tune them first")
        content = read_document(path, FORMAT, VERSION, "thresholds", "tune them again")
        check_signature(path, content, "tune them again")
        with reading(path, "tune them again"):
            return cls(
                values={entry["name"]: float(entry["threshold"]) for entry in content["labels"]},
                f={entry["name"]: entry["f"] for entry in content["labels"]},
                scoring=Scoring(**content["scoring"]),
                **{
                    key: content[key]
                    for key in ("beta", "part", "n_tracks", "checkpoint_sha256", "labels_sha256")
                },
            )


def stored_thresholds(run: Run) -> Thresholds | None:
    """Return a run's thresholds if it has some that belong to its best weights; warn of those that do not."""
    if not (run.path / FILE_NAME).exists():
        return None
    found = Thresholds.read(run.path)
    made_for = found.labels_sha256, found.checkpoint_sha256
    if made_for != (run.labels.sha256(), sha256_file(run.best_checkpoint)):
        logger.warning(
            "%s: the thresholds were tuned for other weights or labels and are not used; tune them again",
            run.path,
        )
        return None
    if set(found.values) != set(run.labels.names):
        raise FileFormatError(f"{run.path / FILE_NAME}: holds thresholds of other labels; tune them again")
    return found


def decided_by(run: Run) -> tuple[npt.NDArray[np.float64] | None, Scoring]:
    """Return a run's thresholds (n_labels,), None where none are tuned, and how tracks are scored."""
    tuned = stored_thresholds(run)
    return (None, run.scoring) if tuned is None else (tuned.array(run.labels.names), tuned.scoring)
