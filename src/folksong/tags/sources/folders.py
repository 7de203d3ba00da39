"""A folder of class folders as tags: ``Flute/0356dec7.ogg`` carries the tag ``Flute``.

Each folder between the root and a recording is a tag, so ``Wind/Flute/a.ogg`` carries two. A recording right in the
root has no folder and so no tag.
"""

from __future__ import annotations

import os
from pathlib import Path

from folksong.errors import FileFormatError, FolksongError
from folksong.files import AUDIO_EXTENSIONS, track_id_of
from folksong.tags.sources.entries import Dropped
from folksong.tags.table import TagTable, table_of_sets


def find_recordings(root: str | os.PathLike[str]) -> dict[str, Path]:
    """Return the recordings below `root`: track id -> path, in the order of the ids' code points.

    The id is the path below the root in POSIX form without its extension. Hidden files and folders are passed over.
    Of two files that differ in the extension only the first by code point is kept, with a warning that names both.

    Raises:
        FolksongError: there is no such folder.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FolksongError(f"{root}: no such folder")
    dropped = Dropped(root)
    found: dict[str, Path] = {}
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(where, name)
            if name.startswith(".") or path.suffix.lower() not in AUDIO_EXTENSIONS:
                continue
            track_id = track_id_of(path.relative_to(folder))
            if track_id in found:
                dropped.note(
                    f"{found[track_id].name} and {name} would both be track {track_id!r}; the first is kept"
                )
            else:
                found[track_id] = path
    return dict(sorted(found.items()))


def read_folders(root: str | os.PathLike[str]) -> TagTable:
    """Read the folders that recordings lie in as their tags.

    Raises:
        FolksongError: there is no such folder.
        FileFormatError: there are no recordings in it.
    """
    recordings = find_recordings(root)
    if not recordings:
        raise FileFormatError(
            f"{root}: no recordings ({', '.join(sorted(AUDIO_EXTENSIONS))}) in this folder or below it"
        )
    return table_of_sets({track_id: track_id.split("/")[:-1] for track_id in recordings})
