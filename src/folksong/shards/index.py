"""What a folder of shards holds: its manifest, and the index of each shard.

``manifest.json`` is the last file of a writing, so a folder that has one is whole. Samples are stored as ``float32`` (a
float list, which TensorFlow's parser reads), or with half the disk as ``float16`` or ``int16`` (a bytes list). int16 is
scaled by each track's own peak, kept beside it in the feature ``audio_scale``: value = stored * scale.

The index says where each record and its audio lie, the track ids and the tags. It lies beside its shard as
``NAME.tfrecord.index`` (a NumPy ``.npz`` archive) and is a pure function of the shard's bytes, so it can be rebuilt at
any time. It makes opening a folder cheap: nothing of the shard itself is read.
"""

import hashlib
import os
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.audio.log_mel import FeaturePreset, window_steps
from folksong.errors import FileFormatError, FolksongError
from folksong.files import (
    atomic_write,
    but_it_is,
    described,
    json_bytes,
    open_regular,
    read_document,
    reading,
    sha256_json,
)
from folksong.shards.format import (
    FOOTER_BYTES,
    HEADER_BYTES,
    Bytes,
    ContentError,
    Feature,
    Record,
    frame,
    iterate_records,
    parse_example,
)
from folksong.stores import is_address, open_store

MANIFEST_NAME, WRITING_NAME = "manifest.json", ".writing"
FORMAT = "folksong.shards"
MANIFEST_VERSION = 1
HASH_KEY = "manifest_sha256"
AUDIO_FORMATS = ("waveform", "log-mel-spectrogram")
MOST_DATABASES = 1000
MOST_HERTZ = 10_000_000
_PLAIN_NAME = re.compile(r"[^/\\\0]*[^/\\.\0][^/\\\0]*")
_SHA256 = re.compile("[0-9a-f]{64}")
STORAGES = {"float32": "<f4", "float16": "<f2", "int16": "<i2"}
"""Storage -> NumPy type of one sample on disk."""

INDEX_VERSION = 1
AUDIO_KEY, TRACK_ID_KEY, TAGS_KEY, SCALE_KEY = "audio", "tid", "tags", "audio_scale"
_DATABASE_KEY = re.compile(r"tags_(\d{1,3})")
_COLUMNS = ("offsets", "audio_offsets", "audio_bytes", "scales")


@dataclass(frozen=True)
class ShardTags:
    """The tags of one database in one shard, as codes into the shard's own vocabulary.

    Args:
        vocabulary: the distinct tags, by code point; empty where records hold a one-hot.
        starts: (n_tracks + 1,) where each track's entries begin.
        codes: (n_entries,) numbers of tags: in the vocabulary, or in the one-hot.
        weights: (n_entries,) float32; NaN where the record has none.
        one_hot_length: number of values in a record's one-hot; 0 where tags are strings.
    """

    vocabulary: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    one_hot_length: int = 0


@dataclass(frozen=True)
class ShardIndex:
    """Where the records of one shard and their audio lie.

    Args:
        sha256: of the shard's bytes.
        n_bytes: the shard's size.
        offsets: (n_tracks,) int64, each record's first byte.
        audio_offsets: (n_tracks,) int64, the first byte of its audio; -1 where it lies in pieces.
        audio_bytes: (n_tracks,) int64, bytes of its audio (4 per float).
        scales: (n_tracks,) float32, factor of int16 audio; 1 elsewhere.
        track_ids: (n_tracks) strings.
        tags: one entry a tag database.
    """

    sha256: str
    n_bytes: int
    offsets: npt.NDArray[np.int64]
    audio_offsets: npt.NDArray[np.int64]
    audio_bytes: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float32]
    track_ids: tuple[str, ...]
    tags: tuple[ShardTags, ...]

    def __len__(self) -> int:
        return len(self.offsets)

    def digest(self) -> str:
        """Return the SHA-256 of all that the index says: two indexes are equal if theirs are."""
        digest = hashlib.sha256()
        for name, array in sorted(_arrays(self).items()):
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
        return digest.hexdigest()


def index_path(shard: str | os.PathLike[str]) -> Path:
    """Return where a shard's index lies."""
    return Path(f"{os.fspath(shard)}.index")


