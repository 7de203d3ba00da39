"""MPEG audio (mp3) frames, walked by their headers without decoding.

An mp3 file has no table of contents: it is a chain of frames of 1152 or 576 samples, each with a four-byte header,
and a decoder skips what it does not understand without a word. Walking the headers costs about 1 ms for 30 s and
tells what a decoder would hide: where the stream was cut, how many bytes are no frames at all, and whether sample
rate or channels change on the way. Bit layout after ISO/IEC 11172-3 and 13818-3 (and the unofficial MPEG 2.5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Bitrates in kbit/s by (is MPEG 1, layer number) and the header's bitrate index; index 0 is "free", 15 is forbidden.
_BITRATES: dict[tuple[bool, int], tuple[int, ...]] = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits
_LAYERS = {3: 1, 2: 2, 1: 3}  # by layer bits
ID3_HEADER_BYTES = 10
LONGEST_FRAME_BYTES = (
    2881  # MPEG 2.5, layer 2, 8 kHz, 160 kbit/s; what is shorter may be the rest of a cut frame
)
_TAG_STARTS = (b"ID3", b"TAG")
_TAG_MARKS = (b"APETAGEX", b"LYRICSBEGIN")  # an APE tag may have its mark only at its end
# The first three bytes of a header, less those with a forbidden version, layer or bitrate.
_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef]", re.DOTALL)


@dataclass(frozen=True)
class FrameKind:
    """What all frames of a well-made file share."""

    sample_rate: int
    """Hz."""
    channels: int
    samples: int
    """Samples per channel in one frame."""


@dataclass(frozen=True)
class MpegStream:
    """The frames found in a file.

    Args:
        kind: sample rate, channels and frame length of most of the frames.
        n_frames: number of frames of that kind, without the Xing/Info frame.
        spans: (start, end) byte ranges that hold those frames; one range for an undamaged file.
        foreign_frames: number of frames of another kind (rate or channels change midway).
        skipped_bytes: bytes between the first and the last frame that belong to none.
        leading_bytes: bytes before the first frame that are neither a tag, nor padding, nor the rest of one frame.
        trailing_bytes: likewise after the last frame.
        cut: the last frame is longer than the file.
        promised_frames: number of frames that a Xing/Info header promises, or None.
    """

    kind: FrameKind
    n_frames: int
    spans: tuple[tuple[int, int], ...]
    foreign_frames: int
    skipped_bytes: int
    leading_bytes: int
    trailing_bytes: int
    cut: bool
    promised_frames: int | None

    @property
    def seconds(self) -> float:
        """Length of the frames found, in seconds (encoder padding included)."""
        return self.n_frames * self.kind.samples / self.kind.sample_rate

    @property
    def promised_seconds(self) -> float | None:
        """Length that the file's own header promises, in seconds, or None."""
        if self.promised_frames is None:
            return None
        return self.promised_frames * self.kind.samples / self.kind.sample_rate


