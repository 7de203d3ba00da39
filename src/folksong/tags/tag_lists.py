"""Lists of tags to keep or drop: plain text, one tag per line, and the list that ships in the package."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from folksong.errors import FileFormatError, FolksongError
from folksong.files import describe_os_error

REMOVE_LIST = "tags_remove.txt"


def read_tag_list(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read a list of tags: one a line, blanks around it and empty lines ignored, each tag once, in the file's order.

    A line that starts with ``#`` is a comment; one that starts with ``-`` is a tag that was struck off. A backslash
    before such a sign makes it part of the tag.

    Raises:
        FolksongError: the file cannot be read.
        FileFormatError: it is not UTF-8 text.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{path}: not UTF-8 text (byte {error.start}); save the list as UTF-8 and try again"
        ) from error
    return _tags(text)


def read_remove_list(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read a list of tags to leave out: a file, or the ``tags_remove.txt`` of a folder.

    Raises:
        FolksongError: there is no such file.
    """
    path = Path(path, REMOVE_LIST) if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise FolksongError(
            f"{path}: no such file; name a list of one tag a line, or its folder ({REMOVE_LIST})"
        )
    return read_tag_list(path)


def shipped_list(name: str = REMOVE_LIST) -> tuple[str, ...]:
    """Return a list that ships in the package, by default the 20 subjective tags that Model 2 leaves out."""
    return _tags(files("folksong.tags").joinpath("lists", name).read_text(encoding="utf-8"))


def _tags(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines())
    return tuple(
        dict.fromkeys(
            line[1:] if line.startswith(("\\#", "\\-")) else line
            for line in lines
            if line and not line.startswith(("#", "-"))
        )
    )
