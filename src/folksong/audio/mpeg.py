"""MPEG audio (mp3): its frames, walked by their headers without decoding, and the tags around them.

An mp3 file has no table of contents: it is a chain of frames of 1152 or 576 samples, each with a four-byte header,
and a decoder skips what it does not understand without a word. Walking the headers costs about 1 ms for 30 s and
tells what a decoder would hide: where the stream was cut, how many bytes are no frames at all, whether sample rate or
channels change on the way, and whether several files were joined. The walk is believed, not what a Xing/Info frame (the
encoder's note at the start) promises. Bit layout after ISO/IEC 11172-3 and 13818-3 (and the unofficial MPEG 2.5).
"""

import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

Content = bytes | mmap.mmap

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
ID3_HEADER_BYTES, ID3_FOOTER_FLAG, ID3V1_BYTES, APE_HEADER_BYTES = 10, 0x10, 128, 32
LONGEST_FRAME_BYTES = 2881  # MPEG 2.5, layer 2, 8 kHz, 160 kbit/s; what is shorter may be a cut frame's rest
GAP_BYTES_MAX = 64 << 20  # where no frame begins for so long, none is looked for
WALK_BYTES_MAX = 1 << 32  # a day at 320 kbit/s
EDGE_BYTES = 1 << 20  # of what lies outside all frames, so much is looked at from either end
DECODER_DELAY = 529  # samples that a decoder adds to the encoder's delay
_NONZERO = re.compile(rb"[^\0]")
_TAG_STARTS = (b"ID3", b"TAG")
_TAG_MARKS = (b"APETAGEX", b"LYRICSBEGIN")  # an APE tag may have its mark only at its end
_NOTE_MARKS = (b"Xing", b"Info")
_VBRI_PLACE = 36  # of the note that Fraunhofer's encoders write
_NOTE_PLACES = (36, 21, 13)  # in a frame: stereo; mono or low sample rate; both
# The first three bytes of a header, less those with a forbidden version, layer or bitrate.
_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef]", re.DOTALL)


@dataclass(frozen=True)
class FrameKind:
    """What all frames of a well-made file share: rate in Hz, channels, samples per channel in one frame."""

    sample_rate: int
    channels: int
    samples: int


@dataclass(frozen=True)
class Note:
    """A Xing/Info frame: what the encoder noted of its own output (delay: samples before the sound). It is no sound.

    Of a VBRI frame, which the decoder would take for sound, only the number of frames is known.
    """

    n_bytes: int
    promised_frames: int | None
    delay: int | None
    is_vbri: bool = False


@dataclass(frozen=True)
class Segment:
    """One encoder's output; a file holds several where files were joined.

    Args:
        spans: (start, end) byte ranges that hold its frames, the note included; one for an undamaged file.
        n_frames: number of its frames, without the note.
        note: at its start, or None.
    """

    spans: tuple[tuple[int, int], ...]
    n_frames: int
    note: Note | None

    @property
    def promises_too_few(self) -> bool:
        """Whether there are more frames than the note says, so that a decoder that believes it would stop early."""
        promised = None if self.note is None else self.note.promised_frames
        return promised is not None and promised < self.n_frames - 1


@dataclass(frozen=True)
class MpegStream:
    """The frames found in a file.

    Args:
        kind: sample rate, channels and frame length of most of the frames.
        segments: the frames of that kind.
        foreign_frames: number of frames of another kind (rate or channels change midway).
        skipped_bytes: bytes between the first and the last frame that belong to none, and to no tag.
        leading_bytes: bytes before the first frame that are neither a tag, nor padding, nor the rest of one frame.
        trailing_bytes: likewise after the last frame.
        cut: the last frame is longer than the file.
    """

    kind: FrameKind
    segments: tuple[Segment, ...]
    foreign_frames: int
    skipped_bytes: int
    leading_bytes: int
    trailing_bytes: int
    cut: bool

    @property
    def n_frames(self) -> int:
        """Number of frames of the most frequent kind, without notes."""
        return sum(segment.n_frames for segment in self.segments)

    @property
    def seconds(self) -> float:
        """Length of the frames found, in seconds (encoder padding included)."""
        return self.n_frames * self.kind.samples / self.kind.sample_rate

    @property
    def missing_frames(self) -> int:
        """Number of frames that notes promise and that are not there."""
        promises = [
            (segment.note.promised_frames, segment.n_frames)
            for segment in self.segments
            if segment.note is not None
        ]
        return sum(
            promised - found for promised, found in promises if promised is not None and promised > found + 1
        )


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


