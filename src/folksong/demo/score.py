"""Who plays what and when: harmony, rhythm, and the notes of each part of a piece.

A pattern is a string, one character a step: ``x`` strong, ``o`` medium, ``-`` weak, ``.`` rest. Swing moves the
middle of every beat: 0.5 leaves it, 0.667 makes a shuffle. A role turns a pattern and the harmony into notes:

========== =====================================================================
chords     all tones of the bar's chord
arpeggio   the chord's tones one after another, up and down
drone      the tonic and its fifth, whatever the chord
bass       the chord's root, now and then its fifth
walk       chord and scale tones that wander towards the next root
stride     low root, then chord, in turn
riff       one short figure above the root, the same in every bar
melody     a tune of one bar that comes back changed at its end
========== =====================================================================
"""

from dataclasses import dataclass

import numpy as np

from folksong.demo.recipes import Part

VELOCITIES = {"x": 1.0, "o": 0.65, "-": 0.35}
RIFF_DEGREES = (0, 0, 0, 1, 2, 4, -1, 3)
STRUM_SECONDS = 0.011
MELODY_REACH = 5
"""How many scale steps a melody goes from its middle."""
REST = 0.12
"""Share of a melody's notes left out, a new choice in every bar."""


@dataclass(frozen=True)
class Note:
    """A note of a part: start and duration in seconds, pitch as a MIDI number, velocity 0 to 1."""

    start: float
    duration: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class Grid:
    """Tempo in beats a minute, steps a beat, and where the middle of a beat lies."""

    tempo: float
    steps_per_beat: int = 4
    swing: float = 0.5

    def seconds(self, step: float) -> float:
        """Return when a step begins."""
        beat, within = divmod(step / self.steps_per_beat, 1.0)
        if within < 0.5:
            within *= 2.0 * self.swing
        else:
            within = self.swing + (within - 0.5) * 2.0 * (1.0 - self.swing)
        return (beat + within) * 60.0 / self.tempo

    @property
    def step_seconds(self) -> float:
        """The mean length of a step."""
        return 60.0 / self.tempo / self.steps_per_beat


@dataclass(frozen=True)
class Onset:
    """One event of a pattern: the number of its step from the start of the piece, its time and its velocity."""

    step: int
    seconds: float
    velocity: float


def onsets(pattern: str, grid: Grid, seconds: float) -> list[Onset]:
    """Return the events of a pattern repeated for that long.

    >>> [round(onset.seconds, 2) for onset in onsets("x.o.", Grid(tempo=60, steps_per_beat=4), 2)]
    [0.0, 0.5, 1.0, 1.5]
    """
    found = []
    step = 0
    while pattern and (time := grid.seconds(step)) < seconds:
        character = pattern[step % len(pattern)]
        if character in VELOCITIES:
            found.append(Onset(step, time, VELOCITIES[character]))
        step += 1
    return found


@dataclass(frozen=True)
class Harmony:
    """Key (semitones above C), scale, chord shape and the degrees of successive bars."""

    key: int
    scale: tuple[int, ...]
    shape: tuple[int, ...]
    progression: tuple[int, ...]

    def pitch(self, degree: int, octave: int) -> float:
        """Return the MIDI pitch of a scale degree (0 is the tonic; any integer) in an octave.

        >>> Harmony(0, (0, 2, 4, 5, 7, 9, 11), (0, 2, 4), (0,)).pitch(8, 4)
        74.0
        """
        octaves, step = divmod(degree, len(self.scale))
        return float(12 * (octave + 1 + octaves) + self.key + self.scale[step])

    def root(self, bar: int) -> int:
        """Return the degree that bar `bar` stands on."""
        return self.progression[bar % len(self.progression)]

    def chord(self, bar: int) -> list[int]:
        """Return the degrees that sound in bar `bar`."""
        return [self.root(bar) + step for step in self.shape]


