"""A folder, on disk or in an object store: files that are put whole, or only if none of the name is there.

An address such as ``s3://bucket/shards`` (also ``gs://``, ``az://``, ``abfss://``) stands where a path may stand; the
package obstore speaks to the store, with its retries, timeouts and uploads in parts, and finds credentials where the
store's own tools do (``AWS_ACCESS_KEY_ID``, ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_NAME``, the
machine's role, …).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from folksong.errors import FolksongError, needs_extra
from folksong.files import atomic_write, cache_folder, described, open_regular, part_of, sha256_file

_ADDRESS = re.compile(r"^(s3a?|gs|az|azure|adl|abfss?):/{1,2}(?=[^/])")
COPIED_WHOLE = {"config.json", "embeddings.json", "experiment.json"}
"""A folder that holds one of them is a run, embeddings or an experiment."""
PART_BYTES, PARTS_AT_ONCE = 16 << 20, 4
TRIES = 4  # to put a file that must not be there yet: the library does not repeat that by itself
_CREDENTIALS = (
    "give credentials as the store's own tools take them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, …) and see that they "
    "may read and write there"
)

_REFUSED = re.compile(  # the last two: where the clouds' own machines find their credentials
    r"status code: 40[13]|redential|service account|Invalid Access Key|Account must be|pem file"
    r"|metadata\.google|169\.254\.169\.254"
)


class Stored(NamedTuple):
    """A small file: its bytes, and when it was put (seconds since 1970, by the store's clock)."""

    data: bytes
    modified: float


def is_address(place: str | os.PathLike[str]) -> bool:
    """Say whether a place is one in an object store; a `Path` of an address, which lost a slash, is."""
    return bool(_ADDRESS.match(os.fspath(place)))


def on_disk(place: str | os.PathLike[str]) -> Path:
    """Return the path of what has to lie on this machine's disk.

    Raises:
        FolksongError: it is an address.
    """
    if is_address(place):
        raise FolksongError(f"{text_of(place)}: this is done on disk only; copy it there first")
    return Path(place)


def text_of(place: str | os.PathLike[str]) -> str:
    """Return a path as it is, and an address with the slash that a `Path` of it lost."""
    return _ADDRESS.sub(r"\1://", os.fspath(place))


def absolute(place: str | os.PathLike[str]) -> str:
    """Return a path from the root on, and an address as it is."""
    return text_of(place) if is_address(place) else os.path.abspath(place)  # noqa: PTH100


@contextmanager
def brought(place: str) -> Iterator[str]:
    """Yield a path where a file can be opened: its own, or that of a copy of an object, which goes with the block.

    Raises:
        FolksongError: the store does not give it.
        FileNotFoundError: it has no such object.
    """
    if not is_address(place):
        yield place
        return
    store, name = _object_at(place)
    size, _ = store.state(name)
    with tempfile.TemporaryDirectory(prefix="folksong-") as temporary:
        store.fetch(name, size, Path(temporary, name))
        yield str(Path(temporary, name))


def state_of(place: str | os.PathLike[str]) -> tuple[int, int]:
    """Return bytes and time of change in ns of a file.

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    if not is_address(place):
        status = Path(place).stat()
        return status.st_size, status.st_mtime_ns
    store, name = _object_at(place)
    return store.state(name)


def _object_at(address: str | os.PathLike[str]) -> tuple[ObjectStore, str]:
    folder, _, name = absolute(address).rstrip("/").rpartition("/")
    return open_objects(folder), name


def local_copy(place: str) -> str:
    """Return a path where what is at a place can be read: its own, or of an object that of a copy of this moment.

    Of an address that holds other files, a run or embeddings are copied whole; shards and recordings stay where they
    are, and the address is returned.

    Raises:
        FolksongError: there is nothing at the address.
    """
    if not is_address(place):
        return place
    whole = open_objects(absolute(place))
    if whole.is_file():
        store, name = _object_at(place)
        return str(store.local(name))
    if not (paths := whole.paths()):
        raise FolksongError(f"{place}: no such object or folder")
    if paths.keys().isdisjoint(COPIED_WHOLE):
        return str(whole)
    for path, size in paths.items():
        whole.fetch(path, size)
    return str(whole.folder)


def open_store(place: str | os.PathLike[str]) -> Store:
    """Return a folder by its path or address. Nothing is made or looked at yet.

    Raises:
        FolksongError: an address, and obstore is not installed, or the address is none.
    """
    return open_objects(absolute(place)) if is_address(place) else Store(Path(place))


class Store:
    """A folder on disk, which need not exist yet. Names are relative, with ``/`` between their parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> Stored | None:
        """Return a small file, None if it is not there."""
        path = self.folder / name
        with described(path):
            try:
                with open_regular(path) as stream:
                    return Stored(stream.read(), os.fstat(stream.fileno()).st_mtime)
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int | None:
        """Return a file's bytes, None if it is not there."""
        with suppress(OSError):
            return (self.folder / name).stat().st_size
        return None

    def sizes(self, folder: str) -> dict[str, int]:
        """Return name -> bytes of the files of one folder of it ("": of itself), without those below."""
        found = {}
        with described(self.folder / folder), suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(self.folder / folder):
                with suppress(FileNotFoundError):  # removed since
                    if entry.is_file():
                        found[entry.name] = entry.stat().st_size
        return found

    def names(self) -> list[str]:
        """Return the names of the files and folders in it, sorted."""
        with described(self.folder):
            return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []

    def is_file(self) -> bool:
        """Say whether there is a file where the folder is to be."""
        return self.folder.exists() and not self.folder.is_dir()

    def put(self, name: str, data: bytes) -> None:
        """Write a small file, whole or not at all."""
        with atomic_write(self.folder / name) as stream:
            stream.write(data)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Write a small file unless there is one of that name; say whether this call did. Of several, one does."""
        path = self.folder / name
        with described(path):
            for _ in range(TRIES):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with part_of(path) as whole:
                        _write_synced(whole, data)
                        try:
                            os.link(whole, path)
                        except (FileExistsError, FileNotFoundError):
                            raise
                        except OSError:  # no links on this file system (FAT): then in two steps
                            with path.open("xb"):
                                pass
                            whole.replace(path)
                except FileExistsError:
                    return False
                except FileNotFoundError:  # somebody removed the folder when its last file went
                    continue
                return True
        raise FolksongError(f"{path}: cannot be written; its folder is removed again and again")

    def delete(self, name: str) -> None:
        """Remove a file if it is there, and the folder below this one that it leaves empty."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        with suppress(OSError):
            if path.parent != self.folder:
                path.parent.rmdir()

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield the path where a file, and one beside it with ``.index``, is to be written whole."""
        yield self.folder / name

    def local(self, name: str) -> Path:
        """Return where a file can be opened now: of an object a copy of this moment, and no file if there is none."""
        return self.folder / name


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@lru_cache(maxsize=16)
def open_objects(address: str) -> ObjectStore:
    """Return a folder of an object store by its address."""
    return ObjectStore(address)


class ObjectStore(Store):
    """A folder of an object store; `folder` is where this machine keeps copies of its files."""

    def __init__(self, address: str) -> None:
        self.address = address
        with needs_extra(f"{address}: an object store", "stores"):
            import obstore.exceptions
            from obstore.store import from_url
        self._obs: Any = obstore
        super().__init__(cache_folder() / "stores" / hashlib.sha256(address.encode()).hexdigest()[:32])
        with self._described():
            options: Any = {"timeout": "5 minutes", "allow_http": True}
            self._store = from_url(address, client_options=options)

    def __str__(self) -> str:
        return self.address

    @contextmanager
    def _described(self, name: str = "") -> Iterator[None]:
        """Make what the store says a `FolksongError` that names the address and says what to do."""
        place = f"{self.address.rstrip('/')}/{name}".rstrip("/")
        errors = self._obs.exceptions
        try:
            yield
        except FileNotFoundError as error:
            raise FolksongError(f"{place}: no such object or bucket") from error
        except (errors.BaseError, OSError, ValueError, TimeoutError) as error:
            said, _, _ = " ".join(str(error).split()).partition(" Debug source")
            said = re.sub(r"\?\S*", "", said)  # a query may hold a signature
            denied = errors.PermissionDeniedError | errors.UnauthenticatedError  # a listing's is another
            remedy = "run the same again when the store answers"
            if isinstance(error, denied) or _REFUSED.search(said):
                remedy = f"access was refused: {_CREDENTIALS}"
            elif re.search(r"\b404\b|NoSuchBucket|bucket does not exist", said):
                remedy = "there is no such bucket"
            raise FolksongError(f"{place}: {remedy} ({said[:300]})") from error

    def read(self, name: str) -> Stored | None:
        with self._described(name):
            try:
                found = self._obs.get(self._store, name)
                return Stored(
                    _whole(found.bytes(), found.meta["size"]), found.meta["last_modified"].timestamp()
                )
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int | None:
        try:
            return self.state(name)[0]
        except FileNotFoundError:
            return None

    def state(self, name: str) -> tuple[int, int]:
        """Return an object's bytes and time of change in ns.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._described(name):
            try:
                found = self._obs.head(self._store, name)
                return int(found["size"]), int(found["last_modified"].timestamp() * 1e9)
            except FileNotFoundError:
                pass
        raise FileNotFoundError(f"{self.address}/{name}")

    def sizes(self, folder: str) -> dict[str, int]:
        objects, _ = self._level(folder)
        return objects

    def names(self) -> list[str]:
        objects, folders = self._level("")
        return sorted({*objects, *folders})

    def is_file(self) -> bool:
        if self.address.rstrip("/").count("/") < 3:  # a bucket
            return False
        store, name = _object_at(self.address)
        return store.size(name) is not None

    def _level(self, folder: str) -> tuple[dict[str, int], list[str]]:
        """Return name -> bytes of the objects of one folder, and the names of the folders in it."""
        prefix = f"{folder}/" if folder else ""
        with self._described(folder):
            found = self._obs.list_with_delimiter(self._store, prefix or None)
        return _below(prefix, found["objects"]), [
            path.removeprefix(prefix) for path in found["common_prefixes"]
        ]

    def paths(self) -> dict[str, int]:
        """Return path -> bytes of all objects in it."""
        with self._described(""):
            pages = self._obs.list(self._store, chunk_size=1000)
            return _below("", (entry for page in pages for entry in page))

    def put(self, name: str, data: bytes) -> None:
        with self._described(name):
            self._obs.put(self._store, name, data, use_multipart=False)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        errors = self._obs.exceptions
        with self._described(name):
            for number in range(TRIES):
                try:
                    self._obs.put(self._store, name, data, mode="create", use_multipart=False)
                except errors.AlreadyExistsError:
                    pass
                except errors.GenericError:  # it may have come through, and only the answer be lost
                    if number == TRIES - 1:
                        raise
                else:
                    return True
                if (there := self.read(name)) is not None:
                    return there.data == data
                time.sleep(2.0**number / 4)
        return False

    def delete(self, name: str) -> None:
        with self._described(name), suppress(FileNotFoundError):
            self._obs.delete(self._store, name)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a path on this machine's disk; what is there in the end is uploaded, the index last."""
        with tempfile.TemporaryDirectory(prefix="folksong-") as folder:
            path = Path(folder, name)
            yield path
            for file in filter(Path.exists, (path, Path(f"{path}.index"))):
                self._upload(file)

    def _upload(self, file: Path) -> None:
        """Upload a file, unless another worker, or this one before it died, uploaded the very same."""
        digest = sha256_file(file)
        with self._described(file.name):
            with suppress(FileNotFoundError):
                there = self._obs.get(self._store, file.name, options={"head": True})
                if there.attributes.get("sha256") == digest and there.meta["size"] == file.stat().st_size:
                    return
            self._obs.put(self._store, file.name, file, attributes={"sha256": digest})

    def local(self, name: str) -> Path:
        path = self.folder / name
        if (size := self.size(name)) is None:
            path.unlink(missing_ok=True)
        else:
            self.fetch(name, size)
        return path

    def fetch(self, name: str, size: int, path: Path | None = None) -> str:
        """Copy an object of so many bytes to this machine, whole or not at all; return its SHA-256."""
        if ".." in name.split("/"):
            raise FolksongError(
                f"{self.address}/{name}: a name that leads out of its folder; rename the object"
            )
        path, digest = path or self.folder / name, hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(path.parent).free:
            raise FolksongError(
                f"{path}: the disk has no room for the {size / 1e6:.1f} MB of {self.address}/{name}"
            )
        with atomic_write(path) as stream:
            for start in range(0, size, PART_BYTES * PARTS_AT_ONCE):
                stop = min(start + PART_BYTES * PARTS_AT_ONCE, size)
                for part in self.ranges(name, range(start, stop, PART_BYTES)):
                    stream.write(part)
                    digest.update(part)
        return digest.hexdigest()

    def ranges(self, name: str, starts: range) -> list[bytes]:
        """Return an object's bytes of a range, cut at its steps."""
        ends = [min(start + starts.step, starts.stop) for start in starts]
        with self._described(name):
            parts = self._obs.get_ranges(self._store, name, starts=list(starts), ends=ends, coalesce=0)
            return [_whole(part, end - start) for part, start, end in zip(parts, starts, ends, strict=True)]


def _below(prefix: str, entries: Iterable[Any]) -> dict[str, int]:
    """Return path -> bytes, without the object of no bytes by which the stores' own pages note a folder."""
    sizes = {entry["path"].removeprefix(prefix): int(entry["size"]) for entry in entries}
    sizes.pop("", None)
    return sizes


def _whole(data: Any, size: int) -> bytes:
    if len(data) != size:
        raise ValueError(f"{len(data)} of {size} bytes came")
    return bytes(data)
