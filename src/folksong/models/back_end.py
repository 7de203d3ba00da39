"""The back-end of Pons et al. 2018: from a sequence of features to one logit a label."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.models.convolution import ConvBlock, batch_norm, init_fan_in_

N_FILTERS = 512
LENGTH = 7  # steps a filter spans
POOL = 2  # between the two residual blocks
DROPOUT = 0.5
LEAST_STEPS = LENGTH - 1 + POOL


class ResidualBlock(nn.Module):
    """Convolution 7 → 512 that keeps the number of steps, ReLU, batch norm with a single channel, plus the input.

    The single channel (one scale, offset, mean and variance over batch, time and all 512 filters) is a quirk of the
    original, whose batch norm saw the filters as a spatial axis. It is kept so that weights can be carried over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(N_FILTERS, N_FILTERS, (1, LENGTH), padding=(0, LENGTH // 2))
        self.norm = batch_norm(1)
        init_fan_in_(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 512, 1, steps) -> the same shape."""
        rectified = functional.relu(self.conv(x), inplace=True)
        flat = rectified.permute(0, 2, 3, 1)  # (batch, 1, steps, 512); contiguous: memory is channels-last
        normed: Tensor = self.norm(flat)
        return x + normed.permute(0, 3, 1, 2)


class BackEnd(nn.Module):
    """Two residual blocks over time, the maximum and the mean over all steps, and two dense layers.

    Args:
        width: features a step of the front-end has.
        n_labels: number of outputs.
        n_dense_units: size of the hidden dense layer.
    """

    def __init__(self, width: int, n_labels: int, n_dense_units: int = 500) -> None:
        super().__init__()
        self.adapt = ConvBlock(width, N_FILTERS, LENGTH)
        self.residual1 = ResidualBlock()
        self.residual2 = ResidualBlock()
        self.dropout1 = nn.Dropout(DROPOUT)
        self.dense = nn.Linear(2 * N_FILTERS, n_dense_units)
        self.norm = nn.BatchNorm1d(n_dense_units, eps=self.adapt.norm.eps, momentum=self.adapt.norm.momentum)
        self.dropout2 = nn.Dropout(DROPOUT)
        self.output: nn.Module = nn.Linear(n_dense_units, n_labels)
        init_fan_in_(self.dense)
        init_fan_in_(self.output)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, 1, steps) -> logits (batch, n_labels)."""
        x = self.residual1(self.adapt(x))
        x = self.residual2(functional.max_pool2d(x, (1, POOL)))
        # (batch, steps, 512), as it lies in memory: so do its gradients
        steps = x.permute(0, 2, 3, 1).flatten(1, 2)
        highest = steps.amax(dim=1)
        mean = steps.mean(dim=1, dtype=torch.promote_types(x.dtype, torch.float32))
        pooled = torch.cat([highest.to(mean.dtype), mean], dim=1)  # all maxima, then all means
        hidden = self.norm(functional.relu(self.dense(self.dropout1(pooled))))
        logits: Tensor = self.output(self.dropout2(hidden))
        return logits
