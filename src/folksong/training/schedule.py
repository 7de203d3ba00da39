"""The learning rate over a training, by torch's own schedulers.

plateau    lowered when the validation does not improve any more (ReduceLROnPlateau), the default
cosine     half a cosine from the learning rate down to its least (CosineAnnealingLR; Loshchilov & Hutter 2017, "SGDR")
one-cycle  up, then far down, with momentum the other way round (OneCycleLR; Smith & Topin 2019, "Super-convergence")
cyclic     up and down between two learning rates in straight lines (CyclicLR; Smith 2017, "Cyclical Learning Rates")
constant   as it is

Each may begin with a linear warm-up (LinearLR); one-cycle's own rise takes as long. Cosine and one-cycle are laid
over the epochs that a training was begun with; one that is made longer later stays at the last learning rate.
"""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from folksong.errors import FolksongError
from folksong.training.config import ScheduleSettings

ONE_CYCLE_RISE = 0.3  # of all steps, where no warm-up is given; torch's default


class Schedule:
    """Moves the learning rate of an optimizer after each step and each epoch of a training of `total_steps` as planned.

    Raises:
        FolksongError: the warm-up is as long as the training.
    """

    def __init__(self, optimizer: Optimizer, settings: ScheduleSettings, total_steps: int) -> None:
        check_warmup(settings, total_steps)
        self._by_step = _step_scheduler(optimizer, settings, total_steps)
        # One-cycle is at its end with the last step; a cosine one later.
        self._last = math.inf if settings.kind == "cyclic" else total_steps - (settings.kind == "one-cycle")
        self._by_epoch: ReduceLROnPlateau | None = None
        patience, factor = settings.reduce_lr_patience, settings.reduce_lr_factor
        if settings.kind == "plateau" and patience is not None and factor is not None:
            self._by_epoch = ReduceLROnPlateau(
                optimizer,
                mode="max",
                factor=factor,
                patience=patience,
                threshold=settings.reduce_lr_min_delta,
                threshold_mode="abs",
                min_lr=settings.reduce_lr_min_lr,
            )

    def after_step(self) -> None:
        """Move on by a step."""
        if self._by_step is not None and self._by_step.last_epoch < self._last:
            self._by_step.step()

    def after_epoch(self, figure: float) -> None:
        """Move on by an epoch whose validation gave `figure`; more is better, NaN is no figure."""
        if self._by_epoch is not None and not math.isnan(figure):
            self._by_epoch.step(figure)

    def state_dict(self) -> dict[str, Any]:
        """Return where the schedule stands."""
        parts = {"step": self._by_step, "epoch": self._by_epoch}
        return {name: part.state_dict() for name, part in parts.items() if part is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        for name, part in (("step", self._by_step), ("epoch", self._by_epoch)):
            if part is not None:
                part.load_state_dict(state[name])


def check_warmup(settings: ScheduleSettings, total_steps: int) -> None:
    """Check that the warm-up ends before the training."""
    if settings.warmup_steps and settings.warmup_steps >= total_steps:
        raise FolksongError(
            f"warmup_steps {settings.warmup_steps}: the training has {total_steps} steps in all; take fewer, or train "
            "for longer"
        )


def _step_scheduler(optimizer: Optimizer, settings: ScheduleSettings, total_steps: int) -> LRScheduler | None:
    """Return what moves the learning rate after each step; None where nothing does."""
    warmup = settings.warmup_steps
    if settings.kind == "one-cycle":
        return OneCycleLR(
            optimizer,
            max_lr=float(optimizer.defaults["lr"]),
            total_steps=max(total_steps, 2),
            pct_start=warmup / total_steps if warmup else ONE_CYCLE_RISE,
            cycle_momentum="betas" in optimizer.defaults or bool(optimizer.defaults.get("momentum")),
        )
    if settings.kind == "cyclic":
        return CyclicLR(
            optimizer,
            base_lr=float(optimizer.defaults["lr"]),
            max_lr=settings.max_learning_rate or 0,
            step_size_up=settings.cycle_steps,
            cycle_momentum=False,
        )
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup) if warmup else None
    if settings.kind != "cosine":
        return rise
    fall = CosineAnnealingLR(optimizer, T_max=total_steps - warmup, eta_min=settings.cosine_min_lr)
    return fall if rise is None else SequentialLR(optimizer, [rise, fall], milestones=[warmup])
