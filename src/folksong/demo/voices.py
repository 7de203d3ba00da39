"""Voice-like sounds: a pulse train (the glottis) through formants (the mouth), with consonants of noise.

The formants of a vowel are applied to the whole part at once in the frequency domain; the syllables then choose among
the vowels. Vowels follow the averages of Peterson and Barney (1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

from folksong.demo.instruments import Samples, hertz
from folksong.demo.recipes import Sex, VoiceStyle, Vowel

Array = npt.NDArray[np.float64]
FORMANT_BANDWIDTH_HZ = (90.0, 110.0, 160.0, 220.0)
GLIDE_SECONDS = 0.025
FALL_SEMITONES = 4.0
"""How far the pitch of a spoken syllable falls."""
CONSONANT_SECONDS = 0.045
DRIFT_SEMITONES = 0.08
CONTROL_SAMPLES = 32


@dataclass(frozen=True)
class Syllable:
    """A syllable: start and duration in seconds, a MIDI pitch for each singer in turn, velocity."""

    start: float
    duration: float
    pitches: tuple[float, ...]
    velocity: float


def render_voice(
    vowels: list[Vowel],
    style: VoiceStyle,
    sex: Sex,
    syllables: list[Syllable],
    n_samples: int,
    sample_rate: int,
    rng: np.random.Generator,
    formants: float = 1.0,
) -> Samples:
    """Return a sung or spoken part, (n_samples,). `formants` scales them: the size of this singer's head."""
    clock = Clock(n_samples, sample_rate)
    gate = clock.held(syllables, [syllable.velocity for syllable in syllables], rest=0.0, seconds=0.015)
    source = np.zeros(n_samples, np.float32)
    for singer in range(style.singers):
        cents = rng.uniform(-style.spread, style.spread)
        frequency = _pitch_curve(style, syllables, clock, rng, singer, cents)
        source += _pulses(frequency, sample_rate, rng.random()) / np.float32(np.sqrt(style.singers))
    if style.breath:
        source += np.float32(0.6 * style.breath) * rng.standard_normal(n_samples, dtype=np.float32)
    if style.rasp:
        roughness = clock.noise(rng, 0.002)
        source *= clock.at_samples(1.0 + style.rasp * np.clip(roughness, -1.0, 1.0))
    chosen = [vowels[number] for number in rng.permutation(len(vowels))[:3]]
    shaped = _through_vowels(source * gate, chosen, sex.formants * formants, syllables, clock, rng)
    if style.rasp > 0.5:
        shaped = np.tanh(np.float32(3.0 * style.rasp / (np.abs(shaped).max() + 1e-9)) * shaped)
    shaped /= np.sqrt((shaped**2).mean() / max(float(gate.mean()), 1e-3)) + np.float32(1e-9)
    consonants = _consonants(style, syllables, n_samples, sample_rate, rng)
    return np.asarray(np.float32(0.25) * (shaped + consonants), np.float32)


@dataclass(frozen=True)
class Clock:
    """Slow curves (pitch, loudness) are drawn at one value in 32 samples and interpolated."""

    n_samples: int
    sample_rate: int

    @property
    def times(self) -> Array:
        """When the slow values lie, in seconds."""
        return np.arange(0, self.n_samples + CONTROL_SAMPLES, CONTROL_SAMPLES) / self.sample_rate

    def at_samples(self, values: Array) -> Samples:
        """Interpolate a slow curve at every sample, (n_samples,)."""
        places = np.arange(len(values)) * float(CONTROL_SAMPLES)
        return np.interp(np.arange(self.n_samples), places, values).astype(np.float32)

    def smooth(self, values: Array, seconds: float) -> Array:
        """Smooth a slow curve twice by a one-pole low-pass of that time constant, from its first value on."""
        keep = float(np.exp(-2.0 * CONTROL_SAMPLES / (seconds * self.sample_rate)))
        once = lfilter([1.0 - keep], [1.0, -keep], values - values[0])
        return np.asarray(lfilter([1.0 - keep], [1.0, -keep], once) + values[0])

    def held(self, syllables: list[Syllable], values: list[float], *, rest: float, seconds: float) -> Samples:
        """Return a curve that has a value during each syllable and `rest` between them, with soft edges."""
        times = self.times
        curve = np.full(len(times), rest)
        for syllable, value in zip(syllables, values, strict=True):
            curve[(times >= syllable.start) & (times < syllable.start + syllable.duration)] = value
        return self.at_samples(self.smooth(curve, seconds))

    def noise(self, rng: np.random.Generator, seconds: float) -> Array:
        """Return a slow random curve of variance 1."""
        curve = self.smooth(rng.standard_normal(len(self.times)), seconds)
        return np.asarray((curve - curve.mean()) / (curve.std() + 1e-12))


