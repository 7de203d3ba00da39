"""Commands and groups of them: options from signatures, guarded outputs, errors as one line, Ctrl-C.

And what they print: text of strangers made harmless, log lines on stderr, tables, JSON and CSV.
"""

import csv
import inspect
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO, cast

import click

from folksong.cli.parameters import (
    FLAGS,
    WORDS,
    DiskPath,
    InputPath,
    LibraryFunction,
    ManyValues,
    parameters,
    read_function,
)
from folksong.errors import FolksongError, ForeignFileError
from folksong.files import check_output, describe_os_error, remember_output, written_by

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, line separators, bidirectional marks, lone surrogates."""
MOST_SHOWN = 60
"""So many characters of a tag are shown in a table of rows."""


def shown(text: object) -> str:
    """Return text of strangers (tags, labels, file names) as it may be printed.

    Characters that a terminal obeys (escapes, bidirectional marks) and halves of characters become ``\\u001b``, as
    in JSON; line ends and tabs stay.

    >>> print(shown("rock\\x1b[2J"))
    rock\\u001b[2J
    """
    return UNSAFE.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class ShownStream:
    """A text stream to which everything is written as `shown`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(UNSAFE.sub(_escape, text))  # of bytes a TypeError, by which click knows text

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _StderrHandler(logging.Handler):
    """Writes log lines without breaking a progress bar that is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        message, context = record.getMessage(), click.get_current_context(silent=True)
        if context is not None and isinstance(group := context.find_root().command, FolksongGroup):
            message = group.hinted(message)
        note(("" if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: ") + message)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send the library's log lines from `level` up to stderr; warnings are marked as such."""
    logger = logging.getLogger("folksong")
    logger.setLevel(level)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
        logger.propagate = False


def note(text: object) -> None:
    """Print a line on stderr, above a progress bar that is being drawn."""
    from tqdm import tqdm

    tqdm.write(shown(text), file=sys.stderr)


class Failures:
    """Files that could not be worked on: each is named on stderr as it comes, with the reason."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, file: str, error: FolksongError) -> None:
        self.number += 1
        message = str(error)
        note(message if message.startswith(file.rstrip("/")) else f"{file}: {message}")

    def end(self, what: str) -> None:
        """Exit with 1 if there were any; `what` says, after their number, what could not be done."""
        if self.number:
            note(f"{self.number} {what}")
            raise click.exceptions.Exit(1)


def wants_progress() -> bool:
    """Say whether progress bars are wanted: stderr is a terminal."""
    return os.environ.get("TERM") != "dumb" and sys.stderr.isatty()


def echo_table(rows: Sequence[Sequence[object]], headers: Sequence[str], *, floats: str = ".4f") -> None:
    """Print rows as an aligned plain-text table: numbers right-aligned, NaN as a dash, text as it is."""
    from tabulate import tabulate

    texts = [[_text(cell, floats) for cell in row] for row in rows]
    columns = [[row[place] for row in texts if place < len(row)] for place in range(len(headers))]
    sides = ["right" if column and all(map(_is_number, column)) else "left" for column in columns]
    click.echo(tabulate(texts, headers=headers, disable_numparse=True, colalign=sides if rows else None))


def _text(cell: object, floats: str) -> str:
    if isinstance(cell, float):
        return "–" if cell != cell else format(cell, floats)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return "" if cell is None else shown(cell).replace("\n", "\\n")


def _is_number(text: str) -> bool:
    """Say whether a cell is a number, or stands for one that is missing."""
    try:
        float(text.replace(",", ""))
    except ValueError:
        return text in ("", "–")
    return True


def echo_json(value: object) -> None:
    """Print a value as an indented JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def echo_csv(rows: Iterable[Sequence[object]], headers: Sequence[str]) -> None:
    """Print rows as CSV: as they are, unless a terminal reads them."""
    stream: Any = sys.stdout
    if isinstance(stream, ShownStream) and not stream.isatty():
        stream = stream.stream
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headers)
    for row in rows:  # a name of a file that is not UTF-8 has lone surrogates
        writer.writerow([str(cell).encode("utf-8", "backslashreplace").decode() for cell in row])


def echo_rows(
    form: str | None,
    rows: Sequence[Sequence[object]],
    names: Sequence[str],
    headers: Sequence[str] | None = None,
    **table: Any,
) -> None:
    """Print rows as a JSON list of objects or as CSV, both by `names`, or as a table under `headers`."""
    if form == "json":
        echo_json([dict(zip(names, row, strict=True)) for row in rows])
    elif form == "csv":
        echo_csv(rows, names)
    else:
        cut = [[f"{cell:.{MOST_SHOWN}}" if isinstance(cell, str) else cell for cell in row] for row in rows]
        echo_table(cut, headers or names, **table)


FORCE = "folksong.force"


class OutputFile(DiskPath):
    """A file that a command writes: never an input, and never in a file's place that the command did not write.

    `FolksongCommand` checks that before the command runs; ``--force`` replaces such a file.

    Args:
        beside: endings of further files that the command writes, after the whole name.
    """

    def __init__(self, *beside: str) -> None:
        super().__init__(dir_okay=False)
        self.endings = ("", *beside)


class OutputFolder(OutputFile):
    """A folder for files that a command writes, each of which is guarded as an `OutputFile` is.

    Args:
        names: of the files, where they are known: these are checked before the command runs.
    """

    def __init__(self, *names: str) -> None:
        DiskPath.__init__(self, file_okay=False)
        self.endings = tuple(f"/{name}" for name in names)


