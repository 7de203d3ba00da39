"""``folksong export``: a trained tagger for use elsewhere."""

from __future__ import annotations

import click

from folksong.cli.common import FolksongCommand, FolksongGroup, OutputFile


@click.group(cls=FolksongGroup)
def export() -> None:
    """A trained tagger for use elsewhere: safetensors and JSON, ONNX, or from a Keras model."""


@export.command(cls=FolksongCommand)
@click.argument("run", type=click.Path())
@click.argument("folder", type=click.Path(file_okay=False))
def safetensors(run: str, folder: str) -> None:
    """Write RUN's best tagger into FOLDER: weights as safetensors, all else (labels, thresholds, preset) as JSON.

    \b
    Example:
      folksong export safetensors runs/mel models/mel
    """
    from folksong.export.folder import export_folder
    from folksong.runs import Run

    click.echo(f"wrote {export_folder(Run.open(run), folder)}")


@export.command(cls=FolksongCommand)
@click.argument("run", type=click.Path())
@click.argument("path", type=OutputFile())
def onnx(run: str, path: str) -> None:
    """Write RUN's best tagger to PATH as one ONNX graph: waveform in, label scores out, log-mel included.

    \b
    Example:
      folksong export onnx runs/mel mel.onnx
    """
    from folksong.export.onnx import export_onnx
    from folksong.runs import Run

    click.echo(f"wrote {export_onnx(Run.open(run), path)}")


@export.command(cls=FolksongCommand)
@click.argument("model", type=click.Path())
@click.argument("folder", type=click.Path(file_okay=False))
@click.option(
    "--labels", type=click.Path(), required=True, help="Its outputs, in order: a *.labels.json file."
)
@click.option("--preset", default="urop2019", show_default=True, help="Features of a log-mel model.")
@click.option(
    "--window", "window_seconds", type=float, default=15.0, show_default=True, help="Its window in seconds."
)
@click.option("--sr", "sample_rate", type=click.IntRange(1), default=16000, show_default=True, help="Hz.")
def keras(model: str, folder: str, labels: str, preset: str, window_seconds: float, sample_rate: int) -> None:
    """Turn MODEL of the earlier project, a Keras HDF5 file or a TensorFlow checkpoint's index, into an exported folder.

    \b
    Example:
      folksong export keras mymodel.h5 models/old --labels top50.labels.json
      folksong export keras epoch3-1.index models/old --labels top50.labels.json
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
