"""What one of several training processes does in a test; `test_processes.py` runs this file with the global CASE.

Keys of CASE: environment, log (takes what is written to stderr), folder, call ("train" or "resume") and its options;
record (a file for the tracks and gradients of each step), frozen (no dropout, batch norm in evaluation mode), signal
([step, number]: sent to itself while that step runs) and explode (the step whose gradients are not finite here).
"""

from __future__ import annotations

import os
import sys

import torch

from folksong.cli.common import log_to_stderr
from folksong.errors import FolksongError
from folksong.models import back_end
from folksong.training import loop
from folksong.training.config import Config
from folksong.training.interruption import TrainingInterrupted
from folksong.training.module import TrainingModule


def watch_steps(case: dict, steps: list[dict]) -> None:
    """Let every training of this process record its steps, and send itself a signal."""
    begin_step, begin_epoch = TrainingModule.on_train_batch_start, TrainingModule.on_train_epoch_start
    plain_step = TrainingModule.training_step

    def on_train_batch_start(self, batch, batch_idx):
        steps.append({"tracks": batch["index"].tolist()})
        if case.get("signal", [0])[0] == self.step + 1:
            os.kill(os.getpid(), case["signal"][1])
        begin_step(self, batch, batch_idx)

    def on_train_epoch_start(self):
        begin_epoch(self)
        kinds = torch.nn.Dropout | torch.nn.BatchNorm1d | torch.nn.BatchNorm2d
        for module in self.tagger.modules():
            if case.get("frozen") and isinstance(module, kinds):
                module.eval()

    def training_step(self, batch, batch_idx):
        loss = plain_step(self, batch, batch_idx)
        return loss * float("inf") if case.get("explode") == self.step + 1 else loss

    def on_after_backward(self):
        steps[-1]["gradients"] = {name: p.grad.clone() for name, p in self.tagger.named_parameters()}

    TrainingModule.on_train_batch_start = on_train_batch_start
    TrainingModule.on_train_epoch_start = on_train_epoch_start
    TrainingModule.training_step = training_step
    TrainingModule.on_after_backward = on_after_backward


def take_part(case: dict) -> None:
    """Train or resume as `case` says; exits with 3 if that ends with a message."""
    os.environ.update(case["environment"])
    os.dup2(os.open(case["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
    torch.set_num_threads(1)
    back_end.N_FILTERS = 16
    log_to_stderr()
    steps: list[dict] = []
    watch_steps(case, steps)
    try:
        if case["call"] == "train":
            given = {"precision": "32", "seed": 3, "workers": 1, **case["options"]}
            settings = Config.from_dict(case["config"])
            loop.train("log-mel-spectrogram", case["shards"], out=case["folder"], config=settings, **given)
        else:
            loop.resume(case["folder"], **case["options"])
    except (FolksongError, TrainingInterrupted) as problem:
        print(problem, file=sys.stderr)
        sys.exit(3)
    finally:
        torch.save(steps, case["record"])


if "CASE" in globals():
    take_part(globals()["CASE"])
