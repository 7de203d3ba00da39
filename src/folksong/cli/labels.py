"""``folksong labels``: what a classifier will predict, built from tags and written as ``*.labels.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import FolksongCommand, FolksongGroup, echo_table, wants_progress
from folksong.cli.tag_source import read_aliases, read_source, tag_source_options

if TYPE_CHECKING:
    from folksong.embeddings.words import WordVectors
    from folksong.labels.coverage import Coverage
    from folksong.labels.space import LabelSpace
    from folksong.tags.table import TagTable


class SpaceFile(click.Path):
    """A file to write a label space to: one that is not there yet, or holds a label space."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from folksong.labels.space import FORMAT

        path = Path(str(super().convert(value, param, ctx)))
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as stream:
                if FORMAT.encode() not in stream.read(200):
                    self.fail(
                        f"{path} is there and holds no label space; it is left as it is, choose another name"
                    )
        return value


@click.group(cls=FolksongGroup)
def labels() -> None:
    """Label spaces: which tags become the labels that a classifier predicts."""


@labels.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=SpaceFile())
@click.option(
    "-n", "--number", type=click.IntRange(1), default=100, show_default=True, help="How many labels."
)
@click.option(
    "--split", type=click.Path(), metavar="FILE", help="Learn from the training tracks of this split only."
)
@click.option(
    "--changes", type=click.Path(), metavar="FILE",
    help="The change log of a cleaning: raw spellings find their label too.  [default: SOURCE.changes.json, if there]",
)  # fmt: skip
@tag_source_options
def top(source: str, out: str, number: int, split: str | None, changes: str | None, **options: Any) -> None:
    """Write the most popular tags of SOURCE as the label space OUT (Model 1), with its coverage.

    \b
    Example:
      folksong labels top lastfm_tags.db top100.labels.json -n 100 --split my.split.json
    """
    from folksong.labels import top as top_labels

    table, provenance = training_tracks(read_source(source, **options), split)
    aliases = read_aliases(source, changes, table)
    space = top_labels(table, number, aliases=aliases, provenance={"source": source, **provenance})
    space.write(out)
    click.echo(f"{out}: {len(space)} labels")
    echo_coverage(space, table)


@labels.command("filter", cls=FolksongCommand)
@click.argument("space", type=click.Path())
@click.argument("out", type=SpaceFile())
@click.option(
    "--filter-path", type=click.Path(), metavar="DIR",
    help="The folder that holds tags_remove.txt, one tag a line.  [default: the 20 subjective tags of the package]",
)  # fmt: skip
@click.option("--ignore-case", is_flag=True, help="Match listed tags whatever their case.")
@click.option(
    "--tags",
    "source",
    type=click.Path(),
    metavar="SOURCE",
    help="Also print the coverage of this tag source.",
)
@tag_source_options
def filter_(
    space: str, out: str, filter_path: str | None, ignore_case: bool, source: str | None, **options: Any
) -> None:
    """Write the label space SPACE without the listed tags as OUT (Model 2).

    \b
    Example:
      folksong labels filter top100.labels.json filtered.labels.json --tags lastfm_tags.db
    """
    from folksong.labels import SUBJECTIVE_TAGS, LabelSpace, drop
    from folksong.tags.tag_lists import read_remove_list

    before = LabelSpace.read(space)
    listed = read_remove_list(filter_path) if filter_path else SUBJECTIVE_TAGS
    after = drop(before, listed, ignore_case=ignore_case)
    after.write(out)
    click.echo(f"{out}: {len(after)} of {len(before)} labels")
    if source:
        echo_coverage(after, read_source(source, **options))


@labels.command(cls=FolksongCommand)
@click.argument("space", type=click.Path())
@click.option(
    "--tags",
    "source",
    type=click.Path(),
    metavar="SOURCE",
    help="Print counts and coverage of this tag source.",
)
@click.option(
    "-n", "--number", type=click.IntRange(0), default=0, help="Print the first N labels only.  [default: all]"
)
@tag_source_options
def show(space: str, source: str | None, number: int, **options: Any) -> None:
    """Print the labels of SPACE with their tags; with a tag source also how many tracks each has, and the coverage.

    \b
    Example:
      folksong labels show filtered.labels.json --tags lastfm_tags.db
    """
    from folksong.labels import LabelSpace

    found = LabelSpace.read(space)
    table = read_source(source, **options) if source else None
    tracks = [] if table is None else found.encode(table).getnnz(axis=0).tolist()
    rows = []
    for position, label in enumerate(found.labels[: number or None]):
        members = _some(label.tags, 8) + (f"; also {_some(label.also, 4)}" if label.also else "")
        rows.append((position, label.name, *tracks[position : position + 1], members))
    echo_table(rows, ("no.", "label", *(["tracks"] if table is not None else []), "tags"))
    if table is not None:
        click.echo()
        echo_coverage(found, table)
    if found.aliases:
        click.echo(f"{len(found.aliases):,} aliases")


def _some(tags: Sequence[str], most: int) -> str:
    """Return the first tags as text, and how many there are if that is not all."""
    return ", ".join(tags[:most]) + (f", … ({len(tags)} tags)" if len(tags) > most else "")


def given_vectors(source: str) -> WordVectors:
    """Read what ``--vectors`` names, with a progress bar on a terminal."""
    from folksong.embeddings.read_vectors import read_vectors

    return read_vectors(source, progress=wants_progress())


def training_tracks(table: TagTable, split: str | None) -> tuple[TagTable, dict[str, Any]]:
    """Return the table that labels are learned from, and what their provenance says of the split."""
    if split is None:
        return table, {"split_sha256": None}
    from folksong.splits import Split

    parts = Split.read(split)
    return table.select_tracks(parts.training), {"split_sha256": parts.sha256()}


def echo_coverage(space: LabelSpace, table: TagTable) -> Coverage:
    """Print how much of `table` the space keeps, and return it."""
    kept = space.coverage(table)
    click.echo(
        f"{kept.n_counts:,} of {kept.all_counts:,} counts kept ({kept.counts:.4%}), "
        f"{kept.n_tracks:,} of {kept.all_tracks:,} tracks have a label ({kept.tracks:.4%})"
    )
    if kept.absent_labels:
        names = ", ".join(repr(name) for name in kept.absent_labels[:10])
        click.echo(f"{len(kept.absent_labels)} labels on no track: {names}")
    return kept
