"""The command line: thin commands, one file a group. A command parses, calls one library function and prints.

Modules of this package import nothing heavy at the top, so that ``folksong --help`` answers at once.
"""

from __future__ import annotations

import click

from folksong import __version__
from folksong.cli import label_builders, label_study  # noqa: F401 (they add their commands to labels)
from folksong.cli.audio import audio
from folksong.cli.command import FolksongGroup
from folksong.cli.common import log_to_stderr
from folksong.cli.config import config
from folksong.cli.demo import demo
from folksong.cli.doctor import doctor
from folksong.cli.embeddings import embeddings, models
from folksong.cli.evaluate import compare, evaluate, report
from folksong.cli.experiment import experiment
from folksong.cli.labels import labels
from folksong.cli.predict import export, predict, search
from folksong.cli.shards import shards
from folksong.cli.split import split
from folksong.cli.tags import tags
from folksong.cli.train import train


@click.group(
    cls=FolksongGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    hints={
        "the semantic loss needs word vectors": "--custom-loss-embeddings-path",
        "data.tags: the plan names no": "--tags",
        "data.shards: none": "--audio",
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
    *(audio, compare, config, demo, doctor, embeddings, evaluate, experiment, export),
    *(labels, models, predict, report, search, shards, split, tags, train),
):
    main.add_command(command)
