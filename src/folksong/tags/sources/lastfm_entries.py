"""The entries of a last.fm database's ``tid_tag``, read in whole blocks where that can be, else row by row."""

from __future__ import annotations

import sqlite3

import numpy as np
import numpy.typing as npt

from folksong.tags.sources.entries import Dropped

FIRST_CHARACTER = 0xE000
LOW_BITS = 20  # as many as fit between FIRST_CHARACTER and the last code point
MOST_PACKED = (1 << 2 * LOW_BITS) - 1
MOST_WEIGHT = 1023
PACKED_ROWS = 1 << 17
MOST_EMPTY = 100
Entries = tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], npt.NDArray[np.float32]]
"""Row ids of tracks, row ids of tags, weights: each (n_entries,)."""
ENTRY = np.dtype([("tid", np.int32), ("tag", np.int32), ("val", np.float32)])


def read_entries(connection: sqlite3.Connection, dropped: Dropped) -> Entries:
    """Read ``tid_tag``; rows with NULL or text where a number belongs are left out."""
    packed = _read_packed(connection)
    if packed is not None:
        return packed
    query = "SELECT tid, tag, val FROM tid_tag"
    total = int(connection.execute("SELECT COUNT(*) FROM tid_tag").fetchone()[0])
    try:
        entries = np.fromiter(connection.execute(query), ENTRY, total)
    except (TypeError, ValueError, OverflowError):  # NULL, text, or a row id beyond 32 bits
        numbers = " AND ".join(f"typeof({column}) IN ('integer', 'real')" for column in ("tid", "tag", "val"))
        small = "tid BETWEEN 0 AND 2147483647 AND tag BETWEEN 0 AND 2147483647"
        entries = np.fromiter(connection.execute(f"{query} WHERE {numbers} AND {small}"), ENTRY)
        dropped.add("tid, tag or val is NULL or not a number", total - len(entries))
    return entries["tid"], entries["tag"], np.ascontiguousarray(entries["val"])


def _read_packed(connection: sqlite3.Connection) -> Entries | None:
    """Read ``tid_tag`` as text of one character a number, or return None where that cannot be done.

    Python's cost of a row is a tuple and three numbers, and half of the time of opening a database. Here SQLite writes
    row ids and weights as code points of one long text a block, which NumPy takes over as it is; code points from
    0xE000 up, for those of surrogates below are not valid. It needs whole weights up to 1,023: anything else (NULL,
    text, fractions) makes a ``!`` in place of its characters, and is read row by row.
    """
    try:
        # One bound a query: only then does SQLite take it from an index.
        bounds = [
            connection.execute(f"SELECT {bound}({column}) FROM tid_tag").fetchone()[0]
            for column in ("tid", "tag", "ROWID")
            for bound in ("MIN", "MAX")
        ]
    except sqlite3.OperationalError:  # a view has no row ids
        return None
    if not all(isinstance(bound, int) and 0 <= bound <= MOST_PACKED for bound in bounds[:4]):
        return None
    first, last = bounds[4:]
    wide = [max(bounds[1], bounds[3]) >> LOW_BITS > 0] * 2 + [False]  # a large row id takes two characters
    parts = [
        part
        for column, two in zip(("tid", "tag", "val"), wide, strict=True)
        for part in (
            (f"({column} >> {LOW_BITS})", f"({column} & {(1 << LOW_BITS) - 1})") if two else (column,)
        )
    ]
    characters = ", ".join(f"{part} + {FIRST_CHARACTER}" for part in parts)
    query = (
        f"SELECT group_concat(CASE WHEN val = (val & {MOST_WEIGHT}) THEN char({characters}) ELSE '!' END, ''), "
        "COUNT(*) FROM tid_tag WHERE ROWID BETWEEN ? AND ?"
    )
    blocks: list[npt.NDArray[np.int32]] = []
    empty = 0
    for start in range(first, last + 1, PACKED_ROWS):
        text, number = connection.execute(query, (start, start + PACKED_ROWS - 1)).fetchone()
        empty += not number
        if empty > MOST_EMPTY:  # row ids lie far apart
            return None
        if number:
            values = np.frombuffer(text.encode("utf-32-le"), np.int32) - FIRST_CHARACTER
            if len(values) != len(parts) * number or values.min() < 0:
                return None
            blocks.append(values.reshape(-1, len(parts)))
    columns = [np.concatenate([block[:, place] for block in blocks]) for place in range(len(parts))]
    if wide[0]:
        tids, tags = ((columns[place].astype(np.int64) << LOW_BITS) + columns[place + 1] for place in (0, 2))
        return tids, tags, columns[4].astype(np.float32)
    return columns[0], columns[1], columns[2].astype(np.float32)
