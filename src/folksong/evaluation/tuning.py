"""Thresholds that turn scores into decisions, tuned on a run's validation part.

A multi-label network trained on rare labels seldom scores above 0.5; a threshold per label that maximises F on tracks
that were not trained on makes up for it. The test part takes no part in them.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np

from folksong.evaluation.scored import ScoredTracks
from folksong.evaluation.scoring import score_part
from folksong.files import json_value, sha256_file
from folksong.metrics import best_thresholds
from folksong.prediction.thresholds import DEFAULT_THRESHOLD, Thresholds
from folksong.prediction.windows import Which
from folksong.runs import Run

logger = logging.getLogger(__name__)


def tune_thresholds(
    run: Run | str | os.PathLike[str],
    *,
    part: str = "validation",
    beta: float = 1.0,
    windows: Which = "track",
    write: bool = True,
    progress: bool = False,
    **scoring: Any,
) -> Thresholds:
    """Find the threshold of each label that maximises F on the validation part, and keep them in the run.

    Args:
        run: the run, or its folder.
        part: the part to tune on. On ``"test"`` decisions would look better than they are.
        beta: recall counts `beta` times as much as precision.
        windows: ``"track"`` averages sliding windows over the whole track, ``"centre"`` takes the middle one.
        write: write ``thresholds.json`` into the run.
        progress: show a bar.
        scoring: further arguments of `folksong.evaluation.scoring.score_part`.

    Raises:
        FolksongError: as `folksong.evaluation.evaluate.evaluate`.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    if part == "test":
        logger.warning("thresholds tuned on the test part make its decisions look better than they are")
    tracks = score_part(opened, part, windows=windows, progress=progress, **scoring)
    found = thresholds_of(
        tracks, beta=beta, part=part, checkpoint_sha256=sha256_file(opened.best_checkpoint), windows=windows
    )
    if found.untuned:
        logger.warning(
            "%d labels keep the threshold 0.5, as no track of the %s part carries them: %s",
            *(len(found.untuned), part, ", ".join(map(repr, found.untuned[:10]))),
        )
    if write:
        found.write(opened.path)
    return found


def thresholds_of(
    tracks: ScoredTracks,
    *,
    beta: float = 1.0,
    part: str = "validation",
    checkpoint_sha256: str = "",
    windows: str = "track",
) -> Thresholds:
    """Find the thresholds of scored tracks; only those marked as measured count. See `tune_thresholds`."""
    used = tracks.select(tracks.measured)
    found = best_thresholds(used.targets, used.scores, beta=beta, labels=used.labels)
    thresholds = np.where(np.isnan(found.thresholds), DEFAULT_THRESHOLD, found.thresholds)
    return Thresholds(
        values=dict(zip(used.labels, thresholds.tolist(), strict=True)),
        f={name: json_value(f) for name, f in zip(used.labels, found.f, strict=True)},
        beta=beta,
        part=part,
        n_tracks=len(used),
        checkpoint_sha256=checkpoint_sha256,
        windows=windows,
    )
