"""The tag table: which track carries which tag, and with what weight.

A `TagTable` is frozen. Presence is a *stored entry* of the sparse matrix: a weight of 0 is legal (last.fm rounds
small weights down to 0) and is never eliminated. Of duplicate (track, tag) pairs the larger weight stays.
"""

from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError, UnclearSourceError

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)
Strings = npt.NDArray[np.object_]
"""An array of Python strings, dtype object: one long tag must not widen every row."""
MERGED = ("maximum", "sum")
"""What the weight of a track becomes that carried several of the merged tags."""


@dataclass(frozen=True)
class Popularity:
    """Tags and their numbers of tracks, most popular first (ties: by code point)."""

    tags: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tags)


@dataclass(frozen=True, eq=False)
class TagTable:
    """Tracks, tags and weights.

    Args:
        track_ids: (n_tracks,) unique strings; a track may have no tag.
        tags: (n_tags,) unique strings; a tag may have no track.
        weights: SciPy CSR float32 (n_tracks, n_tags); a stored entry is a tag given to a track, its value the
            weight (last.fm: 0 to 100; 1.0 where the source has none). Column indices are sorted, no duplicates.

    Raises:
        FolksongError: shapes do not match, an id or tag occurs twice, a weight is negative or not finite.
    """

    track_ids: Strings
    tags: Strings
    weights: sp.csr_matrix

    def __post_init__(self) -> None:
        track_ids = _strings(self.track_ids, "track_ids")
        tags = _strings(self.tags, "tags")
        weights = sp.csr_matrix(self.weights, dtype=np.float32)
        if weights.shape != (len(track_ids), len(tags)):
            raise FolksongError(
                f"weights have shape {weights.shape}, but there are {len(track_ids)} track ids and {len(tags)} tags"
            )
        if not weights.has_canonical_format:
            entries = weights.tocoo()
            weights = csr_of_largest(entries.row, entries.col, entries.data, weights.shape)
        elif _can_change(self.weights, weights):
            weights = weights.copy()
        if weights.nnz and not (np.isfinite(weights.data).all() and weights.data.min() >= 0):
            raise FolksongError("weights must be finite and not negative")
        for array in (track_ids, tags, weights.data, weights.indices, weights.indptr):
            array.flags.writeable = False
        object.__setattr__(self, "track_ids", track_ids)
        object.__setattr__(self, "tags", tags)
        object.__setattr__(self, "weights", weights)

    @classmethod
    def from_pairs(
        cls, track_ids: Iterable[str], tags: Iterable[str], weights: Iterable[float] | None = None
    ) -> TagTable:
        """Build a table from parallel columns, one row a (track, tag) pair.

        Tracks and tags are ordered by code point, so the row order of a source never matters. Of duplicate pairs
        the larger weight stays.

        >>> table = TagTable.from_pairs(["b", "a", "a"], ["rock", "rock", "rock"], [1, 100, 7])
        >>> table.track_ids.tolist(), table.weights.toarray().tolist()
        (['a', 'b'], [[100.0], [1.0]])
        """
        rows_names, rows = np.unique(_objects(track_ids), return_inverse=True)
        column_names, columns = np.unique(_objects(tags), return_inverse=True)
        values = (
            np.ones(len(rows), np.float32)
            if weights is None
            else np.fromiter(weights, np.float32, count=len(rows))
        )
        return cls.from_codes(rows_names, column_names, rows, columns, values)

    @classmethod
    def from_codes(
        cls,
        track_ids: Sequence[str] | Strings,
        tags: Sequence[str] | Strings,
        rows: npt.NDArray[np.integer],
        columns: npt.NDArray[np.integer],
        weights: npt.NDArray[np.float32],
    ) -> TagTable:
        """Build a table from entries given as row and column numbers; of duplicates the larger weight stays."""
        shape = (len(track_ids), len(tags))
        return cls(_objects(track_ids), _objects(tags), csr_of_largest(rows, columns, weights, shape))

    def __len__(self) -> int:
        return len(self.track_ids)

    def __repr__(self) -> str:
        return f"TagTable({self.n_tracks} tracks, {self.n_tags} tags, {self.n_counts} counts)"

    @property
    def n_tracks(self) -> int:
        """Number of tracks, tagged or not."""
        return len(self.track_ids)

    @property
    def n_tags(self) -> int:
        """Number of distinct tags."""
        return len(self.tags)

    @property
    def n_counts(self) -> int:
        """Number of (track, tag) pairs."""
        return int(self.weights.nnz)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """(n_tags,) number of tracks that carry each tag, whatever the weight."""
        return np.bincount(self.weights.indices, minlength=self.n_tags).astype(np.int64)

    @cached_property
    def counts_by_tag(self) -> dict[str, int]:
        """Tag -> number of tracks that carry it."""
        return dict(zip(self.tags, self.counts.tolist(), strict=True))

    @cached_property
    def track_index(self) -> dict[str, int]:
        """Track id -> row."""
        return {track_id: row for row, track_id in enumerate(self.track_ids)}

    def row_of(self, track_id: str) -> int | None:
        """Return a track's row, None of an unknown one; ids that differ in their Unicode form only are the same."""
        row = self.track_index.get(track_id)
        if row is None and not track_id.isascii():
            row = self._row_of_nfc.get(unicodedata.normalize("NFC", track_id))
        return row

    @cached_property
    def _row_of_nfc(self) -> dict[str, int]:
        return {
            unicodedata.normalize("NFC", track_id): row
            for track_id, row in self.track_index.items()
            if not track_id.isascii()
        }

    @cached_property
    def tag_index(self) -> dict[str, int]:
        """Tag -> column."""
        return {tag: column for column, tag in enumerate(self.tags)}

    @cached_property
    def popularity_order(self) -> npt.NDArray[np.int64]:
        """(n_tags,) columns, most popular first; ties by code point of the tag."""
        by_name = np.argsort(self.tags, kind="stable")
        return by_name[np.argsort(-self.counts[by_name], kind="stable")].astype(np.int64)

    def popularity(self) -> Popularity:
        """Return tags and counts, most popular first."""
        order = self.popularity_order
        return Popularity(tuple(self.tags[order]), self.counts[order])

    def by_popularity(self, tags: Iterable[str]) -> list[str]:
        """Return tags, most popular first; ties, as those that no track carries, by code point."""
        counts = self.counts_by_tag
        return sorted(tags, key=lambda tag: (-counts.get(tag, 0), tag))

    @cached_property
    def presence(self) -> sp.csr_matrix:
        """Binary CSR float32 (n_tracks, n_tags): 1 at every stored entry, also where the weight is 0."""
        ones = np.ones(self.weights.nnz, np.float32)
        return sp.csr_matrix((ones, self.weights.indices, self.weights.indptr), shape=self.weights.shape)

    def tags_of(self, track_id: str) -> list[tuple[str, float]]:
        """Return a track's (tag, weight) pairs, heaviest first; an unknown track has none."""
        row = self.row_of(track_id)
        if row is None:
            return []
        entries = slice(self.weights.indptr[row], self.weights.indptr[row + 1])
        pairs = zip(
            self.tags[self.weights.indices[entries]], self.weights.data[entries].tolist(), strict=True
        )
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def select_tracks(self, track_ids: Iterable[str]) -> TagTable:
        """Return the table of these tracks only (in this table's order; unknown ids are passed over).

        All tags stay, so that columns keep their numbers.
        """
        wanted = set(track_ids)
        rows = np.array([row for row, name in enumerate(self.track_ids) if name in wanted], dtype=np.int64)
        return TagTable(self.track_ids[rows], self.tags, self.weights[rows])

    def select_tags(self, tags: Iterable[str]) -> TagTable:
        """Return the table of these tags only (in this table's order; unknown ones are passed over)."""
        wanted = set(tags)
        columns = np.array([column for column, tag in enumerate(self.tags) if tag in wanted], dtype=np.int64)
        return TagTable(self.track_ids, self.tags[columns], self.weights[:, columns])

    def sha256(self) -> str:
        """Return a hash of the content: the same for equal tables, whatever file they came from."""
        digest = hashlib.sha256()
        for names in (self.track_ids, self.tags):
            digest.update(len(names).to_bytes(8, "little"))
            for name in names:
                encoded = name.encode("utf-8", "surrogatepass")
                digest.update(len(encoded).to_bytes(4, "little"))
                digest.update(encoded)
        digest.update(self.weights.indptr.astype("<i8").tobytes())
        digest.update(self.weights.indices.astype("<i8").tobytes())
        digest.update(self.weights.data.astype("<f4").tobytes())
        return digest.hexdigest()


