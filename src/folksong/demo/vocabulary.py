"""The words of the embedded folksonomy: which concept each tag stands for, and the long tail of personal tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.demo.recipes import read_data, read_recipes

AUDIBLE_KINDS = ("genre", "subgenre", "mood", "era", "voice", "instrument")
TRUE_KINDS = (*AUDIBLE_KINDS, "place")
"""Kinds of concepts that a track either has or not; the others are matters of opinion."""


@dataclass(frozen=True)
class TagTruth:
    """What a tag means: kind and concept, and the genre it belongs to (empty where it cuts across genres)."""

    tag: str
    kind: str
    concept: str
    genre: str


@dataclass(frozen=True)
class Vocabulary:
    """All tags of a folksonomy, with how often each is chosen when its concept comes to mind.

    Attributes:
        concepts: (kind, concept) pairs.
        truth: one entry a tag.
        choices: (n_concepts, n_tags) float64; row i is the distribution of the tags of concept i.
    """

    concepts: tuple[tuple[str, str], ...]
    truth: tuple[TagTruth, ...]
    choices: npt.NDArray[np.float64]

    @cached_property
    def concept_index(self) -> dict[tuple[str, str], int]:
        """(kind, concept) -> row of `choices`."""
        return {concept: row for row, concept in enumerate(self.concepts)}


def build_vocabulary(seed: int, artists: list[str]) -> Vocabulary:
    """Return the words that ship with the package, the artists' names, and personal tags drawn from the seed."""
    forms: dict[tuple[str, str], dict[str, float]] = {
        (kind, concept): dict(words)
        for kind, concepts in read_data("vocabulary.toml").items()
        for concept, words in concepts.items()
    }
    taken = {tag for words in forms.values() for tag in words}
    forms[("personal", "personal")] = _personal_tags(seed, taken)
    taken |= set(forms[("personal", "personal")])
    for artist in artists:
        if artist not in taken:
            forms[("artist", artist)] = {artist: 1.0}
    genre_of = {
        subgenre: genre for genre, recipe in read_recipes().genres.items() for subgenre in recipe.subgenres
    }
    truth = tuple(
        TagTruth(tag, kind, concept, concept if kind == "genre" else genre_of.get(concept, ""))
        for (kind, concept), words in forms.items()
        for tag in words
    )
    following = read_data("listeners.toml")["listeners"]["following"]
    choices = np.zeros((len(forms), len(truth)))
    column = 0
    for row, ((kind, _), words) in enumerate(forms.items()):
        shares = np.array(list(words.values()), np.float64) ** (1.0 if kind == "personal" else following)
        choices[row, column : column + len(words)] = shares / shares.sum()
        column += len(words)
    return Vocabulary(tuple(forms), truth, choices)


def _personal_tags(seed: int, taken: set[str]) -> dict[str, float]:
    """Return the personal tags in an order drawn from the seed, the first ones the most popular (Zipf)."""
    settings: dict[str, Any] = read_data("listeners.toml")["personal"]
    tags = list(settings["symbols"])
    for pattern in settings["patterns"]:
        fields = re.findall(r"\{(\w+)\}", pattern)
        fillings = product(*(settings[field] for field in fields))
        tags += [pattern.format(**dict(zip(fields, words, strict=True))) for words in fillings]
    tags = [tag for tag in dict.fromkeys(tags) if tag not in taken]
    order = np.random.default_rng((seed, 5)).permutation(len(tags))
    return {tags[place]: (rank + 1.0) ** -settings["zipf"] for rank, place in enumerate(order)}
