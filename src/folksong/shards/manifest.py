"""The manifest: what a folder of shards holds, and the storage of samples.

``manifest.json`` is the last file of a writing, so a folder that has one is whole.

Samples are stored as ``float32`` (a float list, which TensorFlow's parser reads), or with half the disk as
``float16`` or ``int16`` (a bytes list). int16 is scaled by each track's own peak, kept beside it in the feature
``audio_scale``: value = stored * scale.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from folksong.audio.log_mel import FeaturePreset, window_steps
from folksong.errors import FileFormatError, FolksongError
from folksong.files import read_document, sha256_json, write_json
from folksong.shards.format import FOOTER_BYTES, HEADER_BYTES
from folksong.shards.index import ShardIndex

MANIFEST_NAME, WRITING_NAME = "manifest.json", ".writing"
FORMAT = "folksong.shards"
VERSION = 1
HASH_KEY = "manifest_sha256"
AUDIO_FORMATS = ("waveform", "log-mel-spectrogram")
MOST_DATABASES = 1000
MOST_HERTZ = 10_000_000
_PLAIN_NAME = re.compile(r"[^/\\\0]*[^/\\.\0][^/\\\0]*")
_SHA256 = re.compile("[0-9a-f]{64}")
STORAGES = {"float32": "<f4", "float16": "<f2", "int16": "<i2"}
"""Storage -> NumPy type of one sample on disk."""


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
    def of(cls, name: str, index: ShardIndex, recordings_sha256: str | None = None) -> ShardFile:
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
        """Write ``manifest.json`` into `folder`."""
        content = {
            "format": FORMAT,
            "version": VERSION,
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
        write_json(Path(folder) / MANIFEST_NAME, {**content, HASH_KEY: sha256_json(content)})

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Manifest:
        """Read a folder's ``manifest.json``."""
        path = Path(folder) / MANIFEST_NAME
        if not path.exists():
            raise FolksongError(_missing(Path(folder)))
        content = read_document(path, FORMAT, VERSION, "a manifest of shards", "writing shards makes one")
        try:
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
            own_hash = content.pop(HASH_KEY, None)
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path}: damaged ({type(error).__name__}: {error})") from error
        if manifest.n_tracks != content["n_tracks"]:
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


def _missing(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder of shards"
    if (folder / WRITING_NAME).is_dir():
        return f"{folder}: its writing is not finished; run the same again to continue it"
    if any(folder.glob("*.tfrecord")):
        return (
            f"{folder}: no {MANIFEST_NAME}; repairing the folder (with its audio format) describes the files it finds, "
            "also those of TensorFlow or the earlier project"
        )
    return f"{folder}: no shards here (neither {MANIFEST_NAME} nor .tfrecord files); write some first"
