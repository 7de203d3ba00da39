"""``folksong split``: training, validation and test parts as ``*.split.json``."""

from __future__ import annotations

import click

import folksong as fs
from folksong.cli.command import File, FolksongCommand, Output
from folksong.cli.common import echo_table


@click.command(cls=FolksongCommand)
def split(
    source: File, out: Output, *, fractions: tuple[float, ...] = (80.0, 10.0, 10.0), artists: File | None = None,
    artist_column: str | None = None, labels: File | None = None, seed: int = 0,
) -> None:  # fmt: skip
    """Deal the tracks of the tag source SOURCE out to three parts and write them as OUT.

    Labels are balanced between the parts, and the same tracks, artists and seed always give the same parts.

    Example:
      folksong split lastfm_tags.db my.split.json --fractions 80 10 10 --artists tracks.csv

    Args:
        fractions (A B C): Shares of training, validation and test tracks.
        artists (FILE): CSV with a track and an artist column; all tracks of an artist go to one part.
        artist_column (NAME): The column of artists in that file.  [default: usual names]
        labels (FILE): Balance these labels.  [default: the 100 most popular tags]
        seed: Of the order in which equals are dealt.
    """
    from folksong.tags.sources.delimited import read_artists

    known = read_artists(artists, artist_column=artist_column) if artists else None
    space = fs.LabelSpace.read(labels) if labels else None
    found = fs.splits.make_split(source, fractions=fractions, artists=known, space=space, seed=seed)
    found.write(out)
    sizes = [len(found.part(name)) for name in fs.splits.PARTS]
    shares = [
        (name, size, f"{size / sum(sizes):.2%}") for name, size in zip(fs.splits.PARTS, sizes, strict=True)
    ]
    echo_table(shares, ("part", "tracks", "share"))
    click.echo(f"{out}: {'by artist' if found.by_artist else 'no artists known'}, seed {seed}")
