"""A trained tagger, loaded: a recording's file or samples -> scores of its labels.

The run says how its audio was made (sample rate, waveform or feature preset, window), and prediction does the same:
what the network hears never depends on the caller's settings.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from folksong.audio.decode import LongRecording, decode, is_long
from folksong.drawing import short_name, write_picture
from folksong.errors import AudioError, FolksongError, first_line
from folksong.files import write_csv
from folksong.models.hardware import choose_precision
from folksong.models.heads import listen
from folksong.models.inference import prepared
from folksong.models.tagger import Tagger
from folksong.prediction.windows import (
    ArrayClip,
    AudioInput,
    Clip,
    Scores,
    Window,
    listening_threads,
    score_clips,
    window_starts,
)
from folksong.runs import DEFAULT_THRESHOLD, Scoring

logger = logging.getLogger(__name__)

BATCH_SIZE = 32
SILENCE_PEAK = 1e-4  # -80 dB of full scale: less than the dither of 16 bits


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the tagger says of one recording.

    Args:
        file: the recording.
        seconds: its length.
        labels: the label space's names, in order.
        scores: (n_labels,) float32 in 0 to 1; what the network makes of silence means nothing.
        silent: it holds digital silence only.
    """

    file: str
    seconds: float
    labels: tuple[str, ...]
    scores: Scores
    silent: bool = False

    def ranked(
        self, top: int | None = None, threshold: float | npt.NDArray[np.float64] | None = None
    ) -> list[tuple[str, float]]:
        """Return (label, score) pairs, best first; equal scores in the label space's order. Silence has none.

        Args:
            top: at most so many.
            threshold: only scores of at least this: one for all, or (n_labels,).
        """
        if self.silent:
            return []
        limits = -np.inf if threshold is None else np.asarray(threshold, np.float32)
        taken = np.broadcast_to(self.scores >= limits, self.scores.shape)
        order = [number for number in np.argsort(-self.scores, kind="stable") if taken[number]]
        return [(self.labels[number], float(self.scores[number])) for number in order[:top]]


MOST_ROWS = 20  # labels of a picture


@dataclass(frozen=True, eq=False)
class ScoresOverTime:
    """The scores of a recording's windows.

    Args:
        file: the recording.
        labels: the tagger's labels.
        starts: (n_windows,) seconds, rising.
        window_seconds: length of a window; one that is longer than the recording hears it repeated.
        scores: (n_windows, n_labels) float32 in 0 to 1.
    """

    file: str
    labels: tuple[str, ...]
    starts: npt.NDArray[np.float64]
    window_seconds: float
    scores: npt.NDArray[np.float32]

    def strongest(self, top: int | None = None) -> list[int]:
        """Return the numbers of the labels with the highest mean score, best first."""
        return [int(number) for number in np.argsort(-self.scores.mean(axis=0), kind="stable")[:top]]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file: start and end of a window in seconds, then a column a label, best mean first."""
        chosen = self.strongest()
        rows = [
            [f"{start:.3f}", f"{start + self.window_seconds:.3f}", *(f"{value:.6f}" for value in row[chosen])]
            for start, row in zip(self.starts, self.scores, strict=True)
        ]
        write_csv(path, ("start", "end", *(self.labels[number] for number in chosen)), rows)

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Write a picture, PNG, SVG or PDF: a row a label (the `MOST_ROWS` best by mean), dark where it is heard."""
        from matplotlib.figure import Figure

        chosen = self.strongest(MOST_ROWS)
        figure = Figure(figsize=(10, 1.4 + 0.28 * len(chosen)), layout="constrained")
        axes = figure.subplots()
        end = self.starts[-1] + self.window_seconds
        middles = self.starts + self.window_seconds / 2
        edges = np.concatenate([[0], (middles[1:] + middles[:-1]) / 2, [end]])
        mesh = axes.pcolormesh(
            edges, np.arange(len(chosen) + 1), self.scores[:, chosen].T, vmin=0, vmax=1, cmap="Blues"
        )
        axes.set_yticks(
            np.arange(len(chosen)) + 0.5, [short_name(self.labels[number], 28) for number in chosen]
        )
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        axes.invert_yaxis()
        axes.set_xlabel(f"seconds (windows of {self.window_seconds:g} s)")
        figure.colorbar(mesh, label="score", pad=0.01)
        write_picture(figure, path)