def map_file(path: str | os.PathLike[str]) -> Bytes:
    """Return a file's bytes as a read-only memory map; an empty file gives an empty array."""
    import mmap

    with described(path), open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def build_index(shard: str | os.PathLike[str]) -> ShardIndex:
    """Read a whole shard, check its CRCs and return its index.

    Raises:
        RecordError: a record is cut, damaged, or not what a record of audio must be.
    """
    data = map_file(shard)
    builder = IndexBuilder()
    for record in iterate_records(data, shard):
        builder.add(record.payload_of(data), record, shard)
    return builder.finish(sha256_of(data), len(data))


def sha256_of(data: Bytes) -> str:
    """Return the SHA-256 of a mapped file."""
    return hashlib.sha256(data.data).hexdigest()


class IndexBuilder:
    """Collects the entries of an index, record by record, and in which storages their audio is."""

    def __init__(self) -> None:
        self.storages: set[str] = set()
        self._rows: list[tuple[int, int, int, float]] = []
        self._track_ids: list[str] = []
        self._tags: list[dict[int, _RecordTags]] = []

    def add(self, payload: Bytes, record: Record, path: str | os.PathLike[str]) -> None:
        """Add a record with this payload.

        Raises:
            ContentError: it is no audio record.
        """
        try:
            features = parse_example(payload)
            offset, n_bytes = _locate_audio(features)
            track_id = _read_track_id(features)
            scale = float(features[SCALE_KEY].values[0]) if SCALE_KEY in features else 1.0
        except FileFormatError as error:
            raise ContentError(path, record.number, record.offset, str(error), record.end) from error
        self._rows.append(
            (record.offset, -1 if offset is None else record.payload_offset + offset, n_bytes, scale)
        )
        self._track_ids.append(track_id)
        self.storages.add(storage_of(features))
        self._tags.append({database: _read_tags(features, key) for database, key in _databases(features)})

    def finish(self, sha256: str, n_bytes: int) -> ShardIndex:
        """Return the index of all records added."""
        columns = np.array(self._rows, np.float64).reshape(-1, 4)  # offsets stay exact below 2**53 bytes
        n_databases = max((database + 1 for tags in self._tags for database in tags), default=0)
        return ShardIndex(
            sha256=sha256,
            n_bytes=n_bytes,
            offsets=columns[:, 0].astype(np.int64),
            audio_offsets=columns[:, 1].astype(np.int64),
            audio_bytes=columns[:, 2].astype(np.int64),
            scales=columns[:, 3].astype(np.float32),
            track_ids=tuple(self._track_ids),
            tags=tuple(
                _pack_tags([tags.get(database, _RecordTags()) for tags in self._tags])
                for database in range(n_databases)
            ),
        )


@dataclass(frozen=True)
class _RecordTags:
    """The tags of one record in one database: strings, or numbers in a one-hot of so many values."""

    tags: Sequence[str | int] = ()
    weights: Sequence[float] | None = None
    one_hot_length: int = 0


def _read_tags(features: dict[str, Feature], key: str) -> _RecordTags:
    feature = features[key]
    if feature.kind == "int64":
        return _RecordTags(np.flatnonzero(feature.values).tolist(), None, len(feature.values))
    tags = [decode_text(value) for value in feature.values] if feature.kind == "bytes" else []
    weights = features.get(f"{key}_weight")
    if weights is None or len(weights.values) != len(tags):
        return _RecordTags(tags)
    return _RecordTags(tags, [float(weight) for weight in weights.values])


def _pack_tags(records: Sequence[_RecordTags]) -> ShardTags:
    one_hot_length = max(record.one_hot_length for record in records)
    flat: list[Any] = [tag for record in records for tag in record.tags]
    vocabulary = () if one_hot_length else tuple(sorted(set(flat)))
    number_of = {tag: number for number, tag in enumerate(vocabulary)}
    weights = [record.weights or [np.nan] * len(record.tags) for record in records]
    return ShardTags(
        vocabulary,
        np.cumsum([0, *(len(record.tags) for record in records)], dtype=np.int64),
        np.array(flat if one_hot_length else [number_of[tag] for tag in flat], np.int32),
        np.array([weight for given in weights for weight in given], np.float32),
        one_hot_length,
    )


