"""MusicBrainz' tables of tags as PostgreSQL's ``COPY`` writes them; see `folksong.tags.sources.dumps`."""

import logging
import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import polars as pl

from folksong.errors import FileFormatError
from folksong.tags.sources.records import VOTED_DOWN, Record
from folksong.tags.sources.streams import members
from folksong.tags.table import Dropped

logger = logging.getLogger(__name__)

ENTITIES = ("recording", "release_group", "release", "work", "artist")
"""By how near they are to a track: of several tables of tags, the first is read."""
TABLES_OF_TAGS = {f"{entity}_tag": entity for entity in ENTITIES}
MAIN_DUMP = re.compile(r"mbdump\.tar(\.\w+)?")
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Tables:
    """MusicBrainz' tables of one entity's tags, as they come."""

    def __init__(self) -> None:
        self.entity = ""
        self.pairs = [array("q"), array("q"), array("q")]
        self.names: dict[int, str] = {}

    def take(self, table: str, stream: IO[bytes]) -> None:
        """Read a table of tags, unless one of an entity nearer to a track was, or that of their names."""
        if table == "tag":
            self.names = {int(number): name for number, name in _copied(stream, table, 2)}
            return
        entity = TABLES_OF_TAGS[table]
        if self.entity and ENTITIES.index(self.entity) < ENTITIES.index(entity):
            return
        self.entity, self.pairs = entity, [array("q"), array("q"), array("q")]
        for cells in _copied(stream, table, 3):
            for column, cell in zip(self.pairs, cells, strict=True):
                column.append(int(cell))

    def records(self, path: str | os.PathLike[str], dropped: Dropped, progress: bool) -> Iterator[Record]:
        """Yield each entity with its tags."""
        frame = pl.DataFrame(dict(zip(("track", "tag", "count"), self.pairs, strict=True)))
        if frame.is_empty():
            return
        if not self.names:
            raise FileFormatError(
                f"{path}: {self.entity}_tag is there, but not the table 'tag' with the names"
            )
        kept = frame.filter(pl.col("count") > 0)
        dropped.add(VOTED_DOWN, len(frame) - len(kept))
        known = self._known(path, set(kept["track"]), progress)
        if not known:
            logger.warning(
                "%s: tracks are numbered as MusicBrainz numbers them; for their MBIDs put mbdump.tar.bz2 beside it, or "
                "its table %s into the folder", path, self.entity,
            )  # fmt: skip
        logger.debug("%s: tags of MusicBrainz' %ss", path, self.entity.replace("_", " "))
        for track, tag, count in kept.iter_rows():
            gid, artist = known.get(track, (str(track), None))
            yield Record(gid, artist, [(self.names.get(tag, ""), float(count))])

    def _known(
        self, path: str | os.PathLike[str], wanted: set[int], progress: bool
    ) -> dict[int, tuple[str, str | None]]:
        """Return number -> (MBID, artist credit) by the entity's own table, where there is one."""
        folder = Path(path)
        beside = sorted(file for file in folder.parent.iterdir() if MAIN_DUMP.fullmatch(file.name))
        for place in [folder] if folder.is_dir() else beside:
            for name, stream in members(place, progress=progress):
                if PurePosixPath(name).name == self.entity:
                    rows = _copied(stream, self.entity, 4)
                    return {
                        int(number): (gid, None if self.entity == "artist" else artist)
                        for number, gid, _, artist in rows
                        if int(number) in wanted
                    }
        return {}


def _copied(stream: IO[bytes], table: str, n_columns: int) -> Iterator[list[str]]:
    """Yield the first cells of each row of PostgreSQL's ``COPY`` text format: tabs between them, backslash escapes."""
    for number, line in enumerate(stream, 1):
        if line.rstrip(b"\r\n") == b"\\.":
            return
        text = line.decode("utf-8").rstrip("\n")
        cells = text.split("\t", n_columns)[:n_columns]
        if len(cells) < n_columns or not cells[0].isdigit():
            raise ValueError(
                f"line {number} of the table {table!r} is no row of MusicBrainz' dump: {line[:60]!r}"
            )
        if "\\" in text:
            cells = [re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), cell) for cell in cells]
        yield cells
