"""Training and inference of both networks against plain eager PyTorch, each in a process of its own.

    python benchmarks/bench_training.py [--front-end waveform] [--threads 2] [--steps 8] [--rounds 3] [--cpu-time]

Batch 16 of 15 s. Rounds alternate between the two, so that a busy machine slows both; the best round counts.
``--cpu-time`` counts seconds of processor instead of seconds on the wall, for machines that are not quiet.
Memory is the process's peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

SHAPES = {"waveform": (240_000,), "log-mel-spectrogram": (96, 937)}


def clips_per_second(work: Callable[[], object], batch: int, steps: int, clock: Callable[[], float]) -> float:
    work()
    times = []
    for _ in range(steps):
        began = clock()
        work()
        times.append(clock() - began)
    return batch / sorted(times)[len(times) // 2]


def measure(which: str, given: argparse.Namespace) -> dict[str, float]:
    """Run in the child: build one of the two, time a training step and a forward pass."""
    if which == "folksong":
        from folksong.models.allocator import keep_memory

        keep_memory()
    import torch
    from torch.nn import functional

    from plain_networks import PlainTagger

    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    x = torch.randn(given.batch, *SHAPES[given.front_end])
    y = (torch.rand(given.batch, 50) < 0.1).float()
    if which == "folksong":
        from folksong.models.tagger import Tagger
        from folksong.training.optimizer import build_optimizer
        from folksong.training.options import choose_precision

        model: torch.nn.Module = Tagger(given.front_end, 50)
        optimizer = build_optimizer(model.parameters(), "Adam", 1e-3, {})
        half = (
            choose_precision("auto", gpu=False) == "bf16"
            if given.precision == "auto"
            else given.precision == "bf16"
        )
    else:
        model = PlainTagger(given.front_end)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        half = False

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = functional.binary_cross_entropy_with_logits(model(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            model(x)

    clock = time.process_time if given.cpu_time else time.perf_counter
    result = {"train": clips_per_second(train, given.batch, given.steps, clock)}
    model.eval()
    result["infer"] = clips_per_second(infer, given.batch, given.steps, clock)
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--front-end", choices=sorted(SHAPES), default="waveform")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", "32", "bf16"], default="auto")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--child", choices=["folksong", "eager"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child, given)))
        return
    best: dict[str, dict[str, float]] = {}
    for _ in range(given.rounds):
        for which in ("eager", "folksong"):
            output = subprocess.run(
                [*sys.orig_argv, "--child", which], check=True, capture_output=True, text=True
            )
            found = json.loads(output.stdout.splitlines()[-1])
            known = best.setdefault(which, found)
            best[which] = {
                name: (min if name == "peak_gb" else max)(known[name], found[name]) for name in found
            }
    for name in ("train", "infer", "peak_gb"):
        eager, ours = best["eager"][name], best["folksong"][name]
        print(f"{given.front_end} {name}: eager {eager:.2f}, folksong {ours:.2f}, ratio {ours / eager:.2f}")


if __name__ == "__main__":
    main()
