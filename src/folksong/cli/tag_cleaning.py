"""``folksong tags propose | recipe | clean | explain``: merges proposed, reviewed, applied and explained."""

from pathlib import Path
from typing import Annotated, Any

import click

import folksong as fs
from folksong.cli.command import (
    File,
    FolksongCommand,
    Output,
    OutputFile,
    echo_rows,
    echo_table,
    note,
    wants_progress,
)
from folksong.errors import counted

CHANGES = ".changes.json"
"""What `folksong.tags.cleaning.change_log.changes_path` puts after a cleaned table's name."""
CleanedFile = Annotated[str, OutputFile(CHANGES)]


@click.command(cls=FolksongCommand, of="tags.cleaning.merges:propose_merges")
def propose(source: File, out: Output, *, number: int = 20, **settings: Any) -> None:
    """Write merges of spelling variants in SOURCE to OUT, a file for you to review.

    The merges that move most counts come first, each with its counts and reason. Put "-" before a line to reject it,
    change what a tag becomes, add lines; then name the file in a recipe and run "folksong tags clean".

    Example:
      folksong tags propose lastfm_tags.db proposal.tsv --min-count 10

    Args:
        equivalent (SHARE): Propose tags too that share this much of their tracks, both ways.
    """
    from folksong.tags.cleaning.merges import propose_merges, write_merges

    merges = propose_merges(source, **settings)
    write_merges(merges, out)
    rows = [
        (merge.source, merge.target, merge.source_count, merge.target_count, merge.reason)
        for merge in merges[:number]
    ]
    echo_rows(None, rows, ("tag", "becomes", "tracks", "tracks of that", "why"))
    click.echo(
        f"{out}: {counted(len(merges), 'merge')} proposed, "
        f"{counted(sum(merge.source_count for merge in merges), 'count')}"
    )


@click.command(cls=FolksongCommand)
def recipe(out: Output) -> None:
    """Write the default cleaning recipe, with comments, to OUT for you to edit.

    Example:
      folksong tags recipe cleaning.toml
    """
    from folksong.files import atomic_write
    from folksong.tags.cleaning.recipe import default_recipe_text

    with atomic_write(out, "w") as stream:
        stream.write(default_recipe_text())
    click.echo(f"{out}: edit it, then: folksong tags clean SOURCE OUT --recipe {out}")


@click.command(cls=FolksongCommand)
def clean(
    source: File, out: CleanedFile, *, recipe: File | None = None, accept_proposals: bool = False
) -> None:  # fmt: skip
    """Clean SOURCE by a recipe and write OUT: SQLite (.db), .csv, .tsv or .parquet.

    Beside OUT lies OUT.changes.json: what each original tag became, by which step; "folksong tags explain" reads it.

    Example:
      folksong tags clean lastfm_tags.db clean.db --recipe cleaning.toml

    Args:
        recipe (FILE): The recipe (TOML).  [default: the one "tags recipe" writes]
        accept_proposals: Also merge spellings that nothing but their letters speaks for, unreviewed.
    """
    table = fs.read_tags(source)
    cleaned = fs.clean(
        table, recipe, source=source, accept_proposals=accept_proposals, progress=wants_progress()
    )
    cleaned.write(out)
    rows = []
    for what in ("tracks", "tags", "counts"):
        before, now = (getattr(one, f"n_{what}") for one in (table, cleaned.table))
        rows.append((what, before, now, f"{now / before:.2%}" if before else ""))
    echo_table(rows, ("", "before", "after", "of before"))
    click.echo(f"{out}, and what became of each tag in {out}{CHANGES}")
    if left := cleaned.left:
        examples = ", ".join(f"{merge.source} -> {merge.target}" for merge in left[:3])
        counts = sum(merge.source_count for merge in left)
        click.echo(
            f"left for you to review: {counted(len(left), 'merge')} ({counted(counts, 'count')}) that nothing "
            f"but their letters speaks "
            f"for, such as {examples}; see: folksong tags propose {source} proposal.tsv, or --accept-proposals"
        )


@click.command(cls=FolksongCommand)
def explain(cleaned: File, track: str, tag: str | None = None, *, source: File | None = None) -> None:
    """Say why TRACK carries TAG after cleaning, or what became of all its tags.

    Example:
      folksong tags explain clean.db TRAAAAK128F9318786 rnb

    Args:
        source (FILE): The tags before cleaning.  [default: as the change log says]
    """
    from folksong.tags.cleaning.change_log import ChangeLog, changes_path
    from folksong.tags.cleaning.change_log import explain as explain_tags

    if not changes_path(cleaned).exists():
        raise fs.FolksongError(
            f"{cleaned}: was not made by `folksong tags clean`, which leaves {changes_path(cleaned)} beside it"
        )
    log = ChangeLog.read(changes_path(cleaned))
    origin = source or log.source
    if not Path(origin).exists():
        raise fs.FolksongError(
            f"{origin}: the tags before cleaning are not there; say where they are with --source"
        )
    original = fs.read_tags(origin)
    if original.sha256() != log.source_sha256:
        note(f"Warning: {origin} is not what was cleaned")
    left_out = log.dropped_track(track)
    if left_out is not None:
        click.echo(f"{track} was left out by the step {left_out[0]}: {left_out[1]}")
        return
    for found in explain_tags(original, log, track, tag):
        click.echo(f"{found.tag} (weight {found.weight:g})" + ("" if found.changes else ", unchanged"))
        for change in found.changes:
            after = "dropped" if change.after is None else f"-> {change.after}"
            click.echo(f"    {change.step}: {after} ({change.reason})")
