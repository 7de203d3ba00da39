"""``folksong config``: settings of a training."""

from __future__ import annotations

import click

from folksong.cli.common import FolksongCommand, FolksongGroup


@click.group(cls=FolksongGroup)
def config() -> None:
    """Settings of a training: write a template, check a file."""


@config.command(cls=FolksongCommand)
@click.argument("path", type=click.Path(), default="config.json")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(path: str, force: bool) -> None:
    """Write a commented template with every key at its default to PATH (a file, or a folder for config.json).

    \b
    Example:
      folksong config init
      folksong train waveform --config config.json --tfrecords-dir shards/wave
    """
    from folksong.training.config import write_config_template

    click.echo(f"wrote {write_config_template(path, overwrite=force)}")


@config.command(cls=FolksongCommand)
@click.argument("path", type=click.Path(), default="config.json")
def check(path: str) -> None:
    """Read PATH as `folksong train --config` would, and print all settings that follow from it.

    \b
    Example:
      folksong config check config.json
    """
    import json

    from folksong.training.config import Config

    click.echo(json.dumps(Config.read(path).to_dict(), indent=2))
