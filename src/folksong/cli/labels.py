"""``folksong labels top | filter | show | apply``, and what all commands about label spaces share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import folksong as fs
from folksong.cli.command import Count, File, FolksongGroup, Output, echo_table, note, wants_progress
from folksong.errors import counted, some_of


@click.group(cls=FolksongGroup)
def labels() -> None:
    """Label spaces: which tags become the labels that a classifier predicts."""


@labels.command
def top(
    source: File, out: Output, *, number: Count = 100, split: File | None = None, changes: File | None = None
) -> None:
    """Write the most popular tags of SOURCE as the label space OUT (Model 1), with its coverage.

    Example:
      folksong labels top lastfm_tags.db top100.labels.json -n 100 --split my.split.json

    Args:
        number (-n, --number): How many.
        changes (FILE): The change log of a cleaning: raw spellings find their label too.
            [default: SOURCE.changes.json, if there]
    """
    from folksong.tags.cleaning.change_log import ChangeLog, changes_path

    table, provenance = training_tracks(source, split)
    log = Path(changes or changes_path(source))
    aliases = ChangeLog.read(log).aliases(table.tags) if changes or log.is_file() else {}
    write_space(fs.labels.top(table, number, aliases=aliases, provenance=provenance), out, table)


@labels.command("filter")
def filter_(
    space: File, out: Output, *, filter_path: File | None = None, ignore_case: bool = False, tags: File | None = None
) -> None:  # fmt: skip
    """Write the label space SPACE without the listed tags as OUT (Model 2).

    Example:
      folksong labels filter top100.labels.json filtered.labels.json --tags lastfm_tags.db

    Args:
        filter_path (PATH): A list of tags to leave out, or the folder of a tags_remove.txt.
            [default: the 20 subjective tags]
        ignore_case: Match listed tags whatever their case.
        tags (SOURCE): Also print the coverage of this tag source.
    """
    from folksong.tags.tag_lists import read_remove_list

    listed = read_remove_list(filter_path) if filter_path else fs.labels.SUBJECTIVE_TAGS
    after = fs.labels.drop(fs.LabelSpace.read(space), listed, ignore_case=ignore_case)
    write_space(after, out, fs.read_tags(tags) if tags else None)


@labels.command
def show(space: File, *, tags: File | None = None, number: int = 0, by_facet: bool = False) -> None:
    """Print the labels of SPACE with their tags; with a tag source also how many tracks each has, and the coverage.

    Example:
      folksong labels show filtered.labels.json --tags lastfm_tags.db

    Args:
        tags (SOURCE): Print counts and coverage of this tag source.
        number (-n, --number): The first N only; 0 is all.
        by_facet: Print what the labels are about, and sort them by it.
    """
    found = fs.LabelSpace.read(space)
    table = fs.read_tags(tags) if tags else None
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


@labels.command
def apply(
    space: File,
    logs: tuple[File, ...],
    out: Output,
    *,
    skip_conflicts: bool = False,
    tags: File | None = None,
) -> None:
    """Replay the actions of LOGs on the label space SPACE and write OUT, as "folksong curate" writes it.

    Several LOGs, each begun with SPACE or with what those before it made, are applied one after another; an action that
    does not apply after the earlier ones is named with its line.

    Example:
      folksong labels apply hybrid.labels.json hybrid.curation.jsonl curated.labels.json
      folksong labels apply hybrid.labels.json anna.jsonl ben.jsonl both.labels.json --skip-conflicts

    Args:
        skip_conflicts: Leave out what does not apply, and print it.
        tags (SOURCE): Also print the coverage of this tag source.
    """
    replay = fs.labels.apply_logs(fs.LabelSpace.read(space), logs, skip_conflicts=skip_conflicts)
    for line in replay.conflicts:
        note(f"Warning: left out: {line}")
    agreed = f", {replay.n_agreed:,} the same in several logs" if replay.n_agreed else ""
    click.echo(f"{replay.n_actions:,} actions{agreed}")
    write_space(replay.space, out, fs.read_tags(tags) if tags else None)


def _some(tags: Sequence[str], most: int) -> str:
    """Return the first tags as text, and how many there are if that is not all."""
    return ", ".join(tags[:most]) + (f", … ({counted(len(tags), 'tag')})" if len(tags) > most else "")


def given_vectors(source: str | None) -> Any:
    """Read what ``--vectors`` names, with a progress bar on a terminal; None where it names nothing."""
    return None if source is None else fs.read_vectors(source, progress=wants_progress())


def training_tracks(source: str, split: str | None) -> tuple["fs.TagTable", dict[str, Any]]:
    """Return the table that labels are learned from, and what their provenance says of it."""
    table = fs.read_tags(source)
    if split is None:
        return table, {"source": source, "split_sha256": None}
    parts = fs.Split.read(split)
    return table.select_tracks(parts.training), {"source": source, "split_sha256": parts.sha256()}


def write_space(space: "fs.LabelSpace", out: str, table: "fs.TagTable | None") -> Any:
    """Write a label space and print its size; with a table also what it keeps, which is returned."""
    space.write(out)
    click.echo(f"{out}: {counted(len(space), 'label')}")
    for line in () if table is None else fs.labels.doubtful(space, table):
        note(f"Warning: {line}")
    return None if table is None else echo_coverage(space, table)


def echo_coverage(space: "fs.LabelSpace", table: "fs.TagTable") -> Any:
    """Print how much of a table a label space keeps, and return it."""
    kept = space.coverage(table)
    click.echo(
        f"{kept.n_counts:,} of {counted(kept.all_counts, 'count')} kept ({kept.counts:.4%}), "
        f"{kept.n_tracks:,} of {counted(kept.all_tracks, 'track')} have a label ({kept.tracks:.4%})"
    )
    if kept.absent_labels:
        names = some_of(map(repr, kept.absent_labels), 10)
        click.echo(f"{counted(len(kept.absent_labels), 'label')} on no track: {names}")
    return kept
