"""Embeddings of any origin, brought into a folder of embeddings.

A ``.npy`` of all tracks with a file of their ids; a ``.npz`` with an array a track, or with ids and one array; a folder
of one ``.npy`` a track; Parquet with a column of lists (as Hugging Face datasets are exported), or of numbers; CSV and
ARFF of features. A track's array is (D,), (T, D) or (L, T, D): a layer is chosen, and T pooled. Nothing is unpickled.

Columns of a table that hold nothing but 0 and 1 (in ARFF: of the type {0,1}) are labels, as in the data sets of Mulan
(CAL500, emotions); they become the folder's own tags, ``tags.db``.
"""

import csv
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from folksong.embeddings.pooling import POOLS, Pool
from folksong.embeddings.store import (
    TAGS_NAME,
    WRITING_NAME,
    Embeddings,
    EmbeddingSpace,
    write_embeddings,
)
from folksong.errors import FileFormatError, FolksongError, nearest, some_of
from folksong.files import describe_os_error, read_json, read_text, sha256_file
from folksong.recordings import AUDIO_EXTENSIONS
from folksong.tags.sources.delimited import chosen_column, find_column, read_track_column
from folksong.tags.sources.frames import COLUMNS, SEPARATORS, plain, read_frame, read_parquet
from folksong.tags.sources.read_tags import write_tags
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]

