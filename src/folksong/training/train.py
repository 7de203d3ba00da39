"""A new training: from shards to a run."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.embeddings.read_vectors import read_vectors
from folksong.embeddings.store import EMBEDDINGS
from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError
from folksong.files import atomic_write
from folksong.labels.space import LabelSpace
from folksong.models.hardware import choose_precision
from folksong.runs import CONFIG_NAME, LABEL_VECTORS_NAME, Run
from folksong.splits import Split
from folksong.tags.sources.read_tags import read_tags, write_tags
from folksong.tags.table import TagTable
from folksong.training.config import Config
from folksong.training.data import (
    LegacyLabels,
    TrainingData,
    open_records,
    prepare,
    read_record_tags,
    sha256_of_records,
)
from folksong.training.distributed import Processes
from folksong.training.loop import build_batches, build_tagger, run_training
from folksong.training.schedule import check_warmup
from folksong.training.train_head import build_head, describe_embeddings, finish_head

logger = logging.getLogger(__name__)

AnyPath = str | os.PathLike[str]

TAGS_NAME = "tags.db"  # in the run's folder, where a table was given and no file


def train(
    front_end: str,
    shards: AnyPath,
    *,
    out: AnyPath | None = None,
    labels: LabelSpace | LegacyLabels | AnyPath | None = None,
    tags: TagTable | AnyPath | None = None,
    split: Split | AnyPath | None = None,
    vectors: WordVectors | AnyPath | None = None,
    config: Config | AnyPath | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> Run:
    """Train a tagger and return its run.

    Args:
        front_end: ``"waveform"`` or ``"log-mel-spectrogram"``, and the shards must hold the same; or ``"embeddings"``,
            on which a head is trained within seconds (`folksong.training.fit_head`).
        shards: folder of shards, or of embeddings (`folksong.embeddings.store`).
        out: the run's folder; None makes one in the settings' ``log_dir``.
        labels: the label space, its file, or the earlier project's files; None builds it as the settings' ``data``
            section says.
        tags: tag table, or where to read one; None takes the records' own tags.
        split: the parts, or their file; None makes them.
        vectors: word vectors, or where to read them, for the semantic loss, which they imply.
        config: settings, or a file or folder to read them from; None takes the defaults.
        progress: show a bar an epoch; None shows it on a terminal.
        changes: settings by their keys, whatever their section: ``epochs=3``, ``seed=1``, ``loss="asymmetric"``,
            ``cuda=[0, 1]``; see `Config`.

    Raises:
        FolksongError: something in the input does not fit; the message says what.
        TrainingInterrupted: Ctrl-C; the run can be resumed.
    """
    settings = config if isinstance(config, Config) else Config() if config is None else Config.read(config)
    if vectors is not None:
        changes["vectors"] = vectors.source if isinstance(vectors, WordVectors) else vectors
    if tags is not None and not isinstance(tags, TagTable):
        changes["tags"] = Path(tags).absolute()
    settings = settings.with_changes(**changes)
    if settings.loss.chosen == "semantic" and settings.loss.vectors is None:
        raise FolksongError("the semantic loss needs word vectors; none are named")

    inputs = _Inputs(front_end, shards, out, labels, tags, split, vectors)
    if front_end == EMBEDDINGS:
        run, data, config = _begin(inputs, settings, Processes())
        return finish_head(run, data, config)
    shown = sys.stderr.isatty() if progress is None else progress
    return run_training(partial(_begin, inputs, settings), settings, progress=shown)


@dataclass(frozen=True)
class _Inputs:
    """What `train` was given besides settings."""

    front_end: str
    shards: AnyPath
    out: AnyPath | None
    labels: LabelSpace | LegacyLabels | AnyPath | None
    tags: TagTable | AnyPath | None
    split: Split | AnyPath | None
    vectors: WordVectors | AnyPath | None


def _begin(given: _Inputs, settings: Config, processes: Processes) -> tuple[Run, TrainingData, Config]:
    """Bring everything together and write the run's folder."""
    config = settings.with_changes(
        precision=choose_precision(settings.runtime.precision, gpu=bool(processes.gpus)),
        loss=settings.loss.chosen,
    )
    folder = _new_folder(config.runtime.log_dir, given.front_end) if given.out is None else Path(given.out)
    reader = open_records(given.shards, given.front_end, config.data)
    own = given.tags if isinstance(given.tags, TagTable) else None
    table = read_record_tags(
        reader,
        config.data.tags if own is None else own,
        database=config.data.database,
        min_weight=config.data.min_weight,
    )
    if own is not None:
        table = _as_stored(table)
        config = config.with_changes(tags=(folder / TAGS_NAME).absolute())
    data = prepare(
        reader,
        table,
        config,
        labels=LabelSpace.read(given.labels) if isinstance(given.labels, str | os.PathLike) else given.labels,
        split=given.split
        if isinstance(given.split, Split) or given.split is None
        else Split.read(given.split),
    )
    label_vectors = None
    if config.loss.vectors is not None:
        label_vectors = _embed_labels(
            data, given.vectors if isinstance(given.vectors, WordVectors) else config.loss.vectors
        )
    description = _check_and_describe(given.front_end, data, config, processes, label_vectors)
    if not (folder / CONFIG_NAME).exists():
        if own is not None:
            write_tags(table, folder / TAGS_NAME)
        if label_vectors is not None:
            with atomic_write(folder / LABEL_VECTORS_NAME) as stream:
                np.save(stream, label_vectors.vectors, allow_pickle=False)
    return Run.create(folder, description, data.space, data.split), data, config


