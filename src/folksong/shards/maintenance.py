"""Making folders of shards anew: repairing damaged ones, and merging some into one with another number of files.

A repair keeps whole records, rebuilds indexes and makes the manifest match. It also describes folders that never had a
manifest: files of TensorFlow, or of the earlier project.
"""

import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from folksong.audio.log_mel import FeaturePreset
from folksong.claims import Claims
from folksong.errors import FileFormatError, FolksongError
from folksong.shards.encoding import free_bytes, make_encoding
from folksong.shards.format import ContentError
from folksong.shards.index import (
    AUDIO_FORMATS,
    MANIFEST_NAME,
    WRITING_NAME,
    Manifest,
    ShardFile,
    ShardIndex,
    map_file,
    read_index,
    write_index,
    write_records,
)
from folksong.shards.plan import number_of_files
from folksong.shards.reader import ShardReader
from folksong.shards.verify import ExaminedShard, examine_shard
from folksong.stores import on_disk, open_store
from folksong.tags.sources.lastfm import is_sqlite
from folksong.tags.tag_lists import read_tag_list

logger = logging.getLogger(__name__)

_MUST_AGREE = ("audio_format", "sample_rate", "preset", "storage", "n_tag_databases", "one_hot_tags")


@dataclass(frozen=True)
class RepairedFile:
    """What became of one shard: whole records kept, a line for each damaged place, and the track ids lost, if known.

    `kept_as` is where the damaged file lies now; None if it was sound.
    """

    name: str
    n_kept: int
    damage: tuple[str, ...]
    lost: tuple[str, ...]
    kept_as: Path | None = None


def repair_shards(
    shards: str | os.PathLike[str],
    *,
    audio_format: str | None = None,
    sample_rate: int = 16000,
    preset: str | FeaturePreset = "urop2019",
    n_mels: int | None = None,
    one_hot_tags: Sequence[str] | None = None,
    progress: bool = False,
) -> list[RepairedFile]:
    """Keep what is whole in a folder of shards and make indexes and manifest match it.

    Damaged files are written anew with their whole records and stay beside the new ones as ``NAME.tfrecord.damaged``;
    sound files are left as they are. Files that the manifest does not list are taken in, files that are gone are
    dropped from it. Where a file has no whole record at all (it is compressed, or something else altogether), nothing
    in the folder is touched.

    Args:
        shards: the folder.
        audio_format: what records hold, if there is no manifest; None tells it from the files' names.
        sample_rate: Hz, if there is no manifest.
        preset: of spectrograms, if there is no manifest.
        n_mels: mel bands, if there is no manifest; None takes the preset's.
        one_hot_tags: the tag database's tags in its order, if records hold a one-hot over them.
        progress: show a progress bar.

    Raises:
        FolksongError: there is nothing to repair or nothing to keep of a file, or what the records hold cannot be
            told.
    """
    root = on_disk(shards)
    paths = sorted(root.glob("*.tfrecord"), key=_natural)
    if not paths:
        raise FolksongError(f"{root}: no .tfrecord files here; there is nothing to repair")
    if Claims(open_store(root), WRITING_NAME).holders():
        raise FolksongError(f"{root}: another process writes shards here; wait until it has ended")
    old = Manifest.read(root) if (root / MANIFEST_NAME).exists() else None
    examined = {
        path: examine_shard(path) for path in tqdm(paths, "examining", unit="file", disable=not progress)
    }
    _refuse_foreign(examined)
    base = old or _describe(root, examined, audio_format, sample_rate, preset, n_mels)
    recordings = {} if old is None else {file.sha256: file.recordings_sha256 for file in old.files}
    repaired, files, n_databases = [], [], 0
    for path, found in tqdm(examined.items(), "repairing", unit="file", disable=not progress):
        outcome, index = _repair_file(path, found)
        repaired.append(outcome)
        files.append(ShardFile.of(path.name, index, recordings.get(index.sha256)))
        n_databases = max(n_databases, len(index.tags))
    provenance = dict(base.provenance)
    if old is None or {file.sha256 for file in files} != {file.sha256 for file in old.files}:
        provenance.pop("inputs_sha256", None)  # these are no longer the shards of that writing
        provenance["repaired"] = True
    if one_hot_tags is not None:
        base = replace(base, one_hot_tags=tuple(one_hot_tags))
    replace(base, files=tuple(files), n_tag_databases=n_databases, provenance=provenance).write(root)
    shutil.rmtree(root / WRITING_NAME, ignore_errors=True)
    return repaired


