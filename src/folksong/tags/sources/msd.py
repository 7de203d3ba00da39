"""The Million Song Dataset's own lists of tracks to leave out: duplicates and mismatches."""

from __future__ import annotations

import os
import re
from pathlib import Path

from folksong.errors import FileFormatError, FolksongError
from folksong.files import describe_os_error

MISMATCH = re.compile(r"<\s*(\S+)\s+(\S+)\s*>")


def read_duplicates(path: str | os.PathLike[str]) -> tuple[tuple[str, ...], ...]:
    """Read ``msd_duplicates.txt``: groups of tracks that are one recording.

    Lines that start with ``#`` are comments; a line that starts with ``%`` opens a group; the other lines start with
    a track id.

    Raises:
        FileFormatError: there is no group, or a track comes before the first one.
    """
    groups: list[list[str]] = []
    for number, line in enumerate(_lines(path), 1):
        if line.startswith("%"):
            groups.append([])
        elif line.strip() and not line.startswith("#"):
            if not groups:
                raise FileFormatError(
                    f"{path}: line {number}, {line[:40]!r}, comes before the first group; a group opens with a % line"
                )
            groups[-1].append(re.split(r"\s|<SEP>", line.strip(), maxsplit=1)[0])
    if not groups:
        raise FileFormatError(f"{path}: no group of duplicates; a group opens with a line that starts with %")
    return tuple(tuple(dict.fromkeys(group)) for group in groups)


def read_mismatches(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read ``sid_mismatches.txt``: tracks whose audio or tags belong to another song.

    Each line holds ``<song id track id>``; the track ids are returned, in the file's order.

    Raises:
        FileFormatError: no line does.
    """
    found = [match[2] for line in _lines(path) if (match := MISMATCH.search(line))]
    if not found:
        raise FileFormatError(
            f"{path}: no mismatches; each line holds '<song id track id>', as sid_mismatches.txt"
        )
    return tuple(dict.fromkeys(found))


def _lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
