"""``folksong split``: training, validation and test parts as ``*.split.json``."""

from __future__ import annotations

import click

from folksong.cli.common import FolksongCommand, ManyValues, OutputFile, echo_table, seed_option
from folksong.cli.tag_source import read_source


@click.command(cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=OutputFile())
@click.option(
    "--fractions", type=float, cls=ManyValues, multiple=True, default=(80.0, 10.0, 10.0), show_default=True,
    metavar="A B C", help="Shares of training, validation and test tracks.",
)  # fmt: skip
@click.option(
    "--artists",
    type=click.Path(),
    metavar="FILE",
    help="CSV with a track and an artist column; all tracks of an artist go to one part.",
)
@click.option(
    "--artist-column", metavar="NAME", help="The column of artists in that file.  [default: usual names]"
)
@click.option(
    "--labels",
    "space",
    type=click.Path(),
    metavar="FILE",
    help="Balance these labels.  [default: the 100 most popular tags]",
)
@seed_option("Of the order in which equals are dealt.")
def split(
    source: str, out: str, fractions: tuple[float, ...], artists: str | None, artist_column: str | None,
    space: str | None, seed: int,
) -> None:  # fmt: skip
    """Deal the tracks of the tag source SOURCE out to three parts and write them as OUT.

    Labels are balanced between the parts, and the same tracks, artists and seed always give the same parts.

    \b
    Example:
      folksong split lastfm_tags.db my.split.json --fractions 80 10 10 --artists tracks.csv
    """
    from folksong.labels.space import LabelSpace
    from folksong.splits import PARTS, make_split
    from folksong.tags.sources.delimited import read_artists

    table = read_source(source)
    found = make_split(
        table,
        fractions=fractions,
        artists=read_artists(artists, artist_column=artist_column) if artists else None,
        space=LabelSpace.read(space) if space else None,
        seed=seed,
    )
    found.write(out)
    sizes = [len(found.part(name)) for name in PARTS]
    echo_table(
        [(name, size, f"{size / sum(sizes):.2%}") for name, size in zip(PARTS, sizes, strict=True)],
        ("part", "tracks", "share"),
    )
    click.echo(f"{out}: {'by artist' if found.by_artist else 'no artists known'}, seed {seed}")
