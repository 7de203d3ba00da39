"""What a folder of shards holds, and whether it is whole: each CRC, hash, record, index and count."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from folksong.errors import FileFormatError, FolksongError
from folksong.shards.format import (
    FOOTER_BYTES,
    HEADER_BYTES,
    Bytes,
    Record,
    RecordError,
    describe_foreign,
    whole_record,
)
from folksong.shards.index import (
    IndexBuilder,
    Manifest,
    ShardFile,
    ShardIndex,
    index_path,
    map_file,
    read_index,
    sha256_of,
)
from folksong.shards.reader import ShardReader, remember_checked, stamp
from folksong.stores import on_disk, text_of

SEARCH_BLOCK_BYTES = 1 << 20


def describe_shards(reader: ShardReader) -> dict[str, Any]:
    """Return the facts of a folder of shards, as JSON values by name."""
    manifest = reader.manifest
    databases = range(manifest.n_tag_databases)
    one_hot = manifest.one_hot_tags is None and any(reader.one_hot_length(database) for database in databases)
    tables = [] if one_hot else [reader.tag_table(database) for database in databases]
    return {
        "folder": text_of(reader.folder),
        "audio_format": manifest.audio_format,
        "sample_rate_hz": manifest.sample_rate,
        "preset": None if manifest.preset is None else manifest.preset.name,
        "n_mels": None if manifest.preset is None else manifest.preset.n_mels,
        "storage": manifest.storage,
        "n_files": len(manifest.files),
        "n_tracks": manifest.n_tracks,
        "hours": round(float(_seconds_of(reader).sum()) / 3600, 4),
        "n_bytes": manifest.n_bytes,
        "n_tag_databases": manifest.n_tag_databases,
        "n_tags": [table.n_tags for table in tables],
        "n_tag_counts": [table.n_counts for table in tables],
        **{key: manifest.provenance.get(key) for key in ("n_skipped", "n_damaged", "n_untagged", "seed")},
    }


def describe_records(reader: ShardReader, n: int, database: int = 0) -> list[dict[str, Any]]:
    """Return track id, length in seconds and tags (heaviest first) of the first `n` records, as JSON values by name."""
    seconds = _seconds_of(reader)
    has_tags = database < reader.manifest.n_tag_databases
    return [
        {
            "track_id": reader.track_ids[i],
            "seconds": round(float(seconds[i]), 3),
            "tags": reader.tags(i, database)[0] if has_tags else [],
        }
        for i in range(min(n, len(reader)))
    ]


def _seconds_of(reader: ShardReader) -> npt.NDArray[Any]:
    """Return (n_tracks,) lengths in seconds; of spectrograms to the next frame."""
    hop = 1 if reader.manifest.preset is None else reader.manifest.preset.hop_length
    return reader.n_steps * hop / reader.manifest.sample_rate


@dataclass(frozen=True)
class ExaminedShard:
    """A shard as it is, whatever happened to it.

    Args:
        records: those that are whole and hold audio.
        damage: an error for each place where none is: flipped bits, a cut, a hole, foreign bytes in between.
        index: of the whole records.
        storages: in which their audio is.
        foreign: what the file is if there is no whole record in it, else None.
    """

    records: tuple[Record, ...]
    damage: tuple[RecordError, ...]
    index: ShardIndex
    storages: frozenset[str]
    foreign: str | None


def examine_shard(path: Path) -> ExaminedShard:
    """Find all whole records of a shard, wherever they begin."""
    data, builder = map_file(path), IndexBuilder()
    records: list[Record] = []
    damage: list[RecordError] = []
    offset = 0
    while offset < len(data):
        try:
            record = whole_record(data, offset, len(records) + len(damage), path)
        except RecordError as error:
            damage.append(error)
            offset = _next_record(data, offset + 1, path)
            continue
        offset = record.end
        try:
            builder.add(record.payload_of(data), record, path)
            records.append(record)
        except RecordError as error:
            damage.append(error)
    index = builder.finish(sha256_of(data), len(data))
    foreign = describe_foreign(data) or "no whole record is in it" if len(data) and not records else None
    return ExaminedShard(tuple(records), tuple(damage), index, frozenset(builder.storages), foreign)


def _next_record(data: Bytes, start: int, path: Path) -> int:
    """Return the first byte, from `start` on, at which a whole record begins; the file's length if there is none."""
    last = len(data) - HEADER_BYTES - FOOTER_BYTES
    for first in range(start, last + 1, SEARCH_BLOCK_BYTES):
        positions = np.arange(first, min(first + SEARCH_BLOCK_BYTES, last + 1))
        lengths = np.zeros(len(positions), np.uint64)
        for byte in range(8):
            lengths |= data[positions + byte].astype(np.uint64) << np.uint64(8 * byte)
        fits = lengths <= (last - positions).astype(np.uint64)
        for position in positions[fits].tolist():
            try:
                whole_record(data, position, 0, path)
            except RecordError:
                continue
            return int(position)
    return len(data)


