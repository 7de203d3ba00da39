"""The embedded folksonomy: what a crowd of simulated listeners writes on the pieces.

A track draws some number of listeners (a long tail), each gives a few words. A listener thinks of one of the track's
concepts, more readily of its genre than of its instruments, or of something personal, and writes it in one of its
spellings. The crowd as a whole misses some concepts and believes some wrong ones; now and then a listener slips.
Weights are counts scaled so that a track's top tag has 100, as last.fm's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.demo.plan import Piece
from folksong.demo.recipes import Recipes, read_data
from folksong.demo.vocabulary import TRUE_KINDS, TagTruth, Vocabulary, build_vocabulary
from folksong.tags.table import TagTable


@dataclass(frozen=True)
class Folksonomy:
    """The crowd's tags and the truth about them.

    Attributes:
        table: the tags, weights 0 to 100.
        tag_truth: what each of the table's tags means, in the order of its columns.
        verdicts: (track id, tag) -> "right", "wrong" or "opinion" for every entry of the table.
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
    n_tags = len(vocabulary.truth)
    counts = np.zeros((len(pieces), n_tags), np.int64)
    for row, piece in enumerate(pieces):
        counts[row] = _counts(recipes, vocabulary, settings, piece)
    used = np.flatnonzero(counts.any(axis=0))
    counts = counts[:, used]
    truth = [vocabulary.truth[column] for column in used]
    order = sorted(range(len(truth)), key=lambda column: truth[column].tag)
    counts, truth = counts[:, order], [truth[column] for column in order]
    rows, columns = np.nonzero(counts)
    weights = np.floor(100.0 * counts[rows, columns] / counts.max(axis=1)[rows]).astype(np.float32)
    table = TagTable.from_codes(
        [piece.track_id for piece in pieces], [entry.tag for entry in truth], rows, columns, weights
    )
    facts = [set(true_concepts(recipes, piece)) for piece in pieces]
    verdicts = {
        (pieces[row].track_id, truth[column].tag): _verdict(truth[column], facts[row])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    }
    return Folksonomy(table, tuple(truth), verdicts)


def _verdict(entry: TagTruth, facts: set[tuple[str, str]]) -> str:
    if entry.kind not in TRUE_KINDS:
        return "opinion"
    return "right" if (entry.kind, entry.concept) in facts else "wrong"


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
    believed = [
        ("subjective", "liking"),
        ("personal", "personal"),
        ("artist", piece.artist.name),
    ]
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
