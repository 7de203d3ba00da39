"""Requests a second that ``folksong serve`` answers, beside the bare tagger on the same files; its memory under load.

    python benchmarks/serve.py [--clients 8] [--requests 96] [--repeats 5]
    python benchmarks/serve.py --load 3600 [--audio FOLDER] [--model musicnn-msd]

The bare tagger is `LoadedTagger.predict_files`, which uses all cores, on files of half a minute; the server hears the
same bytes from clients that send the next as soon as they have the answer. Both take turns; ratios are of medians, on
the clock and of the processor's time (of the server and its workers), which other work on the machine moves less. The
log-mel network is not trained, which costs the same time. ``--load`` sends recordings (of FOLDER, else short and
long synthetic ones) mixed with what a server meets: cut files, text, senders who hang up, files that are too long; it
prints every minute the resident memory of the server and of its workers, open files and processes.
"""

from __future__ import annotations

import argparse
import http.client
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import psutil
import soundfile
from tabulate import tabulate

from bench_prediction import RATE, sound, tag_all
from folksong.audio.log_mel import read_preset
from folksong.export.folder import write_folder
from folksong.labels import Label, LabelSpace
from folksong.models.tagger import Tagger
from folksong.prediction import AudioInput, load_tagger


@contextmanager
def server(model: str, *options: str) -> Iterator[tuple[psutil.Process, str]]:
    """Run the server; give its process and ``host:port``."""
    command = [sys.executable, "-m", "folksong", "serve", model, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        places = (re.match(r"http://(\S+)/ ", line) for line in process.stderr)
        place = next(found[1] for found in places if found)
        yield psutil.Process(process.pid), place
        process.send_signal(signal.SIGINT)


def in_threads(n: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/tag?top=5", body)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def serve_all(place: str, bodies: list[bytes], clients: int) -> None:
    """Have all bodies tagged."""
    numbers = count()

    def work() -> None:
        connection = http.client.HTTPConnection(place)
        while (number := next(numbers)) < len(bodies):
            assert ask(connection, bodies[number]) == 200
        connection.close()

    in_threads(clients, work)


def compare(folder: Path, model: str, name: str, given: argparse.Namespace) -> tuple[object, ...]:
    clip = folder / "clip.mp3"
    soundfile.write(clip, sound(), RATE)
    bodies = [clip.read_bytes()] * given.requests
    tagger = load_tagger(model)
    times = []
    with server(model) as (process, place):

        def clocks() -> tuple[float, float, float]:
            every = [process, *process.children(recursive=True)]
            used = sum(sum(one.cpu_times()[:2]) for one in every)
            return time.perf_counter(), time.process_time(), used

        for _ in range(given.repeats + 1):
            first = clocks()
            tag_all(tagger, [clip] * given.requests)
            second = clocks()
            serve_all(place, bodies, given.clients)
            third = clocks()
            bare, served = np.subtract(second, first), np.subtract(third, second)
            times.append((bare[0], served[0], bare[1], served[2]))
    on_clock, on_clock_served, used, used_served = np.median(times[1:], axis=0) / given.requests
    return (
        name, 1 / on_clock, 1 / on_clock_served, on_clock / on_clock_served,
        1000 * used, 1000 * used_served, used / used_served,
    )  # fmt: skip


def bodies_of(folder: Path | None) -> list[bytes]:
    """Return whole recordings, and what is none."""
    if folder is not None:
        whole = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in (".ogg", ".mp3")]
    else:
        whole = []
        with tempfile.TemporaryDirectory() as name:
            for number, repeats in enumerate((1, 2, 8, 20)):
                path = Path(name, f"{number}.ogg")
                soundfile.write(path, np.concatenate([sound()] * repeats), RATE)
                whole.append(path.read_bytes())
    return [*whole, whole[0][: len(whole[0]) // 2], b"no recording", b""]


def put_load(model: str, given: argparse.Namespace) -> None:
    bodies = bodies_of(given.audio)
    answers: Counter[object] = Counter()
    end = time.monotonic() + given.load

    with server(model, "--max-minutes", "5") as (process, place):

        def work() -> None:
            rng = np.random.default_rng(threading.get_ident())
            while time.monotonic() < end:
                connection = http.client.HTTPConnection(place, timeout=120)
                try:
                    body = bodies[rng.integers(len(bodies))]
                    if rng.random() < 0.05:  # who hangs up
                        connection.putrequest("POST", "/tag")
                        connection.putheader("Content-Length", str(len(body) + 1))
                        connection.endheaders(body)
                        answers["hung up"] += 1
                    else:
                        answers[ask(connection, body)] += 1
                except (OSError, http.client.HTTPException) as error:
                    answers[type(error).__name__] += 1
                finally:
                    connection.close()

        def watch() -> None:
            print("minute  answers  server MB  workers MB  processes  open files")
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(60.0, left))
                workers = process.children(recursive=True)
                print(
                    f"{(given.load - max(0.0, end - time.monotonic())) / 60:6.1f}  {sum(answers.values()):7}  "
                    f"{process.memory_info().rss / 1e6:9.0f}  "
                    f"{sum(worker.memory_info().rss for worker in workers) / 1e6:10.0f}  {1 + len(workers):9}  "
                    f"{process.num_fds():10}",
                    flush=True,
                )

        watcher = threading.Thread(target=watch)
        watcher.start()
        in_threads(given.clients, work)
        watcher.join()
    print(dict(answers))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--load", type=float, metavar="SECONDS")
    parser.add_argument("--audio", type=Path, metavar="FOLDER")
    parser.add_argument("--model", default="musicnn-msd")
    given = parser.parse_args()
    if given.load:
        put_load(given.model, given)
        return
    labels = LabelSpace(tuple(Label(f"label {number}", (f"tag {number}",)) for number in range(50)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = Tagger("log-mel-spectrogram", labels)
        audio = AudioInput(16_000, 15.0, read_preset("urop2019"))
        log_mel = write_folder(folder / "log-mel", network, audio)
        rows = [
            compare(folder, given.model, given.model, given),
            compare(folder, str(log_mel), "log-mel, 16 filters", given),
        ]
    headers = (
        "tagger",
        "bare, files/s",
        "served, requests/s",
        "ratio",
        "bare, ms",
        "served, ms",
        "ratio of ms",
    )
    print(tabulate(rows, headers=headers, floatfmt=".2f"))


if __name__ == "__main__":
    main()
