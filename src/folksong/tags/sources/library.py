"""A music library's own tags: the genre, mood and grouping fields that its files carry.

Read by mutagen (an extra: it is GPL). A field may hold several values, and a value several tags apart by ``;`` or
``/``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from folksong.errors import FileFormatError, FolksongError
from folksong.recordings import recordings_by_id
from folksong.tags.sources.categories import JOIN
from folksong.tags.sources.entries import Dropped
from folksong.tags.table import TagTable, table_of_sets

logger = logging.getLogger(__name__)

FIELDS = ("genre", "mood", "grouping")
SEPARATORS = ";/"
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
