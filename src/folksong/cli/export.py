"""``folksong export``: a trained tagger for use elsewhere."""

from __future__ import annotations

import click

from folksong.cli.command import Count, File, Folder, FolksongGroup, Output, Positive


@click.group(cls=FolksongGroup)
def export() -> None:
    """A trained tagger for use elsewhere: safetensors and JSON, ONNX, or from a Keras model."""


@export.command
def safetensors(run: File, folder: Folder) -> None:
    """Write RUN's best tagger into FOLDER: weights as safetensors, all else (labels, thresholds, preset) as JSON.

    \b
    Example:
      folksong export safetensors runs/mel models/mel
    """
    from folksong.export.folder import export_folder
    from folksong.runs import Run

    click.echo(f"wrote {export_folder(Run.open(run), folder)}")


@export.command
def onnx(run: File, path: Output) -> None:
    """Write RUN's best tagger to PATH as one ONNX graph: waveform in, label scores out, log-mel included.

    \b
    Example:
      folksong export onnx runs/mel mel.onnx
    """
    from folksong.export.onnx import export_onnx
    from folksong.runs import Run

    click.echo(f"wrote {export_onnx(Run.open(run), path)}")


@export.command
def keras(
    model: File, folder: Folder, *, labels: File, preset: str = "urop2019", window_seconds: Positive = 15.0,
    sample_rate: Count = 16000,
) -> None:  # fmt: skip
    """Turn MODEL, a Keras HDF5 file of the earlier project, into an exported folder.

    \b
    Example:
      folksong export keras mymodel.h5 models/old --labels top50.labels.json

    Args:
        labels: Its outputs, in order: a *.labels.json file.
        preset: Features of a log-mel model.
        window_seconds (--window): Its window in seconds.
    """
    from folksong.export.keras_file import import_keras
    from folksong.labels.space import LabelSpace

    written = import_keras(
        model,
        folder,
        LabelSpace.read(labels),
        preset=preset,
        window_seconds=window_seconds,
        sample_rate=sample_rate,
    )
    click.echo(f"wrote {written}")
