"""Rhythm: where the steps of a pattern fall, in seconds.

A pattern is a string, one character a step: ``x`` strong, ``o`` medium, ``-`` weak, ``.`` rest. Swing moves the
middle of every beat: 0.5 leaves it, 0.667 makes a shuffle.
"""

from __future__ import annotations

from dataclasses import dataclass

VELOCITIES = {"x": 1.0, "o": 0.65, "-": 0.35}


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
