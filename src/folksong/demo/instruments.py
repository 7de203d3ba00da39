"""Instruments: tones as banks of damped sine partials, and percussion from swept sines, noise and inharmonic metal.

A tone is the real part of ``sum_k a_k exp((i w_k - d_k) n)``. Cutting time into blocks of b samples turns the sum
into one matrix product, ``exp(z_k b q) @ exp(z_k r)`` with n = b q + r, which is far quicker than a sine a partial.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from folksong.demo.recipes import Stroke, Timbre
from folksong.demo.score import Grid, Note, onsets

Samples = npt.NDArray[np.float32]
VIBRATO_HZ = 5.5
TREMOLO_HZ = 6.0
NYQUIST_SHARE = 0.45
"""Partials above this share of the sample rate are left out."""
METAL_RATIOS = np.array([1.0, 1.342, 1.513, 1.785, 2.093, 2.483, 2.931])
"""Partials of a struck plate: no two in a simple ratio."""
LOUDNESS = {"kick": 1.0, "snare": 0.75, "hat": 0.38, "extra": 0.45}


@dataclass(frozen=True)
class Touch:
    """How a piece is played: a tilt of the partials, further attack in seconds, a detuning in cents."""

    brightness: float = 0.0
    attack: float = 0.0
    detune: float = 0.0


def hertz(pitch: float) -> float:
    """Return the frequency of a MIDI pitch in Hz; 69 is 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


def partial_bank(
    frequencies: npt.NDArray[np.float64],
    amplitudes: npt.NDArray[np.complex128],
    rates: npt.NDArray[np.float64],
    n_samples: int,
    sample_rate: int,
) -> Samples:
    """Return the sum of damped sines, (n_samples,): (n_partials,) Hz, complex amplitudes, decay rates in 1/s."""
    exponents = (2j * np.pi * frequencies - rates) / sample_rate
    block = int(np.ceil(np.sqrt(n_samples)))
    coarse = np.exp(np.outer(np.arange(0, n_samples, block), exponents)) * amplitudes
    fine = np.exp(np.outer(exponents, np.arange(block)))
    product = coarse.astype(np.complex64) @ fine.astype(np.complex64)
    return np.ascontiguousarray(product.real).ravel()[:n_samples]


def render_tone(
    timbre: Timbre, pitch: float, seconds: float, sample_rate: int, rng: np.random.Generator, touch: Touch
) -> Samples:
    """Return one tone at velocity 1: its duration and, after it, its release."""
    frequency = hertz(pitch + touch.detune / 100.0)
    numbers = np.arange(1, timbre.partials + 1)
    numbers = numbers[numbers * frequency < NYQUIST_SHARE * sample_rate]
    strengths = numbers ** -(timbre.rolloff - touch.brightness) * np.where(numbers % 2, 1.0, timbre.even)
    strengths /= np.sqrt((strengths**2).sum() + 1e-12)
    cents = np.linspace(-timbre.spread, timbre.spread, timbre.unison) if timbre.unison > 1 else np.zeros(1)
    copies = 2.0 ** (cents / 1200.0)
    overtones = numbers * np.sqrt(1.0 + timbre.stretch * numbers**2) * frequency
    rates = (1.0 + timbre.damping * (numbers - 1)) / timbre.decay if timbre.decay else np.zeros(len(numbers))
    n_samples = max(int((seconds + timbre.release) * sample_rate), 64)
    phases = np.exp(2j * np.pi * rng.random((timbre.unison, len(numbers))))
    tone = partial_bank(
        np.outer(copies, overtones).ravel(),
        (phases * strengths / np.sqrt(timbre.unison)).ravel(),
        np.tile(rates, timbre.unison),
        n_samples,
        sample_rate,
    )
    times = np.arange(n_samples, dtype=np.float32) / np.float32(sample_rate)
    if timbre.vibrato:
        tone = _with_vibrato(tone, timbre.vibrato, times, sample_rate, float(rng.random()))
    if timbre.breath:
        tone = tone + timbre.breath * _coloured_noise(rng, n_samples, sample_rate, frequency)
    tone *= _envelope(n_samples, timbre.attack + touch.attack, timbre.release, sample_rate)
    if timbre.tremolo:
        tone *= 1.0 - timbre.tremolo * (0.5 + 0.5 * np.sin(2 * np.pi * TREMOLO_HZ * times))
    if timbre.click:
        length = min(int(0.012 * sample_rate), n_samples)
        fall = np.linspace(1.0, 0.0, length, dtype=np.float32) ** 2
        tone[:length] += timbre.click * fall * rng.standard_normal(length, dtype=np.float32)
    return tone


def render_part(
    timbre: Timbre,
    notes: list[Note],
    n_samples: int,
    sample_rate: int,
    rng: np.random.Generator,
    touch: Touch,
) -> Samples:
    """Return a part, (n_samples,): every note rendered once a pitch and length, then added where it occurs."""
    out = np.zeros(n_samples, np.float32)
    tones: dict[tuple[float, int], Samples] = {}
    for note in notes:
        key = (note.pitch, round(note.duration * 100))
        if key not in tones:
            tones[key] = render_tone(timbre, note.pitch, note.duration, sample_rate, rng, touch)
        start = int(note.start * sample_rate)
        stretch = out[start : start + len(tones[key])]
        stretch += note.velocity * tones[key][: len(stretch)]
    return out


