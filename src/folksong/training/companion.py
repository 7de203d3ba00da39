"""``python -m folksong.training.companion``: a process that a training has started beside its first one.

The first tells it what to do; while all goes well it says nothing, and it ends with the first.
"""

from __future__ import annotations

import signal

from folksong.training.fitting import take_part
from folksong.training.joining import joined
from folksong.training.prepared import Task


def main() -> None:
    """Take part in a training."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal goes to all; the first one answers it
    with joined() as processes:
        take_part(processes, processes.from_first(_no_task))


def _no_task() -> Task:
    raise AssertionError("a companion is never the first")


if __name__ == "__main__":
    main()
