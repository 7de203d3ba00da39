"""How many wrong tags the listening queue of ``folksong curate`` brings among its first tracks.

    python benchmarks/listening_queue.py INSTRUMENTS EMBEDDINGS [--seeds 5] [--wrong 15]

INSTRUMENTS is a folder of class folders, EMBEDDINGS what ``folksong embeddings extract`` made of it. For each seed some
tracks get another class's name at random, a head is trained on the tags with these errors in them (80% of the tracks,
as anybody's first training is), all tracks are scored, and the queue is asked which tracks come first. A person who
listens in no order would find as many as the share of tracks listened to.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from tabulate import tabulate

import folksong as fs
from folksong.curate.listening import Queue
from folksong.embeddings.store import read_embeddings
from folksong.models.checkpoint import load_head
from folksong.recordings import recordings_by_id

FIRST = (15, 30, 45)


def found_among_first(audio: str, embeddings: str, n_wrong: int, seed: int) -> list[int]:
    recordings = recordings_by_id(audio)
    ids = list(recordings)
    classes = sorted({track.split("/")[0] for track in ids})
    rng = np.random.default_rng(seed)
    wrong = set(rng.choice(ids, n_wrong, replace=False).tolist())
    tags = []
    for track in ids:
        name = track.split("/")[0]
        others = [other for other in classes if other != name]
        tags.append(others[rng.integers(len(others))] if track in wrong else name)
    table = fs.TagTable.from_pairs(ids, tags)
    with tempfile.TemporaryDirectory() as folder:
        run = fs.train("embeddings", embeddings, tags=table, out=Path(folder, "run"), seed=seed)
        vectors = torch.from_numpy(read_embeddings(embeddings).vectors(ids))
        with torch.inference_mode():
            scores = torch.sigmoid(load_head(run)(vectors)).numpy()
        heard = SimpleNamespace(
            recordings=recordings, scores=dict(zip(ids, scores, strict=True)), silent=set(), failed={},
            tagger=SimpleNamespace(limits=np.full(len(run.labels), 0.5)),
        )  # fmt: skip
        queue = Queue(cast(Any, heard), run.labels, table, Path(folder, "decisions.jsonl"), "")
        asked = [
            question["track"] for question in queue.questions("disagree", number=10 * len(FIRST) * n_wrong)
        ]
    order = list(dict.fromkeys(asked))
    return [len(wrong & set(order[:n])) for n in FIRST]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("instruments")
    parser.add_argument("embeddings")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--wrong", type=int, default=15)
    options = parser.parse_args()
    rows = [
        [seed, *found_among_first(options.instruments, options.embeddings, options.wrong, seed)]
        for seed in range(options.seeds)
    ]
    rows.append(["mean", *np.mean([row[1:] for row in rows], axis=0).round(1).tolist()])
    n_tracks = len(recordings_by_id(options.instruments))
    print(f"wrong tracks found among the first, of {options.wrong} of {n_tracks}")
    print(tabulate(rows, ["seed", *map(str, FIRST)]))


if __name__ == "__main__":
    main()
