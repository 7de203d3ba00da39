"""Random access to a folder of shards: windows of audio, track ids and tags, by memory map.

Records are numbered through all files in the manifest's order. A window is copied straight from the map: nothing
else of the record is read. Each file's CRCs are checked once, when the folder is first opened on a machine;
``.checked.json`` beside the shards remembers which files (by size and time of change) were found whole.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError, FolksongError
from folksong.files import read_json, write_json
from folksong.shards.format import Bytes, iterate_records, parse_example, whole_record
from folksong.shards.index import (
    AUDIO_KEY,
    STORAGES,
    Manifest,
    ShardFile,
    ShardIndex,
    ShardTags,
    build_index,
    map_file,
    read_index,
    storage_of,
    write_index,
)
from folksong.shards.store_cache import ShardCache
from folksong.stores import is_address, open_store
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

CHECKED_NAME = ".checked.json"
_DEFAULT_OPEN_FILES = 96


class ShardReader:
    """A folder of shards, opened for reading. Safe to share between threads and to send to other processes.

    Args:
        folder: the folder that holds ``manifest.json``, or its address in an object store.
        check: check the CRCs of files that were never checked on this machine.
        max_open_files: how many files are mapped at a time; the least recently used one is closed first.
        cache_bytes: of a store's shards, how much may lie on this machine; None is half of the disk.

    Raises:
        FolksongError: the folder, its manifest or a shard is missing.
        FileFormatError: a shard is cut or damaged; the message names file and record.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        check: bool = True,
        max_open_files: int | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.read(folder)
        self._cache: ShardCache | None = None
        if is_address(folder):
            self._cache = ShardCache(fspath(folder), self.manifest.files, cache_bytes)
            indexes = self._cache.indexes()
        else:
            indexes = _open_indexes(self.folder, self.manifest, check=check)
        local = open_store(folder).folder
        self._paths = [local / file.name for file in self.manifest.files]
        self._max_open_files = max_open_files or _open_file_limit()
        self._open = self._bounded_maps()
        self._tags = [index.tags for index in indexes]
        lengths = [len(index) for index in indexes]
        self._first_record = np.cumsum([0, *lengths])
        self._file_of = np.repeat(np.arange(len(indexes)), lengths)
        self._offsets = _join([index.offsets for index in indexes])
        self._audio_offsets = _join([index.audio_offsets for index in indexes])
        self._scales = np.concatenate([np.empty(0, np.float32), *(index.scales for index in indexes)])
        self._dtype = np.dtype(STORAGES[self.manifest.storage])
        self.n_mels = 1 if self.manifest.preset is None else self.manifest.preset.n_mels
        self._n_values = _join([index.audio_bytes for index in indexes]) // self._dtype.itemsize
        self.track_ids: tuple[str, ...] = tuple(track_id for index in indexes for track_id in index.track_ids)
        self.n_steps: npt.NDArray[np.int64] = self._n_values // self.n_mels
        self._check_content(indexes)

    def _bounded_maps(self) -> Callable[[int], Bytes]:
        """Return a function that maps a file by its number; a map closes when its last window is dropped."""
        paths = self._paths
        return lru_cache(max(1, self._max_open_files))(lambda file: map_file(paths[file]))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open = self._bounded_maps()

    def _bytes(self, wanted: Sequence[tuple[int, int, int]]) -> Iterator[Bytes]:
        """Return bytes as they lie in the files: of each (file, first byte, number)."""
        held = None if self._cache is None else self._cache.held.copy()  # it grows meanwhile
        far = [] if held is None else [one for one in wanted if one[0] not in held]
        fetched = iter(self._cache.read(far) if self._cache is not None and far else ())
        for file, begin, n_bytes in wanted:
            if held is None or file in held:
                yield self._open(file)[begin : begin + n_bytes]
            else:
                yield next(fetched)

    def __len__(self) -> int:
        return len(self.track_ids)

    def __repr__(self) -> str:
        return f"ShardReader({fspath(self.folder)!r}, {len(self)} tracks, {self.manifest.audio_format})"

    @property
    def is_waveform(self) -> bool:
        """Whether windows are waveforms; else they are spectrograms."""
        return self.manifest.preset is None

    def window_shape(self, length: int) -> tuple[int, ...]:
        """Return the shape of a window of `length` steps: (length,) or (n_mels, length)."""
        return (length,) if self.is_waveform else (self.n_mels, length)

    def window(self, i: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Return `length` samples (length,), or frames (n_mels, length), of record `i` from step `start`, as float32.

        A record shorter than `length` is repeated until it fills the window.
        """
        out = np.empty(self.window_shape(length), np.float32)
        self.window_into(i, start, out)
        return out

    def window_into(self, i: int, start: int, out: npt.NDArray[np.float32]) -> None:
        """Write a window into `out`, whose last axis says how long it is; see `window`."""
        stored = self._stored(i)
        n_steps, length = stored.shape[-1], out.shape[-1]
        if length <= n_steps:
            if not 0 <= start <= n_steps - length:
                raise FolksongError(
                    f"{self.track_ids[i]}: no window of {length} steps at {start}: the record has {n_steps}"
                )
            _copy(stored[..., start : start + length], self._scales[i], out)
        elif n_steps == 0:
            raise FolksongError(f"{self.track_ids[i]}: the record holds no audio")
        else:
            piece = np.empty(stored.shape, np.float32)
            _copy(stored, self._scales[i], piece)
            np.take(piece, (start + np.arange(length)) % n_steps, axis=-1, out=out)

    def windows_into(
        self, records: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], out: npt.NDArray[np.float32]
    ) -> None:
        """Write a window of each record into the rows of `out`; see `window`.

        Args:
            records: (n,) record numbers.
            starts: (n,) first steps.
            out: (n, samples) or (n, n_mels, frames) in C order.
        """
        length = out.shape[-1]
        if not self._are_plain(records, starts, length):
            for row, (record, start) in enumerate(zip(records.tolist(), starts.tolist(), strict=True)):
                self.window_into(record, start, out[row])
            return
        # Floats lie anywhere in a record, and NumPy takes numbers that are not aligned one by one, bytes in vectors.
        # `positive` changes nothing; its loop over bytes passes the C library's copying by a quarter.
        rows, n_bytes = out.view(np.uint8), out.itemsize * length
        begins = (self._audio_offsets[records] + out.itemsize * starts).tolist()
        wanted = [
            (file, begin, n_bytes)
            for file, begin in zip(self._file_of[records].tolist(), begins, strict=True)
        ]
        for row, data in zip(rows, self._bytes(wanted), strict=True):
            np.positive(data, out=row)

    def _are_plain(self, records: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], length: int) -> bool:
        """Say whether windows are stretches of bytes as they lie in the files."""
        if not self.is_waveform or self._dtype != np.float32:
            return False
        whole = (
            (starts >= 0) & (starts + length <= self.n_steps[records]) & (self._audio_offsets[records] >= 0)
        )
        return bool(whole.all())

    def audio(self, i: int) -> npt.NDArray[np.float32]:
        """Return the whole audio of record `i`: (samples,) or (n_mels, frames) float32."""
        return self.window(i, 0, int(self.n_steps[i]))

    def payload(self, i: int) -> Bytes:
        """Return the payload of record `i`, whose CRCs are checked, as a view of the map."""
        file, begin = int(self._file_of[i]), int(self._offsets[i])
        is_last = i + 1 == self._first_record[file + 1]
        end = self.manifest.files[file].n_bytes if is_last else int(self._offsets[i + 1])
        (data,) = self._bytes([(file, begin, end - begin)])
        return whole_record(data, 0, i, self.track_ids[i]).payload_of(data)

    def _stored(self, i: int) -> npt.NDArray[Any]:
        """Return a view of record `i`'s samples as they are stored: (samples,) or (n_mels, frames)."""
        offset, count = int(self._audio_offsets[i]), int(self._n_values[i])
        if offset >= 0:
            (data,) = self._bytes([(int(self._file_of[i]), offset, count * self._dtype.itemsize)])
            values = np.frombuffer(data, self._dtype, count)
        else:  # another writer's file whose floats do not lie in one piece
            values = parse_example(self.payload(i))[AUDIO_KEY].values
        return values if self.is_waveform else values[: count - count % self.n_mels].reshape(self.n_mels, -1)

    def _check_content(self, indexes: Sequence[ShardIndex]) -> None:
        """Compare what the manifest says of the audio with the sizes of all records, and with the first one itself."""
        for file, index in zip(self.manifest.files, indexes, strict=True):
            if (index.audio_bytes % self.manifest.bytes_a_step).any():
                raise FileFormatError(
                    f"{self.folder / file.name}: its audio does not consist of steps of {self.manifest.bytes_a_step} "
                    "bytes, as the manifest has it"
                )
        if len(self):
            storage = storage_of(parse_example(self.payload(0)))
            if storage != self.manifest.storage:
                raise FileFormatError(
                    f"{self._paths[int(self._file_of[0])]}: its audio is stored as {storage}, not as "
                    f"{self.manifest.storage}, as the manifest has it"
                )

    def tags(self, i: int, database: int = 0) -> tuple[list[str], list[float] | None]:
        """Return the tags of record `i` and their weights (None where the record has none)."""
        tags = self._database(int(self._file_of[i]), database)
        if tags is None:
            return [], None
        within = i - int(self._first_record[self._file_of[i]])
        entries = slice(int(tags.starts[within]), int(tags.starts[within + 1]))
        weights = tags.weights[entries]
        vocabulary = self._vocabulary(tags)
        names = [vocabulary[code] for code in tags.codes[entries]]
        return names, None if np.isnan(weights).any() or not len(weights) else weights.tolist()

    def tag_table(self, database: int = 0) -> TagTable:
        """Return the tags that the records themselves hold.

        Tracks are in the records' order, tags by code point; weights are 1 where a record has none.
        """
        number_of: dict[str, int] = {}
        rows, columns, weights = [], [], []
        for file, first in enumerate(self._first_record[:-1]):
            tags = self._database(file, database)
            if tags is None:
                continue
            codes = np.array(
                [number_of.setdefault(tag, len(number_of)) for tag in self._vocabulary(tags)], np.int64
            )
            rows.append(first + np.repeat(np.arange(len(tags.starts) - 1), np.diff(tags.starts)))
            columns.append(codes[tags.codes])
            weights.append(np.nan_to_num(tags.weights, nan=1.0))
        names = sorted(number_of)
        place = np.empty(len(names), np.int64)
        place[[number_of[name] for name in names]] = np.arange(len(names))
        weights_array = np.concatenate([np.empty(0, np.float32), *weights])
        return TagTable.from_codes(
            self.track_ids, names, _join(rows), place[_join(columns)], np.maximum(weights_array, 0)
        )

    def one_hot_length(self, database: int = 0) -> int:
        """Return how many tags a one-hot of the records is over; 0 where tags are strings."""
        given = (self._database(file, database) for file in range(len(self._tags)))
        return max((tags.one_hot_length for tags in given if tags is not None), default=0)

    def _database(self, file: int, database: int) -> ShardTags | None:
        if not 0 <= database < max(self.manifest.n_tag_databases, 1):
            raise FolksongError(
                f"{self.folder}: there is no tag database {database}; the records hold "
                f"{self.manifest.n_tag_databases}, numbered from 0"
            )
        return self._tags[file][database] if database < len(self._tags[file]) else None

    def _vocabulary(self, tags: ShardTags) -> tuple[str, ...]:
        if not tags.one_hot_length:
            return tags.vocabulary
        names = self.manifest.one_hot_tags
        if names is None or len(names) < tags.one_hot_length:
            raise FolksongError(
                f"{self.folder}: the records hold a one-hot over {tags.one_hot_length} tags, without the tags' names; "
                "repair the folder with the tags of the database it was made from, or give that as the tags"
            )
        return names


def _copy(stored: npt.NDArray[Any], scale: np.float32, out: npt.NDArray[np.float32]) -> None:
    """Write stored samples into float32 `out`, scaled where they are integers."""
    np.copyto(out, stored)
    if stored.dtype.kind == "i":
        np.multiply(out, scale, out=out)  # after the conversion: one step of both is slower


def _join(arrays: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *arrays])


