"""A tagger made ready to score in 16 bits: weights cast once, batch norms folded, tall filters laid over strips.

Out of training a batch norm is a scale and an offset for each channel. Where the next convolution pads nothing, both
can go into its weights and its bias (Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", section 3.2, there for the convolution before): the front-end's all do, the
back-end's not, as what follows them is padded or added to.

Filters that span nearly all rows of a picture with one channel become filters of one row over many channels
(`Strips`): processors multiply those fastest.
"""

import copy
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.models.front_ends import ConvBlock, WaveformFrontEnd, halved
from folksong.models.tagger import Tagger

STRIP_ROWS = 4  # rows of answers that one convolution gives; the fastest of 4 to 59 on a processor


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
        convolved = self._convolved(x)
        kept = self._highest(self._comparable(convolved), size).view(convolved.dtype)
        if self.turn is not None:
            kept = kept * self.turn.to(kept.dtype)
        return functional.relu(kept, inplace=True)

    def _comparable(self, x: Tensor) -> Tensor:
        """Return the bits of 16-bit floats as integers, which are compared faster.

        Both are in the same order but for two negative numbers, and those become 0 by the rectification that follows,
        whichever is kept; unless the sign is turned before it.
        """
        return x.view(torch.int16) if self.turn is None and x.element_size() == 2 else x

    def _highest(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the highest of `size[1]` steps each; (batch, channels, 1, steps)."""
        n_steps = x.shape[3] // size[1]
        pictures = x[..., : n_steps * size[1]].permute(0, 2, 3, 1)  # in the order of memory
        return torch.unflatten(pictures, 2, (n_steps, size[1])).amax(3).permute(0, 3, 1, 2)

    def _convolved(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.conv(x if self.pad is None else functional.pad(x, self.pad))
        return convolved


class StripBlock(FoldedBlock):
    """A `FoldedBlock` whose filters span nearly all rows of a picture of one channel: rows become channels.

    It takes overlapping strips of the picture (`Strips`), each as high as some neighbouring answers need. A strip's
    rows are the channels of one convolution, whose filters are the block's own, shifted down by no row, one, two, …
    and zero elsewhere. That multiplies up to an eighth more, in a third to two thirds of the time.

    Args:
        block: see `FoldedBlock`; its convolution has one input channel and pads, if at all, in time.
        shifts: answers of a strip.
    """

    def __init__(self, block: ConvBlock, shifts: int) -> None:
        super().__init__(block, pools=True)
        self.shifts = shifts
        n_filters, _, height, length = self.conv.weight.shape
        padding = cast(tuple[int, int], self.conv.padding)
        wide = nn.Conv2d(height + shifts - 1, shifts * n_filters, (1, length), padding=padding)
        wide.requires_grad_(False).to(self.conv.weight.device)
        shifted = [
            functional.pad(self.conv.weight[:, 0], (0, 0, shift, shifts - 1 - shift))
            for shift in range(shifts)
        ]
        wide.weight.copy_(torch.cat(shifted)[:, :, None])
        wide.bias = nn.Parameter(cast(Tensor, self.conv.bias).repeat(shifts), requires_grad=False)
        self.conv = wide

    def _highest(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(batch, shifts × filters, strips, steps) -> (batch, filters, 1, steps): the highest over all rows."""
        return halved(torch.unflatten(halved(x, 2), 1, (self.shifts, -1)), 1)[:, 0]


class Strips(nn.Module):
    """Blocks with filters of one height over the same picture, which is cut into strips once for all.

    Args:
        blocks: see `StripBlock`.
        rows: of answers: the picture's rows − the filters' height + 1.
    """

    def __init__(self, blocks: Sequence[ConvBlock], rows: int) -> None:
        super().__init__()
        shifts = min(STRIP_ROWS, rows)
        self.height = blocks[0].conv.kernel_size[0] + shifts - 1
        self.starts = [*range(0, rows - shifts, shifts), rows - shifts]
        self.blocks = nn.ModuleList(StripBlock(block, shifts) for block in blocks)

    def pooled(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return what the blocks' `pooled` would of a picture (batch, 1, rows, steps), side by side."""
        blocks = [cast(StripBlock, block) for block in self.blocks]
        frames = x[:, 0].transpose(1, 2).to(blocks[0].conv.weight.dtype)
        strips = torch.stack([frames[:, :, start : start + self.height] for start in self.starts], dim=1)
        return torch.cat([block.pooled(strips.permute(0, 3, 1, 2), size) for block in blocks], dim=1)


def prepared(tagger: Tagger, dtype: torch.dtype) -> Tagger:
    """Return a copy of a tagger for scoring under autocast in `dtype`; the tagger itself stays as it is.

    Its logits are the tagger's own under autocast, up to rounding in `dtype`. It cannot be trained.
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
        groups = [
            (rows, [block for _, block in group])
            for rows, group in groupby(zip(front_end.rows, timbral, strict=True), itemgetter(0))
        ]
        front_end.timbral = nn.ModuleList(Strips(blocks, rows) for rows, blocks in groups)
        front_end.rows = [rows for rows, _ in groups]
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
