"""Windows of shards as PyTorch training batches.

A batch is a dict: ``x`` float32 (batch, samples) or (batch, n_mels, frames), ``y`` float32 (batch, n_labels), ``index``
int64 (batch,), the position in the dataset. Windows are copied from the memory map straight into the batch: no sample
is made on its own and collated afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch.utils.data import Dataset

from folksong.errors import FolksongError
from folksong.shards.reader import ShardReader
from folksong.shards.window_positions import Indices, window_starts

if TYPE_CHECKING:
    from folksong.shards.loader import WindowLoader


class Batch(TypedDict):
    """A batch, or one sample without the first axis."""

    x: torch.Tensor
    y: torch.Tensor
    index: torch.Tensor


class WindowDataset(Dataset[Batch]):
    """One window of each of some records, with its targets.

    Args:
        reader: the shards.
        indices: (n,) record numbers.
        targets: (n, n_labels) CSR float32, the rows of `indices`.
        window_steps: samples or frames of a window; `Manifest.steps(seconds)`.
        random: a random window, anew in each epoch; else the centre of the record.
        seed: of the random windows. The window of a record is a pure function of (seed, epoch, record number).
    """

    def __init__(
        self,
        reader: ShardReader,
        indices: Sequence[int] | npt.NDArray[np.integer],
        targets: sp.csr_matrix,
        window_steps: int,
        *,
        random: bool,
        seed: int = 0,
    ) -> None:
        self.reader = reader
        self.indices: Indices = np.asarray(indices, np.int64)
        self.targets = sp.csr_matrix(targets, dtype=np.float32)
        self.window_steps, self.random, self.seed, self.epoch = window_steps, random, seed, 0
        self._starts: tuple[int | None, Indices] = (None, np.empty(0, np.int64))
        if self.targets.shape[0] != len(self.indices):
            raise FolksongError(f"{len(self.indices)} records, but targets of {self.targets.shape[0]}")
        if window_steps < 1:
            raise FolksongError(f"a window must have at least 1 step, not {window_steps}")
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < len(reader):
            raise FolksongError(f"record numbers must lie in 0 to {len(reader) - 1}")
        empty = self.indices[reader.n_steps[self.indices] == 0]
        if len(empty):
            raise FolksongError(f"{reader.track_ids[empty[0]]}: the record holds no audio; leave it out")

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def n_labels(self) -> int:
        """Number of labels of the targets."""
        return int(self.targets.shape[1])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose windows `dataset[k]` gives."""
        self.epoch = epoch

    def __getitem__(self, k: int) -> Batch:
        batch = self.__getitems__([k])
        return Batch(x=batch["x"][0], y=batch["y"][0], index=batch["index"][0])

    def __getitems__(self, positions: Sequence[int]) -> Batch:
        """Return a whole batch; with PyTorch's own loader use a ``collate_fn`` that returns it as it is."""
        x = torch.empty(self.batch_shape(len(positions)))
        return self.fill(x, positions, self.epoch)

    def batch_shape(self, batch_size: int) -> tuple[int, ...]:
        """Return the shape of ``x``."""
        return (batch_size, *self.reader.window_shape(self.window_steps))

    def fill(self, x: torch.Tensor, positions: Sequence[int] | Indices, epoch: int) -> Batch:
        """Write the windows of these positions in the dataset into `x` and return the batch."""
        chosen = np.asarray(positions, np.int64)
        self.reader.windows_into(self.indices[chosen], self._starts_of(epoch)[chosen], x.numpy())
        return Batch(x=x, y=self._targets_of(chosen), index=torch.from_numpy(chosen))

    def _starts_of(self, epoch: int) -> Indices:
        """Return where an epoch's windows begin, (n,); all at once, as one batch's cost as much as copying a window."""
        known, starts = self._starts
        if known != epoch:
            starts = window_starts(
                self.indices,
                self.reader.n_steps[self.indices],
                self.window_steps,
                random=self.random,
                seed=self.seed,
                epoch=epoch,
            )
            self._starts = epoch, starts
        return starts

    def _targets_of(self, positions: Indices) -> torch.Tensor:
        y = np.zeros((len(positions), self.n_labels), np.float32)
        starts = self.targets.indptr[positions].astype(np.int64)
        lengths = self.targets.indptr[positions + 1] - starts
        rows = np.repeat(np.arange(len(positions)), lengths)
        entries = np.arange(len(rows)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        y[rows, self.targets.indices[entries]] = self.targets.data[entries]
        return torch.from_numpy(y)


def make_loader(
    dataset: WindowDataset,
    batch_size: int,
    *,
    shuffle: bool,
    drop_last: bool = False,
    workers: int = 0,
    seed: int = 0,
    **options: Any,
) -> WindowLoader:
    """Return a loader of batches; see `folksong.shards.loader.WindowLoader` for the further options."""
    from folksong.shards.loader import WindowLoader

    return WindowLoader(
        dataset, batch_size, shuffle=shuffle, drop_last=drop_last, workers=workers, seed=seed, **options
    )
