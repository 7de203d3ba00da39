"""A recording that is decoded while its windows are asked for, so that hours of sound take no more memory than minutes.

It is decoded twice: first to learn how long it is (and how loud, for decibels below the loudest point of the whole
track), then again as windows are taken from its beginning to its end.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import numpy as np

from folksong.audio.decode import open_recording
from folksong.audio.log_mel import FeaturePreset, Matrix, log_mel_blocks

logger = logging.getLogger(__name__)


class LongRecording:
    """Windows of a recording, (samples,) or (n_mels, frames); they must be asked for in rising order.

    Args:
        path: the file.
        sample_rate: Hz.
        preset: of the spectrogram; None for a waveform.

    Attributes:
        n_samples: its length at `sample_rate`.
        n_steps: number of samples or frames.
        peak: magnitude of its loudest sample.
        damage: what could not be read, or None; a warning tells it too.

    Raises:
        AudioError: it cannot be decoded.
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
