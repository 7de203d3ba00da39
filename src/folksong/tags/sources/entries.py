"""The entries of a source on their way into a `TagTable`: names and numbers, what is dropped, and that it is said.

Every reader of ``folksong.tags`` ends here, so that a weight threshold, a negative weight or a duplicate row means
the same whatever the source was.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from folksong.errors import FileFormatError, FolksongError
from folksong.tags.table import Strings, TagTable

logger = logging.getLogger(__name__)


class UnclearSourceError(FileFormatError):
    """A source that can be read once more is known of it.

    Args:
        message: what is unclear.
        options: of `read_tags`, by name, with which it may be read.

    `read_tags` adds the `source` and the options that were given.
    """

    source: str | os.PathLike[str] | None = None

    def __init__(self, message: str, **options: Any) -> None:
        super().__init__(message)
        self.options = options


@dataclass
class Dropped:
    """How many rows of a source were left out, and why; nothing is lost silently."""

    path: str | os.PathLike[str]
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, number: int) -> None:
        """Note that `number` rows were left out for `reason`."""
        if number:
            self.reasons[reason] = self.reasons.get(reason, 0) + int(number)

    def note(self, sentence: str) -> None:
        """Warn at once of something that was mended rather than left out."""
        logger.warning("%s: %s", self.path, sentence)

    def warn(self) -> None:
        """Log one warning that lists all reasons, if there is any."""
        if self.reasons:
            listed = ", ".join(f"{number:,} ({reason})" for reason, number in self.reasons.items())
            logger.warning("%s: rows left out: %s", self.path, listed)


def distinct_names(names: pl.Series) -> tuple[Strings, npt.NDArray[np.int64]]:
    """Return the distinct names in code point order (that of UTF-8 bytes) and each row's number among them."""
    distinct = names.unique().sort()
    numbers = names.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int64)
    return np.array(distinct.to_list(), object), numbers


class RowNumbers:
    """Row ids of a database's table -> positions in its sorted names, -1 for an id that has none."""

    def __init__(self, row_ids: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> None:
        order = np.argsort(row_ids, kind="stable")
        self._row_ids, self._positions = row_ids[order], positions[order].astype(np.int32)

    def of(self, row_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return the position of each row id."""
        known = self._row_ids
        if not len(known):
            return np.full(len(row_ids), -1, np.int32)
        if known[-1] - known[0] == len(known) - 1:  # no gaps, as a rule
            places = np.clip(row_ids - known[0], 0, len(known) - 1)
        else:
            places = np.minimum(np.searchsorted(known, row_ids), len(known) - 1)
        positions: npt.NDArray[np.int32] = self._positions[places]
        right = known[places] == row_ids
        return positions if right.all() else np.where(right, positions, np.int32(-1))


def require_threshold(min_weight: float | None) -> None:
    """Raise a `FolksongError` unless `min_weight` is None or a finite number."""
    if min_weight is not None and not math.isfinite(min_weight):
        raise FolksongError(f"min_weight must be a finite number, not {min_weight}")


def table_of_entries(
    track_ids: Strings,
    tags: Strings,
    rows: npt.NDArray[np.integer],
    columns: npt.NDArray[np.integer],
    weights: npt.NDArray[np.float32],
    *,
    dropped: Dropped,
    min_weight: float | None = None,
) -> TagTable:
    """Build the table of a source's entries: check weights, apply the threshold, merge duplicates.

    Args:
        track_ids: (n_tracks,) names of the rows.
        tags: (n_tags,) names of the columns.
        rows: (n_entries,) row numbers.
        columns: (n_entries,) column numbers.
        weights: (n_entries,) float32.
        dropped: what the reader left out so far; its warning is logged here.
        min_weight: keep the entries with a weight greater than this; None keeps all, weight 0 included.

    Raises:
        FileFormatError: a weight that would be kept is negative.
        FolksongError: `min_weight` is not finite.
    """
    require_threshold(min_weight)
    if len(weights):
        with np.errstate(invalid="ignore"):
            lowest = float(weights.min())  # NaN if there is any
        if not math.isfinite(lowest) or not math.isfinite(float(weights.max())):
            known = np.isfinite(weights)
            dropped.add("the weight is not a number", int((~known).sum()))
            rows, columns, weights = rows[known], columns[known], weights[known]
            lowest = float(weights.min(initial=0))
        if min_weight is not None and not lowest > min_weight:
            heavy = weights > np.float32(min_weight)
            logger.info(
                "%s: %s of %s pairs have a weight of at most %g and were left out, as asked",
                dropped.path, f"{int((~heavy).sum()):,}", f"{len(weights):,}", min_weight,
            )  # fmt: skip
            rows, columns, weights = rows[heavy], columns[heavy], weights[heavy]
    _refuse_negative(track_ids, tags, rows, columns, weights, dropped.path)
    table = TagTable.from_codes(track_ids, tags, rows, columns, weights)
    dropped.add("the pair stands there more than once; the larger weight stays", len(rows) - table.n_counts)
    dropped.warn()
    return table


def _refuse_negative(
    track_ids: Strings,
    tags: Strings,
    rows: npt.NDArray[np.integer],
    columns: npt.NDArray[np.integer],
    weights: npt.NDArray[np.float32],
    path: str | os.PathLike[str],
) -> None:
    if not len(weights) or weights.min() >= 0:
        return
    negative = np.flatnonzero(weights < 0)
    first = negative[0]
    raise UnclearSourceError(
        f"{path}: {len(negative):,} weights are negative, the first is {weights[first]:g} for tag "
        f"{str(tags[columns[first]])[:60]!r} of track {str(track_ids[rows[first]])[:60]!r}; weights run from 0 up: "
        "correct them, or leave them out with min_weight=0",
        min_weight=0,
    )
