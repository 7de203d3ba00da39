"""The processes of one training, and what they tell each other.

The first process (rank 0) decides, writes and speaks; the others compute their share of every step. What is said here
is small and goes over gloo, also where gradients go over NCCL. An error that a process can foresee is told to all, so
that all end at the same place and the first one says why; a process that simply dies breaks the connection, which
ends the others.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from torch import distributed
from typing_extensions import override

from folksong.errors import FolksongError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those of a training.

    Args:
        rank: of this process among all, from 0.
        world_size: number of processes.
        local_rank: of this process among those of its machine.
        local_world_size: processes of this machine; the same number on every machine.
        gpus: one a process of this machine; empty on the CPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    gpus: tuple[int, ...] = ()

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run and speaks."""
        return self.rank == 0

    @property
    def n_nodes(self) -> int:
        """Number of machines."""
        return self.world_size // self.local_world_size

    @property
    def own_gpus(self) -> list[int]:
        """The GPU of this process; none on the CPU."""
        return [self.gpus[self.local_rank]] if self.gpus else []

    def from_first(self, work: Callable[[], T]) -> T:
        """Return, in all processes, what `work` returns in the first; if it fails there, all end."""
        if self.world_size == 1:
            return work()
        box: list[Any] = [None]
        if self.is_first:
            try:
                box = [(work(),)]
            except BaseException:
                distributed.broadcast_object_list(box, 0)
                raise
        distributed.broadcast_object_list(box, 0)
        if box[0] is None:
            raise SystemExit(1)
        value: T = box[0][0]
        return value

    def gather(self, value: T) -> list[T]:
        """Return all processes' values, in their order."""
        values: list[Any] = [value] * self.world_size
        if self.world_size > 1:
            distributed.all_gather_object(values, value)
        return values

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return each value summed over all processes, the same in all of them."""
        if self.world_size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all processes do something of which each may fail; if one does, all end and the first says why."""
        problem: Exception | None = None
        try:
            yield
        except Exception as error:
            if self.world_size == 1:
                raise
            problem = error
        messages = self.gather(None if problem is None else str(problem) or type(problem).__name__)
        if problem is not None and (self.is_first or not isinstance(problem, FolksongError)):
            raise problem
        self.stop_for(messages)

    def stop_for(self, messages: Sequence[str | None]) -> None:
        """End all processes if there is a message, which the first one raises as an error.

        Raises:
            FolksongError: in the first process.
            SystemExit: in the others, which have nothing to add.
        """
        found = [(rank, message) for rank, message in enumerate(messages) if message is not None]
        if not found:
            return
        if not self.is_first:
            raise SystemExit(1)
        rank, message = found[0]
        raise FolksongError(message if rank == 0 else f"process {rank} of {self.world_size}: {message}")

    def broadcast_buffers(self, module: torch.nn.Module) -> None:
        """Give all processes the first one's buffers (the running statistics of batch norm)."""
        if self.world_size > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)


class StartedProcesses(ClusterEnvironment):
    """Tells Lightning that the processes run already, and which is this one."""

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.processes = processes

    @property
    @override
    def creates_processes_externally(self) -> bool:
        return True

    @property
    @override
    def main_address(self) -> str:
        return ""  # asked for by none: the processes are connected

    @property
    @override
    def main_port(self) -> int:
        return 0

    @staticmethod
    @override
    def detect() -> bool:
        return False

    @override
    def world_size(self) -> int:
        return self.processes.world_size

    @override
    def set_world_size(self, size: int) -> None:
        pass

    @override
    def global_rank(self) -> int:
        return self.processes.rank

    @override
    def set_global_rank(self, rank: int) -> None:
        pass

    @override
    def local_rank(self) -> int:
        return self.processes.local_rank

    @override
    def node_rank(self) -> int:
        return self.processes.rank // self.processes.local_world_size


@contextmanager
def only_the_first_speaks(processes: Processes) -> Iterator[None]:
    """Keep all processes but the first from saying what the first says too."""
    if processes.is_first:
        yield
        return
    logger = logging.getLogger("folksong")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
