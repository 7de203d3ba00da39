"""The journal: a file of JSON lines that only grows, each line on disk before whoever wrote it hears so.

A line counts when its line feed is there. What a killed process left behind the last one is never read, and is cut off
before the next line is written. Several processes may append to one journal: they wait for one another.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from folksong.errors import FileFormatError
from folksong.files import described, locked, open_regular, read_bytes, sync_folder


def append(path: str | os.PathLike[str], entries: Iterable[Mapping[str, Any]]) -> None:
    """Append entries to a journal, made if missing, and return when they are on disk.

    Raises:
        FolksongError: it cannot be written; of the entries none counts then.
    """
    file = Path(path)
    lines = [json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n" for entry in entries]
    data = "".join(lines).encode("utf-8", "backslashreplace")  # a name that is not UTF-8 has lone surrogates
    with locked(lock_of(file)), described(file):
        is_new = not file.exists()
        end = 0 if is_new else _end_of_last_line(file)
        with file.open("ab") as stream:
            try:
                stream.truncate(end)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(end)
                raise
        if is_new:
            sync_folder(file.parent)


def lock_of(path: str | os.PathLike[str]) -> Path:
    """Return the file by which those who append wait for one another; it stays, and may go when none appends."""
    return Path(path).with_name(f".{Path(path).name}.lock")


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return a journal's entries, in order; what stands behind the last line feed is passed over.

    Raises:
        FolksongError: it is missing or unreadable.
        FileFormatError: a line is no JSON object; the message gives its number.
    """
    found = []
    data = read_bytes(path)
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].split(b"\n")[:-1], 1):
        try:
            entry = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"{path}: line {number} is not JSON ({error})") from error
        if not isinstance(entry, dict):
            raise FileFormatError(f"{path}: line {number} is not a JSON object: {str(entry)[:60]}")
        found.append(entry)
    return found


def _end_of_last_line(file: Path) -> int:
    with open_regular(file) as stream:
        end = stream.seek(0, os.SEEK_END)
        while end:
            start = max(end - 65536, 0)
            stream.seek(start)
            place = stream.read(end - start).rfind(b"\n")
            if place >= 0:
                return start + place + 1
            end = start
    return 0
