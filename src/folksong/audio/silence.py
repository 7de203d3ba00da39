"""How much of a recording is silence.

A frame of 20 ms is silent if its root mean square lies more than a threshold (dB) below that of the recording's loudest
frame, or below −90 dB of full scale, about the last bit of 16. Silence at both ends is trimmed; what is silent in
between counts as total and longest silence. (The earlier project measured the same with ``librosa.effects.split``.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FRAME_SECONDS = 0.02
NOTHING_DB = -90.0  # of full scale
DEFAULT_THRESHOLD_DB = 60.0


@dataclass(frozen=True)
class Silence:
    """Silence figures of a recording.

    Args:
        effective_seconds: length without the silence at both ends; 0 if there is no sound at all.
        total_seconds: silence between the ends, all together; the whole length if there is no sound at all.
        longest_seconds: the longest silence between the ends; the same.
        loudest_db: root mean square of the loudest frame, dB of full scale.
    """

    effective_seconds: float
    total_seconds: float
    longest_seconds: float
    loudest_db: float


class LevelMeter:
    """Takes a recording block by block and keeps the power of each frame."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.frame_samples = max(1, round(sample_rate * FRAME_SECONDS))
        self.n_samples = 0
        self._powers: list[npt.NDArray[np.float32]] = []
        self._rest = np.zeros(0, np.float32)

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Take the next samples, (n,) float32."""
        self.n_samples += len(block)
        samples = np.concatenate([self._rest, block]) if len(self._rest) else block
        n_frames = len(samples) // self.frame_samples
        frames = samples[: n_frames * self.frame_samples].reshape(n_frames, self.frame_samples)
        self._powers.append(np.einsum("ij,ij->i", frames, frames) / np.float32(self.frame_samples))
        self._rest = samples[n_frames * self.frame_samples :].copy()

    def levels_db(self) -> npt.NDArray[np.float64]:
        """Return (n_frames,) the root mean square of each frame in dB of full scale; the last may be a short one."""
        powers = list(self._powers)
        if len(self._rest):
            powers.append(np.array([np.mean(self._rest**2)], np.float32))
        power = np.concatenate(powers) if powers else np.zeros(0, np.float32)
        return 10 * np.log10(np.maximum(power.astype(np.float64), 1e-20))

    def silence(self, threshold_db: float = DEFAULT_THRESHOLD_DB) -> Silence:
        """Return the silence figures of what was taken.

        Args:
            threshold_db: dB below the loudest frame from which on a frame is silent, above 0.
        """
        seconds = self.n_samples / self.sample_rate
        levels = self.levels_db()
        loudest = float(levels.max()) if len(levels) else -200.0
        sounding = np.flatnonzero(levels >= max(loudest - threshold_db, NOTHING_DB))
        if not len(sounding):
            return Silence(0.0, seconds, seconds, loudest)
        frame_seconds = self.frame_samples / self.sample_rate
        end = min((int(sounding[-1]) + 1) * frame_seconds, seconds)
        gaps = np.diff(sounding) - 1
        return Silence(
            effective_seconds=end - int(sounding[0]) * frame_seconds,
            total_seconds=float(gaps.sum()) * frame_seconds,
            longest_seconds=float(gaps.max(initial=0)) * frame_seconds,
            loudest_db=loudest,
        )
