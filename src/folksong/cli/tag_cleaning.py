"""``folksong tags propose | recipe | clean | explain``: merges proposed, reviewed, applied and explained."""

from __future__ import annotations

from pathlib import Path

import click

from folksong.cli.common import FolksongCommand, OutputFile, echo_table, wants_progress
from folksong.cli.tag_source import echo_rows, read_source

CHANGES = ".changes.json"
"""What `folksong.tags.cleaning.change_log.changes_path` puts after a cleaned table's name."""


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=OutputFile())
@click.option(
    "--min-count", type=click.IntRange(1), default=1, show_default=True,
    help="Tags on fewer tracks take no part.",
)  # fmt: skip
@click.option(
    "--mistyped/--no-mistyped", default=True, show_default=True,
    help="Propose mistyped long words too.",
)  # fmt: skip
@click.option(
    "--equivalent", type=float, metavar="SHARE",
    help="Propose tags too that share this much of their tracks, both ways.",
)  # fmt: skip
@click.option(
    "-n", "--number", type=click.IntRange(0), default=20, show_default=True,
    help="How many to print.",
)  # fmt: skip
def propose(
    source: str, out: str, min_count: int, mistyped: bool, equivalent: float | None, number: int
) -> None:
    """Write merges of spelling variants in SOURCE to OUT, a file for you to review.

    The merges that move most counts come first, each with its counts and reason. Put "-" before a line to reject it,
    change what a tag becomes, add lines; then name the file in a recipe and run "folksong tags clean".

    \b
    Example:
      folksong tags propose lastfm_tags.db proposal.tsv --min-count 10
    """
    from folksong.tags.cleaning.merges import propose_merges, write_merges

    table = read_source(source)
    merges = propose_merges(
        table, min_count=min_count, mistyped=mistyped, equivalent=equivalent, progress=wants_progress()
    )
    write_merges(merges, out)
    rows = [
        (merge.source, merge.target, merge.source_count, merge.target_count, merge.reason)
        for merge in merges[:number]
    ]
    echo_rows(None, rows, ("tag", "becomes", "tracks", "tracks of that", "why"))
    click.echo(
        f"{out}: {len(merges):,} merges proposed, {sum(merge.source_count for merge in merges):,} counts"
    )


@click.command(cls=FolksongCommand)
@click.argument("out", type=OutputFile())
def recipe(out: str) -> None:
    """Write the default cleaning recipe, with comments, to OUT for you to edit.

    \b
    Example:
      folksong tags recipe cleaning.toml
    """
    from folksong.files import atomic_write
    from folksong.tags.cleaning.recipe import default_recipe_text

    with atomic_write(out, "w") as stream:
        stream.write(default_recipe_text())
    click.echo(f"{out}: edit it, then: folksong tags clean SOURCE OUT --recipe {out}")


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=OutputFile(CHANGES))
@click.option(
    "--recipe", "recipe_path", type=click.Path(), metavar="FILE",
    help="The recipe (TOML).  [default: the one \"tags recipe\" writes]",
)  # fmt: skip
def clean(source: str, out: str, recipe_path: str | None) -> None:
    """Clean SOURCE by a recipe and write OUT: SQLite (.db), .csv, .tsv or .parquet.

    Beside OUT lies OUT.changes.json: what each original tag became, by which step; "folksong tags explain" reads it.

    \b
    Example:
      folksong tags clean lastfm_tags.db clean.db --recipe cleaning.toml
    """
    from folksong.tags.cleaning.clean import clean as clean_table

    table = read_source(source)
    cleaned = clean_table(table, recipe_path, source=source, progress=wants_progress())
    cleaned.write(out)
    after = cleaned.table
    rows = [
        (what, before, now, f"{now / before:.2%}" if before else "")
        for what, before, now in (
            ("tracks", table.n_tracks, after.n_tracks),
            ("tags", table.n_tags, after.n_tags),
            ("counts", table.n_counts, after.n_counts),
        )
    ]
    echo_table(rows, ("", "before", "after", "of before"))
    click.echo(f"{out}, and what became of each tag in {out}{CHANGES}")


@click.command(cls=FolksongCommand)
@click.argument("cleaned", type=click.Path())
@click.argument("track")
@click.argument("tag", required=False)
@click.option(
    "--source", type=click.Path(), metavar="FILE",
    help="The tags before cleaning.  [default: as the change log says]",
)  # fmt: skip
def explain(cleaned: str, track: str, tag: str | None, source: str | None) -> None:
    """Say why TRACK carries TAG after cleaning, or what became of all its tags.

    \b
    Example:
      folksong tags explain clean.db TRAAAAK128F9318786 rnb
    """
    from folksong.errors import FolksongError
    from folksong.tags.cleaning.change_log import ChangeLog, changes_path
    from folksong.tags.cleaning.change_log import explain as explain_tags

    log = ChangeLog.read(changes_path(cleaned))
    origin = source or log.source
    if not Path(origin).exists():
        raise FolksongError(
            f"{origin}: the tags before cleaning are not there; say where they are with --source"
        )
    original = read_source(origin)
    if original.sha256() != log.source_sha256:
        click.echo(f"Warning: {origin} is not what was cleaned", err=True)
    left_out = log.dropped_track(track)
    if left_out is not None:
        click.echo(f"{track} was left out by the step {left_out[0]!r}: {left_out[1]}")
        return
    for found in explain_tags(original, log, track, tag):
        click.echo(f"{found.tag!r} (weight {found.weight:g})" + ("" if found.changes else ", unchanged"))
        for change in found.changes:
            after = "dropped" if change.after is None else f"-> {change.after!r}"
            click.echo(f"    {change.step}: {after} ({change.reason})")
