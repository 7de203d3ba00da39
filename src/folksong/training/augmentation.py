"""Training windows changed at random, as pure functions of (seed, pass, record): the same after a resumption.

Masks: Park et al. 2019, "SpecAugment": for each mask a width is drawn from 0 to the widest, and a place; what it covers
takes the mean of the window, which is what standardising makes 0. Gain: a factor of ±G dB for the whole window, cut
off at full scale as a recording would be. Each window is standardised afterwards, so of a gain remains what it cuts off
(and that quiet windows come nearer to the noise floor).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from folksong.errors import FolksongError
from folksong.shards.loader import Batch, WindowDataset
from folksong.shards.window_positions import Indices
from folksong.training.config import AugmentationSettings

STREAM = 0xA06  # keeps these random numbers apart from those of order and windows
FULL_SCALE = np.float32(1)


class Augmentation:
    """Changes windows in place.

    Args:
        settings: how much of what.
        log_mel: windows are (n_mels, frames), else (samples,).
        longest_mask: frames that a time mask covers at most.
        seed: of all that is drawn.

    Raises:
        FolksongError: what is wanted does not apply to such windows.
    """

    def __init__(
        self, settings: AugmentationSettings, *, log_mel: bool, longest_mask: int, seed: int
    ) -> None:
        if not log_mel and (settings.frequency_masks or settings.time_masks):
            raise FolksongError(
                "frequency_masks and time_masks are for log-mel windows; waveforms take gain_db"
            )
        if log_mel and settings.gain_db:
            raise FolksongError(
                "gain_db is for waveforms: on a log-mel window it adds a constant, which standardising removes"
            )
        self.settings, self.longest_mask, self.seed = settings, longest_mask, seed

    def apply(self, window: npt.NDArray[np.float32], data_pass: int, record: int) -> None:
        """Change one window, (n_mels, frames) or (samples,)."""
        rng = np.random.default_rng([self.seed, data_pass, record, STREAM])
        if window.ndim == 1:
            window *= np.float32(10 ** (rng.uniform(-1, 1) * self.settings.gain_db / 20))
            np.clip(window, -FULL_SCALE, FULL_SCALE, out=window)
            return
        mean = window.mean(dtype=np.float64)
        for _ in range(self.settings.frequency_masks):
            window[_span(rng, self.settings.frequency_mask_bands, window.shape[0])] = mean
        for _ in range(self.settings.time_masks):
            window[:, _span(rng, self.longest_mask, window.shape[1])] = mean


def _span(rng: np.random.Generator, widest: int, length: int) -> slice:
    width = int(rng.integers(0, min(widest, length), endpoint=True))
    start = int(rng.integers(0, length - width, endpoint=True))
    return slice(start, start + width)


class AugmentedWindows(WindowDataset):
    """Windows that are changed at random where the loader's threads make them.

    Args:
        augmentation: what is done to each.
        arguments: those of `WindowDataset`.
    """

    def __init__(self, augmentation: Augmentation, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.augmentation = augmentation

    def fill(self, x: torch.Tensor, positions: Sequence[int] | Indices, epoch: int) -> Batch:
        """Write the changed windows of these positions into `x` and return the batch."""
        batch = super().fill(x, positions, epoch)
        windows = x.numpy()
        for window, record in zip(windows, self.indices[batch["index"].numpy()].tolist(), strict=True):
            self.augmentation.apply(window, epoch, record)
        return batch
