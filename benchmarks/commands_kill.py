"""``kill -9`` at random moments of a command, then the same command again: is all as if it had never been killed?

    python benchmarks/commands_kill.py [--kills 20] [--only evaluate experiment ...] [--seed 0]

Each command works in a folder of its own in which a stranger's file lies too. It runs once in peace; then it is killed
again and again at a moment drawn at random within that time, and run to its end. What it wrote must be the same bytes,
the stranger's file untouched, and nothing half-written left. Commands are forks of one process that has imported
everything and never worked, so that a moment is one of work rather than of imports. Exits with 1 if a rule was broken.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import polars  # noqa: F401
import torch

import folksong.evaluation.report  # noqa: F401
from folksong.cli import main as folksong_main

PLAN = """
[data]
tags = "corpus/lastfm_tags.db"
settings = "config.json"
fractions = [60, 20, 20]
shards = { waveform = "shards" }
[training]
epochs = 1
[spaces.few]
builder = "top"
n = 5
[[grid]]
spaces = ["few"]
front_ends = ["waveform"]
seeds = [0]
"""
COMMANDS = {
    "clean": "tags clean corpus/lastfm_tags.db out/clean.db",
    "hybrid": "labels hybrid corpus/lastfm_tags.db out/hybrid.labels.json --vectors vectors.txt --across-facets "
    "--n-clusters 8",
    "evaluate": "evaluate run --resamples 50",
    "experiment": "experiment own.toml --out out/experiment",
}
CHANGING = (".html", ".md", ".log")
"""Ends of the names of files in which times stand."""


def forked(words: list[str], folder: Path) -> int:
    """Start a command in a folder; return its process id."""
    if child := os.fork():
        return child
    os.chdir(folder)
    sink = os.open(folder / "printed.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(sink, descriptor)
    code = 1
    try:
        code = folksong_main(words, standalone_mode=False) or 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException as error:
        print(repr(error), flush=True)
    os._exit(code)


def run(words: list[str], folder: Path) -> float:
    """Run a command to its end; return the seconds that it took."""
    began = time.monotonic()
    _, status = os.waitpid(forked(words, folder), 0)
    if status:
        sys.exit(f"{' '.join(words)}: status {status}\n{(folder / 'printed.log').read_text()[-2000:]}")
    return time.monotonic() - began


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of each file below a folder whose content is no matter of time."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(CHANGING) and "tfevents" not in path.name
        and path.name not in {"config.json", "metrics.jsonl"} and "locks" not in path.parts
    }  # fmt: skip


def fresh(kit: Path, folder: Path) -> None:
    """Make the folder anew, with a stranger's file where the command writes."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kit, folder)
    for place in (folder / "out", folder / "run" / "evaluation"):
        place.mkdir(exist_ok=True)
        (place / "stranger.txt").write_text("not yours")


def main() -> int:
    """Kill each command again and again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(arguments.seed)
    broken = 0
    with tempfile.TemporaryDirectory(prefix="kill_") as root:
        os.environ["FOLKSONG_CACHE"] = f"{root}/cache"
        kit, work = Path(root, "kit"), Path(root, "work")
        kit.mkdir()
        if not (child := os.fork()):
            runpy.run_path(str(Path(__file__).with_name("fuzz_files.py")))["make_files"](kit)
            shutil.rmtree(kit / "run" / "evaluation")
            (kit / "own.toml").write_text(PLAN)
            os._exit(0)
        os.waitpid(child, 0)
        for name in arguments.only:
            words = COMMANDS[name].split()
            fresh(kit, work)
            seconds = run(words, work)
            right = contents(work)
            for number in range(arguments.kills):
                fresh(kit, work)
                shutil.rmtree(Path(root, "cache"), ignore_errors=True)
                child = forked(words, work)
                time.sleep(rng.uniform(0, seconds))
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                time.sleep(1.1)  # a writing begun just now might be another's
                run(words, work)
                found = contents(work)
                other = sorted(
                    path for path in right.keys() | found.keys() if right.get(path) != found.get(path)
                )
                broken += bool(other)
                if other:
                    print(f"{name}, kill {number}: differs in {', '.join(other[:5])}", flush=True)
            print(
                f"{name}: {arguments.kills} kills within {seconds:.1f} s, {len(right)} files compared",
                flush=True,
            )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
