"""Inside genres: silhouettes against plain loops and scikit-learn, small genres, names, plots."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples as peer_silhouette

from folksong.errors import FolksongError
from folksong.labels import npmi, skipgram
from folksong.labels.dictionary import read_tag_dictionary, space_of_dictionary
from folksong.labels.genres import keep_genres, read_genres
from folksong.labels.space import Label, LabelSpace
from folksong.labels.subgenres import FEWEST_CLUSTERS, MOST_CLUSTERS, cosine_silhouettes, silhouette_samples
from folksong.tags.table import TagTable

from .conftest import GENRES

EARLIER = Path(__file__).resolve().parents[3] / "shared" / "data" / "earlier-project"
SPACE = LabelSpace(
    tuple(Label(name, tuple(GENRES[name])) for name in ("metal", "electronic")), {"Techno": "techno"}
)


def silhouette_reference(distances, numbers):
    values = []
    for i, own in enumerate(numbers):
        others = [j for j, number in enumerate(numbers) if number == own and j != i]
        if not others:
            values.append(0.0)
            continue
        a = sum(distances[i][j] for j in others) / len(others)
        means = []
        for cluster in set(numbers) - {own}:
            members = [j for j, number in enumerate(numbers) if number == cluster]
            means.append(sum(distances[i][j] for j in members) / len(members))
        values.append((min(means) - a) / max(a, min(means)) if max(a, min(means)) else 0.0)
    return np.array(values)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 14), st.integers(2, 6), st.integers(0, 999))
def test_silhouette_equals_the_loops_and_scikit_learn(n, k, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(k, size=n)
    distances = np.abs(rng.normal(size=(n, 1)) - rng.normal(size=(1, n)))
    distances = np.round(distances + distances.T, 2)
    np.fill_diagonal(distances, 0)
    if not 2 <= len(set(numbers)) <= n - 1:
        with pytest.raises(FolksongError, match="a silhouette needs 2 to"):
            silhouette_samples(distances, numbers)
        return
    found = silhouette_samples(distances, numbers)
    np.testing.assert_allclose(found, silhouette_reference(distances, numbers.tolist()), atol=1e-12)
    np.testing.assert_allclose(found, peer_silhouette(distances, numbers, metric="precomputed"), atol=1e-12)
    points = rng.normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    by_angle = cosine_silhouettes(points, numbers)
    np.testing.assert_allclose(by_angle, peer_silhouette(points, numbers, metric="cosine"), atol=1e-9)


def test_a_genre_with_fewer_than_six_tags_stays_one_label(table, caplog):
    small = LabelSpace((Label("mood", tuple(GENRES["mood"])), SPACE.labels[0]))
    for build in (npmi, skipgram):
        caplog.clear()
        space = build(table, small)
        assert set(space.labels[0].tags) == set(GENRES["mood"])
        assert "genre 'mood': 3 tags to cluster are fewer than 6; it stays one label" in caplog.text


@pytest.mark.parametrize("build", [npmi, skipgram])
def test_a_person_may_name_another_tag_the_main_one(build, table):
    popular, *_, other = sorted(GENRES["metal"], key=lambda tag: -table.counts_by_tag[tag])
    for name, main in ((popular, popular), (other, other), ("heavy", popular)):
        space = build(table, LabelSpace((Label(name, tuple(GENRES["metal"])),)), main_as_label=True)
        assert Label(main, (main,)) in space.labels


def test_tags_on_no_track_are_left_out_and_clashing_names_told_apart(table, caplog):
    twice = LabelSpace((SPACE.labels[0], Label("again", (*GENRES["metal"], "on no track"))))
    space = npmi(table, twice)
    assert "genre 'again': 1 of its tags are on no track" in caplog.text
    names = set(space.names)
    assert len(names) == len(space)
    assert any(name.endswith(" (again)") for name in names)


@pytest.mark.parametrize("build", [npmi, skipgram])
def test_same_bytes_whatever_the_order(build, table, shuffled, tmp_path):
    build(table, SPACE, provenance={"table_sha256": "-"}).write(tmp_path / "a.json")
    build(shuffled, SPACE, provenance={"table_sha256": "-"}).write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("build", [npmi, skipgram])
def test_rare_tags_are_left_out_below_the_fourth_root_of_the_most_frequent(build):
    sizes = {"main": 81, "a": 50, "b": 40, "c": 30, "d": 20, "e": 10, "f": 5, "g": 3, "h": 2, "i": 1}
    pairs = [(f"t{track}", tag) for tag, size in sizes.items() for track in range(size)]
    table = TagTable.from_pairs(*zip(*pairs, strict=True))
    genre = LabelSpace((Label("main", tuple(sizes)),))
    kept = {
        tag for label in build(table, genre, main_as_label=True, drop_rare=True).labels for tag in label.tags
    }
    assert not {"h", "i"} & kept  # 81 ** 0.25 = 3: g stays
    everything = build(table, genre, main_as_label=True)
    assert everything.provenance["drop_rare"] is False
    assert build(table, genre, drop_rare=True).provenance["drop_rare"] is True


@pytest.mark.skipif(not EARLIER.is_dir(), reason=f"{EARLIER} (the earlier project's own files) is not here")
@pytest.mark.parametrize(("name", "n_tags"), [("npmi", 861), ("tag_embeddings", 879)])
def test_published_dictionaries_are_such_clusters_of_the_published_genres(name, n_tags):
    """No cluster leaves its genre or is a single tag; what is left out is the main tag and tags that were alone."""
    clusters = read_tag_dictionary(
        EARLIER / "dictionary_clusters/glove-wikipedia/100_models/tags_dict_100.pkl"
    )
    table = TagTable.from_pairs(["a"] * len(clusters), sorted(clusters))
    genres = keep_genres(space_of_dictionary(clusters, table), read_genres(EARLIER), table)
    numbers = read_tag_dictionary(EARLIER / "dictionary_clusters" / name)
    assert len(numbers) == n_tags
    genre_of = {tag: label.name for label in genres.labels for tag in label.tags}
    cluster_of = {(genre_of[tag], number) for tag, number in numbers.items()}
    assert len(cluster_of) == len(set(numbers.values()))
    assert min(Counter(numbers.values()).values()) >= 2
    for label in genres.labels:
        left_out = len(set(label.tags) - set(numbers))
        n_clusters = sum(genre == label.name for genre, _ in cluster_of)
        assert left_out >= 1  # the main tag
        assert FEWEST_CLUSTERS <= n_clusters + left_out - 1 <= MOST_CLUSTERS
