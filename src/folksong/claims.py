"""Who is at which of many tasks, by files that are put only if absent: no server, and nothing to start or to stop.

A task is claimed by the file ``NAME.1.claim``, which only one of many can put; the holder puts it anew every
`BEAT_SECONDS`. A claim that nobody renewed for `LEASE_SECONDS`, or whose process on this machine is gone, is dead, and
its task is taken by ``NAME.2.claim``, and so on. A claim saves work and decides nothing: tasks may run twice (a holder
may have been asleep), so what they make must be the same each time, and be put whole.
"""

import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import TypeVar

from folksong.errors import FolksongError
from folksong.stores import Store

logger = logging.getLogger(__name__)

Task = TypeVar("Task")

LEASE_SECONDS, BEAT_SECONDS = 120.0, 20.0
ENDING = ".claim"


class Claims:
    """The claims of a folder of a store; a context manager that renews those of this process, and lets them go.

    Args:
        store: where.
        folder: the folder of it that holds them.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder = store, folder
        self._held: dict[str, str] = {}
        self._ended = threading.Event()
        self._me = json.dumps(
            {"process": os.getpid(), "host": socket.gethostname(), "token": os.urandom(8).hex()}
        ).encode()

    def __enter__(self) -> "Claims":
        threading.Thread(target=self._renew, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for task in list(self._held):
            with suppress(FolksongError):  # others find it dead in time
                self.release(task)

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            for task, name in list(self._held.items()):
                try:
                    self._store.put(name, self._me)
                    if task not in self._held:  # released meanwhile
                        self._store.delete(name)
                except FolksongError as error:
                    logger.debug("a claim was not renewed: %s", error)

    def take(self, task: str) -> bool:
        """Claim a task; False if somebody is at it."""
        for generation in count(1):
            name = f"{self._folder}/{task}.{generation}{ENDING}"
            if self._store.put_if_absent(name, self._me):
                self._held[task] = name
                return True
            if self.holder_of(name) is not None:
                return False
            if self._store.size(name) is None:  # let go just now; whoever comes next finds it so
                return False
        raise AssertionError

    def each(self, tasks: Iterable[str], is_done: Callable[[str], bool]) -> Iterator[str]:
        """Claim one task after the other and yield it; those that others are at, or have done, are passed over.

        Args:
            tasks: in the order in which they are tried.
            is_done: asked of a task that is claimed: whether it was done since `tasks` were listed.
        """
        waiting = list(tasks)
        while waiting:
            task = waiting.pop(0)
            if not self.take(task):
                busy = {name.partition(".")[0] for name in self._store.sizes(self._folder)}
                waiting = [task for task in waiting if task not in busy]
            elif is_done(task):
                self.release(task)
            else:
                yield task

    def release(self, task: str) -> None:
        """Let a task go."""
        self._store.delete(self._held.pop(task))

    def holder_of(self, name: str) -> str | None:
        """Return the process that holds a claim, None if the claim is dead or gone."""
        if (found := self._store.read(name)) is None:
            return None
        with suppress(ValueError, KeyError, TypeError):  # damaged: its age alone counts
            said = json.loads(found.data)
            if said["host"] == socket.gethostname() and not is_running(int(said["process"])):
                return None
            holder = f"process {said['process']} on {said['host']}"
            return holder if time.time() - found.modified < LEASE_SECONDS else None
        return "not known which" if time.time() - found.modified < LEASE_SECONDS else None

    def _all(self) -> list[str]:
        names = sorted(name for name in self._store.sizes(self._folder) if name.endswith(ENDING))
        return [f"{self._folder}/{name}" for name in names]

    def holders(self) -> list[str]:
        """Return the processes that are at tasks now."""
        return sorted({holder for name in self._all() if (holder := self.holder_of(name))})

    def remove_dead(self) -> None:
        """Remove the claims of processes that are no more, once all tasks are done."""
        for name in self._all():
            if self.holder_of(name) is None:
                self._store.delete(name)


def in_turn(tasks: Sequence[Task], worker: tuple[int, int] | None = None) -> list[Task]:
    """Return tasks in the order in which a worker, I of N, claims them: one in which it rarely meets another.

    Raises:
        FolksongError: there is no such worker.
    """
    if worker is None:
        return random.SystemRandom().sample(tasks, len(tasks))
    number, n_workers = worker
    if not 1 <= number <= n_workers:
        raise FolksongError(f"worker {number} of {n_workers}: workers count from 1 to their number")
    first = (number - 1) * len(tasks) // n_workers
    return [*tasks[first:], *tasks[:first]]


def is_running(process: int) -> bool:
    """Say whether a process of this machine lives, whoever it belongs to."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
