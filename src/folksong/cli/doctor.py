"""``folksong doctor``: what this machine can do."""

from __future__ import annotations

import click

from folksong.cli.common import FolksongCommand

MARKS = {"ok": "✓", "note": "!", "problem": "✗"}


@click.command(cls=FolksongCommand)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do: codecs, cores, GPUs, extras, and known traps in the environment.

    Exits with 1 when something will not work.
    """
    import dataclasses
    import json

    from folksong.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            click.echo(f"{MARKS[finding.status]} {finding.topic:<{width}}  {finding.text}")
    if any(finding.status == "problem" for finding in findings):
        raise click.exceptions.Exit(1)
