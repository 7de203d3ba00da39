"""Tag tables at the size of the Million Song Dataset: opening, co-occurrence, proposing merges, with peers.

Each measurement runs in a process of its own, which gives its peak memory; peers run in the same session as folksong,
in turn, and the best of the repeats counts. Only ratios within one run mean anything; both wall-clock and processor
time are given, for on a machine that does other things meanwhile only the latter can be compared.

    python benchmarks/bench_tags.py --folder /tmp/tables --size 1 3
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from timing import peak_memory

TRACKS, TAGS, ROWS = 500_000, 500_000, 9_000_000
TOP = 5_000


Moment = tuple[float, float]
Timed = tuple[Moment, str]


def clock() -> Moment:
    return time.perf_counter(), time.process_time()


def since(start: Moment) -> Moment:
    now = clock()
    return now[0] - start[0], now[1] - start[1]


def make_database(path: Path, size: float, seed: int = 0) -> None:
    """Write a real last.fm SQLite file of Zipf-distributed tags; three times the size has thrice of everything."""
    rng = np.random.default_rng(seed)
    n_tracks, n_tags, n_rows = (int(number * size) for number in (TRACKS, TAGS, ROWS))
    share = 1 / np.arange(1, n_tags + 1) ** 1.02
    cumulated = np.cumsum(share / share.sum())
    # More than needed, because pairs drawn twice are one row.
    keys = np.empty(0, np.int64)
    while len(keys) < n_rows:
        tracks = (rng.random(n_rows) ** 2 * n_tracks).astype(np.int64)  # some tracks have many tags
        tags = np.minimum(np.searchsorted(cumulated, rng.random(n_rows)), n_tags - 1)
        keys = np.unique(np.concatenate([keys, tracks * n_tags + tags]))
    keys = np.sort(rng.choice(keys, n_rows, replace=False))
    tracks, tags = keys // n_tags, keys % n_tags
    values = rng.integers(0, 101, n_rows)
    names = tag_names(n_tags, rng)
    temporary = path.with_suffix(".part")
    temporary.unlink(missing_ok=True)
    with closing(sqlite3.connect(temporary)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(
            "CREATE TABLE tids (tid TEXT); CREATE TABLE tags (tag TEXT);"
            "CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT);"
        )
        connection.executemany("INSERT INTO tids VALUES (?)", ((f"TR{n:016X}",) for n in range(n_tracks)))
        connection.executemany("INSERT INTO tags VALUES (?)", ((name,) for name in names))
        for start in range(0, n_rows, 1 << 20):
            part = slice(start, start + (1 << 20))
            rows = zip(
                (tracks[part] + 1).tolist(), (tags[part] + 1).tolist(), values[part].tolist(), strict=True
            )
            connection.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", rows)
        connection.executescript(
            "CREATE INDEX i1 ON tid_tag (tid); CREATE INDEX i2 ON tid_tag (tag); CREATE INDEX i3 ON tags (tag);"
        )
        connection.commit()
    temporary.rename(path)


def tag_names(number: int, rng: np.random.Generator) -> list[str]:
    """Return distinct tags of one to three made-up words, with variants of spelling among them."""
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "on", "ar", "el")]
    words = ["".join(rng.choice(syllables, rng.integers(2, 5))) for _ in range(40_000)]
    names: dict[str, None] = {}
    while len(names) < number:
        picks = rng.integers(0, len(words), (number, 3))
        kinds = rng.integers(0, 20, number)
        lengths = rng.integers(1, 4, number)
        for pick, kind, length in zip(picks.tolist(), kinds.tolist(), lengths.tolist(), strict=True):
            tag = " ".join(words[word] for word in pick[:length])
            if kind == 0 and names:
                tag = tag.replace(" ", "-")
            elif kind == 1:
                tag = tag.title()
            elif kind == 2:
                tag += "s"
            names[tag] = None
            if len(names) == number:
                break
    return list(names)


def open_with_pandas(path: str) -> str:
    import pandas as pd
    import scipy.sparse as sp

    with closing(sqlite3.connect(path)) as connection:
        tids = pd.read_sql_query("SELECT ROWID AS id, tid FROM tids", connection)
        tags = pd.read_sql_query("SELECT ROWID AS id, tag FROM tags", connection)
        pairs = pd.read_sql_query("SELECT tid, tag, val FROM tid_tag", connection)
    counts = pairs["tag"].value_counts()
    row = pd.Series(np.arange(len(tids)), tids["id"]).loc[pairs["tid"]].to_numpy()
    column = pd.Series(np.arange(len(tags)), tags["id"]).loc[pairs["tag"]].to_numpy()
    matrix = sp.csr_matrix((pairs["val"].to_numpy(np.float32), (row, column)), shape=(len(tids), len(tags)))
    return f"{matrix.nnz} {counts.iloc[0]}"


def open_with_folksong(path: str) -> str:
    from folksong.tags.sources.lastfm import read_lastfm

    table = read_lastfm(path)
    return f"{table.n_counts} {table.counts.max()}"


def open_from_cache(path: str) -> str:
    from folksong import read_tags

    table = read_tags(path, cache=True)
    return f"{table.n_counts} {table.counts.max()}"


def cooccurrence_with_scipy(path: str) -> Timed:
    import scipy.sparse as sp

    from folksong import read_tags

    table = read_tags(path, cache=True)
    top = table.popularity_order[:TOP]
    presence = sp.csr_matrix(table.presence, dtype=np.int32)[:, top]
    start = clock()
    counts = (presence.T @ presence).toarray()
    return since(start), f"{counts.sum()}"


def cooccurrence_with_folksong(path: str) -> Timed:
    from folksong import read_tags
    from folksong.tags.cooccurrence import counts

    table = read_tags(path, cache=True)
    top = table.tags[table.popularity_order[:TOP]].tolist()
    table.presence, table.tag_index  # noqa: B018 (computed once per table, not part of the product)
    start = clock()
    found = counts(table, top)
    return since(start), f"{found.sum()}"


def propose(path: str) -> Timed:
    from folksong import read_tags
    from folksong.tags.cleaning.merges import propose_merges

    table = read_tags(path, cache=True)
    start = clock()
    merges = propose_merges(table, min_count=10)
    return since(start), f"{int((table.counts >= 10).sum())} tags, {len(merges)} merges"


def clean(path: str) -> Timed:
    from folksong import read_tags
    from folksong.tags.cleaning.clean import clean as clean_table
    from folksong.tags.cleaning.recipe import default_recipe

    table = read_tags(path, cache=True)
    start = clock()
    cleaned = clean_table(table, default_recipe())
    return since(start), f"{cleaned.table!r}"


MEASURED: dict[str, Callable[[str], str | Timed]] = {
    "open: pandas": open_with_pandas,
    "open: folksong, cold": open_with_folksong,
    "open: folksong, cached": open_from_cache,
    "co-occurrence: SciPy": cooccurrence_with_scipy,
    "co-occurrence: folksong": cooccurrence_with_folksong,
    "propose merges, 10 counts or more": propose,
    "clean by the shipped recipe": clean,
}


def measure(name: str, path: str) -> dict[str, float | str]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--database", path]
    found: dict[str, float | str] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    return found


def run_one(name: str, path: str) -> None:
    if name.startswith("open"):
        import scipy.sparse  # noqa: F401 (imports are no part of opening)

        if "pandas" in name:
            import pandas  # noqa: F401
        else:
            import folksong.tags.sources.read_tags  # noqa: F401
    before = peak_memory()
    start = clock()
    result = MEASURED[name](path)
    seconds, processor = since(start)
    if isinstance(result, tuple):
        (seconds, processor), result = result
    peak = peak_memory()
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": processor,
                "peak_gb": peak / 1e9,
                "before_gb": before / 1e9,
                "result": result,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="where the databases are made and kept")
    parser.add_argument(
        "--size", type=int, nargs="+", default=[1], help="times 9 M rows, 500k tracks and tags"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs="+", default=list(MEASURED), choices=list(MEASURED))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--database", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        run_one(options.only, options.database)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    for size in options.size:
        path = options.folder / f"tags_{size}x.db"
        if not path.exists():
            make_database(path, size)
        print(f"{size} ×: {ROWS * size:,} rows, {path.stat().st_size / 1e9:.2f} GB, {os.cpu_count()} cores")
        measure("open: folksong, cached", str(path))  # makes the cache
        best: dict[str, dict[str, float | str]] = {}
        for _ in range(options.repeats):
            for name in options.measure:
                found = measure(name, str(path))
                print(
                    f"    {name}: {found['seconds']:.2f} s, {found['cpu']:.2f} s of CPU",
                    file=sys.stderr,
                    flush=True,
                )
                if name not in best or found["cpu"] < best[name]["cpu"]:
                    best[name] = found
        for name, found in best.items():
            peer = next((best[other] for other in best if other.split(":")[0] == name.split(":")[0]), found)
            ratio = float(peer["cpu"]) / float(found["cpu"])
            times = f"{found['seconds']:8.2f} s  {found['cpu']:8.2f} s of CPU  {ratio:6.2f} ×"
            print(f"  {name:36} {times}  {found['peak_gb']:6.2f} GB  {found['result']}", flush=True)


if __name__ == "__main__":
    main()