File = Annotated[str, InputPath()]
Target = Annotated[str, DiskPath()]
Folder = Annotated[str, DiskPath(file_okay=False)]
Place = Annotated[str, click.Path(file_okay=False)]
Output = Annotated[str, OutputFile()]
Outputs = Annotated[str, OutputFolder()]
Count = Annotated[int, click.IntRange(1)]
Positive = Annotated[float, click.FloatRange(0, min_open=True)]
Share = Annotated[float, click.FloatRange(0, 1)]
Part = Annotated[str, click.Choice(WORDS["part"])]
Form = Annotated[Literal["json", "csv"] | None, FLAGS]


class FolksongCommand(click.Command):
    """A command with the options of its function and of the library's functions `of`, without those named.

    They are made when they are first asked for. An `OutputFile` is never an input, and never takes a file's place that
    the command did not write, without ``--force``. `ManyValues` may be followed by several values. The command gives
    its function ``progress`` where that takes the library's options. `resumable` says what is kept after Ctrl-C.
    """

    def __init__(
        self, *args: Any, of: str = "", without: tuple[str, ...] = (), resumable: str = "", **options: Any
    ) -> None:
        super().__init__(*args, **options)
        text = inspect.cleandoc(self.help or "").partition("Args:\n")[0].rstrip()
        self.help = re.sub("^(?=Example)", "\b\n", text, flags=re.MULTILINE)  # click then keeps its lines
        self.of, self.without, self.resumable = of.split(), ("progress", *without), resumable
        if not self.params:
            del self.params  # until they are asked for

    @cached_property
    def params(self) -> list[click.Parameter]:  # type: ignore[override]
        """Arguments and options."""
        return [] if self.callback is None else parameters(self.callback, self.library, self.without)

    @cached_property
    def library(self) -> list[LibraryFunction]:
        """The functions of the library whose options it has."""
        return [read_function(place) for place in self.of]

    @property
    def outputs(self) -> dict[str, OutputFile]:
        """The parameters that are files to write, by name."""
        return {str(one.name): one.type for one in self.params if isinstance(one.type, OutputFile)}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.outputs:
            formatter.write_paragraph()
            formatter.write_text("A file that is there and that another made stays; --force replaces it.")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.outputs and "--force" in args[: args.index("--") if "--" in args else None]:
            args.remove("--force")
            ctx.meta[FORCE] = True
        many = {name: one for one in self.params if isinstance(one, ManyValues) for name in one.opts}
        return super().parse_args(ctx, list(_repeat_option_names(args, many)))

    def invoke(self, ctx: click.Context) -> Any:
        given = {name: kind for name, kind in self.outputs.items() if ctx.params.get(name)}
        outputs = [f"{ctx.params[name]}{ending}" for name, kind in given.items() for ending in kind.endings]
        folders = [ctx.params[name] for name, kind in given.items() if isinstance(kind, OutputFolder)]
        force = ctx.meta.get(FORCE) or ctx.find_root().params.get("force", False)
        if any(parameter.name == "progress" for function in self.library for parameter in function.taken):
            ctx.params["progress"] = wants_progress()
        try:
            self._check_outputs(ctx, outputs, force=force)
            with written_by(ctx.command_path, outputs, folders, force=force):
                result = super().invoke(ctx)
        except KeyboardInterrupt:
            more = f" {self.resumable}; run the same command again to continue." if self.resumable else ""
            note(f"Stopped.{more}")
            raise click.exceptions.Exit(130) from None
        except ForeignFileError as error:
            raise click.ClickException(f"{error}; --force replaces it") from error
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
            except ForeignFileError:
                raise
            except FolksongError as error:
                raise click.ClickException(str(error)) from error


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


class FolksongGroup(click.Group):
    """A group of commands that prints a `FolksongError` or an operating-system error as one line and exits with 1.

    Ctrl-C exits with 130. What its commands and errors print is `shown`. In its errors and log lines `hints` says by
    which option or command the command line does what a library's message speaks of.
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
        except KeyboardInterrupt:
            note("Stopped.")
            raise click.exceptions.Exit(130) from None
        except FolksongError as error:
            raise click.ClickException(self.hinted(shown(error)) + _import_hint(error)) from error
        except click.ClickException as error:
            vars(error)["message"] = shown(error.message)
            raise
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            message = describe_os_error(error, error.filename or Path.cwd())
            raise click.ClickException(shown(message)) from error

    def hinted(self, message: str) -> str:
        """Return a message of the library with the option or command that does what it speaks of."""
        context = click.get_current_context(silent=True)
        known = getattr(context.find_root().command, "hints", {}) if context else self.hints
        hint = next((hint for words, hint in known.items() if words in message), None)
        return message if hint is None else f"{message} ({hint})"


def _import_hint(error: FolksongError) -> str:
    """Return the command that would read a tag source which is unclear by itself, or get weights that are missing."""
    if package := getattr(error, "package", None):
        return f"\nThis gets them: folksong models fetch {package}"
    source, options = getattr(error, "source", None), getattr(error, "options", {})
    if source is None:
        return ""
    out = "tags.db" if not Path("tags.db").exists() else f"{Path(os.fspath(source)).stem}.tags.db"
    words = [shlex.quote(os.fspath(source)), shlex.quote(out)]
    for name, value in options.items():
        words.append(f"--{'no-' if value is False else ''}{name.replace('_', '-')}")
        words += [] if isinstance(value, bool) else [shlex.quote(str(value))]
    return f"\nThis reads it: folksong tags import {shown(' '.join(words))}"
