"""Dumps of databases of music, read as streams: MusicBrainz, ListenBrainz, AcousticBrainz, last.fm, Discogs.

| database | what is read | a track is | weights |
|---|---|---|---|
| MusicBrainz | tables as PostgreSQL's ``COPY`` writes them (``mbdump-derived.tar.bz2``): ``recording_tag(recording, tag, count, last_updated)`` and ``tag(id, name, ref_count)``; or else those of release groups, releases, works, artists | its MBID, by ``recording(id, gid, name, artist_credit, …)`` in the same folder or in ``mbdump.tar.bz2`` beside it, else its number | count |
| MusicBrainz | JSON, a record a line (``release-group.tar.xz``): ``id``, ``tags`` of ``{name, count}`` | its MBID | count |
| ListenBrainz | JSON of ``/1/metadata/recording``, ``lookup``, ``artist``: ``tag`` of lists of ``{tag, count}`` | its MBID | count |
| AcousticBrainz | JSON of a recording: ``highlevel`` (``genre_dortmund---rock``), ``metadata.tags.genre`` (``genre---Rock``) | its MBID | probability, 1 |
| last.fm | JSON of the Million Song Dataset (``lastfm_train.zip``): ``track_id``, ``tags`` of ``[name, weight]`` | its track id | 0 to 100 |
| Discogs | XML (``discogs_20260101_masters.xml.gz``, or releases): ``genres/genre``, ``styles/style`` | its number | 1 |

Of a record only its own tags are read: not those of a recording's artist or album. MusicBrainz counts votes: a tag with
a count of 0 or less was voted down, and is left out.
"""  # noqa: E501

import logging
import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import polars as pl

from folksong.errors import FileFormatError
from folksong.files import kind_of, kind_of_content
from folksong.recordings import AUDIO_EXTENSIONS
from folksong.tags.sources.lastfm import find_dumps, read_dumps
from folksong.tags.sources.records import NO_ID, VOTED_DOWN, Record, json_records, xml_records
from folksong.tags.sources.streams import (
    BYTE_ORDER_MARKS_16,
    DAMAGED,
    UnfitError,
    files_in,
    head_of,
    is_archive,
    lines_of,
    members,
    named,
    open_decompressed,
)
from folksong.tags.table import Dropped, TagTable, distinct_names, table_of_entries

logger = logging.getLogger(__name__)

JSON_START = re.compile(rb"(\xef\xbb\xbf)?\s*(\{|\[\s*[\[\]{])")
XML_START = re.compile(rb"(\xef\xbb\xbf)?\s*<[?!\w]")
ENDINGS = re.compile(r"\.(jsonl?|xml|tar|zip)(\.\w+)?$")
NEITHER = "neither JSON nor XML is in the file: it is empty, zeros, or an archive to be unpacked first"
NAMES_AT_ONCE = 1 << 20  # as Python's strings, which take several times the room of their bytes
ENTITIES = ("recording", "release_group", "release", "work", "artist")
"""By how near they are to a track: of several tables of tags, the first is read."""
TABLES_OF_TAGS = {f"{entity}_tag": entity for entity in ENTITIES}
MAIN_DUMP = re.compile(r"mbdump\.tar(\.\w+)?")
NUMBER = re.compile(r"-?[0-9]{1,18}|")
NO_TAG, NO_COUNT = "its tag has no name in the table 'tag'", "its number is missing"
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def is_dump(path: str | os.PathLike[str]) -> bool:
    """Say whether a file or folder looks like such a dump; a folder with recordings is a music library.

    Of a library no more is looked at than up to its first recording.
    """
    if Path(path).is_dir():
        if find_dumps(path):
            return True
        is_like_one = False
        for _, folders, files in os.walk(path):
            folders.sort()
            if "tag" in files and not TABLES_OF_TAGS.keys().isdisjoint(files):
                return True
            if any(PurePosixPath(name).suffix.lower() in AUDIO_EXTENSIONS for name in files):
                return False
            is_like_one = is_like_one or any(map(ENDINGS.search, files))
        return is_like_one and not kind_of(path)
    try:
        with open_decompressed(path) as stream:
            head = head_of(stream)
    except (*DAMAGED, OSError, FileFormatError):
        return False
    return is_archive(path, head) or _kind(path, head) is not None


