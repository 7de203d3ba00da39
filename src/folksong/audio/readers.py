"""Recordings' files opened for reading, block by block, as mono samples at the file's own rate.

The format is told by the file's content behind any tag, never by its name, and tags never decide whether the sound is
read. Mono is the mean of the channels whatever the decoder: miniaudio for mp3 (in wav too), libsndfile for wav, flac,
ogg, opus, aiff, au and caf, FFmpeg through PyAV for m4a, aac, webm, wma and for what libsndfile refuses (Speex and FLAC
in Ogg). mp3 goes to miniaudio rather than to libsndfile's mpg123, which is a little faster but writes to stderr.
Samples in NumPy's ``.npz`` are read as the base project of the earlier one stored them.
"""

import contextlib
import os
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from folksong.audio import containers, mpeg
from folksong.audio.containers import Region
from folksong.errors import AudioError, FolksongError, NoRecordingError
from folksong.files import content_of, describe_os_error, open_regular

Samples = npt.NDArray[np.float32]
Blocks = Generator[Samples, None, None]

BLOCK_FRAMES = 1 << 14
MOST_NPZ_BYTES = 4 << 30
ZIP_MAGIC = b"PK\x03\x04"
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
SNIFF_BYTES = 1 << 16
TAGS_MAX = 100
FFMPEG_NAMES: Mapping[str, str] = {
    "aac": "aac",
    "aiff": "aiff",
    "au": "au",
    "caf": "caf",
    "flac": "flac",
    "m4a": "mov",
    "mp3": "mp3",
    "ogg": "ogg",
    "wav": "wav",
    "webm": "matroska",
    "wma": "asf",
}
"""FFmpeg's name of each format. It is never left to guess: some of its formats open other files."""
OWN_TAGS = ("artist", "album", "title")
QUICK = {"probesize": str(SNIFF_BYTES), "analyzeduration": "0"}  # no sound needs to be looked at
FFMPEG_FORMATS = frozenset({"m4a", "aac", "webm", "wma"})


class RecordingStream:
    """An opened recording that is decoded while it is read; a context manager that closes the file.

    Args:
        path: the file.
        name: `mp3`, `wav`, `flac`, ... by content.
        rate: Hz.
        channels: of the file.

    Attributes:
        blocks: yields mono samples at `sample_rate`, (n,) float32; a block is valid until the next is asked for.
        expected_seconds: length, as far as the file says.
        sample_rate: Hz, of the blocks.
        source_rate: Hz, of the file.
        format: the name.
        lost: what could not be read; grows while the blocks are read.
    """

    def __init__(self, path: Path, name: str, rate: int, channels: int) -> None:
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            raise AudioError(
                f"{path}: a sample rate of {rate} Hz cannot be right ({LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz are "
                "read); convert the file again from its source, or leave it out"
            )
        self.path, self.format, self.channels = path, name, channels
        self.sample_rate = self.source_rate = rate
        self.blocks: Blocks = (block for block in list[Samples]())
        self.expected_seconds = 0.0
        self.lost: list[str] = []
        self.file: IO[bytes] | None = None

    @property
    def damage(self) -> str | None:
        """What could not be read so far, or None; complete when the blocks are at their end."""
        return "; ".join(self.lost) or None

    def __enter__(self) -> "RecordingStream":
        return self

    def __exit__(self, *error: object) -> None:
        self.blocks.close()  # closes decoders now, not when the garbage collector comes round
        if self.file is not None:
            self.file.close()


def open_stream(path: str | os.PathLike[str]) -> RecordingStream:
    """Open a file with the decoder that its content asks for."""
    file = Path(path)
    try:
        with contextlib.ExitStack() as opened:
            content = opened.enter_context(open_regular(file))
            stream = _open(file, content)
            opened.pop_all()
    except AudioError:
        raise
    except OSError as error:
        raise AudioError(describe_os_error(error, file)) from error
    except FolksongError as error:
        raise AudioError(str(error)) from error
    stream.file = content
    return stream


def _open(file: Path, stream: IO[bytes]) -> RecordingStream:
    size = stream.seek(0, os.SEEK_END)
    if not size:
        raise AudioError(f"{file}: an empty file (0 bytes); download or copy it again, or leave it out")
    stream.seek(0)
    if stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
        return _open_npz(file, stream)
    start, name = _identify(stream, size)
    if name is None:
        stream.seek(0)
        shown = stream.read(12).decode("ascii", "replace").encode("ascii", "replace").decode()
        raise NoRecordingError(
            f"{file}: not a recording that folksong knows, whatever its name says (it begins with {shown!r}); "
            "mp3, ogg, flac, wav, aiff, m4a and aac are read"
        )
    if name == "mp3":
        return _open_mpeg(file, content_of(stream))
    first, *others = containers.links(stream, name, start, size)
    source = _open_link(file, stream, name, *first)
    if others:
        source.blocks = _chained_blocks(source, source.blocks, stream, others)
    return source


