"""Peak memory of writing few and many tracks: it must not grow with their number.

    python benchmarks/shards_memory.py [--tracks 100 10000] [--seconds 2]

Each writing runs in processes of its own; the peak is the sum of their largest resident sets (Linux's ``VmHWM``:
``ru_maxrss`` would count the process that started them, as it was when it forked). The tracks are entries of one
catalogue that lead to 20 mp3 files; each has tags in a last.fm database.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from folksong.tags.sources.lastfm import write_lastfm
from folksong.tags.table import TagTable

RATE = 16000
N_RECORDINGS = 20
CODE = """
import os
import sys
import threading
import time
from pathlib import Path
from folksong.audio.catalogue import read_catalogue
from folksong.shards.writer import write_shards
from folksong.tags.sources.read_tags import read_tags

def peak(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

workers = {}

def watch():
    while True:
        time.sleep(0.05)
        for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            try:
                workers[child] = peak(child)
            except (OSError, StopIteration):  # it has ended
                pass

threading.Thread(target=watch, daemon=True).start()
catalogue, tags, out, jobs = sys.argv[1:]
jobs = int(jobs)
table = read_tags(tags)  # as the command line does: what reading tags took and gave back serves the catalogue
write_shards(read_catalogue(catalogue), out, table, audio_format="log-mel-spectrogram", jobs=jobs)
print(peak("self"), *workers.values())
"""


def peaks(root: Path, n_tracks: int, jobs: int) -> list[float]:
    """Return the peaks of the writing process and of each of its workers, in MB."""
    ids = [f"TR{number:06d}" for number in range(n_tracks)]
    catalogue, tags = root / f"{n_tracks}.csv", root / f"{n_tracks}-tags-{jobs}.db"
    files = [f"{ids[number]},{number % N_RECORDINGS}.mp3" for number in range(n_tracks)]
    catalogue.write_text("\n".join(["track_id,mp3_path", *files]))
    rows = [(track_id, f"tag{number % 50}-{k}", k) for number, track_id in enumerate(ids) for k in range(10)]
    write_lastfm(TagTable.from_pairs(*zip(*rows, strict=True)), tags)
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(catalogue), str(tags), str(root / f"{n_tracks}-{jobs}"), str(jobs)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return [int(kilobytes) / 1000 for kilobytes in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number in range(N_RECORDINGS):
            soundfile.write(root / f"{number}.mp3", rng.normal(0, 0.1, int(options.seconds * RATE)), RATE)
        for jobs in (1, 2):
            first = None
            for n_tracks in options.tracks:
                own, *workers = peaks(root, n_tracks, jobs)
                total = own + sum(workers)
                first = first or total
                print(
                    f"{n_tracks:7,d} tracks, {jobs} jobs: writer {own:6.1f} MB, workers "
                    f"{', '.join(f'{peak:.1f}' for peak in workers) or 'none'}; together {total:6.1f} MB, "
                    f"{total / first:.3f} x that of {options.tracks[0]:,}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