class LoadedTagger:
    """A tagger with the audio settings of its run.

    Args:
        model: the network; it is put into evaluation mode and moved to `device`.
        labels: a name for each of its outputs.
        audio: what it hears.
        hop_seconds: from the beginning of one window to the next; side by side if None, evenly spread and as few as
            hear the recording (`folksong.prediction.spread`).
        device: ``"cpu"``, ``"cuda"``, …; a GPU where there is one if None.
        batch_size: windows scored at once on a GPU; a processor's threads hear a few each.
        precision: ``"bf16"`` or ``"16"`` are faster than ``"32"`` where the hardware multiplies in them and move scores
            by up to about 0.01; ``"auto"`` takes bfloat16 where it does. The network is then a copy (see
            `folksong.models.inference`).
        thresholds: (n_labels,) from which score on a label is decided for, if they were tuned.

    Raises:
        FolksongError: labels, preset or window do not fit the network, or its weights are no finite numbers.
    """

    link: Callable[[Tensor], Tensor] = staticmethod(torch.sigmoid)
    """From logits to scores."""
    hears_long = True
    """Whether hours are heard as they are decoded, window by window."""

    def __init__(
        self,
        model: Tagger,
        labels: Iterable[str],
        audio: AudioInput,
        *,
        hop_seconds: float | None = None,
        device: str | torch.device | None = None,
        batch_size: int = BATCH_SIZE,
        precision: str = "auto",
        thresholds: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self.labels, self.thresholds = tuple(labels), thresholds
        self.audio, self.batch_size = audio, batch_size
        self.window_steps = audio.steps(audio.window_seconds)
        self.hop_steps = None if hop_seconds is None else audio.steps(hop_seconds)
        _check(model, self.labels, audio, self.window_steps, self.hop_steps)
        self.device = find_device(device)
        self.autocast = _autocast_type(precision, self.device)
        loaded = model.to(self.device).eval()
        self.model = loaded if self.autocast is None else prepared(loaded, self.autocast)

    def __repr__(self) -> str:
        kind = self.model.settings["front_end"]
        return f"LoadedTagger({kind}, {len(self.labels)} labels, windows of {self.audio.window_seconds:g} s)"

    @property
    def network(self) -> nn.Module:
        """What gives the logits."""
        return self.model

    @property
    def limits(self) -> npt.NDArray[np.float64]:
        """(n_labels,) from which score on a label is decided for: the tuned thresholds, or the usual one."""
        return np.full(len(self.labels), DEFAULT_THRESHOLD) if self.thresholds is None else self.thresholds

    def listen(self) -> None:
        """Give, in the place of scores, where recordings lie in the joint space of the network (Model 6)."""
        self.labels = tuple(map(str, range(listen(self.network))))
        self.link, self.thresholds = nn.Identity(), None

    def tag(self, file: str | os.PathLike[str], top: int | None = None) -> list[tuple[str, float]]:
        """Return a recording's (label, score) pairs, best first; at most `top`.

        Raises:
            AudioError: the file cannot be decoded; the message names it.
        """
        return self.predict(file).ranked(top)

    def scores(self, source: str | os.PathLike[str] | npt.ArrayLike) -> Scores:
        """Return the scores (n_labels,) float32 of a file, or of mono samples (n_samples,) at `sample_rate`.

        Raises:
            AudioError: the file cannot be decoded, or there are no samples.
        """
        if isinstance(source, str | os.PathLike):
            return self.predict(source).scores
        return self._heard(np.asarray(source, np.float32))

    def predict(self, file: str | os.PathLike[str]) -> Prediction:
        """Return what the tagger says of a recording; see `tag`."""
        return self._predict(file)

    def over_time(self, file: str | os.PathLike[str]) -> ScoresOverTime:
        """Return what the tagger says of each window of a recording, whose mean is its score; errors as of `tag`."""
        clip: Clip
        if is_long(file):
            clip = LongRecording(file, self.audio.sample_rate, self.audio.preset)
        else:
            clip = self.audio.clip(decode(file, self.audio.sample_rate))
        starts = window_starts(clip.n_steps, self.window_steps, self.hop_steps)
        rows = self._score(Window(clip, start, self.window_steps) for start in starts)
        seconds = np.array(starts) * (self.audio.window_seconds / self.window_steps)
        return ScoresOverTime(
            os.fspath(file), self.labels, seconds, self.audio.window_seconds, np.array(list(rows))
        )

    def predict_files(
        self,
        files: Iterable[str | os.PathLike[str]],
        *,
        on_error: Callable[[str, FolksongError], None] | None = None,
    ) -> Iterator[Prediction]:
        """Yield the prediction of each file, in order; as many files are in work as PyTorch uses threads.

        A file's scores never depend on the other files.

        Args:
            files: the recordings.
            on_error: called with a file that cannot be decoded and the reason, then the file is passed over; without
                it the error is raised.
        """
        waiting = iter(files)
        at_once = torch.get_num_threads()
        with (
            ThreadPoolExecutor(at_once, "folksong-file") as pool,
            listening_threads(self.device) as listeners,
        ):

            def begin(most: int) -> list[tuple[str | os.PathLike[str], Future[Prediction]]]:
                return [(file, pool.submit(self._predict, file, listeners)) for file in islice(waiting, most)]

            started = begin(at_once)
            try:
                while started:
                    file, future = started.pop(0)
                    started += begin(1)
                    try:
                        prediction = future.result()
                    except FolksongError as error:
                        if on_error is None:
                            raise
                        on_error(os.fspath(file), error)
                        continue
                    yield prediction
            finally:
                listeners.shutdown(wait=False, cancel_futures=True)

    def score_together(
        self, recordings: Iterable[npt.NDArray[np.float32]], threads: ThreadPoolExecutor
    ) -> Iterator[Scores]:
        """Yield the scores of recordings, in order, whose windows share batches.

        Args:
            recordings: (samples,), or (n_mels, frames) for a network with a preset, as `AudioInput.clip` makes them.
            threads: of `listening_threads`.
        """
        return self._score(map(ArrayClip, recordings), threads)

    def _heard(self, samples: npt.NDArray[np.float32], threads: ThreadPoolExecutor | None = None) -> Scores:
        """Return the scores of mono samples (n_samples,)."""
        (scores,) = self._score([self.audio.clip(samples)], threads)
        return scores

    def _score(self, clips: Iterable[Clip], threads: ThreadPoolExecutor | None = None) -> Iterator[Scores]:
        return score_clips(
            self.model,
            clips,
            window_steps=self.window_steps,
            hop_steps=self.hop_steps,
            batch_size=self.batch_size,
            autocast=self.autocast,
            threads=threads,
            link=self.link,
        )

    def _predict(self, file: str | os.PathLike[str], threads: ThreadPoolExecutor | None = None) -> Prediction:
        if self.hears_long and is_long(file):
            clip = LongRecording(file, self.audio.sample_rate, self.audio.preset)
            (scores,) = self._score([clip], threads)
            n_samples, peak = clip.n_samples, clip.peak
        else:
            samples = decode(file, self.audio.sample_rate)
            n_samples, peak = len(samples), float(np.abs(samples).max())
            try:
                scores = self._heard(samples, threads)
            except AudioError as error:
                raise AudioError(f"{file}: {error}") from error
        seconds = n_samples / self.audio.sample_rate
        return Prediction(os.fspath(file), seconds, self.labels, scores, silent=peak < SILENCE_PEAK)


def find_device(wanted: str | torch.device | None = None) -> torch.device:
    """Return the device wanted; None takes a GPU where there is one, else the CPU.

    Raises:
        FolksongError: there is no such device here.
    """
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise FolksongError(
            f"no device {str(wanted)!r} here ({first_line(error)}); 'cpu' always works"
        ) from error
    return device


def settled(scoring: Scoring, device: str | torch.device | None = None) -> Scoring:
    """Return a definition whose precision is the same on every machine: ``"auto"`` becomes what it is on this one."""
    gpu = find_device(device).type == "cuda"
    return scoring.replaced(precision=choose_precision(scoring.precision, gpu=gpu))


def _autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    types = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}
    chosen = choose_precision(precision, gpu=device.type == "cuda")
    if chosen not in types:
        raise FolksongError(f"precision {precision!r}; there are auto, {', '.join(types)}")
    return types[chosen]


