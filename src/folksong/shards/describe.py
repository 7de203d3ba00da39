"""What a folder of shards holds, in words and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from folksong.shards.reader import ShardReader


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
        "hours": round(float(seconds_of(reader).sum()) / 3600, 4),
        "n_bytes": manifest.n_bytes,
        "n_tag_databases": manifest.n_tag_databases,
        "n_tags": [table.n_tags for table in tables],
        "n_tag_counts": [table.n_counts for table in tables],
        "n_skipped": manifest.provenance.get("n_skipped"),
        "n_damaged": manifest.provenance.get("n_damaged"),
        "n_untagged": manifest.provenance.get("n_untagged"),
        "seed": manifest.provenance.get("seed"),
    }


def describe_records(reader: ShardReader, n: int, database: int = 0) -> list[RecordFacts]:
    """Return the facts of the first `n` records."""
    seconds = seconds_of(reader)
    has_tags = database < reader.manifest.n_tag_databases
    return [
        RecordFacts(
            reader.track_ids[i],
            round(float(seconds[i]), 3),
            tuple(reader.tags(i, database)[0]) if has_tags else (),
        )
        for i in range(min(n, len(reader)))
    ]


def seconds_of(reader: ShardReader) -> Any:
    """Return (n_tracks,) lengths in seconds; of spectrograms to the next frame."""
    hop = 1 if reader.manifest.preset is None else reader.manifest.preset.hop_length
    return reader.n_steps * hop / reader.manifest.sample_rate
