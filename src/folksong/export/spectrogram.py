"""Waveform -> log-mel-spectrogram inside a network, for graphs that leave Python.

The same definition as `folksong.audio.log_mel`, with the Fourier transform as one strided convolution, which every
runtime has. Its float32 sums carry an error of about 3e-6 of a frame's loudest partial, so that bands 80 dB below it
may be off by a few tenths of a decibel; louder ones agree closely.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.audio.log_mel import FeaturePreset, analysis_window, mel_filterbank
from folksong.errors import FolksongError


class Spectrogram(nn.Module):
    """Log-mel-spectrograms of whole clips.

    Args:
        preset: how.
    """

    kernels: Tensor
    filters: Tensor

    def __init__(self, preset: FeaturePreset) -> None:
        super().__init__()
        self.preset = preset
        n_bins = preset.n_fft // 2 + 1
        # The phase is computed from whole numbers modulo n_fft, so that it is exact however large the product.
        turns = np.outer(np.arange(n_bins), np.arange(preset.n_fft)) % preset.n_fft
        phase = turns * (2 * math.pi / preset.n_fft)
        waves = np.concatenate([np.cos(phase), np.sin(phase)]) * analysis_window(preset.n_fft).astype(
            np.float64
        )
        self.register_buffer("kernels", torch.from_numpy(waves.astype(np.float32))[:, None])
        filters = np.array(mel_filterbank(preset.sample_rate, preset.n_fft, preset.n_mels))
        self.register_buffer("filters", torch.from_numpy(filters))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, samples) -> (batch, n_mels, 1 + samples // hop)."""
        preset = self.preset
        half = preset.n_fft // 2
        padded = functional.pad(x[:, None], (half, half), mode=preset.pad_mode)
        parts = functional.conv1d(padded, self.kernels, stride=preset.hop_length).square()
        n_bins = preset.n_fft // 2 + 1
        mel = torch.matmul(self.filters, parts[:, :n_bins] + parts[:, n_bins:])
        if preset.scaling == "log10":
            if preset.gain is None:
                raise FolksongError("a log10 preset needs a gain")
            return torch.log10(1 + preset.gain * mel)
        if preset.amin is None:
            raise FolksongError("a decibel preset needs amin")
        decibels = 10 * torch.log10(mel.clamp(min=preset.amin))
        if preset.top_db is not None:
            loudest = decibels.amax(dim=(1, 2), keepdim=True)
            decibels = torch.maximum(decibels, loudest - preset.top_db)
        return decibels
