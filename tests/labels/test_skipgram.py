"""Model 4.2: pairs that go together are found, wrong settings."""

import pytest

from folksong.errors import FolksongError
from folksong.labels import skipgram
from folksong.labels.space import Label, LabelSpace

from .conftest import GENRES

SPACE = LabelSpace(
    tuple(Label(name, tuple(GENRES[name])) for name in ("metal", "electronic")), {"Techno": "techno"}
)


def test_model_42_finds_the_pairs(table):
    clusterings = []
    space = skipgram(table, SPACE, seed=1, on_genre=clusterings.append)
    assert [clustering.genre.name for clustering in clusterings] == ["metal", "electronic"]
    for clustering in clusterings:
        assert clustering.tree is None
        assert clustering.distances.shape == (7, 7)
        assert (clustering.distances == clustering.distances.T).all()
    assert space.provenance["builder"] == "skipgram"
    assert all(len(label.tags) > 1 for label in space.labels)


def test_wrong_settings(table):
    with pytest.raises(FolksongError, match="softmax"):
        skipgram(table, SPACE, output="tanh")
