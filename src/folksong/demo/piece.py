"""A piece from its plan: instruments, drums and voice, the mix, the sound of an era's records, and the mp3 file."""

import os
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

from folksong.demo.instruments import Samples, Syllable, Touch, Voice, render_drums, render_part
from folksong.demo.recipes import Era, Mood, Part, Piece, Recipes, VoicePart
from folksong.demo.score import Grid, Harmony, arrange_part, melody_degrees, onsets
from folksong.files import atomic_path

MP3_MODES = {1: ("VARIABLE", 0.85), 2: ("AVERAGE", 0.88)}
"""libsndfile's bit rate mode and compression, 0 (best) to 1 (smallest), for mono and stereo: 35 to 75 kbit/s."""
BAR_STEPS = 16
SHIMMER = Part("chords", ("glass_pad",), "x" + "." * (BAR_STEPS - 1), 6, BAR_STEPS, 0.25)
RUMBLE = Part("drone", ("warm_pad",), "x" + "." * (BAR_STEPS - 1), 1, BAR_STEPS, 0.35)
TILT_ABOVE_HZ = 2000.0
PEAK = 0.89
"""Largest sample of a finished piece (-1 dB)."""


def render_piece(recipes: Recipes, piece: Piece, seconds: float) -> npt.NDArray[np.float32]:
    """Return a piece's samples, (n_samples, n_channels) at its artist's sample rate, within -1 to 1."""
    artist, genre = piece.artist, recipes.genres[piece.artist.genre]
    own = np.random.default_rng((*artist.seed, 3))  # the artist's: the same in every piece
    places, tuning, head = own.uniform(-0.7, 0.7, 8), own.uniform(0.88, 1.13), own.uniform(0.94, 1.06)
    band = Band(recipes, piece, seconds, float(tuning))
    recipe, mood, rng = band.recipe, band.mood, band.rng
    played = zip(recipe.parts, artist.sounds, strict=True)
    parts = [(band.play(*part), float(places[number])) for number, part in enumerate(played)]
    if recipe.kit:
        parts.append((band.drum(recipe.kit, recipe.pattern, 0.9 * recipe.drums), 0.0))
    parts += [(band.play(part, part.sound[0]), 0.0) for part in genre.common]
    if genre.kit:
        parts.append((band.drum(genre.kit, genre.pattern, genre.drums), 0.0))
    if artist.sex and recipe.voice is not None:
        parts.append((band.sing(recipe.voice, head), 0.0))
    if mood.shimmer:
        parts.append((band.play(SHIMMER, "glass_pad"), 0.5))
    if mood.rumble:
        parts.append((band.play(RUMBLE, "warm_pad"), 0.0))
    mix = placed(parts, 1 if artist.mono else 2)
    # a kick drum pushes the mix down on every beat, as in club music
    beats = np.arange(band.n_samples) / band.sample_rate * band.grid.tempo / 60.0
    mix *= np.asarray(1.0 - genre.pump * np.exp(-6.0 * (beats % 1.0)), np.float32)
    if mood.grit:
        peak = np.float32(mood.grit / (np.percentile(np.abs(mix[:, ::16]), 98.0) + 1e-9))
        mix = np.tanh(peak * mix)
    era = recipes.eras[artist.era]
    share = max(recipe.room + artist.room + mood.room + era.room, 0.0)
    mix = with_room(mix, min(share, 1.0), band.sample_rate, rng)
    return finished(as_in_era(mix, era, band.sample_rate, rng), band.sample_rate).T


