"""Records of databases of music in JSON and XML: who a track is by, and its tags; see `folksong.tags.sources.dumps`."""

import json
import re
from collections.abc import Iterator
from typing import IO, Any, NamedTuple
from xml.parsers import expat

from folksong.errors import FileFormatError
from folksong.tags.sources.library import JOIN
from folksong.tags.table import Dropped

MOST_DOCUMENT_BYTES = 1 << 30
MOST_NAME_CHARACTERS = 1000
VOTED_DOWN = "MusicBrainz' users voted the tag down: its count is 0 or less"
ODD = "the record is not as its database writes it"


class Record(NamedTuple):
    """What a dump says of one track."""

    track_id: str
    artist: str | None
    tags: list[tuple[str, float]]


def json_records(stream: IO[bytes], name: str, dropped: Dropped) -> Iterator[Record]:
    """Yield the records of JSON: a value a line, or one that goes over many."""
    key = re.sub(
        r"(-\d+)?\.json.*$", "", name
    )  # a file is named after its track: MBID-0.json, TRAAAAW128F429D538.json
    first = stream.readline(MOST_DOCUMENT_BYTES + 1)
    try:
        values = [json.loads(first)]
    except ValueError:
        first += stream.read(MOST_DOCUMENT_BYTES + 1 - len(first))
        if len(first) > MOST_DOCUMENT_BYTES:
            raise FileFormatError(
                f"{dropped.path}: {name} is one JSON value of more than {MOST_DOCUMENT_BYTES >> 30} GiB; write a "
                "record a line (jq -c)"
            ) from None
        values = [json.loads(first)]
    yield from _records_of(values, key, dropped)
    for line in stream:
        if line.strip():
            yield from _records_of(json.loads(line), key, dropped)


def _records_of(value: Any, key: str, dropped: Dropped, depth: int = 0) -> Iterator[Record]:
    """Yield the records in a JSON value: it is one, or holds them in lists, or by their ids (`key`)."""
    if isinstance(value, list):
        for one in value:
            yield from _records_of(one, key, dropped, depth)
    if not isinstance(value, dict) or depth > 3:
        return
    reader = (
        _acousticbrainz if "highlevel" in value or "lowlevel" in value
        else _listenbrainz if isinstance(value.get("tag"), dict)
        else _tag_list if isinstance(value.get("tags"), list)
        else None
    )  # fmt: skip
    if reader:
        try:
            record = reader(value, key)
            known = [(_plain(tag), weight) for tag, weight in record.tags if weight >= 0]
            artist = None if record.artist is None else _plain(record.artist)
            track_id = _plain(record.track_id)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
            dropped.add(ODD, 1)
            return
        dropped.add(VOTED_DOWN, len(record.tags) - len(known))
        yield Record(track_id, artist, known)
    elif "id" not in value:
        for name, one in value.items():
            inner = value.get("recording_mbid") or (key if name.isdigit() else name)
            yield from _records_of(one, str(inner), dropped, depth + 1)


def _plain(text: str) -> str:
    """Return a name of no more than `MOST_NAME_CHARACTERS` that is valid Unicode."""
    return text.strip()[:MOST_NAME_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _voted(count: Any) -> float:
    """Return a count of votes, or less than 0 for a tag that was voted down."""
    return float(count) if count > 0 else -1.0


def _tag_list(value: dict[str, Any], key: str) -> Record:
    """Read a record of MusicBrainz, or of last.fm in the Million Song Dataset."""
    tags = [
        (one["name"], _voted(one["count"])) if isinstance(one, dict) else (one[0], float(one[1]))
        for one in value["tags"]
    ]
    credit = value.get("artist-credit")
    artist = credit[0]["artist"]["id"] if credit else value.get("artist")
    return Record(str(value.get("id") or value.get("track_id") or key), artist, tags)


def _listenbrainz(value: dict[str, Any], key: str) -> Record:
    is_artist = "artist_mbid" in value and "recording" not in value["tag"]
    found = value["tag"].get("artist" if is_artist else "recording") or []
    artists = (value.get("artist") or {}).get("artists") or [{}]
    artist = value["artist_mbid"] if is_artist else artists[0].get("artist_mbid")
    track = artist if is_artist else value.get("recording_mbid") or key
    return Record(track, artist, [(one["tag"], _voted(one["count"])) for one in found])


def _acousticbrainz(value: dict[str, Any], key: str) -> Record:
    written = value.get("metadata", {}).get("tags", {})

    def first(*names: str) -> str | None:
        found = next((written[name] for name in names if written.get(name)), None)
        return found[0] if isinstance(found, list) else found

    tags = [
        (f"{classifier}{JOIN}{one['value']}", float(one["probability"]))
        for classifier, one in value.get("highlevel", {}).items()
    ]
    genres = written.get("genre") or []
    tags += [(f"genre{JOIN}{genre}", 1.0) for genre in ([genres] if isinstance(genres, str) else genres)]
    track = first("musicbrainz_recordingid", "musicbrainz_trackid") or key
    return Record(track, first("musicbrainz_artistid", "artist"), tags)


def xml_records(stream: IO[bytes]) -> Iterator[Record]:
    """Yield the masters or releases of Discogs; memory is that of one, however long the file."""
    found, path, text = list[Record](), list[str](), list[str]()
    track, artist, tags = "", "", list[tuple[str, float]]()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal track, artist
        if name in ("master", "release") and len(path) < 2:
            path.clear()
            track, artist = attributes.get("id", ""), ""
            tags.clear()
        path.append(name)
        text.clear()

    def end(_: str) -> None:
        nonlocal artist
        match path[1:]:
            case ["genres", "genre"] | ["styles", "style"]:
                tags.append(("".join(text).strip()[:MOST_NAME_CHARACTERS], 1.0))
            case ["artists", "artist", "id" | "name"]:
                artist = artist or "".join(text).strip()
            case [] if path:
                found.append(Record(track, artist or None, list(tags)))
        if path:
            path.pop()
        text.clear()

    def characters(data: str) -> None:
        if path and path[-1] in ("genre", "style", "id", "name") and len(text) < MOST_NAME_CHARACTERS:
            text.append(data)

    def refuse(*_: object) -> None:
        raise expat.ExpatError("it declares entities, which Discogs' dumps never do")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = characters, refuse
    while block := stream.read(1 << 16):
        parser.Parse(block)
        yield from found
        found.clear()
    parser.Parse(b"", True)
    yield from found
