import re
from pathlib import Path

import numpy as np
import pytest

import folksong as fs
from folksong.errors import FolksongError
from folksong.tags.statistics import draw_heat_map, draw_histogram, draw_long_tail, tag_statistics

TABLE = fs.TagTable.from_pairs(["a", "a", "b", "c"], ["rock", "$pop$", "rock", "x" * 10_000], [1, 20, 100, 0])


@pytest.mark.parametrize("ending", [".png", ".svg", ".html"])
def test_charts_are_drawn_and_the_same_twice(tmp_path: Path, ending: str) -> None:
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!doctype html>"}[ending]
    matrix = np.array([[1, 0.2, np.nan], [0.2, 1, 0], [np.nan, 0, 1]])
    for copy in ("one", "two"):
        draw_long_tail(TABLE, tmp_path / f"tail-{copy}{ending}")
        draw_histogram(tag_statistics(TABLE).weights, tmp_path / f"weights-{copy}{ending}", title="Weights")
        draw_heat_map(matrix, TABLE.tags, tmp_path / f"map-{copy}{ending}", title="NPMI")
    for name in ("tail", "weights", "map"):
        one = (tmp_path / f"{name}-one{ending}").read_bytes()
        assert one.startswith(start)
        assert one == (tmp_path / f"{name}-two{ending}").read_bytes()
        if ending == ".html":
            assert b"Plotly" in one
            assert not re.search(rb"<(script|link)[^>]+(src|href)=", one)  # nothing is fetched


def test_a_heat_map_keeps_tags_apart_that_look_alike(tmp_path: Path) -> None:
    tags = ["x" * 50, "x" * 60]
    draw_heat_map(np.eye(2), tags, tmp_path / "m.html", title="t")
    assert "(2)" in (tmp_path / "m.html").read_text(encoding="utf-8")


def test_b6_the_long_tail_names_each_line_and_its_axis_labels_do_not_overlap(tmp_path: Path) -> None:
    table = fs.TagTable.from_pairs([str(n) for n in range(600)], [str(int(n**0.6)) for n in range(600)])
    draw_long_tail(table, tmp_path / "tail.svg")
    drawn = (tmp_path / "tail.svg").read_text(encoding="utf-8")
    for line in ("tracks per tag", "counts covered", "tracks covered"):
        assert f"<!-- {line} -->" in drawn
    labels = [int(text) for text in re.findall(r"<!-- ([0-9]+) -->", drawn)]
    assert {1, 2, 5, 10} <= set(labels) <= {1, 2, 5, 10, 20, 50, 100, 200}
    draw_long_tail(table, tmp_path / "tail.html")
    page = (tmp_path / "tail.html").read_text(encoding="utf-8")
    assert 'name="viewport" content="width=device-width' in page


def test_b6_values_around_0_have_colours_that_diverge(tmp_path: Path) -> None:
    for limits, colour in (((-1.0, 1.0), "rgb(5,48,97)"), ((0.0, 1.0), "#440154")):
        draw_heat_map(np.eye(2), ["a", "<b>"], tmp_path / "m.html", title="t", limits=limits)
        page = (tmp_path / "m.html").read_text(encoding="utf-8")
        data = page[page.rindex("Plotly.newPlot") :]
        assert colour in data.replace(" ", "")
        assert "&lt;b&gt;" in data or "\\u0026lt;b" in data


def test_b6_bars_that_differ_much_are_all_seen(tmp_path: Path) -> None:
    table = fs.TagTable.from_pairs([str(n) for n in range(1000)], ["x"] * 1000, [1.0] * 995 + [90.0] * 5)
    draw_histogram(tag_statistics(table).weights, tmp_path / "w.html", title="Weights")
    page = (tmp_path / "w.html").read_text(encoding="utf-8")
    assert '"type":"log"' in page[page.rindex("Plotly.newPlot") :].replace(" ", "")


def test_a_heat_map_grows_with_its_tags(tmp_path: Path) -> None:
    from matplotlib.image import imread

    small, large = (tmp_path / f"{n}.png" for n in (2, 40))
    draw_heat_map(np.eye(2), ["a", "b"], small, title="t")
    draw_heat_map(np.eye(40), [f"tag number {n}" for n in range(40)], large, title="t")
    # 8 points of text at 150 dots per inch need 17 pixels a row
    assert imread(large).shape[0] > 40 * 17
    assert imread(large).shape[0] > 2 * imread(small).shape[0]


def test_what_cannot_be_drawn_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FolksongError, match=r"x\.jpg: a chart's name ends in"):
        draw_long_tail(TABLE, tmp_path / "x.jpg")
    with pytest.raises(FolksongError, match="a heat map of 301 tags cannot be read"):
        draw_heat_map(np.eye(301), [str(n) for n in range(301)], tmp_path / "x.png", title="t")
    with pytest.raises(FolksongError, match="no tags to draw"):
        draw_long_tail(fs.TagTable.from_pairs([], []), tmp_path / "x.png")
