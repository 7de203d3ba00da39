"""Who is at which of many tasks, by files that are put only if absent: no server, and nothing to start or to stop.

A task is claimed by the file ``NAME.1.claim``, which only one of many can put; the holder puts it anew every
`BEAT_SECONDS`. A claim that nobody renewed for `LEASE_SECONDS`, or whose process on this machine is gone, is dead, and
its task is taken by ``NAME.2.claim``, and so on. A claim saves work and decides nothing: tasks may run twice (a holder
may have been asleep), so what they make must be the same each time, and be put whole.
"""

import json
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from itertools import count

from folksong.errors import FolksongError
from folksong.stores import Store

logger = logging.getLogger(__name__)

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

    def holders(self) -> list[str]:
        """Return the processes that are at tasks now."""
        names = sorted(name for name in self._store.sizes(self._folder) if name.endswith(ENDING))
        return sorted({holder for name in names if (holder := self.holder_of(f"{self._folder}/{name}"))})


def is_running(process: int) -> bool:
    """Say whether a process of this machine lives, whoever it belongs to."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
