"""Company vectors against plain loops; the hybrid's merging, linking, pairs, rare tags and determinism."""

import math

import numpy as np
import pytest

from folksong.errors import FolksongError
from folksong.labels import Pair, hybrid
from folksong.labels.joint import joint_vectors
from folksong.tags.table import TagTable
from folksong.vectors import company
from folksong.vectors.company import company_vectors


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
    found = company._shrunk_ppmi(small, columns, contexts, 8).toarray()
    np.testing.assert_allclose(found, ppmi_reference(small, tags, tags[:8], 8), atol=1e-12)


def test_vectors_keep_the_geometry_of_the_svd(table):
    tags = list(table.popularity().tags)
    found = company_vectors(table, tags, dimension=4, min_context_count=1)
    values = ppmi_reference(table, tags, tags, 8)
    left, sizes, _ = np.linalg.svd(values)
    expected = left[:, :4] * np.sqrt(sizes[:4])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_a_tag_without_company_has_no_vector():
    table = TagTable.from_pairs(["1", "1", "2", "2", "3"], ["a", "b", "a", "b", "lonely"])
    found = company_vectors(table, ["a", "b", "lonely"], min_context_count=1)
    assert np.linalg.norm(found, axis=1).round(5).tolist() == [1, 1, 0]
    with pytest.raises(FolksongError, match="only 0 tags have 10 counts or more"):
        company_vectors(table, ["a"])
    with pytest.raises(FolksongError, match="'z' is not in the table"):
        company_vectors(table, ["z"], min_context_count=1)


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


def test_variants_become_aliases_and_rare_tags_join_their_company(messy):
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


def test_stems_are_linked_unless_company_contradicts(messy):
    placed = joint_vectors(messy, None)
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


def test_rare_tags_take_part_in_more_labels_than_frequent_ones(messy):
    plain = hybrid(messy, None, n_clusters=3)
    space = hybrid(messy, None, n_clusters=3, overlap=4)
    assert [label.tags for label in space.labels] == [label.tags for label in plain.labels]
    n_labels = {tag: len(space.labels_of(tag)) for label in space.labels for tag in label.tags}
    counts = {tag: int(messy.counts[messy.tag_index[tag]]) for tag in n_labels}
    merged = {space.aliases[raw] for raw in space.aliases}  # counted with their aliases
    assert n_labels["rare rap"] == 3  # there are no more
    for tag in n_labels.keys() - merged - {"rare rap"}:
        assert n_labels[tag] == (2 if 50 <= counts[tag] < 200 else 3 if counts[tag] < 50 else 1)
    two = hybrid(messy, None, n_clusters=3, overlap=2)
    assert {len(two.labels_of(tag)) for tag in n_labels} <= {1, 2}
    for tag in n_labels:
        assert two.labels_of(tag)[0] == space.labels_of(tag)[0]
        assert set(two.labels_of(tag)) <= set(space.labels_of(tag))
    with pytest.raises(FolksongError, match="1 label or more, not in 0"):
        hybrid(messy, None, overlap=0)


def test_tags_that_must_be_apart_share_none_of_their_labels(messy):
    space = hybrid(messy, None, n_clusters=4, overlap=2, pairs=[Pair("apart", "thrash", "doom")])
    assert not set(space.labels_of("thrash")) & set(space.labels_of("doom"))


def test_word_vectors_place_what_has_no_company(vectors, caplog):
    pairs = [
        (f"t{i}", tag) for i in range(40) for tag in (("metal", "sludge") if i % 2 else ("house", "dub"))
    ]
    pairs += [(f"alone{i}", "thrash metal") for i in range(12)]
    table = TagTable.from_pairs(*zip(*pairs, strict=True))
    assert "thrash metal" in joint_vectors(table, vectors).tags
    assert "thrash metal" not in joint_vectors(table, None).tags
    company_only = hybrid(table, None, n_clusters=2)
    assert (
        label_of(company_only, "metal") == label_of(company_only, "sludge") != label_of(company_only, "dub")
    )


def test_same_bytes_whatever_the_order(table, shuffled, vectors, tmp_path):
    for name, source in (("a", table), ("b", shuffled)):
        space = hybrid(source, vectors, n_clusters=4, meaning=0.3, provenance={"table_sha256": "-"})
        space.write(tmp_path / f"{name}.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_wrong_settings(table, vectors):
    with pytest.raises(FolksongError, match="500 clusters were asked for, but only 20 tags"):
        hybrid(table, vectors, n_clusters=500)
    with pytest.raises(FolksongError, match="meaning must not be negative"):
        hybrid(table, vectors, meaning=-1)
    with pytest.raises(FolksongError, match="no tag has more than 9999 counts"):
        hybrid(table, vectors, threshold=9999)