def _frame_tables() -> tuple[list[int], dict[int, FrameKind]]:
    """Return frame length in bytes by the header's bytes 1 and 2 (0: no valid header), and kind by header key."""
    lengths = [0] * 65536
    kinds: dict[int, FrameKind] = {}
    for word in range(0xE000, 0x10000):
        version, layer_bits = word >> 11 & 3, word >> 9 & 3
        bitrate_index, rate_index = word >> 4 & 15, word >> 2 & 3
        if version == 1 or layer_bits == 0 or bitrate_index in (0, 15) or rate_index == 3:
            continue
        layer, mpeg1 = _LAYERS[layer_bits], version == 3
        rate = _RATES_HZ[version][rate_index]
        samples = 384 if layer == 1 else 576 if layer == 3 and not mpeg1 else 1152
        slot = 4 if layer == 1 else 1
        bits_per_second = _BITRATES[mpeg1, layer][bitrate_index] * 1000
        lengths[word] = (samples // 8 // slot * bits_per_second // rate + (word >> 1 & 1)) * slot
        for mono in (0, 1):
            kinds[(word & 0xFE0C) << 1 | mono] = FrameKind(rate, 1 if mono else 2, samples)
    return lengths, kinds


_LENGTHS, _KINDS = _frame_tables()


def skip_id3(data: bytes) -> int:
    """Return the position after the ID3v2 tags at the start of `data` (0 where there is none)."""
    position = 0
    while data[position : position + 3] == b"ID3" and position + ID3_HEADER_BYTES <= len(data):
        size = 0
        for byte in data[position + 6 : position + 10]:
            size = size << 7 | byte & 0x7F
        position += ID3_HEADER_BYTES + size
    return position


def _key_at(data: bytes, position: int) -> int:
    """Return the header key at `position`: version, layer, sample rate and mono or not; -1 without a header."""
    if position + 4 > len(data) or data[position] != 0xFF:
        return -1
    word = data[position + 1] << 8 | data[position + 2]
    if not _LENGTHS[word]:
        return -1
    return (word & 0xFE0C) << 1 | (data[position + 3] >> 6 == 3)


def _length_at(data: bytes, position: int) -> int:
    return _LENGTHS[data[position + 1] << 8 | data[position + 2]]


def find_frame(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Return the position of the first frame at or after `start`, or -1.

    A lone header can be chance, so two more of the same version, layer and rate must follow at the right distance,
    as far as the data reach.
    """
    stop = len(data) if end is None else min(end, len(data))
    found = _SYNC.search(data, start, stop)
    while found is not None:
        if _chain(data, found.start()):
            return found.start()
        found = _SYNC.search(data, found.start() + 1, stop)
    return -1


def _chain(data: bytes, position: int) -> bool:
    first = _key_at(data, position)
    if first < 0:
        return False
    here = position
    for _ in range(2):
        here += _length_at(data, here)
        if here + 4 > len(data):  # the file ends inside the chain: a lone frame must at least be nearly whole
            return here - len(data) < 64 and position < len(data) - 4
        if _key_at(data, here) >> 1 != first >> 1:
            return False
    return True


def walk_frames(data: bytes) -> MpegStream | None:
    """Walk the frames of an mp3 file.

    Args:
        data: the whole file.

    Returns:
        What was found, or None where there is no frame at all.
    """
    after_tags = min(skip_id3(data), len(data))
    position = find_frame(data, after_tags)
    if position < 0:
        after_tags, position = 0, find_frame(data)  # an ID3 tag with a wrong size hides the start
    if position < 0:
        return None
    runs, skipped, cut = _walk(data, position)
    counts: dict[int, int] = {}
    for key, _, _, n_frames in runs:
        counts[key] = counts.get(key, 0) + n_frames
    main = max(counts, key=lambda key: counts[key])
    spans = tuple((start, end) for key, start, end, _ in runs if key == main)
    has_header, promised = _xing(data, spans[0][0])
    return MpegStream(
        kind=_KINDS[main],
        n_frames=counts[main] - has_header,
        spans=spans,
        foreign_frames=sum(counts.values()) - counts[main],
        skipped_bytes=skipped,
        leading_bytes=_unknown_bytes(data[after_tags:position]),
        trailing_bytes=_unknown_bytes(data[runs[-1][2] :]),
        cut=cut,
        promised_frames=promised,
    )


def _unknown_bytes(outside: bytes) -> int:
    """Return the length of what lies outside all frames, or 0 if it is short, padding, or begins with a tag."""
    content = outside.strip(b"\0")
    is_tag = content.startswith(_TAG_STARTS) or any(mark in content for mark in _TAG_MARKS)
    return 0 if is_tag or len(content) <= LONGEST_FRAME_BYTES else len(outside)


def _walk(data: bytes, position: int) -> tuple[list[tuple[int, int, int, int]], int, bool]:
    """Return runs (key, start, end, number of whole frames) of equal frames, the bytes skipped, and cut or not."""
    runs: list[tuple[int, int, int, int]] = []
    size, skipped = len(data), 0
    run_key, run_start, run_frames = _key_at(data, position), position, 0
    while True:
        # `_key_at` and `_length_at` written out: a clip has a thousand frames, and nearly all are like the last.
        while position + 4 <= size and data[position] == 0xFF:
            word = data[position + 1] << 8 | data[position + 2]
            length = _LENGTHS[word]
            if not length or (word & 0xFE0C) << 1 | (data[position + 3] >> 6 == 3) != run_key:
                break
            if position + length > size:
                runs.append((run_key, run_start, size, run_frames))
                return runs, skipped, True
            position += length
            run_frames += 1
        key = _key_at(data, position)
        runs.append((run_key, run_start, position, run_frames))
        following = position if key >= 0 else find_frame(data, position)
        if following < 0:
            return runs, skipped, False
        skipped += following - position
        position = following
        run_key, run_start, run_frames = _key_at(data, position), position, 0


def _xing(data: bytes, position: int) -> tuple[bool, int | None]:
    """Say whether the frame at `position` is a Xing/Info header, and the number of frames it promises."""
    frame = data[position : position + _length_at(data, position)]
    for mark in (b"Xing", b"Info"):
        found = frame.find(mark, 4, 64)
        if found >= 0:
            flags = int.from_bytes(frame[found + 4 : found + 8], "big")
            promised = int.from_bytes(frame[found + 8 : found + 12], "big") if flags & 1 else None
            return True, promised
    return False, None
