"""Tags of a folder of recordings: the folders they lie in, or the genre, mood and grouping fields that they carry.

With class folders, each folder between the root and a recording is a tag, so ``Wind/Flute/a.ogg`` carries two. Track
ids are paths without their ending (`folksong.recordings`). The fields are read by mutagen (an extra: it is GPL); one
may hold several values, and a value several tags apart by ``;`` or ``/``.
"""

import logging
import os
import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from folksong.errors import FileFormatError, FolksongError, UnclearSourceError, needs_extra
from folksong.recordings import AUDIO_EXTENSIONS, recordings_by_id
from folksong.tags.table import Dropped, TagTable

JOIN = "---"
"""Parts a tag's category from its name, as MTG-Jamendo writes them: ``mood---dark``."""
logger = logging.getLogger(__name__)

FIELDS = ("genre", "mood", "grouping")
SEPARATORS = ";/"
MOST_INFO_BYTES = 1 << 20
LOOKED_AT = 10
"""So many recordings of class folders are looked at for genres, artists and albums of their own."""
# ID3 frames, MP4 atoms and ASF attributes by field; Vorbis and APE comments bear the fields' own names.
_NAMES = {
    "tcon": "genre", "\xa9gen": "genre", "wm/genre": "genre", "genre": "genre",
    "tmoo": "mood", "----:com.apple.itunes:mood": "mood", "wm/mood": "mood", "mood": "mood",
    "tit1": "grouping", "grp1": "grouping", "\xa9grp": "grouping", "wm/contentgroupdescription": "grouping",
    "grouping": "grouping", "contentgroup": "grouping",
    "tpe1": "artist", "\xa9art": "artist", "author": "artist", "artist": "artist",
    "tpe2": "artist", "aart": "artist", "wm/albumartist": "artist", "albumartist": "artist", "album artist": "artist",
    "talb": "album", "\xa9alb": "album", "wm/albumtitle": "album", "album": "album",
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
    """
    import_mutagen("reading a music library's own tags")
    unknown = [field for field in fields if field not in FIELDS]
    if unknown or not fields:
        raise FolksongError(f"fields are {', '.join(FIELDS)}, not {unknown[0] if unknown else 'none'!r}")
    recordings = recordings_by_id(root)
    if not recordings:
        raise FileFormatError(f"{root}: no recordings in this folder or below it")
    parted = f"[{re.escape(separators)}]" if separators else "(?!)"
    found: dict[str, list[str]] = {}
    dropped = Dropped(root)
    for track_id, path in sorted(recordings.items()):
        found[track_id] = []
        try:
            values = values_of(path)
        except FileFormatError as error:
            dropped.add("the file's tags cannot be read", 1)
            logger.warning("%s", error)
            continue
        for field, value in values:
            names = (" ".join(part.replace("\x00", " ").split()) for part in re.split(parted, value))
            if field in fields:
                found[track_id] += [f"{field}{JOIN}{name}" if categories else name for name in names if name]
    dropped.warn()
    return _table(found)


def read_folders(root: str | os.PathLike[str]) -> TagTable:
    """Read the folders that recordings lie in as their tags."""
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
    _say_what_files_carry(root, recordings)
    return _table(tags_of)


def _say_what_files_carry(root: str | os.PathLike[str], recordings: Mapping[str, Path]) -> None:
    """Warn where most folders are their files' artists and albums; tell of genres that the files carry."""
    looked_at = list(recordings.items())[:: -(-len(recordings) // LOOKED_AT)]
    with_genre = named_so = 0
    for track_id, path in looked_at:
        with suppress(FolksongError):  # mutagen may not be installed
            values = values_of(path)
            with_genre += any(field in FIELDS for field, _ in values)
            own = {_folded(value) for field, value in values if field not in FIELDS}
            named_so += any(_folded(folder) in own for folder in track_id.split("/")[:-1])
    carry = "the files carry genres of their own, which the format 'library' reads"
    if 2 * named_so > len(looked_at):
        logger.warning(
            "%s: these tags are names of folders, and most folders are the artists and albums of their files; %s",
            root, carry if 2 * with_genre > len(looked_at) else "the files carry no genres",
        )  # fmt: skip
    elif 2 * with_genre > len(looked_at):
        logger.info("%s: folders are the tags; %s", root, carry)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _table(tags_of: dict[str, list[str]]) -> TagTable:
    """Build a table of weight 1; tracks without a tag stay, tags come in code point order."""
    tags = sorted({tag for names in tags_of.values() for tag in names})
    number = {tag: column for column, tag in enumerate(tags)}
    pairs = [(row, number[tag]) for row, names in enumerate(tags_of.values()) for tag in names]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return TagTable.from_codes(list(tags_of), tags, rows, columns, np.ones(len(rows), np.float32))


def values_of(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Return (field, value) of a recording's own tags, of whatever kinds; several kinds may say the same.

    Fields are those of `FIELDS`, ``artist`` and ``album``.

    ID3 frames and ``TXXX`` frames named after a field, Vorbis comments, MP4 atoms, ASF attributes, APEv2 (beside ID3
    too), and the genre of a wav's ``LIST INFO``.
    """
    mutagen = import_mutagen("reading a music library's own tags")
    try:
        file = mutagen.File(path)
        if type(file).__name__ in ("MP3", "WAVE", "AIFF"):
            file = type(file)(path, translate=False)  # genres as they are written
        found = list(_values(getattr(file, "tags", None)))
        if type(file).__name__ == "MP3":
            with suppress(mutagen.apev2.APENoHeaderError):
                found += _values(mutagen.apev2.APEv2(path))
        elif type(file).__name__ == "WAVE":
            found += [("genre", text) for _, text in info_genres(path)]
    except (mutagen.MutagenError, OSError, ValueError, EOFError, struct.error) as error:
        raise FileFormatError(f"{path}: its tags cannot be read ({error})") from error
    return found


def info_genres(path: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """Return the genres (``IGNR``) of a wav's ``LIST INFO`` chunk, each with its place in the file."""
    found: list[tuple[int, str]] = []
    with Path(path).open("rb") as stream:
        stream.seek(12)
        while len(head := stream.read(8)) == 8:
            size, start = int.from_bytes(head[4:], "little"), stream.tell()
            if head[:4] == b"LIST" and size <= MOST_INFO_BYTES and (body := stream.read(size))[:4] == b"INFO":
                place = 4
                while place + 8 <= len(body):
                    length = int.from_bytes(body[place + 4 : place + 8], "little")
                    if body[place : place + 4] == b"IGNR":
                        text = body[place + 8 : place + 8 + length].rstrip(b"\0")
                        found.append((start + place, text.decode("utf-8", "replace")))
                    place += 8 + length + length % 2
            stream.seek(start + size + size % 2)
    return found


def genre_names(text: str) -> list[str]:
    """Return what an ID3 genre says: numbers of ID3's list, in parentheses or alone, become its names.

    >>> genre_names("(17)(9)Viking"), genre_names("17"), genre_names("((Foo) bar"), genre_names("(500) days")
    (['Rock', 'Metal', 'Viking'], ['Rock'], ['(Foo) bar'], ['(500) days'])
    """
    known = import_mutagen("reading genres").id3.TCON.GENRES
    names = {"RX": "Remix", "CR": "Cover", **{str(number): name for number, name in enumerate(known)}}
    if text in names:
        return [names[text]]
    found = []
    while (part := re.match(r"\((\w+)\)", text)) and part[1] in names:
        found.append(names[part[1]])
        text = text[part.end() :]
    return [*found, text.removeprefix("(") if text.startswith("((") else text] if text else found


def _values(tags: Any) -> Iterator[tuple[str, str]]:
    if tags is None:
        return
    for key, value in tags.items() if hasattr(tags, "items") else list(tags):
        name = key.casefold()
        field = _NAMES.get(name.removeprefix("txxx:")) or _NAMES.get(name.split(":")[0])
        if field is None:
            continue
        values = getattr(value, "text", None) or value
        for one in values if isinstance(values, list) else [values]:
            text = one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
            for part in text.split("\x00"):
                yield from ((field, each) for each in (genre_names(part) if name == "tcon" else [part]))


def import_mutagen(purpose: str) -> Any:
    """Return the package that reads and writes files' own tags."""
    with needs_extra(purpose, "library"):
        import mutagen
        import mutagen.apev2
        import mutagen.id3
    return mutagen
