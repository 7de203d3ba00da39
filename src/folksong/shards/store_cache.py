"""Shards of an object store: copies on this disk, made ahead while there is room; the others are read in place.

A copy is used once its SHA-256 was found to be the manifest's. What is not copied yet, or has no room, is read from the
store by ranges, so that nothing waits for a whole shard and no shard is fetched twice for want of room: the bytes are
the same. All copies together take at most half of the disk that they and the free space are.
"""

import logging
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from folksong.errors import FileFormatError, FolksongError
from folksong.files import locked
from folksong.shards.format import Bytes
from folksong.shards.index import ShardFile, ShardIndex, build_index, index_path, read_index, write_index
from folksong.stores import absolute, open_objects

logger = logging.getLogger(__name__)

SHARE_OF_DISK = 0.5
READ_AT_ONCE = 16


class ShardCache:
    """What a reader takes from a store; picklable.

    Args:
        address: of the folder of shards.
        files: as its manifest has them.
        limit_bytes: of all copies on this machine, of other folders too; None is `SHARE_OF_DISK`.
    """

    def __init__(self, address: str, files: Sequence[ShardFile], limit_bytes: int | None = None) -> None:
        self.store, self._files, self._limit = open_objects(absolute(address)), tuple(files), limit_bytes
        self.held: set[int] = set()
        self._copying = threading.Lock()
        self._readers = ThreadPoolExecutor(READ_AT_ONCE, "folksong-store")
        self._begun = False

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardCache, (str(self.store), self._files, self._limit)

    def path(self, file: int) -> Path:
        """Return where the copy of a file lies, or would."""
        return self.store.folder / self._files[file].name

    def indexes(self) -> list[ShardIndex]:
        """Return the index of each file: this machine's where it fits the manifest, else the store's, else a new one.

        Raises:
            FileFormatError: the file is not the one that the manifest lists.
        """
        return list(self._readers.map(self._index, range(len(self._files))))

    def _index(self, number: int) -> ShardIndex:
        file, path = self._files[number], self.path(number)

        def local() -> ShardIndex | None:
            with suppress(FileFormatError):
                index = read_index(path)
                if index.sha256 == file.sha256 and file.index_sha256 in (None, index.digest()):
                    return index
            return None

        if (index := local()) is not None:
            return index
        self.store.local(index_path(file.name).name)
        if (index := local()) is None and self.copy(number):  # another writer's file
            write_index(build_index(path), path)
            index = local()
        if index is None:
            raise FileFormatError(
                f"{self.store}/{file.name}: its index is of another file; write the shards again"
            )
        return index

    def read(self, wanted: Sequence[tuple[int, int, int]]) -> list[Bytes]:
        """Return bytes from the store: of each (file, first byte, number)."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._copy_ahead, daemon=True).start()
        return list(self._readers.map(self._range, wanted))

    def _range(self, wanted: tuple[int, int, int]) -> Bytes:
        file, begin, n_bytes = wanted
        if not n_bytes:
            return np.empty(0, np.uint8)
        (part,) = self.store.ranges(self._files[file].name, range(begin, begin + n_bytes, n_bytes))
        return np.frombuffer(part, np.uint8)

    def _copy_ahead(self) -> None:
        try:
            for file in range(len(self._files)):
                if not self.copy(file):
                    logger.info("%s: no room for copies of all shards; the others are read there", self.store)
                    return
        except FolksongError as error:
            logger.warning("shards are read from the store, without copies: %s", error)

    def copy(self, file: int) -> bool:
        """Copy a file, unless it is here; False if there is no room.

        Raises:
            FolksongError: the store does not give it, or another one than the manifest's.
        """
        listed, path = self._files[file], self.path(file)
        done = path.with_name(f"{path.name}.{listed.sha256[:16]}.whole")
        with self._copying, locked(path.with_name(f".{path.name}.lock")):
            if not (done.exists() and path.exists() and path.stat().st_size == listed.n_bytes):
                if not self._make_room(listed.n_bytes):
                    return False
                done.unlink(missing_ok=True)
                if self.store.fetch(listed.name, listed.n_bytes) != listed.sha256:
                    path.unlink()
                    raise FileFormatError(
                        f"{self.store}/{listed.name}: not the file that the manifest lists (its SHA-256 is another); "
                        "write the shards again"
                    )
            done.touch()
        self.held.add(file)
        return True

    def _make_room(self, n_bytes: int) -> bool:
        """Say whether so many bytes have room, after copies of other folders, the oldest first, made some."""
        root = self.store.folder.parent
        root.mkdir(parents=True, exist_ok=True)
        copies = []
        for path in root.glob("*/*.tfrecord"):
            with suppress(FileNotFoundError):  # another process makes room, too
                state = path.stat()
                copies.append((state.st_mtime, state.st_size, path))
        used = sum(size for _, size, _ in copies)
        limit = (
            int(SHARE_OF_DISK * (used + shutil.disk_usage(root).free)) if self._limit is None else self._limit
        )
        for _, size, path in sorted(copies):
            if used + n_bytes > limit and path.parent != self.store.folder:
                used -= size
                path.unlink(missing_ok=True)
        return used + n_bytes <= limit
