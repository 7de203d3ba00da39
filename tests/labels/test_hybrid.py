"""Co-occurrence vectors against plain loops; the hybrid's merging, linking, pairs, rare tags and determinism."""

import math
import sys
from functools import partial

import numpy as np
import pytest

from folksong.embeddings import ppmi
from folksong.embeddings.ppmi import ppmi_vectors
from folksong.errors import FolksongError
from folksong.labels import Pair
from folksong.labels import hybrid as hybrid_by_facet
from folksong.labels.hybrid_vectors import hybrid_vectors
from folksong.tags.table import TagTable

hybrid = partial(hybrid_by_facet, across_facets=True)


def ppmi_reference(table, tags, contexts, shrinkage):
    together = [[sum({a, b} <= {t for t, _ in table.tags_of(track)} for track in table.track_ids) if a != b else 0
                 for b in contexts] for a in tags]  # fmt: skip
    by_context = [sum(row[c] for row in together) ** 0.75 for c in range(len(contexts))]
    result = np.zeros((len(tags), len(contexts)))
    for i, row in enumerate(together):
        for j, count in enumerate(row):
            if count:
                information = math.log(count * sum(by_context) / (sum(row) * by_context[j]))
                result[i, j] = max(0.0, information) * count / (count + shrinkage)
    return result


def test_values_equal_the_loops(table):
    small = table.select_tracks(table.track_ids[:60])
    tags = list(small.popularity().tags)
    contexts = np.array([small.tag_index[tag] for tag in tags[:8]])
    columns = np.array([small.tag_index[tag] for tag in tags])
    strengths = ppmi._strengths(small, False)
    theirs = strengths[:, contexts]
    totals = ppmi._context_totals(strengths, columns, theirs, contexts)
    found = ppmi._shrunk_ppmi(strengths, columns, theirs, contexts, totals).toarray()
    np.testing.assert_allclose(found, ppmi_reference(small, tags, tags[:8], 8), atol=1e-12)


def test_vectors_keep_the_geometry_of_the_svd(table):
    tags = list(table.popularity().tags)
    found = ppmi_vectors(table, tags, dimension=4, min_context_count=1)
    values = ppmi_reference(table, tags, tags, 8)
    left, sizes, _ = np.linalg.svd(values)
    expected = left[:, :4] * np.sqrt(sizes[:4])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_tags_block_by_block_have_the_same_vectors(table, monkeypatch, weighted):
    tags = list(table.popularity().tags)
    least = int(np.median(table.counts)) + 1
    frequent = [tag for tag in tags if table.counts_by_tag[tag] >= least]
    at_once = ppmi_vectors(table, tags, min_context_count=least, weighted=weighted)
    monkeypatch.setattr(ppmi, "BLOCK", len(frequent))
    blocks = ppmi_vectors(table, tags, min_context_count=least, weighted=weighted)
    assert 2 < len(frequent) < len(tags)
    np.testing.assert_allclose(blocks @ blocks.T, at_once @ at_once.T, atol=1e-5)


def test_a_tag_that_co_occurs_with_none_has_no_vector():
    table = TagTable.from_pairs(["1", "1", "2", "2", "3"], ["a", "b", "a", "b", "lonely"])
    found = ppmi_vectors(table, ["a", "b", "lonely"], min_context_count=1)
    assert np.linalg.norm(found, axis=1).round(5).tolist() == [1, 1, 0]
    with pytest.raises(FolksongError, match="2 tags with 10 counts or more, and there are 0"):
        ppmi_vectors(table, ["a"])
    with pytest.raises(FolksongError, match="'z' is not in the table"):
        ppmi_vectors(table, ["z"], min_context_count=1)


@pytest.fixture(scope="module")
def messy():
    """Two worlds, each with a spelling variant, a derived form, a rare tag, and a word that means two things."""
    rng = np.random.default_rng(4)
    worlds = [
        ["hip-hop", "hip hop", "rap", "beats", "country", "relax"],
        ["metal", "thrash", "Metal", "doom", "countries", "relaxing"],
    ]
    pairs = []
    for track in range(300):
        world = worlds[track % 2]
        pairs += [(f"t{track}", str(tag)) for tag in rng.choice(world, 3, replace=False)]
        if track in (0, 2, 4):
            pairs.append((f"t{track}", "rare rap"))
    return TagTable.from_pairs(*zip(*pairs, strict=True))


def label_of(space, tag):
    (number,) = space.labels_of(tag)
    return number


