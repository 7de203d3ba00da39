"""Memory of a training, epoch by epoch: it must not grow.

    python benchmarks/train_memory.py SHARDS [--front-end waveform] [--epochs 30] [--steps 3]

Trains with the defaults (batch 16 of 15 s) on the processor and reads, after each epoch with its validation, what the
process holds of its own (``RssAnon``; mapped shards are not counted) and the most that it ever held (``VmHWM``). Linux.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from folksong.training.config import Config
from folksong.training.loop import Counts
from folksong.training.train import train

SHOWN = (1, 2, 5, 10, 20, 30, 50, 100)


def megabytes(*names: str) -> list[float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    return [found[name] / 1000 for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards")
    parser.add_argument("--front-end", default="waveform")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--window", type=float, default=15.0)
    given = parser.parse_args()
    found: dict[int, list[float]] = {}
    original = Counts.finish_epoch

    def finish_epoch(self: Counts, *values: Any) -> float:
        figure = original(self, *values)
        found[self.epoch] = megabytes("RssAnon", "VmHWM")
        return figure

    Counts.finish_epoch = finish_epoch  # type: ignore[method-assign]
    settings = Config().with_changes(
        batch_size=given.batch,
        window_seconds=given.window,
        fractions=[85, 5, 10],
        schedule={"early_stop_patience": None},
    )
    with tempfile.TemporaryDirectory() as folder:
        train(
            given.front_end,
            given.shards,
            out=f"{folder}/run",
            config=settings,
            epochs=given.epochs,
            steps_per_epoch=given.steps,
        )
    print(f"{given.front_end}, batch {given.batch} of {given.window:g} s, {given.steps} steps an epoch")
    for epoch in sorted({*SHOWN, given.epochs} & found.keys()):
        own, peak = found[epoch]
        print(f"after epoch {epoch:3}: {own:7.0f} MB held, {peak:7.0f} MB at most")


if __name__ == "__main__":
    main()
