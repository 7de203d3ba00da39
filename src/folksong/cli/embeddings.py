"""``folksong embeddings`` and ``models``: recordings as vectors, by networks that others trained or from anywhere."""

from typing import Any, Literal

import click

from folksong.cli.command import File, Folder, FolksongGroup
from folksong.errors import counted


@click.group(cls=FolksongGroup)
def embeddings() -> None:
    """Recordings as vectors (embeddings), from which a light head learns any labels."""


@embeddings.command(of="prediction.embed_audio:embed_audio", resumable="What was done is kept")
def extract(audio: File, out: Folder, *, model: str, **settings: Any) -> None:
    """Write the embeddings of AUDIO, a folder of recordings or a track list (CSV), into the folder OUT.

    Broken recordings are named and left out. Given again, the command hears what is new or has changed, and goes on
    where it was stopped; given several times at once, it shares the work.

    Example:
      folksong embeddings extract music/ features/msd --model musicnn-msd

    Args:
        model: statistics (the control: no network), musicnn-mtt, musicnn-msd, vgg-mtt, vgg-msd, onnx:FILE, or several
            joined by +.
        weights (WHEEL|FOLDER): The wheel of musicnn 0.1.0, or the folder it was unpacked into.
            [default: what `folksong models fetch musicnn` keeps]
        layer: Where in the network.  [default: features (musicnn), pool3+pool4+pool5 (vgg)]
        pool: Over frames and windows.  [default: mean+max; of ONNX, mean]
    """
    from folksong.prediction.embed_audio import embed_audio

    written = embed_audio(audio, out, model, **settings)
    click.echo(f"{out}: {counted(len(written), 'embedding')} of {written.space}")


@embeddings.command("import", of="embeddings.import_embeddings:import_embeddings")
def import_(
    source: File, out: Folder, *, revision: str | None = None, licence: str | None = None,
    sample_rate: int | None = None, **settings: Any,
) -> None:  # fmt: skip
    """Bring embeddings of any origin into the folder OUT.

    SOURCE is a .npy with a file of ids, a .npz, a folder of one .npy a track, Parquet with a column of lists, or CSV or
    ARFF of features. Columns of 0 and 1 of a table are labels: OUT keeps them as its own tags.

    Example:
      folksong embeddings import mert.npy features/mert --layer 7 --pool mean+std --model MERT-v1-95M
      folksong embeddings import CAL500.arff features/cal500

    Args:
        ids (FILE): Of .npy: the rows' track ids: text, JSON or a table.  [default: a file of its name beside it]
        column (NAME): Of Parquet: the column of lists, where there are several.
        layer (N): Of arrays (layers, time, numbers): which layer, from 0.
        pool: Of arrays (time, numbers): how a track becomes one vector.
        tracks (FILE): The tracks that are wanted: others are named and left out, missing ones counted.
        model (NAME): What made them.  [default: SOURCE's name]
        revision (TEXT): Its version.
        licence (TEXT): Of its weights.
        sample_rate (HZ): Of the samples that it heard.
    """
    from folksong.embeddings.import_embeddings import import_embeddings

    space: dict[str, Any] = {"revision": revision, "licence": licence, "sample_rate": sample_rate}
    written = import_embeddings(source, out, **settings, **space)
    click.echo(f"{out}: {counted(len(written), 'embedding')} of {written.space}")


@embeddings.command
def join(folders: tuple[File, ...], *, out: Folder) -> None:
    """Put embeddings of the same recordings side by side, as if one extractor A+B had made them.

    Tracks that all FOLDERS have are kept; a head then hears each of them alike, however many numbers it has.

    Example:
      folksong embeddings join features/musicnn-mtt features/vgg-mtt --out features/both

    Args:
        out (FOLDER): The folder to write.
    """
    from folksong.embeddings.store import join_embeddings

    written = join_embeddings(folders, out)
    click.echo(f"{out}: {counted(len(written), 'embedding')} of {written.space}")


@click.group(cls=FolksongGroup)
def models() -> None:
    """Weights of networks that others trained."""


@models.command
def fetch(package: Literal["musicnn"]) -> None:
    """Get the weights of musicnn and vgg through pip (29 MB, ISC licence), check their SHA-256, and keep them.

    The package is not installed: four networks are read out of its wheel (musicnn-mtt, musicnn-msd, vgg-mtt, vgg-msd).

    Example:
      folksong models fetch musicnn
    """
    from folksong.models.pretrained.weights import fetch_weights

    click.echo(f"{package}: {fetch_weights()}")
