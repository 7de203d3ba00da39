"""Finding the recording that took a process down with it."""

from __future__ import annotations

import logging
import subprocess
import sys

from folksong.shards.work import ShardTask

logger = logging.getLogger(__name__)

_TRY = "import sys; from folksong.audio.decode import read_recording; read_recording(sys.argv[1], int(sys.argv[2]))"


def refused_tracks(tasks: list[ShardTask], *, limit_seconds: float) -> dict[str, str]:
    """Return the recordings that crash or hang the decoder, with the reason, among those noted as at hand.

    A process may also have been killed from outside, so each suspect is tried once more, alone.
    """
    refused = {}
    for task in tasks:
        if task.note is None or not task.note.exists():
            continue
        noted = task.note.read_text(encoding="utf-8", errors="surrogatepass")
        for track in task.tracks:
            if track.track_id == noted and noted not in task.refused:
                reason = _crash(track.path, task.encoding.sample_rate, limit_seconds)
                if reason is not None:
                    logger.warning("%s: %s", track.path, reason)
                    refused[noted] = f"{track.path}: {reason}"
        task.note.unlink(missing_ok=True)
    return refused


def _crash(path: str, sample_rate: int, limit_seconds: float) -> str | None:
    """Decode a file in a process of its own; return how that died, or None if it lived."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY, path, str(sample_rate)],
            timeout=limit_seconds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"decoding takes longer than {limit_seconds:g} s; leave the file out"
    if done.returncode < 0:
        return f"the decoder crashed on it (signal {-done.returncode}); leave the file out"
    return None
