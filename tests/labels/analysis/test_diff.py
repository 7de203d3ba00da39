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


def test_16_c9_spaces_of_100_000_labels_are_compared():
    tags = [f"tag {number}" for number in range(100_000)]
    alone = LabelSpace(tuple(Label(tag, (tag,)) for tag in tags))
    pairs = LabelSpace(
        tuple(Label(first, (first, second)) for first, second in zip(tags[1::2], tags[::2], strict=True))
    )
    found = diff(pairs, alone)
    assert (found.n_common, found.adjusted_rand) == (100_000, 0)
    assert [(move.tag, move.expected) for move in found.moved[:2]] == [("tag 1", "tag 0"), ("tag 3", "tag 2")]
    assert len(found.moved) == 50_000
