"""Recordings of many askers through one tagger: each decoded in a process that it may crash, heard together.

`heard_in_worker` runs in processes of `folksong.audio.workers`, with limits of length, time and memory: what a stranger
sends ends at most a worker. What was decoded waits for the network, and all that wait go through it together: their
windows share batches. On a processor a score is then what it is alone, up to the last bits of a float32.
"""

import asyncio
import queue
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from folksong.audio.decode import read_recording
from folksong.audio.guarded import Outcome, guarded_outcome
from folksong.audio.log_mel import FeaturePreset, log_mel
from folksong.audio.workers import Workers, n_processes
from folksong.errors import AudioError

if TYPE_CHECKING:  # the workers do without torch
    from folksong.prediction import LoadedTagger

DECODING_SECONDS = 20.0
"""So long a file may keep a worker busy, twice; 20 minutes of any format take less than two."""
WORKER_BYTES = 1 << 30
"""Memory of a worker, beside four times the longest recording's samples."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording as a tagger hears it.

    Args:
        audio: (samples,) or (n_mels, frames) float32.
        seconds: its length.
        peak: magnitude of its loudest sample.
        damage: what of the file could not be read, or None.
    """

    audio: npt.NDArray[np.float32]
    seconds: float
    peak: float
    damage: str | None


def heard_sound(path: str, sample_rate: int, preset: FeaturePreset | None, max_seconds: float) -> Sound:
    """Decode a recording for a network that hears samples at `sample_rate`, or spectrograms of `preset`.

    Raises:
        AudioError: it cannot be decoded, is longer than `max_seconds`, or needs more memory than there is.
    """
    try:
        found = read_recording(path, sample_rate, max_seconds=max_seconds)
        audio = found.samples if preset is None else log_mel(found.samples, preset)
    except MemoryError as error:
        raise AudioError(f"{path}: needs too much memory to be decoded") from error
    return Sound(audio, found.seconds, float(np.abs(found.samples).max()), found.damage)


def heard_in_worker(path: str, sample_rate: int, preset: FeaturePreset | None, max_seconds: float) -> Sound:
    """Call `heard_sound` in a process that gets no more memory than a recording needs (on Linux)."""
    if sys.platform == "linux":
        import resource

        most = WORKER_BYTES + int(4 * max_seconds * sample_rate * np.float32().nbytes)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    return heard_sound(path, sample_rate, preset, max_seconds)


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A recording that waits for the network."""

    audio: npt.NDArray[np.float32]
    scores: "Future[npt.NDArray[np.float32]]"


class Hearing:
    """A tagger that many may ask at once; a context manager that ends its processes and threads.

    Recordings of more than `max_seconds` are refused.
    """

    def __init__(self, tagger: "LoadedTagger", max_seconds: float) -> None:
        from folksong.prediction.windows import listening_threads

        self.tagger, self.max_seconds = tagger, max_seconds
        jobs = n_processes(-1)
        self._workers = Workers(jobs)
        self._callers = ThreadPoolExecutor(jobs, "folksong-decode")  # a thread waits for each process
        self._listeners = listening_threads(tagger.device)
        self._in_memory = asyncio.Semaphore(2 * jobs)  # so many are decoded and wait, or are being decoded
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, name="folksong-hearing", daemon=True)

    def __enter__(self) -> "Hearing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._workers.__exit__()
        self._callers.shutdown(wait=False, cancel_futures=True)
        self._thread.join()
        self._listeners.shutdown()

    @property
    def is_alive(self) -> bool:
        """Whether recordings are heard."""
        return self._thread.is_alive()

    async def hear(self, path: str) -> tuple[Sound, npt.NDArray[np.float32]]:
        """Return a recording and its scores (n_labels,) float32.

        Raises:
            AudioError: it cannot be decoded, or crashed the decoder, or took longer than `DECODING_SECONDS`.
            FolksongError: decoding does not work at all.
        """
        async with self._in_memory:
            run = asyncio.get_running_loop().run_in_executor
            decoded = await run(self._callers, self._decode, path)
            if decoded.result is None:
                raise AudioError(f"{path}: {decoded.crash}")
            scores: Future[npt.NDArray[np.float32]] = Future()
            self._waiting.put(_Waiting(decoded.result.audio, scores))
            return decoded.result, await asyncio.wrap_future(scores)

    def _decode(self, path: str) -> Outcome[Sound]:
        audio = self.tagger.audio
        arguments = (audio.sample_rate, audio.preset, self.max_seconds)
        return guarded_outcome(
            self._workers, heard_in_worker, path, arguments, limit_seconds=DECODING_SECONDS
        )

    def _listen(self) -> None:
        while self._hear_those_waiting():
            pass

    def _hear_those_waiting(self) -> bool:
        """Hear all recordings that wait, at least one; say whether more may come."""
        group = [self._waiting.get()]
        while not self._waiting.empty():
            group.append(self._waiting.get())
        if wanted := [one for one in group if one and one.scores.set_running_or_notify_cancel()]:
            self._score(wanted)
        return None not in group

    def _score(self, group: Sequence[_Waiting]) -> None:
        """Give the recordings of a group their scores; where one is at fault, the others do without it."""
        try:
            rows = list(self.tagger.score_together([one.audio for one in group], self._listeners))
        except Exception as error:
            if len(group) > 1:
                for one in group:
                    self._score([one])
            else:
                group[0].scores.set_exception(error)
            return
        for one, row in zip(group, rows, strict=True):
            one.scores.set_result(row)
