"""Embeddings of recordings: one vector a track, on disk, with the space that they lie in: what made them, exactly.

A folder of embeddings holds ``values.npy`` (n_tracks, dimensions), which ``numpy.load`` maps into memory as it is,
``track_ids.jsonl`` (a JSON string a line, in the order of the rows) and ``embeddings.json`` (space, hashes,
provenance), which is written last: a folder that has one is whole; and ``tags.db``, where labels came with them. While
a writing is under way the files lie in ``.writing/``.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FileFormatError, FolksongError
from folksong.files import (
    but_it_is,
    check_signature,
    describe_os_error,
    locked,
    read_document,
    read_text,
    reading,
    sha256_file,
    write_signed,
)
from folksong.tags.sources.read_tags import read_tags, write_tags
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Values = npt.NDArray[np.float32] | npt.NDArray[np.float16]

EMBEDDINGS = "embeddings"
"""In the place of a front-end's name: what is learned from is embeddings."""
FORMAT, VERSION = "folksong.embeddings", 1
DESCRIPTION_NAME, VALUES_NAME, IDS_NAME = "embeddings.json", "values.npy", "track_ids.jsonl"
TAGS_NAME = "tags.db"  # of embeddings that came with labels
WRITING_NAME = ".writing"
STORAGES = ("float32", "float16")
HEADER_BYTES = 128  # of a .npy file of any matrix that fits a disk
REMEDY = "extract or import them again, into another folder"


