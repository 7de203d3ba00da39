"""Who is at which of many tasks, by files that are put only if absent: no server, and nothing to start or to stop.

A task is claimed by the file ``NAME.1.claim``, which only one of many can put; the holder puts it anew every
`BEAT_SECONDS`. A claim that nobody renewed for `LEASE_SECONDS`, or whose process on this machine is gone, is dead, and
its task is taken by ``NAME.2.claim``, and so on. A claim saves work and decides nothing: tasks may run twice (a holder
may have been asleep), so what they make must be the same each time, and be put whole.

Work on many recordings is cut into `Parts`, of which the outcomes lie beside the claims until one process has all.
"""

import json
import logging
import math
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

from folksong.errors import FolksongError
from folksong.files import remove_leftovers, sha256_json
from folksong.stores import Store

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

LEASE_SECONDS, BEAT_SECONDS = 120.0, 20.0
ENDING = ".claim"
FINISH = "finish"  # the task of writing what all parts make
MOST_OF_A_PART, LEAST_PARTS = 20, 64
SECONDS_BETWEEN_LOOKS = 1.0  # at what other processes do, when there is nothing to take


class Claims:
    """The claims in a folder of a store; a context manager that renews those of this process, and lets them go."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder = store, folder
        self._held: dict[str, str] = {}
        self._putting = threading.Lock()  # or a claim let go while it is renewed would come back
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
            for task in list(self._held):
                try:
                    with self._putting:
                        if (name := self._held.get(task)) is not None:
                            self._store.put(name, self._me)
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
        with self._putting:
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
        """Return the other processes that are at tasks now."""
        others = set(self._all()) - set(self._held.values())
        return sorted({holder for name in others if (holder := self.holder_of(name))})

    def remove_dead(self) -> None:
        """Remove what processes that are no more left here and beside, claims too, once all tasks are done."""
        self._remove_leftovers()
        for name in self._all():
            if self.holder_of(name) is None:
                self._store.delete(name)

    def clear(self) -> None:
        """Remove all that lies here but what this process holds and others are just putting; leftovers beside, too."""
        self._remove_leftovers()
        for name in self._store.sizes(self._folder):
            if not name.endswith(".part") and (path := f"{self._folder}/{name}") not in self._held.values():
                self._store.delete(path)

    def _remove_leftovers(self) -> None:
        for folder in (self._store.folder, self._store.folder / self._folder):
            remove_leftovers(folder)


class Parts:
    """What comes of work on many recordings that is shared out in parts: a file a part, put whole beside the claims.

    Names of files end in `ending`; `settings`, JSON values, are what outcomes depend on beside the recordings.
    """

    def __init__(self, store: Store, folder: str, ending: str, settings: object) -> None:
        self._store, self._folder, self._ending, self._settings = store, folder, ending, settings

    def names(self) -> list[str]:
        """Return the names of the files that are there."""
        return [name for name in self._store.sizes(self._folder) if name.endswith(self._ending)]

    def delete(self, names: Iterable[str]) -> None:
        """Remove files."""
        for name in names:
            self._store.delete(f"{self._folder}/{name}")

    def cut(self, states: Mapping[str, Any], known: Container[str]) -> dict[str, list[str]]:
        """Return the parts that are to be done: name of the task -> ids of its recordings.

        All processes that are given the same recordings divide them alike, whatever is known to each.

        Args:
            states: id -> JSON value that tells a change of the recording.
            known: ids of which the outcome is known.
        """
        ids = list(states)
        size = max(1, min(MOST_OF_A_PART, math.ceil(len(ids) / LEAST_PARTS)))
        parts = (ids[first : first + size] for first in range(0, len(ids), size))
        left = filter(None, ([one for one in part if one not in known] for part in parts))
        return {
            sha256_json([self._settings, [[one, states[one]] for one in part]])[:24]: part for part in left
        }

    def share(
        self,
        claims: Claims,
        todo: Mapping[str, list[str]],
        work: Callable[[Iterator[list[str]]], Iterator[Mapping[str, Outcome]]],
        content: Callable[[Mapping[str, Outcome]], bytes],
        is_over: Callable[[], bool],
    ) -> Iterator[Mapping[str, Outcome]]:
        """Claim one part after the other, and yield what came of it; those that others are at are passed over.

        Args:
            claims: of this folder.
            todo: as `cut` returns it.
            work: takes parts, and yields of each, one before the other or not, the outcome of each id.
            content: of a part's file.
            is_over: says that another process has had all parts since `todo` was cut, and removes them.
        """

        def is_done(task: str) -> bool:
            return self._store.size(self._file(task)) is not None or is_over()

        task_of = {part[0]: task for task, part in todo.items()}
        claimed = claims.each(in_turn(list(todo)), is_done)
        for found in work(todo[task] for task in claimed) if todo else ():
            task = task_of[next(iter(found))]
            self._store.put(self._file(task), content(found))
            claims.release(task)
            yield found

    def _file(self, task: str) -> str:
        return f"{self._folder}/{task}{self._ending}"


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
