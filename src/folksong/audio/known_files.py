"""What earlier scans know about a tree, so that only new and changed files are read again.

A finished scan leaves ``<catalogue>.files.csv``, a row a file; one that is under way adds each measured file to a
journal (``.<catalogue>.journal``, JSON lines), which survives a kill. Both count only for one threshold of silence.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from folksong.audio.measure import FileFacts
from folksong.errors import FolksongError
from folksong.files import atomic_write, describe_os_error

VERSION = 1  # raise it when the same file would give other facts
_FIELDS = tuple(entry.name for entry in fields(FileFacts))
_INTEGERS = ("size", "mtime_ns", "sample_rate", "channels")
_FLOATS = ("seconds", "effective_seconds", "silence_seconds", "longest_silence_seconds", "loudest_db")


@dataclass
class KnownFiles:
    """Facts by path; see `read`, then `journal` and `add`, and `write` at the end."""

    catalogue: Path
    silence_db: float
    _facts: dict[str, FileFacts] = field(default_factory=dict)
    _stream: IO[str] | None = None

    @classmethod
    def read(cls, catalogue: Path, silence_db: float) -> KnownFiles:
        """Read what earlier scans into this catalogue left, finished or not.

        Raises:
            FolksongError: a file is there but cannot be read.
        """
        known = cls(catalogue, silence_db)
        try:
            for facts in (*known._listed(), *known._journaled()):
                known._facts[facts.path] = facts
        except OSError as error:
            raise FolksongError(describe_os_error(error, catalogue)) from error
        return known

    def has(self, entry: FileFacts) -> bool:
        """Say whether a file of this path, size and time of change is known."""
        known = self._facts.get(entry.path)
        return known is not None and (known.size, known.mtime_ns) == (entry.size, entry.mtime_ns)

    def of(self, paths: Iterable[str]) -> list[FileFacts]:
        """Return the facts of those paths that are known."""
        return [self._facts[path] for path in paths if path in self._facts]

    @contextlib.contextmanager
    def journal(self) -> Iterator[None]:
        """Keep what `add` is given on disk at once, as long as this lasts.

        Raises:
            FolksongError: it cannot be written (a full disk, no permission).
        """
        path = self._journal_path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            goes_on = _lines(path)[:1] == [self._head]
            with path.open("a" if goes_on else "w", encoding="utf-8") as self._stream:
                self._stream.write("\n" if goes_on else f"{self._head}\n")  # ends a line that was cut short
                yield
        except OSError as error:
            raise FolksongError(describe_os_error(error, path)) from error
        finally:
            self._stream = None

    def add(self, measured: Iterable[FileFacts]) -> None:
        """Take the facts of files just measured."""
        for facts in measured:
            self._facts[facts.path] = facts
            if self._stream is not None:
                self._stream.write(json.dumps(list(asdict(facts).values())) + "\n")
        if self._stream is not None:
            self._stream.flush()

    def write(self, facts: Iterable[FileFacts]) -> None:
        """Write the facts of a finished scan, and end its journal."""
        with atomic_write(self._list_path, "w") as stream:
            stream.write(f"# {self._head}\n")
            rows = csv.writer(stream, lineterminator="\n")
            rows.writerow(_FIELDS)
            rows.writerows(list(asdict(entry).values()) for entry in facts)
        self._journal_path.unlink(missing_ok=True)

    @property
    def _head(self) -> str:
        return json.dumps({"folksong audio scan": VERSION, "silence_db": self.silence_db})

    @property
    def _list_path(self) -> Path:
        return self.catalogue.with_name(f"{self.catalogue.stem}.files.csv")

    @property
    def _journal_path(self) -> Path:
        return self.catalogue.with_name(f".{self.catalogue.name}.journal")

    def _listed(self) -> Iterator[FileFacts]:
        if not self._list_path.exists():
            return
        with self._list_path.open(encoding="utf-8", errors="replace", newline="") as stream:
            if stream.readline() != f"# {self._head}\n":
                return
            rows = csv.DictReader(stream)
            if tuple(rows.fieldnames or ()) == _FIELDS:
                for row in rows:
                    facts = _parse(row)
                    if facts is not None:
                        yield facts

    def _journaled(self) -> Iterator[FileFacts]:
        lines = _lines(self._journal_path)
        if lines[:1] == [self._head]:
            for line in lines[1:]:
                with contextlib.suppress(ValueError, TypeError):  # a line that was cut short
                    yield FileFacts(*json.loads(line))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []


def _parse(row: Mapping[str, str]) -> FileFacts | None:
    """Return the facts of a row, or None for a row that someone has spoiled."""
    try:
        values: dict[str, Any] = {name: row[name] or None for name in _FIELDS}
        for name in _INTEGERS:
            values[name] = int(row[name]) if row[name] else None
        for name in _FLOATS:
            values[name] = float(row[name]) if row[name] else None
        return FileFacts(**values) if values["path"] and values["size"] is not None else None
    except (ValueError, TypeError, KeyError):
        return None
