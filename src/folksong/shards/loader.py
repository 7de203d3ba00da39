"""Windows of shards as batches for PyTorch, in the order of an epoch, resumable at the very batch.

A batch is a dict: ``x`` float32 (batch, samples) or (batch, n_mels, frames), ``y`` float32 (batch, n_labels), ``index``
int64 (batch,), the position in the dataset. Windows are copied from the memory map straight into the batch: no sample
is made on its own and collated afterwards.

Which record comes when, and which window of it, are pure functions of (seed, epoch, record), the same on any machine.
A step's global batch is cut into equal parts, one a rank, so that what is trained on does not depend on the number of
processes, and no record is lost or comes twice.

Workers are threads: making a batch is copying memory, during which NumPy holds no lock, and a thread writes into the
consumer's own memory where a process would have to send the batch. Batches are written into reused buffers (a fresh
one costs a page fault every 4 KB); a buffer is taken again only when nothing refers to its batch any more.
"""

import contextlib
import math
import mmap
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch.utils.data import Dataset

from folksong.errors import FolksongError
from folksong.shards.reader import ShardReader

MAX_BUFFERS = 32

Indices = npt.NDArray[np.int64]


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
        seed: of the random windows, and of a loader's order. The window of a record is a pure function of (seed,
            epoch, record number).
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


class WindowLoader:
    """Batches of a dataset.

    Iterating gives one epoch from its first batch, and its end moves on to the next; `set_epoch` chooses
    one. `state_dict` names the batch that comes next; the first iteration after
    `load_state_dict` begins exactly there.

    Args:
        dataset: the windows.
        batch_size: windows a batch (and rank).
        shuffle: visit the records in an order of (the dataset's seed, epoch).
        drop_last: leave out an incomplete last batch.
        workers: threads that make batches ahead; 0 makes each when it is asked for.
        rank: this process, from 0.
        world_size: number of processes; each gets its part of every global batch.
    """

    def __init__(
        self,
        dataset: WindowDataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1 or workers < 0 or not 0 <= rank < world_size:
            raise FolksongError(
                f"batch size {batch_size}, {workers} workers, rank {rank} of {world_size}: a batch needs 1 window or "
                "more, workers may not be negative, ranks count from 0"
            )
        self.dataset, self.batch_size, self.workers = dataset, batch_size, workers
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, dataset.seed
        self.rank, self.world_size = rank, world_size
        self.epoch = self.position = self._resume_at = 0
        self._pool = _BufferPool()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that iterating gives."""
        if epoch != self.epoch:
            self.epoch, self.position, self._resume_at = epoch, 0, 0

    def batches(self) -> list[Indices]:
        """Return this rank's batches of the current epoch as positions in the dataset."""
        order = epoch_order(len(self.dataset), shuffle=self.shuffle, seed=self.seed, epoch=self.epoch)
        return rank_batches(
            order, self.batch_size, drop_last=self.drop_last, rank=self.rank, world_size=self.world_size
        )

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size * self.world_size)
        return whole + (not self.drop_last and self.rank < rest)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        self.position, self._resume_at = self._resume_at, 0
        waiting = self.batches()[self.position :]
        now = (self._make(positions, epoch) for positions in waiting)
        for batch in self._made_ahead(waiting, epoch) if self.workers else now:
            self.position += 1
            yield batch
        self.set_epoch(epoch + 1)

    def _make(self, positions: Indices, epoch: int) -> Batch:
        return self.dataset.fill(self._pool.take(self.dataset.batch_shape(len(positions))), positions, epoch)

    def _made_ahead(self, waiting: list[Indices], epoch: int) -> Iterator[Batch]:
        made: deque[Future[Batch]] = deque()
        todo = iter(waiting)
        with ThreadPoolExecutor(self.workers, "folksong-loader") as executor:
            try:
                for positions in todo:
                    if len(made) < self.workers:
                        made.append(executor.submit(self._make, positions, epoch))
                        continue
                    ready = made.popleft().result()
                    made.append(executor.submit(self._make, positions, epoch))
                    yield ready
                    del ready
                while made:
                    yield made.popleft().result()
            finally:
                for future in made:
                    future.cancel()

    def state_dict(self) -> dict[str, int]:
        """Return where the loader stands: the epoch and the number of records that all ranks have had of it."""
        return {"epoch": self.epoch, "records": self.position * self.batch_size * self.world_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken, also with another number of ranks or workers."""
        step = self.batch_size * self.world_size
        if state["records"] % step and state["records"] < len(self.dataset):
            raise FolksongError(
                f"the epoch stopped after {state['records']} records, which batches of {step} never do: resume with "
                "the batch size (times the number of processes) of the run"
            )
        self.epoch = int(state["epoch"])
        self.position = self._resume_at = -(-int(state["records"]) // step)


class _BufferPool:
    """Memory for batches, reused when nothing refers to a batch any more."""

    def __init__(self) -> None:
        self._buffers: list[npt.NDArray[np.float32]] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return an uninitialised float32 tensor."""
        with self._lock:
            for buffer in self._buffers:
                if buffer.shape == shape and sys.getrefcount(buffer) <= _IDLE_REFERENCES:
                    return torch.from_numpy(buffer)
            buffer = _fresh(shape)
            if len(self._buffers) < MAX_BUFFERS:
                self._buffers.append(buffer)
            return torch.from_numpy(buffer)

    def __reduce__(self) -> tuple[Any, ...]:
        return _BufferPool, ()


def _fresh(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return an array of zeros in memory of its own.

    It is mapped by itself, in huge pages where the system has them: copying into small ones, of which the C library's
    heap may consist, is some 5% slower.
    """
    n_values = math.prod(shape)
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(shape, np.float32)
    memory = mmap.mmap(-1, max(n_values, 1) * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.float32, n_values).reshape(shape)


def _references_of_an_idle_buffer() -> int:
    """Return what getrefcount says, in such a loop, of an array that only a list holds.

    It is measured because it differs between Python versions: one too many would hand out memory that is in use.
    """
    count = 0
    for buffer in [np.empty(1, np.float32)]:
        count = sys.getrefcount(buffer)
    return count


_IDLE_REFERENCES = _references_of_an_idle_buffer()


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


def _mix(value: npt.NDArray[np.uint64] | np.uint64) -> npt.NDArray[np.uint64]:
    """Return the output function of SplitMix64 (Steele, Lea & Flood 2014) of `value`."""
    mixed = np.atleast_1d(np.asarray(value, np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
