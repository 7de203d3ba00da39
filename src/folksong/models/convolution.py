"""The convolution all front-ends and the back-end are made of: convolve, ReLU, then batch norm.

Time is the last axis and every tensor is (batch, channels, height, time), in channels-last memory: one height-1 axis
costs nothing and gives oneDNN and cuDNN their fast kernels, which the one-dimensional convolutions do not get.

The constants are those of Keras, in which the networks were first trained (Pons et al. 2018, "End-to-end learning
for music audio tagging at scale"), so that weights can be carried over: batch norm with eps 1e-3 and momentum 0.99
(0.01 in PyTorch's terms), weights from a truncated normal with variance 1 / fan-in, biases 0, and "same" padding
that puts the odd zero of an even length to the right.
"""

from __future__ import annotations

import math

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

    Args:
        in_channels: channels of the input.
        out_channels: number of filters.
        length: steps a filter spans in time.
        height: rows a filter spans; no padding there.
        stride: steps between two outputs.
        same: pad in time so that the number of steps stays.
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
