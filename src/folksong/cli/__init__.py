"""The command line: thin commands, one file a group. A command parses, calls one library function and prints.

Modules of this package import nothing heavy at the top, so that ``folksong --help`` answers at once.
"""

from __future__ import annotations

import click

from folksong import __version__
from folksong.cli import label_builders, label_study  # noqa: F401 (they add their commands to labels)
from folksong.cli.audio import audio
from folksong.cli.common import FolksongGroup, log_to_stderr
from folksong.cli.compare import compare
from folksong.cli.config import config
from folksong.cli.demo import demo
from folksong.cli.doctor import doctor
from folksong.cli.embeddings import embeddings
from folksong.cli.evaluate import evaluate
from folksong.cli.experiment import experiment
from folksong.cli.export import export
from folksong.cli.labels import labels
from folksong.cli.models import models
from folksong.cli.predict import predict
from folksong.cli.report import report
from folksong.cli.shards import shards
from folksong.cli.split import split
from folksong.cli.tags import tags
from folksong.cli.train import train


@click.group(
    cls=FolksongGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="folksong")
def main() -> None:
    """Learn to hear what listeners write: from messy crowd tags to trained and measured music taggers."""
    log_to_stderr()


main.add_command(audio)
main.add_command(compare)
main.add_command(config)
main.add_command(demo)
main.add_command(doctor)
main.add_command(embeddings)
main.add_command(evaluate)
main.add_command(experiment)
main.add_command(export)
main.add_command(labels)
main.add_command(models)
main.add_command(predict)
main.add_command(report)
main.add_command(shards)
main.add_command(split)
main.add_command(tags)
main.add_command(train)
