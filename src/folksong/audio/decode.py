"""A recording's file -> mono float32 samples at the rate wanted.

One definition for every format: mono is the arithmetic mean of the channels, (L + R) / 2 (FFmpeg's own down-mix is
louder by a factor of √2, and a model must never see two), resampled by soxr's HQ recipe, full scale ±1. Which decoder
reads what is said in `folksong.audio.readers`.

**Damaged files.** What decodes is kept and what is missing is told: a file that was cut, or that has bytes in the
middle that are no sound, gives the samples that are there, and `Recording.damage` says what was lost (`decode` logs it
as a warning; ``strict=True`` makes it an error). A file in which nothing decodes, or with samples that are not
numbers, is an `AudioError` that names the file and the remedy. Samples are decoded block by block and mixed and
resampled as they come, so that memory holds the mono result and one block, whatever the number of channels. A
`LongRecording` does without the former too.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from folksong.audio.log_mel import FeaturePreset, Matrix, log_mel_blocks
from folksong.audio.readers import Blocks, RecordingStream, Samples, open_stream
from folksong.errors import AudioError

logger = logging.getLogger(__name__)

LOUDEST = 64.0  # 36 dB over full scale: beyond it the numbers are not audio (integers stored as floats, flipped bits)
MAX_SECONDS = 3 * 3600.0
LONG_SECONDS = 1200.0
SMALL_BYTES = 2 << 20  # what is smaller needs no look inside: at 14 kbit/s it holds 20 minutes
JOIN_MARGIN = 1 << 12  # samples
EXPECTED_SAMPLES_MAX = 3 << 26  # three hours at 16 kHz; a damaged header may promise years


@dataclass(frozen=True, eq=False)
class Recording:
    """A decoded file: (n_samples,) float32 mono samples at `sample_rate`, and what the file is.

    `source_rate` (Hz), `channels` and `format` (`mp3`, `wav`, ... by content) are the file's; `damage` is what could
    not be read, or None for a sound file.
    """

    samples: Samples
    sample_rate: int
    source_rate: int
    channels: int
    format: str
    damage: str | None = None

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


def decode(path: str | os.PathLike[str], sample_rate: int = 16000, *, strict: bool = False) -> Samples:
    """Decode a recording to mono float32 at `sample_rate`.

    Args:
        path: an mp3, ogg, flac, wav, m4a, ... file; the content decides, not the name.
        sample_rate: Hz.
        strict: treat a damaged file as an error instead of returning what decodes.

    Returns:
        (n_samples,) float32; full scale is ±1, mono is the mean of the channels.

    Raises:
        AudioError: nothing in the file can be decoded; the message names the file, the cause and the remedy.
    """
    recording = read_recording(path, sample_rate)
    if recording.damage:
        if strict:
            raise AudioError(f"{path}: {recording.damage}; replace the file, or leave it out")
        logger.warning("%s: %s; the rest is used", path, recording.damage)
    return recording.samples


def read_recording(
    path: str | os.PathLike[str], sample_rate: int | None = 16000, *, max_seconds: float = MAX_SECONDS
) -> Recording:
    """Decode a recording and say what it was made of and what was lost.

    Args:
        path: the file.
        sample_rate: Hz, or None for the file's own.
        max_seconds: a longer recording is an error rather than a full memory.

    Raises:
        AudioError: as `decode`.
    """
    with open_recording(path, sample_rate, max_seconds=max_seconds) as stream:
        try:
            samples = _joined(stream.blocks, int(stream.expected_seconds * stream.sample_rate))
        except MemoryError as error:
            raise AudioError(f"{path}: needs more memory than there is; leave it out") from error
        return Recording(
            samples, stream.sample_rate, stream.source_rate, stream.channels, stream.format, stream.damage
        )


def open_recording(
    path: str | os.PathLike[str], sample_rate: int | None = 16000, *, max_seconds: float = MAX_SECONDS
) -> RecordingStream:
    """Open a recording to decode it block by block; the blocks together are the samples of `read_recording`.

    Arguments and errors are those of `read_recording`; errors may come while the blocks are read.
    """
    stream = open_stream(path)
    if sample_rate is not None:
        stream.sample_rate = sample_rate
    stream.blocks = _checked(stream, _resampled(stream, stream.blocks, max_seconds))
    return stream


def _checked(stream: RecordingStream, blocks: Blocks) -> Blocks:
    n_samples = 0
    with closing(blocks):
        for block in blocks:
            if len(block):
                check_numbers(stream.path, block)
                n_samples += len(block)
                yield block
    if not n_samples:
        lost = f" ({stream.damage})" if stream.damage else ""
        raise AudioError(
            f"{stream.path}: holds no sound: 0 samples{lost}; get the recording again, or leave it out"
        )


def _joined(parts: Blocks, expected: int) -> Samples:
    """Join the parts in an array of the expected length; touching new memory twice is what costs here."""
    joined = np.empty(min(expected, EXPECTED_SAMPLES_MAX) + JOIN_MARGIN, np.float32)
    length = 0
    for part in parts:
        if length + len(part) > len(joined):
            joined = np.concatenate([joined[:length], np.empty(length + len(part), np.float32)])
        joined[length : length + len(part)] = part
        length += len(part)
    return joined[:length] if length > 0.9 * len(joined) else joined[:length].copy()


def _resampled(stream: RecordingStream, blocks: Blocks, max_seconds: float) -> Blocks:
    """Yield a stream's own blocks at the rate wanted, no more than of `max_seconds`."""
    import soxr

    too_long = AudioError(
        f"{stream.path}: longer than {max_seconds / 60:g} minutes, the most that is taken; cut it into tracks"
    )
    if stream.format == "mp3" and stream.expected_seconds > max_seconds + 1:  # its frames were counted
        raise too_long
    own_rate, rate = stream.source_rate, stream.sample_rate
    resampler = None if rate == own_rate else soxr.ResampleStream(own_rate, rate, 1, quality="HQ")
    n_samples = 0
    with closing(blocks):
        for block in blocks:
            n_samples += len(block)
            if n_samples > max_seconds * own_rate:
                raise too_long
            yield block if resampler is None else resampler.resample_chunk(block)
    if resampler is not None and n_samples:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def check_numbers(file: Path, samples: Samples) -> None:
    """Refuse what is no audio; the resampler passes NaN and infinity on."""
    peak = max(float(samples.max()), -float(samples.min()))
    if not np.isfinite(peak):
        raise AudioError(
            f"{file}: holds samples that are not finite numbers (NaN or infinite); write the file again from its source"
        )
    if peak > LOUDEST:
        raise AudioError(
            f"{file}: holds samples of magnitude {peak:.3g}, but full scale is 1; a file of floating-point samples "
            "must be scaled to ±1 before it is written"
        )


