"""Labels written into a recording's own tag field: genre, grouping or mood.

mp3, wav and aiff bear ID3 frames, flac, ogg and opus Vorbis comments, m4a MP4 atoms; what else a file carries stays as
it is, and so does its sound: of an ID3 tag the version and every other frame, byte for byte. A copy is changed beside
the file, read again, and takes its place in one step, so that a killed process leaves the old file or the new one.
mutagen does the writing (an extra: it is GPL). What a field held can be kept in a record, one JSON line a change, from
which it is put back.
"""

import logging
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from folksong import journal
from folksong.errors import AudioError, FileFormatError, FolksongError
from folksong.files import atomic_path, but_it_is, reading
from folksong.tags.sources.library import genre_names, import_mutagen, info_genres, values_of

logger = logging.getLogger(__name__)

Field = Literal["genre", "grouping", "mood"]
FIELDS: tuple[Field, ...] = get_args(Field)
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
UNSYNCHRONISED = 0x02  # of a frame of ID3v2.4
ID3V1_BYTES = 128


@dataclass(frozen=True)
class FieldChange:
    """What a field of a recording held and what it holds now, or would."""

    file: str
    field: Field
    before: tuple[str, ...]
    after: tuple[str, ...]


def write_labels(
    file: str | os.PathLike[str],
    labels: Sequence[str],
    *,
    field: Field = "grouping",
    existing: Literal["keep", "append", "replace"] = "keep",
    record: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
) -> FieldChange:
    """Write labels into a field of a recording, and return what changed. Without labels nothing does.

    Args:
        file: the recording.
        labels: in the order in which they are to stand.
        field: ``"genre"``, ``"grouping"`` or ``"mood"``.
        existing: what happens to values that are there: ``"keep"`` them alone, ``"append"`` to them, ``"replace"``.
        record: a file to which the change is added before it is made, for `restore_fields`.
        dry_run: only say what would change.

    Raises:
        AudioError: the file holds no tags that can be written.
        FolksongError: mutagen is not installed, or the file cannot be replaced.
    """
    path = Path(file).resolve()  # of a link its target is written
    try:
        kind, before = _kind(path, file), _read(path, field)
        known = {value.casefold() for value in before}
        after = list(labels)
        if existing == "append" or not labels:
            after = [*before, *(label for label in labels if label.casefold() not in known)]
        elif before and (existing == "keep" or before == _as_read(labels, kind, field)):
            after = before
        change = FieldChange(os.fspath(file), field, tuple(before), tuple(after))
        if after != before and not dry_run:
            if record is not None:
                journal.append(record, [{**asdict(change), "file": os.fspath(path)}])
            _replace(path, file, kind, field, after)
    except FileFormatError as error:
        raise AudioError(str(error).replace(str(path), os.fspath(file), 1)) from error
    return change


def read_record(record: str | os.PathLike[str]) -> list[FieldChange]:
    """Return the changes in a record of `write_labels`, in the order in which they were made.

    Raises:
        FileFormatError: it is no such record.
    """
    entries = journal.read(record)
    if not entries and Path(record).stat().st_size:
        raise FileFormatError(f"{record}: not a record of written tags{but_it_is(record)}")
    with reading(record, "a record has a JSON line for each change of a field"):
        return [TypeAdapter(FieldChange).validate_python(entry) for entry in entries]


def restore_fields(
    record: str | os.PathLike[str] | Sequence[FieldChange],
    *,
    dry_run: bool = False,
    on_error: Callable[[str, FolksongError], None] | None = None,
) -> Iterator[FieldChange]:
    """Put back what fields held before `write_labels` changed them, the last change first, and yield each.

    A field that holds what it held already is left as it is, and so is one that was changed by others since.

    Args:
        record: what `write_labels` wrote, or the changes in it.
        dry_run: only say what would change.
        on_error: called with file and error instead of raising, where a file cannot be restored.

    Raises:
        FileFormatError: it is no such record.
        FolksongError: a file is gone, cannot be written, or its field was changed since.
    """
    for made in reversed(read_record(record) if isinstance(record, str | os.PathLike) else record):
        path = Path(made.file)
        try:
            kind, held = _kind(path, path), _read(path, made.field)
            before, after = (_as_read(values, kind, made.field) for values in (made.before, made.after))
            if held not in (before, after):
                now = ", ".join(map(repr, held)) or "nothing"
                raise AudioError(f"{path}: its {made.field} was changed since and says {now}; left as it is")
            if held != before and not dry_run:
                _replace(path, path, kind, made.field, list(made.before))
        except FolksongError as error:
            if on_error is None:
                raise
            on_error(made.file, error)
        else:
            yield FieldChange(made.file, made.field, tuple(held), tuple(before))


