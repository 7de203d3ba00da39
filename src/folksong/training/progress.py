"""What a person sees of a training: a bar an epoch on a terminal, else a line an epoch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

logger = logging.getLogger(__name__)

# What Lightning says of things that are meant to be so.
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*smaller than the logging interval.*",
    ".*GPU available but not used.*",
    ".*The epoch parameter in `scheduler.step.*",  # torch's own, of its SequentialLR
)


class EpochBar(pl.Callback):
    """A progress bar with the loss of the running epoch and the last validation PR-AUC."""

    def __init__(self, update_every: int) -> None:
        self.update_every = update_every
        self.bar: tqdm[Any] | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.close()
        self.bar = tqdm(
            total=pl_module.steps_per_epoch,
            initial=pl_module.step % pl_module.steps_per_epoch,
            desc=f"epoch {pl_module.epoch + 1}/{pl_module.epochs}",
            unit="step",
            leave=False,
            disable=not trainer.is_global_zero,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.bar is not None and pl_module.ends_step(batch_idx):
            self.bar.update(1)
            if pl_module.step % self.update_every == 0:
                shown = {"loss": f"{pl_module.mean_loss:.4f}"}
                if pl_module.history:
                    shown["PR-AUC"] = f"{pl_module.history[-1][pl_module.monitor] or float('nan'):.4f}"
                self.bar.set_postfix(shown, refresh=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar off the screen."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class EpochLine(pl.Callback):
    """One log line an epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        row = {
            "loss": pl_module.mean_loss,
            **{name: value for name, value in pl_module.measured.items() if name.startswith("pr_auc")},
        }
        figures = ", ".join(f"{name} {value:.4f}" for name, value in row.items())
        logger.info("epoch %d/%d: %s", pl_module.epoch + 1, pl_module.epochs, figures)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave it to folksong to talk to people, unless everything is wanted."""
    loud = logger.isEnabledFor(logging.DEBUG)
    names = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        for pattern in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", pattern)
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG if loud else logging.WARNING)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