def _open_file_limit() -> int:
    """Return how many shards may be mapped at a time: each holds a descriptor, and others need theirs."""
    try:
        import resource
    except ImportError:  # Windows
        return _DEFAULT_OPEN_FILES
    return max(8, min(_DEFAULT_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))


def _open_indexes(folder: Path, manifest: Manifest, *, check: bool) -> list[ShardIndex]:
    """Return the index of each shard, rebuilt where it is missing, after the checks of a first opening."""
    checked = read_checked(folder)
    indexes = []
    for file in manifest.files:
        path = folder / file.name
        now = stamp(path)
        if now[0] != file.n_bytes:
            raise FileFormatError(
                f"{path}: {now[0]} bytes, but the manifest says {file.n_bytes}: it was cut or overwritten; repairing "
                "the folder keeps its whole records"
            )
        try:
            index = read_index(path)
            if not _fits(index, file):
                raise FileFormatError(f"{path}: the index is of another file")
        except FileFormatError as error:
            logger.info("%s; building it anew", error)
            index = _rebuild_index(path, file)
            checked[file.name] = now
        if check and checked.get(file.name) != now:
            for _ in iterate_records(map_file(path), path):
                pass
            checked[file.name] = now
        indexes.append(index)
    remember_checked(folder, checked)
    return indexes