def skip_tags(data: Content, position: int = 0, *, padding: bool = False) -> int:
    """Return the position after the tags (ID3v2, ID3v1, APE) at `position`, and after zeros that follow them.

    It may lie beyond the data, which may be a file's first bytes. `padding` skips zeros though no tag comes before.
    """
    while position < len(data):
        head = bytes(data[position : position + APE_HEADER_BYTES])
        if head.startswith(b"ID3") and len(head) >= ID3_HEADER_BYTES:
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            position += ID3_HEADER_BYTES * (2 if head[5] & ID3_FOOTER_FLAG else 1) + size
        elif head.startswith(b"TAG"):
            position += ID3V1_BYTES
        elif head.startswith(b"APETAGEX") and len(head) == APE_HEADER_BYTES:
            position += APE_HEADER_BYTES + int.from_bytes(head[12:16], "little") * (head[23] >> 5 & 1)
        elif padding and head.startswith(b"\0"):
            nonzero = _NONZERO.search(data, position, position + GAP_BYTES_MAX)
            return len(data) if nonzero is None else nonzero.start()
        else:
            return position
        padding = True
    return position


def _key_at(data: Content, position: int) -> int:
    """Return the header key at `position`: version, layer, sample rate and mono or not; -1 without a header."""
    if position + 4 > len(data) or data[position] != 0xFF:
        return -1
    word = data[position + 1] << 8 | data[position + 2]
    if not _LENGTHS[word]:
        return -1
    return (word & 0xFE0C) << 1 | (data[position + 3] >> 6 == 3)


def _length_at(data: Content, position: int) -> int:
    return _LENGTHS[data[position + 1] << 8 | data[position + 2]]


def find_frame(data: Content, start: int = 0, end: int | None = None) -> int:
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


def _chain(data: Content, position: int) -> bool:
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


def walk_frames(data: Content) -> MpegStream | None:
    """Walk the frames of a whole mp3 file, at most 4 GiB of it; None where there is no frame at all."""
    after_tags = min(skip_tags(data), len(data))
    position = find_frame(data, after_tags, after_tags + GAP_BYTES_MAX)
    if position < 0:
        # An ID3 tag with a wrong size hides the start.
        after_tags, position = 0, find_frame(data, 0, GAP_BYTES_MAX)
    if position < 0:
        return None
    runs, skipped, cut = _walk(data, position)
    counts: dict[int, int] = {}
    for run in runs:
        counts[run.key] = counts.get(run.key, 0) + run.n_frames
    main = max(counts, key=lambda key: counts[key])
    return MpegStream(
        kind=_KINDS[main],
        segments=_segments(data, [run for run in runs if run.key == main]),
        foreign_frames=sum(counts.values()) - counts[main],
        skipped_bytes=skipped,
        leading_bytes=_unknown_bytes(data, after_tags, position),
        trailing_bytes=_unknown_bytes(data, runs[-1].end, len(data)),
        cut=cut,
    )


def _unknown_bytes(data: Content, start: int, end: int) -> int:
    """Return the length of what lies outside all frames, or 0 if it is short, padding, or begins with a tag."""
    begin, rest = (
        bytes(data[start : min(end, start + EDGE_BYTES)]),
        bytes(data[max(start, end - EDGE_BYTES) : end]),
    )
    content = begin.strip(b"\0")
    is_tag = content.startswith(_TAG_STARTS) or any(mark in begin or mark in rest for mark in _TAG_MARKS)
    if end - start > EDGE_BYTES:
        is_short = not content and not rest.strip(b"\0")
    else:
        is_short = len(content) <= LONGEST_FRAME_BYTES
    return 0 if is_tag or is_short else end - start


class _Run(NamedTuple):
    """Frames of one kind in a row: their key, first byte, byte after the last, and how many are whole."""

    key: int
    start: int
    end: int
    n_frames: int