def write_piece(recipes: Recipes, piece: Piece, seconds: float, path: str | os.PathLike[str]) -> None:
    """Render a piece and write it as an mp3 file.

    The samples are rounded to 16 bits first, so that the last bit of a float, which may differ from one processor to
    another, mostly does not reach the encoder. Another version of libsndfile or LAME may still write other bytes.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # the same sums on any number of cores
        samples = np.round(render_piece(recipes, piece, seconds) * 32767.0) / np.float32(32768.0)
    mode, compression = MP3_MODES[samples.shape[1]]
    with atomic_path(path) as temporary:
        # As floats: given the same stereo samples as integers, libsndfile 1.2.2 now and then writes other bytes.
        soundfile.write(
            temporary,
            samples.astype(np.float32),
            piece.artist.sample_rate,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode=mode,
            compression_level=compression,
        )


def joined_moods(moods: list[Mood]) -> Mood:
    """Return one mood with the effects of several: factors multiply, the rest adds up, the first mode rules."""
    joined: dict[str, Any] = asdict(Mood())
    for mood in moods:
        joined["mode"] = joined["mode"] or mood.mode
        for name in ("tempo", "length", "drums", "drive"):
            joined[name] *= getattr(mood, name)
        for name in ("brightness", "attack", "octave", "room"):
            joined[name] += getattr(mood, name)
        for name in ("grit", "shimmer", "rumble"):
            joined[name] = max(joined[name], getattr(mood, name))
    return Mood(**joined)


class Band:
    """Who plays a piece: what all of its parts share, and the random numbers that they draw in turn."""

    def __init__(self, recipes: Recipes, piece: Piece, seconds: float, tuning: float) -> None:
        artist, self.rng = piece.artist, np.random.default_rng((*piece.seed, 2))
        self.recipes, self.artist, self.seconds, self.tuning = recipes, artist, seconds, tuning
        self.recipe = recipes.genres[artist.genre].subgenres[artist.subgenre]
        self.mood = joined_moods([recipes.moods[name] for name in piece.moods])
        self.sample_rate, self.n_samples = artist.sample_rate, int(seconds * artist.sample_rate)
        mode = self.recipe.modes[self.rng.integers(len(self.recipe.modes))]
        if self.mood.mode and mode != "chromatic":
            mode = self.mood.mode
        slowest, fastest = self.recipe.tempo
        tempo = slowest + artist.tempo * (fastest - slowest)
        tempo = float(tempo * self.rng.uniform(0.97, 1.03) * self.mood.tempo)
        beat = recipes.patterns[self.recipe.pattern].get("beat", 4) if self.recipe.kit else 4
        self.grid = Grid(tempo, beat, self.recipe.swing)
        key, progressions = int(self.rng.integers(-4, 5)), self.recipe.progressions
        progression = progressions[self.rng.integers(len(progressions))]
        self.harmony = Harmony(key, recipes.scales[mode], recipes.chords[self.recipe.chords], progression)
        self.touch = Touch(artist.brightness + self.mood.brightness, self.mood.attack, artist.detune)

    def play(self, part: Part, sound: str) -> Samples:
        """Return an instrument's part, (n_samples,)."""
        timbre, mood = self.recipes.timbres[sound], self.mood
        notes = arrange_part(
            part, self.harmony, self.grid, self.seconds, self.rng, length=mood.length, octave=mood.octave
        )
        signal = render_part(timbre, notes, self.n_samples, self.sample_rate, self.rng, self.touch)
        signal = overdriven(signal, timbre.drive * mood.drive, timbre.low_pass, self.sample_rate)
        return levelled(signal, part.level)

    def drum(self, kit: str, pattern: str, level: float) -> Samples:
        """Return a pattern that a kit plays, (n_samples,)."""
        strokes = {line: self.recipes.strokes[name] for line, name in self.recipes.kits[kit].items()}
        lines, samples = self.recipes.patterns[pattern], (self.n_samples, self.sample_rate)
        return levelled(
            render_drums(strokes, lines, self.grid, *samples, self.rng, self.tuning), level * self.mood.drums
        )

    def sing(self, part: VoicePart, head: float) -> Samples:
        """Return what the artist sings or speaks, (n_samples,); `head` scales the formants."""
        style, singer = self.recipes.styles[part.style], self.recipes.sexes[self.artist.sex]
        events, bar_steps = onsets(part.pattern, self.grid, self.seconds), len(part.pattern)
        degrees = melody_degrees(events, bar_steps, self.harmony, self.rng)
        ends = [*(event.seconds for event in events[1:]), self.seconds]
        home = 69.0 + 12.0 * np.log2(singer.pitch / 440.0)
        longest = 1.2 if style.tune == "speech" else 3.0
        syllables = []
        for event, degree, end in zip(events, degrees, ends, strict=True):
            if style.tune == "speech":
                pitches = [home + self.rng.normal(0.0, 1.6)]
            elif style.tune == "chord":
                chord = self.harmony.chord(event.step // bar_steps)
                pitches = [
                    _near(self.harmony.pitch(tone, 3), home + 3.0 * place) for place, tone in enumerate(chord)
                ]
            elif degree is None:
                continue
            else:
                pitches = [_near(self.harmony.pitch(degree, 3), home)]
            duration = min((end - event.seconds) * style.length, longest)
            syllables.append(Syllable(event.seconds, duration, tuple(pitches), event.velocity))
        voice = Voice(style, syllables, self.n_samples, self.sample_rate, self.rng)
        return levelled(voice.render(list(self.recipes.vowels.values()), singer, head), part.level)


def _near(pitch: float, home: float) -> float:
    """Move a pitch by octaves to within half an octave of `home`."""
    return pitch - 12.0 * round((pitch - home) / 12.0)


def levelled(part: Samples, level: float) -> Samples:
    """Scale a part so that its loud passages lie at `level`."""
    loud = _loudness(part)
    return part * np.float32(level / loud) if loud > 1e-6 else part


def _loudness(part: Samples) -> float:
    return float(np.percentile(np.abs(part[::16]), 97.0))


def overdriven(part: Samples, drive: float, low_pass: float, sample_rate: int) -> Samples:
    """Bend a part's waveform (drive 0 leaves it), then take off what a loudspeaker would not pass on."""
    if drive:
        part = np.tanh(part * np.float32(drive / (_loudness(part) + 1e-9)))
    return filtered(part, sample_rate, low_pass=low_pass) if low_pass else part


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
