"""Model 3: labels from what tags mean, by spherical k-means of tag vectors.

Only tags with more than `threshold` counts take part. A cluster is named by its most popular tag; labels are ordered
by the popularity of that tag, and a label's tags by their own. Model 3 proper ("filtered") keeps the clusters that
hold at least one of Model 2's tags.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.embeddings.read_vectors import VectorSource, as_vectors
from folksong.embeddings.tags import TagVectors, embed_tags
from folksong.errors import FolksongError
from folksong.labels.space import Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)


def kmeans(
    tags: Tags,
    vectors: VectorSource | TagVectors,
    *,
    threshold: int = 100,
    n_clusters: int = 100,
    keep_with: LabelSpace | Iterable[str] | None = None,
    n_init: int = 10,
    split_hyphens: bool = True,
    keep_case: bool = False,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Build Model 3: clusters of tags that mean something similar.

    Args:
        tags: a tag table, or where to read it; ``table.select_tracks(split.training)`` learns from training tracks.
        vectors: word vectors, where to read them, or ready tag vectors.
        threshold: only tags with more counts than this take part.
        n_clusters: number of clusters, k.
        keep_with: keep only the clusters that hold one of these tags (a label space gives all its tags): Model 2's
            space makes this the filtered variant; None keeps all, the baseline.
        n_init: starts of k-means, of which the best is kept.
        split_hyphens: retry an unknown word split at ``-``, ``/`` and ``_`` (the original recipe did not).
        keep_case: look words up as they are written, not in lower case.
        seed: of k-means.
        provenance: further entries for the space's provenance, for example the SHA-256 of the split.

    Raises:
        FolksongError: fewer tags with a vector than clusters, or `keep_with` leaves none.
    """
    table = as_table(tags)
    if not isinstance(vectors, TagVectors):
        words = as_vectors(vectors)
        frequent = frequent_tags(table, threshold)
        vectors = embed_tags(frequent, words, split_hyphens=split_hyphens, keep_case=keep_case)
    names, vectors = _frequent_vectors(table, vectors, threshold, n_clusters)
    labels = labels_of_clusters(
        names, SphericalKMeans(n_clusters, n_init=n_init, seed=seed).fit(vectors.vectors).labels_
    )
    settings: dict[str, Any] = {"builder": "kmeans", "threshold": threshold, "n_clusters": n_clusters}
    settings["filtered"] = keep_with is not None
    if keep_with is not None:
        wanted = keep_with.tags if isinstance(keep_with, LabelSpace) else tuple(keep_with)
        labels = keep_labels_with(labels, wanted)
        settings["kept_with"] = len(wanted)
    settings |= {"n_init": n_init, "split_hyphens": split_hyphens, "keep_case": keep_case, "seed": seed}
    return LabelSpace.built(labels, {}, settings, table, provenance, vectors)


def _frequent_vectors(
    table: TagTable, vectors: TagVectors, threshold: int, n_clusters: int
) -> tuple[list[str], TagVectors]:
    """Return the tags with enough counts that have a vector, most popular first, and their vectors."""
    tags = frequent_tags(table, threshold)
    row_of = {tag: row for row, tag in enumerate(vectors.tags)}
    kept = [tag for tag in tags if tag in row_of]
    if len(kept) < n_clusters:
        raise FolksongError(
            f"{n_clusters} clusters were asked for, but only {len(kept)} tags have more than {threshold} counts and a "
            f"vector (of {len(tags)} with enough counts); lower the threshold, ask for fewer clusters or use other "
            "vectors"
        )
    if len(kept) < len(tags):
        logger.info("%d of %d tags have no vector and are in no cluster", len(tags) - len(kept), len(tags))
    points = vectors.vectors[[row_of[tag] for tag in kept]]
    return kept, TagVectors(tuple(kept), points, source=vectors.source, sha256=vectors.sha256)


def frequent_tags(table: TagTable, threshold: int) -> list[str]:
    """Return the tags with more than `threshold` counts, most popular first."""
    popularity = table.popularity()
    return list(popularity.tags[: int((popularity.counts > max(threshold, 0)).sum())])


def labels_of_clusters(
    tags: Sequence[str], numbers: npt.NDArray[np.int64] | Sequence[int]
) -> tuple[Label, ...]:
    """Return clusters of tags, most popular first, as labels: each is named by its first tag, which orders them."""
    members: dict[int, list[str]] = {}
    for tag, number in zip(tags, numbers, strict=True):
        members.setdefault(int(number), []).append(tag)
    return tuple(Label(cluster[0], tuple(cluster)) for cluster in members.values())


def keep_labels_with(labels: Sequence[Label], tags: Iterable[str]) -> tuple[Label, ...]:
    """Return the labels that hold at least one of the tags."""
    wanted = set(tags)
    kept = tuple(label for label in labels if wanted.intersection(label.tags))
    if not kept:
        raise FolksongError(
            f"no label holds any of the {len(wanted)} tags to keep; do both come from one table?"
        )
    return kept