def _as_stored(table: TagTable) -> TagTable:
    """Return the table as a reader of the run's own copy will find it."""
    with TemporaryDirectory() as folder:
        write_tags(table, Path(folder, TAGS_NAME))
        return read_tags(Path(folder, TAGS_NAME), cache=False).select_tracks(table.track_ids)


def _embed_labels(data: TrainingData, source: WordVectors | AnyPath) -> LabelVectors:
    """Return the labels' vectors for the semantic loss, with a warning that names the labels without one."""
    vectors = source if isinstance(source, WordVectors) else read_vectors(source)
    found = embed_labels(data.space, vectors, data.tag_counts)
    if len(found.missing) == len(data.space):
        raise FolksongError(f"{found.source}: it has a vector for none of the {len(data.space)} labels")
    if found.missing:
        logger.warning(
            "%d of %d labels have no vector in %s; they count as in plain cross-entropy: %s",
            len(found.missing), len(data.space), found.source, ", ".join(map(repr, found.missing)),
        )  # fmt: skip
    return found


@dataclass(frozen=True, eq=False)
class LabelVectors:
    """What labels mean, for the semantic loss.

    Args:
        vectors: (n_labels, dimension) float32, rows of length 1; zeros for a label that has none.
        missing: names of the labels without a vector.
        source: what the vectors came from.
        sha256: hash of that source.
    """

    vectors: npt.NDArray[np.float32]
    missing: tuple[str, ...]
    source: str
    sha256: str


def embed_labels(
    space: LabelSpace, vectors: WordVectors, counts: Mapping[str, int] | None = None
) -> LabelVectors:
    """Give each label the mean of its tags' unit vectors, weighted by their counts and scaled to length 1.

    Without a count for any tag of a label, its tags weigh equally.
    """
    tags = list(dict.fromkeys(tag for label in space.labels for tag in label.tags))
    embedded = embed_tags(tags, vectors)
    row_of = {tag: row for row, tag in enumerate(embedded.tags)}
    means = np.zeros((len(space), embedded.vectors.shape[1]), np.float64)
    for number, label in enumerate(space.labels):
        known = [tag for tag in label.tags if tag in row_of]
        weights = np.array([(counts or {}).get(tag, 0) for tag in known], np.float64)
        if not weights.any():
            weights = np.ones(len(known))
        if known:
            means[number] = weights @ embedded.vectors[[row_of[tag] for tag in known]]
    lengths = np.linalg.norm(means, axis=1)
    found = lengths > 0
    means[found] /= lengths[found, None]
    missing = tuple(name for name, has in zip(space.names, found, strict=True) if not has)
    return LabelVectors(means.astype(np.float32), missing, embedded.source, embedded.sha256)


def _check_and_describe(
    front_end: str,
    data: TrainingData,
    config: Config,
    processes: Processes,
    label_vectors: LabelVectors | None,
) -> dict[str, Any]:
    """Check that the training can begin, and return what goes into the run's config.json."""
    network = build_head(data, config) if front_end == EMBEDDINGS else build_tagger(front_end, data, config)
    if front_end == EMBEDDINGS:
        facts = describe_embeddings(data)
    else:
        batches = build_batches(data, config, processes, config.data.batch_size * processes.world_size)
        check_warmup(config.schedule, config.schedule.epochs * batches.steps_per_epoch)
        facts = _describe_audio(data, config)
    return {
        "folksong": version("folksong"),
        "front_end": front_end,
        "tagger": network.settings,
        **facts,
        "shards": {
            "folder": os.fspath(data.reader.folder.absolute()),
            "n_tracks": len(data.reader),
            "manifest_sha256": sha256_of_records(data.reader),
        },
        "tags": {
            "path": config.data.tags,
            "database": config.data.database,
            "min_weight": config.data.min_weight,
            "table_sha256": data.table_sha256,
        },
        "keep_unlabelled": config.data.keep_unlabelled,
        "parts": data.counts(),
        "label_vectors": None
        if label_vectors is None
        else {
            "source": label_vectors.source,
            "sha256": label_vectors.sha256,
            "missing": list(label_vectors.missing),
        },
        "labels_sha256": data.space.sha256(),
        "split_sha256": data.split.sha256(),
        "settings": config.to_dict(),
        "processes": processes.world_size,
    }


def _describe_audio(data: TrainingData, config: Config) -> dict[str, Any]:
    manifest, seconds = data.shards.manifest, config.data.window_seconds
    return {
        "audio": {
            "audio_format": manifest.audio_format,
            "sample_rate": manifest.sample_rate,
            "preset": None if manifest.preset is None else manifest.preset.to_dict(),
            "window_seconds": seconds,
            "window_steps": manifest.steps(seconds),
        }
    }


def _new_folder(log_dir: str, front_end: str) -> Path:
    """Return a folder that is not there yet, named by the time."""
    parent = Path(log_dir).expanduser()
    name = f"{front_end}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [parent / name, *(parent / f"{name}-{number}" for number in range(2, 100))]
    return next(folder for folder in candidates if not folder.exists())
