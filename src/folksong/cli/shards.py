"""``folksong shards``: audio and tags on disk, in the form that training drinks from."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import (
    FolksongCommand,
    FolksongGroup,
    echo_table,
    seed_option,
    wants_progress,
)

AUDIO_FORMATS = click.Choice(["waveform", "log-mel-spectrogram"])


HINTS = {
    "overwrite them": "--overwrite",
    "without this check": "--no-disk-check",
    "give the audio format": "--format",
    "tags of the database": "--one-hot-tags",
    "repair": "folksong shards repair FOLDER",
}
"""What a message speaks of -> how the command line calls it."""


class ShardsGroup(FolksongGroup):
    """A group whose error messages name the option or command that helps."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            hint = next((hint for words, hint in HINTS.items() if words in error.message), None)
            if hint is None:
                raise
            raise click.ClickException(f"{error.message} ({hint})") from error


@click.group(cls=ShardsGroup)
def shards() -> None:
    """Audio and tags as TFRecord shards: write them, check them, look at them."""


rate_option = click.option(
    "--sr", "sample_rate", type=click.IntRange(1), default=16000, show_default=True, help="Sample rate in Hz."
)
mels_option = click.option(
    "--mels", "n_mels", type=click.IntRange(1), help="Mel bands.  [default: the preset's, 96]"
)
preset_option = click.option(
    "--preset", default="urop2019", show_default=True, help="Feature preset of spectrograms."
)
num_files_option = click.option(
    *("-n", "--num-files", "n_files"),
    type=click.IntRange(1),
    help="Number of shards.  [default: by the number of tracks]",
)


@shards.command(cls=FolksongCommand)
@click.argument("tracks", type=click.Path())
@click.argument("out", type=click.Path(file_okay=False))
@click.option(
    "--tags",
    "tag_sources",
    multiple=True,
    type=click.Path(),
    metavar="SOURCE",
    help="What `folksong tags` reads: a last.fm database, a CSV or Parquet file, a folder of class folders. Given "
    "several times, records hold tags_0, tags_1, ...  [default: no tags]",
)
@click.option(
    "--min-weight",
    type=float,
    metavar="T",
    help="Keep the tags with a weight greater than T.  [default: all]",
)
@click.option(
    "--root", type=click.Path(), help="Where relative paths of a catalogue start.  [default: its own folder]"
)
@click.option(
    *("--format", "audio_format"),
    type=AUDIO_FORMATS,
    default="waveform",
    show_default=True,
    help="What records hold.",
)
@rate_option
@mels_option
@preset_option
@click.option(
    "--storage",
    type=click.Choice(["float32", "float16", "int16"]),
    default="float32",
    show_default=True,
    help="float16 and int16 take half the disk; TensorFlow's parser reads float32.",
)
@num_files_option
@click.option(
    "--start-stop",
    nargs=2,
    type=int,
    metavar="A B",
    help="Write only files A to B (from 1, both included): the rest is another command's, here or on another machine.",
)
@click.option("--jobs", type=int, default=-1, show_default=True, help="Processes; -1 is one a core.")
@seed_option("Of the order of tracks in the shards.")
@click.option(
    "--overwrite", is_flag=True, help="Replace the shards of other tracks, tags or settings in OUT."
)
@click.option(
    "--disk-check/--no-disk-check",
    "check_disk",
    default=True,
    show_default=True,
    help="Refuse when the disk is too small.",
)
def write(
    tracks: str,
    out: str,
    tag_sources: tuple[str, ...],
    min_weight: float | None,
    root: str | None,
    **options: Any,
) -> None:
    """Encode the recordings of TRACKS into the folder OUT.

    TRACKS is a CSV file with the columns track_id and mp3_path, or a folder of recordings. Broken recordings are left
    out and listed in OUT/skipped.csv. A command that was stopped continues when it is given again, and ends with the
    same bytes.

    \b
    Example:
      folksong shards write instruments/ shards/mel --tags instruments/ --format log-mel-spectrogram
      folksong shards write ultimate.csv shards/wave --root mp3/ --tags lastfm_tags.db --num-files 100
    """
    from pathlib import Path

    from tqdm import tqdm

    from folksong.audio.catalogue import read_catalogue, scan_folder
    from folksong.shards.writer import write_shards
    from folksong.tags.sources.read_tags import read_tags

    tables = [read_tags(source, min_weight=min_weight) for source in tag_sources]
    found = scan_folder(tracks) if Path(tracks).is_dir() else read_catalogue(tracks, root)
    try:
        manifest = write_shards(found, out, tables, progress=wants_progress(), **options)
    except KeyboardInterrupt:
        click.echo("Stopped. Finished shards are kept; run the same command again to continue.", err=True)
        raise click.exceptions.Exit(130) from None
    skipped, damaged = (manifest.provenance[key] for key in ("n_skipped", "n_damaged"))
    size = tqdm.format_sizeof(manifest.n_bytes, "B")
    click.echo(
        f"{out}: {manifest.n_tracks:,} tracks in {len(manifest.files)} files, {size}"
        + (f"; {skipped:,} left out (see skipped.csv)" if skipped else "")
        + (f"; {damaged:,} written from damaged files (see damaged.csv)" if damaged else "")
    )


