"""Lists of tags to keep or drop: plain text, one tag per line, and the list that ships in the package."""

import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_write, read_text
from folksong.tags.sources.delimited import read_track_column
from folksong.tags.sources.frames import plain

REMOVE_LIST = "tags_remove.txt"


def read_tag_list(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read a list of tags: one a line, blanks around it and empty lines ignored, each tag once, in the file's order.

    A line that starts with ``#`` is a comment; one that starts with ``-`` is a tag that was struck off. A backslash
    before such a sign makes it part of the tag.
    """
    return _tags(read_text(path))


def read_track_ids(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read a list of track ids: one a line, each as it stands there, whatever sign or blank it starts or ends with.

    A table with a header (what `audio scan` writes, say) gives its column of track ids.
    """
    lines = [line for line in read_text(path).split("\n") if line]
    start = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    header = [plain(name) for name in re.split(r"[,;\t|]", lines[start])] if lines else []
    if any(name in ("trackid", "tid", "clipid") for name in header):
        ids = lines[start + 1 :] if len(header) == 1 else tuple(read_track_column(path))
    else:
        ids = lines
    if not ids:
        raise FileFormatError(f"{path}: no track ids; the list has one a line")
    return tuple(dict.fromkeys(ids))


def read_remove_list(path: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Read a list of tags to leave out: a file, or the ``tags_remove.txt`` of a folder; None is the one that ships."""
    if path is None:
        return shipped_list()
    path = Path(path, REMOVE_LIST) if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise FolksongError(
            f"{path}: no such file; name a list of one tag a line, or its folder ({REMOVE_LIST})"
        )
    return read_tag_list(path)


def write_tag_list(path: str | os.PathLike[str], tags: Mapping[str, str], comment: str = "") -> None:
    """Write tags for a person to edit, each below what is said of it, and a first line of comment."""
    with atomic_write(path, "w") as stream:
        stream.write(f"# {comment}\n" if comment else "")
        for tag, said in tags.items():
            stream.write(f"# {said}\n" if said else "")
            stream.write(f"\\{tag}\n" if tag.startswith(("#", "-")) else f"{tag}\n")


def shipped_text(name: str) -> str:
    """Return a text file of tags that ships in the package."""
    return files("folksong.tags").joinpath("lists", name).read_text(encoding="utf-8")


@cache
def shipped_list(name: str = REMOVE_LIST) -> tuple[str, ...]:
    """Return a list that ships in the package, by default the 20 subjective tags that Model 2 leaves out."""
    return _tags(shipped_text(name))


def _tags(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.split("\n"))
    return tuple(
        dict.fromkeys(
            line[1:] if line.startswith(("\\#", "\\-")) else line
            for line in lines
            if line and not line.startswith(("#", "-"))
        )
    )
