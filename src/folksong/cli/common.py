"""What all commands share: errors without tracebacks, log lines on stderr, options with many values, tables."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from folksong.errors import FolksongError
from folksong.files import check_output, describe_os_error, remember_output

Command = TypeVar("Command", bound=Callable[..., Any])


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
    """

    def __init__(self) -> None:
        super().__init__(dir_okay=False)


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
            str(ctx.params[parameter.name])
            for parameter in self.params
            if isinstance(parameter.type, OutputFile) and parameter.name and ctx.params.get(parameter.name)
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


class FolksongGroup(click.Group):
    """A group of commands that prints a `FolksongError` or an operating-system error as one line and exits with 1."""

    command_class = FolksongCommand
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FolksongError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            raise click.ClickException(describe_os_error(error, error.filename or Path.cwd())) from error


class _StderrHandler(logging.Handler):
    """Writes log lines without breaking a progress bar that is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: "
        tqdm.write(f"{prefix}{record.getMessage()}", file=sys.stderr)


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
    """Print rows as an aligned plain-text table; numbers are right-aligned, NaN shows as a dash."""
    from tabulate import tabulate

    shown = [[None if isinstance(cell, float) and cell != cell else cell for cell in row] for row in rows]
    click.echo(tabulate(shown, headers=headers, floatfmt=floats, intfmt=",", missingval="–"))
