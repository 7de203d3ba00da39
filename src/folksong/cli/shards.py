"""``folksong audio`` and ``shards``: recordings on disk, and with their tags in the form that training drinks from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

import folksong as fs
from folksong.cli.command import (
    Count,
    File,
    FolksongGroup,
    Output,
    Place,
    Target,
    echo_json,
    echo_table,
    note,
    wants_progress,
)
from folksong.errors import counted
from folksong.stores import is_address

AudioFormat = Literal["waveform", "log-mel-spectrogram"]


@click.group(
    cls=FolksongGroup,
    hints={
        "overwrite them": "--overwrite",
        "without this check": "--no-disk-check",
        "give the audio format": "--format",
        "tags of the database": "--one-hot-tags",
        "repair": "folksong shards repair FOLDER",
    },
)
def shards() -> None:
    """Audio and tags as TFRecord shards: write them, check them, look at them."""


@shards.command(
    of="shards.writer:write_shards", without=("limit_seconds", "worker"), resumable="Finished shards are kept"
)
def write(
    tracks: File, out: Place, *, tags: Sequence[File] = (), min_weight: float | None = None,
    root: File | None = None, audio_format: AudioFormat = "waveform",
    storage: Literal["float32", "float16", "int16"] = "float32", worker: str | None = None, **settings: Any,
) -> None:  # fmt: skip
    """Encode the recordings of TRACKS into the folder OUT.

    TRACKS is a CSV file with the columns track_id and mp3_path, or a folder of recordings. Broken recordings are left
    out and listed in OUT/skipped.csv. A command that was stopped continues when it is given again, and ends with the
    same bytes. The same command given several times at once, on any machines, shares the work.

    Example:
      folksong shards write instruments/ shards/mel --tags instruments/ --format log-mel-spectrogram
      folksong shards write ultimate.csv shards/wave --root mp3/ --tags lastfm_tags.db --num-files 100

    Args:
        tags (SOURCE): What `folksong tags` reads: a last.fm database, a CSV or Parquet file, a folder of class
            folders. Given several times, records hold tags_0, tags_1, ...  [default: no tags]
        min_weight (T): Keep the tags with a weight greater than T.  [default: all]
        root: Where relative paths of a catalogue start.  [default: its own folder]
        storage: float16 and int16 take half the disk; TensorFlow's parser reads float32.
        start_stop (A B): Write only files A to B (from 1, both included): the rest is another command's, here or on
            another machine.
        worker (I/N): This is worker I of N, from 1: it begins with its own part, then helps with the rest.
        seed: Of the order of tracks in the shards.
        overwrite: Replace the shards of other tracks, tags or settings in OUT.
        check_disk (--disk-check/--no-disk-check): Refuse when the disk is too small.
    """
    from tqdm import tqdm

    tables = [fs.read_tags(source, min_weight=min_weight) for source in tags]
    # A catalogue's address is that of its copy by now.
    is_folder = Path(tracks).is_dir() or is_address(tracks)
    found = fs.scan_folder(tracks) if is_folder else fs.read_catalogue(tracks, root)
    part = None if worker is None else _worker_of(worker)
    manifest = fs.write_shards(
        found, out, tables, audio_format=audio_format, storage=storage, worker=part, **settings
    )
    skipped, damaged = (manifest.provenance[key] for key in ("n_skipped", "n_damaged"))
    size = tqdm.format_sizeof(manifest.n_bytes, "B")
    click.echo(
        f"{out}: {counted(manifest.n_tracks, 'track')} in {counted(len(manifest.files), 'file')}, {size}"
        + (f"; {skipped:,} left out (see skipped.csv)" if skipped else "")
        + (f"; {damaged:,} written from damaged files (see damaged.csv)" if damaged else "")
    )


def _worker_of(text: str) -> tuple[int, int]:
    number, slash, n_workers = text.partition("/")
    if not (slash and number.isdecimal() and n_workers.isdecimal()):
        raise click.BadParameter(f"{text!r} is not I/N, such as 3/20", param_hint="--worker")
    return int(number), int(n_workers)


@shards.command
def verify(folder: File) -> None:
    """Check every record, hash and count of FOLDER; name all damage and exit with 1 if there is any.

    Example:
      folksong shards verify shards/mel
    """
    from folksong.shards.verify import verify_shards

    found = verify_shards(folder, progress=wants_progress())
    for problem in found.problems:
        note(problem)
    n_whole = sum(file.n_whole for file in found.files)
    if not found.is_sound:
        remedy = f". `folksong shards repair {folder}` keeps the whole ones" if n_whole else ""
        click.echo(
            f"{folder}: {counted(len(found.problems), 'problem')}; {n_whole:,} whole records in "
            f"{counted(len(found.files), 'file')}{remedy}"
        )
        raise click.exceptions.Exit(1)
    click.echo(f"{folder}: sound; {counted(n_whole, 'record')} in {counted(len(found.files), 'file')}")


@shards.command
def show(folder: File, *, tracks: int = 0, database: int = 0, as_json: bool = False) -> None:
    """Say what FOLDER holds.

    Example:
      folksong shards show shards/mel --tracks 5

    Args:
        tracks: Also list so many records.
        database: The tags of which database to list.
    """
    from folksong.shards.reader import ShardReader
    from folksong.shards.verify import describe_records, describe_shards

    reader = ShardReader(folder)
    facts = describe_shards(reader)
    records = describe_records(reader, tracks, database)
    if as_json:
        echo_json({**facts, "records": records})
        return
    echo_table([(name.replace("_", " "), value) for name, value in facts.items()], (), floats=".6g")
    if records:
        click.echo()
        rows = [
            (r["track_id"], r["seconds"], ", ".join(r["tags"][:8]) + (", …" if len(r["tags"]) > 8 else ""))
            for r in records
        ]
        echo_table(rows, ("track", "seconds", "tags"), floats=".1f")


@shards.command(of="shards.maintenance:repair_shards")
def repair(
    folder: File,
    *,
    audio_format: AudioFormat | None = None,
    one_hot_tags: File | None = None,
    **settings: Any,
) -> None:
    """Keep the whole records of FOLDER: rebuild indexes, write damaged files anew, make the manifest match.

    A damaged file stays beside the new one as NAME.tfrecord.damaged. Where a file holds no whole record (because it
    is compressed, say), nothing is touched.

    The options are for a folder without a manifest, such as files of TensorFlow or the earlier project.

    Example:
      folksong shards repair shards/mel
      folksong shards repair old/ --format log-mel-spectrogram --mels 128 --one-hot-tags clean_lastfm.db

    Args:
        audio_format (--format): What the records hold.  [default: as the files are named]
        one_hot_tags (FILE): The last.fm database (or a list, one tag a line) whose rows the records' one-hot tags
            stand for.
    """
    from folksong.errors import some_of
    from folksong.shards.maintenance import read_one_hot_tags, repair_shards

    tags = None if one_hot_tags is None else read_one_hot_tags(one_hot_tags)
    files = repair_shards(folder, audio_format=audio_format, one_hot_tags=tags, **settings)
    damaged = [file for file in files if file.damage]
    for file in damaged:
        lost = f"; lost: {some_of(file.lost)}" if file.lost else ""
        click.echo(
            f"{file.name}: {file.n_kept:,} whole records kept{lost}; the damaged file is now {file.kept_as}"
        )
    click.echo(
        f"{folder}: {counted(sum(file.n_kept for file in files), 'record')} in {counted(len(files), 'file')}, "
        f"of which {len(damaged)} were "
        "damaged"
    )


@shards.command
def merge(
    folders: tuple[File, ...], out: Target, *, n_files: Count | None = None, seed: int | None = None
) -> None:
    """Copy the records of one or more FOLDERS into the new folder OUT, without decoding anything again.

    Example:
      folksong shards merge machine1/ machine2/ shards/all
      folksong shards merge shards/wave shards/wave20 --num-files 20

    Args:
        seed: Shuffle the records.  [default: keep their order]
    """
    from folksong.shards.maintenance import merge_shards

    manifest = merge_shards(folders, out, n_files=n_files, seed=seed, progress=wants_progress())
    twice = manifest.provenance["n_duplicates"]
    click.echo(
        f"{out}: {counted(manifest.n_tracks, 'track')} in {counted(len(manifest.files), 'file')}"
        + (f"; {counted(twice, 'record')} of track ids already there left out" if twice else "")
    )


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
    run again. The same command given several times at once, on any machines, shares the work.

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
