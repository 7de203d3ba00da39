"""Simulated tag tables at the size of last.fm, three and ten times it: what each step takes, in time and memory.

    python benchmarks/tags_at_scale.py --folder /tmp/tables [--size 1 3 10] [--steps read clean ...]

At 1x a table has 9 M rows, 500,000 tracks and as many tags; at 10x 90 M rows, 5 M tracks, 5 M tags. Its tags are those
of `bench_tags` (made-up words, Zipf-distributed), but the first are the shipped lists' words, from which facets are
learned; every word has a random vector. Each step runs in a process of its own, whose peak memory is told (with what it
reads first); `read` reads the database, the others its cache. A size may be a fraction, to try the script.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from tabulate import tabulate

import bench_tags
from bench_tags import Timed, clock, since

N_LISTED = 2_000


def make_table(path: Path, size: float) -> None:
    """Write the database, and beside it the vectors of its words."""
    from folksong.tags.facet_lists import sources

    bench_tags.make_database(path, size)
    words: set[str] = set()
    with closing(sqlite3.connect(path)) as connection:
        listed = list(sources())[:: max(1, len(sources()) // N_LISTED)][:N_LISTED]
        connection.executemany(
            "UPDATE tags SET tag = ? WHERE ROWID = ?", [(tag, row) for row, tag in enumerate(listed, 1)]
        )
        connection.commit()
        for (tag,) in connection.execute("SELECT tag FROM tags"):
            words.update(tag.lower().replace("-", " ").split())
    rng = np.random.default_rng(0)
    with path.with_suffix(".txt").open("w", encoding="utf-8") as stream:
        for word in sorted(words):
            stream.write(f"{word} {' '.join(f'{value:.4f}' for value in rng.standard_normal(50))}\n")


def read(path: str) -> Timed:
    from folksong.tags.sources.lastfm import read_lastfm

    start = clock()
    table = read_lastfm(path)
    return since(start), f"{table.n_counts:,} counts, {len(table):,} tracks, {table.n_tags:,} tags"


def read_again(path: str) -> Timed:
    from folksong import read_tags

    start = clock()
    table = read_tags(path, cache=True)
    return since(start), f"{table.n_counts:,} counts"


def facets(path: str) -> Timed:
    import folksong as fs
    from folksong.tags.facets import facets as facets_of

    table = fs.read_tags(path, cache=True)
    vectors = fs.read_vectors(Path(path).with_suffix(".txt"))
    start = clock()
    facets_of(table, vectors)
    return since(start), f"{table.n_tags:,} tags"


def hybrid(path: str) -> Timed:
    import folksong as fs

    table = fs.read_tags(path, cache=True)
    vectors = fs.read_vectors(Path(path).with_suffix(".txt"))
    start = clock()
    space = fs.labels.hybrid(table, vectors)
    return since(start), f"{len(space.labels):,} labels"


STEPS: dict[str, Callable[[str], Timed]] = {
    "read": read,
    "read again (cache)": read_again,
    "clean": bench_tags.clean,
    "co-occurrence of the top 5,000": bench_tags.cooccurrence_with_folksong,
    "facets": facets,
    "hybrid": hybrid,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="where the databases are made and kept")
    parser.add_argument("--size", type=float, nargs="+", default=[1, 3, 10])
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        bench_tags.MEASURED.update({options.steps[0]: STEPS[options.steps[0]]})
        bench_tags.run_one(options.steps[0], options.only)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ["FOLKSONG_CACHE"] = str(options.folder.absolute() / "cache")
    rows = []
    for size in options.size:
        path = options.folder / f"tags_at_{size:g}x.db"
        if not path.with_suffix(".txt").exists():
            path.unlink(missing_ok=True)
            make_table(path, size)
        subprocess.run(
            [sys.executable, "-c", f"import folksong as fs; fs.read_tags({str(path)!r}, cache=True)"],
            check=True,
        )
        for step in options.steps:
            command = [sys.executable, __file__, "--steps", step, "--only", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found = json.loads(done.stdout) if done.returncode == 0 else {}
            said = found.get("result", f"FAILED ({done.returncode}): {done.stderr.strip()[-200:]}")
            row = (f"{size:g}x", step, found.get("seconds"), found.get("cpu"), found.get("peak_gb"), said)
            rows.append(row)
            print(*row, file=sys.stderr, flush=True)
    print(tabulate(rows, ("size", "step", "seconds", "of CPU", "peak GB", "result"), floatfmt=".2f"))


if __name__ == "__main__":
    main()