def _open_link(file: Path, stream: IO[bytes], name: str, start: int, end: int) -> RecordingStream:
    """Open one of the recordings that follow one another in a file."""
    if name in FFMPEG_FORMATS:
        stream.seek(start)
        promises = name != "aac" and not (
            name == "wma" and containers.is_asf_broadcast(stream.read(SNIFF_BYTES))
        )
        return _open_ffmpeg(file, name, Region(stream, start, end), promises=promises)
    layout = containers.read_wav(stream, start, end) if name == "wav" else None
    if layout is None:
        cut = containers.describe_cut(stream, name, start, end)
        if name == "flac":
            end = containers.end_without_tags(stream, end)
        unfilled = containers.unfilled_au(stream, start) if name == "au" else {}
        return _open_sndfile(file, name, Region(stream, start, end, unfilled), cut)
    if layout.coding in containers.MPEG_IN_WAV:
        stream.seek(layout.start)
        return _open_mpeg(file, stream.read(layout.end - layout.start))
    patches = {place - start: patch for place, patch in layout.patches.items()}
    return _open_sndfile(file, name, Region(stream, start, end, patches), layout.damage)


def _identify(stream: IO[bytes], size: int) -> tuple[int, str | None]:
    """Return where the sound's container begins, behind all tags, and its format."""
    position = 0
    for _ in range(TAGS_MAX):
        stream.seek(position)
        head = stream.read(SNIFF_BYTES)
        after_tags = mpeg.skip_tags(head, padding=position > 0)
        if after_tags >= 3 and head[after_tags + 1 : after_tags + 5] == b"ftyp":
            after_tags -= 3  # an m4a file begins with zeros of its own
        if after_tags < len(head) or position + after_tags >= size:
            return position + min(after_tags, len(head)), sniff(head[after_tags:] or head)
        position += after_tags
    return position, None


