"""Model 4.1: NPMI against plain loops, trees, main tags."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from folksong.errors import FolksongError
from folksong.labels import npmi
from folksong.labels.npmi import LINKAGES, cut_tree
from folksong.labels.space import Label, LabelSpace
from folksong.tags.cooccurrence import counts, npmi_distance, pmi, tracks_with
from folksong.tags.table import TagTable

from .conftest import GENRES

SPACE = LabelSpace(
    tuple(Label(name, tuple(GENRES[name])) for name in ("metal", "electronic")), {"Techno": "techno"}
)


def npmi_distance_reference(sets, tags):
    n = len(sets)
    result = np.zeros((len(tags), len(tags)))
    for i, first in enumerate(tags):
        for j, second in enumerate(tags):
            p_first = sum(first in tags_of for tags_of in sets) / n
            p_second = sum(second in tags_of for tags_of in sets) / n
            both = sum(first in tags_of and second in tags_of for tags_of in sets) / n
            if i == j:
                value = 1.0
            elif both == 0:
                value = -1.0
            elif both == 1:
                value = 1.0
            else:
                value = math.log(p_first * p_second) / math.log(both) - 1
            result[i, j] = 1 - value
    return result


def test_npmi_worked_example():
    # 4 tracks: P(a) = 1/2, P(b) = 3/4, P(a, b) = 1/2: NPMI = log(3/8) / log(1/2) - 1 = 0.41504
    table = TagTable.from_pairs(["1", "2", "1", "2", "3", "4"], ["a", "a", "b", "b", "b", "c"])
    distance = npmi_distance(table, ["a", "b", "c"])
    np.testing.assert_allclose(distance, [[0, 0.58496, 2], [0.58496, 0, 2], [2, 2, 0]], atol=1e-5)
    assert pmi(table, ["a", "b"])[0, 1] == pytest.approx(math.log(0.5 / (0.5 * 0.75)))
    assert counts(table, ["b", "a"]).tolist() == [[3, 2], [2, 2]]


@settings(deadline=None)
@given(st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=12).filter(lambda sets: any(sets)))
def test_npmi_distance_properties_and_reference(sets):
    pairs = [(str(track), tag) for track, tags in enumerate(sets) for tag in tags]
    tracks = [str(track) for track in range(len(sets))]
    table = TagTable.from_pairs(*zip(*pairs, strict=True))
    missing = [track for track in tracks if track not in table.track_index]
    weights = np.zeros((len(tracks), table.n_tags), np.float32)
    weights[: table.n_tracks] = table.presence.toarray()
    table = TagTable([*table.track_ids, *missing], table.tags, weights)
    distance = npmi_distance(table)
    assert (np.diagonal(distance) == 0).all()
    assert (distance == distance.T).all()
    assert distance.min() >= 0
    assert distance.max() <= 2
    assert (distance[counts(table) == 0] == 2).all()
    np.testing.assert_allclose(distance, npmi_distance_reference(sets, table.tags), atol=1e-12)


@pytest.mark.parametrize("method", LINKAGES)
def test_cut_tree_equals_scipys_cut_where_heights_differ(method):
    points = np.random.default_rng(2).normal(size=(30, 3))
    tree = linkage(pdist(points), method)
    for k in range(1, 31):
        mine, theirs = cut_tree(tree, k), fcluster(tree, k, "maxclust")
        assert len(set(mine)) == k
        assert len(set(zip(mine, theirs, strict=True))) == k
        assert list(dict.fromkeys(mine)) == sorted(set(mine))  # numbered by their first point


def test_cut_tree_gives_exactly_k_where_heights_tie():
    tree = linkage(np.ones(15), "average")
    assert [len(set(cut_tree(tree, k))) for k in range(1, 7)] == [1, 2, 3, 4, 5, 6]


def average_linkage_reference(distances, k):
    clusters = [[i] for i in range(len(distances))]
    while len(clusters) > k:
        best = min(
            ((np.mean([distances[a][b] for a in first for b in second]), i, j)
             for i, first in enumerate(clusters) for j, second in enumerate(clusters) if i < j),
        )  # fmt: skip
        clusters[best[1]] += clusters.pop(best[2])
    return {frozenset(cluster) for cluster in clusters}


def clusterings(table, **settings):
    found = []
    npmi(table, SPACE, on_genre=found.append, **settings)
    return found


def test_model_41_follows_its_definition(table):
    clustering = clusterings(table)[1]
    popular = sorted(GENRES["electronic"], key=lambda tag: -table.counts[table.tag_index[tag]])
    assert clustering.main == popular[0] == "electronic"
    assert set(clustering.tags) == set(GENRES["electronic"]) - {"electronic"}
    assert sorted(clustering.silhouettes) == [5, 6]  # 7 tags: 5 to min(20, 6)
    k = len(set(clustering.numbers))
    assert clustering.silhouettes[k] == max(clustering.silhouettes.values()) == clustering.silhouette
    mine = {frozenset(np.flatnonzero(clustering.numbers == number).tolist()) for number in range(k)}
    assert mine == average_linkage_reference(clustering.distances, k)
    space = npmi(table, SPACE)
    assert all(len(label.tags) > 1 for label in space.labels)
    assert not {"metal", "electronic"} & {tag for label in space.labels for tag in label.tags}
    assert ("techno", "house")[0] in {
        tag for label in space.labels for tag in label.tags
    } or not space.aliases


def test_main_tag_kept_or_as_a_label_of_its_own(table):
    kept = clusterings(table, keep_main=True)
    assert all(clustering.main is None and len(clustering.tags) == 8 for clustering in kept)
    own = npmi(table, SPACE, main_as_label=True)
    assert Label("metal", ("metal",)) in own.labels
    assert Label("electronic", ("electronic",)) in own.labels


def test_population_genre_takes_shares_over_the_genres_tracks(table):
    over_all, over_genre = (clusterings(table, population=p)[0] for p in ("all", "genre"))
    tracks = table.select_tracks(table.track_ids[tracks_with(table, any_of=GENRES["metal"])])
    assert 0 < tracks.n_tracks < table.n_tracks
    np.testing.assert_array_equal(over_genre.distances, npmi_distance(tracks, over_genre.tags))
    assert not np.allclose(over_all.distances, over_genre.distances)


def test_wrong_settings(table):
    with pytest.raises(FolksongError, match="the linkage must be one of average, complete, single"):
        npmi(table, SPACE, linkage="ward")
    with pytest.raises(FolksongError, match="the population must be"):
        npmi(table, SPACE, population="some")


def test_shares_of_pairs_as_the_thesis_takes_them(table):
    found = clusterings(table, population="pairs")[0]
    together = counts(table, found.tags)
    n = sum(int(value) for row in together for value in row)
    for i in range(len(found.tags)):
        for j in range(len(found.tags)):
            p_i, p_j, both = together[i, i] / n, together[j, j] / n, together[i, j] / n
            npmi_ij = 1 if i == j else -1 if both == 0 else math.log(p_i * p_j) / math.log(both) - 1
            assert found.distances[i, j] == pytest.approx(1 - npmi_ij, abs=1e-12)
    assert npmi(table, SPACE, population="pairs").provenance["population"] == "pairs"
