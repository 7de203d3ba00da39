"""How much of the crowd's information a label space keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from folksong.files import json_value
from folksong.tags.table import TagTable

if TYPE_CHECKING:
    from folksong.labels.space import LabelSpace


@dataclass(frozen=True)
class Coverage:
    """What a label space keeps of a tag table.

    Args:
        counts: share of all (track, tag) counts whose tag belongs to some label; NaN for a table without counts.
        tracks: share of all tracks that have at least one label; NaN for a table without tracks.
        n_counts: number of counts kept.
        n_tracks: number of tracks with at least one label.
        all_counts: number of counts in the table.
        all_tracks: number of tracks in the table, tagged or not.
        absent_labels: names of the labels that no track of the table has.
    """

    counts: float
    tracks: float
    n_counts: int
    n_tracks: int
    all_counts: int
    all_tracks: int
    absent_labels: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values; an undefined share is null."""
        cleaned: dict[str, Any] = json_value(asdict(self))
        return cleaned


def coverage(space: LabelSpace, table: TagTable) -> Coverage:
    """Return the shares of `table`'s counts and tracks that `space` keeps, aliases included."""
    numbers = [space.labels_of(tag) for tag in table.tags]
    belongs = np.array([bool(labels) for labels in numbers], dtype=bool)
    kept = belongs[table.weights.indices]
    rows = np.repeat(np.arange(table.n_tracks), np.diff(table.weights.indptr))
    n_counts, n_tracks = int(kept.sum()), int(np.unique(rows[kept]).size)
    used = {label for tag, labels in enumerate(numbers) if table.counts[tag] for label in labels}
    return Coverage(
        counts=n_counts / table.n_counts if table.n_counts else float("nan"),
        tracks=n_tracks / table.n_tracks if table.n_tracks else float("nan"),
        n_counts=n_counts,
        n_tracks=n_tracks,
        all_counts=table.n_counts,
        all_tracks=table.n_tracks,
        absent_labels=tuple(name for number, name in enumerate(space.names) if number not in used),
    )