def read_dump(
    path: str | os.PathLike[str], *, min_weight: float | None = None, progress: bool = False
) -> TagTable:
    """Read the tags of a dump: a file, compressed or not, an archive (which is not extracted), or a folder.

    Pairs with a weight greater than `min_weight` are kept; None keeps all.

    Returns:
        The table; memory grows with it, not with the dump. Tracks without a tag are not in it.

    Raises:
        FileFormatError: it is damaged (the message says how much was read), or holds no tags of such a database.
    """
    if tables := find_dumps(path):
        return read_dumps(path, tables, min_weight=min_weight)
    dropped, names, blocks = Dropped(path), list[str](), list[pl.Series]()
    tag_numbers: dict[str, int] = {}
    rows, columns, weights = array("q"), array("q"), array("f")
    for n_tracks, record in enumerate(_tagged(path, dropped, progress)):
        names.append(record.track_id)
        for tag, weight in record.tags:
            rows.append(n_tracks)
            columns.append(tag_numbers.setdefault(tag, len(tag_numbers)))
            weights.append(weight)
        if len(names) == NAMES_AT_ONCE:
            blocks.append(pl.Series(names, dtype=pl.String))
            names.clear()
    if not rows:
        why = f", all rows were left out: {dropped.listed}" if dropped.reasons else ""
        raise FileFormatError(
            f"{path}: no tags found{why}; a dump is JSON, XML or tables of MusicBrainz, ListenBrainz, AcousticBrainz, "
            "Discogs or last.fm (three files: tids.csv, tags.csv, tid_tag.csv)"
        )
    track_ids, track_of = distinct_names(pl.concat([*blocks, pl.Series(names, dtype=pl.String)]))
    tags, tag_of = distinct_names(pl.Series(list(tag_numbers), dtype=pl.String))
    entries = (track_of[rows], tag_of[columns], pl.Series(weights, dtype=pl.Float32).to_numpy())
    return table_of_entries(track_ids, tags, *entries, dropped=dropped, min_weight=min_weight)


def read_dump_artists(path: str | os.PathLike[str], *, progress: bool = False) -> dict[str, str]:
    """Return track id -> artist (its id, where the dump has one) of the tagged tracks of a dump."""
    return {
        record.track_id: record.artist for record in _tagged(path, Dropped(path), progress) if record.artist
    }


def _tagged(path: str | os.PathLike[str], dropped: Dropped, progress: bool) -> Iterator[Record]:
    """Yield the records of a dump that have tags; of its MusicBrainz tables last, which need each other."""
    n_records, tables = 0, Tables()

    def n_read() -> int:
        return n_records + tables.n_rows

    for file in files_in(path, progress=progress):
        with named(file, n_read):
            for name, stream in members(file, progress=progress and file == path):
                plain, head = PurePosixPath(name).name, head_of(stream)
                kind = _kind(name, head)
                if kind is None and (plain in ("tag", *ENTITIES) or plain in TABLES_OF_TAGS):
                    tables.take(plain, f"{name} in {file}", stream, dropped)
                elif kind is None and ENDINGS.search(plain):
                    dropped.add(NEITHER, 1)
                found = json_records(stream, plain, dropped) if kind == "JSON" else iter(())
                for record in xml_records(stream, dropped) if kind == "XML" else found:
                    n_records += 1
                    tags = [(tag, weight) for tag, weight in record.tags if tag]
                    dropped.add("the tag is empty", len(record.tags) - len(tags))
                    if tags and not record.track_id:
                        dropped.add(NO_ID, 1)
                    elif tags:
                        yield Record(record.track_id, record.artist, tags)
    with named(path, n_read):
        yield from tables.records(path, dropped, progress)


def _kind(name: str | os.PathLike[str], head: bytes) -> str | None:
    if head.startswith(BYTE_ORDER_MARKS_16):
        head = head.decode("utf-16", "ignore").encode()
    if JSON_START.match(head) and not kind_of_content(head):
        return "JSON"
    return "XML" if XML_START.match(head) and ENDINGS.search(str(name)) else None


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
