"""Recordings' files opened for reading, block by block, as mono samples at the file's own rate.

The format is told by the file's content, never by its name. Mono is the mean of the channels whatever the decoder:
miniaudio for mp3, libsndfile for wav, flac, ogg, opus and aiff, FFmpeg through PyAV for m4a, aac, webm and wma.
mp3 goes to miniaudio rather than to libsndfile's mpg123, which is a little faster but writes to stderr on sound files.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.audio import mpeg
from folksong.audio.truncation import describe_cut
from folksong.errors import AudioError
from folksong.files import describe_os_error

Samples = npt.NDArray[np.float32]
Blocks = Generator[Samples, None, None]

BLOCK_FRAMES = 1 << 14
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
SNIFF_BYTES = 1 << 16
FFMPEG_FORMATS = frozenset({"m4a", "aac", "webm", "wma"})


class Source:
    """An opened file.

    Args:
        path: the file.
        name: `mp3`, `wav`, `flac`, ...
        rate: Hz.
        channels: of the file.

    Attributes:
        blocks: yields mono samples at `rate` Hz, (n,) float32; each block may lie in the same buffer as the last.
        expected: samples, as far as the file says.
        damage: what could not be read; grows while the blocks are read.
    """

    def __init__(self, path: Path, name: str, rate: int, channels: int) -> None:
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            raise AudioError(
                f"{path}: a sample rate of {rate} Hz cannot be right ({LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz are "
                "read); convert the file again from its source, or leave it out"
            )
        self.name, self.rate, self.channels = name, rate, channels
        self.blocks: Blocks = _nothing()
        self.expected = 0
        self.damage: list[str] = []


def _nothing() -> Blocks:
    yield from ()


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a file with the decoder that its first bytes ask for; close `Source.blocks` when done.

    Raises:
        AudioError: nothing in it can be decoded.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise AudioError(f"{file}: is a folder, not a recording")
        with file.open("rb", buffering=0) as stream:
            head = stream.read(SNIFF_BYTES)
            name = sniff(head) if head else None
            if name == "mp3":
                stream.seek(0)
                return _open_mpeg(file, stream.readall())
    except OSError as error:
        raise AudioError(describe_os_error(error, file)) from error
    if not head:
        raise AudioError(f"{file}: an empty file (0 bytes); download or copy it again, or leave it out")
    if name is None:
        shown = head[:12].decode("ascii", "replace").encode("ascii", "replace").decode()
        raise AudioError(
            f"{file}: not a recording that folksong knows, whatever its name says (it begins with {shown!r}); "
            "mp3, ogg, flac, wav, aiff, m4a and aac are read"
        )
    return _open_ffmpeg(file, name) if name in FFMPEG_FORMATS else _open_sndfile(file, name)


def sniff(head: bytes) -> str | None:
    """Tell a recording's format from its first bytes, or None for anything else.

    >>> sniff(b"fLaC" + bytes(40)), sniff(b"To whom it may concern")
    ('flac', None)
    """
    start = mpeg.skip_id3(head)
    if start >= len(head):
        return (
            "mp3"  # a picture in the tag can be longer than what was read; the walk over the frames decides
        )
    body = head[start:]
    for name, marks in _MARKS.items():
        if body.startswith(marks):
            return name
    if body[4:8] == b"ftyp":
        return "m4a"
    if body[:1] == b"\xff" and len(body) > 1 and body[1] & 0xF6 == 0xF0:  # the ADTS header: layer bits 00
        return "aac"
    return "mp3" if mpeg.find_frame(head, min(start, len(head))) >= 0 or mpeg.find_frame(head) >= 0 else None


_MARKS: dict[str, tuple[bytes, ...]] = {
    "wav": (b"RIFF", b"RIFX", b"RF64", b"riff\x2e\x91\xcf\x11"),
    "flac": (b"fLaC",),
    "ogg": (b"OggS",),
    "aiff": (b"FORM",),
    "au": (b".snd",),
    "caf": (b"caff",),
    "webm": (b"\x1a\x45\xdf\xa3",),
    "wma": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",),
}


def _mean(frames: Samples, mono: Samples | None = None) -> Samples:
    """Return (n,) the mean of (n, channels), in the buffer `mono` if there is one.

    Sums of columns are ten times faster than NumPy's mean over rows.
    """
    channels = frames.shape[1]
    if channels == 1:
        return frames[:, 0]
    total = np.add(frames[:, 0], frames[:, 1], out=None if mono is None else mono[: len(frames)])
    for channel in range(2, channels):
        total += frames[:, channel]
    total *= np.float32(1 / channels)
    return total


def _open_mpeg(file: Path, data: bytes) -> Source:
    found = mpeg.walk_frames(data)
    if found is None:
        raise AudioError(f"{file}: holds no mp3 frame, whatever its name says; get the recording again")
    kind = found.kind
    damage: list[str] = []
    if found.foreign_frames:
        damage.append(
            f"{found.foreign_frames} of {found.n_frames + found.foreign_frames} mp3 frames have another sample rate or "
            "number of channels than most and are left out"
        )
    if found.foreign_frames or found.skipped_bytes:
        data = b"".join(data[start:end] for start, end in found.spans)
    if found.skipped_bytes:
        damage.append(f"{found.skipped_bytes} bytes in the middle are no mp3 frames")
    if found.leading_bytes:
        damage.append(f"its first {found.leading_bytes} bytes after any tag are no mp3 frames")
    if found.trailing_bytes:
        damage.append(f"its last {found.trailing_bytes} bytes are no mp3 frames")
    if found.promised_seconds is not None and found.promised_frames is not None:
        if found.n_frames < found.promised_frames - 1:
            damage.append(
                f"cut: {found.seconds:.2f} s of the {found.promised_seconds:.2f} s that it promises"
            )
    elif found.cut:
        damage.append(f"cut in the middle of a frame after {found.seconds:.2f} s")
    source = Source(file, "mp3", kind.sample_rate, kind.channels)
    source.expected = found.n_frames * kind.samples
    source.damage = damage
    source.blocks = _mpeg_blocks(data, source)
    return source


def _mpeg_blocks(data: bytes, source: Source) -> Blocks:
    # The module-level functions of miniaudio decode to one array of all channels and copy it; its C functions let
    # blocks be mixed as they come.
    from miniaudio import ffi, lib

    with ffi.new("ma_dr_mp3 *") as decoder:
        if not lib.ma_dr_mp3_init_memory(decoder, data, len(data), ffi.NULL):
            source.damage.append("the decoder finds no mp3 frame that it understands")
            return
        try:
            if decoder.channels != source.channels or decoder.sampleRate != source.rate:
                source.damage.append("the decoder and the frame headers disagree on rate or channels")
                return
            block = np.empty((BLOCK_FRAMES, source.channels), np.float32)
            mono = np.empty(BLOCK_FRAMES, np.float32)
            pointer = ffi.cast("float *", ffi.from_buffer(block))
            decoded = 0
            while n_frames := int(lib.ma_dr_mp3_read_pcm_frames_f32(decoder, BLOCK_FRAMES, pointer)):
                decoded += n_frames
                yield _mean(block[:n_frames], mono)
        finally:
            lib.ma_dr_mp3_uninit(decoder)
    if decoded < source.expected - max(
        8 * 1152, source.expected // 100
    ):  # up to 4 frames are encoder delay and padding
        source.damage.append(
            f"only {decoded / source.rate:.2f} s of {source.expected / source.rate:.2f} s can be decoded"
        )


def _open_sndfile(file: Path, name: str) -> Source:
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        """Read once from start to end: `SoundFile` seeks after each read, which fails where a flac file was cut."""

        def seekable(self) -> bool:
            return False

    try:
        # soundfile encodes a text itself, and fails on a name that is not UTF-8
        sound = Forward(os.fspath(file) if os.name == "nt" else os.fsencode(file))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error))
        raise AudioError(
            f"{file}: damaged, or a kind of {name} that cannot be read ({reason}); get or convert it again"
        ) from error
    source = Source(file, name, int(sound.samplerate), int(sound.channels))
    source.expected = int(sound.frames)
    cut = describe_cut(file, name)
    source.damage = [cut] if cut else []
    source.blocks = _sndfile_blocks(sound, source)
    return source


def _sndfile_blocks(sound: object, source: Source) -> Blocks:
    import soundfile

    assert isinstance(sound, soundfile.SoundFile)
    decoded = 0
    with sound:
        block = np.empty((BLOCK_FRAMES, sound.channels), np.float32)
        mono = np.empty(BLOCK_FRAMES, np.float32)
        while True:
            try:
                frames = sound.read(BLOCK_FRAMES, out=block)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                reason = getattr(error, "error_string", str(error))
                source.damage.append(f"cannot be decoded after {decoded / source.rate:.2f} s ({reason})")
                return
            if not len(frames):
                break
            decoded += len(frames)
            yield _mean(frames, mono)
    if decoded < source.expected < 1 << 62:  # libsndfile's "unknown length" is 2**63 - 1
        source.damage.append(
            f"holds {decoded / source.rate:.2f} s of the {source.expected / source.rate:.2f} s that it promises"
        )


def _open_ffmpeg(file: Path, name: str) -> Source:
    import av

    av.logging.set_level(None)  # FFmpeg would write its complaints to stderr
    try:
        container = av.open(os.fspath(file))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise AudioError(f"{file}: damaged {name} file ({error}); get or convert it again") from error
    if not container.streams.audio:
        container.close()
        raise AudioError(f"{file}: a {name} file without an audio stream; leave it out")
    context = container.streams.audio[0].codec_context
    source = Source(file, name, int(context.sample_rate), int(context.channels))
    source.blocks = _ffmpeg_blocks(container, source)
    return source


def _ffmpeg_blocks(container: object, source: Source) -> Blocks:
    import av

    assert isinstance(container, av.container.InputContainer)
    decoded = 0
    with container:
        promised = container.duration or 0  # microseconds
        try:
            for frame in container.decode(audio=0):
                if frame.sample_rate != source.rate:
                    source.damage.append(f"the sample rate changes after {decoded / source.rate:.2f} s")
                    return
                block = _mean(_ffmpeg_frame(frame))
                decoded += len(block)
                yield block
        except (av.error.FFmpegError, ValueError) as error:
            source.damage.append(f"cannot be decoded after {decoded / source.rate:.2f} s ({error})")
            return
    if decoded / source.rate < promised / 1e6 - 0.25:
        source.damage.append(
            f"holds {decoded / source.rate:.2f} s of the {promised / 1e6:.2f} s that it promises"
        )


def _ffmpeg_frame(frame: object) -> Samples:
    """Return an FFmpeg frame as (n_samples, channels) float32, full scale ±1."""
    import av

    assert isinstance(frame, av.AudioFrame)
    channels = frame.layout.nb_channels
    values = frame.to_ndarray()
    samples: Samples = (values.T if frame.format.is_planar else values.reshape(-1, channels)).astype(
        np.float32
    )
    if values.dtype.kind == "u":
        samples -= np.float32(128)
    if values.dtype.kind in "iu":
        samples *= np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))
    return samples
