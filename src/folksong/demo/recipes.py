"""The recipes of the embedded corpus: frozen objects read from the TOML files in ``demo/data``.

A genre holds subgenres; a subgenre says which instruments play which patterns over which harmony. Moods, eras and
voices cut across. Every field is a number or a name that another file defines; unknown keys are an error. The TOML
files explain the fields, ``data/schema.json`` has the type of each and, where there is one, its default.

From the recipes the corpus is planned: artists with a stable sound, their pieces, and the hidden truth about them. All
is drawn from a seed and the names in the recipes, never from positions in a list, so that a corpus of fewer genres
holds the same pieces as the full one.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from folksong.errors import FileFormatError, FolksongError, nearest

DATA = resources.files("folksong.demo").joinpath("data")
if TYPE_CHECKING:
    Timbre = Any
    Stroke = Any
    Part = Any
    VoicePart = Any
    Subgenre = Any
    Genre = Any
    Mood = Any
    Era = Any
    Vowel = Any
    Sex = Any
    VoiceStyle = Any
else:
    for _name, _fields in json.loads(DATA.joinpath("schema.json").read_text(encoding="utf-8")).items():
        _typed = [
            (
                name,
                kind,
                *(field(default=tuple(value) if isinstance(value, list) else value) for value in default),
            )
            for name, (kind, *default) in _fields.items()
        ]
        _class = make_dataclass(_name, _typed, frozen=True, namespace={"__module__": __name__})
        globals()[_name] = checked_dataclass(_class, config=ConfigDict(extra="forbid"), frozen=True)


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
    return tomllib.loads(DATA.joinpath(name).read_text(encoding="utf-8"))


@cache
def read_recipes() -> Recipes:
    """Read the recipes that ship with the package."""
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
    """Return the content of a table as objects of a kind; `where` is for messages."""
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        found = error.errors()[0]
        raise FileFormatError(f"{where}: {'.'.join(map(str, found['loc']))}: {found['msg']}") from error


PIECES_PER_ARTIST = 3
SECOND_MOOD = 0.3
"""Share of pieces with two moods."""
FULL_RATE_HZ, HALF_RATE_HZ = 44100, 22050


@dataclass(frozen=True)
class Artist:
    """Who plays: what stays the same over all pieces of one artist.

    Attributes:
        sex: of the singer; empty for instrumental music.
        sounds: the instrument chosen for each part of the subgenre.
        tempo, brightness, detune, room: small constant deviations from the recipe.
        reach: how many listeners the artist has, against others (a long tail).
    """

    name: str
    genre: str
    subgenre: str
    era: str
    place: str
    sex: str
    sounds: tuple[str, ...]
    tempo: float
    brightness: float
    detune: float
    room: float
    mono: bool
    sample_rate: int
    reach: float
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """One piece: its artist and what only it has."""

    track_id: str
    title: str
    artist: Artist
    moods: tuple[str, ...]
    seed: tuple[int, ...]

    @property
    def file_name(self) -> str:
        """Path of the mp3 below the corpus, in the Million Song Dataset's way of spreading files over folders."""
        return f"audio/{self.track_id[2]}/{self.track_id[3]}/{self.track_id}.mp3"


def plan_pieces(
    recipes: Recipes,
    *,
    seed: int = 0,
    per_subgenre: int = 12,
    genres: Sequence[str] | None = None,
    group: str = "corpus",
) -> list[Piece]:
    """Plan the pieces of a corpus, in the order of the recipes.

    Args:
        recipes: genres, eras and moods to draw from.
        seed: of everything drawn.
        per_subgenre: pieces of each subgenre, by about a third as many artists (at least 2 where it can be).
        genres: names of the genres to take; None takes all.
        group: another word gives other artists and pieces from the same seed (clips never seen).
    """
    if per_subgenre < 1:
        raise FolksongError(f"a subgenre needs at least 1 piece, not {per_subgenre}")
    names: set[str] = set()
    pieces: list[Piece] = []
    for genre in recipes.genres if genres is None else genres:
        if genre not in recipes.genres:
            raise FolksongError(f"no genre is called {genre!r}{nearest(genre, tuple(recipes.genres))}")
        for subgenre in recipes.genres[genre].subgenres:
            key = (seed, zlib.crc32(f"{group}/{genre}/{subgenre}".encode()))
            for number, size in enumerate(_sizes(per_subgenre)):
                artist = _artist(recipes, genre, subgenre, (*key, number), names)
                pieces += [_piece(recipes, artist, (*artist.seed, 1 + piece)) for piece in range(size)]
    return pieces


