"""Ctrl-C in a training: the running step is finished and saved, and the training can be resumed."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any, Protocol

import pytorch_lightning as pl

from folksong.runs import Run

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(Exception):  # noqa: N818 (it is no error)
    """A training was asked to end; what it reached is saved and can be resumed."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted; go on with `folksong train --resume {run.path}`")
        self.run = run


class Stoppable(Protocol):
    """What can be told to end."""

    signalled: bool


class SignalListener(pl.Callback):
    """Lets the first Ctrl-C (or SIGTERM) end a training after the running step; a second one ends it at once.

    Lightning answers SIGTERM by a broadcast, which waits for ever in a process that is alone in having got it. So
    the handlers are put in place again when Lightning has set its own.

    Args:
        training: what is told to end.
        insistent: whether a second signal counts; not in a process that ends with another one.
    """

    def __init__(self, training: Stoppable, *, insistent: bool = True) -> None:
        self.training, self.insistent = training, insistent
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalListener:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._listen()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._listen()

    def _listen(self) -> None:
        for number in self._before:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: Any) -> None:
        if self.training.signalled and self.insistent:
            raise KeyboardInterrupt
        self.training.signalled = True
        if self.insistent:
            logger.warning("ending after this step, to save it; once more to end at once")
