"""Agreement against scikit-learn, reasons, stability, the map, the grid."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from folksong.embeddings.tags import TagVectors, embed_tags
from folksong.errors import FileFormatError, FolksongError
from folksong.labels import kmeans
from folksong.labels.analysis.explain import why
from folksong.labels.analysis.grid import plot_grid, read_grid, run_grid
from folksong.labels.analysis.map import write_map
from folksong.labels.analysis.stability import (
    Move,
    adjusted_rand_index,
    agreement,
    contingency,
    normalised_mutual_information,
    stability,
)
from folksong.labels.space import Label, LabelSpace
from folksong.tags.cooccurrence import npmi
from folksong.tags.table import TagTable


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
    found = agreement(before, after)
    assert found.n_common == 4
    assert found.moved == (Move("C", "a", "d", "a"),)
    assert found.only_first == ("c", "gone")
    assert found.only_second == ("new",)
    assert agreement(before, before).adjusted_rand == 1
    assert np.isnan(agreement(before, LabelSpace((Label("x", ("x",)),))).adjusted_rand)


def test_why(table, vectors):
    space = kmeans(table, vectors, threshold=5, n_clusters=3)
    reasons = why(space, "techno", table, vectors, n_neighbours=3)
    assert reasons.labels == ("electronic",)
    assert reasons.count == table.counts[table.tag_index["techno"]]
    values = npmi(table, list(table.tags))[table.tag_index["techno"]]
    best = max((t for t in table.tags if t != "techno"), key=lambda t: values[table.tag_index[t]])
    assert reasons.company[0].tag == best
    assert reasons.company[0].nearness == pytest.approx(values[table.tag_index[best]])
    assert all(n.labels == ("electronic",) for n in reasons.meaning)
    aliased = LabelSpace(space.labels, {"Techno!": "techno"})
    assert why(aliased, "Techno!", table).member == "techno"
    with pytest.raises(FolksongError, match="'tecno' is in no label and on no track"):
        why(space, "tecno", table)


def test_stability_over_seeds_and_samples(table, vectors):
    def build(source, seed):
        return kmeans(source, vectors, threshold=3, n_clusters=3, seed=seed, n_init=3)

    found = stability(build, table, seeds=range(3), n_bootstrap=2)
    assert len(found.seeds) == 3
    assert len(found.bootstrap) == 2
    assert all(0.3 < value <= 1 for value in (*found.seeds, *found.bootstrap))
    assert stability(build, table, seeds=range(3), n_bootstrap=2) == found


def read_map(path):
    page = path.read_text(encoding="utf-8")
    return page, json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S).group(1))


def test_map_is_one_page_that_no_tag_can_break(table, vectors, tmp_path):
    evil = "</script><script>alert(1)</script>"
    renamed = TagTable(
        table.track_ids, [evil if tag == "techno" else tag for tag in table.tags], table.weights
    )
    space = kmeans(table, vectors, threshold=5, n_clusters=3)
    labels = tuple(Label(x.name, tuple(evil if t == "techno" else t for t in x.tags)) for x in space.labels)
    known = embed_tags(table.tags, vectors)
    placed = TagVectors(tuple(evil if tag == "techno" else tag for tag in known.tags), known.vectors)
    for name in ("a.html", "b.html"):
        assert write_map(LabelSpace(labels), renamed, placed, tmp_path / name, method="pca") == "pca"
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    page, data = read_map(tmp_path / "a.html")
    assert page.count("</script>") == 2
    assert "http" not in page.replace("http-equiv", "")
    assert evil in data["tags"]
    assert sorted(data["counts"], reverse=True) == data["counts"]
    assert max(map(abs, data["x"] + data["y"])) == 1
    electronic = data["labels"].index("electronic")
    near = data["nearest"][data["tags"].index("house")][0]
    assert data["label"][near] == electronic


def test_map_by_umap(table, vectors, tmp_path, monkeypatch):
    class Umap:  # compiling the real one takes half a minute; benchmarks/ and the docs use it
        def __init__(self, **settings):
            assert settings["metric"] == "cosine"
            assert settings["random_state"] == 7
            assert settings["n_jobs"] == 1

        def fit_transform(self, points):
            return 5 + points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    space = kmeans(table, vectors, threshold=5, n_clusters=3)
    placed = embed_tags(table.tags, vectors)
    assert write_map(space, table, placed, tmp_path / "map.html", method="umap", seed=7) == "umap"
    data = read_map(tmp_path / "map.html")[1]
    assert data["method"] == "UMAP"
    assert max(map(abs, data["x"] + data["y"])) == 1


def test_map_without_enough_tags_or_umap(table, vectors, tmp_path, monkeypatch):
    space = LabelSpace((Label("techno", ("techno", "house")),))
    with pytest.raises(FolksongError, match="at least 3 tags with a label and a vector, not 2"):
        write_map(space, table, embed_tags(table.tags, vectors), tmp_path / "map.html")
    monkeypatch.setitem(sys.modules, "umap", None)
    whole = kmeans(table, vectors, threshold=5, n_clusters=3)
    with pytest.raises(FolksongError, match=r'pip install "folksong\[map\]"'):
        write_map(whole, table, embed_tags(table.tags, vectors), tmp_path / "map.html", method="umap")


def test_grid_goes_on_where_it_stopped(table, vectors, tmp_path, monkeypatch):
    path = tmp_path / "grid.parquet"
    settings = {"thresholds": (3, 50), "n_seeds": 2}
    first = run_grid(table, [vectors], path, numbers_of_clusters=(2,), **settings)
    from folksong.labels.analysis import grid

    built = []
    measure = grid._measure
    monkeypatch.setattr(grid, "_measure", lambda *work: built.append(work[2]) or measure(*work))
    rows = run_grid(table, [vectors], path, numbers_of_clusters=(2, 3, 900), **settings)
    assert [(row.threshold, row.n_clusters) for row in rows] == [(t, k) for t in (3, 50) for k in (2, 3, 900)]
    assert len(built) == 4
    assert rows[0] == first[0]
    assert rows[1].labels == 3
    assert 0 < rows[1].counts <= 1
    assert rows[1].counts == kmeans(table, vectors, threshold=3, n_clusters=3).coverage(table).counts
    assert "900 clusters were asked for" in rows[2].problem
    assert {row.setting for row in read_grid(path)} == {row.setting for row in rows}
    plot_grid(rows, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FolksongError, match="nothing to plot"):
        plot_grid([rows[2]], tmp_path / "none.png")
    path.write_bytes(b"not parquet")
    with pytest.raises(FileFormatError, match="not a grid of label spaces"):
        read_grid(path)