def write_records(path: Path, payloads: Iterable[bytes]) -> ShardIndex:
    """Write a shard of these payloads, and its index beside it; both appear whole or not at all.

    Raises:
        FolksongError: the disk is full or not writable.
        RecordError: a payload is no audio record.
    """
    builder, digest, n_bytes = IndexBuilder(), hashlib.sha256(), 0
    with atomic_write(path) as stream:
        for number, payload in enumerate(payloads):
            for part in frame(payload):
                stream.write(part)
                digest.update(part)
            record = Record(number, n_bytes, n_bytes + HEADER_BYTES, len(payload))
            builder.add(np.frombuffer(payload, np.uint8), record, path)
            n_bytes = record.end
    index = builder.finish(digest.hexdigest(), n_bytes)
    write_index(index, path)
    return index


def decode_text(value: bytes | memoryview) -> str:
    """Return a string of a record; what is not UTF-8 (another writer's files) shows as replacement characters."""
    raw = bytes(value)
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def encode_text(text: str) -> bytes:
    """Return a string's bytes in a record."""
    return text.encode("utf-8", "surrogatepass")


def _locate_audio(features: dict[str, Feature]) -> tuple[int | None, int]:
    audio = features.get(AUDIO_KEY)
    if audio is None:
        raise FileFormatError(
            f"it has no feature {AUDIO_KEY!r}, only {', '.join(sorted(features)) or 'none'}"
        )
    if audio.kind == "float":
        return audio.offset, 4 * len(audio.values)
    if audio.kind == "bytes" and len(audio.values) == 1:
        return audio.offset, len(audio.values[0])
    raise FileFormatError(f"its {AUDIO_KEY!r} is a list of {audio.kind}, not of floats")


def storage_of(features: dict[str, Feature]) -> str:
    """Return how a record's audio is stored, as `folksong.shards.index.STORAGES` names it."""
    if features[AUDIO_KEY].kind == "float":
        return "float32"
    return "int16" if SCALE_KEY in features else "float16"


def _read_track_id(features: dict[str, Feature]) -> str:
    track_id = features.get(TRACK_ID_KEY)
    if track_id is None or track_id.kind != "bytes" or len(track_id.values) != 1:
        raise FileFormatError(f"it has no feature {TRACK_ID_KEY!r} with one track id")
    return decode_text(track_id.values[0])


def _databases(features: dict[str, Feature]) -> list[tuple[int, str]]:
    """Return the tag databases of a record as (number, feature name)."""
    numbered = [(int(match[1]), key) for key in features if (match := _DATABASE_KEY.fullmatch(key))]
    return sorted(numbered) or ([(0, TAGS_KEY)] if TAGS_KEY in features else [])


def write_index(index: ShardIndex, shard: str | os.PathLike[str]) -> None:
    """Write a shard's index beside it."""
    with atomic_write(index_path(shard)) as stream:
        np.savez(stream, allow_pickle=False, **_arrays(index))


def _arrays(index: ShardIndex) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {
        "version": np.array(INDEX_VERSION),
        "sha256": np.frombuffer(index.sha256.encode(), np.uint8),
        "n_bytes": np.array(index.n_bytes, np.int64),
        "n_databases": np.array(len(index.tags)),
    }
    arrays |= {name: getattr(index, name) for name in _COLUMNS}
    arrays |= _pack_strings("track_ids", index.track_ids)
    for number, tags in enumerate(index.tags):
        arrays |= _pack_strings(f"vocabulary_{number}", tags.vocabulary)
        for column in fields(tags)[1:]:
            arrays[f"{column.name}_{number}"] = np.asarray(getattr(tags, column.name))
    return arrays


def read_index(shard: str | os.PathLike[str]) -> ShardIndex:
    """Read a shard's index."""
    path = index_path(shard)
    if not path.exists():
        raise FileFormatError(f"{path}: missing")
    try:
        # Nothing is unpacked: an archive that is compressed could be of any size, and is none of ours.
        with zipfile.ZipFile(path) as packed:
            if any(member.compress_type != zipfile.ZIP_STORED for member in packed.infolist()):
                raise FileFormatError(f"{path}: a compressed archive, not an index")
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        if int(arrays["version"]) != INDEX_VERSION:
            raise FileFormatError(f"{path}: version {arrays['version']}; this folksong reads {INDEX_VERSION}")
        tags = tuple(
            ShardTags(
                _unpack_strings(arrays, f"vocabulary_{number}"),
                *(arrays[f"{column.name}_{number}"][()] for column in fields(ShardTags)[1:]),
            )
            for number in range(int(arrays["n_databases"]))
        )
        return ShardIndex(
            sha256=arrays["sha256"].tobytes().decode(),
            n_bytes=int(arrays["n_bytes"]),
            track_ids=_unpack_strings(arrays, "track_ids"),
            tags=tags,
            **{name: arrays[name] for name in _COLUMNS},
        )
    except Exception as error:  # a damaged archive provokes nearly all there are
        raise FileFormatError(f"{path}: a damaged index ({error})") from error


