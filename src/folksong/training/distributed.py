"""The processes of one training: how they come together, and what they tell each other.

* ``torchrun`` (or whatever sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT) has started them all.
* Several GPUs, or several processes on the CPU: this process is the first and starts the others, which wait to be told
  what to do (`COMPANION`).
* Several machines, with MASTER_ADDR, MASTER_PORT and NODE_RANK set: the same on each machine.

The first process (rank 0) decides, writes and speaks; the others compute their share of every step. What is said here
is small and goes over gloo, also where gradients go over NCCL. An error that a process can foresee is told to all, so
that all end at the same place and the first one says why; a process that simply dies breaks the connection, which
ends the others.
"""

import inspect
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from folksong.errors import FolksongError
from folksong.training.config import RuntimeSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Others wait while the first reads tags and checks records, and while it writes.
TIMEOUT = timedelta(hours=2)
GRACE_SECONDS = 20.0  # for a process to end by itself when another has died
POLL_SECONDS = 0.5
EXTERNAL = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
BY_NODE = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
GPUS = "FOLKSONG_GPUS"  # which GPUs the processes of this machine use, told to those that are started here
COMPANION = "from folksong.training.loop import accompany; accompany()"


@dataclass(frozen=True)
class Processes:
    """This process among those of a training: its number among all, and among those of its machine.

    As many run on every machine; `gpus` has one a process of this machine, and is empty on the CPU.
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
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device("cuda", self.gpus[self.local_rank]) if self.gpus else torch.device("cpu")

    def share(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are averaged over all processes.

        Buffers are left alone. On GPUs batch norm is the same in all processes anyway; on CPUs the first one's
        statistics count, and are told before a validation (`broadcast_buffers`). Telling them in each forward pass
        would stall where processes validate unequally many batches.
        """
        if self.world_size == 1:
            return network
        if self.gpus:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        known = inspect.signature(DistributedDataParallel.__init__).parameters
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        devices = [self.device] if self.gpus else None
        options: dict[str, Any] = {name: False}
        return DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True, **options)

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


def find_gpus(wanted: Sequence[int] | None, n_processes: int | None = None) -> list[int]:
    """Return the GPUs to use: those wanted, else the first, or one a process that was started; empty means the CPU."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        if wanted:
            logger.warning("no GPU found; training on the CPU")
        return []
    chosen = list(range(n_processes or 1)) if wanted is None else list(dict.fromkeys(wanted))
    missing = [number for number in chosen if not 0 <= number < found]
    if missing:
        raise FolksongError(f"there is no GPU {missing[0]}; this machine has {found}, numbered from 0")
    if n_processes not in (None, len(chosen)):
        raise FolksongError(
            f"{n_processes} processes were started on this machine for {len(chosen)} GPUs; start one process a GPU "
            "(torchrun --nproc-per-node), or hide the GPUs by CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    return chosen


def speaks(num_nodes: int = 1) -> bool:
    """Say whether this process is the first of its training, before it has joined the others."""
    if all(name in os.environ for name in EXTERNAL):
        return os.environ["RANK"] == "0"
    return num_nodes == 1 or os.environ.get("NODE_RANK", "0") == "0"


@contextmanager
def joined(runtime: RuntimeSettings | None = None) -> Iterator[Processes]:
    """Yield this process among those of the training, connected; they part at the end.

    Args:
        runtime: which GPUs of this machine (a process is started for each), or how many processes on its CPU, and on
            how many machines the same is called.

    Raises:
        FolksongError: GPUs or environment do not fit, or another process died.
    """
    wanted = runtime or RuntimeSettings()
    cuda, n_processes, num_nodes = wanted.cuda, wanted.processes, wanted.num_nodes
    children: list[subprocess.Popen[bytes]] = []
    if all(name in os.environ for name in EXTERNAL):
        processes = _of_environment(cuda, n_processes, num_nodes)
        store = _meeting_point(processes) if GPUS in os.environ else None
    else:
        gpus = [] if cuda is None and n_processes is not None else find_gpus(cuda)
        if gpus and n_processes not in (None, len(gpus)):
            raise FolksongError(
                f"{len(gpus)} GPUs are named, each of which gets a process; leave processes={n_processes} out"
            )
        local = len(gpus) or n_processes or 1
        if local * num_nodes == 1:
            yield Processes(gpus=tuple(gpus))
            return
        processes, store, children = _start(gpus, local, num_nodes)
    if processes.world_size == 1:
        yield processes
        return
    with only_the_first_speaks(processes), _watching(children):
        _connect(processes, store)
        try:
            yield processes
            distributed.barrier()
        except RuntimeError as error:
            if not _is_broken_connection(error):
                raise
            if not processes.is_first:
                raise SystemExit(1) from error
            raise FolksongError(
                "another process of the training died; what it said last says why. What was saved can be resumed"
            ) from error
        finally:
            distributed.destroy_process_group()


def _of_environment(cuda: Sequence[int] | None, n_processes: int | None, num_nodes: int) -> Processes:
    """Return what the environment says of this process."""
    values = {name: os.environ.get(name) for name in (*EXTERNAL[:2], "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    try:
        rank, world_size = (int(values[name] or "") for name in EXTERNAL[:2])
        local_world_size = int(values["LOCAL_WORLD_SIZE"] or world_size)
        local_rank = int(values["LOCAL_RANK"] or rank % local_world_size)
    except ValueError as error:
        raise FolksongError(
            f"the environment is to say which process this is, by numbers: {values}"
        ) from error
    if not 0 <= rank < world_size or world_size % local_world_size:
        raise FolksongError(f"the environment describes no process of a training: {values}")
    if n_processes not in (None, local_world_size) or num_nodes not in (1, world_size // local_world_size):
        raise FolksongError(
            f"{world_size} processes were started, {local_world_size} on this machine; leave processes and "
            "num_nodes out, they are for trainings that start their processes themselves"
        )
    given = os.environ.get(GPUS)  # where a folksong has started this process
    numbers = cuda if given is None else [int(number) for number in given.split()]
    gpus = [] if given == "" else find_gpus(numbers, local_world_size)
    return Processes(rank, world_size, local_rank, local_world_size, tuple(gpus))


def _start(
    gpus: Sequence[int], local: int, num_nodes: int
) -> tuple[Processes, Any, list[subprocess.Popen[bytes]]]:
    """Start this machine's other processes, and return this one, its store and the others."""
    missing = [name for name in BY_NODE if name not in os.environ]
    if num_nodes > 1 and missing:
        raise FolksongError(
            f"num_nodes {num_nodes} needs {', '.join(missing)} in the environment: the address of the first machine, "
            "a free port there, and this machine's number from 0; or start all processes by torchrun"
        )
    node = int(os.environ["NODE_RANK"]) if num_nodes > 1 else 0
    if not 0 <= node < num_nodes:
        raise FolksongError(f"NODE_RANK {node}: {num_nodes} machines are numbered from 0 to {num_nodes - 1}")
    first = Processes(node * local, local * num_nodes, 0, local, tuple(gpus))
    store = _meeting_point(first, alone=num_nodes == 1)
    environment = {
        **os.environ,
        "MASTER_ADDR": store.host,
        "MASTER_PORT": str(store.port),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "WORLD_SIZE": str(first.world_size),
        "LOCAL_WORLD_SIZE": str(local),
        GPUS: " ".join(map(str, gpus)),
    }
    return first, store, [_start_companion(environment, first.rank + n, n) for n in range(1, local)]


