"""What is done with the gradients between backward pass and step: looked at, and clipped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

LEAST_SCALE = 1.0


def clip_gradients(parameters: Iterable[Parameter], most: float | None) -> float:
    """Return the norm of all gradients together; scale them so that it is `most` at most.

    Args:
        parameters: those of the network.
        most: None leaves the gradients as they are; so does a norm that is not finite.
    """
    given = [parameter for parameter in parameters if parameter.grad is not None]
    norm = get_total_norm([parameter.grad for parameter in given if parameter.grad is not None])
    value = float(norm)
    if most is not None and math.isfinite(value):
        clip_grads_with_norm_(given, most, norm)
    return value


def is_overflow_of_scaling(scaler: torch.amp.GradScaler | Any | None) -> bool:
    """Say whether gradients that are not finite are what loss scaling (float16) expects now and then.

    The scaler then skips the step and halves its scale. Once that has come down to 1, the gradients overflow without
    any scaling: from its beginning at 65536 that is the 17th such step in a row, at which waiting longer is no use.
    """
    return scaler is not None and float(scaler.get_scale()) > LEAST_SCALE
