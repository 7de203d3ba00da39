"""Whole tracks through a network that hears some windows at a time.

A track of n steps (samples or frames) is heard in windows side by side (`spread`), or in windows that begin every
`hop_steps` steps (`slide`). A track shorter than a window is repeated until it fills one. The score of a track is the
mean of its windows' sigmoid scores.

On a processor each thread hears windows of its own, instead of all threads sharing every step of the network: threads
that wait for one another at each step spin meanwhile, so that a short recording costs a third more, and scores would
depend on how many there are.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from folksong.audio.decode import check_samples
from folksong.audio.log_mel import FeaturePreset, log_mel, window_steps
from folksong.errors import FolksongError
from folksong.models.hardware import one_thread
from folksong.models.tagger import Tagger
from folksong.shards.window_positions import slide, spread

Scores = npt.NDArray[np.float32]


class Clip(Protocol):
    """Audio that gives windows; a row of a shard, or an array."""

    @property
    def n_steps(self) -> int:
        """Number of samples (waveform) or frames (log-mel)."""

    def window_into(self, start: int, out: npt.NDArray[np.float32]) -> None:
        """Write the steps from `start` into `out`, (samples,) or (n_mels, frames), repeating a clip that is shorter."""


@dataclass(frozen=True, eq=False)
class ArrayClip:
    """A clip in memory: (samples,) or (n_mels, frames) float32."""

    audio: npt.NDArray[np.float32]

    @property
    def n_steps(self) -> int:
        """Number of samples or frames."""
        return int(self.audio.shape[-1])

    def window_into(self, start: int, out: npt.NDArray[np.float32]) -> None:
        """Write the steps from `start` into `out`, repeating a clip that is shorter."""
        length = out.shape[-1]
        if length <= self.n_steps:
            out[...] = self.audio[..., start : start + length]
        else:
            np.take(self.audio, np.arange(length) % self.n_steps, axis=-1, out=out)


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a clip, as a clip."""

    clip: Clip
    start: int
    n_steps: int

    def window_into(self, start: int, out: npt.NDArray[np.float32]) -> None:
        """Write the steps from `start` of the window into `out`."""
        self.clip.window_into(self.start + start, out)


