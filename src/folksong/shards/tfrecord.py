"""TFRecord framing: records with their lengths and masked CRC32C sums, without TensorFlow.

A file is a sequence of ``length (uint64) | crc(length) (uint32) | payload | crc(payload) (uint32)``, little-endian.
A CRC is CRC-32C (Castagnoli), rotated right by 15 bits plus a constant, as TensorFlow's
``tensorflow/core/lib/io/record_writer.h`` defines it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c
import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError

Bytes = npt.NDArray[np.uint8]
"""A file or a record as an array of bytes, usually a view of a memory map."""

HEADER_BYTES = 12  # length and its CRC
FOOTER_BYTES = 4  # the payload's CRC
_MASK_DELTA = 0xA282EAD8
_REMEDY = "`folksong shards verify` names all damage, `folksong shards repair` saves the whole records"

_FOREIGN = "no TFRecord file: "
_MAGIC = (
    (
        b"\x1f\x8b",
        "it is compressed with gzip (TensorFlow's compression_type GZIP); unpack it with gunzip first",
    ),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; unpack it first"),
    (b"BZh", "it is compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "it is compressed with xz; unpack it first"),
    (b"PK\x03\x04", "it is a zip archive; unpack it first"),
)
_ZLIB = "it is compressed with zlib (TensorFlow's compression_type ZLIB); write it again uncompressed"
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


class RecordError(FileFormatError):
    """A damaged record: where it is, what is wrong with it, and where the next one begins if that is known."""

    def __init__(
        self, path: str | os.PathLike[str], number: int, offset: int, reason: str, end: int | None = None
    ) -> None:
        remedy = "" if reason.startswith(_FOREIGN) else f"; {_REMEDY}"
        super().__init__(f"{path}: record {number} at byte {offset}: {reason}{remedy}")
        self.path, self.number, self.offset, self.reason, self.end = (
            os.fspath(path), number, offset, reason, end,
        )  # fmt: skip

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, int, int, str, int | None]]:
        return RecordError, (self.path, self.number, self.offset, self.reason, self.end)


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
    return (
        length + struct.pack("<I", masked_crc32c(length)),
        payload,
        struct.pack("<I", masked_crc32c(payload)),
    )


def describe_foreign(data: Bytes) -> str | None:
    """Say what a file is that holds no records: a compressed one, or text; None where that cannot be told."""
    head = data[:_PROBE_BYTES].tobytes()
    for magic, reason in _MAGIC:
        if head.startswith(magic):
            return _FOREIGN + reason
    if head[:2] in {
        b"\x78\x01",
        b"\x78\x5e",
        b"\x78\x9c",
        b"\x78\xda",
    }:  # RFC 1950: window 32 KiB, levels 0 to 3
        return _FOREIGN + _ZLIB
    if head and all(byte in b"\t\n\f\r\x1b" or byte >= 0x20 for byte in head):
        return _FOREIGN + "it is a text file"
    return None


def iterate_records(data: Bytes, path: str | os.PathLike[str], *, check: bool = True) -> Iterator[Record]:
    """Walk over the records of a file.

    Args:
        data: (n_bytes,) the whole file.
        path: its name, for messages.
        check: compare the payloads' CRCs too; the lengths' CRCs always are.

    Raises:
        RecordError: a record is cut or one of its CRCs is wrong. Records before it were already given out.
    """
    offset = number = 0
    while offset < len(data):
        record = (whole_record if check else read_record)(data, offset, number, path)
        yield record
        offset, number = record.end, number + 1


def whole_record(data: Bytes, offset: int, number: int, path: str | os.PathLike[str]) -> Record:
    """Return the record that begins at byte `offset`, all its CRCs checked.

    Raises:
        RecordError: it is cut or one of its CRCs is wrong.
    """
    record = read_record(data, offset, number, path)
    stop = record.payload_offset + record.length
    (crc,) = struct.unpack("<I", data[stop : record.end].tobytes())
    if masked_crc32c(data[record.payload_offset : stop]) != crc:
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
