"""Explanation of a tag's label: its spelling, its facet, its neighbours by company and by words, and the next best."""

from dataclasses import dataclass

import numpy as np

from folksong.embeddings.read_vectors import VectorSource, as_vectors
from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import WordVectors
from folksong.errors import FolksongError, nearest
from folksong.labels.space import LabelSpace
from folksong.tags.facets import facets
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

WHY = {
    "file": "a person's file",
    "prefix": "the tag names it",
    "listed": "a list holds the tag",
    "words": "lists hold its words",
    "guess": "guessed from its wording and its company",
}
LEAST_SHARED = 2  # tracks, from which on co-occurrence counts


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
        facet: what it is about, how sure that is, and why; None of a space whose labels cross facets.
        next_best: the label that most of its neighbours are in besides its own; None where they are in no other.
    """

    tag: str
    member: str | None
    labels: tuple[str, ...]
    count: int
    cooccurring: tuple[Neighbour, ...]
    similar: tuple[Neighbour, ...]
    facet: tuple[str, float, str] | None = None
    next_best: str | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """What a person can write to change it: a line for a file of facets, lines for a file of pairs."""
        tag = self.member or self.tag
        said = [f"{tag}\t{self.facet[0]}"] if self.facet else []
        if self.labels and self.labels[0] != tag:
            said.append(f"apart\t{tag}\t{self.labels[0]}")
        return (*said, f"same\t{tag}\t{self.next_best}") if self.next_best else tuple(said)


def explain(
    space: LabelSpace,
    tag: str,
    tags: Tags,
    vectors: VectorSource | None = None,
    *,
    n_neighbours: int = 10,
) -> Explanation:
    """Explain the label of a raw tag, or of a label's name, by `n_neighbours` of each kind.

    Without word vectors there are no neighbours in meaning.

    Raises:
        FolksongError: neither the table nor the space knows the tag.
    """
    table, words = as_table(tags), None if vectors is None else as_vectors(vectors)
    if tag not in table.tag_index and tag not in space.spellings and tag in space.names:
        tag = space.labels[space.index(tag)].tags[0]
    labels = tuple(space.labels[number].name for number in space.labels_of(tag))
    if tag not in table.tag_index and not labels:
        raise FolksongError(f"the tag {tag!r} is in no label and on no track{nearest(tag, space.spellings)}")
    member = None if not labels else (tag if tag in space.tags else space.aliases[tag])
    column = table.tag_index.get(tag)
    company = () if column is None else _cooccurring(space, table, column, n_neighbours)
    similar = () if words is None else _similar(space, table, tag, words, n_neighbours)
    nearness: dict[str, float] = {}
    for neighbour in (*company, *similar):
        for label in set(neighbour.labels) - set(labels):
            nearness[label] = nearness.get(label, 0.0) + max(neighbour.nearness, 0.0)
    said = None
    if column is not None and any(label.facet for label in space.labels):
        found = facets(table, words)
        said = (found.facets[column], float(found.confidences[column]), WHY[found.reasons[column]])
    best = max(nearness, key=nearness.__getitem__) if nearness else None
    count = 0 if column is None else int(table.counts[column])
    return Explanation(tag, member, labels, count, company, similar, said, best)


def _neighbour(space: LabelSpace, tag: str, nearness: float) -> Neighbour:
    return Neighbour(tag, nearness, tuple(space.labels[number].name for number in space.labels_of(tag)))


def _cooccurring(space: LabelSpace, table: TagTable, column: int, n_neighbours: int) -> tuple[Neighbour, ...]:
    presence = table.presence
    shared = np.asarray((presence[:, [column]].T @ presence).toarray(), np.float64)[0]
    shared[column] = 0
    others = np.flatnonzero(shared >= LEAST_SHARED)
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
