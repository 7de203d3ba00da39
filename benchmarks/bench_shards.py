"""Random 15 s windows from shards, beside a raw .npy memory map and other formats; loaders with and without workers.

    python benchmarks/bench_shards.py [--tracks 300] [--rounds 9] [--folder DIR]

Optional peers, each measured if it can be imported: ``pip install tfrecord webdataset datasets``.

All peers serve the same audio (30 s of float32 at 16 kHz a track) from a warm page cache in batches of 16 windows. They
take turns within each round, in another order each time: a change of the machine's pace hits all of them, and so does
what the one before has left in the caches. The ratio to the memory map is taken within the round, then the median over
rounds. Peers that cannot seek (TFRecord readers, tar files) give a random window of each record in turn, which spares
them the seek. The memory map fills two batches in turn, as every loader must whose batches stay what they are while the
next is made; overwriting a single one, which then stays in the processor's cache, is shown too.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from folksong.shards.encoding import store_audio
from folksong.shards.format import encode_example, frame
from folksong.shards.index import Manifest, ShardFile, build_index, write_index
from folksong.shards.loader import WindowDataset, WindowLoader
from folksong.shards.reader import ShardReader

RATE = 16000
TRACK_STEPS, WINDOW_STEPS, BATCH = 30 * RATE, 15 * RATE, 16
N_FILES = 8
LEAST_SECONDS = 0.3  # of one timing; a pass over the tracks takes a few hundredths
Peer = Callable[[], Iterator[object]]


def write_folder(folder: Path, audio: np.ndarray, storage: str) -> None:
    folder.mkdir()
    files = []
    for number, part in enumerate(np.array_split(np.arange(len(audio)), N_FILES), 1):
        path = folder / f"waveform_{number}.tfrecord"
        with path.open("wb") as stream:
            for track in part:
                features = {**store_audio(audio[track], storage), "tags": [b"rock"], "tid": [b"TR%d" % track]}
                stream.writelines(frame(encode_example(features)))
        index = build_index(path)
        write_index(index, path)
        files.append(ShardFile.of(path.name, index))
    Manifest("waveform", RATE, None, tuple(files), storage).write(folder)


def read_back(folder: Path) -> None:
    """Have all files in the page cache as reading leaves them there: one large write leaves larger pages than many."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while stream.read(1 << 20):
                    pass


def memmap_peer(path: Path, n_tracks: int, n_buffers: int) -> Peer:
    data = np.load(path, mmap_mode="r")
    rng = np.random.default_rng(0)
    buffers = cycle([np.empty((BATCH, WINDOW_STEPS), np.float32) for _ in range(n_buffers)])

    def serve() -> Iterator[object]:
        order = rng.permutation(n_tracks)
        for first in range(0, n_tracks - BATCH + 1, BATCH):
            batch = next(buffers)
            starts = rng.integers(0, TRACK_STEPS - WINDOW_STEPS + 1, BATCH)
            for row in range(BATCH):
                start = starts[row]
                batch[row] = data[order[first + row], start : start + WINDOW_STEPS]
            yield batch

    return serve


def folksong_peer(folder: Path, workers: int) -> Peer:
    reader = ShardReader(folder)
    targets = sp.random(len(reader), 50, 0.1, "csr", np.float32, random_state=0)
    dataset = WindowDataset(reader, range(len(reader)), targets, WINDOW_STEPS, random=True)
    loader = WindowLoader(dataset, BATCH, shuffle=True, drop_last=True, workers=workers)
    return lambda: iter(loader)


