"""How far the published dictionaries of Models 4.1 and 4.2 are from those that folksong makes.

    python benchmarks/published_subgenres.py EARLIER TAGS [--seeds 5]

EARLIER holds the earlier project's own files. The tag table that they were learned from is not there, so the genres
are the published ones, but the tags on tracks are those of TAGS, another collection. Within each genre the adjusted
Rand index of both divisions is taken over the tags that both hold (about 0 for chance, 1 for the same); printed is the
mean over genres, weighted by these tags, and what random divisions into clusters of the same sizes give.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import folksong as fs
from folksong.labels.dictionary import read_legacy_space, read_tag_dictionary, space_of_dictionary


def within_genres(
    genres: fs.LabelSpace, one: fs.LabelSpace, other: fs.LabelSpace, seed: int | None = None
) -> tuple[float, int]:
    """Return the weighted mean ARI within genres and the number of common tags; with a seed, of a shuffled `other`."""
    total, n_tags = 0.0, 0
    for genre in genres.labels:
        common = [tag for tag in genre.tags if one.labels_of(tag) and other.labels_of(tag)]
        if len(common) < 3:
            continue
        numbers = [other.labels_of(tag)[0] for tag in common]
        if seed is not None:
            numbers = np.random.default_rng(seed).permutation(numbers).tolist()
        table = fs.TagTable.from_pairs(["track"] * len(common), common)
        spaces = [
            space_of_dictionary(dict(zip(common, found, strict=True)), table)
            for found in ([one.labels_of(tag)[0] for tag in common], numbers)
        ]
        index = fs.labels.diff(*spaces).adjusted_rand
        if not np.isnan(index):
            total, n_tags = total + index * len(common), n_tags + len(common)
    return total / n_tags, n_tags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("earlier", type=Path)
    parser.add_argument("tags", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    folder = given.earlier / "dictionary_clusters"
    table = fs.read_tags(given.tags)
    wiki = folder / "glove-wikipedia/100_models/tags_dict_100.pkl"
    genres = read_legacy_space(wiki, table, genres=given.earlier)
    published = {
        name: space_of_dictionary(read_tag_dictionary(folder / place), table)
        for name, place in (("4.1", "npmi"), ("4.2", "tag_embeddings"))
    }
    counts = table.counts_by_tag
    heard = [tag for label in genres.labels for tag in label.tags if counts.get(tag, 0)]
    print(f"{len(heard)} of {len(genres.tags)} tags of the published genres are in {given.tags.name}")
    ours: dict[str, list[fs.LabelSpace]] = {
        "NPMI, as the thesis": [fs.labels.npmi(table, genres, population="pairs", drop_rare=True)],
        "NPMI, over all tracks": [fs.labels.npmi(table, genres)],
        "skip-gram, as the thesis": [
            fs.labels.skipgram(table, genres, drop_rare=True, seed=seed) for seed in range(given.seeds)
        ],
    }

    def show(name: str, first: fs.LabelSpace, others: list[fs.LabelSpace]) -> None:
        found = [within_genres(genres, first, other) for other in others]
        chance = [within_genres(genres, first, others[0], seed)[0] for seed in range(200)]
        low, high = np.percentile(chance, [2.5, 97.5])
        values = [value for value, _ in found]
        spread = (
            f" ({min(values):.3f} to {max(values):.3f} over {len(values)} seeds)" if len(values) > 1 else ""
        )
        print(
            f"{name}: ARI {np.mean(values):.3f}{spread} over {found[0][1]} tags; shuffled {low:.3f} to {high:.3f}"
        )

    show("published 4.1, published 4.2", published["4.1"], [published["4.2"]])
    for model, space in published.items():
        for name, spaces in ours.items():
            show(f"published {model}, {name}", space, spaces)
    show("NPMI, skip-gram, both ours", ours["NPMI, as the thesis"][0], ours["skip-gram, as the thesis"])
    skipgrams = ours["skip-gram, as the thesis"]
    show("skip-gram of one seed, of others", skipgrams[0], skipgrams[1:])


if __name__ == "__main__":
    main()