def read_one_hot_tags(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the tags behind a one-hot of the earlier project: position p is row p + 1 of the database's `tags`.

    `path` is a last.fm database, or a text file with one tag a line.
    """
    if not Path(path).is_file():
        raise FolksongError(f"{path}: no such file; a last.fm database or a list of tags is needed")
    if not is_sqlite(path):
        return read_tag_list(path)
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT ROWID, tag FROM tags ORDER BY ROWID").fetchall()
    except sqlite3.Error as error:
        raise FileFormatError(f"{path}: not a last.fm tag database ({error})") from error
    if [row_id for row_id, _ in rows] != list(range(1, len(rows) + 1)):
        raise FileFormatError(
            f"{path}: the row ids of its table `tags` are not 1 to {len(rows)}: no one-hot was made from it"
        )
    return tuple(str(tag) for _, tag in rows)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order names as people do: shard_2 before shard_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _refuse_foreign(examined: Mapping[Path, ExaminedShard]) -> None:
    """Leave a folder alone in which a file has nothing to keep: emptying it would lose what it is."""
    for found in examined.values():
        for error in found.damage:
            if isinstance(error, ContentError):
                raise error
    foreign = [f"{path}: {found.foreign}" for path, found in examined.items() if found.foreign]
    if foreign:
        more = f"\n… and {len(foreign) - 10} more" if len(foreign) > 10 else ""
        raise FolksongError(
            "nothing was changed, since there is nothing to keep of\n"
            + "\n".join(foreign[:10])
            + f"{more}\nmend or move these files away, then repair the folder again"
        )


def _repair_file(path: Path, found: ExaminedShard) -> tuple[RepairedFile, ShardIndex]:
    if not found.damage:
        write_index(found.index, path)
        return RepairedFile(path.name, len(found.index), (), ()), found.index
    damage = tuple(f"byte {error.offset}: {error.reason}" for error in found.damage)
    lost = _lost_tracks(path, found)
    data, kept_as = map_file(path), _keep_beside(path)
    try:
        index = write_records(path, (record.payload_of(data).tobytes() for record in found.records))
    except FolksongError:
        kept_as.unlink()
        raise
    logger.warning(
        "%s: %d whole records kept; %s; the damaged file is kept as %s",
        *(path, len(index), "; ".join(damage), kept_as.name),
    )
    return RepairedFile(path.name, len(index), damage, lost, kept_as), index


def _keep_beside(path: Path) -> Path:
    """Give a damaged file a second name, and return it."""
    number, kept_as = 1, path.with_name(f"{path.name}.damaged")
    while kept_as.exists():
        number += 1
        kept_as = path.with_name(f"{path.name}.damaged{number}")
    try:
        kept_as.hardlink_to(path)
    except OSError:  # a file system without hard links
        shutil.copy2(path, kept_as)
    return kept_as


def _lost_tracks(path: Path, found: ExaminedShard) -> tuple[str, ...]:
    try:
        index = read_index(path)
    except FolksongError:
        return ()
    kept = {record.offset for record in found.records}
    pairs = zip(index.track_ids, index.offsets.tolist(), strict=True)
    return tuple(track_id for track_id, offset in pairs if offset not in kept)


def _describe(
    root: Path,
    examined: Mapping[Path, ExaminedShard],
    audio_format: str | None,
    sample_rate: int,
    preset: str | FeaturePreset,
    n_mels: int | None,
) -> Manifest:
    """Return a manifest without files for a folder that has none."""
    if audio_format is None:
        found = [kind for kind in AUDIO_FORMATS if all(path.name.startswith(f"{kind}_") for path in examined)]
        if not found:
            raise FolksongError(
                f"{root}: the files' names do not tell what they hold; give the audio format, "
                f"{' or '.join(AUDIO_FORMATS)}"
            )
        audio_format = found[0]
    storages = {storage for one in examined.values() for storage in one.storages} or {"float32"}
    if len(storages) > 1:
        raise FolksongError(f"{root}: audio stored as {' and as '.join(sorted(storages))}")
    encoding = make_encoding(audio_format, sample_rate, preset, n_mels, storages.pop())
    return Manifest(audio_format, sample_rate, encoding.preset, (), storage=encoding.storage)


def merge_shards(
    folders: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    n_files: int | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Manifest:
    """Copy the records of one or more folders of shards into a new one, without decoding anything again.

    Args:
        folders: of the same format, rate, preset, storage and number of tag databases. Of a track id that occurs
            several times the first record is kept.
        out: a new or empty folder.
        n_files: number of shards; None chooses by the number of tracks.
        seed: shuffle the records; None keeps their order.
        progress: show a progress bar.
    """
    target = Path(out)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FolksongError(f"{target}: not an empty folder; the new shards need a folder of their own")
    readers = [ShardReader(folder) for folder in folders]
    if not readers:
        raise FolksongError("there are no folders of shards to merge")
    _require_agreement(readers)
    first: dict[str, tuple[ShardReader, int]] = {}
    for reader in readers:
        for i, track_id in enumerate(reader.track_ids):
            first.setdefault(track_id, (reader, i))
    records = list(first.values())
    needed, free = sum(reader.manifest.n_bytes for reader in readers), free_bytes(target)
    if needed > free:
        raise FolksongError(
            f"{target}: the disk is too small: {tqdm.format_sizeof(needed, 'B')} are needed, "
            f"{tqdm.format_sizeof(free, 'B')} free"
        )
    order = np.arange(len(records)) if seed is None else np.random.default_rng(seed).permutation(len(records))
    base = readers[0].manifest
    files = []
    with tqdm(total=len(records), unit="track", disable=not progress) as bar:
        for number, part in enumerate(np.array_split(order, number_of_files(len(records), n_files)), 1):
            path = target / f"{base.audio_format}_{number}.tfrecord"
            index = write_records(
                path, (reader.payload(i).tobytes() for reader, i in map(records.__getitem__, part))
            )
            files.append(ShardFile.of(path.name, index))
            bar.update(len(part))
    provenance = {
        "merged_from": [dict(reader.manifest.provenance) for reader in readers],
        "n_duplicates": sum(map(len, readers)) - len(records),
        "seed": seed,
    }
    manifest = replace(base, files=tuple(files), provenance=provenance)
    manifest.write(target)
    return manifest


def _require_agreement(readers: list[ShardReader]) -> None:
    first = readers[0]
    for reader in readers[1:]:
        for key in _MUST_AGREE:
            ours, theirs = getattr(first.manifest, key), getattr(reader.manifest, key)
            if ours != theirs:
                raise FolksongError(
                    f"{first.folder} and {reader.folder} do not fit together: {key} is {ours} here and {theirs} there"
                )
