"""Which recording is at hand, for whoever finds the process dead, and an end to one that takes for ever.

A decoder that hangs in C code cannot be interrupted, only ended with its process. The stack at that moment is kept.
"""

from __future__ import annotations

import faulthandler
from pathlib import Path
from types import TracebackType
from typing import IO

SECONDS_A_MEGABYTE = 2.0  # of a recording's file, beside the fixed limit: hours of audio take their time


class Watchdog:
    """Notes each recording before it is touched.

    Args:
        note: the file that holds the id of the track at hand; None keeps no note.
        limit_seconds: end the process when one recording takes longer than this and `SECONDS_A_MEGABYTE`; None on a
            process that must live.
    """

    def __init__(self, note: Path | None, limit_seconds: float | None) -> None:
        self._note, self._limit_seconds = note, limit_seconds
        self._stack: IO[str] | None = None

    def __enter__(self) -> Watchdog:
        if self._note is not None and self._limit_seconds is not None:
            self._stack = stack_path(self._note).open("w")
        return self

    def begin(self, track_id: str, path: str) -> None:
        """Say that this recording is next, and start its time."""
        if self._note is not None:
            self._note.write_text(track_id, encoding="utf-8", errors="surrogatepass")
        if self._stack is not None and self._limit_seconds is not None:
            seconds = limit_of(path, self._limit_seconds)
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._stack)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stack is not None and self._note is not None:
            faulthandler.cancel_dump_traceback_later()
            self._stack.close()
            stack_path(self._note).unlink(missing_ok=True)
        if self._note is not None:
            self._note.unlink(missing_ok=True)


def limit_of(path: str, limit_seconds: float) -> float:
    """Return how many seconds a recording may take."""
    try:
        megabytes = Path(path).stat().st_size / 1e6
    except OSError:
        megabytes = 0.0
    return limit_seconds + SECONDS_A_MEGABYTE * megabytes


def stack_path(note: Path) -> Path:
    """Return where the stack of a process that took too long is kept."""
    return note.with_suffix(".stack")
