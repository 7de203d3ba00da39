"""``folksong tags cooccurrence | query``: which tags share tracks, and which tracks carry them."""

from typing import Any, Literal

import click

import folksong as fs
from folksong.cli.command import Count, File, FolksongCommand, Form, Output, echo_csv, echo_json, echo_rows
from folksong.errors import counted

Measure = Literal["counts", "conditional", "pmi", "npmi", "distance", "equivalent", "contained"]
LIMITS = {"conditional": (0.0, 1.0), "npmi": (-1.0, 1.0), "distance": (0.0, 2.0)}


@click.command(cls=FolksongCommand, of="tags.cooccurrence:equivalents")
def cooccurrence(
    source: File, *, tags: tuple[str, ...] = (), top: Count = 20, measure: Measure = "counts", form: Form = None,
    npy: Output | None = None, plot: Output | None = None, **related: Any,
) -> None:  # fmt: skip
    """Print how often tags of SOURCE share tracks: counts, P(j | i), PMI, NPMI, the NPMI distance; or related pairs.

    Example:
      folksong tags cooccurrence lastfm_tags.db --tags rock pop jazz
      folksong tags cooccurrence lastfm_tags.db --top 100 --measure npmi --plot npmi.html
      folksong tags cooccurrence lastfm_tags.db --measure contained --threshold 0.8

    Args:
        tags (TAG...): These tags; @FILE stands for those that a text file lists, one a line.
        top: The most popular tags, if none are named.
        measure: What to compute. conditional is P(column | row); equivalent and contained list the pairs of all tags
            whose P(other | tag) is high both ways, or one way only.
        threshold: Equivalent and contained: the least P(other | tag).
        min_count: Equivalent and contained: tags on fewer tracks take no part.
        npy (FILE): Write the matrix as a NumPy file instead of printing it.
        plot (FILE): Draw a heat map instead: .png, .svg, .pdf, or .html.
    """
    from folksong.files import atomic_write, json_value

    table = fs.read_tags(source)
    if measure in ("equivalent", "contained"):
        find = fs.cooccurrence.equivalents if measure == "equivalent" else fs.cooccurrence.contained
        rows = [
            (pair.tag, pair.other, pair.together, pair.forward, pair.backward)
            for pair in find(table, **related)
        ]
        headers = ("tag", "other", "together", "P(other | tag)", "P(tag | other)")
        echo_rows(form, rows, ("tag", "other", "together", "forward", "backward"), headers)
        click.echo(f"{counted(len(rows), 'pair')}", err=form is not None)
        return
    chosen = listed_tags(tags) or table.popularity().tags[:top]
    matrix = fs.cooccurrence.MEASURES[measure](table, chosen)
    if plot:
        from folksong.tags.charts import draw_heat_map

        title = f"{measure} of {counted(len(chosen), 'tag')}"
        draw_heat_map(matrix, chosen, plot, title=title, limits=LIMITS.get(measure))
        click.echo(plot)
    if npy:
        import numpy as np

        with atomic_write(npy) as stream:
            np.save(stream, matrix, allow_pickle=False)
        click.echo(f"{npy}: {matrix.shape[0]} × {matrix.shape[1]}, in the order {', '.join(chosen[:5])}, …")
    if plot or npy:
        return
    values = matrix.tolist()
    rows = [(tag, *row) for tag, row in zip(chosen, values, strict=True)]
    if form == "json":
        echo_json({"measure": measure, "tags": list(chosen), "matrix": json_value(values)})
    elif form == "csv":
        echo_csv(rows, ("tag", *chosen))
    else:
        echo_rows(None, rows, ("", *chosen), floats=".3f")


@click.command(cls=FolksongCommand)
def query(
    source: File, *, all_of: tuple[str, ...] = (), any_of: tuple[str, ...] = (), none_of: tuple[str, ...] = (),
    listed: bool = False,
) -> None:  # fmt: skip
    """Count the tracks of SOURCE with all of A, any of B and none of C; of those with all of A, the share P(B | A) too.

    Example:
      folksong tags query lastfm_tags.db --all-of rock "female vocalists" --none-of metal punk
      folksong tags query lastfm_tags.db --all-of bebop --any-of jazz "hard bop"

    Args:
        all_of (TAG...): Tracks that carry all of these tags; @FILE stands for those that a text file lists, one a line.
        any_of (TAG...): Tracks that carry at least one of these.
        none_of (TAG...): Tracks that carry none of these.
        listed (--list): Print the tracks instead of their number.
    """
    table = fs.read_tags(source)
    all_of, any_of, none_of = (listed_tags(tags) for tags in (all_of, any_of, none_of))
    found = fs.cooccurrence.tracks_with(table, all_of=all_of, any_of=any_of, none_of=none_of)
    if listed:
        for track in table.track_ids[found]:
            click.echo(track)
        return
    number = int(found.sum())
    click.echo(f"{number:,} of {counted(table.n_tracks, 'track')}")
    with_all = int(fs.cooccurrence.tracks_with(table, all_of=all_of).sum())
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