def test_variants_become_aliases_and_rare_tags_join_those_they_meet(messy):
    space = hybrid(messy, None, n_clusters=2)
    assert {frozenset(item) for item in space.aliases.items()} == {
        frozenset({"hip hop", "hip-hop"}),
        frozenset({"metal", "Metal"}),
    }
    assert label_of(space, "hip hop") == label_of(space, "hip-hop") == label_of(space, "rare rap")
    assert label_of(space, "rap") != label_of(space, "metal")
    assert space.encode(messy).shape == (300, 2)
    plain = hybrid(messy, None, n_clusters=2, merge_spellings=False)
    assert not plain.aliases
    assert {"hip hop", "hip-hop", "Metal"} <= {tag for label in plain.labels for tag in label.tags}


def test_stems_are_linked_unless_co_occurrence_contradicts(messy):
    placed = hybrid_vectors(messy, None)
    row = {tag: number for number, tag in enumerate(placed.tags)}
    assert placed.leaders[row["country"]] != placed.leaders[row["countries"]]
    assert placed.leaders[row["relax"]] != placed.leaders[row["relaxing"]]  # they never meet here


def test_pairs_that_must_and_must_not_share_a_label(messy):
    pairs = [Pair("same", "rap", "doom"), Pair("apart", "thrash", "metal"), Pair("apart", "beats", "nothing")]
    space = hybrid(messy, None, n_clusters=3, pairs=pairs)
    assert label_of(space, "rap") == label_of(space, "doom")
    assert label_of(space, "thrash") != label_of(space, "metal")
    assert space.provenance["pairs"][0] == ["same", "rap", "doom"]
    with pytest.raises(FolksongError, match="'hip hop' and 'hip-hop' must be apart, but"):
        hybrid(messy, None, n_clusters=3, pairs=[Pair("apart", "hip hop", "hip-hop")])


@pytest.fixture(scope="module")
def crowd():
    """12 themes in a ring, each beside the next on some tracks; 60 tags, from a few counts to hundreds."""
    rng = np.random.default_rng(5)
    pairs = {}
    for track in range(1500):
        theme = int(rng.integers(12))
        near = (theme + int(rng.integers(-1, 2))) % 12
        for place in (theme, near):
            for rank in range(5):
                if rng.random() < (0.9, 0.5, 0.15, 0.05, 0.02)[rank]:
                    pairs[f"t{track}", f"{place}-{'abcde'[rank]}"] = float(rng.integers(1, 50))
    return TagTable.from_pairs(*zip(*pairs, strict=True), pairs.values())


def test_weights_count_by_their_logarithm(crowd):
    columns = np.arange(6)
    mean = np.mean([math.log1p(weight) for weight in crowd.weights.data])
    dense = crowd.weights.toarray()
    strengths = ppmi._strengths(crowd, weighted=True)
    for track, row in enumerate(dense[:50]):
        expected = [math.log1p(weight) / mean for weight in row]
        np.testing.assert_allclose(strengths[track].toarray()[0], expected, rtol=1e-6)
    totals = ppmi._context_totals(strengths, columns, strengths[:, columns], columns)
    found = ppmi._shrunk_ppmi(strengths, columns, strengths[:, columns], columns, totals).toarray()
    logs = np.log1p(dense[:, columns].astype(float)) / mean
    together = [[0.0 if a == b else sum(logs[:, a] * logs[:, b]) for b in range(6)] for a in range(6)]
    shares = [sum(row[c] for row in together) ** 0.75 for c in range(6)]
    for a in range(6):
        for b in range(6):
            n = together[a][b]
            value = max(0, math.log(n * sum(shares) / (sum(together[a]) * shares[b]))) if n else 0
            assert found[a, b] == pytest.approx(value * n / (n + 8), rel=1e-5)
    same = TagTable.from_pairs(["1", "1", "2", "2"], ["a", "b", "a", "b"], [7, 7, 7, 7])
    np.testing.assert_array_equal(
        ppmi_vectors(same, ["a", "b"], min_context_count=1, weighted=True),
        ppmi_vectors(same, ["a", "b"], min_context_count=1),
    )
    nothing = TagTable.from_pairs(["1", "1"], ["a", "b"], [0, 0])
    with pytest.raises(FolksongError, match="all weights are 0"):
        ppmi_vectors(nothing, ["a", "b"], min_context_count=1, weighted=True)


def test_tags_that_must_be_apart_share_none_of_their_labels(messy):
    space = hybrid(messy, None, n_clusters=4, pairs=[Pair("apart", "thrash", "doom")])
    assert not set(space.labels_of("thrash")) & set(space.labels_of("doom"))


def test_word_vectors_place_what_never_co_occurs(vectors):
    pairs = [
        (f"t{i}", tag) for i in range(40) for tag in (("metal", "sludge") if i % 2 else ("house", "dub"))
    ]
    pairs += [(f"alone{i}", "thrash metal") for i in range(12)]
    table = TagTable.from_pairs(*zip(*pairs, strict=True))
    placed = hybrid_vectors(table, vectors)
    where = dict(zip(placed.tags, placed.vectors, strict=True))
    assert where["thrash metal"] @ where["metal"] > 0.5 > where["thrash metal"] @ where["house"]
    assert "thrash metal" not in hybrid_vectors(table, None).tags
    without_words = hybrid(table, None, n_clusters=2)
    assert (
        label_of(without_words, "metal")
        == label_of(without_words, "sludge")
        != label_of(without_words, "dub")
    )


