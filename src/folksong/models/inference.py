"""A tagger made ready to score in 16 bits: weights cast once, batch norms folded into the convolutions after them.

Out of training a batch norm is a scale and an offset for each channel. Where the next convolution pads nothing, both
can go into its weights and its bias (Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", section 3.2, there for the convolution before): the front-end's all do, the
back-end's not, as what follows them is padded or added to.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.models.convolution import ConvBlock, highest
from folksong.models.front_ends import WaveformFrontEnd
from folksong.models.tagger import Tagger


class FoldedBlock(nn.Module):
    """A `ConvBlock` out of training whose batch norm is left to the next convolution.

    Args:
        block: its convolution is taken over, and changed in sign where `pooled` asks for it.
        pools: whether `pooled` is to be called, not `forward`.
    """

    turn: Tensor | None

    def __init__(self, block: ConvBlock, *, pools: bool) -> None:
        super().__init__()
        self.conv, self.pad = block.conv, block.padding if block.pads_itself else None
        negative = block.norm.weight < 0
        turn = None
        if pools and bool(negative.any()):
            turn = torch.where(negative, -1.0, 1.0)
            _scale_(self.conv, turn)
            turn = turn[:, None, None]
        self.register_buffer("turn", turn)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution, rectified."""
        return functional.relu(self._convolved(x), inplace=True)

    def pooled(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the rectified values whose norm is highest; see `ConvBlock.pooled`."""
        kept = highest(self._convolved(x), size)
        if self.turn is not None:
            kept = kept * self.turn.to(kept.dtype)
        return functional.relu(kept, inplace=True)

    def _convolved(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.conv(x if self.pad is None else functional.pad(x, self.pad))
        return convolved


def prepared(tagger: Tagger, dtype: torch.dtype) -> Tagger:
    """Return a copy of a tagger for scoring under autocast in `dtype`; the tagger itself stays as it is.

    Its logits are the tagger's own under autocast, up to rounding in `dtype`. It cannot be trained.

    Args:
        tagger: any.
        dtype: float16 or bfloat16.
    """
    ready = copy.deepcopy(tagger).eval().requires_grad_(False)
    front_end, adapt = ready.front_end, ready.back_end.adapt
    if isinstance(front_end, WaveformFrontEnd):
        blocks = [front_end.first, *(cast(ConvBlock, block) for block in front_end.blocks)]
        for block, after in zip(blocks, [*blocks[1:], adapt], strict=True):
            _fold_([block.norm], after.conv)
        front_end.first = cast(ConvBlock, FoldedBlock(blocks[0], pools=False))
        front_end.blocks = nn.ModuleList(FoldedBlock(block, pools=True) for block in blocks[1:])
    else:
        timbral = [cast(ConvBlock, block) for block in front_end.timbral]
        temporal = [cast(ConvBlock, block) for block in front_end.temporal]
        _fold_([block.norm for block in timbral + temporal], adapt.conv)
        front_end.timbral = nn.ModuleList(FoldedBlock(block, pools=True) for block in timbral)
        front_end.temporal = nn.ModuleList(FoldedBlock(block, pools=False) for block in temporal)
    for layer in ready.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)
    return ready


def _fold_(norms: Sequence[nn.BatchNorm2d], conv: nn.Conv2d) -> None:
    """Give the scales and offsets of the norms before it, side by side, to an unpadded convolution."""
    scale = torch.cat(
        [norm.weight * torch.rsqrt(cast(Tensor, norm.running_var) + norm.eps) for norm in norms]
    )
    mean = torch.cat([cast(Tensor, norm.running_mean) for norm in norms])
    offset = torch.cat([norm.bias for norm in norms]) - mean * scale
    bias = cast(Tensor, conv.bias)
    bias += torch.einsum("oihw,i->o", conv.weight, offset)
    conv.weight *= scale[:, None, None]


def _scale_(conv: nn.Conv2d, factors: Tensor) -> None:
    conv.weight *= factors[:, None, None, None]
    cast(Tensor, conv.bias).mul_(factors)