def check_mutagen() -> Any:
    """Return the package that writes tags.

    Raises:
        FolksongError: it is not installed.
    """
    return import_mutagen("writing tags into files")


def _replace(path: Path, file: str | os.PathLike[str], kind: Any, field: str, values: list[str]) -> None:
    """Put a copy with the values in a file's place; owner, mode and extended attributes stay where they may."""
    found = path.stat()
    if found.st_nlink > 1:
        logger.warning(
            "%s: has %d names (hard links); the others keep the file without the labels", file, found.st_nlink
        )
    with atomic_path(path) as copy:
        shutil.copyfile(path, copy)
        try:
            _set(copy, kind, field, values)
        except struct.error as error:
            raise AudioError(
                f"{file}: its length was never filled in (a recording from a pipe?); write it anew to give it tags"
            ) from error
        except (import_mutagen("").MutagenError, ValueError) as error:
            raise AudioError(f"{file}: its tags cannot be written ({error})") from error
        if _read(copy, field) != _as_read(values, kind, field):
            raise AudioError(f"{file}: its {field} did not take the labels; the file is as it was")
        written = copy.stat()
        shutil.copystat(path, copy)
        os.utime(copy, ns=(found.st_atime_ns, written.st_mtime_ns))
        if hasattr(os, "chown") and (written.st_uid, written.st_gid) != (found.st_uid, found.st_gid):
            try:
                os.chown(copy, found.st_uid, found.st_gid)
                copy.chmod(found.st_mode & 0o7777)  # a change of owner takes set-id bits off
            except PermissionError:
                logger.warning("%s: its owner could not be kept", file)


def _kind(path: Path, file: str | os.PathLike[str]) -> Any:
    """Return mutagen's class for a file.

    Raises:
        AudioError: its tags cannot be read, or are of a kind that is not written.
    """
    mutagen = check_mutagen()
    try:
        opened = mutagen.File(path)
    except (mutagen.MutagenError, OSError, ValueError, EOFError, struct.error) as error:
        raise AudioError(f"{file}: its tags cannot be read ({error})") from error
    if opened is None:
        raise AudioError(f"{file}: not a recording whose tags can be written")
    if type(opened).__name__ not in FAMILIES:
        raise AudioError(f"{file}: the tags of this kind of file ({type(opened).__name__}) are not written")
    return type(opened)


def _read(path: Path, field: str) -> list[str]:
    """Return the values of a field, each once, whichever of a file's tags bear them."""
    return list(dict.fromkeys(value for name, value in values_of(path) if name == field and value))


def _as_read(labels: Sequence[str], kind: Any, field: str) -> list[str]:
    """Return what `_read` finds once labels were written."""
    return list(dict.fromkeys(name for label in labels for name in _read_again(label, kind, field)))


def _read_again(label: str, kind: Any, field: str) -> list[str]:
    """Return how players read a label in this field: as a genre of ID3, ``80`` is the eightieth of a list."""
    is_id3_genre = field == "genre" and FAMILIES[kind.__name__] == "id3"
    return genre_names(_as_genre(label)) if is_id3_genre else [label]


def _as_genre(label: str) -> str:
    """Return a label as ID3 writes a genre: one that begins as a number in parentheses does gets another one."""
    return f"({label}" if label.startswith("(") and genre_names(label) != [label] else label


def _set(path: Path, kind: Any, field: str, values: list[str]) -> None:
    family = FAMILIES[kind.__name__]
    if family == "id3":
        _set_id3(path, kind, field, values)
        return
    opened = kind(path)
    if opened.tags is None:
        opened.add_tags()
    key = KEYS[family][field]
    if values:
        opened.tags[key] = [value.encode() for value in values] if key.startswith(FREEFORM) else values
    elif key in opened.tags:
        del opened.tags[key]
    opened.save()


