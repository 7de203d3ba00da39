"""Functions of single files, called by processes that survive what a file does to them, here or on a Dask cluster."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from folksong.audio.dask_workers import DaskWorkers
from folksong.audio.workers import Guard, Workers, stoppable
from folksong.errors import FileFormatError

Result = TypeVar("Result")

SECONDS_OF_A_READING, SLOWEST_BYTES_A_SECOND = 3.0, 5e6


def open_workers(jobs: int, dask: str | None = None, *, isolated: bool = True) -> Workers | DaskWorkers:
    """Return so many processes of this machine, or the workers of the Dask cluster with this scheduler."""
    return Workers(jobs, isolated=isolated) if dask is None else DaskWorkers(dask)


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one file: a result, or the reason why there is none."""

    path: str
    result: Result | None
    crash: str | None = None


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
