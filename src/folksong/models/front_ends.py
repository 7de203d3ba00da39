"""The two front-ends of Pons et al. 2018: what turns audio into a sequence of features.

Each maps its input to (batch, width, 1, steps); `width` is the number of features a step has, and
`least_input(steps)` the shortest input that leaves so many steps.

All is made of one block: convolve, ReLU, then batch norm. Time is the last axis and every tensor is (batch, channels,
height, time), in channels-last memory: one height-1 axis costs nothing and gives oneDNN and cuDNN their fast kernels,
which the one-dimensional convolutions do not get. The constants are those of Keras, in which the networks were first
trained ("End-to-end learning for music audio tagging at scale"), so that weights can be carried over: batch norm with
eps 1e-3 and momentum 0.99 (0.01 in PyTorch's terms), weights from a truncated normal with variance 1 / fan-in, biases
0, and "same" padding that puts the odd zero of an even length to the right.
"""

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.01

# A normal cut at two standard deviations has this standard deviation; dividing by it restores the one asked for.
TRUNCATED_STD = 0.87962566103423978


def init_fan_in_(layer: nn.Conv2d | nn.Linear) -> None:
    """Fill a layer as Keras' ``VarianceScaling()`` does: variance 1 / fan-in, cut at two deviations; biases 0."""
    fan_in = layer.weight[0].numel()
    std = math.sqrt(1.0 / fan_in) / TRUNCATED_STD
    nn.init.trunc_normal_(layer.weight, mean=0.0, std=std, a=-2 * std, b=2 * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def same_padding(length: int) -> tuple[int, int]:
    """Return TensorFlow's zeros (left, right) that keep the number of steps under a filter of `length` steps.

    >>> same_padding(7), same_padding(128)
    ((3, 3), (63, 64))
    """
    return (length - 1) // 2, length // 2


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with Keras' constants."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


class ConvBlock(nn.Module):
    """Convolution over (height, time), ReLU, batch norm.

    A filter spans `length` steps and `height` rows; `same` pads in time so that the number of steps stays.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        length: int,
        *,
        height: int = 1,
        stride: int = 1,
        same: bool = False,
    ) -> None:
        super().__init__()
        self.padding = same_padding(length) if same else (0, 0)
        symmetric = self.padding[0] == self.padding[1]
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            (height, length),
            stride=(1, stride),
            padding=(0, self.padding[0] if symmetric else 0),
        )
        self.pads_itself = not symmetric
        self.norm = batch_norm(out_channels)
        init_fan_in_(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, rows, steps) -> (batch, out_channels, rows − height + 1, steps')."""
        normed: Tensor = self.norm(functional.relu(self.conv(self._padded(x)), inplace=True))
        return normed

    def pooled(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return ``max_pool2d(self(x), size)``.

        Out of training that is the same, bit for bit, with ReLU and batch norm applied to the few values that are
        left: both keep the order of values, or turn it round where batch norm's scale is negative. There the
        convolution's sign is changed before the maximum and changed back after it.
        """
        if self.training:
            return functional.max_pool2d(self(x), size)
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        bias = None if self.conv.bias is None else self.conv.bias * sign
        weight = self.conv.weight * sign[:, None, None, None]
        convolved = functional.conv2d(self._padded(x), weight, bias, self.conv.stride, self.conv.padding)
        turned = highest(convolved, size) * sign.to(convolved.dtype)[:, None, None]
        normed: Tensor = self.norm(functional.relu(turned, inplace=True))
        return normed

    def _padded(self, x: Tensor) -> Tensor:
        return functional.pad(x, self.padding) if self.pads_itself else x


def highest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``max_pool2d(x, size)`` where no gradient is asked for; over all rows in a quarter of the pool's time."""
    return halved(x, 2) if size == (x.shape[2], 1) else functional.max_pool2d(x, size)


def halved(x: Tensor, dim: int) -> Tensor:
    """Return ``x.amax(dim, keepdim=True)``, faster: the greater of two halves, until one is left."""
    while (length := x.shape[dim]) > 1:
        half = (length + 1) // 2
        x = torch.maximum(x.narrow(dim, 0, half), x.narrow(dim, length - half, half))
    return x


def channels_last(x: Tensor) -> Tensor:
    """Return (batch, channels, height, time) in channels-last memory."""
    return x.contiguous(memory_format=torch.channels_last)


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
    is kept. Temporal filters span 32 to 165 frames of the mean over all bands. Frames are padded, none are lost. Of a
    base number F of filters the output has 29 F features a frame.
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
