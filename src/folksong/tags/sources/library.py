"""Tags of a folder of recordings: the folders they lie in, or the genre, mood and grouping fields that they carry.

With class folders, each folder between the root and a recording is a tag, so ``Wind/Flute/a.ogg`` carries two. Track
ids are paths without their ending (`folksong.recordings`). The fields are read by mutagen (an extra: it is GPL); one
may hold several values, and a value several tags apart by ``;`` or ``/``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from folksong.errors import FileFormatError, FolksongError
from folksong.recordings import AUDIO_EXTENSIONS, recordings_by_id
from folksong.tags.sources.entries import Dropped, UnclearSourceError
from folksong.tags.table import TagTable, table_of_sets

JOIN = "---"
"""Parts a tag's category from its name, as MTG-Jamendo writes them: ``mood---dark``."""
logger = logging.getLogger(__name__)

FIELDS = ("genre", "mood", "grouping")
SEPARATORS = ";/"
LOOKED_AT = 10
"""So many recordings of class folders are looked at for genres of their own."""
# ID3 frames, MP4 atoms and ASF attributes by field; Vorbis and APE comments bear the fields' own names.
_NAMES = {
    "tcon": "genre", "\xa9gen": "genre", "wm/genre": "genre", "genre": "genre",
    "tmoo": "mood", "----:com.apple.itunes:mood": "mood", "wm/mood": "mood", "mood": "mood",
    "tit1": "grouping", "grp1": "grouping", "\xa9grp": "grouping", "wm/contentgroupdescription": "grouping",
    "grouping": "grouping", "contentgroup": "grouping",
}  # fmt: skip


def read_library(
    root: str | os.PathLike[str],
    *,
    fields: Sequence[str] = FIELDS,
    separators: str = SEPARATORS,
    categories: bool = False,
) -> TagTable:
    """Read the tags that the files below a folder carry; track ids are paths, as for class folders.

    Args:
        root: the folder.
        fields: of ``"genre"``, ``"mood"``, ``"grouping"``.
        separators: characters that part several tags within one value.
        categories: write a tag's field before it: ``mood---dark``.

    Raises:
        FolksongError: mutagen is not installed, there is no such folder, or a field is unknown.
        FileFormatError: there are no recordings.
    """
    mutagen = import_mutagen("reading a music library's own tags")
    unknown = [field for field in fields if field not in FIELDS]
    if unknown or not fields:
        raise FolksongError(f"fields are {', '.join(FIELDS)}, not {unknown[0] if unknown else 'none'!r}")
    recordings = recordings_by_id(root)
    if not recordings:
        raise FileFormatError(f"{root}: no recordings in this folder or below it")
    apart = re.compile(f"[{re.escape(separators)}]") if separators else None
    found: dict[str, list[str]] = {}
    dropped = Dropped(root)
    for track_id, path in sorted(recordings.items()):
        found[track_id] = []
        try:
            file = mutagen.File(path)
        except (mutagen.MutagenError, OSError, ValueError, EOFError) as error:
            dropped.add("the file's tags cannot be read", 1)
            logger.warning("%s: its tags cannot be read (%s)", path, error)
            continue
        for field, value in _values(file):
            if field in fields:
                parts = apart.split(value) if apart else [value]
                names = [name for part in parts if (name := " ".join(part.replace("\x00", " ").split()))]
                found[track_id] += [f"{field}{JOIN}{name}" if categories else name for name in names]
    dropped.warn()
    return table_of_sets(found)


def read_folders(root: str | os.PathLike[str]) -> TagTable:
    """Read the folders that recordings lie in as their tags.

    Raises:
        FolksongError: there is no such folder.
        FileFormatError: there are no recordings in it, or they lie in no folders of their own.
    """
    recordings = recordings_by_id(root)
    if not recordings:
        raise FileFormatError(
            f"{root}: no recordings ({', '.join(sorted(AUDIO_EXTENSIONS))}) in this folder or below it"
        )
    tags_of = {track_id: track_id.split("/")[:-1] for track_id in sorted(recordings)}
    if not any(tags_of.values()):
        raise UnclearSourceError(
            f"{root}: {len(recordings)} recordings, but no folders of classes that could be their tags; the files' own "
            "genre, mood and grouping fields are the format 'library'",
            format="library",
        )
    if _carry_tags(list(recordings.values())[:LOOKED_AT]):
        logger.info(
            "%s: folders are the tags; the files carry genres of their own too, which the format 'library' reads",
            root,
        )
    return table_of_sets(tags_of)


def _carry_tags(paths: Sequence[Path]) -> bool:
    """Say whether most of these files carry a field of `FIELDS`; no where mutagen is not installed."""
    try:
        import mutagen
    except ImportError:
        return False
    number = 0
    for path in paths:
        with suppress(mutagen.MutagenError, OSError, ValueError, EOFError):
            number += any(_values(mutagen.File(path)))
    return 2 * number > len(paths)


def _values(file: Any) -> Iterator[tuple[str, str]]:
    """Yield (field, value) of a file's tags, of whatever kind."""
    tags = getattr(file, "tags", None)
    if tags is None:
        return
    for key, value in tags.items() if hasattr(tags, "items") else list(tags):
        name = key.casefold()
        field = _NAMES.get(name) or _NAMES.get(name.split(":")[0])
        if field is None:
            continue
        # An ID3 genre may be a number of a list; mutagen's `genres` gives its name.
        values = getattr(value, "genres", None) or getattr(value, "text", None) or value
        for one in values if isinstance(values, list) else [values]:
            text = one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
            for part in text.split("\x00"):
                yield field, part


def import_mutagen(purpose: str) -> Any:
    """Return the package that reads and writes files' own tags.

    Raises:
        FolksongError: it is not installed; the message says that `purpose` needs it.
    """
    try:
        import mutagen
    except ImportError as error:
        raise FolksongError(f"{purpose} needs mutagen: pip install 'folksong[library]'") from error
    return mutagen
