"""``kill -9`` at random moments of a writing, then continue: is every byte the same as of an uninterrupted one?

    python benchmarks/shards_kill.py [--kills 20] [--tracks 400] [--seed 0] [--format log-mel-spectrogram]

The command line writes shards of synthetic mp3 files; the whole process group is killed at a moment drawn evenly over
the time that an uninterrupted writing takes from its plan to its end, and the same command is given again. Exits with
1 if a byte differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def make_recordings(folder: Path, n: int, seconds: tuple[float, float] = (4, 12)) -> None:
    folder.mkdir()
    for number in range(n):
        rng = np.random.default_rng(number)
        sound = rng.normal(0, 0.1, int(RATE * rng.uniform(*seconds)))
        soundfile.write(folder / f"{number:04d}.mp3", sound, RATE)
    for number in range(0, n, 20):  # some are broken: their reasons must come out the same too
        path = folder / f"{number:04d}.mp3"
        path.write_bytes(path.read_bytes()[: 500 * (number % 3)])


def digest(folder: Path) -> str:
    """Return one hash of all files, names included; `.checked.json` is no part of the shards."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".checked.json":
            whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def await_plan(out: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the writing has begun: starting Python takes its own, varying time."""
    while process.poll() is None and not (out / ".writing" / "plan.json").exists():
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", default="log-mel-spectrogram")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    all_same = True
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_recordings(root / "audio", options.tracks)

        def command(out: Path) -> list[str]:
            words = ["shards", "write", str(root / "audio"), str(out), "--format", options.format]
            entry = "from folksong.cli import main; main()"
            return [sys.executable, "-c", entry, *words, "--num-files", "10", "--jobs", "2"]

        process = start(command(root / "whole"))
        await_plan(root / "whole", process)
        begin = time.perf_counter()
        if process.wait():
            raise SystemExit("the uninterrupted writing failed")
        seconds = time.perf_counter() - begin
        expected = digest(root / "whole")
        print(f"uninterrupted: {seconds:.1f} s, {expected[:16]}")
        done = 0
        while done < options.kills:
            out = root / f"killed-{done}"
            moment = moments.uniform(0, seconds)
            process = start(command(out))
            await_plan(out, process)
            time.sleep(moment)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if (out / "manifest.json").exists():
                shutil.rmtree(out)  # it was faster than the first: this kill hit nothing
                continue
            done += 1
            there = len(list(out.glob("*.tfrecord")))
            if start(command(out)).wait():
                raise SystemExit("the writing could not be continued")
            same = digest(out) == expected
            all_same &= same
            print(
                f"{done:2d}. killed after {moment:5.2f} s, with {there} of 10 files there: "
                f"{'same bytes' if same else 'DIFFERENT'}",
                flush=True,
            )
    print("all the same" if all_same else "some differ")
    raise SystemExit(not all_same)


if __name__ == "__main__":
    main()
