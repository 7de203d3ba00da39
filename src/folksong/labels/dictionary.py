"""The earlier project's files: ``tags_dict_x.pkl``, a pickled dict of tag -> cluster number.

A pickle can run any code when it is loaded, or ask for endless time and memory. So these are never unpickled: their
opcodes are read one by one, and whatever a dict of text and numbers does not need is refused by name before anything
is made of it. Python 2's pickles and NumPy's scalars are such dicts too.

A classifier's outputs are the ranks of the distinct cluster numbers, in rising order: filtered dictionaries have gaps.
"""

import os
import pickle
import pickletools
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from folksong.errors import FileFormatError, FolksongError, some_of
from folksong.files import atomic_write, describe_os_error, open_regular, sha256_file
from folksong.labels.genres import keep_genres, read_genres
from folksong.labels.kmeans import keep_labels_with
from folksong.labels.space import Label, LabelSpace
from folksong.labels.top import top
from folksong.tags.sources.read_tags import Tags, as_table

MOST_BYTES = 256 << 20
"""A dictionary of all half a million tags of last.fm takes about 20 MB."""
MOST_BITS = 64
MOST_SHOWN = 60
DTYPE_KINDS = "biufSU"

NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
OLD_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
"""Python 2's strings, which are bytes: tags in UTF-8, or the bytes of a NumPy scalar."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MARK = object()


class _RefusedError(Exception):
    """The pickle asks for something that a dict of text and numbers does not need."""


def _refuse(what: str) -> NoReturn:
    raise _RefusedError(
        f"it asks for {what}" if len(what) <= MOST_SHOWN else f"it asks for {what[:MOST_SHOWN]}…"
    )


class _Dtype:
    """Stands for ``numpy.dtype``: only plain numbers and text, and no state of its own."""

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:
        text = code.decode("latin-1") if isinstance(code, bytes) else code
        if not isinstance(text, str) or len(text) > 16:
            _refuse("numpy.dtype of an unusual kind")
        try:
            self.dtype: np.dtype[Any] = np.dtype(text)
        except TypeError:
            _refuse(f"numpy.dtype {text!r}")
        if self.dtype.kind not in DTYPE_KINDS or self.dtype.fields is not None:
            _refuse(f"numpy.dtype {text!r}")

    def set_state(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


def _scalar(dtype: object, data: object) -> object:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or len(data) != dtype.dtype.itemsize:
        _refuse("a numpy scalar whose bytes do not fit its dtype")
    return np.frombuffer(data, dtype.dtype)[0].item()


def _encode(text: object, encoding: object) -> bytes:
    """Stand for ``_codecs.encode``, which Python 3 uses for bytes in the oldest protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        _refuse("_codecs.encode with other arguments than a pickle needs")
    return text.encode("latin-1")


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
}


class _Machine:
    """The pickle machine, as far as a dict of text and numbers needs it; nothing it makes can hold a container."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> object:
        """Return what the pickle holds."""
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return self.stack.pop()
            self._do(opcode.name, argument)
        raise EOFError("no end")

    def _do(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in NUMBERS or name in TEXTS or name in BYTES:
            if isinstance(argument, int) and argument.bit_length() > MOST_BITS:
                _refuse(f"a whole number of more than {MOST_BITS} bits")
            stack.append(argument)
        elif name in OLD_TEXTS:
            stack.append(argument.encode("latin-1"))
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name == "MARK":
            stack.append(MARK)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("DICT", "SETITEM", "SETITEMS"):
            self._set_items(name)
        elif name in TUPLES or name == "TUPLE":
            items = (
                self._since_mark() if name == "TUPLE" else [stack.pop() for _ in range(TUPLES[name])][::-1]
            )
            if any(isinstance(item, tuple | dict) for item in items):
                _refuse("containers within containers")
            stack.append(tuple(items))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"):
            self._call(name, argument)
        elif name in ("PERSID", "BINPERSID"):
            _refuse("a persistent object")
        elif name == "INST":
            _refuse(str(argument).replace(" ", "."))
        else:
            _refuse(f"what the pickle opcode {name} makes")

    def _call(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            if not callable(function) or not isinstance(arguments, tuple):
                raise TypeError("a call of something that is no function")
            stack.append(function(*arguments))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Dtype):
                _refuse("the state of an object")
            stack[-1].set_state(state)
        else:
            path = argument.split(" ") if name == "GLOBAL" else [stack.pop(), stack.pop()][::-1]
            full = ".".join(str(part)[:MOST_SHOWN] for part in path)
            if full not in FUNCTIONS:
                _refuse(full)
            stack.append(FUNCTIONS[full])

    def _set_items(self, name: str) -> None:
        """Put pairs into a dict: keys are text, values are no containers."""
        items = [self.stack.pop(), self.stack.pop()][::-1] if name == "SETITEM" else self._since_mark()
        if name == "DICT":
            self.stack.append({})
        if not isinstance(self.stack[-1], dict):
            raise TypeError("an entry of something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, tuple | dict) or isinstance(value, tuple | dict):
                _refuse("containers within containers")
            self.stack[-1][key.decode("utf-8") if isinstance(key, bytes) else key] = value

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise IndexError("no mark")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items


def read_tag_dictionary(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read a dictionary of tag -> cluster number.

    Args:
        path: the ``.pkl`` file, or a folder with exactly one ``tags_dict_*.pkl``.

    Raises:
        FolksongError: there is none, or several.
        FileFormatError: the pickle is damaged, holds something else, or asks for anything that could do harm.
    """
    file = _find_pickle(Path(path))
    try:
        with open_regular(file) as stream:
            if os.fstat(stream.fileno()).st_size > MOST_BYTES:
                raise FileFormatError(
                    f"{file}: larger than any dictionary of tags ({MOST_BYTES >> 20} MiB); not read"
                )
            content = _Machine().run(stream.read())
    except OSError as error:
        raise FolksongError(describe_os_error(error, file)) from error
    except _RefusedError as error:
        raise FileFormatError(
            f"{file}: refused, {error}; a tags dictionary holds only text and numbers, so this is another file or "
            "a hostile one"
        ) from error
    except FileFormatError:
        raise
    except (ValueError, EOFError, TypeError, IndexError, KeyError, MemoryError, OverflowError) as error:
        detail = f"{type(error).__name__}: {str(error)[:MOST_SHOWN]}"
        raise FileFormatError(f"{file}: not a whole pickle ({detail})") from error
    if not isinstance(content, dict):
        raise FileFormatError(
            f"{file}: holds a {type(content).__name__}, not a dict of tag -> cluster number"
        )
    if not content:
        raise FileFormatError(f"{file}: holds no tags")
    numbers: dict[str, int] = {}
    for tag, number in content.items():
        whole = type(number) is int or (type(number) is float and number.is_integer())
        if not isinstance(tag, str) or not whole or number < 0:
            shown = f"{_shown(tag)} -> {_shown(number)}"
            raise FileFormatError(f"{file}: {shown} is not a tag and its cluster number")
        numbers[tag] = int(number)
    return numbers


