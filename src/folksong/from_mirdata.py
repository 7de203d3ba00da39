"""A data set of the package mirdata as a tag table, recordings and its published split.

mirdata (Bittner et al., ISMIR 2019; https://mirdata.readthedocs.io) loads some sixty data sets, each track an object
whose attributes hold its annotations; it brings the index and the files, nothing is downloaded here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from folksong.audio.catalogue import Track
from folksong.errors import FolksongError
from folksong.official_splits import parts_named
from folksong.splits import PARTS, Split
from folksong.tags.table import TagTable

FIELDS = ("tags", "genre", "genres", "style", "instrument", "instruments", "instrument_full", "raga", "makam")
"""Attributes of a track that hold tags, in mirdata's data sets."""
ARTISTS = ("artist_id", "artist", "artists")
LEAST_CONFIDENCE = 0.5
"""Of a name with a number between 0 and 1 (OpenMIC-2018), as mirdata documents it."""


@dataclass(frozen=True)
class MirdataSource:
    """What `from_mirdata` found.

    Args:
        table: the tags, weight 1.
        tracks: the recordings, for `fs.write_shards` and `fs.embed_audio`; not those
            without one audio file.
        split: the parts that the data set publishes, or None.
    """

    table: TagTable
    tracks: list[Track]
    split: Split | None


def from_mirdata(dataset: Any, *, fields: Sequence[str] = FIELDS, progress: bool = False) -> MirdataSource:
    """Return the tags, recordings and published split of a data set of mirdata.

    Args:
        dataset: what ``mirdata.initialize("gtzan_genre", data_home="gtzan")`` returns.
        fields: the attributes of a track to take tags from; those that a data set lacks are passed over. A value may be
            a name, a list of names, or names with numbers, of which those greater than 0.5 count.
        progress: show a bar.

    Raises:
        FolksongError: the data set's index or annotations are not there, or no track has a tag in these fields.
    """
    pairs: list[tuple[str, str]] = []
    tracks: list[Track] = []
    try:
        for track_id in tqdm(dataset.track_ids, unit="track", leave=False, disable=not progress):
            track = dataset.track(track_id)
            pairs += [(track_id, name) for field in fields for name in _names(getattr(track, field, None))]
            if path := getattr(track, "audio_path", None):
                artist = next(
                    (name for field in ARTISTS for name in _names(getattr(track, field, None))), None
                )
                tracks.append(Track(track_id, Path(path), artist))
        split = _published_split(dataset)
    except FileNotFoundError as error:
        raise FolksongError(
            f"the data set {dataset.name}: {error}; dataset.download() fetches the index, and the files that may be"
        ) from error
    if not pairs:
        raise FolksongError(
            f"the data set {dataset.name} has no tags in {', '.join(fields)}; name the attributes that hold some "
            "(fields=[...])"
        )
    return MirdataSource(TagTable.from_pairs(*zip(*dict.fromkeys(pairs), strict=True)), tracks, split)


def _names(value: Any) -> Iterator[str]:
    """Yield the names in a value of whatever shape."""
    if isinstance(value, str):
        if name := value.strip():
            yield name
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if not isinstance(one, int | float):
                yield from _names(one)
            elif one > LEAST_CONFIDENCE:
                yield from _names(name)
    elif isinstance(value, Sequence | set | frozenset):
        for one in value:
            yield from _names(one)


def _published_split(dataset: Any) -> Split | None:
    """Return the data set's parts, where it has training and test parts, by its own function or a track's subset."""
    try:
        named: dict[Any, list[str]] = dataset.get_track_splits()
    except (NotImplementedError, AttributeError):
        named = {}
        for track_id in dataset.track_ids:
            named.setdefault(getattr(dataset.track(track_id), "subset", None), []).append(track_id)
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for name, track_ids in named.items():
        parts = parts_named(Path(str(name)))
        if len(parts) == 1:
            found[parts[0]] += track_ids
    if not found["training"] or not found["test"]:
        return None
    provenance = {"mirdata": {"name": dataset.name, "version": dataset.version}}
    training, validation, test = (tuple(sorted(found[part])) for part in PARTS)
    return Split(training, validation, test, provenance=provenance)
