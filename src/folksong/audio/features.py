"""Waveform -> log-mel-spectrogram, in float32, and the presets that say how.

A frame is `n_fft` samples around a multiple of `hop_length`, weighted by a periodic Hann window; the ends are padded by
``n_fft // 2`` samples (zeros, or the reflected signal). Its power spectrum goes through `n_mels` triangular filters
on Slaney's mel scale (linear below 1 kHz, logarithmic above), each of area 1 (Slaney's norm), from 0 Hz to half the
sample rate; then either decibels or log10(1 + gain · mel). Equal to ``librosa.feature.melspectrogram`` with
``librosa.power_to_db`` (ref 1) within 1e-3 dB. All of it is computed in float32: 10000 · mel overflows float16.

The presets live in `presets.json`. Decibels are cut off `top_db` below the loudest point of the *whole track*, so
`log_mel` is to be given a track, never a window of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from folksong.errors import AudioError, FolksongError, nearest

Matrix = npt.NDArray[np.float32]
PadMode = Literal["constant", "reflect"]
Scaling = Literal["decibel", "log10"]

BLOCK_FRAMES = 128  # keeps the frames of one block in the second-level cache and memory flat
# A float32 transform carries an error of about 1e-7 of the frame's loudest band into every band, which for a band
# this far below it (72 dB, as power) comes near 1e-3 dB; such frames are transformed again in float64.
FAINT = 10**-7.2
LOUDEST = 1e12  # samples beyond it have a power that float32 cannot hold; full scale is 1
# Slaney's mel scale (Auditory Toolbox, 1998): 3 mels per 200 Hz up to 1 kHz, then 27 steps per factor of 6.4.
MEL_HZ_LINEAR = 200 / 3
MEL_BREAK_HZ = 1000.0
MEL_BREAK = MEL_BREAK_HZ / MEL_HZ_LINEAR
MEL_LOG_STEP = np.log(6.4) / 27


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

    Raises:
        FolksongError: a value that makes no spectrogram.
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
    def from_dict(cls, settings: Mapping[str, Any]) -> FeaturePreset:
        """Rebuild a preset from `to_dict`.

        Raises:
            FolksongError: a key is unknown or missing; the message names the nearest known one.
        """
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise FolksongError(f"feature preset: unknown setting {key!r}{nearest(key, known)}")
        missing = [
            key for key in ("name", "sample_rate", "n_fft", "hop_length", "n_mels") if key not in settings
        ]
        if missing:
            raise FolksongError(f"feature preset: missing {', '.join(missing)}")
        return cls(**settings)


@lru_cache(maxsize=1)
def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that come with folksong."""
    return tuple(_preset_file())


def read_preset(name: str) -> FeaturePreset:
    """Return a preset by its name.

    >>> read_preset("urop2019").frames(15)
    468

    Raises:
        FolksongError: no such preset; the message lists those there are.
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
    window = analysis_window(preset.n_fft)
    padded = np.pad(samples, preset.n_fft // 2, mode=preset.pad_mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, preset.n_fft)[:: preset.hop_length]
    mel = _mel_power(frames, window, preset)
    if not np.isfinite(mel).all():
        raise AudioError(
            "the waveform holds samples that are not finite numbers, or far over full scale (±1)"
        )
    if preset.scaling == "log10":
        assert preset.gain is not None
        mel *= np.float32(preset.gain)
        mel += np.float32(1)
        return np.log10(mel, out=mel)
    assert preset.amin is not None
    faint = _faint_frames(mel, preset.amin, preset.top_db)
    if len(faint):
        mel[:, faint] = _mel_power(frames, window.astype(np.float64), preset, faint)
    np.maximum(mel, np.float32(preset.amin), out=mel)
    np.log10(mel, out=mel)
    mel *= np.float32(10)
    if preset.top_db is not None:
        np.maximum(mel, mel.max() - np.float32(preset.top_db), out=mel)
    return mel


def _mel_power(
    frames: Matrix,
    window: npt.NDArray[np.floating[Any]],
    preset: FeaturePreset,
    which: npt.NDArray[np.int64] | None = None,
) -> Matrix:
    """Return (n_mels, n_frames) float32 mel power of all frames or of `which`, in the precision of the window."""
    from scipy.fft import rfft

    filters = mel_filterbank(preset.sample_rate, preset.n_fft, preset.n_mels)
    n_frames = len(frames) if which is None else len(which)
    mel = np.empty((preset.n_mels, n_frames), np.float32)
    for start in range(0, n_frames, BLOCK_FRAMES):
        block = slice(start, start + BLOCK_FRAMES)
        spectrum = rfft(frames[block if which is None else which[block]] * window, axis=1, overwrite_x=True)
        parts = spectrum.view(window.dtype).reshape(*spectrum.shape, 2)
        np.multiply(parts, parts, out=parts)
        power = (parts[..., 0] + parts[..., 1]).astype(np.float32, copy=False)
        mel[:, block] = filters @ power.T
    return mel


def _faint_frames(mel: Matrix, amin: float, top_db: float | None) -> npt.NDArray[np.int64]:
    """Return the frames with a band that float32 knows too little of and that the decibel floor will not cover."""
    floor = amin if top_db is None else max(amin, float(mel.max()) * 10 ** (-top_db / 10))
    return np.flatnonzero(((mel > floor) & (mel < mel.max(axis=0) * np.float32(FAINT))).any(axis=0))
