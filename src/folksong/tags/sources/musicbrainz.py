"""MusicBrainz' tables of tags as PostgreSQL's ``COPY`` writes them; see `folksong.tags.sources.dumps`."""

import logging
import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import polars as pl

from folksong.tags.sources.records import VOTED_DOWN, Record
from folksong.tags.sources.streams import UnfitError, files_in, lines_of, members, named
from folksong.tags.table import Dropped

logger = logging.getLogger(__name__)

ENTITIES = ("recording", "release_group", "release", "work", "artist")
"""By how near they are to a track: of several tables of tags, the first is read."""
TABLES_OF_TAGS = {f"{entity}_tag": entity for entity in ENTITIES}
MAIN_DUMP = re.compile(r"mbdump\.tar(\.\w+)?")
NUMBER = re.compile(r"-?[0-9]{1,18}|")
NO_TAG, NO_COUNT = "its tag has no name in the table 'tag'", "its number is missing"
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Tables:
    """MusicBrainz' tables of one entity's tags, as they come."""

    def __init__(self) -> None:
        self.entity = ""
        self.pairs = [array("q"), array("q"), array("q")]
        self.names: dict[int, str] = {}
        self.seen: dict[str, str] = {}
        self.n_rows = 0

    def take(self, table: str, place: str, stream: IO[bytes], dropped: Dropped) -> None:
        """Read a table of tags, unless one of an entity nearer to a track was, or that of their names."""
        if table in self.seen:
            raise UnfitError(f"the table {table!r} is there twice: {self.seen[table]}, {place}; leave one")
        self.seen[table] = place
        if table == "tag":
            self.names = {int(number): tag for number, tag in self._copied(stream, table, 2, 1) if number}
        if table not in TABLES_OF_TAGS:
            return
        entity, pairs, n_missing = TABLES_OF_TAGS[table], [array("q"), array("q"), array("q")], 0
        if self.entity and ENTITIES.index(self.entity) < ENTITIES.index(entity):
            return
        for cells in self._copied(stream, table, 3, 3):
            if not all(cells):
                n_missing += 1
                continue
            for column, cell in zip(pairs, cells, strict=True):
                column.append(int(cell))
        dropped.add(NO_COUNT, n_missing)
        if pairs[0]:
            self.entity, self.pairs = entity, pairs

    def records(self, path: str | os.PathLike[str], dropped: Dropped, progress: bool) -> Iterator[Record]:
        """Yield each entity with its tags."""
        frame = pl.DataFrame(dict(zip(("track", "tag", "count"), self.pairs, strict=True)))
        if frame.is_empty():
            return
        if not self.names:
            raise UnfitError(f"{self.entity}_tag is there, but not the table 'tag' with the names")
        kept = frame.filter(pl.col("count") > 0)
        dropped.add(VOTED_DOWN, len(frame) - len(kept))
        known = self._known(path, set(kept["track"]), progress)
        logger.debug("%s: tags of MusicBrainz' %ss", path, self.entity.replace("_", " "))
        for track, tag, count in kept.iter_rows():
            gid, artist = (str(track), None) if known is None else known.get(track, ("", None))
            if not self.names.get(tag):
                dropped.add(NO_TAG, 1)
            elif not gid:
                dropped.add(f"its {self.entity} is not in the table {self.entity!r}", 1)
            else:
                yield Record(gid, artist, [(self.names[tag], float(count))])

    def _known(
        self, path: str | os.PathLike[str], wanted: set[int], progress: bool
    ) -> dict[int, tuple[str, str | None]] | None:
        """Return number -> (MBID, artist credit) by the entity's own table, where there is one."""
        beside = sorted(file for file in Path(path).parent.iterdir() if MAIN_DUMP.fullmatch(file.name))
        places = files_in(path) if self.entity in self.seen else [] if Path(path).is_dir() else beside
        for file in places:
            self.n_rows = 0
            with named(file, lambda: self.n_rows):
                for name, stream in members(file, progress=progress):
                    if PurePosixPath(name).name == self.entity:
                        return {
                            int(number): (gid, None if self.entity == "artist" else artist)
                            for number, gid, _, artist in self._copied(stream, self.entity, 4, 1)
                            if number and int(number) in wanted
                        }
        has_none = f"; {beside[0]} has no table {self.entity!r}" if beside else ""
        logger.warning(
            "%s: tracks are numbered as MusicBrainz numbers them; for their MBIDs put mbdump.tar.bz2 beside it, or "
            "its table %s into the folder%s", path, self.entity, has_none,
        )  # fmt: skip
        return None

    def _copied(self, stream: IO[bytes], table: str, n_columns: int, n_numbers: int) -> Iterator[list[str]]:
        r"""Yield the first cells of each row of PostgreSQL's ``COPY`` text format; a null (``\N``) is an empty cell.

        Tabs are between cells, backslashes escape; the first `n_numbers` cells are numbers.
        """
        for number, line in enumerate(lines_of(stream, table), 1):
            if line.rstrip(b"\r\n") == b"\\.":
                return
            text = line.decode("utf-8").rstrip("\n")
            cells = text.split("\t", n_columns)[:n_columns]
            if "\\" in text:
                cells = [_unescaped(cell) if "\\" in cell else cell for cell in cells]
            if len(cells) < n_columns or not all(map(NUMBER.fullmatch, cells[:n_numbers])):
                raise ValueError(
                    f"line {number} of the table {table!r} is no row of MusicBrainz' dump: {line[:60]!r}"
                )
            self.n_rows += 1
            yield cells


def _unescaped(cell: str) -> str:
    return "" if cell == "\\N" else re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), cell)
