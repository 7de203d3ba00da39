"""Epochs of windows from shards on disk and in an object store: does a store cost anything after the first one?

    python benchmarks/store_epochs.py [--tracks 400] [--seconds 30] [--epochs 4] [--batch 16] [--workers 2] [--step 0]

Shards of noise are written to disk and onto moto's S3 server on the loopback address, which is much slower than a real
store. Each epoch reads every record's window in turn from both; windows a second, their ratio, and whether the batches
are the same bits. ``--step`` is the milliseconds that a training's step would take beside each batch. Run it on two
idle cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import object_store

RATE, WINDOW_SECONDS, N_FILES = 16_000, 15, 8


def write(folder: Path, n_tracks: int, seconds: float) -> None:
    from folksong.shards.format import encode_example
    from folksong.shards.index import Manifest, ShardFile, write_records

    folder.mkdir()
    files = []
    for number, part in enumerate(np.array_split(np.arange(n_tracks), N_FILES), 1):
        path = folder / f"waveform_{number}.tfrecord"
        records = (
            encode_example(
                {
                    "audio": np.random.default_rng(track)
                    .normal(0, 0.1, int(RATE * seconds))
                    .astype(np.float32),
                    "tid": [b"TR%06d" % track],
                    "tags": [b"noise"],
                }
            )
            for track in part.tolist()
        )
        files.append(ShardFile.of(path.name, write_records(path, records)))
    Manifest("waveform", RATE, None, tuple(files)).write(folder)


def main() -> None:
    from folksong.shards.loader import WindowDataset, WindowLoader
    from folksong.shards.reader import ShardReader
    from folksong.stores import open_store

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--step", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, object_store.s3_server() as port:
        os.environ |= {**object_store.environment(port), "FOLKSONG_CACHE": f"{name}/cache"}
        object_store.make_bucket(port, "bucket")
        disk, address = Path(name, "disk"), "s3://bucket/shards"
        write(disk, options.tracks, options.seconds)
        store = open_store(address)
        for path in sorted(disk.iterdir()):
            with store.writing(path.name) as copy:
                copy.write_bytes(path.read_bytes())
        loaders = {}
        for place in (disk, address):
            reader = ShardReader(place)
            targets = sp.csr_matrix((len(reader), 1), dtype=np.float32)
            dataset = WindowDataset(
                reader, np.arange(len(reader)), targets, RATE * WINDOW_SECONDS, random=True, seed=0
            )
            loaders[place] = WindowLoader(dataset, options.batch, shuffle=True, workers=options.workers)
        all_same = True
        for epoch in range(1, options.epochs + 1):
            speeds, digests = [], []
            for loader in loaders.values():
                digest, seconds = hashlib.sha256(), 0.0
                begin = time.perf_counter()
                for batch in loader:
                    time.sleep(options.step / 1000)
                    seconds += time.perf_counter() - begin
                    digest.update(batch["x"].numpy())
                    begin = time.perf_counter()
                speeds.append(options.tracks / seconds)
                digests.append(digest.digest())
            all_same &= digests[0] == digests[1]
            print(
                f"epoch {epoch}: disk {speeds[0]:,.0f} windows/s, store {speeds[1]:,.0f}, "
                f"{speeds[1] / speeds[0]:.2f} x; "
                f"{'the same bits' if digests[0] == digests[1] else 'OTHER BITS'}",
                flush=True,
            )
    raise SystemExit(not all_same)


if __name__ == "__main__":
    main()
