"""A folder of class folders as tags: ``Flute/0356dec7.ogg`` carries the tag ``Flute``.

Each folder between the root and a recording is a tag, so ``Wind/Flute/a.ogg`` carries two. A recording right in the
root has no folder and so no tag. Track ids are paths without their ending (`folksong.recordings`).
"""

from __future__ import annotations

import os

from folksong.errors import FileFormatError
from folksong.recordings import AUDIO_EXTENSIONS, recordings_by_id
from folksong.tags.table import TagTable, table_of_sets


def read_folders(root: str | os.PathLike[str]) -> TagTable:
    """Read the folders that recordings lie in as their tags.

    Raises:
        FolksongError: there is no such folder.
        FileFormatError: there are no recordings in it.
    """
    recordings = recordings_by_id(root)
    if not recordings:
        raise FileFormatError(
            f"{root}: no recordings ({', '.join(sorted(AUDIO_EXTENSIONS))}) in this folder or below it"
        )
    return table_of_sets({track_id: track_id.split("/")[:-1] for track_id in sorted(recordings)})
