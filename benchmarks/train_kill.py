"""``kill -9`` at random moments of a training, then resume: are the bits those of a training never killed?

    python benchmarks/train_kill.py SHARDS [--front-end log-mel-spectrogram] [--kills 20] [--vectors glove.txt]
        [--everything] [--processes 2]

The command line trains (the semantic loss with --vectors, with a loader thread, in several processes with
--processes; --everything adds accumulation, clipping, weight decay, a cosine schedule with warm-up, and masks or gain);
its whole process group is killed at a moment drawn at random after it said that it began, and `--resume` goes on.
Weights, optimizer, figures and best weights at the end are compared with those of the same training left alone. Exits
with 1 if a bit differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

SETTINGS = "accumulate_batches=2 clip_gradient_norm=0.5 weight_decay=0.01 schedule=cosine warmup_steps=5"
EVERYTHING = [word for setting in SETTINGS.split() for word in ("--set", setting)]
AUGMENTATION = {
    "log-mel-spectrogram": ["--set", "frequency_masks=2", "--set", "time_masks=2"],
    "waveform": ["--set", "gain_db=6"],
}


def begin(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from folksong.cli import main; main()", "train", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[k], other[k]) for k in one)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def kill_at_random(process: subprocess.Popen[str], longest: float, rng: random.Random) -> str:
    """Wait for the first sign of training, then a random time; kill, and return what was said last."""
    said = ""
    for line in process.stdout:
        said = line.strip()
        if "test part: " in said and "tracks" in said:
            break
    time.sleep(rng.uniform(0, longest))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards")
    parser.add_argument("--front-end", default="log-mel-spectrogram")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--vectors")
    parser.add_argument("--everything", action="store_true")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--window", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    settings = {"model-training": {"window_length": given.window, "batch_size": 8, "split": [60, 20, 20]}}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.json")
        config.write_text(json.dumps(settings))
        words = [given.front_end, "--tfrecords-dir", given.shards, "--config", str(config)]
        words += [
            "--epochs",
            str(given.epochs),
            "--steps-per-epoch",
            "9",
            "--set",
            "save_every=2",
            "--seed",
            "5",
        ]
        words += [*EVERYTHING, *AUGMENTATION[given.front_end]] if given.everything else []
        words += ["--processes", str(given.processes)] if given.processes else []
        words += ["--custom-loss-embeddings-path", given.vectors] if given.vectors else []
        resumed = ["--processes", str(given.processes)] if given.processes else []
        whole = begin([*words, "--out", f"{folder}/whole"])
        began = time.monotonic()
        text = whole.communicate()[0]
        if whole.returncode:
            sys.exit(text)
        seconds = time.monotonic() - began
        steps, kills = [], 0
        last = Path(folder, "killed", "checkpoints", "last.ckpt")
        while kills < given.kills:
            again = Path(folder, "killed", "config.json").exists()
            process = begin(
                [*resumed, "--resume", f"{folder}/killed"] if again else [*words, "--out", f"{folder}/killed"]
            )
            kill_at_random(process, 1.6 * seconds / given.kills, rng)
            if process.returncode == 0:
                break
            kills += 1
            steps.append(torch.load(last, weights_only=True)["step"] if last.exists() else 0)
        process = begin([*resumed, "--resume", f"{folder}/killed"])
        text = process.communicate()[0]
        if process.returncode:
            sys.exit(text)
        equal = {}
        for name in ("last.ckpt", "best.ckpt"):
            pair = [
                torch.load(f"{folder}/{run}/checkpoints/{name}", weights_only=True)
                for run in ("whole", "killed")
            ]
            equal[name] = same(*pair)
        pair = [Path(folder, run, "metrics.jsonl").read_text() for run in ("whole", "killed")]
        equal["metrics.jsonl"] = pair[0] == pair[1]
    print(f"{given.front_end}: {kills} kills, saved steps reached: {steps}; equal to the last bit: {equal}")
    sys.exit(0 if all(equal.values()) and kills >= given.kills else 1)


if __name__ == "__main__":
    main()
