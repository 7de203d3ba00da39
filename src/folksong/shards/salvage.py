"""Finding the whole records of a damaged file: after a cut, a flipped bit, a hole, or foreign bytes in between."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from folksong.shards.tfrecord import FOOTER_BYTES, HEADER_BYTES, Bytes, Record, RecordError, whole_record

SEARCH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Salvage:
    """The whole records of a file, in order, and one line for each damaged place."""

    records: tuple[Record, ...]
    damage: tuple[str, ...]


def find_whole_records(data: Bytes, path: str | os.PathLike[str]) -> Salvage:
    """Return all records of a file whose CRCs are right, wherever they begin."""
    records: list[Record] = []
    damage: list[str] = []
    offset = 0
    while offset < len(data):
        try:
            record = whole_record(data, offset, len(records), path)
        except RecordError as error:
            damage.append(f"byte {offset}: {error.reason}")
            offset = _next_record(data, offset + 1, path)
        else:
            records.append(record)
            offset = record.end
    return Salvage(tuple(records), tuple(damage))


def _next_record(data: Bytes, start: int, path: str | os.PathLike[str]) -> int:
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