def _envelope(n_samples: int, attack: float, release: float, sample_rate: int) -> Samples:
    envelope = np.ones(n_samples, np.float32)
    rise = min(max(int(attack * sample_rate), 8), n_samples // 2)
    fall = min(max(int(release * sample_rate), 8), n_samples // 2)
    envelope[:rise] = np.linspace(0.0, 1.0, rise, dtype=np.float32)
    envelope[-fall:] *= np.linspace(1.0, 0.0, fall, dtype=np.float32) ** 2
    return envelope


def _with_vibrato(tone: Samples, cents: float, times: Samples, sample_rate: int, phase: float) -> Samples:
    """Shift time back and forth, which bends all partials alike; the vibrato sets in after 0.15 s."""
    depth = (2.0 ** (cents / 1200.0) - 1.0) / (2 * np.pi * VIBRATO_HZ) * sample_rate
    onset = np.clip(times / 0.3 - 0.5, 0.0, 1.0)
    positions = np.arange(len(tone)) + depth * onset * np.sin(2 * np.pi * (VIBRATO_HZ * times + phase))
    return np.asarray(np.interp(positions, np.arange(len(tone)), tone), np.float32)


def _coloured_noise(rng: np.random.Generator, n_samples: int, sample_rate: int, frequency: float) -> Samples:
    """Return noise of variance near 1, strongest between the tone and about 4 kHz."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    bins = np.fft.rfftfreq(n_samples, 1.0 / sample_rate)
    shape = (bins / (bins + frequency)) / (1.0 + (bins / 4000.0) ** 2)
    return np.asarray(np.fft.irfft(spectrum * shape, n_samples), np.float32)


def render_stroke(stroke: Stroke, sample_rate: int, rng: np.random.Generator, tuning: float = 1.0) -> Samples:
    """Return one stroke; `tuning` scales its frequencies, which gives every artist a drum kit of their own."""
    longest = max(
        5.0 * stroke.tone_decay * (stroke.tone > 0),
        5.0 * stroke.noise_decay * (stroke.noise > 0),
        0.6 * (stroke.metal > 0),
    )
    times = np.arange(int(min(longest, 1.5) * sample_rate)) / sample_rate
    sound = np.zeros(len(times))
    if stroke.tone:
        base = stroke.tone * tuning
        bend = (stroke.sweep - 1.0) * stroke.sweep_time * (1.0 - np.exp(-times / stroke.sweep_time))
        sound += np.sin(2 * np.pi * base * (times + bend)) * np.exp(-times / stroke.tone_decay)
    if stroke.noise:
        noise = _band(rng.standard_normal(len(times)), stroke.low * tuning, stroke.high * tuning, sample_rate)
        if stroke.gate:
            noise *= times < stroke.gate
        sound += stroke.noise * noise * np.exp(-times / stroke.noise_decay)
    if stroke.metal:
        partials = METAL_RATIOS * stroke.metal_hz * tuning
        partials = partials[partials < 0.45 * sample_rate]
        ring = np.sin(2 * np.pi * np.outer(partials, times) + rng.random((len(partials), 1)) * 6.28).mean(
            axis=0
        )
        sound += 2.0 * stroke.metal * ring * np.exp(-times / 0.12)
    rise = min(int(0.001 * sample_rate), len(sound))
    sound[:rise] *= np.linspace(0.0, 1.0, rise)
    return sound.astype(np.float32)


def render_drums(
    kit: Mapping[str, Stroke],
    pattern: Mapping[str, str],
    grid: Grid,
    n_samples: int,
    sample_rate: int,
    rng: np.random.Generator,
    tuning: float,
) -> Samples:
    """Return the drum part of a piece, (n_samples,): the lines of a pattern played by a kit, with a human touch."""
    out = np.zeros(n_samples, np.float32)
    for line, stroke in kit.items():
        if not pattern.get(line):
            continue
        sound = render_stroke(stroke, sample_rate, rng, tuning)
        for onset in onsets(pattern[line], grid, n_samples / sample_rate):
            level = LOUDNESS[line] * onset.velocity * rng.uniform(0.88, 1.0)
            start = max(int((onset.seconds + rng.normal(0.0, 0.002)) * sample_rate), 0)
            stretch = out[start : start + len(sound)]
            stretch += np.float32(level) * sound[: len(stretch)]
    return out


def _band(
    noise: npt.NDArray[np.float64], low: float, high: float, sample_rate: int
) -> npt.NDArray[np.float64]:
    """Keep a band of noise and scale it back to variance 1."""
    top = 0.47 * sample_rate
    edges = [min(max(low, 20.0), 0.6 * top), min(max(high, 2 * low, 100.0), top)]
    kept = sosfilt(butter(2, edges, btype="bandpass", fs=sample_rate, output="sos"), noise)
    return np.asarray(kept / (kept.std() + 1e-9))