def read_own_tags(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Return the `artist`, `album` and `title` that a recording's own tags name; None for what they do not.

    ID3, Vorbis comments, MP4 atoms, RIFF INFO and ASF attributes, read by FFmpeg. Never fails for what it finds.
    """
    import av

    found: dict[str, str | None] = dict.fromkeys(OWN_TAGS)
    av.logging.set_level(None)
    ignored = (av.error.FFmpegError, OSError, ValueError, FolksongError)
    with contextlib.suppress(*ignored), open_regular(path) as stream:
        size = stream.seek(0, os.SEEK_END)
        start, name = _identify(stream, size)
        for begin in dict.fromkeys((0, start)):  # tags in front belong to the file too
            region = Region(stream, begin, size)
            with (
                contextlib.suppress(*ignored),
                av.open(
                    region, format=FFMPEG_NAMES[name or "mp3"], metadata_errors="replace", options=QUICK
                ) as opened,
            ):
                for tags in (opened.metadata, *(audio.metadata for audio in opened.streams.audio)):
                    values = {key.casefold(): " ".join(value.split()) for key, value in tags.items()}
                    found = {key: found[key] or values.get(key) or None for key in OWN_TAGS}
    return found


def sniff(head: bytes) -> str | None:
    """Tell a recording's format from its first bytes, or None for anything else.

    >>> sniff(b"fLaC" + bytes(40)), sniff(b"To whom it may concern")
    ('flac', None)
    """
    start = mpeg.skip_tags(head)
    if start >= len(head):
        return "mp3"  # nothing but tags: the walk over the frames decides
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


def _open_mpeg(file: Path, data: mpeg.Content) -> RecordingStream:
    found = mpeg.walk_frames(data)
    if found is None:
        raise AudioError(f"{file}: holds no mp3 frame, whatever its name says; get the recording again")
    kind = found.kind
    source = RecordingStream(file, "mp3", kind.sample_rate, kind.channels)
    source.expected_seconds = found.seconds
    source.lost = list(_mpeg_damage(found))
    source.blocks = _mpeg_blocks(data, found, source)
    return source


def _mpeg_damage(found: mpeg.MpegStream) -> Iterator[str]:
    if found.foreign_frames:
        yield (
            f"{found.foreign_frames} of {found.n_frames + found.foreign_frames} mp3 frames have another sample rate or "
            "number of channels than most and are left out"
        )
    if found.skipped_bytes:
        yield f"{found.skipped_bytes} bytes in the middle are no mp3 frames"
    if found.leading_bytes:
        yield f"its first {found.leading_bytes} bytes after any tag are no mp3 frames"
    if found.trailing_bytes:
        yield f"its last {found.trailing_bytes} bytes are no mp3 frames"
    if found.missing_frames:
        promised = found.seconds + found.missing_frames * found.kind.samples / found.kind.sample_rate
        yield f"cut: {found.seconds:.2f} s of the {promised:.2f} s that it promises"
    elif found.cut and all(
        segment.note is None or not segment.note.promised_frames for segment in found.segments
    ):
        yield f"cut in the middle of a frame after {found.seconds:.2f} s"


def _mpeg_blocks(data: mpeg.Content, found: mpeg.MpegStream, source: RecordingStream) -> Blocks:
    decoded = 0
    for segment in found.segments:
        for block in _segment_blocks(data, segment, source):
            decoded += len(block)
            yield block
    expected = found.n_frames * found.kind.samples
    # up to 4 frames of each segment are encoder delay and padding
    if decoded < expected - max(8 * 1152 * len(found.segments), expected // 100):
        source.lost.append(
            f"only {decoded / source.source_rate:.2f} s of {source.expected_seconds:.2f} s can be decoded"
        )


def _segment_blocks(data: mpeg.Content, segment: mpeg.Segment, source: RecordingStream) -> Blocks:
    """Decode one encoder's output; what its note says of delay and padding is heeded, a wrong number of frames not."""
    # The module-level functions of miniaudio decode to one array of all channels and copy it; its C functions let
    # blocks be mixed as they come.
    from miniaudio import ffi, lib

    start, end = segment.spans[0]
    to_skip = 0
    if segment.note is not None and (segment.note.is_vbri or segment.promises_too_few):
        start += segment.note.n_bytes
        to_skip = 0 if segment.note.delay is None else segment.note.delay + mpeg.DECODER_DELAY
    if len(segment.spans) > 1:
        data = b"".join([data[start:end], *(data[begin:stop] for begin, stop in segment.spans[1:])])
        start, end = 0, len(data)
    with ffi.from_buffer("uint8_t[]", data) as whole, ffi.new("ma_dr_mp3 *") as decoder:
        if not lib.ma_dr_mp3_init_memory(decoder, whole + start, end - start, ffi.NULL):
            source.lost.append("the decoder finds no mp3 frame that it understands")
            return
        try:
            if decoder.channels != source.channels or decoder.sampleRate != source.source_rate:
                source.lost.append("the decoder and the frame headers disagree on rate or channels")
                return
            block = np.empty((BLOCK_FRAMES, source.channels), np.float32)
            mono = np.empty(BLOCK_FRAMES, np.float32)
            pointer = ffi.cast("float *", ffi.from_buffer(block))
            while n_frames := int(lib.ma_dr_mp3_read_pcm_frames_f32(decoder, BLOCK_FRAMES, pointer)):
                yield _mean(block[:n_frames], mono)[to_skip:]
                to_skip = max(0, to_skip - n_frames)
        finally:
            lib.ma_dr_mp3_uninit(decoder)


def _chained_blocks(
    source: RecordingStream, first: Blocks, stream: IO[bytes], others: Sequence[tuple[int, int]]
) -> Blocks:
    """Yield the blocks of recordings that follow one another; later ones are brought to the first one's rate."""
    import soxr

    yield from first
    for number, (begin, end) in enumerate(others, 2):
        try:
            part = _open_link(source.path, stream, source.format, begin, end)
        except AudioError as error:
            source.lost.append(f"its part {number}: {str(error).removeprefix(f'{source.path}: ')}")
            continue
        if part.source_rate == source.source_rate:
            yield from part.blocks
        else:
            resampler = soxr.ResampleStream(part.source_rate, source.source_rate, 1, quality="HQ")
            for block in part.blocks:
                yield resampler.resample_chunk(block)
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        source.lost += part.lost


def _open_sndfile(file: Path, name: str, region: Region, cut: str | None) -> RecordingStream:
    """Open a region with libsndfile, or with FFmpeg if that knows better."""
    import soundfile

    try:
        descriptor = region.descriptor()
        sound = soundfile.SoundFile(region if descriptor is None else descriptor, closefd=False)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error))
        try:
            other = _open_ffmpeg(file, name, region)
        except AudioError:
            raise AudioError(
                f"{file}: damaged, or a kind of {name} that cannot be read ({reason}); get or convert it again"
            ) from error
        other.lost += [cut] if cut else []
        return other
    source = RecordingStream(file, name, int(sound.samplerate), int(sound.channels))
    source.expected_seconds = sound.frames / sound.samplerate
    source.lost = [cut] if cut else []
    source.blocks = _sndfile_blocks(sound, source)
    return source