def write_tag_dictionary(space: LabelSpace, path: str | os.PathLike[str]) -> dict[str, int]:
    """Write a label space as the earlier project's dictionary (protocol 4), aliases included, and return it.

    A tag of several labels gets the number of its main one, since a dictionary has one number for each tag.
    """
    numbers = {spelling: space.labels_of(spelling)[0] for spelling in space.spellings}
    with atomic_write(path) as stream:
        stream.write(pickle.dumps(numbers, protocol=4))
    return numbers


def space_of_dictionary(
    numbers: Mapping[str, int], tags: Tags, *, provenance: Mapping[str, Any] | None = None
) -> LabelSpace:
    """Turn a dictionary into a label space: a label for each distinct number, in rising order.

    Tags of a cluster are ordered by their counts in `tags`, and the first names it. The provenance's
    ``cluster_numbers`` keeps the numbers that each label had.
    """
    members: dict[int, list[str]] = {}
    for tag in as_table(tags).by_popularity(numbers):
        members.setdefault(numbers[tag], []).append(tag)
    labels = tuple(Label(members[number][0], tuple(members[number])) for number in sorted(members))
    known = {"builder": "dictionary", "cluster_numbers": [[number] for number in sorted(members)]}
    return LabelSpace(labels, provenance={**known, **(provenance or {})})


def read_legacy_space(
    dictionary: str | os.PathLike[str],
    tags: Tags,
    *,
    genres: str | os.PathLike[str] | None = None,
    remove: Iterable[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Build the label space that the earlier project's options stand for, its labels in the order of its outputs.

    That is the order of their cluster numbers; a merged label stands at its least one.

    Args:
        dictionary: the ``.pkl``, or a folder with exactly one ``tags_dict_*.pkl``.
        tags: a tag table, or where to read it, for popularity.
        genres: a ``genres.txt``, or its folder; only its clusters stay, and its pairs are merged. It counts the ranks
            of the distinct cluster numbers.
        remove: only the clusters stay that hold at least one of the 100 most popular tags that this list does not
            remove (`SUBJECTIVE_TAGS` ships with the package); None filters nothing.
        provenance: further entries for the space's provenance.

    Raises:
        FolksongError: a file is damaged or hostile, or no label is left.
    """
    table = as_table(tags)
    file = _find_pickle(Path(dictionary))
    numbers = read_tag_dictionary(file)
    space = space_of_dictionary(
        numbers, table, provenance={"dictionary_sha256": sha256_file(file), **(provenance or {})}
    )
    more: dict[str, Any] = {"filtered": True} if remove is not None else {}
    if genres is not None:
        space = keep_genres(space, read_genres(genres), table)
    if remove is not None:
        removed = set(remove)
        wanted = [tag for tag in top(table, 100).names if tag not in removed]
        space = LabelSpace(keep_labels_with(space.labels, wanted), provenance=space.provenance)
    kept = sorted(
        ((sorted({numbers[tag] for tag in label.tags}), label) for label in space.labels), key=itemgetter(0)
    )
    more["cluster_numbers"] = [clusters for clusters, _ in kept]
    return LabelSpace(tuple(label for _, label in kept), provenance={**space.provenance, **more})


def _find_pickle(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("tags_dict_*.pkl"))
    if len(found) == 1:
        return found[0]
    raise FolksongError(
        f"{path}: holds {len(found)} dictionaries ({some_of(file.name for file in found)}); name one of them"
        if found
        else f"{path}: holds no tags_dict_*.pkl; name the folder of one, or the file"
    )


def _shown(value: object) -> str:
    """Return a text or number as a message can show it."""
    if isinstance(value, str | bytes):
        return repr(value[:MOST_SHOWN]) + ("…" if len(value) > MOST_SHOWN else "")
    return str(value)[:MOST_SHOWN]
