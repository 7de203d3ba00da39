"""``folksong config``: settings of a training."""

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import click

import folksong as fs
from folksong.cli.command import File, FolksongGroup, echo_json
from folksong.cli.parameters import Entry, entries_of


@click.group(cls=FolksongGroup, invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Settings of a training: list them all, write a template, check a file.

    Without a command, prints each key with its default and what it is. `folksong train --set KEY=VALUE` takes them by
    their last word, or in full.
    """
    if ctx.invoked_subcommand:
        return
    formatter = click.HelpFormatter(width=110)
    for name, settings in fs.Config():
        formatter.write_paragraph()
        formatter.write_text(f"{name}: {(type(settings).__doc__ or '').partition(chr(10))[0]}")
        with formatter.indentation():
            formatter.write_dl(list(_keys(name, settings)))
    click.echo(formatter.getvalue().strip())


def _keys(place: str, settings: Any) -> Iterator[tuple[str, str]]:
    from folksong.training.config import Section

    entries = entries_of(type(settings).__doc__)
    for name, field in type(settings).model_fields.items():
        key, value = f"{place}.{field.alias or name}", getattr(settings, name)
        if isinstance(value, Section):
            yield from _keys(key, value)
        else:
            words = ", ".join(map(str, _choices(field.annotation)))
            text = entries.get(name, Entry()).text.replace("`", "").replace("None", "null")
            yield f"{key} = {json.dumps(value)}", text + (f" One of {words}." if words else "")


def _choices(hint: Any) -> list[Any]:
    inner = get_args(hint)
    return list(inner) if get_origin(hint) is Literal else [word for one in inner for word in _choices(one)]


@config.command
def init(path: File = "config.json", *, force: bool = False) -> None:
    """Write a commented template with every key at its default to PATH (a file, or a folder for config.json).

    Example:
      folksong config init
      folksong train waveform --config config.json --tfrecords-dir shards/wave

    Args:
        force: Replace a file that is there.
    """
    from folksong.training.config import write_config_template

    click.echo(f"wrote {write_config_template(path, overwrite=force)}")


@config.command
def check(path: File = "config.json") -> None:
    """Read PATH as `folksong train --config` would, and print all settings that follow from it.

    Example:
      folksong config check config.json
    """
    echo_json(fs.Config.read(path).to_dict())
