"""The earlier project's files: ``tags_dict_x.pkl``, a pickled dict of tag -> cluster number.

A pickle can run any code when it is loaded. These are read by an unpickler that can make nothing but text, numbers,
dicts, lists, tuples and NumPy scalars, and refuses all else by name before it is looked up.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from folksong.errors import FileFormatError, FolksongError
from folksong.files import describe_os_error, sha256_file
from folksong.labels.genres import keep_genres, read_genres
from folksong.labels.kmeans import keep_labels_with
from folksong.labels.space import Label, LabelSpace
from folksong.labels.top import SUBJECTIVE_TAGS, top
from folksong.tags.table import TagTable

MOST_BYTES = 256 << 20
"""A dictionary of all half a million tags of last.fm takes about 20 MB."""

SCALAR_MAKERS = {
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "core.multiarray.scalar"),
}
DTYPE_KINDS = "biufSU"


class _Dtype:
    """Stands for ``numpy.dtype`` while unpickling: only plain numbers and text, and no state of its own."""

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:
        if not isinstance(code, str):
            _refuse("numpy.dtype", "of an unusual kind")
        try:
            self.dtype: np.dtype[Any] = np.dtype(code)
        except TypeError:
            _refuse("numpy.dtype", f"{code!r}")
        if self.dtype.kind not in DTYPE_KINDS or self.dtype.fields is not None:
            _refuse("numpy.dtype", f"{code!r}")

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


def _scalar(dtype: object, data: object) -> object:
    if not isinstance(dtype, _Dtype):
        _refuse("numpy scalar", "without a dtype")
    raw = data.encode("latin-1") if isinstance(data, str) else data
    if not isinstance(raw, bytes) or len(raw) != dtype.dtype.itemsize:
        _refuse("numpy scalar", "whose bytes do not fit its dtype")
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _encode(text: object, encoding: object) -> bytes:
    """Stand for ``_codecs.encode``, which Python 3 uses for bytes in the oldest protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        _refuse("_codecs.encode", "with other arguments than a pickle needs")
    return text.encode("latin-1")


def _refuse(name: str, detail: str = "") -> NoReturn:
    raise pickle.UnpicklingError(f"it asks for {name}{' ' + detail if detail else ''}")


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in SCALAR_MAKERS:
            return _scalar
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        if (module, name) == ("_codecs", "encode"):
            return _encode
        _refuse(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        _refuse("a persistent object")


def read_tag_dictionary(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read a dictionary of tag -> cluster number.

    Args:
        path: the ``.pkl`` file, or a folder with exactly one.

    Raises:
        FolksongError: there is none, or several.
        FileFormatError: the pickle is damaged, holds something else, or asks for anything that could do harm.
    """
    file = _find_pickle(Path(path))
    try:
        if file.stat().st_size > MOST_BYTES:
            raise FileFormatError(
                f"{file}: larger than any dictionary of tags ({MOST_BYTES >> 20} MiB); not read"
            )
        content = _RestrictedUnpickler(io.BytesIO(file.read_bytes()), encoding="utf-8").load()
    except OSError as error:
        raise FolksongError(describe_os_error(error, file)) from error
    except pickle.UnpicklingError as error:
        raise FileFormatError(
            f"{file}: refused, {error}; a tags dictionary holds only text and numbers, so this is another file or "
            "a hostile one"
        ) from error
    except (ValueError, EOFError, TypeError, AttributeError, IndexError, KeyError, MemoryError, OverflowError,
            RecursionError, ImportError) as error:  # fmt: skip
        raise FileFormatError(f"{file}: not a whole pickle ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise FileFormatError(
            f"{file}: holds a {type(content).__name__}, not a dict of tag -> cluster number"
        )
    numbers: dict[str, int] = {}
    for tag, number in content.items():
        whole = type(number) is int or (type(number) is float and number.is_integer())
        if not isinstance(tag, str) or not whole or number < 0:
            raise FileFormatError(f"{file}: {tag!r} -> {number!r} is not a tag and its cluster number")
        numbers[tag] = int(number)
    if not numbers:
        raise FileFormatError(f"{file}: holds no tags")
    return numbers


def space_of_dictionary(
    numbers: Mapping[str, int], table: TagTable, *, provenance: Mapping[str, Any] | None = None
) -> LabelSpace:
    """Turn a dictionary into a label space whose labels are in the order of the cluster numbers.

    Tags of a cluster are ordered by their counts in `table`, and the first names it. Cluster numbers must be 0 to
    k − 1, so that ``genres.txt`` means the same clusters; a gap is an error.
    """
    counts = dict(zip(table.tags, table.counts.tolist(), strict=True))
    members: dict[int, list[str]] = {}
    for tag in sorted(numbers, key=lambda tag: (-counts.get(tag, 0), tag)):
        members.setdefault(numbers[tag], []).append(tag)
    missing = sorted(set(range(len(members))) - set(members))
    if missing:
        raise FolksongError(
            f"the dictionary has {len(members)} clusters, but none has the number {missing[0]}"
        )
    labels = tuple(Label(members[number][0], tuple(members[number])) for number in range(len(members)))
    return LabelSpace(labels, provenance={"builder": "dictionary", **(provenance or {})})


def read_legacy_space(
    dictionary: str | os.PathLike[str],
    table: TagTable,
    *,
    genres: str | os.PathLike[str] | None = None,
    remove: Iterable[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Build the label space that the earlier project's options stand for.

    Args:
        dictionary: ``--dictionary-dir``: the ``.pkl`` or a folder with exactly one.
        table: the tags, for popularity.
        genres: ``--genre-path``: a ``genres.txt``; only its clusters stay, and its pairs are merged.
        remove: ``--filter``: only the clusters stay that hold at least one of the 100 most popular tags that this
            list does not remove (`SUBJECTIVE_TAGS` ships with the package); None filters nothing.
        provenance: further entries for the space's provenance.

    Raises:
        FolksongError: a file is damaged or hostile, or no label is left.
    """
    file = _find_pickle(Path(dictionary))
    numbers = read_tag_dictionary(file)
    space = space_of_dictionary(
        numbers, table, provenance={"dictionary_sha256": sha256_file(file), **(provenance or {})}
    )
    if genres is not None:
        space = keep_genres(space, read_genres(genres), table)
    if remove is not None:
        removed = set(remove)
        wanted = [tag for tag in top(table, 100).names if tag not in removed]
        labels = keep_labels_with(space.labels, wanted)
        space = LabelSpace(labels, space.aliases, {**space.provenance, "filtered": True})
    return space


def filtered_legacy_space(dictionary: str | os.PathLike[str], table: TagTable) -> LabelSpace:
    """Build the space of ``--dictionary-dir`` with ``--filter`` and the list that ships with the package."""
    return read_legacy_space(dictionary, table, remove=SUBJECTIVE_TAGS)


def _find_pickle(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.pkl"))
    if len(found) == 1:
        return found[0]
    shown = ", ".join(file.name for file in found[:5])
    raise FolksongError(
        f"{path}: holds {len(found)} .pkl files{f' ({shown})' if shown else ''}; name the dictionary itself"
        if found
        else f"{path}: holds no .pkl file; name the folder of tags_dict_x.pkl, or the file"
    )
