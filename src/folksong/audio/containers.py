"""What the containers of sound say of themselves, and where they are wrong: wav, aiff, au, caf and Ogg.

Decoders take sizes at their word. A recorder that was switched off, or a program that wrote into a pipe, leaves sizes
of 0, all ones or some other large number; then the sound goes on to the end of the file. A file that holds fewer bytes
than it promises was cut, which libsndfile takes in silence. Recordings may follow one another in a file (chained Ogg,
files put one behind another), of which decoders read the first.
"""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Literal

from folksong.files import content_of

CHUNKS_MAX = 1000
UNKNOWN_LENGTH = 0x7FFF_0000
"""Writers that cannot seek back leave 0x7ffff000, 0x80000000, all ones and their like."""
MISCOUNT_BYTES = 64  # sizes that are off by a header's length
MPEG_IN_WAV, WAV_EXTENSIBLE = (0x50, 0x55), 0xFFFE
OGG_LAST_PAGE = 0x04  # flag of the page that ends a stream
OGG_PAGE_BYTES_MAX = 27 + 255 + 255 * 255
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
Order = Literal["little", "big"]
_RIFF_ORDERS: dict[bytes, Order] = {b"RIFF": "little", b"RIFX": "big", b"RF64": "little", b"BW64": "little"}
_BEGINNINGS = {
    "ogg": re.compile(rb"OggS\x00[\x02\x06]"),
    "flac": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    "wav": re.compile(
        rb"R(?:IFF|F64).{4}WAVE[a-zA-Z][a-zA-Z0-9]{2}[ \w]|riff\x2e\x91\xcf\x11.{16}wave", re.DOTALL
    ),
    "aiff": re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL),
    "m4a": re.compile(rb"\x00\x00\x00.ftyp", re.DOTALL),
    "au": re.compile(rb"\.snd\x00\x00[\x00-\x03].{5}\x00\x00\x00[\x01-\x1b]\x00", re.DOTALL),
    "caf": re.compile(rb"caff\x00\x01\x00\x00desc"),
}
"""How a recording of each format begins, long enough to be no accident in the middle of another."""


class Region(io.RawIOBase):
    """A part of an open file as a file of its own, read-only; `patches`: position in it -> bytes to read instead."""

    def __init__(
        self, stream: IO[bytes], start: int, end: int, patches: Mapping[int, bytes] | None = None
    ) -> None:
        self._stream, self._start, self._size = stream, start, max(0, end - start)
        self._patches = dict(patches or {})
        self._position = 0

    def descriptor(self) -> int | None:
        """Return the file's descriptor, at its beginning, if this is the file as it stands: a decoder is faster on it.

        Not on Windows, where a library may know no descriptors of another.
        """
        if self._patches or self._start or self._stream.seek(0, os.SEEK_END) != self._size or os.name == "nt":
            return None
        os.lseek(self._stream.fileno(), 0, os.SEEK_SET)
        return self._stream.fileno()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size - self._position))
        self._stream.seek(self._start + self._position)
        content = self._stream.read(wanted)
        view[: len(content)] = content
        for place, patch in self._patches.items():
            begin, end = max(place, self._position), min(place + len(patch), self._position + len(content))
            if begin < end:
                view[begin - self._position : end - self._position] = patch[begin - place : end - place]
        self._position += len(content)
        return len(content)


@dataclass(frozen=True)
class WavLayout:
    """Where the sound of a wav file lies, how it is coded (1: plain samples), and what is missing of it.

    `patches` (position -> bytes) are the right sizes where those in the file are wrong.
    """

    coding: int
    start: int
    end: int
    patches: Mapping[int, bytes]
    damage: str | None


def read_wav(stream: IO[bytes], start: int, size: int) -> WavLayout | None:
    """Read the chunks of a RIFF file of `size` bytes up to its sound; None if it has none, or is of another kind."""
    stream.seek(start)
    head = stream.read(12)
    order: Order | None = _RIFF_ORDERS.get(head[:4])
    if order is None:
        return None
    coding, long_length = 0, None
    position = start + 12
    for _ in range(CHUNKS_MAX):
        stream.seek(position)
        name, length = stream.read(4), int.from_bytes(stream.read(4), order)
        position += 8
        if name == b"data":
            promised = length if long_length is None else long_length
            end, is_wrong, damage = _sound_end(stream, position, size, promised)
            patches = {}
            if is_wrong and damage is None:
                patches = {
                    start: b"RIFF" if long_length is not None else head[:4],
                    start + 4: min(size - start - 8, 0xFFFFFFFF).to_bytes(4, order),
                    position - 4: min(end - position, 0xFFFFFFFF).to_bytes(4, order),
                }
            return WavLayout(coding, position, end, patches, damage)
        content = stream.read(min(length, 40))
        if len(name) < 4:
            return None
        if name == b"fmt ":
            coding = int.from_bytes(content[:2], order)
            if coding == WAV_EXTENSIBLE:  # the coding is the beginning of a GUID then
                coding = int.from_bytes(content[24:26], order)
        elif name == b"ds64":
            long_length = int.from_bytes(content[8:16], order)
        position += length + length % 2
    return None


