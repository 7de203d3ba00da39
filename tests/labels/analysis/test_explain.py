"""Why a tag has its label."""

import pytest

from folksong.errors import FolksongError
from folksong.labels import explain, kmeans
from folksong.labels.space import Label, LabelSpace
from folksong.tags.cooccurrence import npmi


def test_explain(table, vectors):
    space = kmeans(table, vectors, threshold=5, n_clusters=3)
    reasons = explain(space, "techno", table, vectors, n_neighbours=3)
    assert reasons.labels == ("electronic",)
    assert reasons.count == table.counts[table.tag_index["techno"]]
    values = npmi(table, list(table.tags))[table.tag_index["techno"]]
    best = max((t for t in table.tags if t != "techno"), key=lambda t: values[table.tag_index[t]])
    assert reasons.cooccurring[0].tag == best
    assert reasons.cooccurring[0].nearness == pytest.approx(values[table.tag_index[best]])
    assert all(n.labels == ("electronic",) for n in reasons.similar)
    aliased = LabelSpace(space.labels, {"Techno!": "techno"})
    assert explain(aliased, "Techno!", table).member == "techno"
    with pytest.raises(FolksongError, match="'tecno' is in no label and on no track"):
        explain(space, "tecno", table)
    assert reasons.facet is None
    assert f"apart\ttechno\t{reasons.labels[0]}" in reasons.lines


def test_facets_next_best_and_names_of_labels(table):
    labels = (Label("beats", ("techno",), (), "genre"), Label("other", ("rock",), (), "genre"))
    space = LabelSpace(labels)
    reasons = explain(space, "beats", table)  # a label's name
    assert reasons.tag == "techno"
    assert reasons.facet == ("genre", 0.95, "a list holds the tag")
    assert "techno\tgenre" in reasons.lines
    if reasons.next_best:
        assert f"same\ttechno\t{reasons.next_best}" in reasons.lines
