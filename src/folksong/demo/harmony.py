"""Harmony: which pitches the degrees of a scale have, and which chord a bar stands on."""

from __future__ import annotations

from dataclasses import dataclass

MIDDLE_OCTAVE = 4
"""The octave that begins with MIDI pitch 60."""


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
