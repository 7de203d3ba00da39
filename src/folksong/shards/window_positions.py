"""Which record comes when, and which window of it: pure functions of (seed, epoch, record), the same on any machine.

A step's global batch is cut into equal parts, one a rank, so that what is trained on does not depend on the number of
processes, and no record is lost or comes twice.
"""

from __future__ import annotations

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
    """Return one rank's batches of an epoch.

    Args:
        order: (n,) all ranks' records.
        batch_size: records a rank and step.
        drop_last: leave out the last, incomplete global batch. Without it the ranks share it as evenly as they can,
            and some may have one batch fewer: training over several ranks wants `drop_last`.
        rank: this process, from 0.
        world_size: number of processes.
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
    """Return where the window of each record begins; 0 for records not longer than the window.

    Args:
        indices: (n,) record numbers.
        n_steps: (n,) lengths of these records.
        window_steps: length of the windows.
        random: uniform over the record, anew in each epoch; else the centre.
        seed: see `random`.
        epoch: see `random`.
    """
    room: Indices = np.maximum(n_steps - window_steps, 0)
    if not random:
        return room // 2
    key = _mix(np.uint64(seed & (2**64 - 1)) ^ _mix(np.asarray(epoch, np.uint64)))
    uniform = (_mix(indices.astype(np.uint64) ^ key) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    starts: Indices = np.minimum((uniform * (room + 1)).astype(np.int64), room)
    return starts


def _mix(value: npt.NDArray[np.uint64] | np.uint64) -> npt.NDArray[np.uint64]:
    """Return the output function of SplitMix64 (Steele, Lea & Flood 2014) of `value`."""
    mixed = np.atleast_1d(np.asarray(value, np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
