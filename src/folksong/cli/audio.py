"""``folksong audio``: recordings on disk, measured and listed."""

from typing import Any, Literal

import click

from folksong.cli.command import File, FolksongGroup, Output, echo_table
from folksong.errors import counted


@click.group(cls=FolksongGroup)
def audio() -> None:
    """Recordings on disk: find them, measure them, list the good ones."""


@audio.command(of="audio.scan:scan_tree", resumable="What was measured is kept")
def scan(
    root: File, out: Output, *, track_list: File | None = None, mismatches: File | None = None,
    duplicates: File | None = None, min_size: int = 0, min_length: float = 0.0, max_total_silence: float | None = None,
    max_silence: float | None = None, drop_duplicates: tuple[Literal["list", "file", "audio"], ...] = (),
    drop_damaged: bool = False, **settings: Any,
) -> None:  # fmt: skip
    """Measure every recording below ROOT and list the good ones in OUT, a CSV file.

    OUT gets a track id and a path for each recording, its length, silence and hashes; it is what `folksong shards
    write` reads. Beside a tracks.csv, tracks.dropped.csv says why other files were left out, and tracks.files.csv
    keeps the facts of all, so that a later scan reads only what has changed. Stopped by Ctrl-C, it continues when
    run again.

    Example:
      folksong audio scan previews tracks.csv --track-list track_metadata.db \\
        --min-length 15 --max-total-silence 3 --max-silence 1 --drop-duplicates file audio

    Args:
        track_list: The Million Song Dataset's track_metadata.db or msd_summary_file.h5: gives 1234567.clip.mp3 its
            track id and drops files that are none of its tracks.  [default: the path is the track id]
        mismatches: Its sid_mismatches.txt: drop the tracks that it names.
        duplicates: Its msd_duplicates.txt, for --drop-duplicates list.
        min_size: Drop files of fewer bytes.
        min_length: Drop recordings of fewer seconds, silence at both ends not counted.
        max_total_silence: Drop recordings with more seconds of silence between the ends.  [default: any]
        max_silence: Drop recordings with a longer stretch of silence, in seconds.  [default: any]
        silence_db: What lies so many dB below a recording's loudest 20 ms is silence.
        drop_duplicates: Keep one of each set of duplicates: by the list of --duplicates, the same file, the same
            decoded sound.
        drop_damaged: Drop recordings that can be read only in part.
    """
    from folksong.audio.msd import MsdLists
    from folksong.audio.scan import Filters, scan_tree

    if "list" in drop_duplicates and duplicates is None:
        raise click.UsageError("--drop-duplicates list needs the list: --duplicates msd_duplicates.txt")
    lists = MsdLists.read(track_list, mismatches, duplicates)
    filters = Filters(min_size, min_length, max_total_silence, max_silence, drop_damaged, drop_duplicates)
    report = scan_tree(root, out, filters, lists=lists, **settings)
    rows = [(reason, count) for reason, count in report.reasons]
    echo_table([("kept", report.n_kept), *rows, ("all", report.n_files)], ["", "files"])
    click.echo(f"{report.kept_seconds / 3600:.2f} hours of audio in {report.catalogue}")
    if report.n_damaged:
        damaged = counted(report.n_damaged, "kept file")
        click.echo(
            f"{damaged} can be read only in part (column damage); --drop-damaged leaves such files out"
        )
    if report.n_duplicates:
        same = counted(report.n_duplicates, "kept file")
        click.echo(
            f"{same} with the sound of another kept one; --drop-duplicates file audio keeps one of each"
        )
    if report.reasons:
        click.echo(f"what was left out, and why: {report.dropped_list}")
