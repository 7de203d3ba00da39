"""Thresholds that turn scores into decisions, tuned on a run's validation part.

A multi-label network trained on rare labels seldom scores above 0.5; a threshold per label that maximises F on tracks
that were not trained on makes up for it. The test part takes no part in them.
"""

import logging
import os
from dataclasses import replace

import numpy as np

from folksong.errors import some_of
from folksong.evaluation.scores import ScoredTracks, score_part
from folksong.files import json_value, sha256_file
from folksong.metrics import best_thresholds
from folksong.prediction.predictor import settled
from folksong.runs import DEFAULT_THRESHOLD, Run, Scoring, Thresholds

logger = logging.getLogger(__name__)

FEW_TRACKS = 10
"""That carry a label: the best threshold on fewer is chance."""


def tune_thresholds(
    run: Run | str | os.PathLike[str],
    *,
    part: str = "validation",
    beta: float = 1.0,
    scoring: Scoring | None = None,
    shards: str | os.PathLike[str] | None = None,
    device: str | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> Thresholds:
    """Find the threshold of each label that maximises F on the validation part, and keep them in the run.

    Args:
        run: the run, or its folder.
        part: the part to tune on. On ``"test"`` decisions would look better than they are.
        beta: recall counts `beta` times as much as precision.
        scoring: windows and precision; None takes the run's definition. Prediction then takes those of the thresholds.
        shards: where the shards are now; None: where the run found them.
        device: ``"cpu"``, ``"cuda"``, …; a GPU where there is one if None.
        batch_size: windows scored at once.
        progress: show a bar.

    Raises:
        FolksongError: as `folksong.evaluation.evaluate.evaluate`.
    """
    opened = Run.open(run)
    if part == "test":
        logger.warning("thresholds tuned on the test part make its decisions look better than they are")
    chosen = settled(opened.scoring if scoring is None else scoring, device)
    tracks = score_part(
        opened, part, chosen, shards=shards, device=device, batch_size=batch_size, progress=progress
    )
    found = replace(
        thresholds_of(tracks, beta=beta, part=part),
        checkpoint_sha256=sha256_file(opened.best_checkpoint),
        labels_sha256=opened.labels.sha256(),
        scoring=chosen,
    )
    if found.untuned:
        logger.warning(
            "%d labels keep the threshold 0.5, as no track of the %s part carries them: %s",
            *(len(found.untuned), part, some_of(map(repr, found.untuned), 10)),
        )
    measured = tracks.select(tracks.measured)
    carried = np.asarray(measured.targets.sum(axis=0)).ravel().astype(int)
    few = [f"{name!r} ({n})" for name, n in zip(measured.labels, carried, strict=True) if 0 < n < FEW_TRACKS]
    if few:
        logger.warning(
            "thresholds of %d labels rest on fewer than %d tracks that carry them, and may be far too low or high: %s",
            *(len(few), FEW_TRACKS, some_of(few)),
        )
    found.write(opened.path)
    return found


def thresholds_of(tracks: ScoredTracks, *, beta: float = 1.0, part: str = "validation") -> Thresholds:
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
        checkpoint_sha256="",
    )