def _set_id3(path: Path, kind: Any, field: str, values: list[str]) -> None:
    """Write a field into every frame that bears it, else into its own; of the rest mutagen only keeps the bytes."""
    mutagen = check_mutagen()
    id3, key = mutagen.id3, KEYS["id3"][field]
    known = _FieldFrames(id3, key, field)
    end = path.read_bytes()[-ID3V1_BYTES:]
    opened = kind(path, known_frames=known, translate=False, load_v1=False)
    if opened.tags is None:
        opened.add_tags()
    version = opened.tags.version[1]
    if version == 2:  # cannot be written: the same frames in ID3v2.3
        opened = kind(path, translate=False, load_v1=False)
        if opened.tags.unknown_frames:
            raise ValueError("frames of ID3v2.2 that have no equal in ID3v2.3")
        version = 3
    elif version == 4 and opened.tags.f_unsynch:
        opened.tags.unknown_frames = [_unsynchronised(frame) for frame in opened.tags.unknown_frames]
    others = sorted(opened.tags.unknown_frames)
    bearing = [frame for frame in opened.tags.values() if known.bears(frame)]
    if values and not bearing:
        bearing = [getattr(id3, key)(encoding=id3.Encoding.UTF8)]
        opened.tags.add(bearing[0])
    for frame in bearing:
        if not values:
            del opened.tags[frame.HashKey]
        frame.encoding = id3.Encoding.UTF16 if version == 3 else id3.Encoding.UTF8
        frame.text = [_as_genre(value) for value in values] if frame.FrameID == "TCON" else list(values)
    opened.save(v2_version=version, v23_sep=None)
    if (
        others
        and sorted(kind(path, known_frames=known, translate=False, load_v1=False).tags.unknown_frames)
        != others
    ):
        raise ValueError("its other frames would be changed")
    if kind.__name__ == "MP3":
        if end.startswith(b"TAG"):
            with path.open("rb+") as stream:  # mutagen would copy the frames that it knows into ID3v1
                stream.seek(-ID3V1_BYTES, os.SEEK_END)
                stream.write(end)
        _set_apev2(mutagen, path, field, values)
    elif kind.__name__ == "WAVE" and field == "genre":
        with path.open("rb+") as stream:
            for place, _ in info_genres(path):
                stream.seek(place)
                stream.write(b"JUNK")  # the genre now stands in the ID3 chunk


class _FieldFrames(dict[str, Any]):
    """The frames that mutagen takes apart: those that bear a field. Of all others it keeps the bytes."""

    def __init__(self, id3: Any, key: str, field: str) -> None:
        super().__init__({key: getattr(id3, key), "TXXX": self})
        if field == "grouping":
            self["GRP1"] = id3.GRP1
        self._id3, self._field = id3, field

    def __contains__(self, name: object) -> bool:
        return name in self._id3.Frames  # by which mutagen guesses how an odd tag writes sizes

    def bears(self, frame: Any) -> bool:
        """Say whether a frame bears the field."""
        if frame.FrameID == "TXXX":
            return bool(frame.desc.casefold() == self._field)
        return frame.FrameID in self.keys()

    def _fromData(self, header: Any, flags: int, data: bytes) -> Any:  # noqa: N802 (mutagen's name)
        frame = self._id3.TXXX._fromData(header, flags, data)
        if not self.bears(frame):
            raise NotImplementedError  # by which mutagen keeps the bytes
        return frame


def _unsynchronised(frame: bytes) -> bytes:
    return frame[:9] + bytes([frame[9] | UNSYNCHRONISED]) + frame[10:]


def _set_apev2(mutagen: Any, path: Path, field: str, values: list[str]) -> None:
    """Change the field in an APEv2 tag too, if there is one that bears it."""
    try:
        tags = mutagen.apev2.APEv2(path)
    except mutagen.apev2.APENoHeaderError:
        return
    if field in tags:
        if values:
            tags[field] = values
        else:
            del tags[field]
        tags.save(path)
