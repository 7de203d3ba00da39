"""A new training: from shards to a run."""

import logging
import os
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from folksong.embeddings.read_vectors import read_vectors
from folksong.embeddings.store import EMBEDDINGS
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError, some_of
from folksong.files import atomic_write, sha256_file
from folksong.labels.space import LabelSpace
from folksong.labels.top import drop
from folksong.models.hardware import choose_precision
from folksong.runs import LABEL_VECTORS_NAME, TAGS_NAME, Run, begin_folder, refuse_foreign
from folksong.splits import Split
from folksong.stores import absolute
from folksong.tags.sources.read_tags import read_tags, write_tags
from folksong.tags.table import TagTable
from folksong.training.batches import TrainingBatches
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
from folksong.training.label_vectors import LabelVectors, joint_settings, semantic_vectors, tag_side
from folksong.training.loop import build_tagger, run_training
from folksong.training.schedule import check_warmup
from folksong.training.train_head import build_head, describe_embeddings, finish_head

logger = logging.getLogger(__name__)

AnyPath = str | os.PathLike[str]


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
        vectors: word vectors, or where to read them: for the joint space, or for the semantic loss, which they imply.
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
    if changes.get("decisions") is not None:
        changes["decisions"] = Path(changes["decisions"]).absolute()
    settings = settings.with_changes(**changes)
    if settings.loss.kind == "ridge" and front_end != EMBEDDINGS:
        raise FolksongError("ridge is a closed form for embeddings; networks learn by contrastive or hinge")
    if settings.loss.chosen == "semantic" and settings.loss.vectors is None:
        raise FolksongError("the semantic loss needs word vectors; none are named")

    inputs = _Inputs(front_end, shards, out, labels, tags, split, vectors)
    if front_end == EMBEDDINGS:
        run, data, config = _begin(inputs, settings, Processes())
        return finish_head(run, data, config)
    return run_training(partial(_begin, inputs, settings), settings, progress=progress)


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
    refuse_foreign(folder)
    reader = open_records(given.shards, given.front_end, config.data)
    own = given.tags if isinstance(given.tags, TagTable) else None
    table = read_record_tags(
        reader,
        config.data.tags if own is None else own,
        database=config.data.database,
        min_weight=config.data.min_weight,
        decisions=config.data.decisions,
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
    if (
        config.model.head == "joint"
        and config.loss.vectors is not None
        and Path(config.loss.vectors).exists()
    ):
        config = config.with_changes(vectors=Path(config.loss.vectors).absolute())  # new tags need them
    vectors = given.vectors if isinstance(given.vectors, WordVectors) else config.loss.vectors
    if config.model.head == "joint":
        data, label_vectors = _with_tag_side(data, table, config, vectors, own_labels=given.labels is None)
    elif vectors is not None:
        label_vectors = semantic_vectors(data, vectors)
    description = _check_and_describe(given.front_end, data, config, processes, label_vectors)
    begin_folder(folder)
    if own is not None:
        write_tags(table, folder / TAGS_NAME)
    if label_vectors is not None:
        with atomic_write(folder / LABEL_VECTORS_NAME) as stream:
            np.save(stream, label_vectors.vectors, allow_pickle=False)
        description["label_vectors_sha256"] = sha256_file(folder / LABEL_VECTORS_NAME)
    return Run.create(folder, description, data.space, data.split), data, config


def _as_stored(table: TagTable) -> TagTable:
    """Return the table as a reader of the run's own copy will find it."""
    with TemporaryDirectory() as folder:
        write_tags(table, Path(folder, TAGS_NAME))
        return read_tags(Path(folder, TAGS_NAME), cache=False).select_tracks(table.track_ids)


def _with_tag_side(
    data: TrainingData,
    table: TagTable,
    config: Config,
    vectors: WordVectors | AnyPath | None,
    *,
    own_labels: bool,
) -> tuple[TrainingData, LabelVectors]:
    """Return the data and what their labels are known by; of labels made here, those that are known."""
    words = vectors if isinstance(vectors, WordVectors) or vectors is None else read_vectors(vectors)
    for _ in range(2):
        found = tag_side(data, words, config.model.tag_side, config.runtime.seed)
        if not found.missing:
            break
        what = "are left out" if own_labels else "score alike"
        logger.warning(
            "%d of %d labels have no vector and %s: %s",
            len(found.missing), len(data.space), what, some_of(map(repr, found.missing), 10),
        )  # fmt: skip
        if not own_labels:
            break
        space = drop(data.space, found.missing)
        data = prepare(data.reader, table, config, labels=space, split=data.split)
    return data, found


def _check_and_describe(
    front_end: str,
    data: TrainingData,
    config: Config,
    processes: Processes,
    label_vectors: LabelVectors | None,
) -> dict[str, Any]:
    """Check that the training can begin, and return what goes into the run's config.json."""
    joint = None if label_vectors is None else joint_settings(config, label_vectors)
    build = build_head if front_end == EMBEDDINGS else partial(build_tagger, front_end)
    network = build(data, config, joint)
    if front_end == EMBEDDINGS:
        facts = describe_embeddings(data)
    else:
        batch_size = config.data.batch_size * processes.world_size
        batches = TrainingBatches(data, config, batch_size, processes)
        check_warmup(config.schedule, config.schedule.epochs * batches.steps_per_epoch)
        facts = _describe_audio(data, config)
    return {
        "folksong": version("folksong"),
        "front_end": front_end,
        "tagger": network.settings,
        **facts,
        "shards": {
            "folder": absolute(data.reader.folder),
            "n_tracks": len(data.reader),
            "manifest_sha256": sha256_of_records(data.reader),
        },
        "tags": {
            "path": config.data.tags,
            "database": config.data.database,
            "min_weight": config.data.min_weight,
            "decisions": config.data.decisions,
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