def centre_of(clip: Clip, n_steps: int) -> Window:
    """Return the window in the middle of a clip."""
    return Window(clip, max(clip.n_steps - n_steps, 0) // 2, n_steps if clip.n_steps else 0)


def window_starts(n_steps: int, window_steps: int, hop_steps: int | None) -> list[int]:
    """Return where the windows of a track begin: side by side (`spread`) without a hop, else one each hop (`slide`)."""
    return spread(n_steps, window_steps) if hop_steps is None else slide(n_steps, window_steps, hop_steps)


@dataclass(frozen=True)
class AudioInput:
    """What a network hears, as in its training.

    Args:
        sample_rate: Hz.
        window_seconds: length of a window.
        preset: how spectrograms are computed; None for a network that hears waveforms.
    """

    sample_rate: int
    window_seconds: float
    preset: FeaturePreset | None = None

    def __post_init__(self) -> None:
        if not (self.sample_rate > 0 and 0 <= self.window_seconds < np.inf):
            raise FolksongError(
                f"no network hears windows of {self.window_seconds!r} s at {self.sample_rate!r} Hz"
            )

    def steps(self, seconds: float) -> int:
        """Return the number of samples or frames in so many seconds."""
        return window_steps(seconds, self.sample_rate, self.preset)

    def clip(self, samples: npt.NDArray[np.float32]) -> ArrayClip:
        """Return mono samples (n_samples,) as the network hears them.

        Raises:
            AudioError: they are of another shape, none, or not finite.
        """
        samples = check_samples(samples)
        return ArrayClip(samples if self.preset is None else log_mel(samples, self.preset))


WINDOWS_A_THREAD = 4
"""That a processor's thread hears at once. Of 1 to 16 windows of 15 s, 4 and 8 cost the least a window."""


def listening_threads(device: torch.device) -> ThreadPoolExecutor:
    """Return threads for `score_clips`: as many as PyTorch would use on a processor, each working by itself.

    There is one for a GPU, so that callers from several threads take turns.
    """
    count = torch.get_num_threads() if device.type == "cpu" else 1
    return ThreadPoolExecutor(count, "folksong-listen", initializer=one_thread)


@dataclass(eq=False)
class _Pending:
    """A clip some of whose windows still wait to be scored."""

    waiting: int
    total: npt.NDArray[np.float64]
    count: int = 0

    def add(self, scores: Scores) -> None:
        self.total += scores
        self.count += 1
        self.waiting -= 1


def score_clips(
    model: Tagger,
    clips: Iterable[Clip],
    *,
    window_steps: int,
    hop_steps: int | None = None,
    batch_size: int = 32,
    autocast: torch.dtype | None = None,
    threads: ThreadPoolExecutor | None = None,
    link: Callable[[Tensor], Tensor] = torch.sigmoid,
) -> Iterator[Scores]:
    """Yield the scores of each clip, (n_labels,) float32 in 0 to 1, in the order of the clips.

    Windows of neighbouring clips share batches. Memory holds one batch and the clips it touches, whatever the
    number and length of the clips.

    Args:
        model: in evaluation mode, on the device to use.
        clips: what to score, taken as needed.
        window_steps: samples or frames of a window.
        hop_steps: steps between the beginnings of windows; None lays them side by side (`spread`).
        batch_size: windows collected before they are scored; a GPU hears them at once.
        autocast: multiply matrices in this type; None stays in float32.
        threads: see `listening_threads`; own ones if None.
        link: from a window's logits to its scores.

    Raises:
        FolksongError: a size is below 1, or a clip holds no audio.
    """
    if min(window_steps, 1 if hop_steps is None else hop_steps, batch_size) < 1:
        raise FolksongError(
            f"window of {window_steps} steps, hop of {hop_steps}, batch of {batch_size}: each must be at least 1"
        )
    n_labels = int(model.settings["n_labels"])
    batch = np.empty((batch_size, *_window_shape(model, window_steps)), np.float32)
    owners: list[_Pending] = []
    pending: deque[_Pending] = deque()
    device = next(model.parameters()).device
    with listening_threads(device) if threads is None else nullcontext(threads) as listeners:
        for number, clip in enumerate(clips):
            if clip.n_steps < 1:
                raise FolksongError(f"clip {number} holds no audio")
            starts = window_starts(clip.n_steps, window_steps, hop_steps)
            pending.append(_Pending(len(starts), np.zeros(n_labels)))
            for start in starts:
                clip.window_into(start, batch[len(owners)])
                owners.append(pending[-1])
                if len(owners) == batch_size:
                    _score(model, batch, owners, autocast, listeners, link)
            yield from _finished(pending)
        if owners:
            _score(model, batch, owners, autocast, listeners, link)
        yield from _finished(pending)


def _score(
    model: Tagger,
    batch: npt.NDArray[np.float32],
    owners: list[_Pending],
    autocast: torch.dtype | None,
    threads: ThreadPoolExecutor,
    link: Callable[[Tensor], Tensor],
) -> None:
    """Score the windows of `batch` that have an owner, and give each owner its scores."""
    device = next(model.parameters()).device
    at_once = WINDOWS_A_THREAD if device.type == "cpu" else len(batch)

    def hear(windows: Tensor) -> Scores:
        with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
            logits = model(windows.to(device))
            scores: Scores = link(logits.float()).cpu().numpy()
            return scores

    parts = torch.split(torch.from_numpy(batch[: len(owners)]), at_once)
    if device.type == "cpu" and len(parts) == 1:
        with one_thread():
            heard = [hear(*parts)]
    else:
        heard = list(threads.map(hear, parts))
    for owner, row in zip(owners, np.concatenate(heard), strict=True):
        owner.add(row)
    owners.clear()


def _finished(pending: deque[_Pending]) -> Iterator[Scores]:
    while pending and not pending[0].waiting:
        done = pending.popleft()
        yield (done.total / done.count).astype(np.float32)


def _window_shape(model: Tagger, window_steps: int) -> tuple[int, ...]:
    log_mel = model.settings["front_end"] != "waveform"
    return (int(model.settings["n_mels"]), window_steps) if log_mel else (window_steps,)
