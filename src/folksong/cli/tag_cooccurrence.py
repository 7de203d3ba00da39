"""``folksong tags cooccurrence | query``: which tags share tracks, and which tracks carry them."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import FolksongCommand, ManyValues, OutputFile, echo_json
from folksong.cli.tag_source import csv_option, echo_csv, echo_rows, json_option, read_source

MEASURES = ("counts", "conditional", "pmi", "npmi", "distance", "equivalent", "contained")
LIMITS = {"conditional": (0.0, 1.0), "npmi": (-1.0, 1.0), "distance": (0.0, 2.0)}


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "--tags", "chosen", cls=ManyValues, multiple=True, metavar="TAG...",
    help="These tags; @FILE stands for those that a text file lists, one a line.",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(1), default=20, show_default=True,
    help="The most popular tags, if none are named.",
)  # fmt: skip
@click.option(
    "--measure", type=click.Choice(MEASURES), default="counts", show_default=True,
    help="What to compute. conditional is P(column | row); equivalent and contained list the pairs of all tags whose "
    "P(other | tag) is high both ways, or one way only.",
)  # fmt: skip
@click.option(
    "--threshold", type=float, default=0.9, show_default=True,
    help="Equivalent and contained: the least P(other | tag).",
)  # fmt: skip
@click.option(
    "--min-count", type=click.IntRange(1), default=10, show_default=True,
    help="Equivalent and contained: tags on fewer tracks take no part.",
)  # fmt: skip
@json_option
@csv_option
@click.option(
    "--npy", type=OutputFile(), metavar="FILE",
    help="Write the matrix as a NumPy file instead of printing it.",
)  # fmt: skip
@click.option(
    "--plot", type=OutputFile(), metavar="FILE",
    help="Draw a heat map instead: .png, .svg, .pdf, or .html.",
)  # fmt: skip
def cooccurrence(
    source: str, chosen: tuple[str, ...], top: int, measure: str, form: str | None, npy: str | None, plot: str | None,
    **related: Any,
) -> None:  # fmt: skip
    """Print how often tags of SOURCE share tracks: counts, P(j | i), PMI, NPMI, the NPMI distance; or related pairs.

    \b
    Example:
      folksong tags cooccurrence lastfm_tags.db --tags rock pop jazz
      folksong tags cooccurrence lastfm_tags.db --top 100 --measure npmi --plot npmi.html
      folksong tags cooccurrence lastfm_tags.db --measure contained --threshold 0.8
    """
    from folksong.tags import cooccurrence as of_tags

    table = read_source(source)
    if measure in ("equivalent", "contained"):
        find = of_tags.equivalents if measure == "equivalent" else of_tags.contained
        rows = [
            (pair.tag, pair.other, pair.together, pair.forward, pair.backward)
            for pair in find(table, **related)
        ]
        headers = ("tag", "other", "together", "P(other | tag)", "P(tag | other)")
        echo_rows(form, rows, ("tag", "other", "together", "forward", "backward"), headers)
        click.echo(f"{len(rows):,} pairs", err=form is not None)
        return
    tags = listed_tags(chosen) or table.popularity().tags[:top]
    matrix = of_tags.MEASURES[measure](table, tags)
    if plot:
        from folksong.tags.charts import draw_heat_map

        draw_heat_map(matrix, tags, plot, title=f"{measure} of {len(tags)} tags", limits=LIMITS.get(measure))
        click.echo(plot)
    if npy:
        import numpy as np

        from folksong.files import atomic_write

        with atomic_write(npy) as stream:
            np.save(stream, matrix, allow_pickle=False)
        click.echo(f"{npy}: {matrix.shape[0]} × {matrix.shape[1]}, in the order {', '.join(tags[:5])}, …")
    if plot or npy:
        return
    if form == "json":
        from folksong.files import json_value

        echo_json({"measure": measure, "tags": list(tags), "matrix": json_value(matrix.tolist())})
    elif form == "csv":
        echo_csv([(tag, *row) for tag, row in zip(tags, matrix.tolist(), strict=True)], ("tag", *tags))
    else:
        rows = [(tag, *row) for tag, row in zip(tags, matrix.tolist(), strict=True)]
        echo_rows(None, rows, ("", *tags), floats=".3f")


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "--all-of", cls=ManyValues, multiple=True, metavar="TAG...",
    help="Tracks that carry all of these tags; @FILE stands for those that a text file lists, one a line.",
)  # fmt: skip
@click.option(
    "--any-of", cls=ManyValues, multiple=True, metavar="TAG...",
    help="Tracks that carry at least one of these.",
)  # fmt: skip
@click.option(
    "--none-of", cls=ManyValues, multiple=True, metavar="TAG...",
    help="Tracks that carry none of these.",
)  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="Print the tracks instead of their number.")
def query(
    source: str, all_of: tuple[str, ...], any_of: tuple[str, ...], none_of: tuple[str, ...], listed: bool
) -> None:
    """Count the tracks of SOURCE with all of A, any of B and none of C; of those with all of A, the share P(B | A) too.

    \b
    Example:
      folksong tags query lastfm_tags.db --all-of rock "female vocalists" --none-of metal punk
      folksong tags query lastfm_tags.db --all-of bebop --any-of jazz "hard bop"
    """
    from folksong.tags.cooccurrence import tracks_with

    table = read_source(source)
    all_of, any_of, none_of = (listed_tags(tags) for tags in (all_of, any_of, none_of))
    found = tracks_with(table, all_of=all_of, any_of=any_of, none_of=none_of)
    if listed:
        for track in table.track_ids[found]:
            click.echo(track)
        return
    number = int(found.sum())
    click.echo(f"{number:,} of {table.n_tracks:,} tracks")
    with_all = int(tracks_with(table, all_of=all_of).sum())
    if all_of and (any_of or none_of) and with_all:
        wanted = [" or ".join(any_of)] * bool(any_of) + [f"not {tag}" for tag in none_of]
        click.echo(f"P({', '.join(wanted)} | {', '.join(all_of)}) = {number / with_all:.4f}")


def listed_tags(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return tags, each word that starts with ``@`` replaced by the tags of the list that it names."""
    from folksong.tags.tag_lists import read_tag_list

    tags: list[str] = []
    for word in words:
        tags += read_tag_list(word[1:]) if word.startswith("@") else [word]
    return tuple(tags)