def _sndfile_blocks(sound: Any, source: RecordingStream) -> Blocks:
    # `SoundFile.read` seeks after each block, which fails where a flac file was cut, and gives nothing of a block in
    # which an error lies; the C functions give what comes before it.
    from soundfile import _ffi, _snd

    decoded, error = 0, 0
    with sound:
        block = np.empty((BLOCK_FRAMES, sound.channels), np.float32)
        mono = np.empty(BLOCK_FRAMES, np.float32)
        pointer = _ffi.cast("float *", _ffi.from_buffer(block))
        while not error:
            n_frames = int(_snd.sf_readf_float(sound._file, pointer, BLOCK_FRAMES))
            error = int(_snd.sf_error(sound._file))
            if n_frames <= 0:
                break
            decoded += n_frames
            yield _mean(block[:n_frames], mono)
        reason = _ffi.string(_snd.sf_error_number(error)).decode("utf-8", "replace") if error else ""
    if decoded >= sound.frames:  # what follows the sound may be a tag
        return
    if error:
        _tell_end(source, decoded, reason)
    elif sound.frames < 1 << 62:  # libsndfile's "unknown length" is 2**63 - 1
        _tell_short(source, decoded)


def _open_npz(file: Path, stream: IO[bytes]) -> RecordingStream:
    """Open ``array``, (samples,) or (channels, samples), and ``sr``, Hz, of NumPy's archive."""
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            if archive.getinfo("array.npy").file_size > MOST_NPZ_BYTES:
                raise AudioError(f"{file}: samples of more than {MOST_NPZ_BYTES >> 30} GiB are not read")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as arrays:
            rate, samples = int(arrays["sr"]), arrays["array"]
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        EOFError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise AudioError(
            f"{file}: an archive without whole arrays `array` (samples) and `sr` (Hz), which recordings in .npz have "
            f"({str(error)[:80]})"
        ) from error
    if samples.dtype.kind not in "fi" or samples.ndim not in (1, 2) or not samples.size:
        raise AudioError(f"{file}: its array {samples.shape} of {samples.dtype} holds no samples of sound")
    if samples.dtype.kind == "i":
        samples = samples / -float(np.iinfo(samples.dtype).min)
    channels = samples.ndim == 2 and int(np.argmin(samples.shape))
    source = RecordingStream(file, "npz", rate, 1 if samples.ndim == 1 else samples.shape[channels])
    mono = (samples if samples.ndim == 1 else samples.mean(axis=channels)).astype(np.float32)
    source.expected_seconds = len(mono) / rate
    source.blocks = (mono[start : start + BLOCK_FRAMES] for start in range(0, len(mono), BLOCK_FRAMES))
    return source


def _tell_end(source: RecordingStream, decoded: int, reason: object) -> None:
    source.lost.append(f"cannot be decoded after {decoded / source.source_rate:.2f} s ({reason})")


def _tell_short(source: RecordingStream, decoded: int) -> None:
    held, promised = decoded / source.source_rate, source.expected_seconds
    source.lost.append(f"holds {held:.2f} s of the {promised:.2f} s that it promises")


def _open_ffmpeg(file: Path, name: str, region: Region, *, promises: bool = True) -> RecordingStream:
    """Open a region with FFmpeg. Where the file promises no length, FFmpeg's is a guess by the bit rate."""
    import av

    av.logging.set_level(None)  # FFmpeg would write its complaints to stderr
    region.seek(0)
    try:
        descriptor = region.descriptor()
        place, options = (region, {}) if descriptor is None else ("fd:", {"fd": str(descriptor)})
        container = av.open(place, format=FFMPEG_NAMES[name], metadata_errors="replace", options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{file}: damaged {name} file ({reason}); get or convert it again") from error
    assert isinstance(container, av.container.InputContainer)
    if not container.streams.audio:
        container.close()
        raise AudioError(f"{file}: a {name} file without an audio stream; leave it out")
    context: Any = container.streams.audio[0].codec_context
    if context is None:
        container.close()
        raise AudioError(f"{file}: a {name} file whose coding cannot be read; convert it, or leave it out")
    source = RecordingStream(file, name, int(context.sample_rate), int(context.channels))
    if promises:
        source.expected_seconds = (container.duration or 0) / 1e6
    source.blocks = _ffmpeg_blocks(container, source)
    return source


def _ffmpeg_blocks(container: Any, source: RecordingStream) -> Blocks:
    import av

    decoded = 0
    with container:
        try:
            for frame in container.decode(audio=0):
                if frame.sample_rate != source.source_rate:
                    source.lost.append(f"the sample rate changes after {decoded / source.source_rate:.2f} s")
                    return
                block = _mean(_ffmpeg_frame(frame))
                decoded += len(block)
                yield block
        except (av.error.FFmpegError, ValueError) as error:
            _tell_end(source, decoded, error)
            return
    if decoded / source.source_rate < source.expected_seconds - 0.25:
        _tell_short(source, decoded)


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
