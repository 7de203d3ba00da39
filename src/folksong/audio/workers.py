"""A function called for many files on several processes that survive what a file does to them.

A decoder is a C library, and a file made to break it can crash the process, or keep it busy for ever. Each worker notes
the file at hand before it starts on it. When a worker dies (by itself, or by its own watchdog after a time limit), the
files noted are done again, each in a process of its own; one that kills that too gets a reason instead of a result, and
the rest goes on with new workers.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from folksong.errors import FolksongError

Result = TypeVar("Result")
Batch = Sequence[str]

DEATHS_WITHOUT_CAUSE = 3  # in a row; then something outside kills the workers
BATCHES_AHEAD = 2  # a worker: enough that none waits


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one file: a result, or the reason why there is none."""

    path: str
    result: Result | None
    crash: str | None = None


def n_processes(jobs: int) -> int:
    """Return how many processes `jobs` means: -1 is one a core, -2 leaves one core free, as in joblib."""
    return int(joblib.effective_n_jobs(jobs))


def run_guarded(
    function: Callable[..., Result],
    batches: Iterable[Batch],
    arguments: tuple[Any, ...],
    *,
    jobs: int,
    limit_seconds: float,
) -> Iterator[list[Outcome[Result]]]:
    """Call ``function(path, *arguments)`` for every path of every batch and yield the outcomes as they come.

    Memory holds a few batches at a time.

    Args:
        function: found by its name in its module; its result must be picklable.
        batches: a batch is the work that a process takes at once; when a worker dies, a few are done again.
        arguments: JSON values.
        jobs: processes (there is always at least one beside this).
        limit_seconds: for one path.

    Raises:
        FolksongError: workers keep dying though no path is to blame (killed from outside, no memory).
    """
    todo = iter(batches)
    again: list[Batch] = []
    deaths = 0
    with tempfile.TemporaryDirectory(prefix="folksong-") as folder:
        call = _Call(function, arguments, limit_seconds, folder)
        while True:
            undone: list[Batch] = []
            yield from _run_pool(call, again, todo, jobs, undone)
            if not undone:
                return
            outcomes = [_do_alone(call, path) for path in _paths_at_hand(call)]
            deaths = 0 if outcomes else deaths + 1
            if deaths == DEATHS_WITHOUT_CAUSE:
                raise FolksongError(
                    "worker processes are killed from outside, perhaps for want of memory; run the same command again "
                    "to continue, with fewer --jobs"
                )
            yield outcomes
            finished = {outcome.path for outcome in outcomes}
            # One path at a time from here on: another culprit may be in the same batch.
            again = [[path] for batch in undone for path in batch if path not in finished]


@dataclass(frozen=True)
class _Call(Generic[Result]):
    """What to do with each path, and the folder for notes."""

    function: Callable[..., Result]
    arguments: tuple[Any, ...]
    limit_seconds: float
    notes: str


def _run_pool(
    call: _Call[Result], again: list[Batch], todo: Iterator[Batch], jobs: int, undone: list[Batch]
) -> Iterator[list[Outcome[Result]]]:
    """Do the batches of `again` and `todo` until there are no more or a worker dies; `undone` gets what that leaves."""
    running: dict[Future[list[Outcome[Result]]], Batch] = {}
    executor = ProcessPoolExecutor(max_workers=jobs, initializer=_ignore_interrupts)
    try:
        while not undone:
            _fill(executor, call, again, todo, running, jobs * BATCHES_AHEAD, undone)
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                batch = running.pop(future)
                try:
                    outcomes = future.result()
                except BrokenProcessPool:
                    undone.append(batch)
                else:
                    yield outcomes
        undone += [*running.values(), *again]
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _fill(
    executor: ProcessPoolExecutor,
    call: _Call[Result],
    again: list[Batch],
    todo: Iterator[Batch],
    running: dict[Future[list[Outcome[Result]]], Batch],
    most: int,
    undone: list[Batch],
) -> None:
    """Hand out batches until `most` are running."""
    while len(running) < most:
        batch = again.pop(0) if again else next(todo, None)
        if batch is None:
            return
        try:
            running[executor.submit(_work, call, batch)] = batch
        except BrokenProcessPool:
            undone.append(batch)
            return


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; stopping is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(call: _Call[Result], batch: Batch) -> list[Outcome[Result]]:
    """Run in a worker: one batch, noting each path before it is touched."""
    note = Path(call.notes, str(os.getpid()))
    outcomes = []
    with _silent_stderr() as sink:
        for path in batch:
            note.write_text(path, encoding="utf-8")
            faulthandler.dump_traceback_later(call.limit_seconds, exit=True, file=sink)
            try:
                outcomes.append(Outcome(path, call.function(path, *call.arguments)))
            finally:
                faulthandler.cancel_dump_traceback_later()
    note.unlink(missing_ok=True)
    return outcomes


@contextlib.contextmanager
def _silent_stderr() -> Iterator[Any]:
    """Let C libraries complain to nobody: their lines name no file and would bury ours."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield sink
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _paths_at_hand(call: _Call[Any]) -> list[str]:
    """Return the paths that workers were at when they died, and clear the notes."""
    notes = list(Path(call.notes).iterdir())
    paths = {note.read_text(encoding="utf-8") for note in notes} - {""}
    for note in notes:
        note.unlink()
    return sorted(paths)


def _do_alone(call: _Call[Result], path: str) -> Outcome[Result]:
    """Call the function in a process of its own."""
    module, name = call.function.__module__, call.function.__qualname__
    code = (
        f"import json, pickle, sys; from {module} import {name} as call; result = call(*json.loads(sys.argv[1])); "
        "pickle.dump(result, open(sys.argv[2], 'wb'))"
    )
    with tempfile.TemporaryDirectory(prefix="folksong-") as folder:
        answer = Path(folder, "result")
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, json.dumps([path, *call.arguments]), str(answer)],
                timeout=call.limit_seconds,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome(
                path, None, f"decoding takes longer than {call.limit_seconds:g} s; leave the file out"
            )
        if done.returncode == 0:
            return Outcome(path, pickle.loads(answer.read_bytes()))  # noqa: S301 - written by ourselves just now
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return Outcome(path, None, f"the decoder crashes on it ({how}); leave the file out")
