"""The Million Song Dataset's own lists: track ids of 7digital previews, mismatches and duplicates.

The previews are named ``1234567.clip.mp3`` after 7digital's number of the track. The dataset's track list
(`track_metadata.db`, or `msd_summary_file.h5`) joins that number to a track id. Two more lists came later:
`sid_mismatches.txt` names tracks that were matched to the wrong song, `msd_duplicates.txt` groups of tracks that are
the same song. Scans and the cleaning of tags read both here.
"""

import io
import os
import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.audio.guarded import read_guarded
from folksong.errors import FileFormatError, needs_extra
from folksong.files import described, open_regular

_CLIP_NAME = re.compile(r"(\d{1,18})\.clip\.[0-9a-z]+", re.IGNORECASE)
_TRACK_ID = re.compile(r"\bT[A-Z0-9]{17}\b")
_MISMATCH = re.compile(rf"<\s*\S+\s+(\S+?)\s*>|({_TRACK_ID.pattern})")
_AFTER_ID = re.compile(r"\s|<SEP>")
_SQLITE_MAGIC, _HDF5_MAGIC = b"SQLite format 3\x00", b"\x89HDF\r\n\x1a\n"


def seven_digital_id(path: str) -> int | None:
    """Return 7digital's number of a preview by its name, or None for another name.

    >>> seven_digital_id("2/3/2348383.clip.mp3"), seven_digital_id("song.mp3")
    (2348383, None)
    """
    found = _CLIP_NAME.fullmatch(PurePosixPath(path).name)
    return int(found[1]) if found else None


@dataclass(frozen=True, eq=False)
class TrackList:
    """The tracks of the dataset by 7digital number.

    Args:
        numbers: (n,) int64, ascending; a number may occur for several tracks.
        track_ids: (n,) bytes strings; of one number in order of code points.
        artist_ids: (n,) bytes strings.
    """

    numbers: npt.NDArray[np.int64]
    track_ids: npt.NDArray[np.bytes_]
    artist_ids: npt.NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self.numbers)

    def find(self, number: int) -> list[tuple[str, str]]:
        """Return (track id, artist id) of each track with this 7digital number."""
        first, last = (int(np.searchsorted(self.numbers, number, side)) for side in ("left", "right"))
        return [(self.track_ids[k].decode(), self.artist_ids[k].decode()) for k in range(first, last)]


@dataclass(frozen=True, eq=False)
class MsdLists:
    """The dataset's lists that a scan of its previews heeds; none by default."""

    tracks: TrackList | None = None
    mismatches: Collection[str] = ()
    duplicates: Sequence[Sequence[str]] = ()

    @classmethod
    def read(
        cls,
        track_list: str | os.PathLike[str] | None = None,
        mismatches: str | os.PathLike[str] | None = None,
        duplicates: str | os.PathLike[str] | None = None,
    ) -> "MsdLists":
        """Read those lists whose files are given: `read_track_list`, `read_mismatches`, `read_duplicates`."""
        return cls(
            tracks=None if track_list is None else read_track_list(track_list),
            mismatches=() if mismatches is None else read_mismatches(mismatches),
            duplicates=() if duplicates is None else read_duplicates(duplicates),
        )


def read_track_list(path: str | os.PathLike[str]) -> TrackList:
    """Read the dataset's track list, `track_metadata.db` (SQLite) or `msd_summary_file.h5` (HDF5, extra `msd`)."""
    file = Path(path)
    with described(file), open_regular(file) as stream:
        magic = stream.read(16)
    if magic.startswith(_SQLITE_MAGIC):
        numbers, track_ids, artist_ids = _read_sqlite(file)
    elif magic.startswith(_HDF5_MAGIC):
        with needs_extra(f"{file}: an HDF5 file", "msd"):
            import h5py  # noqa: F401
        numbers, track_ids, artist_ids = read_guarded(_read_hdf5, file)
    else:
        raise FileFormatError(
            f"{file}: neither an SQLite nor an HDF5 file; give the dataset's track_metadata.db or msd_summary_file.h5"
        )
    known = numbers > 0
    numbers, track_ids, artist_ids = numbers[known], track_ids[known], artist_ids[known]
    order = np.lexsort((track_ids, numbers))
    return TrackList(numbers[order], track_ids[order], artist_ids[order])


_Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.bytes_], npt.NDArray[np.bytes_]]


def _read_sqlite(file: Path) -> _Columns:
    try:
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT track_7digitalid, track_id, artist_id FROM songs").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise FileFormatError(
            f"{file}: no table `songs` with track_7digitalid, track_id and artist_id ({error}); early copies of "
            "track_metadata.db lack the 7digital numbers: use msd_summary_file.h5"
        ) from error
    numbers = np.array([row[0] if isinstance(row[0], int) else 0 for row in rows], np.int64)
    return numbers, _bytes(row[1] for row in rows), _bytes(row[2] for row in rows)


def _bytes(values: Iterator[Any]) -> npt.NDArray[np.bytes_]:
    return np.array([str(value or "").encode() for value in values] or [b""], np.bytes_)


def _read_hdf5(file: str) -> _Columns:
    import h5py

    try:
        with h5py.File(file, "r") as summary:
            metadata, analysis = summary["metadata/songs"], summary["analysis/songs"]
            return (
                metadata["track_7digitalid"][:].astype(np.int64),
                analysis["track_id"][:].astype(np.bytes_),
                metadata["artist_id"][:].astype(np.bytes_),
            )
    except (OSError, KeyError, ValueError) as error:
        raise FileFormatError(
            f"{file}: not the dataset's summary file ({error}); metadata/songs and analysis/songs are needed"
        ) from error


def read_mismatches(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read ``sid_mismatches.txt``: tracks that were matched to the wrong song, in the file's order.

    A line reads ``ERROR: <song id track id> artist  -  title  !=  artist  -  title``; lines without ``<...>`` may name
    a track id (TR...) alone.
    """
    found = [match[1] or match[2] for line in _lines(path) if (match := _MISMATCH.search(line))]
    if not found:
        raise FileFormatError(
            f"{path}: no mismatches; a line holds '<song id track id>', as in the dataset's sid_mismatches.txt"
        )
    return tuple(dict.fromkeys(found))


def read_duplicates(path: str | os.PathLike[str]) -> tuple[tuple[str, ...], ...]:
    """Read ``msd_duplicates.txt``: groups of tracks that are the same song.

    Lines that start with ``#`` are comments, one with ``%`` opens a group, others start with a track id (what follows
    a blank or ``<SEP>`` is ignored). In a file without ``%`` each line is a group of track ids (TR...).
    """
    lines = [(number, line) for number, line in enumerate(_lines(path), 1) if line.strip() and line[0] != "#"]
    groups: list[list[str]] = []
    if any(line.startswith("%") for _, line in lines):
        for number, line in lines:
            if line.startswith("%"):
                groups.append([])
            elif not groups:
                raise FileFormatError(
                    f"{path}: line {number}, {line[:40]!r}, comes before the first group; a group opens with a % line"
                )
            else:
                groups[-1].append(_AFTER_ID.split(line.strip(), maxsplit=1)[0])
    else:
        groups = [_TRACK_ID.findall(line) for _, line in lines]
    found = tuple(tuple(dict.fromkeys(group)) for group in groups if group)
    if not found:
        raise FileFormatError(
            f"{path}: no group of duplicates; a group opens with a line that starts with %, as in the dataset's "
            "msd_duplicates.txt"
        )
    return found


def _lines(path: str | os.PathLike[str]) -> list[str]:
    with (
        described(path),
        io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", errors="replace") as stream,
    ):
        return [line.rstrip("\n") for line in stream]
