"""What training minimises: functions of logits and targets, averaged over all labels and samples.

All take logits, not probabilities, and compute in float32 (or wider) whatever precision the network runs in, so that
nothing overflows and log(0) never appears.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return −mean(t log σ(z) + (1 − t) log(1 − σ(z))).

    Args:
        logits: (batch, n_labels) z.
        targets: (batch, n_labels) t in [0, 1].
    """
    z = widened(logits)
    return functional.binary_cross_entropy_with_logits(z, targets.to(z.dtype))


def widened(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is where it is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
