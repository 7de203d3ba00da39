"""What all commands share: errors without tracebacks, log lines on stderr, options with many values, tables."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import click

from folksong.errors import FolksongError
from folksong.files import check_output, describe_os_error, remember_output

Command = TypeVar("Command", bound=Callable[..., Any])
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, line separators, bidirectional marks, lone surrogates."""


class ManyValues(click.Option):
    """An option that takes one or more values in a row: ``--cuda 0 1 2``. The parameter is a tuple.

    Use with ``cls=ManyValues, multiple=True`` on a command of class `FolksongCommand`. Values end at the next
    option, or at the first word that the option's type does not accept.
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


class OutputFile(click.Path):
    """A file that a command writes: never an input, and never in a file's place that the command did not write.

    `FolksongCommand` checks that before the command runs, and gives a command with such a parameter ``--force``.

    Args:
        beside: endings of further files that the command writes, after the whole name.
    """

    def __init__(self, *beside: str) -> None:
        super().__init__(dir_okay=False)
        self.endings = ("", *beside)


class FolksongCommand(click.Command):
    """A command that guards its `OutputFile`s, and whose `ManyValues` options may be followed by several values."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if any(isinstance(parameter.type, OutputFile) for parameter in self.params):
            self.params.append(
                click.Option(["--force"], is_flag=True, help="Replace a file that is there, whoever made it.")
            )

    def invoke(self, ctx: click.Context) -> Any:
        outputs = [
            f"{ctx.params[parameter.name]}{ending}"
            for parameter in self.params
            if isinstance(parameter.type, OutputFile) and parameter.name and ctx.params.get(parameter.name)
            for ending in parameter.type.endings
        ]
        if outputs:
            self._check_outputs(ctx, outputs, force=ctx.params["force"])
        if any(isinstance(parameter.type, OutputFile) for parameter in self.params):
            del ctx.params["force"]
        result = super().invoke(ctx)
        for output in outputs:
            remember_output(output, ctx.command_path)
        return result

    def _check_outputs(self, ctx: click.Context, outputs: list[str], *, force: bool) -> None:
        given = [
            str(value)
            for parameter in self.params
            if not isinstance(parameter.type, OutputFile)
            for value in _as_tuple(ctx.params.get(parameter.name or ""))
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
        return super().parse_args(ctx, _repeat_option_names(args, many))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _repeat_option_names(args: list[str], many: dict[str, ManyValues]) -> list[str]:
    """Turn ``--cuda 0 1 2`` into ``--cuda 0 --cuda 1 --cuda 2``, the form that click knows."""
    expanded: list[str] = []
    option: str | None = None
    values = 0
    for position, word in enumerate(args):
        if word == "--":
            return expanded + args[position:]
        if word in many:
            option, values = word, 0
        elif option is not None and values >= 1 and many[option].accepts(word):
            expanded.append(option)
            values += 1
        elif option is not None and values == 0:
            values = 1
        else:
            option = None
        expanded.append(word)
    return expanded


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


class _ShownStream:
    """A text stream to which everything is written as `shown`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(UNSAFE.sub(_escape, text))  # of bytes a TypeError, by which click knows text

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class FolksongGroup(click.Group):
    """A group of commands that prints a `FolksongError` or an operating-system error as one line and exits with 1.

    What its commands print is `shown`.
    """

    command_class = FolksongCommand
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        try:
            if isinstance(sys.stdout, _ShownStream):
                return super().invoke(ctx)
            with redirect_stdout(cast("TextIO", _ShownStream(sys.stdout))):
                return super().invoke(ctx)
        except FolksongError as error:
            raise click.ClickException(shown(error) + _import_hint(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            message = describe_os_error(error, error.filename or Path.cwd())
            raise click.ClickException(shown(message)) from error


def _import_hint(error: FolksongError) -> str:
    """Return the command that would read a tag source which is unclear by itself, or get weights that are missing."""
    if package := getattr(error, "package", None):
        return f"\nThis gets them: folksong models fetch {package}"
    source, options = getattr(error, "source", None), getattr(error, "options", {})
    if source is None:
        return ""
    words = [shlex.quote(os.fspath(source)), "tags.db"]
    for name, value in options.items():
        words.append(f"--{'no-' if value is False else ''}{name.replace('_', '-')}")
        words += [] if isinstance(value, bool) else [shlex.quote(str(value))]
    return f"\nThis reads it: folksong tags import {shown(' '.join(words))}"


class _StderrHandler(logging.Handler):
    """Writes log lines without breaking a progress bar that is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: "
        tqdm.write(f"{prefix}{shown(record.getMessage())}", file=sys.stderr)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send the library's log lines from `level` up to stderr; warnings are marked as such."""
    logger = logging.getLogger("folksong")
    logger.setLevel(level)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
        logger.propagate = False


def seed_option(of: str) -> Callable[[Command], Command]:
    """Return the option ``--seed``; `of` says of what."""
    return click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help=of)


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
    if isinstance(stream, _ShownStream) and not stream.isatty():
        stream = stream.stream
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headers)
    for row in rows:  # a name of a file that is not UTF-8 has lone surrogates
        writer.writerow([str(cell).encode("utf-8", "backslashreplace").decode() for cell in row])
