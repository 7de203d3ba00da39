"""K-fold cross-validation: K trainings, each measured on tracks that it never heard, and one pooled evaluation.

For collections that are too small to keep a test part aside: every track is tested once, by a network that has never
heard it nor, where artists are known, anything else by its artist.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from folksong.errors import FolksongError, some_of
from folksong.evaluation.evaluate import current_evaluation, write_evaluation
from folksong.evaluation.figures import FIGURES, Evaluation, measure
from folksong.evaluation.scores import ScoredTracks
from folksong.labels.space import LabelSpace
from folksong.runs import CONFIG_NAME, Run
from folksong.splits import Split, make_folds
from folksong.tags.table import TagTable
from folksong.training.config import Config
from folksong.training.data import LegacyLabels, open_records, read_record_tags, sha256_of_records
from folksong.training.resume import resume
from folksong.training.train import train

logger = logging.getLogger(__name__)

AnyPath = str | os.PathLike[str]


def cross_validate(
    front_end: str,
    shards: AnyPath,
    *,
    out: AnyPath,
    n_folds: int = 5,
    artists: Mapping[str, str] | None = None,
    labels: LabelSpace | LegacyLabels | AnyPath | None = None,
    tags: TagTable | AnyPath | None = None,
    config: Config | AnyPath | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> Evaluation:
    """Train one run a fold, ``fold-1`` and so on below `out`, and pool the scores of their test parts.

    Interrupted, it goes on where it stopped when called again with the same arguments. Labels that are made here are
    learned from the training part of each fold; those that all folds have are measured. The pooled evaluation is
    written to ``evaluation/`` in `out`; the mean over folds, where scores of different networks never meet, is in its
    settings.

    The `n_folds` are stratified by the labels, or else by the most popular tags; with `artists`, track id -> artist,
    all tracks of an artist are in one. All other arguments are those of `folksong.train`.

    Raises:
        FolksongError: something in the input does not fit, or `out` holds the folds of other data or settings.
        TrainingInterrupted: Ctrl-C.
    """
    given = config if isinstance(config, Config) else Config() if config is None else Config.read(config)
    settings = given.with_changes(**changes)
    space = LabelSpace.read(labels) if isinstance(labels, str | os.PathLike) else labels
    folds, inputs = _folds(front_end, shards, settings, tags, space, artists, n_folds)
    runs = []
    for number, split in enumerate(folds, 1):
        folder = Path(out, f"fold-{number}")
        logger.info("fold %d of %d: %s", number, n_folds, folder)
        run = _earlier_run(folder, split, settings, inputs)
        if run is None:
            run = train(
                front_end, shards, out=folder, labels=space, tags=tags, split=split, config=settings,
                progress=progress,
            )  # fmt: skip
        elif not (run.evaluation_dir / "test.json").exists():
            run = resume(run, shards=shards, progress=progress)
        runs.append(run)
    return _pool(out, [current_evaluation(run, "test") for run in runs])


def _folds(
    front_end: str,
    shards: AnyPath,
    settings: Config,
    tags: TagTable | AnyPath | None,
    space: LabelSpace | LegacyLabels | None,
    artists: Mapping[str, str] | None,
    n_folds: int,
) -> tuple[list[Split], dict[str, str]]:
    """Return the parts of each fold, of the tracks that have a record, and the hashes of what they learn from."""
    reader = open_records(shards, front_end, settings.data)
    table = read_record_tags(
        reader,
        settings.data.tags if tags is None else tags,
        database=settings.data.database,
        min_weight=settings.data.min_weight,
        decisions=settings.data.decisions,
    )
    inputs = {"shards": sha256_of_records(reader), "tags": table.sha256()}
    if isinstance(space, LabelSpace):
        inputs["labels"] = space.sha256()
    folds = make_folds(
        table.select_tracks(list(dict.fromkeys(reader.track_ids))),
        n_folds=n_folds,
        artists=artists,
        space=space if isinstance(space, LabelSpace) else None,
        seed=settings.runtime.seed,
    )
    return folds, inputs


def _earlier_run(folder: Path, split: Split, settings: Config, inputs: Mapping[str, str]) -> Run | None:
    """Return the run that an interrupted call has begun in `folder`."""
    if not (folder / CONFIG_NAME).exists():
        return None
    run = Run.open(folder)
    held = {
        "shards": run.config["shards"]["manifest_sha256"],
        "tags": run.config["tags"]["table_sha256"],
        "labels": run.config["labels_sha256"],
    }
    other = [name for name, sha256 in inputs.items() if held[name] != sha256]
    other += ["tracks"] if run.split.sha256() != split.sha256() else []
    # What `train` settles in the run's own settings (the loss by its name, where its tags lie) is settled here too.
    kept, wanted = run.config["settings"], settings.with_changes(loss=settings.loss.chosen).to_dict()
    wanted["data"]["tags"] = kept["data"]["tags"]
    if any(kept[section] != wanted[section] for section in kept if section != "runtime"):
        other.append("settings")
    if other:
        raise FolksongError(
            f"{folder}: holds a run of other {' and '.join(other)}; choose another folder, or remove this one"
        )
    return run


def _pool(out: AnyPath, evaluations: Sequence[Evaluation]) -> Evaluation:
    """Measure the test parts of all folds as one, and write the result."""
    parts = [found.tracks for found in evaluations]
    shared = [name for name in parts[0].labels if all(name in part.labels for part in parts)]
    left_out = sorted({name for part in parts for name in part.labels} - set(shared))
    if left_out:
        logger.warning(
            "%d labels are not in the training part of every fold, and are not measured: %s",
            len(left_out), some_of(map(repr, left_out), 10),
        )  # fmt: skip
    if not shared:
        raise FolksongError("the folds have no label in common; give a label space, or more tracks")
    columns = [[part.labels.index(name) for name in shared] for part in parts]
    tracks = ScoredTracks(
        tuple(track for part in parts for track in part.track_ids),
        tuple(shared),
        np.concatenate([part.targets[:, taken] for part, taken in zip(parts, columns, strict=True)]),
        np.concatenate([part.scores[:, taken] for part, taken in zip(parts, columns, strict=True)]),
        np.concatenate([part.measured for part in parts]),
    )
    means = {name: float(np.mean([getattr(found, name).value for found in evaluations])) for name in FIGURES}
    pooled = measure(
        tracks,
        run=os.fspath(out),
        settings={
            "folds": [found.run for found in evaluations],
            "mean_of_folds": means,
            "thresholds": evaluations[0].settings["thresholds"],
        },
    )
    write_evaluation(pooled, Path(out, "evaluation"))
    return pooled
