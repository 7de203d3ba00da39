"""What labels mean: a unit vector for each label, from the vectors of its tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import WordVectors
from folksong.labels.space import LabelSpace


@dataclass(frozen=True, eq=False)
class LabelVectors:
    """Labels and their unit vectors.

    Args:
        vectors: (n_labels, dimension) float32, rows of length 1; zeros for a label that has none.
        missing: names of the labels without a vector.
        source: what the vectors came from.
        sha256: hash of that source.
    """

    vectors: npt.NDArray[np.float32]
    missing: tuple[str, ...]
    source: str
    sha256: str


def embed_labels(
    space: LabelSpace, vectors: WordVectors, counts: Mapping[str, int] | None = None
) -> LabelVectors:
    """Give each label the mean of its tags' unit vectors, weighted by their counts and scaled to length 1.

    Args:
        space: the labels, in order.
        vectors: word vectors.
        counts: tag -> number of tracks; None, or no count for any tag of a label, weighs its tags equally.
    """
    tags = list(dict.fromkeys(tag for label in space.labels for tag in label.tags))
    embedded = embed_tags(tags, vectors)
    row_of = {tag: row for row, tag in enumerate(embedded.tags)}
    means = np.zeros((len(space), embedded.vectors.shape[1]), np.float64)
    for number, label in enumerate(space.labels):
        known = [tag for tag in label.tags if tag in row_of]
        weights = np.array([(counts or {}).get(tag, 0) for tag in known], np.float64)
        if not weights.any():
            weights = np.ones(len(known))
        if known:
            means[number] = weights @ embedded.vectors[[row_of[tag] for tag in known]]
    lengths = np.linalg.norm(means, axis=1)
    found = lengths > 0
    means[found] /= lengths[found, None]
    missing = tuple(name for name, has in zip(space.names, found, strict=True) if not has)
    return LabelVectors(means.astype(np.float32), missing, embedded.source, embedded.sha256)
