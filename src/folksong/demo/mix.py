"""The mix: levels, stereo places, a room, and the sound of an era's records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

from folksong.demo.recipes import Era
from folksong.demo.tones import Samples

TILT_ABOVE_HZ = 2000.0
PEAK = 0.89
"""Largest sample of a finished piece (-1 dB)."""


def levelled(part: Samples, level: float) -> Samples:
    """Scale a part so that its loud passages lie at `level`."""
    loud = float(np.percentile(np.abs(part[::16]), 97.0))
    return part * np.float32(level / loud) if loud > 1e-6 else part


def overdriven(part: Samples, drive: float, low_pass: float, sample_rate: int) -> Samples:
    """Bend a part's waveform (drive 0 leaves it), then take off what a loudspeaker would not pass on."""
    if drive:
        loud = float(np.percentile(np.abs(part[::16]), 97.0)) + 1e-9
        part = np.tanh(part * np.float32(drive / loud))
    if low_pass:
        part = filtered(part, sample_rate, low_pass=low_pass)
    return part


def filtered(
    signal: Samples, sample_rate: int, *, high_pass: float = 0.0, low_pass: float = 0.0, tilt: float = 0.0
) -> Samples:
    """Filter without phase shift: slopes of 24 dB an octave, and `tilt` dB above 2 kHz."""
    size = next_fast_len(len(signal), real=True)
    bins = np.fft.rfftfreq(size, 1.0 / sample_rate).astype(np.float32)
    gain = np.ones(len(bins), np.float32)
    if high_pass:
        gain *= 1.0 / (1.0 + (high_pass / np.maximum(bins, 1.0)) ** 4)
    if low_pass:
        gain *= 1.0 / (1.0 + (bins / low_pass) ** 4)
    if tilt:
        gain *= 10.0 ** (tilt / 20.0 / (1.0 + (TILT_ABOVE_HZ / np.maximum(bins, 1.0)) ** 2))
    return np.asarray(irfft(rfft(signal, size) * gain, size)[: len(signal)], np.float32)


def placed(parts: list[tuple[Samples, float]], n_channels: int) -> npt.NDArray[np.float32]:
    """Sum parts into channels, (n_channels, n_samples); a place runs from -1 (left) to 1 (right)."""
    out = np.zeros((n_channels, len(parts[0][0])), np.float32)
    for part, place in parts:
        if n_channels == 1:
            out[0] += part
        else:
            angle = (place + 1.0) * np.pi / 4.0
            out[0] += np.float32(np.sqrt(2.0) * np.cos(angle)) * part
            out[1] += np.float32(np.sqrt(2.0) * np.sin(angle)) * part
    return out


def with_room(
    mix: npt.NDArray[np.float32], share: float, sample_rate: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Add the reverberation of a room: exponentially falling noise, longer and louder the larger `share` (0 to 1)."""
    if share <= 0.0:
        return mix
    length = int((0.5 + 2.0 * share) * sample_rate)
    fall = np.exp(-6.0 * np.arange(length, dtype=np.float32) / length)
    size = next_fast_len(mix.shape[1] + length, real=True)
    dry = rfft(mix.mean(axis=0), size)
    wet = np.empty_like(mix)
    for channel in wet:
        response = fall * rng.standard_normal(length, dtype=np.float32)
        response = lfilter([0.35], [1.0, -0.65], response).astype(np.float32)
        response[0] = 0.0
        response /= np.sqrt((response**2).sum())
        channel[:] = irfft(dry * rfft(response, size), size)[: mix.shape[1]]
    return mix + np.float32(1.1 * share) * wet


def as_in_era(
    mix: npt.NDArray[np.float32], era: Era, sample_rate: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Give a mix the sound of an era: tape, bandwidth, hiss, crackle and loudness."""
    mix = mix / np.float32(np.abs(mix).max() + 1e-9)
    n_samples = mix.shape[1]
    if era.wow:
        depth = (2.0 ** (era.wow / 1200.0) - 1.0) / (2 * np.pi * 0.8) * sample_rate
        times = np.arange(n_samples)
        positions = times + depth * np.sin(2 * np.pi * (0.8 * times / sample_rate + rng.random()))
        mix = np.stack([np.interp(positions, times, channel) for channel in mix]).astype(np.float32)
    if era.saturation:
        strength = np.float32(2.0 * era.saturation)
        mix = np.tanh(strength * mix) / strength
    if era.squeeze:
        mix = _squeezed(mix, era.squeeze, sample_rate)
    if era.high_pass or era.low_pass or era.tilt:
        mix = np.stack(
            [
                filtered(channel, sample_rate, high_pass=era.high_pass, low_pass=era.low_pass, tilt=era.tilt)
                for channel in mix
            ]
        )
    mix = mix / np.float32(np.abs(mix).max() + 1e-9)
    if era.hiss:
        mix = mix + np.float32(10.0 ** (era.hiss / 20.0)) * rng.standard_normal(mix.shape, dtype=np.float32)
    if era.crackle:
        clicks = rng.integers(n_samples - 32, size=rng.poisson(era.crackle * n_samples / sample_rate))
        shape = np.hanning(8).astype(np.float32)
        for click in clicks:
            mix[:, click : click + 8] += np.float32(rng.uniform(-0.35, 0.35)) * shape
    return np.asarray(mix, np.float32)


def finished(mix: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float32]:
    """Fade in and out and bring the peak to -1 dB."""
    fade = int(0.02 * sample_rate)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    mix = mix - mix.mean(axis=1, keepdims=True)
    mix[:, :fade] *= ramp
    mix[:, -fade:] *= ramp[::-1]
    return np.asarray(mix * np.float32(PEAK / (np.abs(mix).max() + 1e-9)), np.float32)


def _squeezed(mix: npt.NDArray[np.float32], strength: float, sample_rate: int) -> npt.NDArray[np.float32]:
    """Even out the loudness, as records of the loudness war do, and clip what sticks out."""
    keep = float(np.exp(-1.0 / (0.02 * sample_rate)))
    level = lfilter([1.0 - keep], [1.0, -keep], np.abs(mix).max(axis=0))
    gain = (level + 0.02) ** -strength
    louder = mix * gain.astype(np.float32)
    return np.asarray(np.tanh(louder), np.float32)
