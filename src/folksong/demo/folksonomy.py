"""The embedded folksonomy: what a crowd of simulated listeners writes on the pieces.

A track draws some number of listeners (a long tail), each gives a few words. A listener thinks of one of the track's
concepts, more readily of its genre than of its instruments, or of something personal, and writes it in one of its
spellings. The crowd as a whole misses some concepts and believes some wrong ones; now and then a listener slips.
Weights are counts scaled so that a track's top tag has 100, as last.fm's are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.demo.recipes import Piece, Recipes, read_data, read_recipes
from folksong.tags.table import TagTable

TRUE_KINDS = ("genre", "subgenre", "mood", "era", "voice", "instrument", "place")
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

    Row i of `choices`, (n_concepts, n_tags) float64, is the distribution of the tags of the (kind, concept) i.
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


@dataclass(frozen=True)
class Folksonomy:
    """The crowd's tags (weights 0 to 100), and what each means in the order of the table's columns.

    `verdicts` says of every entry, (track id, tag), whether it is "right", "wrong" or an "opinion".
    """

    table: TagTable
    tag_truth: tuple[TagTruth, ...]
    verdicts: dict[tuple[str, str], str]


def true_concepts(recipes: Recipes, piece: Piece) -> list[tuple[str, str]]:
    """Return what is true of a piece, as (kind, concept) pairs."""
    artist = piece.artist
    recipe = recipes.genres[artist.genre].subgenres[artist.subgenre]
    instruments = {tag for sound in artist.sounds for tag in recipes.timbres[sound].tags}
    if recipe.kit:
        instruments.add("drums")
    return [
        ("genre", artist.genre),
        ("subgenre", artist.subgenre),
        *(("mood", mood) for mood in piece.moods),
        ("era", artist.era),
        ("voice", artist.sex or "none"),
        *(("instrument", instrument) for instrument in sorted(instruments)),
        ("place", artist.place),
    ]


def build_folksonomy(recipes: Recipes, pieces: Sequence[Piece], seed: int = 0) -> Folksonomy:
    """Let the crowd tag the pieces. The same pieces and seed give the same tags."""
    vocabulary = build_vocabulary(seed, list(dict.fromkeys(piece.artist.name for piece in pieces)))
    settings = read_data("listeners.toml")
    counts = np.zeros((len(pieces), len(vocabulary.truth)), np.int64)
    for row, piece in enumerate(pieces):
        counts[row] = _counts(recipes, vocabulary, settings, piece)
    used = np.flatnonzero(counts.any(axis=0)).tolist()
    used.sort(key=lambda column: vocabulary.truth[column].tag)
    counts, truth = counts[:, used], [vocabulary.truth[column] for column in used]
    rows, columns = np.nonzero(counts)
    weights = np.floor(100.0 * counts[rows, columns] / counts.max(axis=1)[rows]).astype(np.float32)
    table = TagTable.from_codes(
        [piece.track_id for piece in pieces], [entry.tag for entry in truth], rows, columns, weights
    )
    facts = [set(true_concepts(recipes, piece)) for piece in pieces]
    verdicts = {}
    for row, entry in zip(rows.tolist(), [truth[column] for column in columns.tolist()], strict=True):
        right = "right" if (entry.kind, entry.concept) in facts[row] else "wrong"
        verdicts[pieces[row].track_id, entry.tag] = right if entry.kind in TRUE_KINDS else "opinion"
    return Folksonomy(table, tuple(truth), verdicts)


def _counts(
    recipes: Recipes, vocabulary: Vocabulary, settings: dict[str, Any], piece: Piece
) -> npt.NDArray[np.int64]:
    """Return how many listeners gave each tag to a piece, (n_tags,); at most the 100 most frequent are kept."""
    rng = np.random.default_rng((*piece.seed, 4))
    crowd = settings["listeners"]
    n_tags = len(vocabulary.truth)
    listeners = crowd["median"] * piece.artist.reach * rng.lognormal(0.0, crowd["spread"])
    n_words = rng.poisson(crowd["tags_each"] * (1.0 + listeners))
    if rng.random() < crowd["untagged"]:
        return np.zeros(n_tags, np.int64)
    readiness = np.zeros(len(vocabulary.concepts))
    for kind, concept in _believed(recipes, vocabulary, settings, piece, rng):
        row = vocabulary.concept_index.get((kind, concept))
        if row is not None:
            readiness[row] += settings["salience"][kind]
    shares = (readiness / readiness.sum()) @ vocabulary.choices
    shares = (1.0 - crowd["slip"]) * shares + crowd["slip"] / n_tags
    counts = rng.multinomial(n_words, shares / shares.sum()).astype(np.int64)
    rarest_first = np.argsort(counts, kind="stable")
    counts[rarest_first[: n_tags - crowd["most"]]] = 0
    return counts


def _believed(
    recipes: Recipes, vocabulary: Vocabulary, settings: dict[str, Any], piece: Piece, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Return what the crowd believes of a piece: the truth less what it misses, some of it replaced."""
    believed = [("subjective", "liking"), ("personal", "personal"), ("artist", piece.artist.name)]
    for kind, concept in true_concepts(recipes, piece):
        if rng.random() < settings["missing"][kind]:
            continue
        if rng.random() < settings["wrong"].get(kind, 0.0):
            others = _alternatives(recipes, vocabulary, kind, concept, piece)
            concept = others[rng.integers(len(others))]
        believed.append((kind, concept))
    return believed


def _alternatives(
    recipes: Recipes, vocabulary: Vocabulary, kind: str, concept: str, piece: Piece
) -> list[str]:
    """Return what a concept may be mistaken for."""
    if kind == "subgenre":
        known = list(recipes.genres[piece.artist.genre].subgenres)
    elif kind == "era":
        eras = list(recipes.eras)
        place = eras.index(concept)
        known = eras[max(place - 1, 0) : place + 2]
    else:
        known = [name for found, name in vocabulary.concepts if found == kind]
    return [name for name in known if name != concept]
