"""``folksong audio``: recordings on disk, measured and listed."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import (
    FolksongCommand,
    FolksongGroup,
    ManyValues,
    OutputFile,
    echo_table,
    wants_progress,
)


@click.group(cls=FolksongGroup)
def audio() -> None:
    """Recordings on disk: find them, measure them, list the good ones."""


@audio.command(cls=FolksongCommand)
@click.argument("root", type=click.Path())
@click.argument("out", type=OutputFile())
@click.option(
    "--track-list",
    type=click.Path(),
    help="The Million Song Dataset's track_metadata.db or msd_summary_file.h5: gives 1234567.clip.mp3 its track id "
    "and drops files that are none of its tracks.  [default: the path is the track id]",
)
@click.option(
    "--mismatches", type=click.Path(), help="Its sid_mismatches.txt: drop the tracks that it names."
)
@click.option("--duplicates", type=click.Path(), help="Its msd_duplicates.txt, for --drop-duplicates list.")
@click.option(
    "--min-size", type=click.IntRange(0), default=0, show_default=True, help="Drop files of fewer bytes."
)
@click.option(
    "--min-length",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Drop recordings of fewer seconds, silence at both ends not counted.",
)
@click.option(
    "--max-total-silence",
    type=click.FloatRange(0),
    help="Drop recordings with more seconds of silence between the ends.  [default: any]",
)
@click.option(
    "--max-silence",
    type=click.FloatRange(0),
    help="Drop recordings with a longer stretch of silence, in seconds.  [default: any]",
)
@click.option(
    "--silence-db",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="What lies so many dB below a recording's loudest 20 ms is silence.",
)
@click.option(
    "--drop-duplicates",
    cls=ManyValues,
    multiple=True,
    type=click.Choice(["list", "file", "audio"]),
    help="Keep one of each set of duplicates: by the list of --duplicates, the same file, the same decoded sound.",
)
@click.option("--drop-damaged", is_flag=True, help="Drop recordings that can be read only in part.")
@click.option("--jobs", type=int, default=-1, show_default=True, help="Processes; -1 is one a core.")
@click.option(
    "--limit",
    "limit_seconds",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds after which a file that is still being decoded counts as not decodable.",
)
def scan(
    root: str,
    out: str,
    track_list: str | None,
    mismatches: str | None,
    duplicates: str | None,
    silence_db: float,
    **options: Any,
) -> None:
    """Measure every recording below ROOT and list the good ones in OUT, a CSV file.

    OUT gets a track id and a path for each recording, its length, silence and hashes; it is what `folksong shards
    write` reads. Beside a tracks.csv, tracks.dropped.csv says why other files were left out, and tracks.files.csv
    keeps the facts of all, so that a later scan reads only what has changed. Stopped by Ctrl-C, it continues when
    run again.

    \b
    Example:
      folksong audio scan previews tracks.csv --track-list track_metadata.db \\
        --min-length 15 --max-total-silence 3 --max-silence 1 --drop-duplicates file audio
    """
    from folksong.audio.msd import MsdLists
    from folksong.audio.scan import Filters, scan_tree

    running = {name: options.pop(name) for name in ("jobs", "limit_seconds")}
    if "list" in options["drop_duplicates"] and duplicates is None:
        raise click.UsageError("--drop-duplicates list needs the list: --duplicates msd_duplicates.txt")
    lists = MsdLists.read(track_list, mismatches, duplicates)
    try:
        report = scan_tree(
            root,
            out,
            Filters(**options),
            lists=lists,
            silence_db=silence_db,
            progress=wants_progress(),
            **running,
        )
    except KeyboardInterrupt:
        click.echo("Stopped. What was measured is kept; run the same command again to continue.", err=True)
        raise click.exceptions.Exit(130) from None
    rows = [(reason, count) for reason, count in report.reasons]
    echo_table([("kept", report.n_kept), *rows, ("all", report.n_files)], ["", "files"])
    click.echo(f"{report.kept_seconds / 3600:.2f} hours of audio in {report.catalogue}")
    if report.reasons:
        click.echo(f"what was left out, and why: {report.dropped_list}")
