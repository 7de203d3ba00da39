"""The radix sort orders every float as NumPy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from folksong.metrics import sorting


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: hnp.arrays(dtype, st.integers(1, 60), elements={"allow_nan": False})
    )
)
def test_radix_sort_is_numpys_sort(values):
    np.testing.assert_array_equal(sorting.radix_sort(values), np.sort(values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("faster", [True, False])
def test_both_ways_sort_many_values(monkeypatch, dtype, faster):
    monkeypatch.setattr(sorting, "radix_is_faster", lambda _: faster)
    rng = np.random.default_rng(5)
    values = (rng.standard_normal(100_000) * 10.0 ** rng.integers(-30, 30, 100_000)).astype(dtype)
    before = values.copy()
    np.testing.assert_array_equal(sorting.sort_floats(values), np.sort(values))
    np.testing.assert_array_equal(values, before)


def test_equal_zeros_and_constant_values():
    zeros = np.array([0.0, -0.0, 0.0], np.float32)
    assert sorting.radix_sort(zeros).tolist() == [0, 0, 0]
    assert sorting.radix_sort(np.full(3, -2.5)).tolist() == [-2.5] * 3


@pytest.mark.parametrize("sign", [1, -1])
def test_nan_of_either_sign_sorts_to_an_end(sign):
    values = np.array([3.0, -np.inf, np.inf, 0.0], np.float32)
    values[3] = np.copysign(np.nan, sign)
    ordered = sorting.radix_sort(values)
    assert np.isnan(ordered[0]) or np.isnan(ordered[-1])
