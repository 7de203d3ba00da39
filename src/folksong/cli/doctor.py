"""``folksong doctor``: what this machine can do."""

from __future__ import annotations

import click

from folksong.cli.command import FolksongCommand
from folksong.cli.common import echo_json

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
