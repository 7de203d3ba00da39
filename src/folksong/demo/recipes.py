"""The recipes of the embedded corpus: frozen objects read from the TOML files in ``demo/data``.

A genre holds subgenres; a subgenre says which instruments play which patterns over which harmony. Moods, eras and
voices cut across. Every field is a number or a name that another file defines; unknown keys are an error. The TOML
files explain the fields, ``data/schema.json`` has the type of each and, where there is one, its default.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from folksong.errors import FileFormatError

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
