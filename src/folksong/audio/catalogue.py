"""Track lists: which track id belongs to which file.

From a CSV file with the columns `track_id` and `mp3_path` (the shape of the earlier project's `ultimate.csv`; other
columns and lines that start with ``#`` are ignored, a column of artists is kept), or from a folder, where a track's id
is its path below the folder without the extension (`folksong.recordings`).
"""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import describe_os_error
from folksong.recordings import AUDIO_EXTENSIONS, recordings_by_id, some_of

logger = logging.getLogger(__name__)

TRACK_COLUMN, PATH_COLUMN = "track_id", "mp3_path"
ARTIST_COLUMNS = ("artist", "artist_id", "artist_name")
ROOT_COMMENT = "# root: "


@dataclass(frozen=True, slots=True)
class Track:
    """One recording.

    Args:
        track_id: unique in its list.
        path: the file.
        artist: name or id of the artist, where known.
    """

    track_id: str
    path: Path
    artist: str | None = None


def read_catalogue(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> list[Track]:
    """Read a track list.

    Args:
        path: a CSV (or tab-separated) file with the columns `track_id` and `mp3_path`.
        root: the folder that relative paths start from. None: the one that a line ``# root: /music`` at the top names
            (`folksong audio scan` writes it) if it is there, else the file's own folder.

    Returns:
        The tracks in the file's order. Of a repeated track id the first line counts, of which a warning tells.

    Raises:
        FolksongError: the file cannot be read.
        FileFormatError: the columns are missing (the message lists those found) or no line holds a track.
    """
    file = Path(path)
    base = _own_root(file) if root is None else Path(root)
    tracks: dict[str, Track] = {}
    repeated: list[str] = []
    incomplete: list[int] = []
    for line, row in _read_rows(file):
        track_id, relative = (row.get(key) or "" for key in (TRACK_COLUMN, PATH_COLUMN))
        if not track_id or not relative:
            incomplete.append(line)
        elif track_id in tracks:
            repeated.append(track_id)
        else:
            artist = next((row[key] for key in ARTIST_COLUMNS if row.get(key)), None)
            tracks[track_id] = Track(track_id, base / relative, artist)
    if incomplete:
        logger.warning(
            "%s: %d lines without a %s or %s are left out (line %s)",
            *(file, len(incomplete), TRACK_COLUMN, PATH_COLUMN, some_of(incomplete)),
        )
    if repeated:
        logger.warning(
            "%s: %d lines repeat a track id, the first line of each counts: %s",
            *(file, len(repeated), some_of(dict.fromkeys(repeated))),
        )
    if not tracks:
        raise FileFormatError(
            f"{file}: lists no track; each line needs a {TRACK_COLUMN} and an {PATH_COLUMN}"
        )
    return list(tracks.values())


def _own_root(file: Path) -> Path:
    """Return the root that the file's leading comments name, or its own folder."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            for line in stream:
                if not line.startswith("#"):
                    break
                named = Path(line.removeprefix(ROOT_COMMENT).strip())
                if line.startswith(ROOT_COMMENT) and named.is_dir():
                    return named
    except OSError as error:
        raise FolksongError(describe_os_error(error, file)) from error
    return file.parent


def _read_rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row by lower-case column name)."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            numbers: list[int] = []
            lines = _without_comments(stream, numbers)
            header = next(lines, "")
            separator = "\t" if "\t" in header and "," not in header else ","
            columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])]
            _check_columns(file, columns)
            for row in csv.reader(lines, delimiter=separator):
                if row:
                    yield numbers[-1], dict(zip(columns, (cell.strip() for cell in row), strict=False))
    except OSError as error:
        raise FolksongError(describe_os_error(error, file)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"{file}: not a CSV file in UTF-8 ({error}); save it as one") from error


def _without_comments(stream: Iterable[str], numbers: list[int]) -> Iterator[str]:
    """Yield the lines that are no comments; `numbers` gets the number of the line yielded last."""
    for number, line in enumerate(stream, 1):
        if line.strip() and not line.startswith("#"):
            numbers[:] = [number]
            yield line


def _check_columns(file: Path, columns: list[str]) -> None:
    for wanted in (TRACK_COLUMN, PATH_COLUMN):
        if wanted not in columns:
            found = ", ".join(repr(name) for name in columns) or "none at all"
            raise FileFormatError(
                f"{file}: no column {wanted!r}{nearest(wanted, columns)}; a track list needs {TRACK_COLUMN!r} and "
                f"{PATH_COLUMN!r}, its columns are: {found[:300]}"
            )


def scan_folder(root: str | os.PathLike[str]) -> list[Track]:
    """Return the recordings below a folder, ordered by the code points of their paths (`folksong.recordings`).

    Raises:
        FolksongError: not a folder, or no recording in it.
    """
    found = recordings_by_id(root)
    if not found:
        raise FolksongError(f"{root}: holds no recording ({', '.join(sorted(AUDIO_EXTENSIONS))})")
    return [Track(track_id, path) for track_id, path in found.items()]
