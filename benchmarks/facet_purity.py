"""How much of a label's counts are of one facet, by the facets that ``folksong tags facets`` gives its tags.

    python benchmarks/facet_purity.py TAGS VECTORS SPACES...

Tags of an unknown facet are passed over. A label of one facet has 1; the mean is weighted by counts.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
from tabulate import tabulate

import folksong as fs
from folksong.tags.facet_lists import UNKNOWN
from folksong.tags.facets import facets


def main() -> None:
    table = fs.read_tags(sys.argv[1])
    found, counts = facets(table, fs.read_vectors(sys.argv[2])), table.counts_by_tag
    rows = []
    for path in sys.argv[3:]:
        space = fs.LabelSpace.read(path)
        shares, weights = [], []
        for label in space.labels:
            by_facet: Counter[str] = Counter()
            for tag in label.members:
                if (facet := found.of(tag)) != UNKNOWN:
                    by_facet[facet] += counts.get(tag, 0)
            if total := by_facet.total():
                shares.append(max(by_facet.values()) / total)
                weights.append(total)
        rows.append([path, len(space), np.average(shares, weights=weights), np.mean(np.array(shares) < 0.7)])
    print(tabulate(rows, ["space", "labels", "of one facet", "labels below 0.7"], floatfmt=".3f"))


if __name__ == "__main__":
    main()
