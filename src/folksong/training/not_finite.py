"""What is said of a figure that is not finite: where, on which tracks, and what may help."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from folksong.training.data import TrainingData

N_NAMED_TRACKS = 5  # of each process


def track_names(data: TrainingData, part: str, index: Tensor) -> list[str]:
    """Return the track ids of positions (n,) in a part."""
    return [data.reader.track_ids[record] for record in data.parts[part][index.cpu().numpy()]]


def describe_batch(
    what: str,
    step: int,
    names: Sequence[str],
    windows: Tensor | None = None,
    *,
    n_named: int = N_NAMED_TRACKS,
) -> str:
    """Return a message that names tracks: those whose windows are not finite, else the batch's first.

    Args:
        what: is not finite.
        step: how many steps were done.
        names: (batch,) track ids.
        windows: (batch, ...) what the network heard of them, if it is at hand.
        n_named: how many tracks are named.
    """
    finite = [True] * len(names) if windows is None else [bool(torch.isfinite(x).all()) for x in windows]
    broken = [name for name, is_finite in zip(names, finite, strict=True) if not is_finite]
    shown = ", ".join((broken or names)[:n_named])
    after = f"after step {step}: "
    if broken:
        return f"{after}the audio of these tracks is not finite: {shown}; write their shards anew"
    return f"{after}{what} on the tracks {shown}, …; a lower learning rate, --clip-norm or --precision 32 may help"
