"""Row ids of a database's tables and the names they stand for."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from folksong.tags.sources.entries import Dropped
from folksong.tags.table import Strings


class RowNumbers:
    """Row ids of a SQLite table -> positions in the sorted names, -1 for an id that has none."""

    def __init__(self, row_ids: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> None:
        self._dense: npt.NDArray[np.int32] | None = None
        self._row_ids, self._positions = row_ids, positions.astype(np.int32)
        highest = int(row_ids.max(initial=0))
        if int(row_ids.min(initial=0)) >= 0 and highest <= 4 * len(row_ids) + 1_000_000:
            self._dense = np.full(highest + 2, -1, np.int32)
            self._dense[row_ids] = positions

    def numbers(self, row_ids: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """Return the position of each row id."""
        if not len(self._row_ids):
            return np.full(len(row_ids), -1, np.int32)
        if self._dense is not None:
            limit = len(self._dense) - 1  # the last entry is -1: where ids out of range are sent
            if len(row_ids) and (row_ids.min() < 0 or row_ids.max() > limit):
                row_ids = np.where((row_ids < 0) | (row_ids > limit), limit, row_ids)
            positions: npt.NDArray[np.int32] = self._dense[row_ids]
            return positions
        order = np.argsort(self._row_ids, kind="stable")
        places = np.minimum(np.searchsorted(self._row_ids, row_ids, sorter=order), len(order) - 1)
        found = order[places]
        numbers: npt.NDArray[np.int32] = np.where(
            self._row_ids[found] == row_ids, self._positions[found], np.int32(-1)
        )
        return numbers


def sorted_names(
    row_ids: Sequence[int], names: Sequence[Any], table: str, dropped: Dropped
) -> tuple[RowNumbers, Strings]:
    """Return row id -> position, and the distinct names in code point order; None is no name."""
    texts = list(names)
    if set(map(type, texts)) - {str}:
        texts = [name if isinstance(name, str) else str(name) for name in names if name is not None]
        dropped.add(f"{table} holds NULL; its pairs are left out with it", len(names) - len(texts))
        row_ids = [row_id for row_id, name in zip(row_ids, names, strict=True) if name is not None]
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    order = np.arange(len(texts))
    if not all(map(operator.lt, texts, itertools.islice(texts, 1, None))):
        # polars sorts by the bytes of UTF-8, which is the order of code points, several times as fast as Python
        order = pl.Series(texts, dtype=pl.String).arg_sort().to_numpy().astype(np.int64)
    array = array[order]
    first = np.ones(len(texts), dtype=bool)
    first[1:] = array[1:] != array[:-1]
    dropped.add(f"{table} holds the name twice; both rows are read as one", int((~first).sum()))
    positions = np.empty(len(texts), np.int64)
    positions[order] = np.cumsum(first) - 1
    return RowNumbers(np.array(row_ids, np.int64), positions), array[first]
