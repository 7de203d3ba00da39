"""The networks as plain, eager PyTorch writes them: what `bench_training.py` compares against.

One-dimensional convolutions where the input has one dimension, default memory format, default optimizer; the same
layers, sizes and order, so the same arithmetic.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_NORM = {"eps": 1e-3, "momentum": 0.01}


def standardise(x: Tensor) -> Tensor:
    axes = tuple(range(1, x.ndim))
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, correction=0, keepdim=True) + 1e-8).sqrt()


class Block(nn.Module):
    """Convolution over time, ReLU, batch norm."""

    def __init__(self, before: int, after: int, length: int, stride: int = 1, same: bool = False) -> None:
        super().__init__()
        self.pad = ((length - 1) // 2, length // 2) if same else (0, 0)
        self.conv = nn.Conv1d(before, after, length, stride=stride)
        self.norm = nn.BatchNorm1d(after, **BATCH_NORM)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(functional.relu(self.conv(functional.pad(x, self.pad))))


class PlainWaveform(nn.Module):
    """Samples to features."""

    width = 256

    def __init__(self) -> None:
        super().__init__()
        sizes = (64, 64, 64, 128, 128, 128, 256)
        self.first = Block(1, 64, 3, stride=3)
        self.blocks = nn.ModuleList(Block(a, b, 3) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x[:, None])
        for block in self.blocks:
            x = functional.max_pool1d(block(x), 3)
        return x


class PlainLogMel(nn.Module):
    """Log-mel frames to features."""

    width = 29 * 16

    def __init__(self, n_mels: int = 96, base: int = 16) -> None:
        super().__init__()
        shapes = [(int(s * n_mels), length, n) for s in (0.9, 0.4) for length, n in ((7, 1), (3, 2), (1, 4))]
        self.convs = nn.ModuleList(nn.Conv2d(1, base * n, (h, w), padding=(0, w // 2)) for h, w, n in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(base * n, **BATCH_NORM) for _, _, n in shapes)
        self.temporal = nn.ModuleList(
            Block(1, base * n, length, same=True) for length, n in ((165, 1), (128, 2), (64, 4), (32, 8))
        )

    def forward(self, x: Tensor) -> Tensor:
        picture, curve = x[:, None], x.mean(1, keepdim=True)
        pairs = zip(self.convs, self.norms, strict=True)
        parts = [norm(functional.relu(conv(picture))).amax(2) for conv, norm in pairs]
        return torch.cat([*parts, *(block(curve) for block in self.temporal)], 1)


class PlainTagger(nn.Module):
    """Front-end and back-end."""

    def __init__(self, front_end: str, n_labels: int = 50) -> None:
        super().__init__()
        self.front_end = PlainWaveform() if front_end == "waveform" else PlainLogMel()
        self.adapt = Block(self.front_end.width, 512, 7)
        self.convs = nn.ModuleList(nn.Conv1d(512, 512, 7, padding=3) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(1, **BATCH_NORM) for _ in range(2))
        self.dense, self.norm = nn.Linear(1024, 500), nn.BatchNorm1d(500, **BATCH_NORM)
        self.output = nn.Linear(500, n_labels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.adapt(self.front_end(standardise(x)))
        for number in range(2):
            y = functional.relu(self.convs[number](x))
            x = x + self.norms[number](y[:, None])[:, 0]
            x = functional.max_pool1d(x, 2) if number == 0 else x
        x = functional.dropout(torch.cat([x.amax(2), x.mean(2)], 1), 0.5, self.training)
        x = self.norm(functional.relu(self.dense(x)))
        return self.output(functional.dropout(x, 0.5, self.training))
