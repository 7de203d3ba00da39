"""``kill -9`` among several workers that write the shards of one plan: are the bytes those of one process alone?

    python benchmarks/claim_kills.py [--place folder|s3|dask|dask-s3] [--tracks 2000] [--workers 4] [--kills 20]
    python benchmarks/claim_kills.py --throughput      # on two idle cores
    python benchmarks/claim_kills.py --claims

One process writes shards of synthetic mp3 files (some are broken) into a folder. Then so many workers write them by
claims, into a folder or, with ``s3``, onto moto's S3 server on the loopback address; at random moments one of them is
killed and another started. With ``dask`` the workers are a Dask cluster's, and the command that waits for them lives.
Told are the kills that hit a worker at work, how often each shard was put (on S3: uploads completed, as the server
answered them), and whether all bytes agree; the exit code is 1 if they do not.

``--throughput`` compares two workers with one by the clock. ``--claims`` takes, notes and lets go `N_CLAIMS` shards in
which nothing is to be done, in a folder and on the S3 server, and compares that with the time that writing shards of
500 recordings of 30 s takes, as the Million Song Dataset's previews are.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]
import object_store  # noqa: E402
from shards_kill import digest, make_recordings  # noqa: E402

N_FILES, N_CLAIMS, TRACKS_A_SHARD = 40, 10_000, 500
PREVIEW = (30.0, 30.0)
ENTRY = "import sys; from folksong.cli import main; main(sys.argv[1:])"


def start(audio: Path, out: object, *words: str) -> subprocess.Popen[bytes]:
    command = [
        "shards",
        "write",
        str(audio),
        str(out),
        "--num-files",
        str(N_FILES),
        "--no-disk-check",
        "--jobs",
        "1",
    ]
    command += ["--format", "log-mel-spectrogram", *words]
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    said = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"a worker failed: {said.decode()[-2000:]}")


def kill_claiming(
    audio: Path, out: object, options: argparse.Namespace, moments: random.Random, seconds: float
) -> int:
    """Write by claims, killing workers at work and starting others; return how many were killed."""
    from folksong.claims import Claims
    from folksong.stores import open_store

    store = open_store(str(out))
    claims = Claims(store, ".writing")
    workers, hit = [start(audio, out) for _ in range(options.workers)], 0
    while hit < options.kills and store.size("manifest.json") is None:
        time.sleep(moments.uniform(0, seconds / options.kills))
        holders = claims.holders()
        at_work = [
            place
            for place, worker in enumerate(workers)
            if any(holder.startswith(f"process {worker.pid} on") for holder in holders)
        ]
        if at_work:
            place = moments.choice(at_work)
            hit += 1
            workers[place].kill()
            workers[place].communicate()
            workers[place] = start(audio, out)
    for worker in workers:
        finish(worker)
    return hit


def kill_on_dask(
    audio: Path, out: object, options: argparse.Namespace, moments: random.Random, seconds: float
) -> int:
    """Write by a Dask cluster, whose workers are killed; return how many kills hit a running one meanwhile."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=options.workers, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        command, hit = start(audio, out, "--dask", cluster.scheduler_address), 0
        while command.poll() is None:
            time.sleep(moments.uniform(0, 2 * seconds / options.kills))
            running = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
            if hit < options.kills and running and command.poll() is None:
                os.kill(moments.choice(running), 9)
                hit += 1
        finish(command)
    return hit


@contextmanager
def counted_puts(out: object, server: object_store.Proxy | None) -> Iterator[Counter[str]]:
    """Count how often each shard is put while the block runs."""
    counts, seen, ended = Counter[str](), set[tuple[str, int, int]](), threading.Event()

    def look() -> None:
        while not ended.wait(0.002):
            for path in Path(str(out)).glob("*.tfrecord"):
                status = path.stat()
                seen.add((path.name, status.st_ino, status.st_mtime_ns))

    looker = threading.Thread(target=look)
    if server is None:
        looker.start()
    yield counts
    ended.set()
    if server is None:
        looker.join()
        counts.update(name for name, _, _ in seen)
        return
    for method, address, status in server.seen:
        path, _, query = address.partition("?")
        done = (method == "PUT" and "partNumber" not in query) or (method == "POST" and "uploadId" in query)
        if path.endswith(".tfrecord") and done and status == 200:
            counts[path.rpartition("/")[2]] += 1