def _meeting_point(processes: Processes, *, alone: bool = False) -> Any:
    """Return the store through which processes find each other; the first one's process holds it.

    Where all are `alone` on this machine, any free port will do.
    """
    address, port = ("127.0.0.1", 0) if alone else (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    return distributed.TCPStore(  # type: ignore[attr-defined]
        address, port, processes.world_size, processes.is_first, TIMEOUT, wait_for_workers=False
    )


def _start_companion(environment: Mapping[str, str], rank: int, local_rank: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", COMPANION],
        env={**environment, "RANK": str(rank), "LOCAL_RANK": str(local_rank)},
        stdin=subprocess.DEVNULL,
    )


def _connect(processes: Processes, store: Any) -> None:
    if processes.gpus:
        torch.cuda.set_device(processes.device)
    backend = "cpu:gloo,cuda:nccl" if processes.gpus else "gloo"
    distributed.init_process_group(
        backend, store=store, rank=processes.rank, world_size=processes.world_size, timeout=TIMEOUT
    )


@contextmanager
def _watching(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End this process soon after one of its children died, and the children with this process."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            failed = [child for child in children if child.poll()]
            if failed and not over.wait(GRACE_SECONDS):
                logger.error("a process of the training died (exit code %d)", failed[0].returncode)
                for child in children:
                    child.kill()
                os._exit(1)  # this one waits for the dead one in a call that cannot be interrupted

    if children:
        threading.Thread(target=watch, name="folksong-processes", daemon=True).start()
    try:
        yield
        _wait(children)
    finally:
        over.set()
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.wait(max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            logger.warning("process %d of the training did not end by itself", child.pid)


def _is_broken_connection(error: RuntimeError) -> bool:
    words = ("gloo", "nccl", "connection", "broken pipe")
    return isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in words)


@contextmanager
def only_the_first_speaks(processes: Processes) -> Iterator[None]:
    """Keep all processes but the first from saying what the first says too."""
    with nullcontext() if processes.is_first else silent():
        yield


@contextmanager
def silent() -> Iterator[None]:
    """Say nothing but errors."""
    logger = logging.getLogger("folksong")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
