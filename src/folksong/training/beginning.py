"""What a training begins with: the shards, the network, and the description that its run keeps."""

from __future__ import annotations

import logging
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from folksong.embeddings.read_vectors import read_vectors
from folksong.errors import FolksongError
from folksong.files import sha256_file
from folksong.labels.label_vectors import LabelVectors, embed_labels
from folksong.models.front_ends import FRONT_ENDS, LOG_MEL
from folksong.models.tagger import Tagger
from folksong.shards.manifest import MANIFEST_NAME
from folksong.shards.reader import ShardReader
from folksong.training.config import Config, RecordSettings
from folksong.training.data import TrainingData
from folksong.training.options import TrainingOptions

logger = logging.getLogger(__name__)

LABEL_VECTORS_NAME = "label_vectors.npy"  # in the run's folder, for the semantic loss


def open_shards(folder: str | os.PathLike[str], front_end: str, records: RecordSettings) -> ShardReader:
    """Open the shards and check that they hold what the front-end takes and the settings say."""
    if front_end not in FRONT_ENDS:
        Tagger(front_end, 1)  # says so
    reader = ShardReader(folder)
    manifest = reader.manifest
    if manifest.audio_format != front_end:
        raise FolksongError(
            f"{folder}: the shards hold {manifest.audio_format}, the front-end takes {front_end}; train "
            f"{manifest.audio_format}, or write shards with `--format {front_end}`"
        )
    n_mels = reader.n_mels if front_end == LOG_MEL else None
    for name, found in (("n_mels", n_mels), ("sample_rate", manifest.sample_rate)):
        wanted = getattr(records, name)
        if wanted is not None and found is not None and wanted != found:
            raise FolksongError(
                f"the settings say tfrecords.{name} {wanted}, but the shards in {folder} have {found}; "
                "correct the settings, or leave the key out"
            )
    if not len(reader):
        raise FolksongError(f"{folder}: the shards hold no tracks")
    return reader


def build_tagger(front_end: str, data: TrainingData, settings: Config, seed: int) -> Tagger:
    """Return a new tagger for the data, whose first weights depend on the seed only.

    Raises:
        FolksongError: the window is too short for the network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tagger = Tagger(
            front_end,
            data.space,
            n_mels=data.reader.n_mels if front_end == LOG_MEL else 96,
            n_filters=settings.model.n_filters,
            n_dense_units=settings.model.n_dense_units,
        )
    steps = data.reader.manifest.steps(settings.training.window_length)
    if steps < tagger.minimum_steps:
        unit = "frames" if front_end == LOG_MEL else "samples"
        raise FolksongError(
            f"a window of {settings.training.window_length:g} s has {steps} {unit}; the {front_end} front-end needs "
            f"at least {tagger.minimum_steps}: make window_length longer"
        )
    return tagger


def read_label_vectors(
    data: TrainingData, source: str | os.PathLike[str], *, progress: bool = False
) -> LabelVectors:
    """Return the labels' vectors for the semantic loss, with a warning that names the labels without one.

    Raises:
        FolksongError: the source cannot be read, or no label has a vector.
    """
    found = embed_labels(data.space, read_vectors(source, progress=progress), data.tag_counts)
    if len(found.missing) == len(data.space):
        raise FolksongError(f"{source}: it has a vector for none of the {len(data.space)} labels")
    if found.missing:
        logger.warning(
            "%d of %d labels have no vector in %s; they count as in plain cross-entropy: %s",
            len(found.missing), len(data.space), found.source, ", ".join(map(repr, found.missing)),
        )  # fmt: skip
    return found


def describe_run(
    front_end: str,
    data: TrainingData,
    settings: Config,
    options: TrainingOptions,
    tagger: Tagger,
    label_vectors: LabelVectors | None = None,
) -> dict[str, Any]:
    """Return what goes into the run's config.json."""
    reader = data.reader
    manifest = reader.manifest
    seconds = settings.training.window_length
    return {
        "folksong": version("folksong"),
        "front_end": front_end,
        "tagger": tagger.settings,
        "audio": {
            "audio_format": manifest.audio_format,
            "sample_rate": manifest.sample_rate,
            "preset": None if manifest.preset is None else manifest.preset.to_dict(),
            "window_seconds": seconds,
            "window_steps": manifest.steps(seconds),
        },
        "shards": {
            "folder": os.fspath(reader.folder.absolute()),
            "n_tracks": len(reader),
            "manifest_sha256": sha256_file(reader.folder / MANIFEST_NAME),
        },
        "tags": {
            "path": options.tags,
            "database": options.database,
            "min_weight": options.min_weight,
            "table_sha256": data.table_sha256,
        },
        "keep_unlabelled": options.keep_unlabelled,
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
        "settings": settings.to_dict(),
        "options": options.to_dict(),
    }


def new_folder(log_dir: str, front_end: str) -> Path:
    """Return a folder that is not there yet, named by the time."""
    parent = Path(log_dir).expanduser()
    name = f"{front_end}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [parent / name, *(parent / f"{name}-{number}" for number in range(2, 100))]
    return next(folder for folder in candidates if not folder.exists())