def rename_tags(table: TagTable, names: Mapping[str, str | None], *, weights: str = "maximum") -> TagTable:
    """Return the table with tags renamed; tags that get one name are merged, a tag renamed to None goes.

    Merging never loses a (track, concept) pair: a track that carried any of the merged tags carries their new name,
    with the ``"maximum"`` or the ``"sum"`` of their weights. Tags come in code point order. A new name is not looked up
    again.
    """
    if weights not in MERGED:
        raise FolksongError(f"merged weights are 'maximum' or 'sum', not {weights!r}")
    new_names = [names.get(tag, tag) for tag in table.tags]
    kept = sorted({name for name in new_names if name is not None})
    number = {name: column for column, name in enumerate(kept)}
    new_column = np.array([-1 if name is None else number[name] for name in new_names], np.int64)
    entries = table.weights.tocoo()
    columns = new_column[entries.col]
    stays = columns >= 0
    rows, columns, values = entries.row[stays], columns[stays], entries.data[stays]
    if weights == "sum":
        shape = (table.n_tracks, len(kept))
        summed = sp.coo_matrix((values.astype(np.float64), (rows, columns)), shape=shape).tocsr()
        return TagTable(table.track_ids, _objects(kept), summed)
    return TagTable.from_codes(table.track_ids, kept, rows, columns, values)


