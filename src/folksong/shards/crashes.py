"""Finding the recording that took a process down with it."""

from __future__ import annotations

import logging
from pathlib import Path

from folksong.audio.decode import read_recording
from folksong.audio.workers import run_guarded
from folksong.errors import AudioError
from folksong.shards.watchdog import limit_of, stack_path
from folksong.shards.work import ShardTask

logger = logging.getLogger(__name__)


def refused_tracks(tasks: list[ShardTask], *, limit_seconds: float) -> dict[str, str]:
    """Return the recordings that crash or hang the decoder, with the reason, among those noted as at hand.

    A process may also have been killed from outside, so each suspect is tried once more, in processes of its own.
    """
    refused = {}
    for task in tasks:
        if task.note is None or not task.note.exists():
            continue
        noted = task.note.read_text(encoding="utf-8", errors="surrogatepass")
        for track in task.tracks:
            if track.track_id == noted and noted not in task.refused:
                limit = limit_of(track.path, limit_seconds)
                crash = _crash(track.path, task.encoding.sample_rate, limit)
                if crash is not None:
                    logger.warning("%s: %s", track.path, crash)
                    refused[noted] = f"{track.path}: {crash}"
        task.note.unlink(missing_ok=True)
        _tell_stack(task.note, noted)
    return refused


def _tell_stack(note: Path, track_id: str) -> None:
    """Log where a process stood that took too long."""
    path = stack_path(note)
    stack = path.read_text(errors="replace") if path.exists() else ""
    path.unlink(missing_ok=True)
    if stack:
        logger.warning("%s: its process took too long and was ended; the stack is in the debug log", track_id)
        logger.debug("%s", stack)


def _crash(path: str, sample_rate: int, limit_seconds: float) -> str | None:
    """Return how decoding a file kills a process, or None if it does not."""
    outcomes = run_guarded(can_decode, [[path]], (sample_rate,), jobs=1, limit_seconds=limit_seconds)
    return next((outcome.crash for batch in outcomes for outcome in batch if outcome.crash), None)


def can_decode(path: str, sample_rate: int) -> bool:
    """Say whether a file can be decoded."""
    try:
        read_recording(path, sample_rate)
    except (AudioError, OSError, ValueError):
        return False
    return True
