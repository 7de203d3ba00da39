"""``folksong tags cooccurrence | count | related``: which tags share tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import FolksongCommand, ManyValues, echo_table
from folksong.cli.tag_source import echo_csv, echo_json, read_source, read_track_list, tag_source_options

if TYPE_CHECKING:
    from folksong.tags.table import TagTable

MEASURES = ("counts", "conditional", "pmi", "npmi", "distance")


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option("--tags", "chosen", cls=ManyValues, multiple=True, metavar="TAG...", help="These tags.")
@click.option(
    "--tag-list", type=click.Path(), metavar="FILE",
    help="The tags that a text file lists, one a line.",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(1), default=20, show_default=True,
    help="The most popular tags, if none are named.",
)  # fmt: skip
@click.option(
    "--measure", type=click.Choice(MEASURES), default="counts", show_default=True,
    help="What to compute; conditional is P(column | row).",
)  # fmt: skip
@click.option(
    "--output", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True,
    help="How to print it.",
)  # fmt: skip
@click.option(
    "--npy", type=click.Path(dir_okay=False), metavar="FILE",
    help="Write the matrix as a NumPy file instead of printing it.",
)  # fmt: skip
@click.option(
    "--plot", type=click.Path(dir_okay=False), metavar="FILE",
    help="Draw a heat map instead: .png, .svg, .pdf, or .html.",
)  # fmt: skip
@tag_source_options
def cooccurrence(
    source: str, chosen: tuple[str, ...], tag_list: str | None, top: int, measure: str, output: str,
    npy: str | None, plot: str | None, **options: Any,
) -> None:  # fmt: skip
    """Print how often tags of SOURCE share tracks: counts, P(j | i), PMI, NPMI or the NPMI distance.

    \b
    Example:
      folksong tags cooccurrence lastfm_tags.db --tags rock pop jazz
      folksong tags cooccurrence lastfm_tags.db --top 100 --measure npmi --plot npmi.html
    """
    table = read_source(source, **options)
    tags = chosen or (read_track_list(tag_list) if tag_list else table.popularity().tags[:top])
    matrix = _measure(table, tags, measure)
    if plot:
        from folksong.tags.charts import draw_heat_map

        limits = {"conditional": (0.0, 1.0), "npmi": (-1.0, 1.0), "distance": (0.0, 2.0)}.get(measure)
        draw_heat_map(matrix, tags, plot, title=f"{measure} of {len(tags)} tags", limits=limits)
        click.echo(plot)
    if npy:
        import numpy as np

        from folksong.files import atomic_write

        with atomic_write(npy) as stream:
            np.save(stream, matrix, allow_pickle=False)
        click.echo(f"{npy}: {matrix.shape[0]} × {matrix.shape[1]}, in the order {', '.join(tags[:5])}, …")
    if plot or npy:
        return
    values = matrix.tolist()
    if output == "json":
        finite = [
            [None if value != value or abs(value) == float("inf") else value for value in row]
            for row in values
        ]
        echo_json({"measure": measure, "tags": list(tags), "matrix": finite})
    elif output == "csv":
        echo_csv([(tag, *row) for tag, row in zip(tags, values, strict=True)], ("tag", *tags))
    else:
        echo_table([(tag, *row) for tag, row in zip(tags, values, strict=True)], ("", *tags), floats=".3f")


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "--all-of", cls=ManyValues, multiple=True, metavar="TAG...",
    help="Tracks that carry all of these tags.",
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
@tag_source_options
def count(
    source: str,
    all_of: tuple[str, ...],
    any_of: tuple[str, ...],
    none_of: tuple[str, ...],
    listed: bool,
    **options: Any,
) -> None:
    """Count the tracks of SOURCE with A and B and …, A or B, A without B.

    \b
    Example:
      folksong tags count lastfm_tags.db --all-of rock "female vocalists" --none-of metal punk
    """
    from folksong.tags.queries import tracks_with

    table = read_source(source, **options)
    found = tracks_with(table, all_of=all_of, any_of=any_of, none_of=none_of)
    if listed:
        for track in table.track_ids[found]:
            click.echo(track)
    else:
        click.echo(f"{int(found.sum()):,} of {table.n_tracks:,} tracks")


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("tag")
@click.argument("others", nargs=-1, required=True)
@tag_source_options
def implies(source: str, tag: str, others: tuple[str, ...], **options: Any) -> None:
    """Print P(A or B or … | TAG): of the tracks with TAG, the share that carries at least one of OTHERS.

    \b
    Example:
      folksong tags implies lastfm_tags.db bebop jazz "hard bop"
    """
    from folksong.tags.implications import implied_share

    table = read_source(source, **options)
    for group in (*((other,) for other in others), *([others] if len(others) > 1 else [])):
        click.echo(f"P({' or '.join(group)} | {tag}) = {implied_share(table, tag, group):.4f}")


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "--kind", type=click.Choice(["equivalent", "contained"]), default="equivalent", show_default=True,
    help="High both ways, or one way only.",
)  # fmt: skip
@click.option(
    "--threshold", type=float, default=0.9, show_default=True,
    help="The least share of tracks, P(other | tag).",
)  # fmt: skip
@click.option(
    "--min-count", type=click.IntRange(1), default=10, show_default=True,
    help="Tags on fewer tracks take no part.",
)  # fmt: skip
@click.option(
    "--output", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True,
    help="How to print it.",
)  # fmt: skip
@tag_source_options
def related(source: str, kind: str, threshold: float, min_count: int, output: str, **options: Any) -> None:
    """Print tags of SOURCE that are practically equivalent, or contained in another.

    \b
    Example:
      folksong tags related lastfm_tags.db --kind contained --threshold 0.8
    """
    from folksong.tags.implications import contained, equivalents

    find = equivalents if kind == "equivalent" else contained
    pairs = find(read_source(source, **options), threshold=threshold, min_count=min_count)
    headers = ("tag", "other", "together", "P(other | tag)", "P(tag | other)")
    rows = [(pair.tag, pair.other, pair.together, pair.forward, pair.backward) for pair in pairs]
    if output == "json":
        echo_json(
            [dict(zip(("tag", "other", "together", "forward", "backward"), row, strict=True)) for row in rows]
        )
    elif output == "csv":
        echo_csv(rows, ("tag", "other", "together", "forward", "backward"))
    else:
        echo_table(rows, headers)
        click.echo(f"{len(rows):,} pairs")


def _measure(table: TagTable, tags: tuple[str, ...], measure: str) -> Any:
    from folksong.tags import cooccurrence as pairs
    from folksong.tags.implications import conditional

    functions = {
        "counts": pairs.counts,
        "conditional": conditional,
        "pmi": pairs.pmi,
        "npmi": pairs.npmi,
        "distance": pairs.npmi_distance,
    }
    return functions[measure](table, tags)
