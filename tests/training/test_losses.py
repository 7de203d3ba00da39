"""Losses against their formulas with plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from folksong.training.losses import binary_cross_entropy


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))


def test_binary_cross_entropy_equals_the_formula():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, generator=generator) * 3
    targets = (torch.rand(4, 6, generator=generator) < 0.3).float()
    total = 0.0
    for z, t in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True):
        total -= t * math.log(sigmoid(z)) + (1 - t) * math.log(1 - sigmoid(z))
    assert binary_cross_entropy(logits, targets).item() == pytest.approx(total / 24, rel=1e-6)


def test_binary_cross_entropy_is_stable_and_in_float32():
    logits = torch.tensor([[200.0, -200.0]], dtype=torch.float16, requires_grad=True)
    loss = binary_cross_entropy(logits, torch.tensor([[0.0, 1.0]], dtype=torch.float16))
    assert loss.dtype == torch.float32
    assert loss.item() == 200
    loss.backward()
    assert torch.isfinite(logits.grad).all()
