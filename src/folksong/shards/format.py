"""The format of a shard: TFRecord framing around ``tf.train.Example`` messages, without TensorFlow.

A file is a sequence of ``length (uint64) | crc(length) (uint32) | payload | crc(payload) (uint32)``, little-endian.
A CRC is CRC-32C (Castagnoli), rotated right by 15 bits plus a constant, as TensorFlow's
``tensorflow/core/lib/io/record_writer.h`` defines it.

A payload is ``Example {1: Features {1: repeated entry {1: name, 2: Feature}}}`` with ``Feature`` one of
``{1: BytesList, 2: FloatList, 3: Int64List}``, each ``{1: repeated value}``. Writers may order the features as they
like, leave numbers unpacked, split a list over several chunks and add fields of their own: all that is understood.
"""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError

Bytes = npt.NDArray[np.uint8]
"""A file or a record as an array of bytes, usually a view of a memory map."""

HEADER_BYTES = 12  # length and its CRC
FOOTER_BYTES = 4  # the payload's CRC
_MASK_DELTA = 0xA282EAD8
_REMEDY = "verifying the folder names all damage, repairing it keeps the whole records"

_FOREIGN = "no TFRecord file: "
_COMPRESSED = {
    b"\x1f\x8b": "gzip (TensorFlow's compression_type GZIP); unpack it with gunzip first",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it first",
    b"BZh": "bzip2; unpack it first",
    b"\xfd7zXZ": "xz; unpack it first",
    b"PK\x03\x04": "zip; unpack it first",
    # RFC 1950: window 32 KiB, levels 0 to 3
    **dict.fromkeys(
        (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),
        "zlib (TensorFlow's compression_type ZLIB); write it again uncompressed",
    ),
}
"""First bytes of a file -> what it is compressed with, and what to do."""
_PROBE_BYTES = 512


@dataclass(frozen=True)
class Record:
    """Where a record lies: its number in the file, its first byte, its payload's first byte and length in bytes."""

    number: int
    offset: int
    payload_offset: int
    length: int

    @property
    def end(self) -> int:
        """The byte after the record."""
        return self.payload_offset + self.length + FOOTER_BYTES

    def payload_of(self, data: Bytes) -> Bytes:
        """The record's payload in the bytes of its file."""
        return data[self.payload_offset : self.payload_offset + self.length]


class RecordError(FileFormatError):
    """A damaged record: where it is, what is wrong with it, and where the next one begins if that is known."""

    def __init__(
        self, path: str | os.PathLike[str], number: int, offset: int, reason: str, end: int | None = None
    ) -> None:
        remedy = "" if reason.startswith(_FOREIGN) else f"; {_REMEDY}"
        super().__init__(f"{path}: record {number} at byte {offset}: {reason}{remedy}")
        self._arguments = (os.fspath(path), number, offset, reason, end)
        self.path, self.number, self.offset, self.reason, self.end = self._arguments

    def __reduce__(self) -> "tuple[type[RecordError], tuple[str, int, int, str, int | None]]":
        return type(self), self._arguments


class ContentError(RecordError):
    """A whole record that is not what a record of audio must be."""