@dataclass(frozen=True)
class FileCheck:
    """What was found in one shard: its whole records, and a line for each problem (none: it is sound)."""

    name: str
    n_whole: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """What was found in a folder of shards."""

    files: tuple[FileCheck, ...]
    problems: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether there is no problem at all."""
        return not self.problems


def verify_shards(shards: str | os.PathLike[str], *, progress: bool = False) -> Verification:
    """Check a folder of shards thoroughly; go on after a problem, so that all are named."""
    root = on_disk(shards)
    manifest = Manifest.read(root)
    checks = []
    sound: dict[str, list[int]] = {}
    track_ids: Counter[str] = Counter()
    with tqdm(total=manifest.n_bytes, unit="B", unit_scale=True, disable=not progress) as bar:
        for file in manifest.files:
            path = root / file.name
            try:
                if not path.exists():
                    raise FolksongError(f"{path}: missing, though the manifest lists it")
                found = examine_shard(path)
            except FolksongError as error:
                checks.append(FileCheck(file.name, 0, (str(error),)))
                continue
            checks.append(
                FileCheck(file.name, len(found.records), tuple(_problems(path, found, file, manifest)))
            )
            track_ids.update(found.index.track_ids)
            if not checks[-1].problems:
                sound[file.name] = stamp(path)
            bar.update(file.n_bytes)
    problems = [problem for check in checks for problem in check.problems]
    if not problems and not manifest.n_tracks:
        problems.append(f"{root}: no records at all")
    twice = [track_id for track_id, count in track_ids.items() if count > 1]
    if twice:
        problems.append(f"{root}: {len(twice)} track ids occur in several records, the first is {twice[0]!r}")
    listed = {file.name for file in manifest.files}
    unlisted = [path for path in sorted(root.glob("*.tfrecord")) if path.name not in listed]
    problems += [f"{path}: a shard that the manifest does not list" for path in unlisted]
    remember_checked(root, sound)
    return Verification(tuple(checks), tuple(problems))


def _problems(path: Path, found: ExaminedShard, file: ShardFile, manifest: Manifest) -> list[str]:
    """Return a line for each thing in which a shard is not what the manifest says, or its index not what it holds."""
    index = found.index
    problems = [f"{path}: record {e.number} at byte {e.offset}: {e.reason}" for e in found.damage]
    if index.n_bytes != file.n_bytes:
        problems.insert(0, f"{path}: {index.n_bytes} bytes, the manifest says {file.n_bytes}")
    elif not problems and index.sha256 != file.sha256:
        problems.append(f"{path}: its SHA-256 is not the manifest's, though every CRC is right: another file")
    if len(index) != file.n_tracks:
        problems.append(f"{path}: {len(index)} whole records, the manifest says {file.n_tracks}")
    step = manifest.bytes_a_step
    problems += [
        f"{path}: record {number} ({index.track_ids[number]}): {n_bytes} bytes of audio, not {step} a step"
        for number, n_bytes in enumerate(index.audio_bytes.tolist())
        if n_bytes == 0 or n_bytes % step
    ]
    if other := found.storages - {manifest.storage}:
        problems.append(
            f"{path}: audio stored as {', '.join(sorted(other))}, the manifest says {manifest.storage}"
        )
    if not problems and file.index_sha256 not in (None, index.digest()):
        problems.append(f"{path}: what its records hold is not what the manifest's hash of the index says")
    if problems:
        return problems
    try:
        same = read_index(path).digest() == index.digest()
    except FileFormatError as error:
        return [f"{error}; the next reading builds it anew"]
    return [] if same else [f"{index_path(path)}: not the index of this shard; delete it"]
