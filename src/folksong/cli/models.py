"""``folksong models``: weights of networks that others trained."""

from __future__ import annotations

import click

from folksong.cli.common import FolksongCommand, FolksongGroup


@click.group(cls=FolksongGroup)
def models() -> None:
    """Weights of networks that others trained."""


@models.command(cls=FolksongCommand)
@click.argument("package", type=click.Choice(["musicnn"]))
def fetch(package: str) -> None:
    """Get the weights of musicnn and vgg through pip (29 MB, ISC licence), check their SHA-256, and keep them.

    The package is not installed: four networks are read out of its wheel (musicnn-mtt, musicnn-msd, vgg-mtt, vgg-msd).

    \b
    Example:
      folksong models fetch musicnn
    """
    from folksong.models.pretrained.weights import fetch_weights

    click.echo(f"{package}: {fetch_weights()}")
