"""Counting in buckets gives the positions that a whole sort gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from folksong.metrics import ranks as positions


def by_sorting(scores, values):
    ordered = np.sort(scores)
    return np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")


@pytest.fixture(scope="module", autouse=True)
def buckets_for_few_scores():
    """Let small cases take the way of the large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(positions, "LEAST_SCORES", 0)
        patch.setattr(positions, "LARGEST_SHARE", 1.0)
        yield


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_floats(data):
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    few = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 1e-40, 0.5, 1.0, np.inf])
    elements = data.draw(
        st.sampled_from([few, st.floats(width=8 * np.dtype(dtype).itemsize, allow_nan=False)])
    )
    scores = data.draw(hnp.arrays(dtype, st.integers(1, 60), elements=elements))
    chosen = data.draw(st.lists(st.integers(0, len(scores) - 1), min_size=1, max_size=10))
    values = np.unique(scores[chosen])
    before = scores.copy()
    found = positions.count_below(scores, values)
    for counted, expected in zip(found, by_sorting(scores, values), strict=True):
        np.testing.assert_array_equal(counted, expected)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["probabilities", "logits", "huge range", "ties", "one outlier"])
@pytest.mark.parametrize("n_values", [1, 300, 6000])
def test_many_scores(dtype, kind, n_values):
    rng = np.random.default_rng(5)
    logits = rng.standard_normal(100_000) * 2 - 4
    scores = {
        "probabilities": 1 / (1 + np.exp(-logits)),
        "logits": logits,
        "huge range": logits * 10.0 ** rng.integers(-30, 30, len(logits)),
        "ties": logits.round(1),
        "one outlier": np.append(logits[1:], 3e38),
    }[kind].astype(dtype)
    values = np.unique(rng.choice(scores, n_values))
    for counted, expected in zip(
        positions.count_below(scores, values), by_sorting(scores, values), strict=True
    ):
        np.testing.assert_array_equal(counted, expected)
