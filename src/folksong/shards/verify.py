"""Every check of a folder of shards: each CRC, each hash, each record's content, all counts against the manifest."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from folksong.errors import FileFormatError, FolksongError
from folksong.files import HASH_BLOCK_BYTES
from folksong.shards.checked import remember_checked, stamp
from folksong.shards.index import IndexBuilder, ShardIndex, index_path, map_file, read_index, same_index
from folksong.shards.manifest import Manifest, ShardFile
from folksong.shards.tfrecord import Bytes, RecordError, whole_record

logger = logging.getLogger(__name__)


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


def verify_shards(folder: str | os.PathLike[str], *, progress: bool = False) -> Verification:
    """Check a folder of shards thoroughly; go on after a problem, so that all are named.

    Raises:
        FolksongError: the folder or its manifest is missing or unreadable.
    """
    root = Path(folder)
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
    problems += [
        f"{path}: a shard that the manifest does not list"
        for path in sorted(root.glob("*.tfrecord"))
        if path.name not in listed
    ]
    remember_checked(root, sound)
    return Verification(tuple(checks), tuple(problems))


def _check_file(path: Path, file: ShardFile, manifest: Manifest) -> tuple[FileCheck, ShardIndex | None]:
    if not path.exists():
        return FileCheck(file.name, 0, (f"{path}: missing, though the manifest lists it",)), None
    try:
        data = map_file(path)
    except FolksongError as error:
        return FileCheck(file.name, 0, (str(error),)), None
    problems: list[str] = []
    if len(data) != file.n_bytes:
        problems.append(f"{path}: {len(data)} bytes, the manifest says {file.n_bytes}")
    builder = IndexBuilder()
    n_whole = _check_records(data, path, builder, problems)
    index = builder.finish(sha256_of(data), len(data))
    if not problems and index.sha256 != file.sha256:
        problems.append(f"{path}: its SHA-256 is not the manifest's, though every CRC is right: another file")
    if n_whole != file.n_tracks:
        problems.append(f"{path}: {n_whole} whole records, the manifest says {file.n_tracks}")
    problems += _check_content(path, index, manifest)
    if not problems:
        problems += _check_index(path, index)
    return FileCheck(file.name, n_whole, tuple(problems)), index


def _check_records(data: Bytes, path: Path, builder: IndexBuilder, problems: list[str]) -> int:
    """Add the whole records to `builder`, tell of the others, and return how many are whole."""
    offset = number = n_whole = 0
    while offset < len(data):
        try:
            record = whole_record(data, offset, number, path)
            builder.add(data, record, path)
            n_whole += 1
        except RecordError as error:
            problems.append(f"{path}: record {number} at byte {offset}: {error.reason}")
            if error.end is None:
                break
            offset, number = error.end, number + 1
            continue
        offset, number = record.end, number + 1
    return n_whole


def _check_content(path: Path, index: ShardIndex, manifest: Manifest) -> list[str]:
    """Return what is wrong with the audio of records that are whole."""
    problems = []
    step = manifest.bytes_a_step
    for number, n_bytes in enumerate(index.audio_bytes.tolist()):
        if n_bytes == 0 or n_bytes % step:
            problems.append(
                f"{path}: record {number} ({index.track_ids[number]}): {n_bytes} bytes of audio, not {step} a step"
            )
    return problems


def _check_index(path: Path, index: ShardIndex) -> list[str]:
    try:
        stored = read_index(path)
    except FileFormatError as error:
        return [f"{error}; the next reading builds it anew"]
    return (
        [] if same_index(stored, index) else [f"{index_path(path)}: not the index of this shard; delete it"]
    )


def sha256_of(data: Bytes) -> str:
    """Return the SHA-256 of a mapped file."""
    digest = hashlib.sha256()
    for start in range(0, len(data), HASH_BLOCK_BYTES):
        digest.update(data[start : start + HASH_BLOCK_BYTES].data)
    return digest.hexdigest()
