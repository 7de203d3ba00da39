"""Folders of shards into one, or into another number of files, without decoding anything again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from folksong.errors import FolksongError
from folksong.files import atomic_path
from folksong.shards.estimate import free_bytes, readable_bytes
from folksong.shards.index import IndexBuilder, write_index
from folksong.shards.manifest import Manifest, ShardFile
from folksong.shards.plan import FEWEST_FILES, MOST_FILES, TRACKS_PER_FILE
from folksong.shards.reader import ShardReader
from folksong.shards.tfrecord import FOOTER_BYTES, HEADER_BYTES, Record

_MUST_AGREE = ("audio_format", "sample_rate", "preset", "storage", "n_tag_databases", "one_hot_tags")


def merge_shards(
    folders: Sequence[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    *,
    n_files: int | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Manifest:
    """Copy the records of one or more folders of shards into a new one.

    Args:
        folders: of the same format, rate, preset, storage and number of tag databases. Of a track id that occurs
            several times the first record is kept.
        out_dir: a new or empty folder.
        n_files: number of shards; None chooses by the number of tracks.
        seed: shuffle the records; None keeps their order.
        progress: show a progress bar.

    Raises:
        FolksongError: the folders do not fit together, or the new one is not empty or its disk too small.
    """
    readers = [ShardReader(folder) for folder in folders]
    if not readers:
        raise FolksongError("there are no folders of shards to merge")
    _require_agreement(readers)
    out = Path(out_dir)
    if out.exists() and any(out.iterdir()):
        raise FolksongError(f"{out}: not empty; the new shards need a folder of their own")
    records, n_twice = _without_duplicates(readers)
    needed = sum(reader.manifest.n_bytes for reader in readers)
    if needed > free_bytes(out):
        raise FolksongError(
            f"{out}: the disk is too small: {readable_bytes(needed)} are needed, {readable_bytes(free_bytes(out))} free"
        )
    if n_files is None:
        n_files = min(MOST_FILES, max(FEWEST_FILES, -(-len(records) // TRACKS_PER_FILE)))
    order = np.arange(len(records)) if seed is None else np.random.default_rng(seed).permutation(len(records))
    base = readers[0].manifest
    files = []
    with tqdm(total=len(records), unit="track", disable=not progress) as bar:
        for number, part in enumerate(np.array_split(order, max(1, min(n_files, len(records)))), 1):
            path = out / f"{base.audio_format}_{number}.tfrecord"
            files.append(_copy_records(path, [records[position] for position in part]))
            bar.update(len(part))
    sources = [dict(reader.manifest.provenance) for reader in readers]
    manifest = replace(
        base, files=tuple(files), provenance={"merged_from": sources, "n_duplicates": n_twice, "seed": seed}
    )
    manifest.write(out)
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


def _without_duplicates(readers: list[ShardReader]) -> tuple[list[tuple[ShardReader, int]], int]:
    seen: set[str] = set()
    records = []
    for reader in readers:
        for i, track_id in enumerate(reader.track_ids):
            if track_id not in seen:
                seen.add(track_id)
                records.append((reader, i))
    return records, sum(map(len, readers)) - len(records)


def _copy_records(path: Path, records: list[tuple[ShardReader, int]]) -> ShardFile:
    builder, digest = IndexBuilder(), hashlib.sha256()
    n_bytes = 0
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for number, (reader, i) in enumerate(records):
            framed = reader.record_bytes(i)
            stream.write(framed.data)
            digest.update(framed.data)
            length = len(framed) - HEADER_BYTES - FOOTER_BYTES
            record = Record(number, n_bytes, n_bytes + HEADER_BYTES, length)
            builder.add_payload(framed[HEADER_BYTES : HEADER_BYTES + length], record, path)
            n_bytes += len(framed)
        stream.flush()
    write_index(builder.finish(digest.hexdigest(), n_bytes), path)
    return ShardFile(path.name, len(records), n_bytes, digest.hexdigest())
