"""Co-occurrence vectors predicted from words, against scikit-learn's ridge regression."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from folksong.embeddings.ppmi import RIDGE, predict_from_words


@pytest.fixture
def planted():
    """Co-occurrence is a linear image of the words, with noise; the last 50 tags are not learned from."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(250, 12))
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    vectors = words @ rng.normal(size=(12, 6)) + 0.3 + 0.05 * rng.normal(size=(250, 6))
    return words, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.arange(250) < 200


def test_equals_scikit_learn(planted):
    words, vectors, learned = planted
    words[7], vectors[9] = 0, 0  # no words, no co-occurrence: passed over
    used = learned & (np.arange(250) != 7) & (np.arange(250) != 9)
    reference = Ridge(alpha=RIDGE).fit(words[used], vectors[used]).predict(words)
    reference[7] = 0
    np.testing.assert_allclose(predict_from_words(words, vectors, learned), reference, atol=1e-10)


def test_predicts_tags_that_were_not_learned(planted):
    words, vectors, learned = planted
    found = predict_from_words(words, vectors, learned)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    cosines = (found * vectors).sum(axis=1)
    assert cosines[~learned].mean() > 0.9
    assert (found * np.roll(vectors, 1, axis=0)).sum(axis=1)[~learned].mean() < 0.7


def test_nothing_to_learn_from_predicts_nothing(planted):
    words, vectors, learned = planted
    for w, c, rows in (
        (words * 0, vectors, learned),
        (words, vectors * 0, learned),
        (words, vectors, learned & False),
    ):
        np.testing.assert_array_equal(predict_from_words(w, c, rows), np.zeros_like(vectors))