def _sizes(per_subgenre: int) -> list[int]:
    """Spread pieces over artists, earlier ones with more: 12 -> [4, 3, 3, 2]."""
    n_artists = max(round(per_subgenre / PIECES_PER_ARTIST), min(2, per_subgenre))
    sizes = [per_subgenre // n_artists + (number < per_subgenre % n_artists) for number in range(n_artists)]
    if sizes[0] == sizes[-1] > 1 and n_artists > 1:
        sizes[0], sizes[-1] = sizes[0] + 1, sizes[-1] - 1
    return sizes


def _artist(recipes: Recipes, genre: str, subgenre: str, key: tuple[int, ...], names: set[str]) -> Artist:
    rng = np.random.default_rng(key)
    words = read_data("names.toml")
    recipe: Subgenre = recipes.genres[genre].subgenres[subgenre]
    era = _draw(rng, recipes.genres[genre].eras)
    sex = ""
    if recipe.voice is not None and rng.random() < recipe.voice.chance:
        sex = "female" if rng.random() < recipe.voice.female else "male"
    forms = words["artist"].get(genre, words["artist"]["any"])
    while (name := _filled(rng, words, forms)) in names:
        pass
    names.add(name)
    return Artist(
        name=name,
        genre=genre,
        subgenre=subgenre,
        era=era,
        place=_draw(rng, words["places"]),
        sex=sex,
        sounds=tuple(part.sound[rng.integers(len(part.sound))] for part in recipe.parts),
        tempo=float(rng.random()),
        brightness=float(rng.uniform(-0.12, 0.12)),
        detune=float(rng.uniform(-35.0, 35.0)),
        room=float(rng.uniform(-0.05, 0.08)),
        mono=bool(rng.random() < recipes.eras[era].mono),
        sample_rate=HALF_RATE_HZ if rng.random() < recipes.eras[era].half_rate else FULL_RATE_HZ,
        reach=float(rng.lognormal(0.0, 1.0)),
        seed=key,
    )


def _piece(recipes: Recipes, artist: Artist, key: tuple[int, ...]) -> Piece:
    rng = np.random.default_rng(key)
    words = read_data("names.toml")
    weights = recipes.genres[artist.genre].moods
    moods = [_draw(rng, weights)]
    if rng.random() < SECOND_MOOD:
        fitting = {
            name: weight
            for name, weight in weights.items()
            if name != moods[0] and name not in recipes.moods[moods[0]].against
        }
        moods.append(_draw(rng, fitting))
    digits = hashlib.sha256(repr(key).encode()).hexdigest().upper()
    letters = "".join(chr(ord("A") + int(digits[2 * place : 2 * place + 2], 16) % 26) for place in range(5))
    return Piece(
        track_id=f"TR{letters}128F{digits[-7:]}",
        title=_filled(rng, words, words["title"]),
        artist=artist,
        moods=tuple(sorted(moods)),
        seed=key,
    )


def _draw(rng: np.random.Generator, weights: dict[str, float]) -> str:
    shares = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]


def _filled(rng: np.random.Generator, words: dict[str, list[str]], forms: list[str]) -> str:
    form = forms[rng.integers(len(forms))]
    chosen = {
        kind: words[kind][rng.integers(len(words[kind]))] for kind in ("first", "last", "adjective", "noun")
    }
    return form.format(**chosen, other=words["noun"][rng.integers(len(words["noun"]))])
