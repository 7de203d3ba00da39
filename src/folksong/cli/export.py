"""``folksong export``: a trained tagger for use elsewhere."""

from __future__ import annotations

from typing import Any

import click

import folksong as fs
from folksong.cli.command import File, Folder, FolksongGroup, Output


@click.group(cls=FolksongGroup)
def export() -> None:
    """A trained tagger for use elsewhere: safetensors and JSON, ONNX, or from a Keras model."""


@export.command
def safetensors(run: File, folder: Folder) -> None:
    """Write RUN's best tagger into FOLDER: weights as safetensors, all else (labels, thresholds, preset) as JSON.

    Example:
      folksong export safetensors runs/mel models/mel
    """
    from folksong.export.folder import export_folder

    click.echo(f"wrote {export_folder(fs.Run.open(run), folder)}")


@export.command
def onnx(run: File, path: Output) -> None:
    """Write RUN's best tagger to PATH as one ONNX graph: waveform in, label scores out, log-mel included.

    Example:
      folksong export onnx runs/mel mel.onnx
    """
    from folksong.export.onnx import export_onnx

    click.echo(f"wrote {export_onnx(fs.Run.open(run), path)}")


@export.command(of="export.keras_file:import_keras")
def keras(model: File, folder: Folder, *, labels: File, **settings: Any) -> None:
    """Turn MODEL of the earlier project, a Keras HDF5 file or a TensorFlow checkpoint's index, into an exported folder.

    Example:
      folksong export keras mymodel.h5 models/old --labels top50.labels.json
      folksong export keras epoch3-1.index models/old --labels top50.labels.json

    Args:
        labels: Its outputs, in order: a *.labels.json file.
        preset: Features of a log-mel model.
        window_seconds (--window): Its window in seconds.
    """
    from folksong.export.keras_file import import_keras

    click.echo(f"wrote {import_keras(model, folder, fs.LabelSpace.read(labels), **settings)}")
