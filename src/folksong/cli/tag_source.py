"""How commands read a tag source: by its content alone, or with the options of ``folksong tags import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import Command, ManyValues, echo_json, echo_table

if TYPE_CHECKING:
    from folksong.tags.table import TagTable


IMPORT_OPTIONS = (
    click.option(
        "--min-weight", type=float, metavar="T",
        help="Keep the tags with a weight greater than T (last.fm: 0 to 100).  [default: keep all, weight 0 included]",
    ),
    click.option(
        "--format", "source_format",
        type=click.Choice(["lastfm", "long", "wide", "ragged", "folders", "dumps", "library"]),
        help="What the source is.  [default: look at its content]",
    ),
    click.option("--category", metavar="NAME", help="Only tags of this category, by name: genre of genre---rock."),
    click.option(
        "--fields", cls=ManyValues, multiple=True, metavar="FIELD...",
        help="Music library: of genre, mood and grouping.  [default: all three]",
    ),
    click.option(
        "--separators", metavar="CHARS",
        help="What parts several tags within one cell or field.  [default: ;/ in a music library]",
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

MOST_SHOWN = 60
"""So many characters of a tag are shown in a table."""
json_option = click.option("--json", "form", flag_value="json", help="Print JSON.")
csv_option = click.option("--csv", "form", flag_value="csv", help="Print CSV.")


def import_options(command: Command) -> Command:
    """Add the options of ``tags import``; it passes them on as ``read_source(path, **options)``."""
    for option in reversed(IMPORT_OPTIONS):
        command = option(command)
    return command


def read_source(
    path: str, *, source_format: str | None = None, category: str | None = None, **options: Any
) -> TagTable:
    """Read a tag table."""
    from folksong.tags.sources.read_tags import read_tags, select_category

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


def echo_rows(
    form: str | None,
    rows: list[tuple[Any, ...]],
    names: tuple[str, ...],
    headers: tuple[str, ...] | None = None,
    **table: Any,
) -> None:
    """Print rows as a JSON list of objects or as CSV, both by `names`, or as a table under `headers`."""
    if form == "json":
        echo_json([dict(zip(names, row, strict=True)) for row in rows])
    elif form == "csv":
        echo_csv(rows, names)
    else:
        shown = [
            tuple(f"{cell:.{MOST_SHOWN}}" if isinstance(cell, str) else cell for cell in row) for row in rows
        ]
        echo_table(shown, headers or names, **table)


def echo_csv(rows: Any, headers: tuple[str, ...]) -> None:
    """Print rows as CSV with a header."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)