@shards.command(cls=FolksongCommand)
@click.argument("folder", type=click.Path())
def verify(folder: str) -> None:
    """Check every record, hash and count of FOLDER; name all damage and exit with 1 if there is any.

    \b
    Example:
      folksong shards verify shards/mel
    """
    from folksong.shards.verify import verify_shards

    found = verify_shards(folder, progress=wants_progress())
    for problem in found.problems:
        click.echo(problem, err=True)
    n_whole = sum(file.n_whole for file in found.files)
    if not found.is_sound:
        remedy = f". `folksong shards repair {folder}` keeps the whole ones" if n_whole else ""
        click.echo(
            f"{folder}: {len(found.problems)} problems; {n_whole:,} whole records in {len(found.files)} files{remedy}"
        )
        raise click.exceptions.Exit(1)
    click.echo(f"{folder}: sound; {n_whole:,} records in {len(found.files)} files")


@shards.command(cls=FolksongCommand)
@click.argument("folder", type=click.Path())
@click.option(
    "--tracks",
    "n_shown",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Also list so many records.",
)
@click.option(
    "--database",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The tags of which database to list.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(folder: str, n_shown: int, database: int, as_json: bool) -> None:
    """Say what FOLDER holds.

    \b
    Example:
      folksong shards show shards/mel --tracks 5
    """
    from folksong.shards.reader import ShardReader
    from folksong.shards.verify import describe_records, describe_shards

    reader = ShardReader(folder)
    facts = describe_shards(reader)
    records = describe_records(reader, n_shown, database)
    if as_json:
        import json

        click.echo(json.dumps({**facts, "records": records}, ensure_ascii=False, indent=2))
        return
    echo_table([(name.replace("_", " "), value) for name, value in facts.items()], (), floats=".6g")
    if records:
        click.echo()
        echo_table(
            [
                (
                    r["track_id"],
                    r["seconds"],
                    ", ".join(r["tags"][:8]) + (", …" if len(r["tags"]) > 8 else ""),
                )
                for r in records
            ],
            ("track", "seconds", "tags"),
            floats=".1f",
        )


@shards.command(cls=FolksongCommand)
@click.argument("folder", type=click.Path())
@click.option(
    "--format",
    "audio_format",
    type=AUDIO_FORMATS,
    help="What the records hold.  [default: as the files are named]",
)
@rate_option
@mels_option
@preset_option
@click.option(
    "--one-hot-tags",
    type=click.Path(),
    metavar="FILE",
    help="The last.fm database (or a list, one tag a line) whose rows the records' one-hot tags stand for.",
)
def repair(folder: str, one_hot_tags: str | None, **options: Any) -> None:
    """Keep the whole records of FOLDER: rebuild indexes, write damaged files anew, make the manifest match.

    A damaged file stays beside the new one as NAME.tfrecord.damaged. Where a file holds no whole record (because it
    is compressed, say), nothing is touched.

    The options are for a folder without a manifest, such as files of TensorFlow or the earlier project.

    \b
    Example:
      folksong shards repair shards/mel
      folksong shards repair old/ --format log-mel-spectrogram --mels 128 --one-hot-tags clean_lastfm.db
    """
    from folksong.recordings import some_of
    from folksong.shards.maintenance import read_one_hot_tags, repair_shards

    tags = None if one_hot_tags is None else read_one_hot_tags(one_hot_tags)
    files = repair_shards(folder, one_hot_tags=tags, progress=wants_progress(), **options)
    damaged = [file for file in files if file.damage]
    for file in damaged:
        lost = f"; lost: {some_of(file.lost)}" if file.lost else ""
        click.echo(
            f"{file.name}: {file.n_kept:,} whole records kept{lost}; the damaged file is now {file.kept_as}"
        )
    click.echo(
        f"{folder}: {sum(file.n_kept for file in files):,} records in {len(files)} files, of which {len(damaged)} were "
        "damaged"
    )


@shards.command(cls=FolksongCommand)
@click.argument("folders", nargs=-1, required=True, type=click.Path())
@click.argument("out", type=click.Path())
@num_files_option
@click.option("--seed", type=click.IntRange(0), help="Shuffle the records.  [default: keep their order]")
def merge(folders: tuple[str, ...], out: str, **options: Any) -> None:
    """Copy the records of one or more FOLDERS into the new folder OUT, without decoding anything again.

    \b
    Example:
      folksong shards merge machine1/ machine2/ shards/all
      folksong shards merge shards/wave shards/wave20 --num-files 20
    """
    from folksong.shards.maintenance import merge_shards

    manifest = merge_shards(folders, out, progress=wants_progress(), **options)
    twice = manifest.provenance["n_duplicates"]
    click.echo(
        f"{out}: {manifest.n_tracks:,} tracks in {len(manifest.files)} files"
        + (f"; {twice:,} records of track ids already there left out" if twice else "")
    )