def check_samples(samples: npt.ArrayLike) -> Samples:
    """Return mono samples (n_samples,) as float32.

    Raises:
        AudioError: they are of another shape, none, or not finite.
    """
    array = np.asarray(samples, np.float32)
    if array.ndim != 1 or not len(array):
        raise AudioError(f"mono samples (n_samples,) are needed, not an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise AudioError("some samples are no finite numbers")
    return array


def is_long(path: str | os.PathLike[str]) -> bool:
    """Say whether a recording promises to be longer than `LONG_SECONDS`."""
    if Path(path).is_file() and Path(path).stat().st_size < SMALL_BYTES:
        return False
    with open_recording(path, None) as stream:
        return stream.expected_seconds > LONG_SECONDS


class LongRecording:
    """Windows of a recording that is decoded while they are asked for, in rising order: (samples,) or (n_mels, frames).

    It is decoded twice: first to learn how long it is (and how loud, for decibels below the loudest point of the whole
    track), then again as windows are taken from its beginning to its end. `n_samples` is its length, `n_steps` that in
    samples or frames, `peak` the magnitude of its loudest sample.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate: int, preset: FeaturePreset | None = None
    ) -> None:
        self._path, self._sample_rate, self._preset = path, sample_rate, preset
        self.n_samples, self.n_steps, self.peak = 0, 0, 0.0
        self.damage: str | None = None
        highest = -np.inf
        for block in self._decoded(self._measured()):
            self.n_steps += block.shape[-1]
            highest = max(highest, float(block.max()))
        self._tell_damage()
        in_decibels = preset is not None and preset.scaling == "decibel" and preset.top_db is not None
        self._floor = (
            np.float32(highest) - np.float32(preset.top_db) if in_decibels and preset is not None else None
        )
        self._coming = self._decoded(self._samples())
        self._kept, self._start = np.zeros(0 if preset is None else (preset.n_mels, 0), np.float32), 0

    def window_into(self, start: int, out: Matrix) -> None:
        """Write the steps from `start` into `out`, repeating a recording that is shorter."""
        if start < self._start:
            raise ValueError(f"step {start} is behind step {self._start}, which was asked for before")
        length = min(out.shape[-1], self.n_steps - start)
        parts, end = [self._kept], self._start + self._kept.shape[-1]
        while end < start + length:
            block = next(self._coming)
            begin, end = end, end + block.shape[-1]
            if begin <= start:  # what was kept is over
                parts, self._start = [], begin
            parts.append(block.copy())
        kept = np.concatenate(parts, axis=-1)[..., start - self._start :]
        self._kept, self._start = kept, start
        if self._floor is not None:
            kept = np.maximum(kept[..., :length], self._floor)
        if length == out.shape[-1]:
            out[...] = kept[..., :length]
        else:
            np.take(kept, np.arange(out.shape[-1]) % length, axis=-1, out=out)

    def _tell_damage(self) -> None:
        if self.damage:
            logger.warning("%s: %s; the rest is used", self._path, self.damage)

    def _samples(self) -> Iterator[Matrix]:
        with open_recording(self._path, self._sample_rate) as stream:
            yield from stream.blocks
            self.damage = stream.damage

    def _measured(self) -> Iterator[Matrix]:
        for block in self._samples():
            self.n_samples += len(block)
            self.peak = max(self.peak, float(np.abs(block).max()))
            yield block

    def _decoded(self, samples: Iterator[Matrix]) -> Iterator[Matrix]:
        return samples if self._preset is None else log_mel_blocks(samples, self._preset)
