"""Processes that work on recordings and survive what a file does to them.

A decoder is a C library: a file made to break it can crash the process, or keep it busy for ever. So a worker says
which recording it is about to touch. When it dies (by itself, or by its own watchdog at the recording's time limit), a
new one does the task again; a recording that two workers died of, by the watchdog or not, is refused with the reason,
and the rest goes on.

A worker is a Python process of its own that reads calls from its standard input: the caller's main module is not run
again, and nothing is forked from a process that has threads. It ends when its input does, so it cannot outlive its
parent.
"""

import contextlib
import faulthandler
import json
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any, TypeVar

import joblib

from folksong.errors import FolksongError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

DEATHS_WITHOUT_CAUSE = 3  # of one task; then something outside kills the workers
SECONDS_TO_END, SECONDS_TO_END_ALONE = 3.0, 10.0  # for a worker to remove its half-written files
SECONDS_BETWEEN_LOOKS = 0.2  # for signals
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from folksong.audio.workers import serve; serve()"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def n_processes(jobs: int) -> int:
    """Return how many processes `jobs` means: -1 is one a core, -2 leaves one core free, as in joblib."""
    if jobs == 0:
        raise FolksongError("0 processes do no work; 1 or more are needed, or -1 for one a core")
    return int(joblib.effective_n_jobs(jobs))