def _walk(data: Content, position: int) -> tuple[list[_Run], int, bool]:
    """Return runs of equal frames, the bytes skipped between them, and whether the last frame is cut."""
    runs: list[_Run] = []
    size, skipped = min(len(data), position + WALK_BYTES_MAX), 0
    run_key, run_start, run_frames = _key_at(data, position), position, 0
    while True:
        # `_key_at` and `_length_at` written out: a clip has a thousand frames, and nearly all are like the last.
        while position + 4 <= size and data[position] == 0xFF:
            word = data[position + 1] << 8 | data[position + 2]
            length = _LENGTHS[word]
            if not length or (word & 0xFE0C) << 1 | (data[position + 3] >> 6 == 3) != run_key:
                break
            if position + length > size:
                runs.append(_Run(run_key, run_start, size, run_frames))
                return runs, skipped, True
            position += length
            run_frames += 1
        key = _key_at(data, position)
        runs.append(_Run(run_key, run_start, position, run_frames))
        after_tags = position if key >= 0 else skip_tags(data, position)
        following = position if key >= 0 else find_frame(data, after_tags, after_tags + GAP_BYTES_MAX)
        if following < 0:
            return runs, skipped, False
        skipped += following - after_tags
        position = following
        run_key, run_start, run_frames = _key_at(data, position), position, 0


def _segments(data: Content, runs: Sequence[_Run]) -> tuple[Segment, ...]:
    """Return the output of each encoder: a note begins a new one."""
    segments: list[Segment] = []
    for run in runs:
        starts = [run.start, *_notes_inside(data, run)]
        for start, end in zip(starts, [*starts[1:], run.end], strict=True):
            n_frames = run.n_frames if len(starts) == 1 else _count(data, start, end)
            note = _read_note(data, start)
            if note is not None or not segments:
                segments.append(Segment(((start, end),), n_frames - (note is not None), note))
            else:
                last = segments[-1]
                segments[-1] = Segment((*last.spans, (start, end)), last.n_frames + n_frames, last.note)
    return tuple(segments)


def _notes_inside(data: Content, run: _Run) -> list[int]:
    """Return where frames that are notes begin within a run, its first frame left aside."""
    found: list[int] = []
    for mark in _NOTE_MARKS:
        at = data.find(mark, run.start + 4 + _length_at(data, run.start), run.end)
        while at >= 0:
            for place in _NOTE_PLACES:
                begin = at - place
                silent = not bytes(data[begin + 4 : at]).strip(b"\0")
                if (
                    silent
                    and _key_at(data, begin) == run.key
                    and _count(data, run.start, begin, exactly=True)
                ):
                    found.append(begin)
            at = data.find(mark, at + 4, run.end)
    return sorted(found)


def _count(data: Content, start: int, end: int, *, exactly: bool = False) -> int:
    """Return the number of whole frames from `start` to `end`; 0 if `exactly` and none ends at `end`."""
    n_frames = 0
    while start < end and (length := _length_at(data, start)):
        start += length
        n_frames += start <= end
    return 0 if exactly and start != end else n_frames


def _read_note(data: Content, position: int) -> Note | None:
    """Return what the frame at `position` notes if it is a Xing/Info or a VBRI frame."""
    frame = bytes(data[position : position + _length_at(data, position)])
    if frame[_VBRI_PLACE:].startswith(b"VBRI"):
        return Note(len(frame), int.from_bytes(frame[50:54], "big") or None, None, is_vbri=True)
    for mark in _NOTE_MARKS:
        found = frame.find(mark, 4, 64)
        if found >= 0:
            flags = int.from_bytes(frame[found + 4 : found + 8], "big")
            promised = int.from_bytes(frame[found + 8 : found + 12], "big") if flags & 1 else None
            # The encoder's own fields come after frames, bytes, seek table and quality; its delay at byte 21 of them.
            lame = found + 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
            delays = int.from_bytes(frame[lame + 21 : lame + 24], "big")
            has_delays = len(frame) >= lame + 24 and frame[lame] != 0
            return Note(len(frame), promised or None, delays >> 12 if has_delays else None)
    return None