def _sound_end(stream: IO[bytes], start: int, size: int, promised: int) -> tuple[int, bool, str | None]:
    """Return where the sound of a wav file ends, whether its size is wrong, and what is missing."""
    there = size - start
    behind = start + promised + promised % 2
    if behind + promised < size and not _is_chunk(stream, behind, size):  # more sound behind it than in it
        return size, True, None
    if promised <= there:
        return start + promised, False, None
    return size, True, _missing(size, size + promised - there)


def _missing(size: int, promised: int) -> str | None:
    """Say how much is missing of a file that should be `promised` bytes long."""
    is_miscount = promised - size <= MISCOUNT_BYTES
    if promised >= UNKNOWN_LENGTH or is_miscount:
        return None
    return f"holds {size} of the {promised} bytes that it promises"


def _is_chunk(stream: IO[bytes], position: int, size: int) -> bool:
    """Say whether another chunk of a RIFF file, or a tag, begins here."""
    stream.seek(position)
    name, length = stream.read(4), int.from_bytes(stream.read(4), "little")
    return (
        len(name) == 4
        and name.isascii()
        and name.decode().isprintable()
        and position + 8 + length <= size + 1
    )


def describe_cut(stream: IO[bytes], name: str, start: int, end: int) -> str | None:
    """Return what is missing at the end of an aiff, au, caf, w64 or Ogg file, or None where nothing seems to be."""
    stream.seek(start)
    head = stream.read(24)
    if name == "wav" and head.startswith(b"riff"):
        return _missing(end - start, int.from_bytes(head[16:24], "little"))
    if name == "caf":
        return _missing(end - start, _caf_size(stream, start))
    if name == "aiff":
        return _missing(end - start, int.from_bytes(head[4:8], "big") + 8)
    if name == "au":
        return _missing(end - start, int.from_bytes(head[4:8], "big") + int.from_bytes(head[8:12], "big"))
    return _describe_cut_ogg(stream, start, end) if name == "ogg" else None


def _caf_size(stream: IO[bytes], start: int) -> int:
    """Return how many bytes a caf file has up to the end of its sound; 0 if it does not say."""
    position = 8
    for _ in range(CHUNKS_MAX):
        stream.seek(start + position)
        name, length = stream.read(4), int.from_bytes(stream.read(8), "big", signed=True)
        position += 12 + length
        if name == b"data" or length < 0:
            return position if length > 0 else 0
    return 0


def _describe_cut_ogg(stream: IO[bytes], start: int, end: int) -> str | None:
    """Look at the last page: it must be whole and marked as the end of its stream."""
    stream.seek(max(start, end - OGG_PAGE_BYTES_MAX))
    tail = stream.read(end - stream.tell())
    begin = tail.rfind(b"OggS\x00")
    if begin < 0 or len(tail) - begin < 27:
        return "cut: it ends without a last page"
    lengths = tail[begin + 27 : begin + 27 + tail[begin + 26]]
    if len(lengths) < tail[begin + 26] or begin + 27 + len(lengths) + sum(lengths) > len(tail):
        return "cut in the middle of a page"
    if not tail[begin + 5] & OGG_LAST_PAGE:
        return "cut: its last page is not the end of the stream"
    return None


def end_without_tags(stream: IO[bytes], size: int) -> int:
    """Return where a file ends before the ID3v1, APE and Lyrics3 tags at its end."""
    end = size
    while True:
        stream.seek(max(0, end - 128))
        tail = stream.read(min(end, 128))
        if tail.startswith(b"TAG") and len(tail) == 128:
            length = 128
        elif tail[-32:-24] == b"APETAGEX":
            length = int.from_bytes(tail[-20:-16], "little") + 32 * (tail[-9] >> 7)
        elif tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
            length = int(tail[-15:-9]) + 15
        else:
            return end
        if not 0 < length < end:
            return end
        end -= length


def is_asf_broadcast(head: bytes) -> bool:
    """Say whether a wma file was written into a pipe, so that its header holds no length."""
    flags = head.find(_ASF_PROPERTIES) + 88
    return 88 <= flags < len(head) and bool(head[flags] & 1)


def unfilled_au(stream: IO[bytes], start: int) -> Mapping[int, bytes]:
    """Return the right size (that of an unknown length) of an au file that holds none; see `Region`."""
    stream.seek(start + 8)
    return {8: b"\xff" * 4} if stream.read(4) == bytes(4) else {}


def links(stream: IO[bytes], name: str, start: int, size: int) -> list[tuple[int, int]]:
    """Return (first byte, byte after the last) of each of the recordings that follow one another in a file.

    Ogg streams that run side by side (a picture beside the sound) begin with pages that touch, and count as one.
    """
    if name not in _BEGINNINGS:
        return [(start, size)]
    content = content_of(stream)
    starts = [start]
    follows = start
    for found in _BEGINNINGS[name].finditer(content, start):
        position = found.start()
        if position > start and (name != "ogg" or position != follows):
            starts.append(position)
        if name == "ogg":
            n_lengths = content[position + 26] if position + 27 <= size else 0
            follows = position + 27 + n_lengths + sum(content[position + 27 : position + 27 + n_lengths])
    return list(zip(starts, [*starts[1:], size], strict=True))
