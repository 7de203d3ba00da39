"""The sound: recipes that fit together, parts that do what they say, and genres that can be told apart."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folksong.demo.instruments import (
    Syllable,
    Touch,
    Voice,
    partial_bank,
    render_part,
    render_stroke,
    render_tone,
)
from folksong.demo.piece import filtered, finished, joined_moods, render_piece
from folksong.demo.recipes import Mood, Part, Timbre, checked, plan_pieces, read_recipes
from folksong.demo.score import Grid, Harmony, Note, arrange_part, onsets
from folksong.errors import FileFormatError

RECIPES = read_recipes()
RATE = 16000


def loudest_hertz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()])


def test_recipes_name_only_what_there_is() -> None:
    for genre in RECIPES.genres.values():
        assert set(genre.eras) <= set(RECIPES.eras)
        assert set(genre.moods) <= set(RECIPES.moods)
        for recipe in genre.subgenres.values():
            assert not recipe.kit or (recipe.kit in RECIPES.kits and recipe.pattern in RECIPES.patterns)
            assert recipe.chords in RECIPES.chords
            assert set(recipe.modes) <= set(RECIPES.scales)
            for part in (*recipe.parts, *genre.common):
                assert set(part.sound) <= set(RECIPES.timbres)
                assert set(part.pattern) <= set("xo-.")
            if recipe.voice is not None:
                assert recipe.voice.style in RECIPES.styles
    for mood in RECIPES.moods.values():
        assert set(mood.against) <= set(RECIPES.moods)
        assert not mood.mode or mood.mode in RECIPES.scales
    assert {stroke for kit in RECIPES.kits.values() for stroke in kit.values()} <= set(RECIPES.strokes)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(FileFormatError, match=r"sounds.toml: bell.rollof: Unexpected keyword argument"):
        checked(dict[str, Timbre], {"bell": {"partials": 3, "rolloff": 1.0, "rollof": 1.0}}, "sounds.toml")


def test_partial_bank_is_the_sum_of_damped_sines() -> None:
    rng = np.random.default_rng(0)
    frequencies, rates = rng.uniform(50, 4000, 7), rng.uniform(0, 20, 7)
    amplitudes = rng.standard_normal(7) + 1j * rng.standard_normal(7)
    times = np.arange(1234) / RATE
    expected = sum(
        (amplitude * np.exp((2j * np.pi * frequency - rate) * times)).real
        for amplitude, frequency, rate in zip(amplitudes, frequencies, rates, strict=True)
    )
    assert partial_bank(frequencies, amplitudes, rates, 1234, RATE) == pytest.approx(expected, abs=2e-4)


def test_a_tone_has_its_pitch_and_length() -> None:
    timbre = Timbre(partials=4, rolloff=2.0, release=0.1)
    tone = render_tone(timbre, 69.0, 0.4, RATE, np.random.default_rng(0), Touch())
    assert len(tone) == 0.5 * RATE
    assert loudest_hertz(tone) == pytest.approx(440, abs=3)
    higher = render_tone(timbre, 69.0, 0.4, RATE, np.random.default_rng(0), Touch(detune=100.0))
    assert loudest_hertz(higher) == pytest.approx(466.2, abs=3)


def test_brightness_raises_the_upper_partials() -> None:
    timbre = Timbre(partials=12, rolloff=1.0)
    dull, bright = (
        np.abs(
            np.fft.rfft(
                render_tone(timbre, 57.0, 0.5, RATE, np.random.default_rng(0), Touch(brightness=value))
            )
        )
        for value in (-0.4, 0.4)
    )
    assert bright[1000:].sum() / bright.sum() > 1.5 * dull[1000:].sum() / dull.sum()


def test_notes_lie_where_they_start_and_the_last_is_cut() -> None:
    timbre = Timbre(partials=2, rolloff=1.0, release=0.01)
    notes = [Note(0.25, 0.1, 60.0, 1.0), Note(0.95, 0.5, 60.0, 0.5)]
    part = render_part(timbre, notes, RATE, RATE, np.random.default_rng(0), Touch())
    assert len(part) == RATE
    assert not part[: RATE // 4].any()
    assert part[RATE // 4 :].any()
    assert not part[int(0.37 * RATE) : int(0.94 * RATE)].any()


@given(
    st.floats(40, 240),
    st.sampled_from([3, 4]),
    st.floats(0.5, 0.7),
    st.text(alphabet="xo-.", min_size=1, max_size=16),
)
def test_onsets_rise_and_swing_keeps_the_beats(tempo: float, steps: int, swing: float, pattern: str) -> None:
    grid = Grid(tempo, steps, swing)
    found = onsets(pattern, grid, 5.0)
    times = [onset.seconds for onset in found]
    assert times == sorted(set(times))
    assert all(time < 5.0 for time in times)
    for beat in range(4):
        assert grid.seconds(beat * steps) == pytest.approx(beat * 60 / tempo)


@pytest.mark.parametrize("role", ["chords", "arpeggio", "drone", "bass", "walk", "stride", "riff", "melody"])
def test_roles_play_notes_of_the_scale(role: str) -> None:
    scale = RECIPES.scales["dorian"]
    harmony = Harmony(3, scale, RECIPES.chords["seventh"], (0, 3, 4))
    part = Part(role, ("piano",), "x.xxx.o.x-x.xx..", 4, 2.0, 1.0)
    notes = arrange_part(part, harmony, Grid(120.0), 6.0, np.random.default_rng(1))
    assert {int(note.pitch - 3) % 12 for note in notes} <= set(scale)
    assert all(0 <= note.start < 6.1 and note.duration > 0 for note in notes)
    assert len({note.pitch for note in notes}) >= 2


def test_a_female_voice_has_the_higher_pitch_and_formants() -> None:
    syllables = [Syllable(0.1 + 0.5 * place, 0.4, (57.0,), 1.0) for place in range(3)]
    centres = {}
    for sex, shift in (("male", 0.0), ("female", 12.0)):
        moved = [Syllable(s.start, s.duration, (s.pitches[0] + shift,), 1.0) for s in syllables]
        voice = Voice(RECIPES.styles["sung"], moved, 2 * RATE, RATE, np.random.default_rng(2)).render(
            list(RECIPES.vowels.values()), RECIPES.sexes[sex]
        )
        power = np.abs(np.fft.rfft(voice)) ** 2
        centres[sex] = (np.fft.rfftfreq(len(voice), 1 / RATE) * power).sum() / power.sum()
    assert centres["female"] > centres["male"]


def test_strokes_stay_in_their_band() -> None:
    rng = np.random.default_rng(0)
    kick, hat = (render_stroke(RECIPES.strokes[name], RATE, rng) for name in ("kick_dance", "hat"))
    assert loudest_hertz(kick) < 200
    assert loudest_hertz(hat) > 3000


def test_filter_and_finish() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    low = np.abs(np.fft.rfft(filtered(noise, RATE, low_pass=1000.0)))
    assert low[4000:].max() < 0.02 * low[:500].max()
    done = finished(np.stack([noise, 2 * noise]), RATE)
    assert np.abs(done).max() == pytest.approx(0.89, abs=1e-3)
    assert done[:, 0] == pytest.approx(0.0, abs=1e-6)


def test_moods_join() -> None:
    both = joined_moods([Mood(tempo=0.8, mode="minor"), Mood(tempo=0.5, brightness=0.1, mode="major")])
    assert both.tempo == pytest.approx(0.4)
    assert (both.mode, both.brightness) == ("minor", 0.1)


def test_genres_can_be_told_apart_by_artists_never_heard() -> None:
    """The nearest mean spectrum, of other artists in the same subgenres, decides between two genres."""
    pieces = plan_pieces(RECIPES, per_subgenre=4, genres=("hip_hop", "folk"))
    features = np.array(
        [spectrum_of(render_piece(RECIPES, piece, 1.5), piece.artist.sample_rate) for piece in pieces]
    )
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    genres = np.array([piece.artist.genre for piece in pieces])
    names = np.array([piece.artist.name for piece in pieces])
    right = []
    for number, name in enumerate(names):
        others = names != name
        centres = {genre: features[others & (genres == genre)].mean(axis=0) for genre in ("hip_hop", "folk")}
        guess = min(centres, key=lambda genre: float(np.linalg.norm(features[number] - centres[genre])))
        right.append(guess == genres[number])
    assert np.mean(right) > 0.75


def spectrum_of(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean and spread of the log power in 24 bands."""
    mono = samples.mean(axis=1)
    frames = mono[: len(mono) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2
    hertz = np.fft.rfftfreq(1024, 1 / sample_rate)
    edges = np.geomspace(60, 8000, 25)
    bands = [power[:, (hertz >= low) & (hertz < high + 50)].sum(axis=1) for low, high in pairwise(edges)]
    logs = np.log(np.array(bands) + 1e-6)
    return np.concatenate([logs.mean(axis=1) - logs.mean(), logs.std(axis=1)])