_signals: list[int] = []  # that came while a `stoppable` block runs


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block between two recordings, as an exception; a second one ends it at once.

    An exception that comes at any moment may be lost in a callback of a C library, or crash it.
    """
    usual: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    in_charge = threading.current_thread() is threading.main_thread()
    taken = [number for number, handler in usual.items() if in_charge and signal.getsignal(number) is handler]
    for number in taken:
        signal.signal(number, _note_signal)
    try:
        yield
        stop_if_asked()
    finally:
        for number in taken:
            signal.signal(number, usual[number])
        if taken:
            _signals.clear()


def _note_signal(number: int, _: object) -> None:
    _signals.append(number)
    if len(_signals) > 1:
        stop_if_asked()


def stop_if_asked() -> None:
    """Raise the exception of the signal that came, if one did."""
    if _signals:
        raise KeyboardInterrupt if _signals[0] == signal.SIGINT else SystemExit(128 + _signals[0])


@dataclass(frozen=True)
class Crash:
    """Why workers died of a recording, and whether it may be gone the next time: too little time, or memory."""

    reason: str
    may_pass: bool = False

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Guard:
    """What a task says before it touches a recording, and which recordings it must not touch.

    Args:
        refused: by path, recordings that workers died of.
        say: takes the path and the seconds that it may take; the default is for a process that must live.
    """

    refused: Mapping[str, Crash] = field(default_factory=dict)
    say: Callable[[str, float], None] | None = None

    def begin(self, path: str, limit_seconds: float) -> None:
        """Name the recording that comes next; the process ends if it takes longer than `limit_seconds`."""
        stop_if_asked()
        if self.say is not None:
            self.say(path, limit_seconds)


class Workers:
    """At most `jobs` processes, started as tasks need them; a context manager that ends them.

    With ``isolated=False`` there are none: the work happens in this process, which a recording can then end. They work
    in `folder`; None is this process's.
    """

    def __init__(self, jobs: int, *, isolated: bool = True, folder: str | None = None) -> None:
        self.jobs, self.isolated, self._folder = jobs, isolated, folder
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []
        self._closed = False

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for worker in self._all:
            worker.close_input()
        for worker in self._all:
            worker.await_end()

    def map(self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Call ``function(guard, *task)`` for each task and yield the results as they come.

        Tasks are taken from the iterable as workers become free, so that memory holds one a worker. The function is one
        of a module, and calls `Guard.begin` before it touches a recording.

        Raises:
            FolksongError: workers keep dying though no recording is to blame (killed from outside, no memory).
        """
        if not self.isolated:
            yield from (function(Guard(), *task) for task in tasks)
            return
        waiting = iter(tasks)
        callers = ThreadPoolExecutor(self.jobs)  # a thread waits for each process
        try:
            pending: set[Future[Result]] = set()
            while True:
                for task in islice(waiting, self.jobs - len(pending)):
                    pending.add(callers.submit(self.call, function, task))
                if not pending:
                    return
                done, pending = wait(pending, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                stop_if_asked()
                for future in done:
                    yield future.result()
        finally:
            callers.shutdown(wait=False, cancel_futures=True)

    def call(self, function: Callable[..., Result], task: tuple[Any, ...]) -> Result:
        """Do one task, on as many workers as it takes."""
        refused: dict[str, Crash] = {}
        suspect: str | None = None
        deaths = 0
        while True:
            is_new = not self._idle
            worker = self._start() if is_new else self._idle.pop()
            try:
                result: Result = worker.call(function, task, refused)
            except _WorkerDiedError as death:
                if self._closed:
                    raise
                self._all.remove(worker)
                worker.bury()
                deaths += is_new  # one that waited may have died long before
                if death.path is not None and death.path == suspect:
                    refused[death.path] = death.crash
                    logger.warning("%s: %s", death.path, death.crash)
                    suspect, deaths = None, 0
                elif deaths == DEATHS_WITHOUT_CAUSE:
                    raise FolksongError(
                        "worker processes are killed from outside, perhaps for want of memory; run the same again "
                        "to continue, with fewer jobs"
                    ) from death
                else:
                    suspect = death.path
            except Exception:  # of the task; the process is as good as before
                self._idle.append(worker)
                raise
            else:
                self._idle.append(worker)
                return result

    def _start(self) -> "_Worker":
        worker = _Worker(self._folder)
        self._all.append(worker)
        if self._closed:
            worker.close_input()
        return worker


class _WorkerDiedError(Exception):
    """A worker ended in the middle of a task, by its watchdog or otherwise; `path` was at hand, if any."""

    def __init__(self, path: str | None, crash: Crash) -> None:
        super().__init__(crash.reason)
        self.path, self.crash = path, crash


class _Worker:
    """The parent's end of one process."""

    def __init__(self, folder: str | None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**_ONE_THREAD, **os.environ},
            cwd=folder,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout

    def call(self, function: Callable[..., Any], task: tuple[Any, ...], refused: Mapping[str, Crash]) -> Any:
        """Return the function's result.

        Raises:
            _WorkerDiedError: the process ended.
        """
        path, limit = None, 0.0
        try:
            pickle.dump(pickle.dumps((function, task, refused)), self._input)
            self._input.flush()
            while True:
                kind, value = pickle.load(self._output)  # noqa: S301 - written by our own process
                if kind == "at":
                    path, limit = value
                elif kind == "error":
                    raise value
                else:
                    return value
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            code = self._process.wait()
        self._log.seek(0)
        logger.debug("a worker ended with %d: %s", code, self._log.read().decode(errors="replace"))
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        crash = Crash(f"the decoder crashes on it ({how}); leave the file out")
        if code == 1:
            crash = Crash(f"decoding takes longer than {limit:.0f} s; leave the file out", may_pass=True)
        elif code == -signal.SIGKILL:
            crash = Crash(
                f"its decoding was ended from outside ({how}), as where memory is short", may_pass=True
            )
        raise _WorkerDiedError(path, crash)

    def close_input(self) -> None:
        """Tell the process to end."""
        with contextlib.suppress(OSError, ValueError):
            self._input.close()

    def await_end(self) -> None:
        """Wait until the process has ended; end it if it does not obey."""
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def bury(self) -> None:
        """Close what is left of a process that ended, so that many deaths leave nothing behind."""
        self.close_input()
        self._output.close()
        self._log.close()


def serve() -> None:
    """Do the calls that come from standard input: the whole life of a worker."""
    calls_from, answers_to = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    log = os.fdopen(os.dup(2), "w")
    sink = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):  # C libraries may complain to nobody: their lines name no file
        os.dup2(sink, descriptor)
    for number in (signal.SIGINT, signal.SIGTERM):  # which may reach a whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable(log)
    calls: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_take_calls, args=(calls_from, calls), daemon=True).start()

    def answer(kind: str, value: object) -> None:
        answers_to.write(pickle.dumps((kind, value)))
        answers_to.flush()

    def begin(path: str, limit_seconds: float) -> None:
        answer("at", (path, limit_seconds))
        faulthandler.dump_traceback_later(limit_seconds, exit=True, file=log)

    while (call := calls.get()) is not None:
        try:
            function, task, refused = pickle.loads(call)  # noqa: S301 - written by our own parent
            result = function(Guard(refused, begin), *task)
        except Exception as error:
            answer("error", _portable(error))
        else:
            answer("result", result)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _take_calls(stream: IO[bytes], calls: queue.SimpleQueue[bytes | None]) -> None:
    """Queue what comes from the parent; when that ends, end this process too, before its next recording if it can."""
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            calls.put(pickle.load(stream))  # noqa: S301 - bytes, written by our own parent
    _signals.append(signal.SIGTERM)
    calls.put(None)
    time.sleep(SECONDS_TO_END_ALONE)
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """Return an exception that reaches the parent, with its traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
