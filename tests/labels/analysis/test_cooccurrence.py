"""Co-occurrence of labels against plain loops over tracks."""

import math

import numpy as np
import pytest
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.labels import cooccurrence, propose_genres
from folksong.labels.analysis.cooccurrence import doubtful
from folksong.labels.space import Label, LabelSpace
from folksong.tags.table import TagTable

LABELS = (Label("rock", ("rock", "indie")), Label("metal", ("metal",)), Label("pop", ("pop",), ("indie",)))
SPACE = LabelSpace((*LABELS, Label("x", ("x",))))
TRACKS = [
    {"rock", "indie"},
    {"rock", "metal"},
    {"metal", "indie"},
    {"metal", "rock"},
    {"pop"},
    {"rock"},
    {"jazz"},
]


def table():
    pairs = [(f"t{number}", tag) for number, tags in enumerate(TRACKS) for tag in sorted(tags)]
    return TagTable.from_pairs(*zip(*pairs, strict=True))


def test_equals_loops_over_tracks():
    found = cooccurrence(SPACE, table())
    has = [[bool(tags & set(label.members)) for label in SPACE.labels] for tags in TRACKS]
    for i in range(4):
        for j in range(4):
            n_ij, n_i, n_j = (
                sum(track[a] and track[b] for track in has) for a, b in ((i, j), (i, i), (j, j))
            )
            assert found.counts[i, j] == n_ij
            expected = n_ij / math.sqrt(n_i * n_j) if n_i and n_j else 0
            assert found.normalised[i, j] == pytest.approx(expected, abs=1e-12)
    assert found.names == SPACE.names


def test_m_correlated_pairs():
    # rock is on 5 tracks, metal on 3 and pop on 3; rock and metal share 3, rock and pop 2, metal and pop 1.
    found = cooccurrence(SPACE, table())
    assert [pair[:3] for pair in found.correlated(1.5)] == [
        (0, 1, 3)
    ]  # 2 > 3 / 1.5 does not hold: it is equal
    assert [pair[:3] for pair in found.correlated(1.51)] == [(0, 1, 3), (0, 2, 2)]
    assert [pair[:2] for pair in found.correlated(3.1)] == [(0, 1), (0, 2), (1, 2)]
    assert np.all(np.diff([pair.normalised for pair in found.correlated(3.1)]) <= 0)
    with pytest.raises(FolksongError, match="m must be a number above 0, not -1"):
        found.correlated(-1)


def test_m_correlated_genres_are_proposed():
    proposal = propose_genres(SPACE, table(), m=1.5)
    assert proposal.choice.genres == (0, 1, 2)
    assert proposal.choice.merges == ((0, 1),)
    assert propose_genres(SPACE, table(), m=1.51).choice.merges == ((0, 1), (0, 2))


def test_more_labels_than_a_matrix_has_room_for():
    space = LabelSpace(tuple(Label(f"l{number}", (f"l{number}",)) for number in range(10_001)))
    with pytest.raises(FolksongError, match="10,000 labels at most, and the space has 10,001"):
        cooccurrence(space, table())


def test_16_c9_of_very_many_labels_the_pairs_alone_are_not_looked_at(monkeypatch):
    table = TagTable(["a", "b"], ["x", "y"], sp.csr_matrix(np.ones((2, 2))))
    space = LabelSpace((Label("x", ("x",)), Label("y", ("y",))))
    assert sum("nearly the same tracks" in line for line in doubtful(space, table)) == 1
    monkeypatch.setattr("folksong.labels.analysis.cooccurrence.MOST_LABELS", 1)
    *lines, last = doubtful(space, table)
    assert len(lines) == 2
    assert all("more than a third" in line for line in lines)
    assert last == "which of more than 1 labels have nearly the same tracks is not looked at"