def arrange_part(
    part: Part,
    harmony: Harmony,
    grid: Grid,
    seconds: float,
    rng: np.random.Generator,
    *,
    length: float = 1.0,
    octave: int = 0,
) -> list[Note]:
    """Return the notes of a part of a piece; `length` is a factor for durations, `octave` shifts melodies."""
    events = onsets(part.pattern, grid, seconds)
    bar_steps = len(part.pattern)
    if part.role == "melody":
        tune = melody_degrees(events, bar_steps, harmony, rng)
        chords = [[] if degree is None else [degree] for degree in tune]
    else:
        chords, octave = role_degrees(part.role, events, bar_steps, harmony, rng), 0
    duration = part.length * grid.step_seconds
    held = part.length >= bar_steps  # a tone held through the bar must not run into the next chord
    notes = []
    for event, degrees in zip(events, chords, strict=True):
        strength = event.velocity / np.sqrt(max(len(degrees), 1))
        for place, degree in enumerate(degrees):
            start = event.seconds + STRUM_SECONDS * place * (not held)
            pitch = harmony.pitch(degree, part.octave + octave)
            velocity = strength * rng.uniform(0.9, 1.0)
            notes.append(Note(start, duration if held else duration * length, pitch, velocity))
    return notes


def melody_degrees(
    events: list[Onset], bar_steps: int, harmony: Harmony, rng: np.random.Generator
) -> list[int | None]:
    """Return a degree, or None for a rest, for each event: a tune of one bar, varied when it comes back."""
    tune: dict[int, int] = {}
    place = int(rng.integers(-1, 4))
    found: list[int | None] = []
    for event in events:
        bar, step = divmod(event.step, bar_steps)
        if step not in tune or (step >= bar_steps // 2 and rng.random() < 0.4):
            place += int(rng.choice([-2, -1, -1, 1, 1, 2]))
            place = int(np.clip(place, -MELODY_REACH, MELODY_REACH))
            tune[step] = place
        degree = tune[step]
        if step % 4 == 0:  # on the beat: the nearest tone of the chord
            size = len(harmony.scale)
            reachable = [tone + size * shift for tone in harmony.chord(bar)[:3] for shift in (-1, 0, 1)]
            degree = min(reachable, key=lambda tone: abs(tone - degree))
        found.append(None if step and rng.random() < REST else degree)
    return found


def role_degrees(
    role: str, events: list[Onset], bar_steps: int, harmony: Harmony, rng: np.random.Generator
) -> list[list[int]]:
    """Return the degrees that a role other than a melody plays at each event."""
    where = [divmod(event.step, bar_steps) for event in events]  # bar, step
    chords = [harmony.chord(bar) for bar, _ in where]
    if role == "chords":
        return chords
    if role == "drone":
        return [[0, 4] for _ in events]
    if role == "walk":
        return _walk(where, bar_steps, harmony, rng)
    size = len(harmony.scale)
    if role == "stride":
        low_or_chord = enumerate(chords)
        return [[c[0] - size] if number % 2 == 0 else [tone + 2 for tone in c] for number, c in low_or_chord]
    if role == "bass":
        fifths = rng.random(len(events)) < 0.15
        return [
            [harmony.root(bar) + (4 if fifth and step else 0)]
            for (bar, step), fifth in zip(where, fifths, strict=True)
        ]
    if role == "riff":
        figure = [int(rng.choice(RIFF_DEGREES)) for _ in range(bar_steps)]
        return [[harmony.root(bar) + (figure[step] if step else 0)] for bar, step in where]
    rises = bool(rng.integers(2))  # an arpeggio
    found = []
    for number, chord in enumerate(chords):
        tones = [*chord, chord[0] + size]
        ladder = tones + tones[-2:0:-1] if rises else tones
        found.append([ladder[number % len(ladder)]])
    return found


def _walk(
    where: list[tuple[int, int]], bar_steps: int, harmony: Harmony, rng: np.random.Generator
) -> list[list[int]]:
    found = []
    place = 0
    for bar, step in where:
        if step == 0:
            place = harmony.root(bar)
        elif step >= bar_steps - 4:
            goal = harmony.root(bar + 1)
            place = goal + (1 if place > goal else -1)
        else:
            place += int(rng.choice([-2, -1, 1, 2, 2]))
        found.append([int(np.clip(place, -4, 9))])
    return found
