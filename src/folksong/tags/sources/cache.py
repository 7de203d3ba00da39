"""A binary copy of a tag table beside its source, so that the second open takes a moment.

The copy is keyed by the source's content (every byte is read and checked, which is some fifty times faster than
parsing it), the options it was read with, and the format's version: it is never stale. A copy that is missing,
damaged or of another source is simply not used. What the first reading warned of is said again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.files import atomic_write
from folksong.tags.table import Strings, TagTable

logger = logging.getLogger(__name__)

MAGIC = b"folksong tags\x00\x00\x01"
"""Its last two bytes are the version: change it when the layout, or what a reader makes of a source, changes."""
BLOCK_BYTES = 1 << 20
LEAST_BYTES = 32 << 20
"""Smaller sources are read so fast that no copy is made unless asked for."""


def content_key(path: str | os.PathLike[str], options: Mapping[str, Any]) -> str:
    """Return a key of a file's bytes (those of a SQLite write-ahead log beside it too) and the options of reading.

    A CRC-32C of each block of 1 MiB, hashed together: any change of a few bytes is found for certain, any other but
    for one in four billion.
    """
    digest = hashlib.sha256(MAGIC + json.dumps(options, sort_keys=True, default=str).encode())
    for part in (Path(path), Path(f"{os.fspath(path)}-wal")):
        if part.exists():
            digest.update(f"{part.stat().st_size}\n".encode())
            with part.open("rb", buffering=0) as stream:
                while block := stream.read(BLOCK_BYTES):
                    digest.update(google_crc32c.value(block).to_bytes(4, "little"))
    return digest.hexdigest()


def cache_path(path: str | os.PathLike[str], options: Mapping[str, Any]) -> Path:
    """Return where the copy of a source read with these options lies: a hidden file beside it."""
    source = Path(path)
    chosen = {name: value for name, value in options.items() if value is not None}
    mark = f".{hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]}" if chosen else ""
    return source.with_name(f".{source.name}{mark}.folksong")


def read_cache(path: str | os.PathLike[str], key: str) -> TagTable | None:
    """Return the table of a copy if it is there, whole, and of this key; else None."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    start = len(MAGIC) + 8
    if len(data) < start or data[: len(MAGIC)].tobytes() != MAGIC:
        return None
    length = int.from_bytes(data[len(MAGIC) : start].tobytes(), "little")
    try:
        header = json.loads(data[start : start + length].tobytes())
        if header["key"] != key or header["bytes"] != len(data) - start - length:
            return None
        arrays = _arrays(data[start + length :], header["arrays"])
        if google_crc32c.value(data[start + length :]) != header["crc"]:
            return None
        weights = sp.csr_matrix(
            (arrays["data"], arrays["indices"], arrays["indptr"]), shape=tuple(header["shape"]), copy=False
        )
        track_ids, tags = (_names(arrays, name, header["lengths"][name]) for name in ("track_ids", "tags"))
        table = TagTable(track_ids, tags, weights)
    except (ValueError, KeyError) as error:
        logger.info("%s: a damaged copy is not used (%s)", path, error)
        return None
    for warning in header["warnings"]:
        logger.warning("%s", warning)
    return table


def write_cache(
    table: TagTable, path: str | os.PathLike[str], key: str, warnings: Sequence[str] = ()
) -> None:
    """Write a copy, whole or not at all. A folder that cannot be written to is no error: there is no copy then."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "data": table.weights.data,
        "indices": table.weights.indices,
        "indptr": table.weights.indptr,
    }
    lengths: dict[str, bool] = {}
    try:
        for name, names in (("track_ids", table.track_ids), ("tags", table.tags)):
            text = "\x00".join(names).encode("utf-8")
            lengths[name] = any("\x00" in one for one in names) or not len(names)
            if lengths[name]:  # a name holds the separator itself: where each ends is written down
                text = "".join(names).encode("utf-8")
                arrays[f"{name} lengths"] = np.fromiter(map(len, names), np.int64, len(names))
            arrays[name] = np.frombuffer(text, np.uint8)
    except UnicodeEncodeError:
        return
    layout = []
    blocks: list[bytes] = []
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        raw += b"\x00" * (-len(raw) % 8)
        layout.append([name, array.dtype.str, len(array), len(raw)])
        blocks.append(raw)
    crc = 0
    for raw in blocks:
        crc = google_crc32c.extend(crc, raw)
    header = {
        "key": key, "shape": list(table.weights.shape), "lengths": lengths, "arrays": layout,
        "bytes": sum(map(len, blocks)), "crc": crc, "warnings": list(warnings),
    }  # fmt: skip
    text = json.dumps(header).encode()
    text += b" " * (-(len(MAGIC) + 8 + len(text)) % 8)
    try:
        with atomic_write(path) as stream:
            stream.write(MAGIC + len(text).to_bytes(8, "little") + text)
            for raw in blocks:
                stream.write(raw)
    except FolksongError as error:
        logger.info("no copy for a faster second open was made: %s", error)


def _arrays(body: npt.NDArray[np.uint8], layout: Sequence[Sequence[Any]]) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    place = 0
    for name, kind, number, size in layout:
        dtype = np.dtype(kind)
        found[name] = body[place : place + number * dtype.itemsize].view(dtype)
        place += size
    return found


def _names(arrays: Mapping[str, npt.NDArray[Any]], name: str, with_lengths: bool) -> Strings:
    text = arrays[name].tobytes().decode("utf-8")
    if with_lengths:
        ends = np.cumsum(arrays[f"{name} lengths"]).tolist()
        names = [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
    else:
        names = text.split("\x00")
    array = np.empty(len(names), dtype=object)
    array[:] = names
    return array
