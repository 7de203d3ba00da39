"""Training and inference of both networks against plain eager PyTorch (and others), each in a process of its own.

    python benchmarks/bench_training.py [--front-end waveform] [--threads 2] [--steps 8] [--rounds 3] [--cpu-time]
        [--compiled] [--keras-python PATH]

Batch 16 of 15 s. Rounds alternate between the peers, so that a busy machine slows all; the best round counts.
``--compiled`` adds folksong's network through torch.compile, ``--keras-python`` Keras in bfloat16
(`keras_training.py`), with the Python of an environment that has TensorFlow and tf_keras. ``--cpu-time`` counts
seconds of processor instead of seconds on the wall, for machines that are not quiet. Memory is the process's peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from timing import peak_memory

SHAPES = {"waveform": (240_000,), "log-mel-spectrogram": (96, 937)}


def clips_per_second(work: Callable[[], object], batch: int, steps: int, clock: Callable[[], float]) -> float:
    work()
    times = []
    for _ in range(steps):
        began = clock()
        work()
        times.append(clock() - began)
    return batch / sorted(times)[len(times) // 2]


def measured(which: str, given: argparse.Namespace) -> dict[str, float]:
    """Run a peer in a process of its own."""
    command = [*sys.orig_argv, "--child", which]
    if which == "keras":
        script = Path(__file__).with_name("keras_training.py")
        names = ("front_end", "threads", "batch", "steps")
        options = [str(word) for name in names for word in (f"--{name}".replace("_", "-"), vars(given)[name])]
        command = [given.keras_python, str(script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{which}: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(which: str, given: argparse.Namespace) -> dict[str, float]:
    """Run in the child: build one of the two, time a training step and a forward pass."""
    if which != "eager":
        from folksong.models.hardware import keep_memory

        keep_memory()
    import torch
    from torch.nn import functional

    from plain_networks import PlainTagger

    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    x = torch.randn(given.batch, *SHAPES[given.front_end])
    y = (torch.rand(given.batch, 50) < 0.1).float()
    if which != "eager":
        from folksong.models.hardware import choose_precision
        from folksong.models.tagger import Tagger
        from folksong.training.optimizer import build_optimizer

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

    began = time.perf_counter()
    if which == "compiled":
        model.compile()
    clock = time.process_time if given.cpu_time else time.perf_counter
    train()
    result = {"first_step_s": time.perf_counter() - began}
    result["train"] = clips_per_second(train, given.batch, given.steps, clock)
    model.eval()
    result["infer"] = clips_per_second(infer, given.batch, given.steps, clock)
    result["peak_gb"] = peak_memory() / 1e9
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--front-end", choices=sorted(SHAPES), default="waveform")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", "32", "bf16"], default="auto")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--keras-python", metavar="PATH")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--child", choices=["folksong", "eager", "compiled"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child, given)))
        return
    peers = ["eager", "folksong", *(["compiled"] if given.compiled else [])]
    peers += ["keras"] if given.keras_python else []
    best: dict[str, dict[str, float]] = {}
    for _ in range(given.rounds):
        for which in peers:
            found = measured(which, given)
            known = best.setdefault(which, found)
            best[which] = {
                name: (max if name in ("train", "infer") else min)(known[name], found[name]) for name in found
            }
    for name in ("train", "infer", "peak_gb", "first_step_s"):
        ours = best["folksong"][name]
        others = [f"{peer} {best[peer][name]:.2f} (ratio {ours / best[peer][name]:.2f})" for peer in peers
                  if peer != "folksong" and name in best[peer]]  # fmt: skip
        print(f"{given.front_end} {name}: folksong {ours:.2f}, {', '.join(others)}")


if __name__ == "__main__":
    main()
