"""From a run to its figures: score one part of its split, measure, and leave the result in the run."""

from __future__ import annotations

import os

from folksong.errors import FolksongError
from folksong.evaluation.figures import Evaluation, measure
from folksong.evaluation.scoring import hop_of, score_part
from folksong.evaluation.tables import write_evaluation
from folksong.files import sha256_file
from folksong.prediction.thresholds import DEFAULT_THRESHOLD, stored_thresholds
from folksong.prediction.windows import Which
from folksong.runs import Run


def evaluate(
    run: Run | str | os.PathLike[str],
    *,
    part: str = "test",
    shards: str | os.PathLike[str] | None = None,
    tags: str | os.PathLike[str] | None = None,
    windows: Which = "track",
    hop_seconds: float | None = None,
    threshold: float | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    device: str | None = None,
    batch_size: int = 32,
    precision: str = "32",
    write: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Measure a run's best network on one part of its split.

    Args:
        run: the run, or its folder.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        shards: where the shards are now; None: where the run found them.
        tags: a tag table instead of the run's own tag source.
        windows: ``"track"`` averages sliding windows over the whole track, ``"centre"`` takes the middle one.
        hop_seconds: between the beginnings of windows; half a window if None.
        threshold: a score of at least this decides for a label in the confusion matrices; None takes the run's tuned
            thresholds where it has some, else 0.5.
        n_resamples: of the bootstrap.
        level: of the intervals.
        seed: of the bootstrap.
        device: ``"cpu"``, ``"cuda"``, …; a GPU where there is one if None.
        batch_size: windows scored at once.
        precision: ``"32"``, ``"bf16"``, ``"16"`` or ``"auto"``; see `folksong.prediction.LoadedTagger`.
        write: write ``evaluation/<part>.json``, ``.csv`` (a line a label) and ``.npz`` (scores) into the run.
        progress: show a bar.

    Raises:
        FolksongError: shards or tags are missing or of another kind, or no track of the part has a label.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    tracks = score_part(
        opened,
        part,
        shards=shards,
        tags=tags,
        windows=windows,
        hop_seconds=hop_seconds,
        device=device,
        batch_size=batch_size,
        precision=precision,
        progress=progress,
    )
    if not tracks.measured.any():
        raise FolksongError(f"{opened.path}: no track of the {part} part has a label of the space")
    tuned = stored_thresholds(opened) if threshold is None else None
    thresholds = DEFAULT_THRESHOLD if threshold is None else threshold
    found = measure(
        tracks,
        thresholds=thresholds if tuned is None else tuned.array(opened.labels.names),
        run=os.fspath(run.path if isinstance(run, Run) else run),
        part=part,
        n_resamples=n_resamples,
        level=level,
        seed=seed,
        settings={
            "windows": windows,
            "window_seconds": opened.window_seconds,
            "hop_seconds": hop_of(opened, hop_seconds),
            "precision": precision,
            "thresholds": thresholds if tuned is None else f"tuned on the {tuned.part} part",
            "checkpoint_sha256": sha256_file(opened.best_checkpoint),
            "labels_sha256": opened.labels.sha256(),
            "split_sha256": opened.split.sha256(),
        },
    )
    if write:
        write_evaluation(found, opened.evaluation_dir)
    return found
