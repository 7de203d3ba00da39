"""A tagger as a folder of two files: ``model.safetensors`` (weights) and ``model.json`` (everything else).

``model.json`` holds the labels with their tags, thresholds where they were tuned, the network's sizes, the audio's
sample rate, window and feature preset, and the hashes of what the tagger was made from and of the weights.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.audio.log_mel import FeaturePreset
from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, read_document, sha256_file, write_json
from folksong.labels.space import LabelSpace, read_label, write_label
from folksong.models.checkpoint import load_model
from folksong.models.tagger import Tagger
from folksong.prediction.thresholds import stored_thresholds
from folksong.runs import Run

FORMAT = "folksong.model"
VERSION = 1
DESCRIPTION_NAME = "model.json"
WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """What an exported folder holds.

    Args:
        tagger: the network, in evaluation mode.
        labels: its outputs, in order.
        sample_rate: Hz.
        preset: how spectrograms are computed; None for waveforms.
        window_seconds: length of the windows it was trained on.
        thresholds: (n_labels,), if they were tuned.
        made_from: hashes of labels, split, tags and shards, and versions.
    """

    tagger: Tagger
    labels: LabelSpace
    sample_rate: int
    preset: FeaturePreset | None
    window_seconds: float
    thresholds: npt.NDArray[np.float64] | None
    made_from: dict[str, Any]


def export_folder(run: Run, folder: str | os.PathLike[str]) -> Path:
    """Write a run's best tagger as safetensors and JSON; the JSON last.

    Raises:
        FolksongError: safetensors is not installed, or the run has no checkpoint.
    """
    tuned = stored_thresholds(run)
    made_from = {
        "folksong": run.config["folksong"],
        "labels_sha256": run.labels.sha256(),
        "split_sha256": run.split.sha256(),
        "tags_sha256": run.config["tags"]["table_sha256"],
        "shards_sha256": run.config["shards"]["manifest_sha256"],
        "checkpoint_sha256": sha256_file(run.best_checkpoint) if run.best_checkpoint.exists() else None,
    }
    return write_folder(
        folder,
        load_model(run),
        audio={
            "sample_rate": run.sample_rate,
            "window_seconds": run.window_seconds,
            "preset": None if run.preset is None else run.preset.to_dict(),
        },
        thresholds=None if tuned is None else tuned.array(run.labels.names),
        made_from=made_from,
    )


def write_folder(
    folder: str | os.PathLike[str],
    tagger: Tagger,
    *,
    audio: dict[str, Any],
    thresholds: npt.NDArray[np.float64] | None = None,
    made_from: dict[str, Any] | None = None,
) -> Path:
    """Write a tagger that has a label space; see `export_folder`.

    Args:
        folder: where to.
        tagger: the network.
        audio: ``sample_rate`` in Hz, ``window_seconds``, and ``preset`` as a dict or None.
        thresholds: (n_labels,).
        made_from: hashes to keep.
    """
    safetensors = _safetensors()
    if tagger.labels is None:
        raise FolksongError("a tagger without a label space cannot be exported")
    path = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tagger.state_dict().items()}
    with atomic_path(path / WEIGHTS_NAME) as temporary:
        safetensors.save_file(tensors, temporary, metadata={"format": "pt"})
    values = [None] * len(tagger.labels) if thresholds is None else np.asarray(thresholds).tolist()
    description = {
        "format": FORMAT,
        "version": VERSION,
        "tagger": tagger.settings,
        "audio": audio,
        "labels": [
            {**write_label(label), "threshold": value}
            for label, value in zip(tagger.labels.labels, values, strict=True)
        ],
        "aliases": dict(tagger.labels.aliases),
        "made_from": made_from or {},
        "weights_sha256": sha256_file(path / WEIGHTS_NAME),
    }
    write_json(path / DESCRIPTION_NAME, description)
    return path


def is_exported(folder: str | os.PathLike[str]) -> bool:
    """Say whether a folder holds an exported model."""
    return (Path(folder) / DESCRIPTION_NAME).is_file()


def read_folder(folder: str | os.PathLike[str]) -> ExportedModel:
    """Read what `export_folder` wrote.

    Raises:
        FolksongError: the folder, or safetensors, is missing.
        FileFormatError: a file is damaged, or the weights are not those that the description names.
    """
    path = Path(folder)
    if not is_exported(path):
        raise FolksongError(f"{path}: no exported model here (it has no {DESCRIPTION_NAME})")
    content = read_document(
        path / DESCRIPTION_NAME,
        FORMAT,
        VERSION,
        "the description of an exported model",
        "export the run again",
    )
    try:
        labels = LabelSpace(
            tuple(read_label(entry, number) for number, entry in enumerate(content["labels"])),
            content["aliases"],
        )
        values = [entry["threshold"] for entry in content["labels"]]
        tagger = Tagger.from_settings(content["tagger"], labels)
        audio = content["audio"]
        preset = None if audio["preset"] is None else FeaturePreset.from_dict(audio["preset"])
        wanted, made_from = content["weights_sha256"], content["made_from"]
        rate, seconds = int(audio["sample_rate"]), float(audio["window_seconds"])
    except (KeyError, TypeError) as error:
        raise FileFormatError(
            f"{path / DESCRIPTION_NAME}: damaged ({type(error).__name__}: {error})"
        ) from error
    _load_weights(tagger, path / WEIGHTS_NAME, wanted)
    thresholds = None if None in values else np.array(values, np.float64)
    return ExportedModel(tagger.eval(), labels, rate, preset, seconds, thresholds, made_from)


def _load_weights(tagger: Tagger, path: Path, sha256: str) -> None:
    if not path.is_file():
        raise FolksongError(f"{path}: no such file; it belongs beside {DESCRIPTION_NAME}")
    if sha256_file(path) != sha256:
        raise FileFormatError(
            f"{path}: not the weights that {DESCRIPTION_NAME} describes; export the model again"
        )
    try:
        tagger.load_state_dict(_safetensors().load_file(path))
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(
            f"{path}: not weights of the network that {DESCRIPTION_NAME} describes"
        ) from error


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise FolksongError(
            'exported models need the package safetensors, which is not installed: pip install "folksong[export]"'
        ) from None
    return safetensors.torch
