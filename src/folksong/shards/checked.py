"""Which shards were found whole on this machine: ``.checked.json`` beside them, by size and time of change."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from folksong.errors import FolksongError
from folksong.files import read_json, write_json

logger = logging.getLogger(__name__)

CHECKED_NAME = ".checked.json"


def stamp(path: Path) -> list[int]:
    """Return what tells one state of a file from another: its size in bytes and time of change in ns.

    Raises:
        FolksongError: the file is not there.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise FolksongError(
            f"{path}: the manifest lists this shard, but it is not there; restore it, or drop it with "
            f"`folksong shards repair {path.parent}`"
        ) from None
    return [status.st_size, status.st_mtime_ns]


def read_checked(folder: Path) -> dict[str, list[int]]:
    """Return file name -> stamp of the shards that were found whole."""
    try:
        content = read_json(folder / CHECKED_NAME)
    except FolksongError:
        return {}
    return content if isinstance(content, dict) else {}


def remember_checked(folder: Path, stamps: Mapping[str, list[int]]) -> None:
    """Remember that these shards are whole. A folder that cannot be written to is checked again each time."""
    before = read_checked(folder)
    after = {**before, **stamps}
    if after != before:
        try:
            write_json(folder / CHECKED_NAME, after)
        except FolksongError as error:
            logger.debug("not remembered: %s", error)
