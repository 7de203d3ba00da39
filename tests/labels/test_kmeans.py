"""Model 3: which tags take part, what clusters are called, what is kept, and that order never matters."""

import numpy as np
import pytest

from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import StoredVectors
from folksong.errors import FolksongError
from folksong.labels import kmeans, top
from folksong.labels.kmeans import labels_of_clusters
from folksong.labels.space import Label
from folksong.tags.table import TagTable


def test_clusters_by_meaning_named_by_their_most_popular_tag(table, vectors):
    space = kmeans(table, vectors, threshold=5, n_clusters=3)
    counts = dict(zip(table.tags, table.counts, strict=True))
    assert {label.name for label in space.labels} >= {"metal", "electronic"}
    for label in space.labels:
        assert label.name == label.tags[0]
        assert list(label.tags) == sorted(label.tags, key=lambda tag: (-counts[tag], tag))
    assert [counts[label.name] for label in space.labels] == sorted(
        (counts[n] for n in space.names), reverse=True
    )
    by_tag = {tag: label.name for label in space.labels for tag in label.tags}
    assert by_tag["techno"] == by_tag["dub"] == "electronic"
    assert by_tag["death metal"] == by_tag["sludge"] == "metal"


def test_only_tags_above_the_threshold_take_part(table, vectors):
    counts = dict(zip(table.tags, table.counts, strict=True))
    limit = sorted(counts.values())[8]
    space = kmeans(table, vectors, threshold=int(limit), n_clusters=2)
    assert {tag for label in space.labels for tag in label.tags} == {
        t for t, c in counts.items() if c > limit
    }


def test_filtered_keeps_clusters_that_hold_a_listed_tag(table, vectors):
    baseline = kmeans(table, vectors, threshold=5, n_clusters=3)
    filtered = kmeans(table, vectors, threshold=5, n_clusters=3, keep_with=["techno", "nothing"])
    assert filtered.labels == tuple(label for label in baseline.labels if "techno" in label.tags)
    by_space = kmeans(table, vectors, threshold=5, n_clusters=3, keep_with=top(table, 1))
    assert by_space.names == (table.popularity().tags[0],)
    with pytest.raises(FolksongError, match="no label holds any of the 1 tags to keep"):
        kmeans(table, vectors, threshold=5, n_clusters=3, keep_with=["nothing"])


def test_same_bytes_whatever_the_order_of_rows_and_columns(table, shuffled, vectors, tmp_path):
    words = list(reversed(vectors.words))
    turned = StoredVectors(words, np.ascontiguousarray(vectors.vectors[::-1]), vectors.source, vectors.sha256)
    kmeans(table, vectors, threshold=5, n_clusters=4, seed=3).write(tmp_path / "a.json")
    again = kmeans(
        shuffled, turned, threshold=5, n_clusters=4, seed=3, provenance={"table_sha256": table.sha256()}
    )
    again.write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_provenance_names_table_vectors_and_split(table, vectors):
    space = kmeans(table, vectors, threshold=5, n_clusters=3, provenance={"split_sha256": "abc"})
    assert space.provenance["table_sha256"] == table.sha256()
    assert space.provenance["vectors_sha256"] == vectors.sha256
    assert space.provenance["split_sha256"] == "abc"


def test_ready_tag_vectors_give_the_same_space(table, vectors):
    ready = embed_tags(table.tags, vectors)
    assert kmeans(table, ready, threshold=5, n_clusters=3).labels == kmeans(table, vectors, threshold=5,
                                                                            n_clusters=3).labels  # fmt: skip


def test_more_clusters_than_tags_and_no_overlap(table, vectors):
    with pytest.raises(
        FolksongError, match="50 clusters were asked for, but only 20 tags have more than 5 counts"
    ):
        kmeans(table, vectors, threshold=5, n_clusters=50)
    other = StoredVectors(["unheard"], np.ones((1, 8), np.float32), "other")
    with pytest.raises(FolksongError, match=r"only 0 tags have .* use other vectors"):
        kmeans(table, other, threshold=5, n_clusters=2)


def test_worked_example_of_order():
    assert labels_of_clusters(["rock", "pop", "metal", "soul"], [7, 2, 7, 5]) == (
        Label("rock", ("rock", "metal")), Label("pop", ("pop",)), Label("soul", ("soul",)),
    )  # fmt: skip


def test_learning_from_training_tracks_only(table, vectors):
    rare = TagTable.from_pairs(["x1", "x2", "x3"], ["only in test"] * 3)
    assert "only in test" not in table.tag_index
    training = table.select_tracks(table.track_ids[:200])
    space = kmeans(training, vectors, threshold=5, n_clusters=3)
    assert space.provenance["n_tracks"] == 200
    assert space.encode(rare).nnz == 0


def test_case_is_kept_if_asked():
    names = ["Queen", "queen"]
    table = TagTable.from_pairs([f"t{i}" for i in range(8)], [names[i % 2] for i in range(8)])
    vectors = StoredVectors(names, np.eye(2, dtype=np.float32), "cased")
    assert len(kmeans(table, vectors, threshold=0, n_clusters=2, keep_case=True)) == 2
    assert kmeans(table, vectors, threshold=0, n_clusters=1).provenance["keep_case"] is False
