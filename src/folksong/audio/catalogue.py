"""Track lists: which track id belongs to which file.

From a CSV file with a column of track ids and one of paths (`track_id` and `mp3_path` as `folksong.audio.scan` and the
earlier project write them, or those of MTG-Jamendo and MagnaTagATune), or from a folder, where a track's id is its path
below the folder without the ending (`folksong.recordings`). Lines that start with ``#`` are comments before the header
only; ids and paths are taken as they stand, blanks included.
"""

import csv
import io
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folksong.errors import FileFormatError, FolksongError, nearest, some_of
from folksong.files import but_it_is, describe_os_error, open_regular
from folksong.recordings import AUDIO_EXTENSIONS, recordings_by_id
from folksong.stores import is_address

logger = logging.getLogger(__name__)

# Names of columns by their letters and digits, the preferred first.
TRACK_COLUMNS = ("trackid", "tid", "clipid", "recordingid", "songid")
PATH_COLUMNS = ("mp3path", "path", "filepath", "filename", "file", "npzpath")
ARTIST_COLUMNS = ("artistid", "artist", "artistname")  # an id is the same for all spellings of a name
ROOT_COMMENT = "# root: "


@dataclass(frozen=True, slots=True)
class Track:
    """One recording: its id is unique in its list; `artist` is an id or name, where known."""

    track_id: str
    path: Path
    artist: str | None = None


def read_catalogue(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> list[Track]:
    """Read a track list.

    Args:
        path: a CSV (or tab-separated) file with a column of track ids and one of paths; others are ignored, but for
            those of artists: of artist_id, artist and artist_name, the first in which anything stands.
        root: the folder that relative paths start from. None: the one that a line ``# root: /music`` at the top names
            (`folksong.audio.scan` writes it) if it is there, else the file's own folder.

    Returns:
        The tracks in the file's order. Of a repeated track id the first line counts, of which a warning tells.

    Raises:
        FolksongError: the file cannot be read.
        FileFormatError: the columns are missing (the message lists those found) or no line holds a track.
    """
    file = Path(path)
    tracks: dict[str, tuple[Path, list[str]]] = {}
    repeated: list[str] = []
    incomplete: list[int] = []
    try:
        with io.TextIOWrapper(open_regular(file), encoding="utf-8-sig", newline="") as stream:
            header, n_lines, named = _read_header(stream)
            is_there = named is not None and (is_address(named) or named.is_dir())
            base = Path(root) if root is not None else named if named and is_there else file.parent
            for line, track_id, place, *artists in _rows(file, header, stream):
                if not track_id or not place:
                    incomplete.append(line + n_lines)
                elif track_id in tracks:
                    repeated.append(track_id)
                else:
                    tracks[track_id] = Path(place) if is_address(place) else base / place, artists
    except OSError as error:
        raise FolksongError(describe_os_error(error, file)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        why = but_it_is(file) or f" ({error}); save it as one"
        raise FileFormatError(f"{file}: not a CSV file in UTF-8{why}") from error
    if incomplete:
        logger.warning(
            "%s: %d lines without a track id or a path are left out (line %s)",
            *(file, len(incomplete), some_of(incomplete)),
        )
    if repeated:
        logger.warning(
            "%s: %d lines repeat a track id, the first line of each counts: %s",
            *(file, len(repeated), some_of(dict.fromkeys(repeated))),
        )
    if not tracks:
        raise FileFormatError(f"{file}: lists no track; each line needs a track_id and an mp3_path")
    named_in = [any(cells) for cells in zip(*(artists for _, artists in tracks.values()), strict=True)]
    column = named_in.index(True) if True in named_in else None
    return [
        Track(track_id, place, None if column is None else artists[column] or None)
        for track_id, (place, artists) in tracks.items()
    ]


def _read_header(stream: Iterator[str]) -> tuple[str, int, Path | None]:
    """Return the first line that is no comment, its number, and the root that the comments before it name."""
    root, number = None, 0
    for number, line in enumerate(stream, 1):
        if line.startswith(ROOT_COMMENT):
            root = Path(line.removeprefix(ROOT_COMMENT).rstrip("\r\n"))
        elif line.strip() and not line.startswith("#"):
            return line, number, root
    return "", number, root


def _rows(file: Path, header: str, stream: Iterator[str]) -> Iterator[tuple[Any, ...]]:
    """Yield (line number after the header, track id, path, artist by each of the usual names) of each row."""
    separator = "\t" if "\t" in header and "," not in header else ","
    names = next(csv.reader([header], delimiter=separator), [])
    spaced = len(names) > 1 and all(name.startswith(" ") for name in names[1:])  # "a, b, c" by hand
    columns = _find_columns(file, names)
    rows = csv.reader(stream, delimiter=separator, skipinitialspace=spaced)
    for row in rows:
        if row:
            cells = (row[column] if 0 <= column < len(row) else "" for column in columns)
            yield rows.line_num, *cells


def _find_columns(file: Path, names: Sequence[str]) -> list[int]:
    """Return the numbers of the columns of track ids, of paths, and of artists (-1 where there is none)."""
    plain = ["".join(filter(str.isalnum, name.casefold())) for name in names]
    found = []
    for wanted, usual in (("track_id", TRACK_COLUMNS), ("mp3_path", PATH_COLUMNS)):
        column = next((plain.index(name) for name in usual if name in plain), None)
        if column is None:
            listed = ", ".join(repr(name.strip()) for name in names) or "none at all"
            raise FileFormatError(
                f"{file}: no column {wanted!r}{nearest(wanted, [name.strip() for name in names])}; a track list needs "
                f"'track_id' and 'mp3_path', its columns are: {listed[:300]}"
            )
        found.append(column)
    return found + [plain.index(name) if name in plain else -1 for name in ARTIST_COLUMNS]


def read_tracks(place: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks of a folder of recordings, or of a track list."""
    return scan_folder(place) if Path(place).is_dir() else read_catalogue(place)


def scan_folder(root: str | os.PathLike[str]) -> list[Track]:
    """Return the recordings below a folder, ordered by the code points of their paths (`folksong.recordings`).

    Raises:
        FolksongError: not a folder, or no recording in it.
    """
    found = recordings_by_id(root)
    if not found:
        raise FolksongError(f"{root}: holds no recording ({', '.join(sorted(AUDIO_EXTENSIONS))})")
    return [Track(track_id, path) for track_id, path in found.items()]