def test_words_decide_on_rare_tags_and_leave_frequent_ones_alone(table, vectors):
    pairs = [(track, tag) for track in table.track_ids for tag, _ in table.tags_of(track)]
    electronic = [track for track, tag in pairs if tag == "electronic"]
    pairs += [(track, "sludge metal") for track in electronic[:3]]  # three tracks by chance
    pairs += [(track, "thrash sludge") for track in electronic[:120]]  # a hundred are no chance
    crowd = TagTable.from_pairs(*zip(*pairs, strict=True))
    for meaning, expected in ((0, "electronic"), (30, "metal")):
        space = hybrid(crowd, vectors, n_clusters=2, meaning=meaning, link_stems=False)
        assert label_of(space, "sludge metal") == label_of(space, expected)
        assert label_of(space, "thrash sludge") == label_of(space, "electronic") != label_of(space, "metal")
        assert space.provenance["meaning"] == meaning


def test_meaning_is_learned_on_frequent_tags_alone(table, vectors, monkeypatch):
    seen = {}

    def watched(words, vectors, learned):
        seen["rare"] = [tag for tag, frequent in zip(seen["tags"], learned, strict=True) if not frequent]
        return np.zeros_like(vectors)

    monkeypatch.setattr(sys.modules["folksong.labels.hybrid_vectors"], "predict_from_words", watched)
    pairs = [(track, tag) for track in table.track_ids for tag, _ in table.tags_of(track)]
    crowd = TagTable.from_pairs(
        *zip(*pairs, *[(track, "thrash sludge") for track in table.track_ids[:9]], strict=True)
    )
    seen["tags"] = [tag for tag, count in zip(*popular_order(crowd), strict=True) if count > 2]
    hybrid_vectors(crowd, vectors)
    assert seen["rare"] == ["thrash sludge"]


def popular_order(table):
    ranking = table.popularity()
    return ranking.tags, ranking.counts


def test_without_meaning_the_words_change_nothing_for_tags_that_co_occur(table, vectors):
    one = hybrid(table, vectors, n_clusters=4, meaning=0)
    assert [label.tags for label in one.labels] == [
        label.tags for label in hybrid(table, None, n_clusters=4).labels
    ]


def test_same_bytes_whatever_the_order(table, shuffled, vectors, tmp_path):
    for name, source in (("a", table), ("b", shuffled)):
        space = hybrid(source, vectors, n_clusters=4, weighted=True, provenance={"table_sha256": "-"})
        space.write(tmp_path / f"{name}.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_wrong_settings(table, vectors):
    with pytest.raises(FolksongError, match="500 clusters were asked for, but only 20 tags share tracks"):
        hybrid(table, vectors, n_clusters=500)
    for meaning in (-1, math.nan, math.inf):
        with pytest.raises(FolksongError, match="weight of meaning must be a number from 0 to 1e"):
            hybrid(table, vectors, meaning=meaning)
    with pytest.raises(FolksongError, match="no tag has more than 9999 counts"):
        hybrid(table, vectors, threshold=9999)


def test_tracks_of_one_tag_each_have_no_co_occurrence(vectors, caplog):
    names = ["metal", "death metal", "grindcore", "techno", "house", "trance"]
    table = TagTable.from_pairs([f"t{i}" for i in range(60)], [names[i % 6] for i in range(60)])
    with pytest.raises(FolksongError, match="the 6 tags with more than 2 counts share too few tracks"):
        hybrid(table, None, n_clusters=2)
    space = hybrid(table, vectors, n_clusters=2)
    assert "no two tags share a track: the labels go by word vectors alone" in caplog.text
    assert {frozenset(label.tags) for label in space.labels} == {frozenset(names[:3]), frozenset(names[3:])}


def test_a_few_tracks_of_two_genres_do_not_lose_the_others():
    """A small library: a genre a file, and a few files with two."""
    genres = ["rock", "jazz", "folk", "electronic", "classical", "klezmer"]
    pairs = [(f"t{n}", genres[n % 6]) for n in range(180)] + [(f"t{n}", "ambient") for n in range(5, 180, 12)]
    table = TagTable.from_pairs(*zip(*pairs, strict=True))
    space = hybrid_by_facet(table, None)
    assert set(genres) <= {label.name for label in space.labels}
    assert hybrid_by_facet(
        table, None, across_facets=True, n_clusters=2
    ).names  # k-means needs a place for each
