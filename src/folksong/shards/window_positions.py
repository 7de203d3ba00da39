"""Which record comes when, and which window of it: pure functions of (seed, epoch, record), the same on any machine.

A step's global batch is cut into equal parts, one a rank, so that what is trained on does not depend on the number of
processes, and no record is lost or comes twice.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def epoch_order(n: int, *, shuffle: bool, seed: int, epoch: int) -> Indices:
    """Return the order (n,) in which an epoch visits its records."""
    if not shuffle:
        return np.arange(n)
    return np.random.default_rng([seed, epoch]).permutation(n)


def rank_batches(
    order: Indices, batch_size: int, *, drop_last: bool, rank: int = 0, world_size: int = 1
) -> list[Indices]:
    """Return one rank's batches of an epoch that visits the records in the `order` (n,).

    With `drop_last` the last, incomplete global batch is left out. Else the ranks share it as evenly as they can, and
    some may have one batch fewer: training over several ranks wants `drop_last`.
    """
    step = batch_size * world_size
    whole = len(order) // step
    batches = [
        order[start + rank * batch_size : start + (rank + 1) * batch_size]
        for start in range(0, whole * step, step)
    ]
    rest = np.array_split(order[whole * step :], world_size)[rank]
    return batches if drop_last or not len(rest) else [*batches, rest]


def window_starts(
    indices: Indices, n_steps: Indices, window_steps: int, *, random: bool, seed: int, epoch: int
) -> Indices:
    """Return where the windows of records (n,) of so many steps (n,) begin; 0 where one is not longer than the window.

    With `random` uniform over the record, anew in each epoch; else the centre.
    """
    room: Indices = np.maximum(n_steps - window_steps, 0)
    if not random:
        return room // 2
    key = _mix(np.uint64(seed & (2**64 - 1)) ^ _mix(np.asarray(epoch, np.uint64)))
    uniform = (_mix(indices.astype(np.uint64) ^ key) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    starts: Indices = np.minimum((uniform * (room + 1)).astype(np.int64), room)
    return starts


UNHEARD = 0.05
"""Of a window: a 30 s mp3 is often some frames longer, which are not worth a third window of 15 s."""


def spread(n_steps: int, window_steps: int) -> list[int]:
    """Return where the fewest windows begin that hear a track of `n_steps` whole, but for a twentieth of a window.

    They are evenly spread from its beginning to its end.

    >>> spread(100, 40), spread(80, 40), spread(81, 40), spread(41, 40), spread(3, 40)
    ([0, 30, 60], [0, 40], [0, 41], [0], [0])
    """
    room = max(n_steps - window_steps, 0)
    gaps = math.ceil(n_steps / window_steps - UNHEARD) - 1
    return [room * number // gaps for number in range(gaps + 1)] if gaps > 0 else [room // 2]


def slide(n_steps: int, window_steps: int, hop_steps: int) -> list[int]:
    """Return where windows begin every `hop_steps`; the last one ends where the track does, so that all of it is heard.

    >>> slide(10, 4, 2), slide(11, 4, 2), slide(3, 4, 2)
    ([0, 2, 4, 6], [0, 2, 4, 6, 7], [0])
    """
    room = max(n_steps - window_steps, 0)
    starts = list(range(0, room + 1, hop_steps))
    if starts[-1] < room:
        starts.append(room)
    return starts


def _mix(value: npt.NDArray[np.uint64] | np.uint64) -> npt.NDArray[np.uint64]:
    """Return the output function of SplitMix64 (Steele, Lea & Flood 2014) of `value`."""
    mixed = np.atleast_1d(np.asarray(value, np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
