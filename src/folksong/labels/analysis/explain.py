"""Explanation of a tag's label: its spelling, the tags it co-occurs with, and those that mean most nearly the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from folksong.embeddings.read_vectors import VectorSource, as_vectors
from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError, nearest
from folksong.labels.space import LabelSpace
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable


@dataclass(frozen=True)
class Neighbour:
    """Another tag, how near it is (NPMI or cosine), and its labels."""

    tag: str
    nearness: float
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What is known of a tag.

    Attributes:
        tag: as asked.
        member: the tag it stands for, itself or its alias; None where no label holds it.
        labels: the names of its labels.
        count: its tracks.
        cooccurring: the tags that it co-occurs with most, by NPMI over all tracks.
        similar: the tags that mean most nearly the same, by the cosine of word vectors; empty without them.
    """

    tag: str
    member: str | None
    labels: tuple[str, ...]
    count: int
    cooccurring: tuple[Neighbour, ...]
    similar: tuple[Neighbour, ...]


def explain(
    space: LabelSpace,
    tag: str,
    tags: Tags,
    vectors: VectorSource | None = None,
    *,
    n_neighbours: int = 10,
    min_shared: int = 2,
) -> Explanation:
    """Explain a tag's label.

    Args:
        space: the labels.
        tag: a raw tag.
        tags: a tag table, or where to read it.
        vectors: word vectors, or where to read them, for neighbours in meaning.
        n_neighbours: how many neighbours of each kind.
        min_shared: co-occurrence counts from so many shared tracks.

    Raises:
        FolksongError: neither the table nor the space knows the tag.
    """
    table = as_table(tags)
    labels = tuple(space.labels[number].name for number in space.labels_of(tag))
    if tag not in table.tag_index and not labels:
        raise FolksongError(f"the tag {tag!r} is in no label and on no track{nearest(tag, space.spellings)}")
    member = None if not labels else (tag if tag in space.tags else space.aliases[tag])
    column = table.tag_index.get(tag)
    return Explanation(
        tag,
        member,
        labels,
        0 if column is None else int(table.counts[column]),
        () if column is None else _cooccurring(space, table, column, n_neighbours, min_shared),
        () if vectors is None else _similar(space, table, tag, as_vectors(vectors), n_neighbours),
    )


def _neighbour(space: LabelSpace, tag: str, nearness: float) -> Neighbour:
    return Neighbour(tag, nearness, tuple(space.labels[number].name for number in space.labels_of(tag)))


def _cooccurring(
    space: LabelSpace, table: TagTable, column: int, n_neighbours: int, min_shared: int
) -> tuple[Neighbour, ...]:
    presence = table.presence
    shared = np.asarray((presence[:, [column]].T @ presence).toarray(), np.float64)[0]
    shared[column] = 0
    others = np.flatnonzero(shared >= min_shared)
    single, both = table.counts / table.n_tracks, shared[others] / table.n_tracks
    with np.errstate(divide="ignore"):
        values = (np.log(single[column]) + np.log(single[others])) / np.log(both) - 1
    values[both >= 1] = 1
    order = sorted(range(len(others)), key=lambda i: (-values[i], table.tags[others[i]]))[:n_neighbours]
    return tuple(_neighbour(space, table.tags[others[i]], float(values[i])) for i in order)


def _similar(
    space: LabelSpace, table: TagTable, tag: str, vectors: WordVectors, n_neighbours: int
) -> tuple[Neighbour, ...]:
    own = embed_tags([tag], vectors)
    if not own.tags:
        return ()
    candidates = [other for other in table.popularity().tags if other != tag and space.labels_of(other)]
    found = embed_tags(candidates, vectors)
    cosines = found.vectors @ own.vectors[0]
    order = np.argsort(-cosines, kind="stable")[:n_neighbours]
    return tuple(_neighbour(space, found.tags[i], float(cosines[i])) for i in order)