@dataclass
class Dropped:
    """How many rows of a source were left out, and why; nothing is lost silently."""

    path: str | os.PathLike[str]
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, number: int) -> None:
        """Note that `number` rows were left out for `reason`."""
        if number:
            self.reasons[reason] = self.reasons.get(reason, 0) + int(number)

    @property
    def listed(self) -> str:
        """All reasons, each behind its number of rows."""
        return ", ".join(f"{number:,} ({reason})" for reason, number in self.reasons.items())

    def warn(self) -> None:
        """Log one warning that lists all reasons, if there is any."""
        if self.reasons:
            logger.warning("%s: rows left out: %s", self.path, self.listed)


def distinct_names(names: pl.Series) -> tuple[Strings, npt.NDArray[np.int64]]:
    """Return the distinct names in code point order (that of UTF-8 bytes) and each row's number among them."""
    import polars as pl

    distinct = names.unique().sort()
    numbers = names.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int64)
    return np.array(distinct.to_list(), object), numbers


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
    """Build the table of a source's entries, whatever the source: check weights, apply the threshold, merge duplicates.

    Args:
        track_ids: (n_tracks,) names of the rows.
        tags: (n_tags,) names of the columns.
        rows: (n_entries,) row numbers; entries with a negative number have no name and are left out.
        columns: (n_entries,) column numbers, likewise.
        weights: (n_entries,) float32.
        dropped: what the reader left out so far; its warning is logged here.
        min_weight: keep the entries with a weight greater than this; None keeps all, weight 0 included.
    """
    if min_weight is not None and not np.isfinite(min_weight):
        raise FolksongError(f"min_weight must be a finite number, not {min_weight}")

    def keep(which: npt.NDArray[np.bool_]) -> int:
        nonlocal rows, columns, weights
        left_out = len(which) - int(np.count_nonzero(which))
        if left_out:
            rows, columns, weights = rows[which], columns[which], weights[which]
        return left_out

    dropped.add("tid_tag names a row that tids or tags lacks", keep((rows >= 0) & (columns >= 0)))
    dropped.add("the weight is not a number", keep(np.isfinite(weights)))
    total = len(weights)
    if min_weight is not None and (light := keep(weights > np.float32(min_weight))):
        logger.info(
            "%s: %s of %s pairs have a weight of at most %g and were left out, as asked",
            dropped.path, f"{light:,}", f"{total:,}", min_weight,
        )  # fmt: skip
    negative = np.flatnonzero(weights < 0)
    if len(negative):
        first = negative[0]
        raise UnclearSourceError(
            f"{dropped.path}: {len(negative):,} weights are negative, the first is {weights[first]:g} for tag "
            f"{str(tags[columns[first]])[:60]!r} of track {str(track_ids[rows[first]])[:60]!r}; weights run from 0 "
            "up: correct them, or leave them out with min_weight=0",
            min_weight=0,
        )
    table = TagTable.from_codes(track_ids, tags, rows, columns, weights)
    dropped.add("the pair stands there more than once; the larger weight stays", len(rows) - table.n_counts)
    dropped.warn()
    return table