def default_loader_peer(folder: Path, workers: int) -> Peer:
    """PyTorch's loader with its default collation of single samples."""
    reader = ShardReader(folder)
    targets = sp.random(len(reader), 50, 0.1, "csr", np.float32, random_state=0)

    class Samples(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.windows = WindowDataset(reader, range(len(reader)), targets, WINDOW_STEPS, random=True)

        def __len__(self) -> int:
            return len(self.windows)

        def __getitem__(self, k: int) -> dict[str, object]:
            return dict(self.windows[k])

    loader = torch.utils.data.DataLoader(
        Samples(), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    # Workers are forked now: a fork takes the huge pages from what memory is in use, the others' batches too.
    next(iter(loader))
    return lambda: iter(loader)


def in_batches(windows: Iterator[np.ndarray]) -> Iterator[object]:
    batch = np.empty((BATCH, WINDOW_STEPS), np.float32)
    row = 0
    for window in windows:
        batch[row] = window
        row += 1
        if row == BATCH:
            yield batch
            row = 0


def random_window(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    start = rng.integers(0, TRACK_STEPS - WINDOW_STEPS + 1)
    return audio[start : start + WINDOW_STEPS]


def tfrecord_peer(folder: Path) -> Peer:
    from tfrecord.reader import tfrecord_loader

    rng = np.random.default_rng(0)

    def windows() -> Iterator[np.ndarray]:
        for path in sorted(folder.glob("*.tfrecord")):
            for row in tfrecord_loader(str(path), None, {"audio": "float"}):
                yield random_window(row["audio"], rng)

    return lambda: in_batches(windows())


def webdataset_peer(folder: Path, audio: np.ndarray) -> Peer:
    import webdataset

    folder.mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(audio)), N_FILES)):
        with tarfile.open(folder / f"{number:03d}.tar", "w") as archive:
            for track in part:
                stream = io.BytesIO()
                np.save(stream, audio[track])
                member = tarfile.TarInfo(f"{track:06d}.npy")
                member.size = stream.tell()
                stream.seek(0)
                archive.addfile(member, stream)
    rng = np.random.default_rng(0)
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    dataset = webdataset.WebDataset(urls, shardshuffle=False).decode()
    return lambda: in_batches(random_window(row["npy"], rng) for row in dataset)


def arrow_peer(folder: Path, audio: np.ndarray) -> Peer:
    """Hugging Face datasets: one Arrow table, memory-mapped, a row fetched by number."""
    import datasets

    def rows() -> Iterator[dict[str, np.ndarray]]:
        for track in audio:
            yield {"audio": track}

    features = datasets.Features({"audio": datasets.Sequence(datasets.Value("float32"))})
    made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(folder / "cache"))
    made.save_to_disk(str(folder / "saved"))
    table = datasets.load_from_disk(str(folder / "saved")).with_format("numpy")
    rng = np.random.default_rng(0)
    return lambda: in_batches(
        random_window(table[int(track)]["audio"], rng) for track in rng.permutation(len(audio))
    )


def optional(peers: dict[str, Peer], name: str, make: Callable[[], Peer]) -> None:
    try:
        peers[name] = make()
    except ImportError as error:
        print(f"{name}: not measured ({error})")


def measure(peers: dict[str, Peer], rounds: int) -> dict[str, list[float]]:
    """Return windows a second of each peer in each round."""
    speeds: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 1):
        for name in np.random.default_rng(number).permutation(list(peers)):
            serve = peers[name]
            begin, n_windows, seconds = time.perf_counter(), 0, 0.0
            while seconds < LEAST_SECONDS:
                n_windows += BATCH * sum(1 for _ in serve())
                seconds = time.perf_counter() - begin
            if number:  # the first round only warms up
                speeds[name].append(n_windows / seconds)
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where the data goes (about 5 times 1.9 MB a track)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        rng = np.random.default_rng(0)
        audio = rng.normal(0, 0.1, (options.tracks, TRACK_STEPS)).astype(np.float32)
        np.save(root / "audio.npy", audio)
        write_folder(root / "float32", audio, "float32")
        write_folder(root / "int16", audio, "int16")
        read_back(root)
        peers: dict[str, Peer] = {
            "npy memory map": memmap_peer(root / "audio.npy", options.tracks, 2),
            "npy memory map, one buffer": memmap_peer(root / "audio.npy", options.tracks, 1),
            "folksong": folksong_peer(root / "float32", 0),
            "folksong, 1 worker": folksong_peer(root / "float32", 1),
            "folksong, 2 workers": folksong_peer(root / "float32", 2),
            "folksong int16": folksong_peer(root / "int16", 0),
            "folksong int16, 2 workers": folksong_peer(root / "int16", 2),
            "PyTorch's collation": default_loader_peer(root / "float32", 0),
            "PyTorch's collation, 2 workers": default_loader_peer(root / "float32", 2),
        }
        optional(peers, "tfrecord package", lambda: tfrecord_peer(root / "float32"))
        optional(peers, "WebDataset", lambda: webdataset_peer(root / "tar", audio))
        optional(peers, "Hugging Face Arrow", lambda: arrow_peer(root / "arrow", audio))
        speeds = measure(peers, options.rounds)
    reference = np.array(speeds["npy memory map"])
    print(f"{'':32s} windows/s   x npy memory map (median, least to most)")
    for name, values in speeds.items():
        ratios = np.array(values) / reference
        print(
            f"{name:32s} {np.median(values):9,.0f}   {np.median(ratios):.3f} ({ratios.min():.2f} to {ratios.max():.2f})"
        )


if __name__ == "__main__":
    main()
