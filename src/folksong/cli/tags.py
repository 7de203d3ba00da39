"""``folksong tags``: read what listeners wrote, convert it, and say what it looks like."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import FolksongCommand, FolksongGroup, ManyValues, echo_table
from folksong.cli.tag_cleaning import clean, propose, recipe, why
from folksong.cli.tag_cooccurrence import cooccurrence, count, implies, related
from folksong.cli.tag_source import echo_csv, echo_json, read_source, read_track_list, tag_source_options

OUTPUTS = click.Choice(["table", "json", "csv"])


@click.group(cls=FolksongGroup)
def tags() -> None:
    """What listeners wrote: convert tag sources and look at them.

    A SOURCE is a last.fm SQLite database, a CSV, TSV or Parquet file (long: track, tag[, weight]; or wide: one column
    per tag), or a folder of class folders of recordings.
    """


@tags.command("import", cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path(dir_okay=False))
@tag_source_options
def import_(source: str, out: str, **options: Any) -> None:
    """Convert SOURCE to OUT: last.fm SQLite (.db, .sqlite) or long .csv, .tsv, .parquet.

    \b
    Example:
      folksong tags import instruments/ instruments.db
      folksong tags import user_taggedartists.tsv tags.db --track-column artistID
    """
    from folksong.tags.sources.read_tags import write_tags

    table = read_source(source, **options)
    write_tags(table, out)
    click.echo(f"{out}: {table.n_tracks:,} tracks, {table.n_tags:,} tags, {table.n_counts:,} counts")


@tags.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "--coverage", "sizes", type=int, cls=ManyValues, multiple=True, metavar="N...",
    default=(10, 20, 50, 100, 200, 500, 1000, 5000), show_default=True, help="Coverage of the top N tags, for each N.",
)  # fmt: skip
@click.option(
    "--tracks", type=click.Path(), metavar="FILE", help="Only these tracks: a text file, one id a line."
)
@click.option("--output", type=OUTPUTS, default="table", show_default=True, help="How to print the figures.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also draw the long tail: .png, .svg, .pdf, or .html to zoom and hover.",
)
@click.option(
    "--plot-weights", type=click.Path(dir_okay=False), metavar="FILE", help="Also draw the weights."
)
@tag_source_options
def stats(
    source: str, sizes: tuple[int, ...], tracks: str | None, output: str, plot: str | None, plot_weights: str | None,
    **options: Any,
) -> None:  # fmt: skip
    """Print popularity, coverage of the top N, tags per track, tracks per tag and weights of SOURCE.

    \b
    Example:
      folksong tags stats lastfm_tags.db --coverage 50 100
      folksong tags stats lastfm_tags.db --tracks training.txt --output json
    """
    from folksong.tags.statistics import tag_statistics

    table = read_source(source, **options)
    if tracks:
        table = table.select_tracks(read_track_list(tracks))
    found = tag_statistics(table, sizes=sizes)
    if plot or plot_weights:
        from folksong.tags.charts import draw_histogram, draw_long_tail

        if plot:
            draw_long_tail(table, plot)
        if plot_weights:
            draw_histogram(found.weights, plot_weights, title="Weights of tags")
    if output == "json":
        echo_json(found.to_dict())
    elif output == "csv":
        echo_csv(found.rows(), ("figure", "of", "value"))
    else:
        _echo_statistics(found)


@tags.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="How many tags to print."
)
@click.option(
    "--tracks", type=click.Path(), metavar="FILE", help="Only these tracks: a text file, one id a line."
)
@click.option("--output", type=OUTPUTS, default="table", show_default=True, help="How to print the tags.")
@tag_source_options
def popular(source: str, number: int, tracks: str | None, output: str, **options: Any) -> None:
    """Print the most popular tags of SOURCE: how many tracks carry each, and the share of all counts so far.

    \b
    Example:
      folksong tags popular lastfm_tags.db -n 100 --output csv
    """
    table = read_source(source, **options)
    if tracks:
        table = table.select_tracks(read_track_list(tracks))
    popularity = table.popularity()
    rows, held = [], 0
    for rank, (tag, tracks_of) in enumerate(zip(popularity.tags, popularity.counts.tolist(), strict=True), 1):
        if rank > number or not tracks_of:
            break
        held += tracks_of
        rows.append((rank, tag, tracks_of, held / table.n_counts))
    headers = ("rank", "tag", "tracks", "share so far")
    if output == "json":
        echo_json([dict(zip(("rank", "tag", "tracks", "share_so_far"), row, strict=True)) for row in rows])
    elif output == "csv":
        echo_csv(rows, ("rank", "tag", "tracks", "share_so_far"))
    else:
        echo_table([(rank, _shown(tag), count, share) for rank, tag, count, share in rows], headers)


def _shown(tag: str, width: int = 60) -> str:
    """A tag on one line of a terminal: no line breaks or control characters, not endless."""
    printable = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in tag
    )
    return printable if len(printable) <= width else f"{printable[: width - 1]}…"


def _echo_statistics(found: Any) -> None:
    click.echo(
        f"{found.n_tracks:,} tracks ({found.n_tagged_tracks:,} with a tag), {found.n_tags:,} tags "
        f"({found.n_used_tags:,} in use, {found.n_tags_on_one_track:,} on a single track), {found.n_counts:,} counts "
        f"({found.n_zero_weights:,} of weight 0)\n"
    )
    echo_table(
        [
            (f"top {row.n:,}", row.n_counts, f"{row.counts:.4%}", row.n_tracks, f"{row.tracks:.4%}")
            for row in found.coverage
        ],
        ("coverage", "counts", "of all", "tracks", "of all"),
    )
    click.echo()
    names = ("tracks_per_tag", "tags_per_track", "weights")
    quantiles = ("least", "quarter", "median", "three_quarters", "most")
    echo_table(
        [
            (
                name.replace("_", " "),
                getattr(found, name).mean,
                *(getattr(found, name).quantiles[q] for q in quantiles),
            )
            for name in names
        ],
        ("", "mean", *(quantile.replace("_", " ") for quantile in quantiles)),
        floats=".6g",
    )
    for name in names:
        click.echo()
        bars = [(bar.label, bar.number) for bar in getattr(found, name).bins]
        echo_table(bars, (name.replace("_", " "), "number"))


for command in (clean, cooccurrence, count, implies, propose, recipe, related, why):
    tags.add_command(command)
