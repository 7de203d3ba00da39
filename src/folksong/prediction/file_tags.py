"""Labels written into a recording's own tag field: genre, grouping or mood.

mp3, wav and aiff bear ID3 frames, flac, ogg and opus Vorbis comments, m4a MP4 atoms; what else a file carries stays as
it is, and so does its sound. A copy is changed beside the file, read again, and takes its place in one step, so that a
killed process leaves the old file or the new one. mutagen does the writing (an extra: it is GPL).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folksong.errors import AudioError
from folksong.files import atomic_path
from folksong.tags.sources.library import import_mutagen

FIELDS = ("genre", "grouping", "mood")
KEYS = {
    "id3": {"genre": "TCON", "grouping": "TIT1", "mood": "TMOO"},
    "vorbis": {"genre": "genre", "grouping": "grouping", "mood": "mood"},
    "mp4": {"genre": "\xa9gen", "grouping": "\xa9grp", "mood": "----:com.apple.iTunes:MOOD"},
}
FAMILIES = {
    "MP3": "id3", "WAVE": "id3", "AIFF": "id3", "MP4": "mp4",
    "FLAC": "vorbis", "OggVorbis": "vorbis", "OggOpus": "vorbis", "OggFLAC": "vorbis", "OggSpeex": "vorbis",
}  # fmt: skip
"""mutagen's classes -> the kind of their tags."""

FREEFORM = "----:"  # beginning of MP4 atoms whose values are bytes


@dataclass(frozen=True)
class FieldChange:
    """What a field held and what it holds now.

    Args:
        file: the recording.
        before: values that were there.
        after: values that are there now, or would be.
    """

    file: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def write_labels(
    file: str | os.PathLike[str],
    labels: Sequence[str],
    *,
    field: str = "grouping",
    existing: str = "refuse",
    dry_run: bool = False,
) -> FieldChange:
    """Write labels into a field of a recording, and return what changed. Without labels nothing does.

    Args:
        file: the recording.
        labels: in the order in which they are to stand.
        field: ``"genre"``, ``"grouping"`` or ``"mood"``.
        existing: what happens to values that are there: ``"refuse"`` to write, ``"append"`` to them, ``"replace"``.
        dry_run: only say what would change.

    Raises:
        AudioError: the file holds no tags that can be written, or other ones than `existing` allows.
        FolksongError: mutagen is not installed, or the file cannot be replaced.
    """
    path = Path(file).resolve()  # of a link its target is written
    kind, before = _read(path, file, field)
    known = {value.casefold() for value in before}
    after = list(labels)
    if existing == "append" or not labels:
        after = [*before, *(label for label in labels if label.casefold() not in known)]
    elif existing == "refuse" and before and before != after:
        raise AudioError(
            f"{file}: its {field} says {', '.join(map(repr, before))} already; --append adds to that, --replace "
            "replaces it"
        )
    if after != before and not dry_run:
        with atomic_path(path) as copy:
            shutil.copyfile(path, copy)
            shutil.copymode(path, copy)
            _set(copy, kind, field, after)
            if _read(copy, file, field, kind)[1] != after:
                raise AudioError(f"{file}: its {field} did not take the labels; the file is as it was")
    return FieldChange(os.fspath(file), tuple(before), tuple(after))


def check_mutagen() -> Any:
    """Return the package that writes tags.

    Raises:
        FolksongError: it is not installed.
    """
    return import_mutagen("writing tags into files")


def _read(path: Path, file: str | os.PathLike[str], field: str, kind: Any = None) -> tuple[Any, list[str]]:
    """Return mutagen's class for a file, and the values of one of its fields."""
    mutagen = check_mutagen()
    try:
        opened = mutagen.File(path) if kind is None else kind(path)
    except (mutagen.MutagenError, OSError, ValueError, EOFError) as error:
        raise AudioError(f"{file}: its tags cannot be read ({error})") from error
    if opened is None:
        raise AudioError(f"{file}: not a recording whose tags can be written")
    key = KEYS[_family(opened, file)][field]
    if opened.tags is None or key not in opened.tags:
        return type(opened), []
    value = opened.tags[key]
    values = getattr(value, "genres", None) or getattr(value, "text", None) or value
    found = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values]
    return type(opened), [one for one in found if one]


def _set(path: Path, kind: Any, field: str, values: Sequence[str]) -> None:
    opened = kind(path)
    if opened.tags is None:
        opened.add_tags()
    family = _family(opened, path)
    key = KEYS[family][field]
    if family == "id3":
        from mutagen import id3

        opened.tags.setall(key, [getattr(id3, key)(encoding=id3.Encoding.UTF8, text=list(values))])
    elif key.startswith(FREEFORM):
        opened.tags[key] = [value.encode() for value in values]
    else:
        opened.tags[key] = list(values)
    opened.save()


def _family(opened: Any, file: str | os.PathLike[str]) -> str:
    """Return which of `KEYS` a file's tags have."""
    name = type(opened).__name__
    if name not in FAMILIES:
        raise AudioError(f"{file}: the tags of this kind of file ({name}) are not written")
    return FAMILIES[name]
