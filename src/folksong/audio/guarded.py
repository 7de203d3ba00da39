"""Functions of single files, called by processes that survive what a file does to them, here or on a Dask cluster.

A task of the cluster is a call of the same function; what comes back is its result (facts and counts, never audio). In
each of Dask's processes the call happens in a process of our own, so that a recording that crashes the decoder costs
none of Dask's. Dask starts a task again whose worker died.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from folksong.audio.workers import SECONDS_BETWEEN_LOOKS, Crash, Guard, Workers, stop_if_asked, stoppable
from folksong.errors import FileFormatError, FolksongError, needs_extra

Result = TypeVar("Result")

SECONDS_OF_A_READING, SLOWEST_BYTES_A_SECOND = 4.5, 5e6  # with imports; tried twice


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one file: a result, or the reason why there is none."""

    path: str
    result: Result | None
    crash: Crash | None = None


def run_guarded(
    function: Callable[..., Result],
    batches: Iterable[Sequence[str]],
    arguments: tuple[Any, ...],
    *,
    jobs: int,
    limit_seconds: float,
    dask: str | None = None,
) -> Iterator[list[Outcome[Result]]]:
    """Call ``function(path, *arguments)`` for every path of every batch and yield the outcomes as they come.

    Args:
        function: of a module; its result must be picklable.
        batches: a batch is the work that a process takes at once; when a worker dies, it is done again.
        arguments: what can be pickled.
        jobs: processes (there is always at least one beside this).
        limit_seconds: for one path.
        dask: address of a Dask scheduler, whose workers take the place of `jobs`.
    """
    tasks = ((function, tuple(batch), arguments, limit_seconds) for batch in batches)
    with stoppable(), open_workers(jobs, dask) as workers:
        yield from workers.map(_call_for_each, tasks)


def read_guarded(function: Callable[[str], Result], path: str | os.PathLike[str]) -> Result:
    """Return ``function(path)`` from a process of its own, for files on which a C library may crash or never end.

    Raises:
        FileFormatError: it did.
    """
    limit = SECONDS_OF_A_READING + Path(path).stat().st_size / SLOWEST_BYTES_A_SECOND
    [[outcome]] = run_guarded(function, [[os.fspath(path)]], (), jobs=1, limit_seconds=limit)
    if outcome.crash is not None:
        raise FileFormatError(f"{path}: damaged ({outcome.crash})")
    return cast(Result, outcome.result)


def guarded_outcome(
    workers: Workers,
    function: Callable[..., Result],
    path: str,
    arguments: tuple[Any, ...],
    *,
    limit_seconds: float,
) -> Outcome[Result]:
    """Return what becomes of ``function(path, *arguments)``; for as many threads at once as there are `workers`.

    Errors of the function are raised; arguments are those of `run_guarded`.
    """
    (found,) = workers.call(_call_for_each, (function, (path,), arguments, limit_seconds))
    return found


def _call_for_each(
    guard: Guard,
    function: Callable[..., Result],
    batch: tuple[str, ...],
    arguments: tuple[Any, ...],
    limit_seconds: float,
) -> list[Outcome[Result]]:
    outcomes: list[Outcome[Result]] = []
    for path in batch:
        if path in guard.refused:
            outcomes.append(Outcome(path, None, guard.refused[path]))
        else:
            guard.begin(path, limit_seconds)
            outcomes.append(Outcome(path, function(path, *arguments)))
    return outcomes


TRIES = 5  # of a task whose workers died as often as Dask allows
AHEAD = 2  # tasks a thread of the cluster
SECONDS_TO_CONNECT = 20


class DaskWorkers:
    """The workers of a cluster, as many as its threads; a context manager that leaves it.

    Args:
        scheduler: the address of Dask's scheduler, ``tcp://host:8786``.

    Raises:
        FolksongError: Dask is not installed, or there is no scheduler or no worker at the address.
    """

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        with needs_extra("work on a Dask cluster", "dask"):
            import distributed
        try:
            self._client: Any = distributed.Client(
                scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False
            )
            self._client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
        except (OSError, ValueError, TimeoutError) as error:
            raise FolksongError(
                f"{scheduler}: no Dask scheduler with workers answers there ({error}); start `dask scheduler` and "
                "`dask worker`, or give another address"
            ) from error
        self.jobs = sum(self._client.nthreads().values())

    def __enter__(self) -> "DaskWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def map(self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Call ``function(guard, *task)`` for each task and yield the results as they come; see `Workers.map`.

        Raises:
            FolksongError: the scheduler is gone, or workers keep dying.
        """
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        waiting = iter(tasks)
        pending: dict[Any, tuple[tuple[Any, ...], int]] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit(task: tuple[Any, ...], n_deaths: int) -> None:
            future = self._client.submit(_call, function, task, str(Path.cwd()), pure=False)
            pending[future] = task, n_deaths
            future.add_done_callback(done.put)

        try:
            while True:
                for task in islice(waiting, AHEAD * self.jobs - len(pending)):
                    submit(task, 0)
                if not pending:
                    return
                stop_if_asked()
                try:
                    future = done.get(timeout=SECONDS_BETWEEN_LOOKS)
                except queue.Empty:
                    continue
                task, n_deaths = pending.pop(future)
                try:
                    result = future.result()
                except KilledWorker as error:
                    if n_deaths == TRIES:
                        raise FolksongError(
                            f"{self.scheduler}: Dask's workers keep dying, perhaps for want of memory; run the same "
                            "again to continue"
                        ) from error
                    submit(task, n_deaths + 1)
                else:
                    yield result
        except (CancelledError, CommClosedError) as error:
            raise FolksongError(
                f"{self.scheduler}: the Dask scheduler is gone; run the same again to continue"
            ) from error
        finally:
            for future in pending:
                future.cancel()


def _call(function: Callable[..., Result], task: tuple[Any, ...], folder: str) -> Result:
    """Do a task on a worker of Dask: relative paths begin in the caller's folder, if it is here too."""
    with _starting:
        workers = _own_workers(folder if Path(folder).is_dir() else None)
    return workers.call(function, task)


_starting = threading.Lock()


@lru_cache(maxsize=1)
def _own_workers(folder: str | None) -> Workers:
    """Return this process's workers: as many as it calls at a time; they end with it."""
    return Workers(1, folder=folder)


def open_workers(jobs: int, dask: str | None = None, *, isolated: bool = True) -> Workers | DaskWorkers:
    """Return so many processes of this machine, or the workers of the Dask cluster with this scheduler."""
    return Workers(jobs, isolated=isolated) if dask is None else DaskWorkers(dask)