def masked_crc32c(data: bytes | Bytes) -> int:
    """Return the masked CRC32C of `data`.

    >>> hex(masked_crc32c(b"123456789"))
    '0xc78ab0e5'
    """
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame(payload: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a record's three parts: header, payload (the same object) and footer."""
    length = struct.pack("<Q", len(payload))
    footer = struct.pack("<I", masked_crc32c(payload))
    return length + struct.pack("<I", masked_crc32c(length)), payload, footer


def describe_foreign(data: Bytes) -> str | None:
    """Say what a file is that holds no records: a compressed one, or text; None where that cannot be told."""
    head = data[:_PROBE_BYTES].tobytes()
    for magic, means in _COMPRESSED.items():
        if head.startswith(magic):
            return f"{_FOREIGN}it is compressed with {means}"
    if head and all(byte in b"\t\n\f\r\x1b" or byte >= 0x20 for byte in head):
        return _FOREIGN + "it is a text file"
    return None


def iterate_records(data: Bytes, path: str | os.PathLike[str]) -> Iterator[Record]:
    """Walk over the records of a file, (n_bytes,), called `path` in messages, and check all CRCs.

    Raises:
        RecordError: a record is cut or one of its CRCs is wrong. Records before it were already given out.
    """
    offset = number = 0
    while offset < len(data):
        record = whole_record(data, offset, number, path)
        yield record
        offset, number = record.end, number + 1


def whole_record(data: Bytes, offset: int, number: int, path: str | os.PathLike[str]) -> Record:
    """Return the record that begins at byte `offset`, all its CRCs checked.

    Raises:
        RecordError: it is cut or one of its CRCs is wrong.
    """
    record = read_record(data, offset, number, path)
    (crc,) = struct.unpack("<I", data[record.end - FOOTER_BYTES : record.end].tobytes())
    if masked_crc32c(record.payload_of(data)) != crc:
        raise RecordError(path, number, offset, "the CRC of its content is wrong", record.end)
    return record


def read_record(data: Bytes, offset: int, number: int, path: str | os.PathLike[str]) -> Record:
    """Return the record that begins at byte `offset`, its content's CRC unchecked.

    Raises:
        RecordError: it is cut or its length's CRC is wrong.
    """
    if len(data) - offset < HEADER_BYTES:
        raise RecordError(path, number, offset, f"cut after {len(data) - offset} bytes of its header")
    head = data[offset : offset + HEADER_BYTES].tobytes()
    length, length_crc = struct.unpack("<QI", head)
    if masked_crc32c(head[:8]) != length_crc:
        foreign = describe_foreign(data) if offset == 0 else None
        raise RecordError(path, number, offset, foreign or "the CRC of its length is wrong")
    start = offset + HEADER_BYTES
    if len(data) - start < length + FOOTER_BYTES:
        raise RecordError(
            path, number, offset, f"cut: {len(data) - start} of its {length + FOOTER_BYTES} bytes are there"
        )
    return Record(number, offset, start, length)


Kind = Literal["bytes", "float", "int64"]
_KINDS: dict[int, Kind] = {1: "bytes", 2: "float", 3: "int64"}
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Feature:
    """One feature of a record.

    Args:
        kind: which of the three lists it is.
        values: bytes: a list of memory views; float: float32 array; int64: int64 array. Views of the record where
            possible, no copies.
        offset: the first value's first byte in the payload, if all values lie there in one piece; else None.
    """

    kind: Kind
    values: Any
    offset: int | None


def encode_example(features: Mapping[str, Sequence[bytes] | npt.NDArray[Any]]) -> bytes:
    """Return a serialised ``tf.train.Example`` of name -> list of bytes, or float32 or int64 array, in that order."""
    parts: list[bytes] = []
    for name, values in features.items():
        head, body = _encode_feature(values)
        key = name.encode("utf-8")
        entry = b"\x0a" + _varint(len(key)) + key + b"\x12" + _varint(len(head) + len(body)) + head
        parts += [b"\x0a", _varint(len(entry) + len(body)), entry, body]
    size = sum(map(len, parts))
    return b"".join([b"\x0a", _varint(size), *parts])


def _encode_feature(values: Sequence[bytes] | npt.NDArray[Any]) -> tuple[bytes, bytes]:
    """Return a Feature message as a small head and the values' bytes."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "f":
            tag, body = b"\x12", values.astype("<f4", copy=False).tobytes()
        else:
            tag, body = b"\x1a", b"".join(_varint(int(value) & (2**64 - 1)) for value in values.ravel())
        head = b"\x0a" + _varint(len(body)) if body else b""
    else:
        tag, head = b"\x0a", b""
        body = b"".join(b"\x0a" + _varint(len(value)) + value for value in values)
    return tag + _varint(len(head) + len(body)) + head, body


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def parse_example(payload: Bytes) -> dict[str, Feature]:
    """Return the features of a serialised ``tf.train.Example`` (n_bytes,), by name."""
    view = payload.data
    parsed: dict[str, Feature] = {}
    try:
        for features in _messages(view, (0, len(view)), 1):
            for entry in _messages(view, features, 1):
                *_, name = [b"", *(view[slice(*span)] for span in _messages(view, entry, 1))]
                *_, feature = [(0, 0), *_messages(view, entry, 2)]
                parsed[bytes(name).decode("utf-8")] = _parse_feature(view, feature)
    except (IndexError, OverflowError, UnicodeDecodeError, ValueError) as error:
        raise FileFormatError(f"not a tf.train.Example ({error})") from error
    return parsed


Span = tuple[int, int]
"""The first byte of a message in its view, and the byte after the last."""


def _parse_feature(view: memoryview, feature: Span) -> Feature:
    kind: Kind = "bytes"
    lists: list[Span] = []
    for number, wire, *span in fields(view, *feature):
        if wire == _DELIMITED and number in _KINDS:
            if _KINDS[number] != kind:  # of a oneof the last kind counts
                kind, lists = _KINDS[number], []
            lists.append((span[0], span[1]))
    values: Any
    if kind == "bytes":
        spans = [span for one in lists for span in _messages(view, one, 1)]
        values = [view[first:last] for first, last in spans]
        return Feature(kind, values, spans[0][0] if len(spans) == 1 else None)
    if kind == "float" and len(lists) == 1 and (unpacked := _unpacked_floats(view, *lists[0])) is not None:
        return Feature(kind, unpacked, None)
    chunks = [chunk for one in lists for number, _, *chunk in fields(view, *one) if number == 1]
    if kind == "float":
        arrays = [np.frombuffer(view[first:last], "<f4") for first, last in chunks]
        values = arrays[0] if len(arrays) == 1 else np.concatenate([np.empty(0, np.float32), *arrays])
        return Feature(kind, values, chunks[0][0] if len(chunks) == 1 else None)
    integers = [_decode_varints(view[first:last]) for first, last in chunks]
    return Feature(kind, np.concatenate([np.empty(0, np.int64), *integers]), None)


def _messages(view: memoryview, message: Span, number: int) -> list[Span]:
    """Return where in a message the length-delimited fields of this number lie."""
    found = fields(view, *message)
    return [(first, last) for known, wire, first, last in found if known == number and wire == _DELIMITED]


def _unpacked_floats(view: memoryview, start: int, stop: int) -> npt.NDArray[np.float32] | None:
    """Return the floats of a list in which each has a field of its own (a key byte and 4 bytes), or None."""
    if stop == start or view[start] != 1 << 3 | _FIXED32 or (stop - start) % 5:
        return None
    rows = np.frombuffer(view[start:stop], np.uint8).reshape(-1, 5)
    if not (rows[:, 0] == rows[0, 0]).all():
        return None
    return np.frombuffer(rows[:, 1:].tobytes(), "<f4")


def fields(view: memoryview, start: int, stop: int) -> list[tuple[int, int, int, int]]:
    """Return (field number, wire type, first byte, byte after the last) of each field between two bytes."""
    fields = []
    position = start
    while position < stop:
        key, position = read_varint(view, position, stop)
        wire = key & 7
        if wire == _DELIMITED:
            length, position = read_varint(view, position, stop)
            end = position + length
        elif wire == _VARINT:
            end = read_varint(view, position, stop)[1]
        elif wire == _FIXED32:
            end = position + 4
        elif wire == _FIXED64:
            end = position + 8
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if end > stop:
            raise ValueError(f"a field ends at byte {end}, its message at byte {stop}")
        fields.append((key >> 3, wire, position, end))
        position = end
    return fields


def read_varint(view: memoryview, position: int, stop: int) -> tuple[int, int]:
    """Return a number of a message and the byte after it.

    Raises:
        ValueError: it does not end before `stop`.
    """
    value = shift = 0
    while position < stop and shift < 64:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"a number is cut at byte {position}")


def _decode_varints(view: memoryview) -> npt.NDArray[np.int64]:
    data = np.frombuffer(view, np.uint8)
    if (data < 0x80).all():  # a one-hot row: each value is one byte
        return data.astype(np.int64)
    values = []
    position = 0
    while position < len(view):
        value, position = read_varint(view, position, len(view))
        values.append(value - 2**64 if value >= 2**63 else value)
    return np.array(values, np.int64)
