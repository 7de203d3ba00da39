"""Making a folder of shards sound again: indexes rebuilt, whole records of damaged files kept, the manifest to match.

Also describes folders that never had a manifest: files of TensorFlow, or of the earlier project.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from folksong.audio.log_mel import FeaturePreset, read_preset
from folksong.errors import FolksongError
from folksong.files import atomic_path
from folksong.shards.example import parse_example
from folksong.shards.index import (
    AUDIO_KEY,
    SCALE_KEY,
    IndexBuilder,
    ShardIndex,
    build_index,
    index_path,
    map_file,
    read_index,
    write_index,
)
from folksong.shards.manifest import AUDIO_FORMATS, MANIFEST_NAME, Manifest, ShardFile
from folksong.shards.plan import WRITING_NAME
from folksong.shards.salvage import Salvage, find_whole_records
from folksong.shards.tfrecord import describe_foreign, iterate_records

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepairedFile:
    """What became of one shard.

    Args:
        name: of the file.
        n_kept: whole records.
        damage: a line for each damaged place; none if the file was sound.
        lost: track ids that are lost, as far as the old index tells.
        kept_as: where the damaged file lies now; None if it was sound.
    """

    name: str
    n_kept: int
    damage: tuple[str, ...]
    lost: tuple[str, ...]
    kept_as: Path | None = None


def repair_shards(
    folder: str | os.PathLike[str],
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
        folder: the shards.
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
    root = Path(folder)
    paths = sorted(root.glob("*.tfrecord"), key=_natural)
    if not paths:
        raise FolksongError(f"{root}: no .tfrecord files here; there is nothing to repair")
    old = Manifest.read(root) if (root / MANIFEST_NAME).exists() else None
    examined = [_examine(path) for path in tqdm(paths, desc="examining", unit="file", disable=not progress)]
    _refuse_foreign(examined)
    base = old or _describe(examined, audio_format, sample_rate, preset, n_mels)
    repaired, files, n_databases = [], [], 0
    for one in tqdm(examined, desc="repairing", unit="file", disable=not progress):
        outcome, index = _repair_file(one)
        repaired.append(outcome)
        files.append(ShardFile(one.path.name, len(index), index.n_bytes, index.sha256))
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


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order names as people do: shard_2 before shard_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


@dataclass(frozen=True)
class _Examined:
    """One shard as it is now: its whole records, and what is wrong with the rest."""

    path: Path
    salvage: Salvage
    foreign: str | None


def _examine(path: Path) -> _Examined:
    """Look at one shard without changing anything.

    Raises:
        RecordError: a record is whole but holds no audio.
    """
    data = map_file(path)
    salvage = find_whole_records(data, path)
    builder = IndexBuilder()
    for record in salvage.records:
        builder.add(data, record, path)
    foreign = None
    if len(data) and not salvage.records:
        foreign = describe_foreign(data) or "no whole record is in it"
    return _Examined(path, salvage, foreign)


def _refuse_foreign(examined: Sequence[_Examined]) -> None:
    """Leave a folder alone in which a file has nothing to keep: emptying it would lose what it is."""
    foreign = [f"{one.path}: {one.foreign}" for one in examined if one.foreign is not None]
    if foreign:
        more = f"\n… and {len(foreign) - 10} more" if len(foreign) > 10 else ""
        raise FolksongError(
            "nothing was changed, since there is nothing to keep of\n"
            + "\n".join(foreign[:10])
            + f"{more}\nmend or move these files away, then repair the folder again"
        )


def _repair_file(one: _Examined) -> tuple[RepairedFile, ShardIndex]:
    path, salvage = one.path, one.salvage
    lost: tuple[str, ...] = ()
    kept_as: Path | None = None
    if salvage.damage:
        lost = _lost_tracks(path, {record.offset for record in salvage.records})
        kept_as = _replace_keeping(path, salvage)
        index_path(path).unlink(missing_ok=True)
        logger.warning(
            "%s: %d whole records kept; %s; the damaged file is kept as %s",
            path, len(salvage.records), "; ".join(salvage.damage), kept_as.name,
        )  # fmt: skip
    index = build_index(path)
    write_index(index, path)
    return RepairedFile(path.name, len(index), salvage.damage, lost, kept_as), index


def _replace_keeping(path: Path, salvage: Salvage) -> Path:
    """Put a file with the whole records in a damaged one's place; return the name under which that one stays."""
    data = map_file(path)
    with atomic_path(path) as temporary:
        with temporary.open("wb") as stream:
            for record in salvage.records:
                stream.write(data[record.offset : record.end].data)
        written = sum(1 for _ in iterate_records(map_file(temporary), temporary))
        if written != len(salvage.records):
            raise FolksongError(
                f"{path}: {written} of {len(salvage.records)} records were written; nothing was changed"
            )
        kept_as = _free_name(path)
        try:
            kept_as.hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copy2(path, kept_as)
    return kept_as


def _free_name(path: Path) -> Path:
    """Return a name for the damaged file that no file has yet."""
    number = 1
    while True:
        name = path.with_name(path.name + (".damaged" if number == 1 else f".damaged{number}"))
        if not name.exists():
            return name
        number += 1


def _lost_tracks(path: Path, kept_offsets: set[int]) -> tuple[str, ...]:
    try:
        index = read_index(path)
    except FolksongError:
        return ()
    return tuple(
        track_id
        for track_id, offset in zip(index.track_ids, index.offsets.tolist(), strict=True)
        if offset not in kept_offsets
    )


def _describe(
    examined: Sequence[_Examined],
    audio_format: str | None,
    sample_rate: int,
    preset: str | FeaturePreset,
    n_mels: int | None,
) -> Manifest:
    """Return a manifest without files for a folder that has none."""
    if audio_format is None:
        found = [
            name for name in AUDIO_FORMATS if all(one.path.name.startswith(f"{name}_") for one in examined)
        ]
        if not found:
            raise FolksongError(
                f"{examined[0].path.parent}: the files' names do not tell what they hold; say so with "
                "--format waveform or --format log-mel-spectrogram"
            )
        audio_format = found[0]
    settings = None
    if audio_format != "waveform":
        settings = read_preset(preset) if isinstance(preset, str) else preset
        settings = replace(
            settings, sample_rate=sample_rate, n_mels=settings.n_mels if n_mels is None else n_mels
        )
    return Manifest(audio_format, sample_rate, settings, (), storage=_storage_of(examined))


def _storage_of(examined: Sequence[_Examined]) -> str:
    """Return the storage of the first record's audio."""
    for one in examined:
        for record in one.salvage.records[:1]:
            data = map_file(one.path)
            features = parse_example(data[record.payload_offset : record.payload_offset + record.length])
            if features[AUDIO_KEY].kind == "float":
                return "float32"
            return "int16" if SCALE_KEY in features else "float16"
    return "float32"
