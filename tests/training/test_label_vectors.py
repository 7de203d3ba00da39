"""Unit vectors of labels, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from folksong.embeddings.words import StoredVectors
from folksong.labels import Label, LabelSpace
from folksong.training.label_vectors import embed_labels

WORDS = {"rock": [3.0, 4.0], "rap": [0.0, 2.0], "metal": [1.0, 0.0], "anti": [-1.0, 0.0]}
VECTORS = StoredVectors(tuple(WORDS), np.array(list(WORDS.values()), np.float32), "words")
SPACE = LabelSpace(
    (
        Label("rock", ("rock",)),
        Label("loud", ("rock", "metal", "unheard")),
        Label("unheard", ("unheard",)),
        Label("nothing", ("metal", "anti")),
    )
)


def unit(x, y):
    return [x / math.hypot(x, y), y / math.hypot(x, y)]


def test_vectors_are_count_weighted_means_of_unit_vectors():
    found = embed_labels(SPACE, VECTORS, {"rock": 30, "metal": 10, "unheard": 500})
    np.testing.assert_allclose(found.vectors[0], [0.6, 0.8], atol=1e-6)
    np.testing.assert_allclose(found.vectors[1], unit(30 * 0.6 + 10, 30 * 0.8), atol=1e-6)
    assert not found.vectors[2].any()
    assert found.source == "words"


def test_without_counts_tags_weigh_the_same():
    expected = unit(0.6 + 1, 0.8)
    for counts in (None, {}, {"rap": 3}):
        np.testing.assert_allclose(embed_labels(SPACE, VECTORS, counts).vectors[1], expected, atol=1e-6)


def test_labels_without_a_direction_are_listed():
    assert embed_labels(SPACE, VECTORS).missing == ("unheard", "nothing")


@pytest.mark.parametrize("counts", [None, {"rock": 3, "metal": 1, "anti": 1}])
def test_lengths_are_one_or_zero(counts):
    lengths = np.linalg.norm(embed_labels(SPACE, VECTORS, counts).vectors, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 0], atol=1e-6)
