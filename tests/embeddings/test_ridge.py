"""Company that words let expect, against scikit-learn's ridge regression."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from folksong.embeddings.ridge import RIDGE, expected_company


@pytest.fixture
def planted():
    """Company is a linear image of the words, with noise; the last 50 tags are not learned from."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(250, 12))
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    company = words @ rng.normal(size=(12, 6)) + 0.3 + 0.05 * rng.normal(size=(250, 6))
    return words, company / np.linalg.norm(company, axis=1, keepdims=True), np.arange(250) < 200


def test_equals_scikit_learn(planted):
    words, company, learned = planted
    words[7], company[9] = 0, 0  # no words, no company: passed over
    used = learned & (np.arange(250) != 7) & (np.arange(250) != 9)
    reference = Ridge(alpha=RIDGE).fit(words[used], company[used]).predict(words)
    reference[7] = 0
    np.testing.assert_allclose(expected_company(words, company, learned), reference, atol=1e-10)


def test_foretells_the_company_of_tags_that_were_not_learned(planted):
    words, company, learned = planted
    found = expected_company(words, company, learned)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    cosines = (found * company).sum(axis=1)
    assert cosines[~learned].mean() > 0.9
    assert (found * np.roll(company, 1, axis=0)).sum(axis=1)[~learned].mean() < 0.7


def test_nothing_to_learn_from_expects_nothing(planted):
    words, company, learned = planted
    for w, c, rows in (
        (words * 0, company, learned),
        (words, company * 0, learned),
        (words, company, learned & False),
    ):
        np.testing.assert_array_equal(expected_company(w, c, rows), np.zeros_like(company))
