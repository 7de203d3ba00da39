"""What one of several training processes does in a test; `test_processes.py` runs this file with the global CASE.

Keys of CASE: environment, log (takes what is written to stderr), seconds (after which a file beside it, ``.trace``,
says where this process is), folder, call ("train" or "resume") and its options; record (a file for the tracks and
gradients of each step), frozen (no dropout, batch norm in evaluation mode), signal ([step, number]: sent to itself
while that step runs) and explode (the step whose gradients are not finite here).
"""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

import torch

from folksong.cli.command import log_to_stderr
from folksong.errors import FolksongError
from folksong.models import tagger as network
from folksong.training import loop
from folksong.training.config import Config
from folksong.training.loop import TrainingInterrupted
from folksong.training.resume import resume
from folksong.training.train import train


def watch_steps(case: dict, steps: list[dict]) -> None:
    """Let every training of this process record its steps, and send itself a signal."""
    seed, plain_loss, clip = loop.seed_dropout, loop.compute_loss, loop.clip_gradients
    per_step = case["config"]["optimizer"]["accumulate_batches"]
    numbers: list[int] = []

    def seed_dropout(number, batch_number, rank):
        numbers.append(batch_number)
        if (case.get("signal", [0])[0] - 1) * per_step == batch_number:
            os.kill(os.getpid(), case["signal"][1])
        seed(number, batch_number, rank)

    def compute_loss(network, loss_of, batch, *others):
        steps.append({"tracks": batch["index"].tolist()})
        kinds = torch.nn.Dropout | torch.nn.BatchNorm1d | torch.nn.BatchNorm2d
        for module in network.modules():
            if case.get("frozen") and isinstance(module, kinds):
                module.eval()
        loss = plain_loss(network, loss_of, batch, *others)
        if case.get("explode") == numbers[-1] // per_step + 1:
            loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    def clip_gradients(network, most):
        steps[-1]["gradients"] = {name: p.grad.clone() for name, p in network.named_parameters()}
        return clip(network, most)

    loop.seed_dropout, loop.compute_loss, loop.clip_gradients = seed_dropout, compute_loss, clip_gradients


def take_part(case: dict) -> None:
    """Train or resume as `case` says; exits with 3 if that ends with a message."""
    os.environ.update(case["environment"])
    os.dup2(os.open(case["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
    trace = Path(case["log"]).with_suffix(".trace").open("w")
    faulthandler.dump_traceback_later(case["seconds"] - 5, file=trace)
    torch.set_num_threads(1)
    network.N_FILTERS = 16
    log_to_stderr()
    steps: list[dict] = []
    watch_steps(case, steps)
    try:
        if case["call"] == "train":
            given = {"precision": "32", "seed": 3, "workers": 1, **case["options"]}
            settings = Config.from_dict(case["config"])
            train("log-mel-spectrogram", case["shards"], out=case["folder"], config=settings, **given)
        else:
            resume(case["folder"], **case["options"])
    except (FolksongError, TrainingInterrupted) as problem:
        print(problem, file=sys.stderr)
        sys.exit(3)
    finally:
        torch.save(steps, case["record"])


if "CASE" in globals():
    take_part(globals()["CASE"])