def _can_change(given: object, weights: sp.csr_matrix) -> bool:
    """Say whether who holds `given` could change `weights` through it."""
    return any(
        array.flags.writeable and np.may_share_memory(array, getattr(weights, name))
        for name in ("data", "indices", "indptr")
        if isinstance(array := getattr(given, name, None), np.ndarray)
    )


def csr_of_largest(
    rows: npt.NDArray[np.integer],
    columns: npt.NDArray[np.integer],
    weights: npt.NDArray[np.float32],
    shape: tuple[int, int],
) -> sp.csr_matrix:
    """Build a CSR matrix from entries; of duplicates the largest stays, zeros are kept as stored entries."""
    entries = sp.coo_matrix((np.asarray(weights, np.float32), (rows, columns)), shape=shape)
    entries.has_canonical_format = True  # or SciPy adds duplicates up
    matrix = entries.tocsr()
    matrix.sort_indices()
    if matrix.has_canonical_format:
        return matrix
    first = np.ones(matrix.nnz, dtype=bool)
    first[1:] = matrix.indices[1:] != matrix.indices[:-1]
    first[matrix.indptr[:-1][np.diff(matrix.indptr) > 0]] = True  # each row's first entry
    starts = np.flatnonzero(first)
    before = np.concatenate([[0], np.cumsum(first)]).astype(matrix.indptr.dtype)
    values = np.maximum.reduceat(matrix.data, starts)
    return sp.csr_matrix((values, matrix.indices[starts], before[matrix.indptr]), shape=shape)


def _objects(names: Iterable[str]) -> Strings:
    if isinstance(names, np.ndarray) and names.dtype == object:
        return names
    values = list(names)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _strings(names: Iterable[str], what: str) -> Strings:
    array = _objects(names)
    if array.ndim != 1:
        raise FolksongError(f"{what} must be one-dimensional, not of shape {array.shape}")
    values = array.tolist()
    if not set(map(type, values)) <= {str}:
        position, odd = next((n, value) for n, value in enumerate(values) if type(value) is not str)
        raise FolksongError(f"{what}[{position}] is a {type(odd).__name__}, not a string: {odd!r}")
    if len(set(values)) < len(values):
        twice = Counter(values).most_common(1)[0][0]
        raise FolksongError(f"{what} holds {twice!r} twice; TagTable.from_pairs merges duplicates")
    return array.copy()
