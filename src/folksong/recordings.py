"""Recordings below a folder: the one walk that finds them, and the track ids that follow from their paths.

Scans, class folders, music libraries and prediction all walk so, and therefore agree on ids. A file counts by its
ending. Hidden files and folders (a name that starts with one dot) do not count; names that start with two or three do
(``...And More/``). Links are followed, each folder once, known by device and inode; a folder's own place goes before
the links to it. What is passed over is told in a warning.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from folksong.errors import FolksongError, counted, some_of
from folksong.files import describe_os_error
from folksong.stores import absolute, is_address, open_objects

logger = logging.getLogger(__name__)

AUDIO_EXTENSIONS = frozenset((
    ".aac", ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".mp4",
    ".oga", ".ogg", ".opus", ".snd", ".spx", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma",
))  # fmt: skip
"""What a recording's name ends in (lower case): all that `folksong.audio.decode` reads, which goes by the content."""


def walk_recordings(root: str | os.PathLike[str]) -> list[str]:
    """Return the paths of all recordings below a folder (or address), relative to it, by code point; with ``/``."""
    if is_address(root):
        return sorted(
            path
            for path in open_objects(absolute(root)).paths()
            if _has_audio_ending(path) and not any(map(_is_hidden, path.split("/")))
        )
    folder = Path(root)
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "no such folder"
        raise FolksongError(f"{folder}: {kind}; give the folder that holds the recordings")
    found: list[str] = []
    left_out: dict[str, list[str]] = {}
    for entry, relative in _entries(folder):
        if _is_hidden(entry.name):
            if not entry.name.startswith("._") and _holds_recording(entry):  # ._x is macOS's shadow of x
                left_out.setdefault("are hidden by a dot in front; rename them to use them", []).append(
                    relative
                )
        elif not _has_audio_ending(entry.name):
            continue
        elif not _is_utf8(relative):  # no CSV file or record could hold the name
            left_out.setdefault("have names that are not UTF-8; rename them", []).append(relative)
        elif not Path(entry).is_file():
            left_out.setdefault("are no files (pipes, broken links)", []).append(relative)
        else:
            found.append(relative)
    for reason, paths in left_out.items():
        logger.warning(
            "%s: %s left out, they %s: %s", root, counted(len(paths), "recording"), reason, some_of(paths)
        )
    return sorted(found)


def recordings_by_id(root: str | os.PathLike[str]) -> dict[str, Path]:
    """Return track id -> file of the recordings below a folder, ordered by the code points of their paths.

    Of files that differ in the ending only the first counts, of which a warning tells.
    """
    folder = Path(root)
    found: dict[str, Path] = {}
    twins: list[str] = []
    for relative in walk_recordings(folder):
        track_id = track_id_of(relative)
        if track_id in found:
            twins.append(f"{relative} ({found[track_id].name} is kept)")
        else:
            found[track_id] = folder / relative
    if twins:
        logger.warning(
            "%s: %d recordings would have the same track id as another, since only their endings differ; the first is "
            "kept, rename the others: %s",
            *(root, len(twins), some_of(twins)),
        )
    return found


def track_id_of(relative_path: str | os.PathLike[str]) -> str:
    """Return the track id of a recording that has no other: its path below the root, POSIX form, no extension.

    >>> track_id_of("Flute/0356dec7.ogg")
    'Flute/0356dec7'
    """
    path = PurePosixPath(Path(relative_path).as_posix())
    return path.with_suffix("").as_posix()


def _entries(folder: Path) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield all files below a folder and its hidden folders, unopened, each with its path below it."""
    visited: set[tuple[int, int]] = set()
    places, links = [""], list[str]()
    while places or links:
        below = places.pop() if places else links.pop(0)
        place = folder / below
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(place) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            raise FolksongError(describe_os_error(error, error.filename or place)) from error
        for entry in entries:
            relative = f"{below}/{entry.name}" if below else entry.name
            if not _is_hidden(entry.name) and Path(entry).is_dir():
                (links if entry.is_symlink() else places).append(relative)
            else:
                yield entry, relative


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and not name.startswith("..")


def _has_audio_ending(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_EXTENSIONS


def _holds_recording(entry: os.DirEntry[str]) -> bool:
    if not entry.is_dir(follow_symlinks=False):
        return _has_audio_ending(entry.name)
    files = (name for _, _, names in os.walk(entry.path) for name in names)
    return any(_has_audio_ending(name) and not name.startswith("._") for name in files)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
