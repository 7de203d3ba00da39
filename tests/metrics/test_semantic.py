"""The meaning of mistakes: a hand-computed example, plain loops, and bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folksong.errors import FolksongError
from folksong.metrics import mistakes_in_meaning

VECTORS = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0], [0, 0]])


def test_by_hand():
    targets = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 1]]
    scores = [
        [
            0.1,
            0.9,
            0.2,
            0.3,
            0.99,
        ],  # says the second for the first: 1 - 0.6; the label without a vector is passed over
        [0.8, 0.1, 0.3, 0.7, 0.5],  # one right, and the fourth: nearest true one is the second, 1 + 0.6
        [0.9, 0.9, 0.9, 0.9, 0.1],  # no true label with a vector: takes no part
        [0.1, 0.2, 0.9, 0.3, 0.1],  # right
    ]
    found = mistakes_in_meaning(targets, scores, VECTORS)
    assert found.numbers.tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(found.distances, [0.4, 1.6, 0, 0], atol=1e-12)
    assert found.mean_distance == pytest.approx(1.0)


def loops(targets, scores, vectors):
    numbers, distances = [], []
    for true, row in zip(targets, scores, strict=True):
        known = [i for i in range(len(vectors)) if any(vectors[i])]
        mine = [i for i in known if true[i]]
        best = sorted(known, key=lambda i: (-row[i], i))[: len(mine)]
        wrong = [i for i in best if not true[i]]
        numbers.append(len(wrong))
        distances.append(sum(1 - max(float(vectors[i] @ vectors[j]) for j in mine) for i in wrong))
    return numbers, distances


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 7))
def test_equal_to_plain_loops(seed, n_tracks, n_labels):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_labels, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[rng.random(n_labels) < 0.2] = 0
    targets = rng.random((n_tracks, n_labels)) < 0.4
    scores = rng.integers(0, 4, (n_tracks, n_labels)) / 4  # ties
    found = mistakes_in_meaning(targets, scores, vectors)
    numbers, distances = loops(targets, scores, vectors)
    assert found.numbers.tolist() == numbers
    np.testing.assert_allclose(found.distances, distances, atol=1e-12)


def test_no_mistake_has_no_distance_and_bad_input_is_told():
    assert np.isnan(mistakes_in_meaning([[1, 0]], [[0.9, 0.1]], VECTORS[:2]).mean_distance)
    with pytest.raises(FolksongError, match="2 labels do not fit label vectors"):
        mistakes_in_meaning([[1, 0]], [[0.9, 0.1]], VECTORS)
    with pytest.raises(FolksongError, match="NaN"):
        mistakes_in_meaning([[1, 0]], [[np.nan, 0.1]], VECTORS[:2])
