"""``folksong embeddings``: recordings as vectors, by networks that others trained or from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from folksong.cli.common import FolksongCommand, FolksongGroup, wants_progress

if TYPE_CHECKING:
    from folksong.models.pretrained.pooling import Pool


@click.group(cls=FolksongGroup)
def embeddings() -> None:
    """Recordings as vectors (embeddings), from which a light head learns any labels."""


@embeddings.command(cls=FolksongCommand)
@click.argument("audio", type=click.Path())
@click.argument("out", type=click.Path(file_okay=False))
@click.option(
    "--model",
    required=True,
    help="statistics (the control: no network), musicnn-mtt, musicnn-msd, vgg-mtt, vgg-msd, onnx:FILE, or several "
    "joined by +.",
)
@click.option(
    "--weights",
    type=click.Path(),
    metavar="WHEEL|FOLDER",
    help="The wheel of musicnn 0.1.0, or the folder it was unpacked into.  [default: what `folksong models fetch "
    "musicnn` keeps]",
)
@click.option("--layer", help="Where in the network.  [default: features (musicnn), pool3+pool4+pool5 (vgg)]")
@click.option(
    "--pool",
    type=click.Choice(["mean", "max", "mean+max", "mean+std"]),
    help="Over frames and windows.  [default: mean+max; of ONNX, mean]",
)
@click.option("--jobs", type=int, default=-1, show_default=True, help="Processes; -1 is one a core.")
def extract(
    audio: str, out: str, model: str, weights: str | None, layer: str | None, pool: Pool | None, jobs: int
) -> None:
    """Write the embeddings of AUDIO, a folder of recordings or a track list (CSV), into the folder OUT.

    Broken recordings are named and left out. What was stopped goes on with the same command.

    \b
    Example:
      folksong embeddings extract music/ features/msd --model musicnn-msd
    """
    from folksong.prediction.embed_audio import embed_audio

    written = embed_audio(
        audio, out, model, weights=weights, layer=layer, pool=pool, jobs=jobs, progress=wants_progress()
    )
    click.echo(f"wrote {len(written)} embeddings of {written.space} to {out}")