def _pack_strings(name: str, strings: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    encoded = [encode_text(text) for text in strings]
    return {
        name: np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}_ends": np.cumsum([len(text) for text in encoded], dtype=np.int64),
    }


def _unpack_strings(arrays: dict[str, npt.NDArray[Any]], name: str) -> tuple[str, ...]:
    raw = arrays[name].tobytes()
    ends = arrays[f"{name}_ends"].tolist()
    starts = [0, *ends][: len(ends)]
    spans = zip(starts, ends, strict=True)
    if raw.isascii():  # ids usually are; then bytes and characters have the same places
        text = raw.decode("ascii")
        return tuple(text[start:stop] for start, stop in spans)
    return tuple(decode_text(raw[start:stop]) for start, stop in spans)


@dataclass(frozen=True)
class ShardFile:
    """One file of a folder of shards.

    Args:
        name: a plain file name: the file lies in the folder itself.
        n_tracks: number of records.
        n_bytes: size of the file.
        sha256: of the file's bytes.
        index_sha256: of what its index says (`ShardIndex.digest`); None leaves the index unchecked.
        recordings_sha256: of the recordings that were read, in the order of the records; None if that is not known.
    """

    name: str
    n_tracks: int
    n_bytes: int
    sha256: str
    index_sha256: str | None = None
    recordings_sha256: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _PLAIN_NAME.fullmatch(self.name):
            raise FolksongError(f"{self.name!r} is not the plain name of a file in the folder")
        for key in ("n_tracks", "n_bytes"):
            _require_whole(f"{key} of {self.name}", getattr(self, key), 0)
        if self.n_bytes < self.n_tracks * (HEADER_BYTES + FOOTER_BYTES):
            raise FolksongError(f"{self.name}: {self.n_bytes} bytes cannot hold {self.n_tracks} records")
        for key in ("sha256", "index_sha256", "recordings_sha256"):
            value = getattr(self, key)
            if not (value is None and key != "sha256") and not (
                isinstance(value, str) and _SHA256.fullmatch(value)
            ):
                raise FolksongError(f"{self.name}: {key} is not a SHA-256 in hexadecimal digits")

    @classmethod
    def of(cls, name: str, index: ShardIndex, recordings_sha256: str | None = None) -> "ShardFile":
        """Describe a file by its index."""
        return cls(name, len(index), index.n_bytes, index.sha256, index.digest(), recordings_sha256)


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    Args:
        audio_format: ``waveform`` or ``log-mel-spectrogram``.
        sample_rate: Hz.
        preset: how the spectrograms were computed; None for waveforms.
        files: in the order in which their records are numbered.
        storage: ``float32``, ``float16`` or ``int16``.
        n_tag_databases: how many tag lists each record holds; with more than one they are ``tags_0``, ``tags_1``, …
        one_hot_tags: the database's tags, in its order, where records hold an int64 one-hot (the earlier project's
            files); else None.
        provenance: seed, hashes of the inputs, numbers of skipped and untagged tracks; JSON values only.
    """

    audio_format: str
    sample_rate: int
    preset: FeaturePreset | None
    files: tuple[ShardFile, ...]
    storage: str = "float32"
    n_tag_databases: int = 1
    one_hot_tags: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.audio_format not in AUDIO_FORMATS:
            raise FolksongError(f"audio format {self.audio_format!r}; known are {', '.join(AUDIO_FORMATS)}")
        if self.storage not in STORAGES:
            raise FolksongError(f"storage {self.storage!r}; known are {', '.join(STORAGES)}")
        if (self.preset is None) != (self.audio_format == "waveform"):
            raise FolksongError("spectrograms need a feature preset, waveforms have none")
        _require_whole("sample_rate", self.sample_rate, 1, MOST_HERTZ)
        _require_whole("n_tag_databases", self.n_tag_databases, 0, MOST_DATABASES)
        if self.preset is not None and self.preset.sample_rate != self.sample_rate:
            raise FolksongError(
                f"a sample rate of {self.sample_rate} Hz, but a feature preset for {self.preset.sample_rate} Hz"
            )
        object.__setattr__(self, "files", tuple(self.files))
        names = {file.name for file in self.files}
        if len(names) < len(self.files):
            raise FolksongError("a file is listed twice")

    @property
    def n_tracks(self) -> int:
        """Number of records in all files."""
        return sum(file.n_tracks for file in self.files)

    @property
    def n_bytes(self) -> int:
        """Size of all files in bytes, without their indexes."""
        return sum(file.n_bytes for file in self.files)

    @property
    def bytes_a_step(self) -> int:
        """Bytes on disk of one sample, or of one frame of a spectrogram."""
        sample_bytes = int(STORAGES[self.storage][-1])
        return sample_bytes if self.preset is None else sample_bytes * self.preset.n_mels

    def steps(self, seconds: float) -> int:
        """Return how many samples, or frames of a spectrogram, a window of `seconds` has."""
        return window_steps(seconds, self.sample_rate, self.preset)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write ``manifest.json`` into `folder`, a path or an address."""
        content = {
            "format": FORMAT,
            "version": MANIFEST_VERSION,
            "audio_format": self.audio_format,
            "sample_rate": self.sample_rate,
            "preset": None if self.preset is None else self.preset.to_dict(),
            "storage": self.storage,
            "n_tag_databases": self.n_tag_databases,
            "one_hot_tags": None if self.one_hot_tags is None else list(self.one_hot_tags),
            "n_tracks": self.n_tracks,
            "provenance": dict(self.provenance),
            "files": [vars(file) for file in self.files],
        }
        document = json_bytes({**content, HASH_KEY: sha256_json(content)})
        open_store(folder).put(MANIFEST_NAME, document)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Manifest":
        """Read the ``manifest.json`` of a folder, a path or an address."""
        path = open_store(folder).local(MANIFEST_NAME)
        if not path.exists():
            raise FolksongError(_missing(folder))
        content = read_document(
            path, FORMAT, MANIFEST_VERSION, "a manifest of shards", "writing shards makes one"
        )
        with reading(path):
            manifest = cls(
                audio_format=content["audio_format"],
                sample_rate=content["sample_rate"],
                preset=None if content["preset"] is None else FeaturePreset.from_dict(content["preset"]),
                files=tuple(ShardFile(**file) for file in content["files"]),
                storage=content["storage"],
                n_tag_databases=content["n_tag_databases"],
                one_hot_tags=None if content["one_hot_tags"] is None else tuple(content["one_hot_tags"]),
                provenance=dict(content["provenance"]),
            )
            own_hash, n_tracks = content.pop(HASH_KEY, None), content["n_tracks"]
        if manifest.n_tracks != n_tracks:
            raise FileFormatError(f"{path}: n_tracks does not match the files' sum {manifest.n_tracks}")
        if own_hash is not None and own_hash != sha256_json(content):
            raise FileFormatError(
                f"{path}: was changed after it was written (its own hash is another); restore it, or remove it and "
                "repair the folder, which describes the files anew"
            )
        return manifest


def _require_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or value > (most or value):
        limits = f"{least} or more" if most is None else f"{least} to {most:,}"
        raise FolksongError(f"{name} must be a whole number, {limits}, not {value!r}")


def _missing(place: str | os.PathLike[str]) -> str:
    folder = Path(place)
    if is_address(place):
        return f"{place}: no shards there (no {MANIFEST_NAME}), or their writing is not finished"
    if not folder.is_dir():
        return f"{folder}: no {'such ' * (not folder.exists())}folder of shards{but_it_is(folder)}"
    if (folder / WRITING_NAME).is_dir():
        return f"{folder}: its writing is not finished; write these shards again to continue"
    if any(folder.glob("*.tfrecord")):
        return (
            f"{folder}: no {MANIFEST_NAME}; repairing the folder (with its audio format) describes the files it finds, "
            "also those of TensorFlow or the earlier project"
        )
    lacking = f"neither {MANIFEST_NAME} nor .tfrecord files"
    return f"{folder}: no shards here ({lacking}){but_it_is(folder)}; write some first"
