"""Records of databases of music in JSON and XML: who a track is by, and its tags; see `folksong.tags.sources.dumps`."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple
from xml.parsers import expat

from folksong.tags.sources.library import JOIN
from folksong.tags.sources.streams import MOST_RECORD_BYTES, UnfitError, lines_of
from folksong.tags.table import Dropped

MOST_NAME_CHARACTERS = 1000
MOST_DEPTH = 100
"""Of XML: Discogs' is 6 deep."""
VOTED_DOWN = "MusicBrainz' users voted the tag down: its count is 0 or less"
ODD = "the record or tag is not as its database writes it"
NO_ID = "the record has no id"
NO_GENRES = "XML without genres: take Discogs' masters or releases, not its artists or labels"
ODD_ERRORS = (AttributeError, LookupError, OverflowError, TypeError, ValueError)
ID_IN_NAME = re.compile(r"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|TR\w+)(-\d+)?(\.json.*)?")
"""A file, or what a record stands under, is named after its track: MBID-0.json, TRAAAAW128F429D538.json."""


class Record(NamedTuple):
    """What a dump says of one track."""

    track_id: str
    artist: str | None
    tags: list[tuple[str, float]]


class _Raw(NamedTuple):
    """A record as it was read: `read` returns name and weight of one of its `tags`, which all may be odd."""

    track_id: Any
    artist: Any
    tags: Iterable[Any]
    read: Callable[[Any], tuple[Any, Any]]
    are_votes: bool


def json_records(stream: IO[bytes], name: str, dropped: Dropped) -> Iterator[Record]:
    """Yield the records of JSON: a value a line, or one that goes over many."""
    key, lines = _id_in(name), lines_of(stream, name)
    first = next(lines, b"")
    try:
        value = json.loads(first)
    except ValueError:
        first += stream.read(MOST_RECORD_BYTES + 1 - len(first))
        if len(first) > MOST_RECORD_BYTES:
            raise UnfitError(
                f"{name} is one JSON value of more than {MOST_RECORD_BYTES >> 20} MiB; write a record a line (jq -c)"
            ) from None
        value = json.loads(first)
    yield from _records_of(value, key, dropped)
    for line in lines:
        if line.strip():
            yield from _records_of(json.loads(line), key, dropped)


def _id_in(name: str) -> str:
    found = ID_IN_NAME.fullmatch(name)
    return found[1] if found else ""


def _records_of(value: Any, key: str, dropped: Dropped, depth: int = 0) -> Iterator[Record]:
    """Yield the records in a JSON value: it is one, or holds them in lists, or by their ids (`key`)."""
    if depth == 0 and (not isinstance(value, dict | list) or not value):
        dropped.add(ODD, 1)
    if depth > 3:
        return
    if isinstance(value, list):
        for one in value:
            yield from _records_of(one, key, dropped, depth + 1)
    if not isinstance(value, dict):
        return
    metadata = value.get("metadata")
    described = isinstance(metadata, dict) and isinstance(metadata.get("tags"), dict)
    reader = (
        _acousticbrainz if described or "highlevel" in value or "lowlevel" in value
        else _listenbrainz if isinstance(value.get("tag"), dict)
        else _tag_list if isinstance(value.get("tags"), list)
        else None
    )  # fmt: skip
    if reader:
        try:
            raw = reader(value, key)
            artist = None if raw.artist is None else _plain(raw.artist)
            track_id = _plain(str(raw.track_id) if type(raw.track_id) is int else raw.track_id)
            tags = list(raw.tags)
        except ODD_ERRORS:
            dropped.add(ODD, 1)
            return
        yield Record(track_id, artist, list(_weighed(raw, tags, dropped)))
    elif "id" not in value:
        for name, one in value.items():
            inner = value.get("recording_mbid") or (key if name.isdigit() else _id_in(name))
            yield from _records_of(one, inner, dropped, depth + 1)


def _weighed(raw: _Raw, tags: list[Any], dropped: Dropped) -> Iterator[tuple[str, float]]:
    """Yield the tags that are as they should be."""
    for one in tags:
        try:
            name, weight = raw.read(one)
            tag, weight = _plain(name), float(weight)
        except ODD_ERRORS:
            dropped.add(ODD, 1)
            continue
        if not math.isfinite(weight):
            dropped.add("the weight is not a number", 1)
        elif raw.are_votes and weight <= 0:
            dropped.add(VOTED_DOWN, 1)
        elif weight < 0:
            dropped.add("the weight is negative", 1)
        else:
            yield tag, weight


