"""The map is one page that no tag can break; the projector's files."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from folksong.embeddings.tags import TagVectors, embed_tags
from folksong.errors import FolksongError
from folksong.labels import kmeans, write_map
from folksong.labels.analysis.map import vectors_of_space, write_projector
from folksong.labels.space import Label, LabelSpace
from folksong.tags.table import TagTable


def read_map(path):
    """Return the page and what its plot shows."""
    page = path.read_text(encoding="utf-8")
    start = page.index("[", page.index("Plotly.newPlot("))
    return page, json.JSONDecoder().raw_decode(page, start)[0][0]


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
        used = write_map(LabelSpace(labels), renamed, placed, tmp_path / name, method="pca", title="<i>x")
        assert used == "pca"
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    page, plot = read_map(tmp_path / "a.html")
    assert "<script>alert" not in page
    assert "<title>&lt;i&gt;x</title>" in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)  # Plotly is inside
    assert len(page) > 1_000_000
    names = [text.split("\n")[0] for text in plot["customdata"]]
    assert evil in names
    shown = plot["text"][names.index(evil)]
    count = renamed.counts[renamed.tag_index[evil]]
    assert shown.startswith(
        f"<b>&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;</b><br>{count} tracks, label "
    )
    nearest = plot["text"][names.index("house")].split("near: ")[1].split("<br>")
    assert len(nearest) == 8
    assert nearest[0] in names
    assert sorted(plot["marker"]["size"], reverse=True) == plot["marker"]["size"]  # most popular first
    labels_of_points = [text.split("\n")[1] for text in plot["customdata"]]
    colours = dict(zip(labels_of_points, plot["marker"]["color"], strict=True))
    assert len(set(colours.values())) == len(colours) == 3
    assert f"{len(names)} tags, 3 labels (principal components)" in page


def test_map_by_umap(table, vectors, tmp_path, monkeypatch, capsys):
    class Umap:  # compiling the real one takes half a minute; benchmarks/ and the docs use it
        def __init__(self, **settings):
            assert settings["metric"] == "cosine"
            assert settings["random_state"] == 7
            assert settings["n_jobs"] == 1
            self.verbose = settings["verbose"]

        def fit_transform(self, points):
            if self.verbose:
                print("epoch 1 of 2")
            return 5 + points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    space = kmeans(table, vectors, threshold=5, n_clusters=3)
    placed = embed_tags(table.tags, vectors)
    assert (
        write_map(space, table, placed, tmp_path / "map.html", method="umap", seed=7, progress=True) == "umap"
    )
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "epoch 1 of 2\n")
    page, plot = read_map(tmp_path / "map.html")
    assert "labels (UMAP)" in page
    assert min(plot["x"]) > 3


def test_map_without_enough_tags_or_umap(table, vectors, tmp_path, monkeypatch):
    space = LabelSpace((Label("techno", ("techno", "house")),))
    with pytest.raises(FolksongError, match="at least 3 tags with a label and a vector, not 2"):
        write_map(space, table, embed_tags(table.tags, vectors), tmp_path / "map.html")
    monkeypatch.setitem(sys.modules, "umap", None)
    whole = kmeans(table, vectors, threshold=5, n_clusters=3)
    with pytest.raises(FolksongError, match=r'pip install "folksong\[map\]"'):
        write_map(whole, table, embed_tags(table.tags, vectors), tmp_path / "map.html", method="umap")


def test_projector_files_that_tensorboards_own_parser_accepts(tmp_path):
    tags = ("rock", "tab\tand\nline", "")
    vectors = TagVectors(tags, np.arange(6, dtype=np.float32).reshape(3, 2) / 7)
    table = TagTable.from_pairs(["1", "2", "3", "1"], ["rock", "rock", "rock", "tab\tand\nline"])
    space = LabelSpace((Label("rock", ("rock",)), Label("y", ("tab\tand\nline", ""))))
    write_projector(space, table, vectors, tmp_path)
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines == ["tag\tcount\tlabel", "rock\t3\trock", "tab and line\t1\ty", "(blank)\t0\ty"]
    np.testing.assert_allclose(
        np.loadtxt(tmp_path / "vectors.tsv", delimiter="\t"), vectors.vectors, rtol=1e-5
    )
    text_format = pytest.importorskip("google.protobuf.text_format")
    plugin = pytest.importorskip("tensorboard.plugins.projector.projector_config_pb2")
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), plugin.ProjectorConfig())
    assert config.embeddings[0].tensor_path == "vectors.tsv"
    assert config.embeddings[0].metadata_path == "metadata.tsv"
    with pytest.raises(FolksongError, match="no vectors to export"):
        write_projector(space, table, TagVectors((), np.zeros((0, 2), np.float32)), tmp_path)


def test_vectors_by_meaning_or_by_co_occurrence(table, vectors):
    space = LabelSpace((Label("techno", ("techno", "house", "never heard")),))
    assert vectors_of_space(space, table, vectors).tags == ("techno", "house")
    by_tracks = vectors_of_space(space, table)
    assert by_tracks.tags == ("techno", "house")
    np.testing.assert_allclose(np.linalg.norm(by_tracks.vectors, axis=1), 1, rtol=1e-5)


def test_16_tags_that_are_not_on_the_map_are_named(table, vectors, caplog):
    space = LabelSpace((Label("a", (*table.tags[:4], "nowhere", "xyzzy")),))
    assert len(vectors_of_space(space, table)) == 4
    assert "not on the map: 2 of 6 tags, which share no track with others (nowhere, xyzzy)" in caplog.text
    vectors_of_space(space, table, vectors)
    assert "which have no word vector (" in caplog.text
