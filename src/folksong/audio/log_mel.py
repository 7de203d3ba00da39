"""Waveform -> log-mel-spectrogram, in float32, and the presets that say how.

A frame is `n_fft` samples around a multiple of `hop_length`, weighted by a periodic Hann window; the ends are padded by
``n_fft // 2`` samples (zeros, or the reflected signal). Its power spectrum goes through `n_mels` triangular filters
on Slaney's mel scale (linear below 1 kHz, logarithmic above), each of area 1 (Slaney's norm), from 0 Hz to half the
sample rate; then either decibels or log10(1 + gain · mel). Equal to ``librosa.feature.melspectrogram`` with
``librosa.power_to_db`` (ref 1) within 1e-3 dB. All of it is computed in float32: 10000 · mel overflows float16.

The presets live in `presets.json`. Decibels are cut off `top_db` below the loudest point of the *whole track*, so
`log_mel` is to be given a track, never a window of it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from folksong.errors import AudioError, FolksongError, nearest

Matrix = npt.NDArray[np.float32]

BLOCK_SAMPLES = 48 * 2048  # windowed at once: they stay in the second-level cache, and memory stays flat
BANDS_AT_ONCE = 16
CHUNK_FRAMES = 3072  # of a track that comes in blocks
# A float32 transform spreads an error over all bins that follows from the frame's mean power: in a band whose bins
# lie this far below it (53 dB) it can come to 1e-3 dB; such frames are transformed again in float64.
FAINT = 10**-5.3
LOUDEST = 1e12  # samples beyond it have a power that float32 cannot hold; full scale is 1
# Slaney's mel scale (Auditory Toolbox, 1998): 3 mels per 200 Hz up to 1 kHz, then 27 steps per factor of 6.4.
MEL_HZ_LINEAR = 200 / 3
MEL_BREAK_HZ = 1000.0
MEL_BREAK = MEL_BREAK_HZ / MEL_HZ_LINEAR
MEL_LOG_STEP = np.log(6.4) / 27

PadMode = Literal["constant", "reflect"]
Scaling = Literal["decibel", "log10"]


@dataclass(frozen=True)
class FeaturePreset:
    """How a log-mel-spectrogram is made. Stored beside whatever was made with it.

    Args:
        name: where the settings come from; two presets are the same only if all fields are.
        sample_rate: Hz.
        n_fft: samples in a frame.
        hop_length: samples from frame to frame.
        n_mels: number of mel bands.
        pad_mode: what lies beyond the ends: ``constant`` (zeros) or ``reflect``.
        scaling: ``decibel``: 10 log10(max(amin, mel)), then at least the track's maximum − top_db; ``log10``:
            log10(1 + gain · mel).
        amin: least power (``decibel``).
        top_db: range below the track's maximum in dB, or None for no limit (``decibel``).
        gain: factor before the logarithm (``log10``).
    """

    name: str
    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    pad_mode: PadMode = "constant"
    scaling: Scaling = "decibel"
    amin: float | None = 1e-10
    top_db: float | None = 80.0
    gain: float | None = None

    def __post_init__(self) -> None:
        for key in ("sample_rate", "n_fft", "hop_length", "n_mels"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise FolksongError(
                    f"feature preset {self.name!r}: {key} must be a whole number above 0, not {value!r}"
                )
        if self.n_fft % 2:
            raise FolksongError(f"feature preset {self.name!r}: n_fft must be even, not {self.n_fft}")
        for key, choices in (("pad_mode", get_args(PadMode)), ("scaling", get_args(Scaling))):
            if getattr(self, key) not in choices:
                raise FolksongError(
                    f"feature preset {self.name!r}: {key} must be {' or '.join(choices)}, not {getattr(self, key)!r}"
                )
        needed = "amin" if self.scaling == "decibel" else "gain"
        for key in ("amin", "top_db", "gain"):
            value = getattr(self, key)
            if (value is None and key == needed) or (value is not None and not 0 < value < float("inf")):
                raise FolksongError(
                    f"feature preset {self.name!r}: {key} must be a number above 0, not {value!r}"
                )

    @property
    def n_bins(self) -> int:
        """Frequencies of the spectrum: 1 + n_fft / 2."""
        return 1 + self.n_fft // 2

    def frames(self, seconds: float) -> int:
        """Return the number of frames of a window: ⌊seconds · rate / hop⌋."""
        return int(seconds * self.sample_rate / self.hop_length + 1e-9)

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames of a whole track of `n_samples`: 1 + ⌊n_samples / hop⌋."""
        return 1 + n_samples // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "FeaturePreset":
        """Rebuild a preset from `to_dict`."""
        known = [field.name for field in fields(cls)]
        if not isinstance(settings, Mapping):
            raise FolksongError(
                f"feature preset: settings by name belong here, not {type(settings).__name__}"
            )
        for key in settings:
            if key not in known:
                raise FolksongError(f"feature preset: unknown setting {key!r}{nearest(key, known)}")
        missing = [
            key for key in ("name", "sample_rate", "n_fft", "hop_length", "n_mels") if key not in settings
        ]
        if missing:
            raise FolksongError(f"feature preset: missing {', '.join(missing)}")
        return cls(**settings)