def _fits(index: ShardIndex, file: ShardFile) -> bool:
    """Say whether an index is that of the file which the manifest lists."""
    return (
        index.sha256 == file.sha256
        and (index.n_bytes, len(index)) == (file.n_bytes, file.n_tracks)
        and file.index_sha256 in (None, index.digest())
    )


def _rebuild_index(path: Path, file: ShardFile) -> ShardIndex:
    index = build_index(path)
    if not _fits(index, file):
        raise FileFormatError(
            f"{path}: its SHA-256 or that of its index is not the manifest's: it was replaced by another file; restore "
            "it, or repair the folder, which accepts it"
        )
    try:
        write_index(index, path)
    except FolksongError as error:  # a read-only folder is no reason not to read
        logger.debug("not written: %s", error)
    return index


def stamp(path: Path) -> list[int]:
    """Return what tells one state of a file from another: its size in bytes and time of change in ns."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise FolksongError(
            f"{path}: the manifest lists this shard, but it is not there; restore it, or repair the folder, which "
            "drops it"
        ) from None
    return [status.st_size, status.st_mtime_ns]


def read_checked(folder: Path) -> dict[str, Any]:
    """Return file name -> stamp of the shards that were found whole, and what else is noted of this machine."""
    try:
        content = read_json(folder / CHECKED_NAME)
    except FolksongError:
        return {}
    return content if isinstance(content, dict) else {}


def remember_checked(folder: Path, notes: Mapping[str, Any]) -> None:
    """Remember these notes, such as that a shard is whole; in a folder that cannot be written to, nothing is."""
    before = read_checked(folder)
    after = {**before, **notes}
    if after != before:
        try:
            write_json(folder / CHECKED_NAME, after)
        except FolksongError as error:
            logger.debug("not remembered: %s", error)
