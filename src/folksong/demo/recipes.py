"""The recipes of the embedded corpus: frozen objects read from the TOML files in ``demo/data``.

A genre holds subgenres; a subgenre says which instruments play which patterns over which harmony. Moods, eras and
voices cut across. Every field is a number or a name that another file defines; unknown keys are an error.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from folksong.errors import FileFormatError

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=STRICT)
class Timbre:
    """A pitched instrument; ``data/sounds.toml`` explains the fields."""

    partials: int
    rolloff: float
    even: float = 1.0
    decay: float = 0.0
    damping: float = 0.0
    attack: float = 0.005
    release: float = 0.05
    stretch: float = 0.0
    unison: int = 1
    spread: float = 0.0
    vibrato: float = 0.0
    tremolo: float = 0.0
    breath: float = 0.0
    click: float = 0.0
    drive: float = 0.0
    low_pass: float = 0.0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, config=STRICT)
class Stroke:
    """One percussion sound; ``data/drums.toml`` explains the fields."""

    tone: float = 0.0
    sweep: float = 1.0
    sweep_time: float = 0.01
    tone_decay: float = 0.05
    noise: float = 0.0
    noise_decay: float = 0.01
    gate: float = 0.0
    low: float = 0.0
    high: float = 0.0
    metal: float = 0.0
    metal_hz: float = 0.0


@dataclass(frozen=True, config=STRICT)
class Part:
    """One instrument's part in a subgenre; ``data/genres.toml`` explains the fields."""

    role: str
    sound: tuple[str, ...]
    pattern: str
    octave: int
    length: float
    level: float


@dataclass(frozen=True, config=STRICT)
class VoicePart:
    """Who sings in a subgenre, how and how often."""

    style: str
    chance: float
    female: float
    pattern: str
    level: float


@dataclass(frozen=True, config=STRICT)
class Subgenre:
    """How the pieces of a subgenre sound."""

    tempo: tuple[float, float]
    modes: tuple[str, ...]
    chords: str
    progressions: tuple[tuple[int, ...], ...]
    parts: tuple[Part, ...]
    swing: float = 0.5
    kit: str = ""
    pattern: str = ""
    drums: float = 0.7
    room: float = 0.1
    voice: VoicePart | None = None


@dataclass(frozen=True, config=STRICT)
class Genre:
    """Subgenres, what they have in common, and how often each era and mood occurs among them.

    `common` parts, and a kit with its pattern at the level `drums`, sound in every piece of the genre.
    """

    eras: dict[str, float]
    moods: dict[str, float]
    subgenres: dict[str, Subgenre]
    common: tuple[Part, ...] = ()
    kit: str = ""
    pattern: str = ""
    drums: float = 0.0
    pump: float = 0.0


@dataclass(frozen=True, config=STRICT)
class Mood:
    """What a mood does to a piece; ``data/facets.toml`` explains the fields."""

    mode: str = ""
    tempo: float = 1.0
    brightness: float = 0.0
    attack: float = 0.0
    octave: int = 0
    length: float = 1.0
    drums: float = 1.0
    drive: float = 1.0
    grit: float = 0.0
    room: float = 0.0
    shimmer: float = 0.0
    rumble: float = 0.0
    against: tuple[str, ...] = ()


@dataclass(frozen=True, config=STRICT)
class Era:
    """How the records of a decade sound; ``data/facets.toml`` explains the fields."""

    high_pass: float = 0.0
    low_pass: float = 0.0
    tilt: float = 0.0
    saturation: float = 0.0
    hiss: float = 0.0
    crackle: float = 0.0
    wow: float = 0.0
    room: float = 0.0
    squeeze: float = 0.0
    mono: float = 0.0
    half_rate: float = 0.0


@dataclass(frozen=True, config=STRICT)
class Vowel:
    """Formants of a vowel: centres in Hz and levels in dB."""

    hertz: tuple[float, ...]
    decibels: tuple[float, ...]


@dataclass(frozen=True, config=STRICT)
class Sex:
    """Pitch in Hz and formant factor of a voice."""

    pitch: float
    formants: float


@dataclass(frozen=True, config=STRICT)
class VoiceStyle:
    """A way of singing or speaking; ``data/voices.toml`` explains the fields."""

    tune: str
    singers: int = 1
    spread: float = 0.0
    vibrato: float = 0.0
    length: float = 1.0
    consonant: float = 0.0
    breath: float = 0.0
    rasp: float = 0.0
    octave: float = 0.0


@dataclass(frozen=True)
class Recipes:
    """All that the corpus is made from."""

    genres: dict[str, Genre]
    timbres: dict[str, Timbre]
    strokes: dict[str, Stroke]
    kits: dict[str, dict[str, str]]
    patterns: dict[str, dict[str, Any]]
    moods: dict[str, Mood]
    eras: dict[str, Era]
    vowels: dict[str, Vowel]
    sexes: dict[str, Sex]
    styles: dict[str, VoiceStyle]
    scales: dict[str, tuple[int, ...]]
    chords: dict[str, tuple[int, ...]]


@cache
def read_data(name: str) -> dict[str, Any]:
    """Read a TOML file of the package's ``demo/data``; callers must not change what they get."""
    return tomllib.loads(resources.files("folksong.demo").joinpath("data", name).read_text(encoding="utf-8"))


@cache
def read_recipes() -> Recipes:
    """Read the recipes that ship with the package.

    Raises:
        FileFormatError: a file has an unknown key; the message names it and the nearest known one.
    """
    drums, facets = read_data("drums.toml"), read_data("facets.toml")
    voices, harmony = read_data("voices.toml"), read_data("harmony.toml")
    return Recipes(
        genres=checked(dict[str, Genre], read_data("genres.toml"), "genres.toml"),
        timbres=checked(dict[str, Timbre], read_data("sounds.toml"), "sounds.toml"),
        strokes=checked(dict[str, Stroke], drums["sounds"], "drums.toml"),
        kits=drums["kits"],
        patterns=drums["patterns"],
        moods=checked(dict[str, Mood], facets["moods"], "facets.toml"),
        eras=checked(dict[str, Era], facets["eras"], "facets.toml"),
        vowels=checked(dict[str, Vowel], voices["vowels"], "voices.toml"),
        sexes=checked(dict[str, Sex], voices["sexes"], "voices.toml"),
        styles=checked(dict[str, VoiceStyle], voices["styles"], "voices.toml"),
        scales={name: tuple(steps) for name, steps in harmony["scales"].items()},
        chords={name: tuple(steps) for name, steps in harmony["chords"].items()},
    )


def checked(kind: Any, content: Any, where: str) -> Any:
    """Return the content of a table as objects of a kind; `where` is for messages.

    Raises:
        FileFormatError: a key is unknown or missing, or a value is wrong.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        found = error.errors()[0]
        raise FileFormatError(f"{where}: {'.'.join(map(str, found['loc']))}: {found['msg']}") from error