def _plain(text: str) -> str:
    """Return a name of no more than `MOST_NAME_CHARACTERS`; ValueError if it is no valid Unicode (a lone surrogate)."""
    return text.strip()[:MOST_NAME_CHARACTERS].encode().decode()


def _voted(name: str) -> Callable[[Any], tuple[Any, Any]]:
    return lambda one: (one[name], one["count"] * 1.0)  # a count in quotes is none


def _tag_list(value: dict[str, Any], key: str) -> _Raw:
    """Read a record of MusicBrainz, or of last.fm in the Million Song Dataset."""
    are_votes = any(isinstance(one, dict) for one in value["tags"])
    credit = value.get("artist-credit")
    artist = credit[0]["artist"]["id"] if credit else value.get("artist")
    read = _voted("name") if are_votes else _pair
    return _Raw(value.get("id") or value.get("track_id") or key, artist, value["tags"], read, are_votes)


def _pair(one: list[Any]) -> tuple[Any, Any]:
    name, weight = one
    return name, weight


def _listenbrainz(value: dict[str, Any], key: str) -> _Raw:
    is_artist = "artist_mbid" in value and "recording" not in value["tag"]
    found = value["tag"].get("artist" if is_artist else "recording") or []
    artists = (value.get("artist") or {}).get("artists") or [{}]
    artist = value["artist_mbid"] if is_artist else artists[0].get("artist_mbid")
    track = artist if is_artist else value.get("recording_mbid") or key
    return _Raw(track, artist, found, _voted("tag"), True)


def _acousticbrainz(value: dict[str, Any], key: str) -> _Raw:
    written = value.get("metadata", {}).get("tags", {})

    def first(*names: str) -> str | None:
        found = next((written[name] for name in names if written.get(name)), None)
        return found[0] if isinstance(found, list) else found

    def read(one: tuple[str, Any]) -> tuple[str, Any]:
        classifier, found = one
        name, weight = (found, 1.0) if classifier == "genre" else (found["value"], found["probability"])
        return f"{classifier}{JOIN}{name.strip()}" if name.strip() else "", weight

    genres = written.get("genre") or []
    genres = [genres] if isinstance(genres, str) else genres
    tags = [*value.get("highlevel", {}).items(), *(("genre", genre) for genre in genres)]
    track = first("musicbrainz_recordingid", "musicbrainz_trackid") or key
    return _Raw(track, first("musicbrainz_artistid", "artist"), tags, read, False)


def xml_records(stream: IO[bytes], dropped: Dropped) -> Iterator[Record]:
    """Yield the masters or releases of Discogs; memory is that of one, however long the file."""
    found, path, text = list[Record](), list[str](), list[str]()
    track, artist, tags = "", "", list[tuple[str, float]]()
    n_read = record_end = 0
    root = ""

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal track, artist, root
        root = root or name
        if len(path) == MOST_DEPTH:
            raise UnfitError(
                f"more than {MOST_DEPTH} elements within each other, which Discogs' dumps never have"
            )
        if name in ("master", "release") and len(path) < 2:
            path.clear()
            track, artist = attributes.get("id", ""), ""
            tags.clear()
        path.append(name)
        text.clear()

    def end(_: str) -> None:
        nonlocal artist, record_end
        match path[1:]:
            case ["genres", "genre"] | ["styles", "style"]:
                tags.append(("".join(text).strip()[:MOST_NAME_CHARACTERS], 1.0))
            case ["artists", "artist", "id" | "name"]:
                artist = artist or "".join(text).strip()
            case [] if path:
                found.append(Record(track, artist or None, list(tags)))
                record_end = n_read
        if path:
            path.pop()
        text.clear()

    def characters(data: str) -> None:
        if path and path[-1] in ("genre", "style", "id", "name") and len(text) < MOST_NAME_CHARACTERS:
            text.append(data)

    def refuse(*_: object) -> None:
        raise UnfitError("declares entities, which Discogs' dumps never do, and which are not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = characters, refuse
    while block := stream.read(1 << 16):
        n_read += len(block)
        parser.Parse(block)
        if root and root not in ("masters", "releases", "master", "release"):
            dropped.add(NO_GENRES, 1)
            return
        yield from found
        found.clear()
        if n_read - record_end > MOST_RECORD_BYTES:
            raise UnfitError(f"more than {MOST_RECORD_BYTES >> 20} MiB of XML without a whole record")
    parser.Parse(b"", True)
    yield from found
