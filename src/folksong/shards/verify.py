"""What a folder of shards holds, and whether it is whole: each CRC, hash, record, index and count."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from tqdm import tqdm

from folksong.errors import FileFormatError, FolksongError
from folksong.shards.format import Bytes, RecordError, whole_record
from folksong.shards.index import (
    IndexBuilder,
    ShardIndex,
    index_path,
    map_file,
    read_index,
    sha256_of,
)
from folksong.shards.manifest import Manifest, ShardFile
from folksong.shards.reader import ShardReader, remember_checked, stamp


@dataclass(frozen=True)
class RecordFacts:
    """One record: its track id, length in seconds and tags, heaviest first."""

    track_id: str
    seconds: float
    tags: tuple[str, ...]


def describe_shards(reader: ShardReader) -> dict[str, Any]:
    """Return the facts of a folder of shards, as JSON values by name."""
    manifest = reader.manifest
    databases = range(manifest.n_tag_databases)
    one_hot = manifest.one_hot_tags is None and any(reader.one_hot_length(database) for database in databases)
    tables = [] if one_hot else [reader.tag_table(database) for database in databases]
    return {
        "folder": str(reader.folder),
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


def describe_records(reader: ShardReader, n: int, database: int = 0) -> list[RecordFacts]:
    """Return the facts of the first `n` records."""
    seconds = _seconds_of(reader)
    has_tags = database < reader.manifest.n_tag_databases
    return [
        RecordFacts(
            reader.track_ids[i],
            round(float(seconds[i]), 3),
            tuple(reader.tags(i, database)[0]) if has_tags else (),
        )
        for i in range(min(n, len(reader)))
    ]


def _seconds_of(reader: ShardReader) -> npt.NDArray[Any]:
    """Return (n_tracks,) lengths in seconds; of spectrograms to the next frame."""
    hop = 1 if reader.manifest.preset is None else reader.manifest.preset.hop_length
    return reader.n_steps * hop / reader.manifest.sample_rate


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
    """Check a folder of shards thoroughly; go on after a problem, so that all are named.

    Raises:
        FolksongError: the folder or its manifest is missing or unreadable.
    """
    root = Path(shards)
    manifest = Manifest.read(root)
    checks = []
    sound: dict[str, list[int]] = {}
    track_ids: Counter[str] = Counter()
    with tqdm(total=manifest.n_bytes, unit="B", unit_scale=True, disable=not progress) as bar:
        for file in manifest.files:
            check, index = _check_file(root / file.name, file, manifest)
            checks.append(check)
            if index is not None:
                track_ids.update(index.track_ids)
            if not check.problems:
                sound[file.name] = stamp(root / file.name)
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


def _check_file(path: Path, file: ShardFile, manifest: Manifest) -> tuple[FileCheck, ShardIndex | None]:
    if not path.exists():
        return FileCheck(file.name, 0, (f"{path}: missing, though the manifest lists it",)), None
    try:
        data = map_file(path)
    except FolksongError as error:
        return FileCheck(file.name, 0, (str(error),)), None
    builder = IndexBuilder()
    problems = _check_records(data, path, builder)
    index = builder.finish(sha256_of(data), len(data))
    if len(data) != file.n_bytes:
        problems.insert(0, f"{path}: {len(data)} bytes, the manifest says {file.n_bytes}")
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
    if other := builder.storages - {manifest.storage}:
        problems.append(
            f"{path}: audio stored as {', '.join(sorted(other))}, the manifest says {manifest.storage}"
        )
    if not problems and file.index_sha256 not in (None, index.digest()):
        problems.append(f"{path}: what its records hold is not what the manifest's hash of the index says")
    if not problems:
        problems += _check_index(path, index)
    return FileCheck(file.name, len(index), tuple(problems)), index


def _check_records(data: Bytes, path: Path, builder: IndexBuilder) -> list[str]:
    """Add the whole records to `builder` and return what is wrong with the others."""
    problems = []
    offset = number = 0
    while offset < len(data):
        try:
            record = whole_record(data, offset, number, path)
            builder.add(record.payload_of(data), record, path)
            offset = record.end
        except RecordError as error:
            problems.append(f"{path}: record {number} at byte {offset}: {error.reason}")
            if error.end is None:
                break
            offset = error.end
        number += 1
    return problems


def _check_index(path: Path, index: ShardIndex) -> list[str]:
    try:
        same = read_index(path).digest() == index.digest()
    except FileFormatError as error:
        return [f"{error}; the next reading builds it anew"]
    return [] if same else [f"{index_path(path)}: not the index of this shard; delete it"]