def _pitch_curve(
    style: VoiceStyle,
    syllables: list[Syllable],
    clock: Clock,
    rng: np.random.Generator,
    singer: int,
    cents: float,
) -> Samples:
    """Return a singer's frequency at every sample in Hz."""
    times = clock.times
    pitch = np.full(
        len(times), syllables[0].pitches[singer % len(syllables[0].pitches)] if syllables else 60.0
    )
    for syllable in syllables:
        pitch[times >= syllable.start] = syllable.pitches[singer % len(syllable.pitches)]
        if style.tune == "speech":
            within = (times - syllable.start) / syllable.duration
            spoken = (within >= 0.0) & (within < 1.0)
            pitch[spoken] += FALL_SEMITONES * (0.5 - within[spoken])
    pitch = clock.smooth(pitch, GLIDE_SECONDS) + 12.0 * style.octave
    wave = np.sin(2 * np.pi * ((5.2 + 0.6 * rng.random()) * times + rng.random()))
    pitch += cents / 100.0 + style.vibrato / 100.0 * wave + DRIFT_SEMITONES * clock.noise(rng, 0.05)
    return clock.at_samples(hertz(69.0) * 2.0 ** ((pitch - 69.0) / 12.0))


def _pulses(frequency: Samples, sample_rate: int, phase: float) -> Samples:
    """Return a saw-tooth of changing frequency whose steps are smoothed against aliasing (PolyBLEP)."""
    step = frequency / np.float32(sample_rate)
    place = ((phase + np.cumsum(step, dtype=np.float64)) % 1.0).astype(np.float32)
    saw = 2.0 * place - 1.0
    after = place < step
    part = place[after] / step[after]
    saw[after] -= part + part - part * part - 1.0
    before = place > 1.0 - step
    part = (place[before] - 1.0) / step[before]
    saw[before] -= part * part + part + part + 1.0
    return np.asarray(saw, np.float32)


def _through_vowels(
    source: Samples,
    vowels: list[Vowel],
    scale: float,
    syllables: list[Syllable],
    clock: Clock,
    rng: np.random.Generator,
) -> Samples:
    """Filter the source by every vowel and let each syllable pick one."""
    size = next_fast_len(len(source), real=True)
    spectrum = rfft(source, size)
    bins = np.fft.rfftfreq(size, 1.0 / clock.sample_rate).astype(np.float32)
    choices = rng.integers(len(vowels), size=len(syllables))
    out = np.zeros(len(source), np.float32)
    for number, vowel in enumerate(vowels):
        mask = clock.held(syllables, (choices == number).astype(float).tolist(), rest=0.0, seconds=0.02)
        out += irfft(spectrum * _formants(vowel, bins, scale), size)[: len(source)] * mask
    return out


def _formants(vowel: Vowel, bins: Samples, scale: float) -> Samples:
    response = np.full(len(bins), 0.004, np.float32)
    for centre, level, width in zip(vowel.hertz, vowel.decibels, FORMANT_BANDWIDTH_HZ, strict=True):
        gain = np.float32(10.0 ** (level / 20.0))
        response += gain / (1.0 + ((bins - np.float32(centre * scale)) / np.float32(width * scale)) ** 2)
    return np.asarray(response * (bins / (bins + 80.0)), np.float32)


def _consonants(
    style: VoiceStyle,
    syllables: list[Syllable],
    n_samples: int,
    sample_rate: int,
    rng: np.random.Generator,
) -> Samples:
    out = np.zeros(n_samples, np.float32)
    length = int(CONSONANT_SECONDS * sample_rate)
    shape = np.hanning(length).astype(np.float32)
    for syllable in syllables:
        start = max(int((syllable.start - 0.6 * CONSONANT_SECONDS) * sample_rate), 0)
        noise = rng.standard_normal(length + 1, dtype=np.float32)
        colour = rng.uniform(0.3, 0.95)
        bright = noise[1:] - np.float32(colour) * noise[:-1]
        stretch = out[start : start + length]
        level = np.float32(style.consonant * syllable.velocity * rng.random())
        stretch += level * (shape * bright)[: len(stretch)]
    return out