ID_ARRAYS = ("track_ids", "ids", "tracks", "track_id", "names", "filenames")
ID_ENDINGS = (".txt", ".ids.txt", "_ids.txt", ".csv", ".ids.csv", ".json")
"""Of a file beside ``x.npy``: ``x.txt``, ``x_ids.txt``, …"""
TABLE_ENDINGS = (".csv", ".tsv")
ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)\s*(.+)""", re.IGNORECASE)


def import_embeddings(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    ids: str | os.PathLike[str] | None = None,
    column: str | None = None,
    layer: int | None = None,
    pool: Pool = "mean",
    tracks: str | os.PathLike[str] | Iterable[str] | None = None,
    model: str | None = None,
    **space: Any,
) -> Embeddings:
    """Bring embeddings into a folder.

    Args:
        source: file or folder, of the kinds above.
        out: the folder to write.
        ids: of a ``.npy``: its tracks' ids in order: a text file with one a line, JSON, or a table with a column of
            tracks; a file of the same name beside it if None.
        column: of Parquet: the column of lists, where there are several.
        layer: of (L, T, D): which, from 0; negative ones from the end.
        pool: of (T, D): over T: ``mean``, ``max``, ``mean+max`` or ``mean+std``.
        tracks: a table with a column of tracks, or their ids: those without an embedding are counted, and ids that are
            none of theirs named and left out.
        model: what made them; the source's name if None.
        space: of the `EmbeddingSpace`, as far as known: ``revision``, ``sample_rate`` (Hz), ``window_seconds``,
            ``licence``, ``sha256``.

    Raises:
        FolksongError: there is nothing of these kinds, an array has another shape, or a number is not finite; the
            message names the track.
    """
    place = Path(source)
    if pool not in POOLS:
        raise FolksongError(f"no pool {pool!r}; there are {', '.join(POOLS)}{nearest(pool, POOLS)}")
    if (Path(out) / WRITING_NAME).exists():
        raise FolksongError(f"{out}: holds an unfinished writing of embeddings; choose another folder")
    found = _read(place, ids, column)
    wanted = None if tracks is None else _wanted(tracks)
    rows = _pooled(found.rows, layer, pool, place)
    first = next(rows, None)
    if first is None:
        raise FolksongError(f"{place}: holds no embedding")
    described = {"revision": "", "sample_rate": None, "window_seconds": None, "licence": "", "sha256": ""}
    unknown = [name for name in space if name not in described]
    if unknown:
        raise FolksongError(f"an embedding space has no {unknown[0]!r}{nearest(unknown[0], list(described))}")
    made_by = EmbeddingSpace(
        model=model or place.stem,
        layer="" if layer is None else str(layer),
        pool=pool if first.was_pooled else "",
        dimensions=len(first.vector),
        **{**described, **{name: value for name, value in space.items() if value is not None}},
    )
    return _write(Path(out), made_by, [first], rows, found, wanted, place)


@dataclass(frozen=True, eq=False)
class _Found:
    """What a source holds: (track id, array) pairs, and the labels of its tracks, if it has some."""

    rows: Iterator[tuple[str, Array]]
    tags: TagTable | None = None


@dataclass(frozen=True, eq=False)
class _Row:
    track_id: str
    vector: Array
    was_pooled: bool


def _write(
    out: Path,
    space: EmbeddingSpace,
    first: list[_Row],
    rows: Iterator[_Row],
    found: _Found,
    wanted: dict[str, None] | None,
    source: Path,
) -> Embeddings:
    strangers: list[str] = []
    storage = "float16" if first[0].vector.dtype == np.float16 else "float32"
    try:
        with write_embeddings(out, space, storage=storage) as writer:
            for group in (first, rows):
                for row in group:
                    if wanted is not None and row.track_id not in wanted:
                        strangers.append(row.track_id)
                    else:
                        writer.add(row.track_id, row.vector)
            missing = [] if wanted is None else [track for track in wanted if track not in writer.track_ids]
            if wanted is not None and not writer.track_ids:
                raise FolksongError(
                    f"{source}: none of its {len(strangers)} ids is one of the {len(wanted)} tracks: "
                    f"{strangers[0]!r} here, {next(iter(wanted), '')!r} there; do the ids agree?"
                )
            if strangers:
                logger.warning(
                    "%d ids match no track and are left out: %s", len(strangers), some_of(strangers)
                )
            if missing:
                logger.warning("%d of %d tracks have no embedding", len(missing), len(wanted or ()))
            provenance: dict[str, Any] = {
                "source": source.name,
                "unmatched": strangers,
                "missing": len(missing),
            }
            if source.is_file():
                provenance["source_sha256"] = sha256_file(source)
            if found.tags is not None:
                tags = found.tags.select_tracks(list(writer.track_ids))
                write_tags(tags, out / TAGS_NAME)
                logger.info(
                    "%s: %d columns of 0 and 1 are labels, kept in %s", source, tags.n_tags, TAGS_NAME
                )
            return writer.finish(provenance)
    except BaseException as error:
        (out / TAGS_NAME).unlink(missing_ok=True)
        if isinstance(error, FolksongError) and not str(error).startswith(str(source)):
            raise FolksongError(f"{source}: {error}") from error
        raise


def _wanted(tracks: str | os.PathLike[str] | Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(
        _read_names(Path(tracks)) if isinstance(tracks, str | os.PathLike) else map(str, tracks)
    )


def _pooled(rows: Iterator[tuple[str, Array]], layer: int | None, pool: str, source: Path) -> Iterator[_Row]:
    """Yield each track's vector, (D,) float32 or float16."""
    for track_id, values in rows:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise FolksongError(f"{source}: track {track_id!r} has {array.dtype}, not numbers")
        storage = np.float16 if array.dtype == np.float16 else np.float32
        with np.errstate(over="ignore"):  # becomes infinite, which is told below
            array = array.astype(np.float32)
        if not array.size:
            raise FolksongError(f"{source}: track {track_id!r}: its array of shape {array.shape} is empty")
        if not np.isfinite(array).all():
            raise FolksongError(f"{source}: track {track_id!r}: its embedding holds NaN or infinite numbers")
        if array.ndim == 3:
            if layer is None or not -len(array) <= layer < len(array):
                wrong = "which is wanted?" if layer is None else f"and none is number {layer}"
                raise FolksongError(
                    f"{source}: track {track_id!r} has {len(array)} layers {array.shape}, {wrong} (from 0)"
                )
            array = array[layer]
        was_pooled = array.ndim == 2
        if was_pooled:
            parts = {"mean": array.mean(axis=0), "max": array.max(axis=0), "std": array.std(axis=0)}
            array = np.concatenate([parts[name] for name in pool.split("+")])
        if array.ndim != 1:
            raise FolksongError(
                f"{source}: track {track_id!r}: shape {array.shape}; known are (D,), (T, D) and (L, T, D)"
            )
        yield _Row(track_id, array.astype(storage), was_pooled)


