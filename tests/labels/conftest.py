import numpy as np
import pytest

from folksong.embeddings.words import StoredVectors
from folksong.tags.table import TagTable

GENRES = {
    "metal": [
        "metal",
        "death metal",
        "black metal",
        "thrash metal",
        "doom metal",
        "power metal",
        "grindcore",
        "sludge",
    ],
    "electronic": ["electronic", "techno", "house", "trance", "ambient", "dub", "glitch", "electro"],
    "mood": ["sad", "happy", "mellow", "dark"],
}


def make_table(n_tracks=400, seed=0):
    """Tracks of two genres, tags in pairs that go together, and moods across them."""
    rng = np.random.default_rng(seed)
    tracks, tags = [], []
    for track in range(n_tracks):
        genre = ("metal", "electronic")[track % 2]
        members = GENRES[genre]
        pair = rng.integers(0, 4)
        carried = {members[0], members[2 * pair % len(members)], members[(2 * pair + 1) % len(members)]}
        carried |= {tag for tag in members if rng.random() < 0.06}
        carried |= {tag for tag in GENRES["mood"] if rng.random() < 0.2}
        tracks += [f"t{track}"] * len(carried)
        tags += sorted(carried)
    return TagTable.from_pairs(tracks, tags)


def make_vectors():
    rng = np.random.default_rng(1)
    words, rows = [], []
    for number, members in enumerate(GENRES.values()):
        direction = np.zeros(8)
        direction[number] = 3
        for word in sorted({word for tag in members for word in tag.split()}):
            words.append(word)
            rows.append(direction + 0.3 * rng.normal(size=8))
    return StoredVectors(words, np.array(rows, np.float32), "made for tests")


@pytest.fixture(scope="session")
def table():
    return make_table()


@pytest.fixture(scope="session")
def vectors():
    return make_vectors()


@pytest.fixture
def shuffled(table):
    """The same table with its rows and columns in another order."""
    rng = np.random.default_rng(5)
    rows, columns = rng.permutation(table.n_tracks), rng.permutation(table.n_tags)
    return TagTable(table.track_ids[rows], table.tags[columns], table.weights[rows][:, columns])
