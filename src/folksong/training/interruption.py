"""Ctrl-C in a training: the running step is finished and saved, and the training can be resumed."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from folksong.runs import Run

logger = logging.getLogger(__name__)


class TrainingInterrupted(Exception):  # noqa: N818 (it is no error)
    """A training was asked to end; what it reached is saved and can be resumed."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted; go on with `folksong train --resume {run.path}`")
        self.run = run


class Stoppable(Protocol):
    """What can be told to end."""

    signalled: bool


@contextmanager
def signals_to(training: Stoppable) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) end a training after the running step; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if training.signalled:
            raise KeyboardInterrupt
        training.signalled = True
        logger.warning("ending after this step, to save it; once more to end at once")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
