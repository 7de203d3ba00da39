"""The command line: thin commands, one file a group. A command parses, calls one library function and prints.

Modules of this package import nothing heavy at the top, so that ``folksong --help`` answers at once.
"""

import click
from click.core import ParameterSource

import folksong as fs
from folksong import __version__
from folksong.cli import label_study  # noqa: F401 (it adds its commands to labels)
from folksong.cli.apps import curate, serve
from folksong.cli.command import (
    File,
    FolksongCommand,
    FolksongGroup,
    Output,
    echo_json,
    echo_table,
    log_to_stderr,
    wants_progress,
)
from folksong.cli.demo import demo
from folksong.cli.embeddings import embeddings, models
from folksong.cli.evaluate import compare, evaluate, report
from folksong.cli.experiment import experiment
from folksong.cli.labels import labels
from folksong.cli.predict import export, predict, search
from folksong.cli.shards import audio, shards
from folksong.cli.tags import tags
from folksong.cli.train import config, train

MARKS = {"ok": "✓", "note": "!", "problem": "✗"}


@click.command(cls=FolksongCommand)
def doctor(*, as_json: bool = False) -> None:
    """Say what this machine can do: codecs, cores, GPUs, extras, and known traps in the environment.

    Exits with 1 when something will not work.
    """
    from folksong.doctor import examine

    findings = examine()
    if as_json:
        echo_json([vars(finding) for finding in findings])
    else:
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            click.echo(f"{MARKS[finding.status]} {finding.topic:<{width}}  {finding.text}")
    if any(finding.status == "problem" for finding in findings):
        raise click.exceptions.Exit(1)


@click.command(cls=FolksongCommand)
def split(
    source: File, out: Output, *, fractions: tuple[float, ...] = (80.0, 10.0, 10.0), artists: File | None = None,
    artist_column: str | None = None, labels: File | None = None, seed: int = 0, official: tuple[File, ...] = (),
) -> None:  # fmt: skip
    """Deal the tracks of the tag source SOURCE out to three parts and write them as OUT.

    Labels are balanced between the parts, and the same tracks, artists and seed always give the same parts.

    Example:
      folksong split lastfm_tags.db my.split.json --fractions 80 10 10 --artists tracks.csv
      folksong split autotagging.tsv jamendo.split.json --official splits/split-0/autotagging-*.tsv

    Args:
        fractions (A B C): Shares of training, validation and test tracks.
        artists (FILE): CSV with a track and an artist column, or the dump that the tags are from; all tracks of an
            artist go to one part.
        artist_column (NAME): The column of artists in that file.  [default: usual names]
        labels (FILE): Balance these labels.  [default: the 100 most popular tags]
        seed: Of the order in which equals are dealt.
        official (FILE...): The parts as a data set publishes them, in the place of dealing: the lists of MTG-Jamendo,
            the Million Song Dataset or GTZAN, told apart by train, valid and test in their names, or a single file
            that holds all parts (MagnaTagATune's annotations_final.csv).
    """
    if official:
        asked = click.get_current_context().get_parameter_source
        dealing = [
            name
            for name in ("fractions", "artists", "labels", "seed")
            if asked(name) is ParameterSource.COMMANDLINE
        ]
        if dealing:
            raise click.UsageError(f"--official takes the parts as they are; leave --{dealing[0]} out")
        found = fs.read_official_split(source, *official)
        found.write(out)
        _echo_parts(found)
        click.echo(f"{out}: the parts of {', '.join(found.provenance['official'])}")
        return
    from folksong.tags.sources.delimited import read_artists

    progress = wants_progress()
    known = read_artists(artists, artist_column=artist_column, progress=progress) if artists else None
    space = fs.LabelSpace.read(labels) if labels else None
    found = fs.splits.make_split(source, fractions=fractions, artists=known, space=space, seed=seed)
    found.write(out)
    _echo_parts(found)
    click.echo(f"{out}: {'by artist' if found.by_artist else 'no artists known'}, seed {seed}")


def _echo_parts(found: "fs.Split") -> None:
    sizes = [len(found.part(name)) for name in fs.splits.PARTS]
    shares = [
        (name, size, f"{size / sum(sizes):.2%}") for name, size in zip(fs.splits.PARTS, sizes, strict=True)
    ]
    echo_table(shares, ("part", "tracks", "share"))


@click.group(
    cls=FolksongGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    hints={
        "the semantic loss needs word vectors": "--custom-loss-embeddings-path",
        "data.tags: the plan names no": "--tags",
        "data.shards: none": "--audio",
        "say which column names the artist": "--artist-column",
        "larger parts, such as 70/15/15,": "--fractions 70 15 15",
        "the format 'library' reads": "--format library",
    },
)
@click.version_option(__version__, prog_name="folksong")
@click.option(
    "--force",
    is_flag=True,
    help="Replace files that are there, whoever made them; of every command that writes.",
)
def main(force: bool) -> None:
    """Learn to hear what listeners write: from messy crowd tags to trained and measured music taggers."""
    log_to_stderr()


for command in (
    *(audio, compare, config, curate, demo, doctor, embeddings, evaluate, experiment, export),
    *(labels, models, predict, report, search, serve, shards, split, tags, train),
):
    main.add_command(command)
