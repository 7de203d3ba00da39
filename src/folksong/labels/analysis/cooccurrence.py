"""Co-occurrence of labels in tracks: n_ij tracks have labels i and j, n_i have label i.

The normalised matrix n_ij / √(n_i n_j) is for looking at. Two labels are m-correlated when n_ij > min(n_i, n_j) / m:
with m = 3/2, when more than two thirds of the rarer one's tracks have the other too.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.labels.space import LabelSpace
from folksong.tags.sources.read_tags import Tags, as_table

MOST_LABELS = 10_000


class CorrelatedPair(NamedTuple):
    """Two labels by their numbers, the tracks that have both, and their normalised co-occurrence."""

    first: int
    second: int
    tracks: int
    normalised: float


@dataclass(frozen=True, eq=False)
class LabelCooccurrence:
    """How labels share tracks.

    Attributes:
        names: (n_labels,) the labels.
        counts: (n_labels, n_labels) int64, symmetric, each label's own tracks on the diagonal.
    """

    names: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    @property
    def normalised(self) -> npt.NDArray[np.float64]:
        """(n_labels, n_labels) n_ij / √(n_i n_j), in [0, 1]; 0 where a label is on no track."""
        roots = np.sqrt(np.diagonal(self.counts))
        scale = np.outer(roots, roots)
        zeros = np.zeros(scale.shape)
        return np.asarray(np.minimum(np.divide(self.counts, scale, out=zeros, where=scale > 0), 1.0))

    def correlated(self, m: float = 1.5) -> list[CorrelatedPair]:
        """Return the m-correlated pairs, the strongest first.

        Raises:
            FolksongError: m is not a number above 0.
        """
        if not m > 0:
            raise FolksongError(f"m must be a number above 0, not {m}")
        own, normalised = np.diagonal(self.counts), self.normalised
        rows, columns = np.nonzero(np.triu(m * self.counts > np.minimum.outer(own, own), k=1))
        pairs = [
            CorrelatedPair(i, j, int(self.counts[i, j]), float(normalised[i, j]))
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        return sorted(pairs, key=lambda pair: (-pair.normalised, pair.first, pair.second))


def cooccurrence(space: LabelSpace, tags: Tags) -> LabelCooccurrence:
    """Count how labels share tracks.

    Args:
        space: the labels.
        tags: a tag table, or where to read it; for the tracks of one part give ``table.select_tracks(split.test)``.

    Raises:
        FolksongError: more labels than a matrix of all pairs has room for.
    """
    if len(space) > MOST_LABELS:
        raise FolksongError(
            f"co-occurrence is of {MOST_LABELS:,} labels at most, and the space has {len(space):,}"
        )
    present = space.encode(tags).astype(np.int64)
    return LabelCooccurrence(space.names, np.asarray((present.T @ present).toarray(), np.int64))


NEARLY_SAME = 0.8  # Jaccard index above which two labels' tracks are nearly the same


def doubtful(space: LabelSpace, tags: Tags) -> list[str]:
    """Return a line for each label that means little on its tracks; builders' commands print them.

    Fewer than half of its tracks carry one of its own tags (`Label.also` makes up the rest), it covers a third of all
    tracks, or another label has nearly the same tracks (a Jaccard index above .8).
    """
    table = as_table(tags)
    n_tracks = space.encode(table).getnnz(axis=0)
    own = own_tags(space).encode(table).getnnz(axis=0)
    lines = []
    for name, mine, its in zip(space.names, own.tolist(), n_tracks.tolist(), strict=True):
        if mine < its / 2:
            lines.append(f"label {name!r}: only {mine:,} of its {its:,} tracks carry one of its own tags")
        if its > table.n_tracks / 3:
            lines.append(f"label {name!r}: on {its:,} of {table.n_tracks:,} tracks, more than a third of all")
    if len(space) > MOST_LABELS:
        return [
            *lines,
            f"which of more than {MOST_LABELS:,} labels have nearly the same tracks is not looked at",
        ]
    counts = cooccurrence(space, table).counts
    together = n_tracks[:, None] + n_tracks - counts
    for one, other in np.argwhere(np.triu(counts > NEARLY_SAME * together, k=1) & (together > 0)).tolist():
        lines.append(f"labels {space.names[one]!r} and {space.names[other]!r}: nearly the same tracks")
    return lines


def own_tags(space: LabelSpace) -> LabelSpace:
    """Return the space without further tags (`Label.also`): each tag is in the labels whose own it is."""
    labels = tuple(replace(label, also=()) for label in space.labels)
    members = {tag for label in labels for tag in label.tags}
    return LabelSpace(labels, {raw: tag for raw, tag in space.aliases.items() if tag in members})
