"""The two front-ends of Pons et al. 2018: what turns audio into a sequence of features.

Each maps its input to (batch, width, 1, steps); `width` is the number of features a step has, and
`least_input(steps)` the shortest input that leaves so many steps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from folksong.models.convolution import ConvBlock, channels_last

WAVEFORM = "waveform"
LOG_MEL = "log-mel-spectrogram"
FRONT_ENDS = (WAVEFORM, LOG_MEL)

WAVEFORM_FIRST_FILTERS = 64
WAVEFORM_FILTERS = (64, 64, 128, 128, 128, 256)
WAVEFORM_LENGTH = 3  # samples a filter spans, stride of the first convolution, and size of every pool

TIMBRAL_SHARES = (0.9, 0.4)  # of the mel bands, that a timbral filter spans
TIMBRAL_LENGTHS = (7, 3, 1)  # frames, with 1, 2 and 4 times the base filters
TEMPORAL_LENGTHS = (165, 128, 64, 32)  # frames, with 1, 2, 4 and 8 times the base filters


class WaveformFrontEnd(nn.Module):
    """Samples to features: a strided convolution and six blocks of convolution, ReLU, batch norm, max-pool 3.

    Every filter spans 3 steps, nothing is padded, so 3⁷ = 2187 samples make one step.
    """

    width = WAVEFORM_FILTERS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.first = ConvBlock(1, WAVEFORM_FIRST_FILTERS, WAVEFORM_LENGTH, stride=WAVEFORM_LENGTH)
        channels = (WAVEFORM_FIRST_FILTERS, *WAVEFORM_FILTERS)
        self.blocks = nn.ModuleList(
            ConvBlock(before, after, WAVEFORM_LENGTH) for before, after in pairwise(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 256, 1, steps)."""
        x = self.first(channels_last(x[:, None, None, :]))
        for block in self.blocks:
            x = cast(ConvBlock, block).pooled(x, (1, WAVEFORM_LENGTH))
        return x

    @staticmethod
    def least_input(steps: int) -> int:
        """Return the least number of samples that leaves `steps` steps."""
        for _ in WAVEFORM_FILTERS:
            steps = steps * WAVEFORM_LENGTH + WAVEFORM_LENGTH - 1
        return steps * WAVEFORM_LENGTH


class LogMelFrontEnd(nn.Module):
    """Log-mel frames to features: timbral filters, tall and short, beside temporal filters, thin and long.

    Timbral filters span 0.9 or 0.4 of the mel bands and 7, 3 or 1 frames; the highest answer over all frequencies
    is kept. Temporal filters span 32 to 165 frames of the mean over all bands. Frames are padded, none are lost.

    Args:
        n_mels: mel bands of the input.
        n_filters: base number F of filters; the output has 29 F features a frame.
    """

    def __init__(self, n_mels: int = 96, n_filters: int = 16) -> None:
        super().__init__()
        timbral = [
            ConvBlock(1, n_filters << doubled, length, height=max(1, int(share * n_mels)), same=True)
            for share in TIMBRAL_SHARES
            for doubled, length in enumerate(TIMBRAL_LENGTHS)
        ]
        self.timbral = nn.ModuleList(timbral)
        self.temporal = nn.ModuleList(
            ConvBlock(1, n_filters << doubled, length, same=True)
            for doubled, length in enumerate(TEMPORAL_LENGTHS)
        )
        self.rows = [n_mels - block.conv.kernel_size[0] + 1 for block in timbral]
        self.width = n_filters * (
            len(TIMBRAL_SHARES) * ((1 << len(TIMBRAL_LENGTHS)) - 1) + (1 << len(TEMPORAL_LENGTHS)) - 1
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_mels, frames) -> (batch, 29 F, 1, frames)."""
        picture = channels_last(x[:, None])
        curve = picture.mean(dim=2, keepdim=True)
        # The maximum over frequency as a pool: `amax` takes five times as long, and shares the gradient between equals.
        features = [
            cast(ConvBlock, block).pooled(picture, (rows, 1))
            for block, rows in zip(self.timbral, self.rows, strict=True)
        ]
        features += [cast(ConvBlock, block)(curve) for block in self.temporal]
        return channels_last(torch.cat(features, dim=1))

    @staticmethod
    def least_input(steps: int) -> int:
        """Return the least number of frames that leaves `steps` steps."""
        return steps