def fetched(out: object, folder: Path) -> Path:
    """Return a folder with what lies in a place of a store."""
    from folksong.stores import open_store

    store = open_store(str(out))
    folder.mkdir()
    for name in store.sizes(""):
        shutil.copy(store.local(name), folder / name)
    return folder


def claims_cost(out: object) -> float:
    """Return the seconds of claiming, noting and letting go `N_CLAIMS` shards in which nothing is to be done."""
    from folksong.claims import Claims
    from folksong.stores import open_store

    store = open_store(str(out))
    begin = time.perf_counter()
    with Claims(store, ".writing") as claims:
        for number in range(N_CLAIMS):
            task = f"waveform_{number}"
            assert claims.take(task)
            assert store.size("manifest.json") is None
            assert (
                number % 100 or len(store.sizes(".writing")) < 2 * N_CLAIMS
            )  # a worker meets another at times
            assert store.put_if_absent(f".writing/{task}.json", b"x" * 1000)
            claims.release(task)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--place", choices=("folder", "s3", "dask", "dask-s3"), default="folder")
    parser.add_argument("--tracks", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--claims", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        root = Path(name)
        os.environ |= {"TMPDIR": name, "FOLKSONG_CACHE": str(root / "cache")}
        make_recordings(root / "audio", options.tracks, PREVIEW if options.claims else (4, 12))
        begin = time.perf_counter()
        finish(start(root / "audio", root / "one"))
        seconds = time.perf_counter() - begin
        expected = digest(root / "one")
        print(f"one process: {options.tracks} tracks in {seconds:.1f} s, {expected[:16]}", flush=True)
        if options.throughput:
            begin = time.perf_counter()
            for worker in [
                start(root / "audio", root / "two", "--worker", f"{number}/2") for number in (1, 2)
            ]:
                finish(worker)
            both = time.perf_counter() - begin
            print(
                f"two workers: {both:.1f} s, {seconds / both:.2f} x; same bytes: {digest(root / 'two') == expected}"
            )
            return
        server, out = None, root / "many"
        if options.claims or options.place.endswith("s3"):
            port = stack.enter_context(object_store.s3_server())
            if options.claims:  # the proxy, which counts puts, adds some 60 ms to a claim
                os.environ |= object_store.environment(port)
            else:
                server = stack.enter_context(object_store.proxy(port))
            object_store.make_bucket(port, "bucket")
        if options.claims:
            writing = N_CLAIMS * TRACKS_A_SHARD * seconds / options.tracks
            for place in (root / "claims", "s3://bucket/claims"):
                cost = claims_cost(place)
                print(
                    f"{N_CLAIMS} claims in {place}: {cost:.1f} s, {cost / writing:.3%} of {writing:.0f} s of writing"
                )
            return
        place = out if server is None else "s3://bucket/many"
        kill = kill_on_dask if options.place.startswith("dask") else kill_claiming
        with counted_puts(place, server) as counts:
            hit = kill(root / "audio", place, options, random.Random(options.seed), seconds)
        whole = out if server is None else fetched(place, out)
        same = digest(whole) == expected
        more = {name: count for name, count in counts.items() if count > 1}
        print(
            f"{options.place}: {hit} workers killed at work; {len(counts)} shards, put more than once: "
            f"{more or 'none'}; {'the same bytes' if same else 'OTHER BYTES'}"
        )
        raise SystemExit(not same)


if __name__ == "__main__":
    main()
