"""One training as Lightning sees it: steps, validation, and what is decided at the end of an epoch.

Everything that a training is at a given moment lives here and goes into ``last.ckpt``: weights, optimizer, learning
rate schedule, early stopping, history, and how many steps are done. Randomness needs no state of its own: the
random numbers of a step (dropout) are seeded by (seed, step, rank), windows by (seed, pass, record).
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from folksong.files import atomic_write, json_value
from folksong.metrics import summarise
from folksong.models.checkpoint import write_checkpoint
from folksong.models.tagger import Tagger
from folksong.runs import Run
from folksong.training.config import TrainingSettings
from folksong.training.data import TrainingData
from folksong.training.gradients import clip_gradients, is_overflow_of_scaling
from folksong.training.interruption import TrainingInterrupted
from folksong.training.losses import TaggingLoss
from folksong.training.not_finite import N_NAMED_TRACKS, describe_batch, track_names
from folksong.training.optimizer import build_optimizer
from folksong.training.processes import Processes
from folksong.training.schedule import Schedule

CHECKPOINT_EVERY_SECONDS = 300.0  # between two periodic saves of last.ckpt within an epoch


class TrainingModule(pl.LightningModule):
    """The tagger with its loss, optimizer and bookkeeping.

    Args:
        tagger: what is trained.
        loss: (logits, targets) -> scalar.
        data: for the validation targets and the names in messages.
        settings: the ``model-training`` section.
        run: where checkpoints and metrics go.
        processes: all of the training; only the first writes.
        epochs: when to end.
        planned_steps: of the training as it was begun, over which schedules are laid.
        steps_per_epoch: steps an epoch; a step takes the settings' ``accumulate_batches``.
        monitor: what decides: ``pr_auc_macro`` or ``pr_auc_micro``.
        seed: of dropout.
        update_freq: steps between two entries of the training loss in TensorBoard.
        save_every: steps between two saves of ``last.ckpt`` within an epoch; None saves every five minutes.
        fused: let the optimizer go through memory once.
    """

    def __init__(
        self,
        tagger: Tagger,
        loss: TaggingLoss,
        data: TrainingData,
        settings: TrainingSettings,
        run: Run,
        *,
        processes: Processes,
        epochs: int,
        planned_steps: int,
        steps_per_epoch: int,
        monitor: str,
        seed: int,
        update_freq: int,
        save_every: int | None = None,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.tagger, self.loss, self.data, self.settings, self.run = tagger, loss, data, settings, run
        self.processes = processes
        self.epochs, self.steps_per_epoch, self.monitor = epochs, steps_per_epoch, monitor
        self.seed, self.update_freq, self.save_every = seed, update_freq, save_every
        optimizer = settings.optimizer
        self.optimizer = build_optimizer(
            tagger.parameters(), optimizer.name, optimizer.learning_rate, optimizer.arguments, fused=fused
        )
        self.schedule = Schedule(self.optimizer, settings, planned_steps)
        self.step = self.epoch = 0
        self.loss_sum, self.loss_count = 0.0, 0
        self.history: list[dict[str, Any]] = []
        self.best = self.stop_reference = -math.inf
        self.epochs_without_improvement = 0
        self.signalled = False
        self._is_to_end = self._is_to_save = (
            False  # what the processes have agreed on for the end of the step
        )
        self._step_loss = 0.0
        self._step_index: list[Tensor] = []
        self._broken: str | None = None  # what was not finite in the validation
        self._saved_at = time.monotonic()
        self._outputs: list[tuple[Tensor, Tensor]] = []
        self.measured: dict[str, float] = {}

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the running epoch so far, over all processes."""
        return self.loss_sum / self.loss_count if self.loss_count else math.nan

    @property
    def epoch_awaits_validation(self) -> bool:
        """Whether the last batch of the epoch is done, and its validation not."""
        return self.step == (self.epoch + 1) * self.steps_per_epoch

    @property
    def has_run_out_of_patience(self) -> bool:
        """Whether early stopping says so."""
        patience = self.settings.early_stop_patience
        return patience is not None and self.epochs_without_improvement >= patience

    def ends_step(self, batch_idx: int) -> bool:
        """Say whether the weights are changed after this batch of the epoch."""
        return (batch_idx + 1) % self.settings.accumulate_batches == 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer

    def on_train_epoch_start(self) -> None:
        self.tagger.train()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        place = batch_idx % self.settings.accumulate_batches  # an epoch goes on at the first batch of a step
        if place == 0:
            self._step_loss, self._step_index = 0.0, []
        self._step_index.append(batch["index"])
        batch_number = self.step * self.settings.accumulate_batches + place
        key = np.random.SeedSequence([self.seed, batch_number, self.processes.rank])
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0]) >> 1)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.loss(self.tagger(batch["x"]), batch["y"])
        own = float(loss.detach())
        is_broken = not math.isfinite(own)
        total, broken, signalled, late = self.processes.sum(
            [own, is_broken, self.signalled, self.processes.is_first and self._is_time_to_save()]
        )
        if broken:
            message = self._not_finite(f"the loss became {own}", batch, "training") if is_broken else None
            self.processes.stop_for(self.processes.gather(message))
        self._is_to_end, self._is_to_save = signalled > 0, late > 0
        mean = total / self.processes.world_size
        self._step_loss += mean / self.settings.accumulate_batches
        self.loss_sum += mean
        self.loss_count += 1
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        norm = clip_gradients(self.tagger.parameters(), self.settings.clip_gradient_norm)
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if not math.isfinite(norm) and not is_overflow_of_scaling(scaler):
            names = track_names(self.data, "training", torch.cat(self._step_index))[:N_NAMED_TRACKS]
            everywhere = [name for part in self.processes.gather(names) for name in part]
            what = f"the norm of the gradients became {norm}"
            self.processes.stop_for([describe_batch(what, self.step, everywhere, n_named=len(everywhere))])

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.ends_step(batch_idx):
            return
        self.step += 1
        self.schedule.after_step()
        self.trainer.datamodule.stream.done = self.step  # type: ignore[attr-defined]
        if self.step % self.update_freq == 0:
            self._log({"training/loss": self._step_loss, "training/learning_rate": self.learning_rate})
        if self._is_to_end:
            self.save()
            raise TrainingInterrupted(self.run)
        if self._is_to_save:
            self.save()

    def on_validation_epoch_start(self) -> None:
        self._outputs, self._broken = [], None
        self.processes.broadcast_buffers(self.tagger)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        logits = self.tagger(batch["x"]).float().cpu()
        if not self._broken and not bool(torch.isfinite(logits).all()):
            self._broken = self._not_finite("the scores are not finite", batch, "validation")
        self._outputs.append((batch["index"].cpu(), logits))
        if self.signalled and self.processes.world_size == 1:  # several end after the validation, together
            if self.epoch_awaits_validation:
                self.save()
            raise TrainingInterrupted(self.run)

    def on_validation_epoch_end(self) -> None:
        self.processes.stop_for(self.processes.gather(self._broken))
        self.measured = self._measure()

    def on_train_epoch_end(self) -> None:
        self.finish_epoch()

    def finish_epoch(self) -> None:
        """Decide what follows from an epoch's validation, and write all of it down."""
        self.epoch += 1
        row: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "loss": self.mean_loss,
            "learning_rate": self.learning_rate,
            **self.measured,
        }
        value = row.get(self.monitor, math.nan)
        improved = math.isnan(value) or value > self.best
        if improved and not math.isnan(value):
            self.best = value
        if math.isnan(value) or value > self.stop_reference + self.settings.early_stop_min_delta:
            self.epochs_without_improvement = 0
            self.stop_reference = value if not math.isnan(value) else self.stop_reference
        else:
            self.epochs_without_improvement += 1
        self.schedule.after_epoch(value)
        row["best"] = improved
        self.history.append(json_value(row))
        self.loss_sum, self.loss_count = 0.0, 0
        if self.processes.is_first:
            self._write_down(improved)
        self._log(
            {f"epoch/{key}": entry for key, entry in row.items() if key not in ("epoch", "step", "best")}
        )
        if self.has_run_out_of_patience:
            self.trainer.should_stop = True
        if self.processes.sum([self.signalled])[0]:
            raise TrainingInterrupted(self.run)

    @property
    def learning_rate(self) -> float:
        """Of the first group of parameters."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """Return all that resuming needs."""
        return {
            "tagger": self.tagger.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.trainer.precision_plugin.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "loss": [self.loss_sum, self.loss_count],
            "history": self.history,
            "best": self.best,
            "stop_reference": self.stop_reference,
            "epochs_without_improvement": self.epochs_without_improvement,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned, before the fitting begins."""
        self.tagger.load_state_dict(state["tagger"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self._precision_state = state["precision"]
        self.step, self.epoch, self.history = state["step"], state["epoch"], state["history"]
        self.loss_sum, self.loss_count = state["loss"]
        self.best, self.stop_reference = state["best"], state["stop_reference"]
        self.epochs_without_improvement = state["epochs_without_improvement"]

    def on_fit_start(self) -> None:
        if getattr(self, "_precision_state", None):
            self.trainer.precision_plugin.load_state_dict(self._precision_state)

    def save(self) -> None:
        """Write ``last.ckpt``."""
        if self.processes.is_first:
            write_checkpoint(self.run.last_checkpoint, self.state())
        self._saved_at = time.monotonic()

    def _is_time_to_save(self) -> bool:
        """Say whether the state is to be saved after the running step."""
        if (self.step + 1) % self.steps_per_epoch == 0:  # saved after the validation
            return False
        if self.save_every is not None:
            return (self.step + 1) % self.save_every == 0
        return time.monotonic() - self._saved_at > CHECKPOINT_EVERY_SECONDS

    def _write_down(self, improved: bool) -> None:
        if improved:
            best = {"tagger": self.tagger.state_dict(), "step": self.step, "epoch": self.epoch}
            write_checkpoint(self.run.best_checkpoint, {**best, "metrics": self.history[-1]})
        self.save()
        with atomic_write(self.run.metrics_path, "w") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in self.history)

    def _measure(self) -> dict[str, float]:
        """Return the validation part's figures, from all processes' outputs."""
        outputs, self._outputs = self._outputs, []
        parts = self.processes.gather(outputs)
        return self.processes.from_first(lambda: self._summarised([pair for part in parts for pair in part]))

    def _summarised(self, outputs: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        index, logits = (torch.cat(tensors) for tensors in zip(*outputs, strict=True))
        targets = self.data.targets_of("validation")[index.numpy()]
        summary = summarise(targets, logits.numpy(), labels=self.data.space.names)
        learned = torch.from_numpy(self.data.learned_of("validation")[index.numpy()].toarray())
        return {
            "validation_loss": float(self.loss(logits.to(self.device), learned.to(self.device))),
            "pr_auc_macro": summary.macro_pr_auc,
            "pr_auc_micro": summary.micro_pr_auc,
            "roc_auc_macro": summary.macro_roc_auc,
            "roc_auc_micro": summary.micro_roc_auc,
        }

    def _log(self, values: dict[str, float]) -> None:
        if self.trainer.logger is not None:
            kept = {name: value for name, value in values.items() if not math.isnan(value)}
            self.trainer.logger.log_metrics(kept, step=self.step)

    def _not_finite(self, what: str, batch: dict[str, Tensor], part: str) -> str:
        return describe_batch(what, self.step, track_names(self.data, part, batch["index"]), batch["x"])
