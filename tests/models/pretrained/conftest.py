"""Where the wheel of musicnn lies, and a writer of TensorFlow's checkpoints."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from folksong.models.pretrained.weights import kept_wheel
from folksong.shards.format import _varint, masked_crc32c

WHEEL = kept_wheel()  # of the user's cache; tests may have one of their own


@pytest.fixture(scope="session")
def wheel() -> Path:
    if not WHEEL.is_file():
        pytest.skip("the weights of musicnn are not here; get them: folksong models fetch musicnn")
    return WHEEL


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """Return a protocol buffer of numbers and bytes."""
    parts = []
    for number, value in fields:
        if isinstance(value, bytes):
            parts.append(_varint(number << 3 | 2) + _varint(len(value)) + value)
        elif number == 6:  # the CRC of an entry has 4 bytes
            parts.append(_varint(number << 3 | 5) + struct.pack("<I", value))
        else:
            parts.append(_varint(number << 3) + _varint(value))
    return b"".join(parts)


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return a block of a LevelDB table, keys cut to what is new in each, with its trailer."""
    content, before = b"", b""
    for key, value in pairs:
        shared = next((n for n in range(len(before), -1, -1) if key.startswith(before[:n])), 0)
        content += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        before = key
    content += struct.pack("<II", 0, 1) + b"\0"
    return content + struct.pack("<I", masked_crc32c(content))


def write_tf_checkpoint(
    prefix: Path, tensors: dict[str, np.ndarray], names: dict[str, str] | None = None
) -> None:
    """Write a checkpoint as TensorFlow does; `names` are the variables' own, by key, in the object graph."""
    dtypes = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
    contents = {
        key: (dtypes[a.dtype.name], a.shape, np.ascontiguousarray(a).tobytes()) for key, a in tensors.items()
    }
    if names:
        nodes = [
            message((2, message((1, b"kernel"), (2, own.encode()), (3, key.encode()))))
            for key, own in names.items()
        ]
        graph = b"".join(message((1, node)) for node in nodes)
        length = _varint(len(graph))
        contents["_CHECKPOINTABLE_OBJECT_GRAPH"] = (
            7,
            (),
            length + struct.pack("<I", masked_crc32c(length)) + graph,
        )
    data, entries = b"", [(b"", message((1, 1), (3, message((1, 1)))))]
    for key, (dtype, shape, content) in sorted(contents.items()):
        sizes = message(*((2, message((1, size))) for size in shape))
        place = [(4, len(data))] if data else []
        entry = message((1, dtype), (2, sizes), *place, (5, len(content)), (6, masked_crc32c(content)))
        entries.append((key.encode(), entry))
        data += content
    first = block(entries)
    second = block([])
    third = block([(b"~", _varint(0) + _varint(len(first) - 5))])
    handles = b"".join(map(_varint, (len(first), len(second) - 5, len(first) + len(second), len(third) - 5)))
    footer = handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    Path(f"{prefix}.index").write_bytes(first + second + third + footer)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


@pytest.fixture(scope="session")
def write_checkpoint():
    return write_tf_checkpoint