@dataclass(frozen=True)
class EmbeddingSpace:
    """What made the embeddings of recordings. Two embeddings may stand side by side only if all of it is equal.

    Args:
        model: name of the extractor or of the network: ``musicnn-msd``.
        revision: its version, as its publisher counts.
        layer: where in the network they were taken.
        pool: how they were made one vector a recording: ``mean``, ``max``, ``mean+max``, ``mean+std``.
        sample_rate: Hz of the samples that the model heard; None where it is not known.
        window_seconds: of one window; None for whole recordings, or where it is not known.
        licence: of the weights.
        sha256: of the weights' file; empty where there are no weights or it is not known.
        dimensions: numbers a recording.
        parts: of several extractors side by side, the dimensions of each.

    Raises:
        FolksongError: one of them cannot be.
    """

    model: str
    revision: str
    layer: str
    pool: str
    sample_rate: int | None
    window_seconds: float | None
    licence: str
    sha256: str
    dimensions: int
    parts: tuple[int, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))  # a list in JSON
        for name in ("model", "revision", "layer", "pool", "licence", "sha256"):
            if not isinstance(getattr(self, name), str):
                raise FolksongError(f"{name} of an embedding space must be text, not {getattr(self, name)!r}")
        if not self.model:
            raise FolksongError("an embedding space needs the name of the model that made it")
        for name, value in (("dimensions", self.dimensions), ("sample_rate", self.sample_rate)):
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not whole and not (value is None and name == "sample_rate"):
                raise FolksongError(
                    f"{name} of an embedding space must be a whole number, 1 or more, not {value!r}"
                )
        if self.window_seconds is not None and not self.window_seconds > 0:
            raise FolksongError(
                f"window_seconds of an embedding space must be more than 0, not {self.window_seconds!r}"
            )

    def __str__(self) -> str:
        heard = ["" if self.sample_rate is None else f"{self.sample_rate} Hz"]
        heard += ["" if self.window_seconds is None else f"{self.window_seconds:g} s windows"]
        parts = [self.revision, self.layer, self.pool, *heard, f"{self.dimensions} numbers"]
        return f"{self.model} ({', '.join(part for part in parts if part)})"

    @classmethod
    def beside(cls, spaces: Sequence["EmbeddingSpace"]) -> "EmbeddingSpace":
        """Return the space of embeddings of several spaces side by side.

        Raises:
            FolksongError: they were made of different sample rates.
        """
        rates = {space.sample_rate for space in spaces}
        if len(rates) > 1:
            raise FolksongError(
                f"embeddings of different sample rates cannot stand side by side: {', '.join(map(str, spaces))}"
            )
        seconds = {space.window_seconds for space in spaces}
        return cls(
            model="+".join(space.model for space in spaces),
            revision=", ".join(space.revision for space in spaces),
            layer=", ".join(space.layer for space in spaces),
            pool=", ".join(space.pool for space in spaces),
            sample_rate=rates.pop(),
            window_seconds=seconds.pop() if len(seconds) == 1 else None,
            licence=", ".join(space.licence for space in spaces),
            sha256=", ".join(space.sha256 for space in spaces),
            dimensions=sum(space.dimensions for space in spaces),
            parts=tuple(size for space in spaces for size in space.parts or (space.dimensions,)),
        )

    def require(self, found: "EmbeddingSpace", place: str | os.PathLike[str], wanted_by: object) -> None:
        """Refuse embeddings at a place that are of another space than those that `wanted_by` has.

        Raises:
            FolksongError: the spaces differ; the message names both, and what differs.
        """
        if found != self:
            differ = [
                part.name for part in fields(self) if getattr(self, part.name) != getattr(found, part.name)
            ]
            raise FolksongError(
                f"{place}: embeddings of {found}, but {wanted_by} has {self}; they differ in {', '.join(differ)}, and "
                "two spaces never mix: give embeddings of the same space"
            )


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One vector a track.

    Args:
        track_ids: (n_tracks,) unique strings.
        values: (n_tracks, dimensions) float32 or float16, usually memory-mapped.
        space: what made them.
        sha256: of track ids, values and space.
        source: the folder, for messages.
        provenance: where they came from, what was left out; JSON values only.

    Raises:
        FolksongError: shapes do not match, or a track occurs twice.
    """

    track_ids: tuple[str, ...]
    values: Values
    space: EmbeddingSpace
    sha256: str = ""
    source: str = "embeddings"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.track_ids), self.space.dimensions):
            raise FolksongError(
                f"{self.source}: {len(self.track_ids)} tracks of {self.space.dimensions} numbers do not fit values of "
                f"shape {self.values.shape}"
            )
        if len(self._row_of) < len(self.track_ids):
            raise FolksongError(f"{self.source}: the track id {_twice(self.track_ids)!r} occurs twice")

    def __len__(self) -> int:
        return len(self.track_ids)

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return Path(self.source)

    @property
    def n_steps(self) -> npt.NDArray[np.int64]:
        """(n_tracks,) ones, where a record of audio has its length."""
        return np.ones(len(self), np.int64)

    def tag_table(self, database: int = 0) -> TagTable:
        """Return the tags that came with the embeddings; a table without any if none did."""
        if (self.folder / TAGS_NAME).is_file():
            return read_tags(self.folder / TAGS_NAME, cache=False).select_tracks(self.track_ids)
        return TagTable(
            np.array(self.track_ids, object),
            np.empty(0, object),
            sp.csr_matrix((len(self), 0), dtype=np.float32),
        )

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return dict(zip(self.track_ids, range(len(self.track_ids)), strict=True))

    def row_of(self, track_id: str) -> int | None:
        """Return the row of a track, None if it has none."""
        return self._row_of.get(track_id)

    def vectors(self, track_ids: Iterable[str]) -> npt.NDArray[np.float32]:
        """Return (n, dimensions) float32 of these tracks, in their order.

        Raises:
            FolksongError: one of them has no embedding.
        """
        wanted = list(track_ids)
        missing = [track_id for track_id in wanted if track_id not in self._row_of]
        if missing:
            raise FolksongError(
                f"{self.source}: {len(missing)} tracks have no embedding, the first is {missing[0]!r}"
            )
        rows = np.fromiter((self._row_of[track_id] for track_id in wanted), np.int64, len(wanted))
        return np.asarray(self.values[rows], np.float32)


def read_embeddings(folder: str | os.PathLike[str]) -> Embeddings:
    """Read a folder of embeddings; the values are mapped into memory, after their hash was compared.

    Raises:
        FolksongError: there is none, or its writing is not finished.
        FileFormatError: a file is cut, damaged or of another writing.
    """
    place = Path(folder)
    file = place / DESCRIPTION_NAME
    if not file.exists() or (place / WRITING_NAME / DESCRIPTION_NAME).exists():
        raise FolksongError(_missing(place))
    content = read_document(file, FORMAT, VERSION, "the description of embeddings", REMEDY)
    check_signature(file, content, REMEDY)
    with reading(file, REMEDY):
        space = EmbeddingSpace(**content["space"])
        hashes, provenance = content["files"], content["provenance"]
        shape = content["n_tracks"], space.dimensions
        for name in (VALUES_NAME, IDS_NAME):
            if sha256_file(place / name) != hashes[name]:
                raise FileFormatError(
                    f"{place / name}: was cut or changed (its SHA-256 is another); {REMEDY}"
                )
        track_ids = tuple(str(json.loads(line)) for line in read_text(place / IDS_NAME).splitlines())
        if shape[0]:
            values = np.load(place / VALUES_NAME, mmap_mode="r", allow_pickle=False)
        else:  # an empty file cannot be mapped
            values = np.empty(shape, np.float32)
    if values.shape != shape or values.dtype.name not in STORAGES:
        raise FileFormatError(
            f"{place / VALUES_NAME}: {values.dtype} of shape {values.shape}, not {shape}; {REMEDY}"
        )
    return Embeddings(track_ids, values, space, content["sha256"], os.fspath(folder), provenance)


class EmbeddingsWriter:
    """Adds rows to a folder of embeddings; `write_embeddings` opens one.

    Attributes:
        track_ids: of the rows that are there, in their order.
    """

    def __init__(self, folder: Path, space: EmbeddingSpace, storage: str) -> None:
        self.folder, self.space = folder, space
        self.track_ids: dict[str, None] = {}
        self._dtype = np.dtype(storage).newbyteorder("<")
        self._values, self._ids = (
            (folder / WRITING_NAME / name).open("wb") for name in (VALUES_NAME, IDS_NAME)
        )
        self._values.seek(HEADER_BYTES)

    def add(self, track_id: str, vector: npt.ArrayLike) -> None:
        """Add the embedding of a track, (dimensions,).

        Raises:
            FolksongError: it is of another length, not finite, or the track has one already.
        """
        values = np.asarray(vector, np.float32)
        if values.shape != (self.space.dimensions,):
            raise FolksongError(
                f"track {track_id!r}: shape {values.shape}, not ({self.space.dimensions},) of {self.space}"
            )
        with np.errstate(over="ignore"):
            row = values.astype(self._dtype)
        if not np.isfinite(row).all():
            what = "NaN" if np.isnan(values).any() else f"a number too large for {self._dtype.name}"
            raise FolksongError(f"track {track_id!r}: its embedding holds {what}")
        if track_id in self.track_ids:
            raise FolksongError(f"track {track_id!r}: occurs twice")
        self._values.write(row.tobytes())
        self._ids.write(json.dumps(track_id).encode() + b"\n")
        self.track_ids[track_id] = None

    def finish(self, provenance: Mapping[str, Any]) -> Embeddings:
        """Complete the folder; the description last.

        Args:
            provenance: where the rows came from and what was left out; JSON values.

        Raises:
            FolksongError: there is no row.
        """
        if not self.track_ids:
            raise FolksongError(f"{self.folder}: there is no embedding to write")
        self._values.seek(0)
        np.lib.format.write_array_header_1_0(
            self._values,
            {
                "descr": self._dtype.str,
                "fortran_order": False,
                "shape": (len(self.track_ids), self.space.dimensions),
            },
        )
        if self._values.tell() != HEADER_BYTES:
            raise FolksongError(f"{self.folder}: too many rows for one file")
        for stream in (self._values, self._ids):
            stream.flush()
            os.fsync(stream.fileno())
        state = self.folder / WRITING_NAME
        content = {
            "format": FORMAT,
            "version": VERSION,
            "space": asdict(self.space),
            "n_tracks": len(self.track_ids),
            "files": {name: sha256_file(state / name) for name in (VALUES_NAME, IDS_NAME)},
            "provenance": dict(provenance),
        }
        write_signed(state / DESCRIPTION_NAME, content)
        _put_in_place(self.folder)
        return read_embeddings(self.folder)

    def close(self) -> None:
        """Close the files."""
        self._values.close()
        self._ids.close()


def settle(folder: Path) -> None:
    """Put what a process that died had written whole to where it belongs; a writer that lives does so itself."""
    state = folder / WRITING_NAME
    if (state / DESCRIPTION_NAME).exists():
        with suppress(FolksongError), locked(state / "lock", "its writer lives"):
            _put_in_place(folder)
            _remove_state(state)


def _put_in_place(folder: Path) -> None:
    """Move what is whole, the description last; only who holds the lock does."""
    if (folder / WRITING_NAME / DESCRIPTION_NAME).exists():
        for name in (VALUES_NAME, IDS_NAME, DESCRIPTION_NAME):
            with suppress(FileNotFoundError):  # it is there already
                (folder / WRITING_NAME / name).replace(folder / name)


def _remove_state(state: Path) -> None:
    for name in (VALUES_NAME, IDS_NAME, "lock"):
        (state / name).unlink(missing_ok=True)
    with suppress(OSError):  # it holds what others are at
        state.rmdir()


@contextmanager
def write_embeddings(
    folder: str | os.PathLike[str],
    space: EmbeddingSpace,
    *,
    storage: str = "float32",
    replace: bool = False,
) -> Iterator[EmbeddingsWriter]:
    """Open a folder of embeddings for writing; `finish` completes it, and nothing is seen of it before.

    With `replace` they take the place of embeddings that are there.

    Raises:
        FolksongError: the folder holds something else, or another process writes into it.
    """
    place = Path(folder)
    state = place / WRITING_NAME
    if storage not in STORAGES:
        raise FolksongError(f"storage {storage!r}; known are {', '.join(STORAGES)}")
    settle(place)
    if (place / DESCRIPTION_NAME).exists() and not replace:
        raise FolksongError(f"{folder}: holds embeddings already; choose another folder")
    refuse_foreign(place)
    try:
        state.mkdir(parents=True, exist_ok=True)
        with locked(state / "lock", "another process writes these embeddings"):
            writer = EmbeddingsWriter(place, space, storage)
            try:
                yield writer
            finally:
                writer.close()
                if not (state / DESCRIPTION_NAME).exists():  # else it is whole, and can be settled
                    _remove_state(state)
    except OSError as error:
        raise FolksongError(describe_os_error(error, error.filename or place)) from error


def join_embeddings(folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Embeddings:
    """Write embeddings side by side, of the tracks that all folders have: as if one extractor ``A+B`` had made them.

    A head hears each of them alike, however many numbers it has. Tags are those of the first folder that has some.

    Raises:
        FolksongError: they have no track in common, or were made of different sample rates.
    """
    found = [read_embeddings(folder) for folder in folders]
    if len(found) < 2:
        raise FolksongError("give two folders of embeddings or more, to join them")
    common = set(found[0].track_ids).intersection(*(one.track_ids for one in found[1:]))
    if not common:
        raise FolksongError(f"{found[0].source}: has no track of {found[1].source}; do their ids agree?")
    track_ids = [track_id for track_id in found[0].track_ids if track_id in common]
    if len(track_ids) < max(map(len, found)):
        logger.warning("only %d tracks have all embeddings, and are kept", len(track_ids))
    tables = (one.tag_table() for one in found)
    tags = next((table.select_tracks(track_ids) for table in tables if table.n_tags), None)
    names = [one.provenance.get("extractor", one.space.model) for one in found]
    inputs = {"extractor": "+".join(names), "joined_sha256": [one.sha256 for one in found]}
    space = EmbeddingSpace.beside([one.space for one in found])
    with write_embeddings(out, space) as writer:
        for track_id in track_ids:
            writer.add(track_id, np.concatenate([one.vectors([track_id])[0] for one in found]))
        if tags is not None:
            write_tags(tags, Path(out, TAGS_NAME))
        return writer.finish(inputs)


def refuse_foreign(folder: Path) -> None:
    """Leave a place alone that holds something else than embeddings, finished or not."""
    if folder.exists() and not folder.is_dir():
        raise FolksongError(f"{folder}: is a file; embeddings need a folder of their own")
    if folder.is_dir() and not (folder / DESCRIPTION_NAME).exists():
        others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        if others:
            raise FolksongError(
                f"{folder}: holds files of something else ({others[0]}, …); embeddings need a folder of their own"
            )


def _missing(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: no {'such ' * (not folder.exists())}folder of embeddings{but_it_is(folder)}"
    if (folder / WRITING_NAME).is_dir():
        return f"{folder}: its writing is not finished; extract (or import) again to continue"
    lacking = f"it has no {DESCRIPTION_NAME}"
    return f"{folder}: no embeddings here ({lacking}){but_it_is(folder)}; extract or import some first"


def _twice(track_ids: Sequence[str]) -> str:
    return next(track_id for track_id, count in Counter(track_ids).items() if count > 1)