def _check(
    model: Tagger, labels: tuple[str, ...], audio: AudioInput, window_steps: int, hop_steps: int | None
) -> None:
    settings, preset = model.settings, audio.preset
    if len(labels) != settings["n_labels"]:
        raise FolksongError(
            f"the network has {settings['n_labels']} outputs, but there are {len(labels)} labels"
        )
    log_mel_wanted = settings["front_end"] != "waveform"
    if log_mel_wanted != (preset is not None):
        needed = "needs a feature preset" if log_mel_wanted else "hears waveforms and takes no feature preset"
        raise FolksongError(f"the {settings['front_end']} network {needed}")
    if preset is not None and (preset.n_mels, preset.sample_rate) != (settings["n_mels"], audio.sample_rate):
        raise FolksongError(
            f"the feature preset {preset.name!r} gives {preset.n_mels} mel bands at {preset.sample_rate} Hz, but the "
            f"network takes {settings['n_mels']} bands of audio at {audio.sample_rate} Hz"
        )
    if window_steps < model.minimum_steps:
        raise FolksongError(
            f"a window of {window_steps} steps is too short: the network needs at least {model.minimum_steps}"
        )
    if hop_steps is not None and hop_steps < 1:
        raise FolksongError("the hop between windows is shorter than one step; choose a longer one")
    broken = [name for name, values in model.state_dict().items() if not torch.isfinite(values).all()]
    if broken:
        raise FolksongError(
            f"{len(broken)} of the network's arrays hold values that are no finite numbers ({broken[0]}, …): its "
            "training went wrong or the file was changed; train it again"
        )
