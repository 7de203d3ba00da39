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

import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import polars as pl

from folksong.errors import FileFormatError
from folksong.files import kind_of, kind_of_content
from folksong.recordings import AUDIO_EXTENSIONS
from folksong.tags.sources.musicbrainz import ENTITIES, TABLES_OF_TAGS, Tables
from folksong.tags.sources.records import NO_ID, Record, json_records, xml_records
from folksong.tags.sources.streams import (
    BYTE_ORDER_MARKS_16,
    DAMAGED,
    files_in,
    head_of,
    is_archive,
    members,
    named,
    open_decompressed,
)
from folksong.tags.table import Dropped, TagTable, distinct_names, table_of_entries

JSON_START = re.compile(rb"(\xef\xbb\xbf)?\s*(\{|\[\s*[\[\]{])")
XML_START = re.compile(rb"(\xef\xbb\xbf)?\s*<[?!\w]")
ENDINGS = re.compile(r"\.(jsonl?|xml|tar|zip)(\.\w+)?$")
NEITHER = "neither JSON nor XML is in the file: it is empty, zeros, or an archive to be unpacked first"
NAMES_AT_ONCE = 1 << 20  # as Python's strings, which take several times the room of their bytes


def is_dump(path: str | os.PathLike[str]) -> bool:
    """Say whether a file or folder looks like such a dump; a folder with recordings is a music library."""
    if Path(path).is_dir():
        names = {name for _, _, files in os.walk(path) for name in files}
        if "tag" in names and names & TABLES_OF_TAGS.keys():
            return True
        recordings = any(PurePosixPath(name).suffix.lower() in AUDIO_EXTENSIONS for name in names)
        return any(map(ENDINGS.search, names)) and not recordings and not kind_of(path)
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

    Args:
        path: where it is.
        min_weight: keep the pairs with a weight greater than this; None keeps all.
        progress: show a bar.

    Returns:
        The table; memory grows with it, not with the dump. Tracks without a tag are not in it.

    Raises:
        FileFormatError: it is damaged (the message says how much was read), or holds no tags of such a database.
    """
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