def window_steps(seconds: float, sample_rate: int, preset: FeaturePreset | None) -> int:
    """Return how many samples, or with a preset frames of a spectrogram, a window of `seconds` has."""
    return int(seconds * sample_rate + 1e-9) if preset is None else preset.frames(seconds)


def read_preset(name: str) -> FeaturePreset:
    """Return a preset by its name.

    >>> read_preset("urop2019").frames(15)
    468
    """
    presets = _preset_file()
    if name not in presets:
        raise FolksongError(
            f"no feature preset {name!r}; there are {', '.join(presets)}{nearest(name, list(presets))}"
        )
    settings = {key: value for key, value in presets[name].items() if key != "about"}
    return FeaturePreset(name=name, **settings)


@lru_cache(maxsize=1)
def _preset_file() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = json.loads(
        resources.files("folksong.audio").joinpath("presets.json").read_text(encoding="utf-8")
    )
    return content


@lru_cache(maxsize=8)
def analysis_window(n_fft: int) -> Matrix:
    """Return the periodic Hann window: (n_fft,) float32, 0.5 − 0.5 cos(2πn / n_fft)."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window.flags.writeable = False
    return window


@lru_cache(maxsize=8)
def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int) -> Matrix:
    """Return the mel filters as a matrix: (n_mels, 1 + n_fft // 2) float32, ``mel = matrix @ power_spectrum``.

    Triangles between neighbouring points of `n_mels` + 2 points spaced evenly on Slaney's mel scale from 0 Hz to
    half the sample rate, each scaled to area 1 over the frequency in Hz.
    """
    top_mel = _hz_to_mel(sample_rate / 2)
    edges_hz = _mel_to_hz(np.linspace(0.0, top_mel, n_mels + 2))
    bins_hz = np.arange(1 + n_fft // 2) * (sample_rate / n_fft)
    rising = (bins_hz[None, :] - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    falling = (edges_hz[2:, None] - bins_hz[None, :]) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    matrix: Matrix = (triangles * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def _hz_to_mel(hz: float) -> float:
    if hz < MEL_BREAK_HZ:
        return hz / MEL_HZ_LINEAR
    return float(MEL_BREAK + np.log(hz / MEL_BREAK_HZ) / MEL_LOG_STEP)


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logarithmic = MEL_BREAK_HZ * np.exp(MEL_LOG_STEP * (np.maximum(mel, MEL_BREAK) - MEL_BREAK))
    return np.where(mel < MEL_BREAK, mel * MEL_HZ_LINEAR, logarithmic)


def log_mel(waveform: npt.ArrayLike, preset: FeaturePreset) -> Matrix:
    """Return the log-mel-spectrogram of a whole track.

    Args:
        waveform: (n_samples,) mono samples at `preset.sample_rate`, full scale ±1.
        preset: how.

    Returns:
        (n_mels, 1 + n_samples // hop_length) float32.

    Raises:
        AudioError: no samples, more than one dimension, or samples that are not finite.
    """
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise AudioError(f"a waveform must be mono, of shape (n_samples,), not {samples.shape}")
    if not len(samples):
        raise AudioError("a waveform of 0 samples has no spectrogram")
    if not max(samples.max(), -samples.min()) < LOUDEST:  # also true of NaN
        raise AudioError(
            "the waveform holds samples that are not finite numbers, or far over full scale (±1)"
        )
    mel = _scaled_bands(_frames(samples, preset), preset)
    if preset.scaling == "decibel" and preset.top_db is not None:
        np.maximum(mel, mel.max() - np.float32(preset.top_db), out=mel)
    return mel


def log_mel_blocks(blocks: Iterable[Matrix], preset: FeaturePreset) -> Iterator[Matrix]:
    """Yield the log-mel-spectrogram, (n_mels, n_frames) each, of a track that comes in blocks (n,), without a floor.

    The floor that `top_db` sets hangs on the loudest point of the whole track: ``np.maximum(block, maximum - top_db)``
    makes it `log_mel`'s, within rounding.
    """
    n_fft, hop, half = preset.n_fft, preset.hop_length, preset.n_fft // 2
    unlimited = replace(preset, top_db=None)
    at_once = CHUNK_FRAMES * hop + n_fft
    waiting: list[Matrix] = []
    n_waiting = n_samples = 0
    padded = False
    for block in blocks:
        waiting.append(np.array(block, np.float32))
        n_waiting += len(block)
        n_samples += len(block)
        if n_waiting < at_once:
            continue
        samples = np.concatenate(waiting)
        if not padded:
            samples, padded = np.pad(samples, (half, 0), mode=preset.pad_mode), True
        n_frames = (len(samples) - n_fft - half) // hop  # what the end may need for its reflection stays
        yield _scaled_bands([(0, _sliding(samples, n_fft, hop)[:n_frames])], unlimited)
        waiting, n_waiting = [samples[n_frames * hop :]], len(samples) - n_frames * hop
    if n_samples:
        samples = np.concatenate(waiting)
        samples = np.pad(samples, (0 if padded else half, half), mode=preset.pad_mode)
        yield _scaled_bands([(0, _sliding(samples, n_fft, hop))], unlimited)


def _scaled_bands(pieces: Sequence[tuple[int, Matrix]], preset: FeaturePreset) -> Matrix:
    """Return the scaled bands of `_frames`' pieces, not yet cut off below the loudest: (n_mels, n_frames)."""
    mel = np.empty((preset.n_mels, sum(len(frames) for _, frames in pieces)), np.float32)
    for first, frames in pieces:
        _mel_power(frames, preset, mel[:, first : first + len(frames)])
    if preset.scaling == "log10":
        assert preset.gain is not None
        mel *= np.float32(preset.gain)
        mel += np.float32(1)
        return np.log10(mel, out=mel)
    assert preset.amin is not None
    faint = _faint_frames(mel, preset)
    for first, frames in pieces:
        chosen = faint[(faint >= first) & (faint < first + len(frames))]
        if len(chosen):
            mel[:, chosen] = _mel_power_of_faint(frames, chosen - first, preset)
    np.maximum(mel, np.float32(preset.amin), out=mel)
    np.log10(mel, out=mel)
    mel *= np.float32(10)
    return mel


def _frames(samples: Matrix, preset: FeaturePreset) -> list[tuple[int, Matrix]]:
    """Return all frames in order as (number of the first, (n, n_fft) view) pieces.

    Only the ends are copied to be padded; the frames in the middle are a view of the samples.
    """
    n_fft, hop = preset.n_fft, preset.hop_length
    half = n_fft // 2
    last = preset.n_frames(len(samples))
    begin = -(-half // hop)  # the first frame that lies wholly inside
    end = (len(samples) - half) // hop + 1
    if end <= begin:
        return [(0, _sliding(np.pad(samples, half, mode=preset.pad_mode), n_fft, hop)[:last])]
    left = np.pad(samples[: begin * hop + n_fft], (half, 0), mode=preset.pad_mode)
    tail = end * hop - half
    right = np.pad(samples[min(tail, len(samples) - n_fft) :], (0, half), mode=preset.pad_mode)
    right = right[max(0, tail - (len(samples) - n_fft)) :]
    pieces = [
        (0, _sliding(left, n_fft, hop)[:begin]),
        (begin, _sliding(samples[begin * hop - half :], n_fft, hop)[: end - begin]),
    ]
    return pieces if end == last else [*pieces, (end, _sliding(right, n_fft, hop)[: last - end])]


def _sliding(samples: Matrix, n_fft: int, hop_length: int) -> Matrix:
    return np.lib.stride_tricks.sliding_window_view(samples, n_fft)[::hop_length]


def _mel_power(frames: Matrix, preset: FeaturePreset, mel: Matrix) -> None:
    """Fill `mel` (n_mels, n_frames) with the power of frames (n_frames, n_fft)."""
    from scipy.fft import rfft

    window = analysis_window(preset.n_fft)
    at_once = max(1, BLOCK_SAMPLES // preset.n_fft)
    weighted = np.empty((at_once, preset.n_fft), np.float32)
    magnitudes = np.empty((at_once, preset.n_bins), np.float32)
    for start in range(0, len(frames), at_once):
        chosen = frames[start : start + at_once]
        np.multiply(chosen, window, out=weighted[: len(chosen)])
        spectrum = rfft(weighted[: len(chosen)], axis=1, overwrite_x=True)
        power = np.abs(spectrum, out=magnitudes[: len(chosen)])
        np.multiply(power, power, out=power)
        _filter(power, preset, mel[:, start : start + len(chosen)])


def _mel_power_of_faint(frames: Matrix, chosen: npt.NDArray[np.int64], preset: FeaturePreset) -> Matrix:
    """Return the power of some frames, (n_mels, n_chosen), transformed in float64.

    Only the transform's sums lose what is faint; the powers themselves are float32.
    """
    from scipy.fft import rfft

    window = analysis_window(preset.n_fft).astype(np.float64)
    mel = np.empty((preset.n_mels, len(chosen)), np.float32)
    at_once = max(1, BLOCK_SAMPLES // preset.n_fft // 2)
    for start in range(0, len(chosen), at_once):
        spectrum = rfft(frames[chosen[start : start + at_once]] * window, axis=1, overwrite_x=True)
        squares = spectrum.view(np.float64)
        np.multiply(squares, squares, out=squares)
        power = np.add(squares[:, ::2], squares[:, 1::2], dtype=np.float32, casting="same_kind")
        _filter(power, preset, mel[:, start : start + len(power)])
    return mel


def _filter(power: Matrix, preset: FeaturePreset, mel: Matrix) -> None:
    """Fill `mel` (n_mels, n_frames) with the bands of a power spectrum (n_frames, n_bins)."""
    for bands, bins, filters in _filter_groups(preset.sample_rate, preset.n_fft, preset.n_mels):
        mel[bands] = filters @ power[:, bins].T


@lru_cache(maxsize=8)
def _filter_groups(sample_rate: int, n_fft: int, n_mels: int) -> list[tuple[slice, slice, Matrix]]:
    """Return the filterbank cut into groups of bands, each with the bins that it uses: a third of the products."""
    matrix = mel_filterbank(sample_rate, n_fft, n_mels)
    groups = []
    for first in range(0, n_mels, BANDS_AT_ONCE):
        bands = slice(first, min(first + BANDS_AT_ONCE, n_mels))
        used = np.flatnonzero(matrix[bands].any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        groups.append((bands, bins, np.ascontiguousarray(matrix[bands, bins])))
    return groups


def _faint_frames(mel: Matrix, preset: FeaturePreset) -> npt.NDArray[np.int64]:
    """Return the frames with a band that float32 knows too little of and that the decibel floor will not cover."""
    assert preset.amin is not None
    floor = preset.amin
    if preset.top_db is not None:
        floor = max(floor, float(mel.max()) * 10 ** (-preset.top_db / 10))
    weights, shares = _band_weights(preset.sample_rate, preset.n_fft, preset.n_mels)
    mean = np.einsum("b,bt->t", shares, mel)  # not by BLAS, whose sums depend on the number of threads
    faint = mel < weights[:, None] * (FAINT * mean)  # a band's mean power a bin is its mel / weight
    return np.flatnonzero(((mel > floor) & faint).any(axis=0))


@lru_cache(maxsize=8)
def _band_weights(sample_rate: int, n_fft: int, n_mels: int) -> tuple[Matrix, Matrix]:
    """Return the sum of each filter's weights, (n_mels,), and the bands' shares in a frame's mean power, (n_mels,)."""
    weights = mel_filterbank(sample_rate, n_fft, n_mels).sum(axis=1)
    peaks = mel_filterbank(sample_rate, n_fft, n_mels).max(axis=1)
    # Filters that rise to 1 would sum to about 1 at each bin: scaled so, the bands add up to the whole power.
    shares = np.divide(1, peaks, out=np.zeros_like(peaks), where=peaks > 0) / np.float32(1 + n_fft // 2)
    return weights, shares
