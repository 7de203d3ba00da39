"""Hours that each training of the plan `thesis` takes, from the speed of its networks here and from their FLOPs.

    python benchmarks/thesis_hours.py [--tracks 500000] [--threads 2] [--batch 16] [--steps 3] [--cpu-time]
        [--clips WAVEFORM LOG-MEL]

Both networks at the published settings: windows of 15 s at 16 kHz, 128 mel bands, 32 base filters, 500 dense units.
Timed are training steps (forward, backward, Adam; the median of STEPS) in the precision that folksong chooses here;
``--cpu-time`` counts seconds of processor, for machines that are not quiet (with one thread, since several wait for
each other), and ``--clips`` takes speeds that were measured elsewhere instead. FLOPs are counted by PyTorch (a
multiplication and an addition are two); backward takes twice those of forward. The hours on a
GPU assume that these networks reach the FLOP/s that ResNet-50 reaches in training on it by NVIDIA's own table
(DeepLearningExamples, PyTorch, one A100 80 GB: `RESNET_IMAGES` a second), 8.2 GFLOP an image forward.

A training reads 80% of the tracks once an epoch, and measures a tenth after each, at a third of the price.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from folksong.experiment.plan import read_plan
from folksong.models.hardware import choose_precision, keep_memory
from folksong.models.tagger import Tagger
from folksong.training.optimizer import build_optimizer

SHAPES = {"waveform": (240_000,), "log-mel-spectrogram": (128, 468)}
RESNET_IMAGES = {"TF32": 938.0, "mixed precision": 2470.0}
RESNET_FLOP = 3 * 8.2e9
CLIPS_PER_TRACK = 0.8 + 0.1 / 3


def build(front_end: str) -> torch.nn.Module:
    """Return the network of the plan, with the labels of Model 1."""
    return Tagger(front_end, 100, n_mels=128, n_filters=32, n_dense_units=500)


def flop_per_clip(front_end: str) -> float:
    """Return the floating-point operations of one clip forward."""
    model = build(front_end).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.randn(2, *SHAPES[front_end]))
    return counter.get_total_flops() / 2


def clips_per_second(front_end: str, given: argparse.Namespace) -> float:
    """Return the speed of training here."""
    model, clock = build(front_end), time.process_time if given.cpu_time else time.perf_counter
    optimizer = build_optimizer(model.parameters(), "Adam", 1e-3, {})
    half = choose_precision("auto", gpu=False) == "bf16"
    x, y = torch.randn(given.batch, *SHAPES[front_end]), (torch.rand(given.batch, 100) < 0.05).float()
    taken = []
    for _ in range(given.steps + 1):
        began = clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = functional.binary_cross_entropy_with_logits(model(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        taken.append(clock() - began)
    seconds = sorted(taken[1:])[given.steps // 2] / (given.threads if given.cpu_time else 1)
    return given.batch / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=500_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument(
        "--clips", type=float, nargs=2, metavar=("WAVEFORM", "LOG-MEL"), help="clips/s, known already"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_memory()  # as a training does
    began = os.getloadavg()[0]
    plan, cells = read_plan("thesis"), Counter()
    for grid in plan.grid:
        for front_end in grid.front_ends:
            epochs = plan.training.of(front_end, grid.epochs)["epochs"]
            cells[front_end, epochs] += len(grid.spaces) * len(grid.losses) * len(grid.seeds)
    total = Counter()
    for front_end in SHAPES:
        flop = flop_per_clip(front_end)
        known = dict(zip(SHAPES, given.clips, strict=True)) if given.clips else {}
        speeds = {f"CPU, {given.threads} threads": known.get(front_end) or clips_per_second(front_end, given)}
        speeds |= {f"A100, {name}": n * RESNET_FLOP / (3 * flop) for name, n in RESNET_IMAGES.items()}
        print(f"{front_end}: {flop / 1e9:.2f} GFLOP a clip forward")
        for where, clips in speeds.items():
            hours = {epochs: given.tracks * CLIPS_PER_TRACK * epochs / clips / 3600 for epochs in (30, 20)}
            print(f"  {where}: {clips:.1f} clips/s; 30 epochs {hours[30]:.1f} h, 20 epochs {hours[20]:.1f} h")
            total[where] += sum(
                n * hours[epochs] for (front, epochs), n in cells.items() if front == front_end
            )
    print(
        f"{sum(cells.values())} trainings: "
        + ", ".join(f"{where} {hours:.0f} h" for where, hours in total.items())
    )
    print(f"load average {began:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