def _read(source: Path, ids: str | os.PathLike[str] | None, column: str | None) -> _Found:
    ending = source.suffix.lower()
    if not source.exists():
        raise FolksongError(f"{source}: no such file or folder")
    if source.is_dir():
        return _Found(_named(_read_folder(source)))
    if ending == ".npy":
        array = _load(source)
        names = _read_ids(source, ids)
        if array.ndim < 2 or len(array) != len(names):
            raise FolksongError(f"{source}: an array of shape {array.shape} does not fit {len(names)} ids")
        return _Found(_named(zip(names, array, strict=True)))
    if ending == ".npz":
        return _Found(_named(_read_npz(source)))
    if ending == ".arff":
        return _read_columns(source, *_read_arff(source), column)
    if ending == ".parquet":
        return _read_columns(source, read_parquet(source), None, column)
    if ending in TABLE_ENDINGS:
        return _read_columns(source, read_frame(source), None, column)
    raise FolksongError(
        f"{source}: not known as embeddings; there are .npy with ids, .npz, .parquet, .csv, .arff, and folders"
    )


def _named(rows: Iterable[tuple[str, Array]]) -> Iterator[tuple[str, Array]]:
    """Leave the audio ending of ids out, as the ids of recordings in a folder have none."""
    for track_id, values in rows:
        stem, dot, ending = track_id.rpartition(".")
        yield stem if stem and f"{dot}{ending}".lower() in AUDIO_EXTENSIONS else track_id, values


def _load(path: Path) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return found
    except FileNotFoundError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    except Exception as error:  # a damaged header provokes nearly all there are
        raise FileFormatError(
            f"{path}: not an array of numbers, or cut ({error}); pickled objects are never read"
        ) from error


def _read_ids(source: Path, ids: str | os.PathLike[str] | None) -> list[str]:
    beside = [source.with_name(source.stem + ending) for ending in ID_ENDINGS]
    path = Path(ids) if ids is not None else next((file for file in beside if file.is_file()), None)
    if path is None:
        raise FolksongError(
            f"{source}: whose are the rows? name a file of their ids, or put {beside[0].name} beside it"
        )
    return _read_names(path)


def _read_names(path: Path) -> list[str]:
    if path.suffix.lower() == ".json":
        names = read_json(path)
        if not isinstance(names, list):
            raise FileFormatError(f"{path}: not a list of track ids")
        return [str(name) for name in names]
    if path.suffix.lower() == ".npy":
        return [str(name) for name in _load(path)]
    if path.suffix.lower() == ".parquet":
        return read_track_column(path)
    lines = [line for line in read_text(path).splitlines() if line]
    if path.suffix.lower() != ".txt" and any(mark in "".join(lines[:1]) for mark in SEPARATORS):
        return read_track_column(path)
    return lines[1:] if lines and plain(lines[0]) in COLUMNS["track"] else lines


def _read_folder(folder: Path) -> Iterator[tuple[str, Array]]:
    for path in sorted(folder.rglob("*.npy")):
        yield path.relative_to(folder).with_suffix("").as_posix(), _load(path)


