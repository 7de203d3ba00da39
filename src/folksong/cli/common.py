"""What commands print: text of strangers made harmless, log lines on stderr, tables, JSON and CSV."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import click

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
        note(
            ("" if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: ")
            + record.getMessage()
        )


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
