"""The options that say how a tag source is read: the same for every command that takes one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import Command, ManyValues

if TYPE_CHECKING:
    from folksong.tags.table import TagTable


_OPTIONS = (
    click.option(
        "--min-weight", type=float, metavar="T",
        help="Keep the tags with a weight greater than T (last.fm: 0 to 100).  [default: keep all, weight 0 included]",
    ),
    click.option(
        "--format", "source_format", type=click.Choice(["lastfm", "long", "wide", "folders", "dumps", "library"]),
        help="What the source is.  [default: look at its content]",
    ),
    click.option("--category", metavar="NAME", help="Only tags of this category, by name: genre of genre---rock."),
    click.option(
        "--fields", cls=ManyValues, multiple=True, metavar="FIELD...",
        help="Music library: of genre, mood and grouping.  [default: all three]",
    ),
    click.option(
        "--separators", metavar="CHARS", help="Music library: what parts tags within one value.  [default: ;/]"
    ),
    click.option(
        "--categories", is_flag=True, default=None, help="Music library: write a tag's field before it (mood---dark)."
    ),
    click.option("--cache/--no-cache", default=None, help="Keep a binary copy beside it.  [default: from 32 MiB]"),
    click.option("--track-column", metavar="NAME", help="Delimited files: the column of track ids."),
    click.option("--tag-column", metavar="NAME", help="Delimited files: the column of tags."),
    click.option("--weight-column", metavar="NAME", help="Delimited files: the column of weights."),
    click.option("--separator", metavar="CHAR", help="Delimited files: what is between cells."),
    click.option("--encoding", metavar="NAME", help="Delimited files: the text's encoding.  [default: utf-8]"),
    click.option("--quotes/--no-quotes", default=None, help="Delimited files: whether cells may be quoted."),
)  # fmt: skip


def tag_source_options(command: Command) -> Command:
    """Add the options of a tag source; the command passes them on as ``read_source(path, **options)``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_source(
    path: str, *, source_format: str | None = None, category: str | None = None, **options: Any
) -> TagTable:
    """Read the tag table that the user's options describe."""
    from folksong.tags.sources.categories import select_category
    from folksong.tags.sources.read_tags import read_tags

    given = {name: value for name, value in options.items() if value not in (None, ())}
    table = read_tags(path, format=source_format, **given)
    return table if category is None else select_category(table, category)


def read_aliases(source: str, changes: str | None, table: TagTable) -> dict[str, str]:
    """Return raw tag -> cleaned tag from the change log beside a cleaned source, or the one that is named."""
    from folksong.tags.cleaning.change_log import ChangeLog, changes_path

    path = changes_path(source) if changes is None else Path(changes)
    if changes is None and not path.is_file():
        return {}
    return ChangeLog.read(path).aliases(table.tags)


def read_track_list(path: str) -> tuple[str, ...]:
    """Read a list of track ids: plain text, one a line."""
    from folksong.tags.tag_lists import read_tag_list

    return read_tag_list(path)


def echo_json(value: Any) -> None:
    """Print a value as indented JSON."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def echo_csv(rows: Any, headers: tuple[str, ...]) -> None:
    """Print rows as CSV with a header."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)