def _read_npz(path: Path) -> Iterator[tuple[str, Array]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = find_column(file.files, [plain(name) for name in ID_ARRAYS])
            if names is None:
                yield from ((name, file[name]) for name in file.files)
                return
            others = [name for name in file.files if name != names]
            track_ids = [str(name) for name in file[names]]
            arrays = [file[name] for name in others]
            fitting = [array for array in arrays if array.ndim >= 2 and len(array) == len(track_ids)]
            if len(fitting) != 1:
                raise FolksongError(
                    f"{path}: {len(track_ids)} ids and {len(fitting)} arrays that fit them ({', '.join(others)}); "
                    "one is wanted"
                )
            yield from zip(track_ids, fitting[0], strict=True)
    except (FolksongError, FileNotFoundError):
        raise
    except Exception as error:  # a damaged archive provokes nearly all there are
        raise FileFormatError(
            f"{path}: damaged, or holds pickled objects, which are never read ({error})"
        ) from error


def _read_columns(
    source: Path, frame: pl.DataFrame, labels: Sequence[str] | None, column: str | None
) -> _Found:
    """Read a table: a column of lists, or columns of numbers, and labels: those named, or all of 0 and 1."""
    name = find_column(frame.columns, COLUMNS["track"])
    if name is None:
        logger.warning("%s: no column of track ids; tracks are called by their row, 1, 2, …", source)
        track_ids = [str(number) for number in range(1, len(frame) + 1)]
    else:
        track_ids = frame[name].cast(pl.String).fill_null("").to_list()
        if "" in track_ids:
            raise FileFormatError(f"{source}: row {track_ids.index('') + 1} has no track id in {name!r}")
        frame = frame.drop(name)
    lists = [series.name for series in frame if series.dtype.is_nested() and series.dtype != pl.Struct]
    if lists or column is not None:
        chosen = lists[0] if column is None else chosen_column(source, frame.columns, column)
        if column is None and len(lists) > 1:
            raise FolksongError(
                f"{source}: several columns hold lists ({', '.join(lists)}); name one of them"
            )
        cells = frame[chosen].to_list()
        return _Found(
            _named((track_id, _as_array(cell)) for track_id, cell in zip(track_ids, cells, strict=True))
        )
    texts = frame.select(pl.all().cast(pl.String).str.strip_chars().str.to_lowercase())
    numbers = texts.select(pl.all().replace({"true": "1", "false": "0"}).cast(pl.Float32, strict=False))
    given = [series.name for series in numbers if series.null_count() < len(numbers)]
    if labels is None:
        labels = [name for name in given if numbers[name].is_in([0.0, 1.0]).fill_null(False).all()]
    features = [name for name in given if name not in set(labels)]
    if not features:
        raise FileFormatError(f"{source}: neither a column of lists nor columns of features were found")
    values = numbers.select(pl.col(features).fill_null(float("nan"))).to_numpy()
    tags = None
    if labels:
        ids = [track_id for track_id, _ in _named((track_id, values) for track_id in track_ids)]
        present = numbers.select(pl.col(list(labels)).fill_null(0)).to_numpy()
        tags = TagTable(
            np.array(ids, object), np.array(labels, object), sp.csr_matrix(present, dtype=np.float32)
        )
    return _Found(_named(zip(track_ids, values, strict=True)), tags)


def _as_array(cell: Any) -> Array:
    try:
        return np.array(cell, np.float32)
    except (ValueError, TypeError):
        return np.array(cell, object)


def _read_arff(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Return the table of an ARFF file, dense or sparse, and its columns of the type {0,1}.

    Raises:
        FileFormatError: it is not ARFF.
    """
    names: list[str] = []
    labels: list[str] = []
    rows: list[list[str | None]] = []
    in_data = False
    for number, line in zip(count(1), read_text(path).splitlines()):
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        if not in_data:
            in_data = text.lower().startswith("@data")
            if found := ATTRIBUTE.fullmatch(text):
                names.append(found[1].strip("'\"").replace("\\'", "'"))
                if re.sub(r"['\"\s]", "", found[2]) in ("{0,1}", "{1,0}"):
                    labels.append(names[-1])
            continue
        cells: list[str | None] = ["0"] * len(names)
        if text.startswith("{"):
            for entry in filter(None, map(str.strip, text.strip("{}").split(","))):
                place, _, value = entry.partition(" ")
                if not (place.isdecimal() and int(place) < len(names)):
                    raise FileFormatError(f"{path}, line {number}: {place!r} is no number of an attribute")
                cells[int(place)] = value.strip("'\"")
        else:
            (split,) = csv.reader([text], quotechar="'", skipinitialspace=True)
            cells = [None if cell == "?" else cell for cell in split]
        if len(cells) != len(names):
            raise FileFormatError(f"{path}, line {number}: {len(cells)} values of {len(names)} attributes")
        rows.append(cells)
    if not names or not rows:
        raise FileFormatError(f"{path}: not ARFF (no attributes, or no data)")
    if len(set(names)) < len(names):
        raise FileFormatError(f"{path}: two attributes have one name")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row"), labels
