"""Tasks over processes, taken from an iterable as they are needed so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

Result = TypeVar("Result")

ProcessDied = TerminatedWorkerError
"""A worker process ended without an answer: a crash of a C library, its time limit, or no memory."""


def run_tasks(
    function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], *, jobs: int, in_order: bool = False
) -> Iterator[Result]:
    """Call ``function(*task)`` for each task on `jobs` processes and yield the results as they come.

    With one job the work happens in this process.

    Raises:
        ProcessDied: a process died; results not yet given out are lost.
    """
    if jobs == 1:
        for task in tasks:
            yield function(*task)
        return
    order = "generator" if in_order else "generator_unordered"
    parallel = joblib.Parallel(n_jobs=jobs, return_as=order, batch_size=1)
    yield from parallel(joblib.delayed(function)(*task) for task in tasks)
