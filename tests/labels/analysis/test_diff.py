"""Agreement of two spaces against scikit-learn, and what moved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from folksong.labels import diff
from folksong.labels.analysis.diff import (
    Move,
    adjusted_rand_index,
    contingency,
    normalised_mutual_information,
)
from folksong.labels.space import Label, LabelSpace


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_indices_equal_scikit_learns(pairs):
    first, second = np.array(pairs).T
    table = contingency(first, second)
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_score(first, second), abs=1e-9)
    assert normalised_mutual_information(table) == pytest.approx(
        normalized_mutual_info_score(first, second), abs=1e-9
    )


def test_what_moved():
    before = LabelSpace((Label("a", ("a", "b", "c")), Label("d", ("d", "gone"))), {"C": "c"})
    after = LabelSpace((Label("a", ("a", "b", "new")), Label("d", ("d", "C"))))
    found = diff(before, after)
    assert found.n_common == 4
    assert found.moved == (Move("C", "a", "d", "a"),)
    assert found.only_first == ("c", "gone")
    assert found.only_second == ("new",)
    assert diff(before, before).adjusted_rand == 1
    assert np.isnan(diff(before, LabelSpace((Label("x", ("x",)),))).adjusted_rand)
