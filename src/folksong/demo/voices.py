"""Voice-like sounds: a pulse train (the glottis) through formants (the mouth), with consonants of noise.

The formants of a vowel are applied to the whole part at once in the frequency domain; the syllables then choose among
the vowels. Vowels follow the averages of Peterson and Barney (1952).
"""

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


@dataclass(frozen=True)
class Voice:
    """A part to be sung or spoken. Slow curves (pitch, loudness) have one value in 32 samples and are interpolated."""

    style: VoiceStyle
    syllables: list[Syllable]
    n_samples: int
    sample_rate: int
    rng: np.random.Generator

    def render(self, vowels: list[Vowel], sex: Sex, formants: float = 1.0) -> Samples:
        """Return the part, (n_samples,); `formants` scales the sex's formants: the size of this singer's head."""
        style, rng = self.style, self.rng
        gate = self._held([syllable.velocity for syllable in self.syllables], 0.015)
        source = np.zeros(self.n_samples, np.float32)
        for singer in range(style.singers):
            cents = rng.uniform(-style.spread, style.spread)
            frequency = self._pitch_curve(singer, cents)
            source += _pulses(frequency, self.sample_rate, rng.random()) / np.float32(np.sqrt(style.singers))
        if style.breath:
            noise = rng.standard_normal(self.n_samples, dtype=np.float32)
            source += np.float32(0.6 * style.breath) * noise
        if style.rasp:
            source *= self._at_samples(1.0 + style.rasp * np.clip(self._noise(0.002), -1.0, 1.0))
        chosen = [vowels[number] for number in rng.permutation(len(vowels))[:3]]
        shaped = self._through_vowels(source * gate, chosen, sex.formants * formants)
        if style.rasp > 0.5:
            shaped = np.tanh(np.float32(3.0 * style.rasp / (np.abs(shaped).max() + 1e-9)) * shaped)
        shaped /= np.sqrt((shaped**2).mean() / max(float(gate.mean()), 1e-3)) + np.float32(1e-9)
        return np.asarray(np.float32(0.25) * (shaped + self._consonants()), np.float32)

    @property
    def _times(self) -> Array:
        """When the slow values lie, in seconds."""
        return np.arange(0, self.n_samples + CONTROL_SAMPLES, CONTROL_SAMPLES) / self.sample_rate

    def _at_samples(self, values: Array) -> Samples:
        places = np.arange(len(values)) * float(CONTROL_SAMPLES)
        return np.interp(np.arange(self.n_samples), places, values).astype(np.float32)

    def _smooth(self, values: Array, seconds: float) -> Array:
        """Smooth a slow curve twice by a one-pole low-pass of that time constant, from its first value on."""
        keep = float(np.exp(-2.0 * CONTROL_SAMPLES / (seconds * self.sample_rate)))
        once = lfilter([1.0 - keep], [1.0, -keep], values - values[0])
        return np.asarray(lfilter([1.0 - keep], [1.0, -keep], once) + values[0])

    def _held(self, values: list[float], seconds: float) -> Samples:
        """Return a curve that has a value during each syllable and 0 between them, with soft edges."""
        times = self._times
        curve = np.zeros(len(times))
        for syllable, value in zip(self.syllables, values, strict=True):
            curve[(times >= syllable.start) & (times < syllable.start + syllable.duration)] = value
        return self._at_samples(self._smooth(curve, seconds))

    def _noise(self, seconds: float) -> Array:
        """Return a slow random curve of variance 1."""
        curve = self._smooth(self.rng.standard_normal(len(self._times)), seconds)
        return np.asarray((curve - curve.mean()) / (curve.std() + 1e-12))

    def _pitch_curve(self, singer: int, cents: float) -> Samples:
        """Return a singer's frequency at every sample in Hz."""
        times = self._times
        pitch = np.full(len(times), 60.0)
        for number, syllable in enumerate(self.syllables):
            sung = (times >= syllable.start) | (number == 0)
            pitch[sung] = syllable.pitches[singer % len(syllable.pitches)]
            if self.style.tune == "speech":
                within = (times - syllable.start) / syllable.duration
                spoken = (within >= 0.0) & (within < 1.0)
                pitch[spoken] += FALL_SEMITONES * (0.5 - within[spoken])
        pitch = self._smooth(pitch, GLIDE_SECONDS) + 12.0 * self.style.octave
        wave = np.sin(2 * np.pi * ((5.2 + 0.6 * self.rng.random()) * times + self.rng.random()))
        pitch += cents / 100.0 + self.style.vibrato / 100.0 * wave + DRIFT_SEMITONES * self._noise(0.05)
        return self._at_samples(hertz(69.0) * 2.0 ** ((pitch - 69.0) / 12.0))

    def _through_vowels(self, source: Samples, vowels: list[Vowel], scale: float) -> Samples:
        """Filter the source by every vowel and let each syllable pick one."""
        size = next_fast_len(len(source), real=True)
        spectrum = rfft(source, size)
        bins = np.fft.rfftfreq(size, 1.0 / self.sample_rate).astype(np.float32)
        choices = self.rng.integers(len(vowels), size=len(self.syllables))
        out = np.zeros(len(source), np.float32)
        for number, vowel in enumerate(vowels):
            mask = self._held((choices == number).astype(float).tolist(), 0.02)
            out += irfft(spectrum * _formants(vowel, bins, scale), size)[: len(source)] * mask
        return out

    def _consonants(self) -> Samples:
        out = np.zeros(self.n_samples, np.float32)
        length = int(CONSONANT_SECONDS * self.sample_rate)
        shape = np.hanning(length).astype(np.float32)
        for syllable in self.syllables:
            start = max(int((syllable.start - 0.6 * CONSONANT_SECONDS) * self.sample_rate), 0)
            noise = self.rng.standard_normal(length + 1, dtype=np.float32)
            bright = noise[1:] - np.float32(self.rng.uniform(0.3, 0.95)) * noise[:-1]
            stretch = out[start : start + length]
            level = np.float32(self.style.consonant * syllable.velocity * self.rng.random())
            stretch += level * (shape * bright)[: len(stretch)]
        return out


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


def _formants(vowel: Vowel, bins: Samples, scale: float) -> Samples:
    response = np.full(len(bins), 0.004, np.float32)
    for centre, level, width in zip(vowel.hertz, vowel.decibels, FORMANT_BANDWIDTH_HZ, strict=True):
        gain = np.float32(10.0 ** (level / 20.0))
        response += gain / (1.0 + ((bins - np.float32(centre * scale)) / np.float32(width * scale)) ** 2)
    return np.asarray(response * (bins / (bins + 80.0)), np.float32)
