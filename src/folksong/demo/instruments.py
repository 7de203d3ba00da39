"""Instruments: tones as banks of damped sine partials, percussion from swept sines, noise and metal; and voices.

A tone is the real part of ``sum_k a_k exp((i w_k - d_k) n)``. Cutting time into blocks of b samples turns the sum
into one matrix product, ``exp(z_k b q) @ exp(z_k r)`` with n = b q + r, which is far quicker than a sine a partial.

A voice is a pulse train (the glottis) through formants (the mouth), with consonants of noise. The formants of a vowel
are applied to the whole part at once in the frequency domain; the syllables then choose among the vowels. Vowels follow
the averages of Peterson and Barney (1952).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, lfilter, sosfilt

from folksong.demo.recipes import Sex, Stroke, Timbre, VoiceStyle, Vowel
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
