"""A tree of 2,000 mp3 files, 5% of them damaged in ten ways, through scan, write and verify: is each accounted for?

    python benchmarks/shards_tree.py --audio FOLDER [FOLDER ...] [--tracks 2000] [--seed 0]

The mp3 files are cut from the recordings below the folders (any real music: Debian's `wesnoth-1.16-music`, say). Every
damaged file must be named by `audio scan` (its list of what it dropped, or the facts of what it kept), and every file
that the scan kept must be in the shards or in one of the writer's lists. Then the same tree is written without a scan:
each damaged file must be in `skipped.csv` or `damaged.csv`. Exits with 1 if one is not.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import soundfile

from folksong.shards.reader import ShardReader

SHARE_DAMAGED = 0.05
Damage = Callable[[bytes, random.Random], bytes]


def hole(content: bytes, rng: random.Random) -> bytes:
    start = len(content) // 3
    return content[:start] + bytes(len(content) // 5) + content[start + len(content) // 5 :]


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for place in rng.sample(range(len(content)), len(content) // 100):
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


DAMAGES: dict[str, Damage] = {
    "empty": lambda content, rng: b"",
    "the first 200 bytes": lambda content, rng: content[:200],
    "cut in the middle": lambda content, rng: content[: len(content) // 2],
    "text": lambda content, rng: b"Track not found in the catalogue.\n" * 40,
    "a web page": lambda content, rng: b"<!DOCTYPE html><html><h1>503 Service Unavailable</h1></html>" * 30,
    "zeros": lambda content, rng: bytes(len(content)),
    "random bytes": lambda content, rng: rng.randbytes(len(content)),
    "a hole of zeros": hole,
    "a bit of every 100th byte flipped": flipped,
    "its first half overwritten": lambda content, rng: (
        rng.randbytes(len(content) // 2) + content[len(content) // 2 :]
    ),
}


def make_tree(root: Path, sources: list[Path], n: int, rng: random.Random) -> dict[str, str]:
    """Write `n` mp3 files and damage some; return path below the root -> damage."""
    pieces = []
    for path in sources:
        samples, rate = soundfile.read(path, dtype="float32", frames=60 * 48000)
        pieces.append((samples, rate if rate in {16000, 22050, 24000, 32000, 44100, 48000} else 44100))
    damaged = dict(zip(rng.sample(range(n), round(n * SHARE_DAMAGED)), _cycle(n), strict=False))
    told = {}
    for number in range(n):
        samples, rate = pieces[number % len(pieces)]
        length = min(len(samples), int(rate * rng.uniform(3, 6)))
        start = rng.randrange(len(samples) - length + 1)
        path = root / f"{number % 26:02d}" / f"{number:06d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples[start : start + length], rate, format="MP3")
        if number in damaged:
            kind = damaged[number]
            path.write_bytes(DAMAGES[kind](path.read_bytes(), rng))
            told[path.relative_to(root).as_posix()] = kind
    return told


def _cycle(n: int) -> list[str]:
    kinds = list(DAMAGES)
    return [kinds[number % len(kinds)] for number in range(n)]


def folksong(*words: object) -> float:
    begin = time.perf_counter()
    entry = "from folksong.cli import main; main()"
    subprocess.run([sys.executable, "-c", entry, *map(str, words)], check=True)
    return time.perf_counter() - begin


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(line for line in stream if not line.startswith("#")))


def below(root: Path, path: str) -> str:
    found = Path(path)
    return (found.relative_to(root) if found.is_absolute() else found).as_posix()


def check_scan(root: Path, work: Path, told: dict[str, str]) -> tuple[dict[str, str], set[str]]:
    """Scan and write the tree; return what became of each file, and the damaged files that nobody named."""
    catalogue, out = work / "tracks.csv", work / "scanned"
    seconds = folksong("audio", "scan", root, catalogue), 0.0
    seconds = seconds[0], folksong("shards", "write", catalogue, out, "--format", "log-mel-spectrogram")
    folksong("shards", "verify", out)
    print(f"scan {seconds[0]:.0f} s, write {seconds[1]:.0f} s")
    kept = {row["track_id"]: row["mp3_path"] for row in rows(catalogue)}
    fate = {row["mp3_path"]: "dropped by the scan" for row in rows(work / "tracks.dropped.csv")}
    noted = {row["mp3_path"] for row in rows(catalogue) if row["damage"]}
    for name in ("skipped", "damaged"):
        for row in rows(out / f"{name}.csv"):
            fate[below(root, row["path"])] = name
    for track_id in ShardReader(out).track_ids:
        fate.setdefault(kept[track_id], "written")
    unnamed = {path for path in told if fate.get(path, "written") == "written" and path not in noted}
    return fate, unnamed


def check_write(root: Path, work: Path) -> dict[str, str]:
    """Write the tree without a scan; return what became of each file."""
    out = work / "unscanned"
    seconds = folksong("shards", "write", root, out)
    folksong("shards", "verify", out)
    print(f"write of everything {seconds:.0f} s")
    fate = {
        below(root, row["path"]): name for name in ("skipped", "damaged") for row in rows(out / f"{name}.csv")
    }
    for track_id in ShardReader(out).track_ids:
        fate.setdefault(f"{track_id}.mp3", "written")
    return fate


def report(title: str, told: dict[str, str], fate: dict[str, str]) -> None:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for path, kind in told.items():
        by_kind[kind][fate.get(path, "NOT ACCOUNTED FOR")] += 1
    print(title)
    for kind, counts in by_kind.items():
        print(f"  {kind:36s}" + ", ".join(f"{count} {what}" for what, count in counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audio", type=Path, nargs="+", required=True)
    parser.add_argument("--tracks", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    sources = sorted(
        path
        for folder in options.audio
        for ending in ("ogg", "flac", "wav")
        for path in folder.rglob(f"*.{ending}")
    )
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        root = work / "mp3"
        told = make_tree(root, rng.sample(sources, min(len(sources), 60)), options.tracks, rng)
        n_files = len(list(root.rglob("*.mp3")))
        print(f"{n_files} files, {len(told)} damaged in {len(set(told.values()))} ways")
        fate, unnamed = check_scan(root, work, told)
        report("scan, then write:", told, fate)
        alone = check_write(root, work)
        report("write alone:", told, alone)
        lost = [path for path in told if alone.get(path) not in {"skipped", "damaged"}]
        sound = [path for path in alone if path not in told and alone[path] != "written"]
        complete = len(fate) == len(alone) == n_files
    print(
        f"unnamed after scan and write: {len(unnamed)}; after write alone: {len(lost)}; sound files touched: "
        f"{len(sound)}; every file accounted for: {complete}"
    )
    raise SystemExit(bool(unnamed or lost or sound or not complete))


if __name__ == "__main__":
    main()
