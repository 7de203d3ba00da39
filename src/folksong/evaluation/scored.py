"""Tracks, what listeners said of them and what a tagger says: all that measuring and comparing need."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, describe_os_error

ARRAYS = ("track_ids", "labels", "targets", "scores", "measured")


@dataclass(frozen=True, eq=False)
class ScoredTracks:
    """The scores of one part's tracks.

    Args:
        track_ids: (n_tracks,) strings.
        labels: (n_labels,) names, in the order of the tagger's outputs.
        targets: (n_tracks, n_labels) uint8, 1 where a track carries a label.
        scores: (n_tracks, n_labels) float32 in 0 to 1.
        measured: (n_tracks,) bool; False for tracks that the run leaves out (no label of the space). They are scored
            all the same, so that runs with other labels can be compared on the same tracks.
    """

    track_ids: tuple[str, ...]
    labels: tuple[str, ...]
    targets: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = len(self.track_ids), len(self.labels)
        if self.targets.shape != shape or self.scores.shape != shape or self.measured.shape != shape[:1]:
            raise FolksongError(
                f"{shape[0]} tracks and {shape[1]} labels do not fit targets {self.targets.shape}, scores "
                f"{self.scores.shape} and marks {self.measured.shape}"
            )

    def __len__(self) -> int:
        return len(self.track_ids)

    def select(self, rows: Sequence[int] | npt.NDArray[np.integer | np.bool_]) -> ScoredTracks:
        """Return the tracks of these rows (numbers, or a mask)."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        return ScoredTracks(
            tuple(self.track_ids[row] for row in chosen),
            self.labels,
            self.targets[chosen],
            self.scores[chosen],
            self.measured[chosen],
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the arrays as ``.npz`` (no pickled objects: ``numpy.load(path)`` reads it as it is)."""
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                track_ids=np.array(self.track_ids, np.str_),
                labels=np.array(self.labels, np.str_),
                targets=self.targets,
                scores=self.scores,
                measured=self.measured,
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ScoredTracks:
        """Read what `write` wrote.

        Raises:
            FolksongError: there is no such file.
            FileFormatError: it is cut, damaged or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ARRAYS}
        except FileNotFoundError as error:
            raise FolksongError(f"{describe_os_error(error, path)}; `folksong evaluate` writes it") from error
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise FileFormatError(
                f"{Path(path)}: not the scores of an evaluation, or damaged ({error})"
            ) from error
        return cls(
            tuple(arrays["track_ids"].tolist()),
            tuple(arrays["labels"].tolist()),
            arrays["targets"].astype(np.uint8),
            arrays["scores"].astype(np.float32),
            arrays["measured"].astype(bool),
        )
