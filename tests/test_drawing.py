"""Names in charts: short, on one line, told apart."""

from __future__ import annotations

import pytest

from folksong.drawing import distinct_names, plotly_text, short_name, write_picture
from folksong.errors import FolksongError


def test_short_name():
    assert short_name("two\n \x00lines") == "two lines"
    assert short_name("x" * 33) == "x" * 31 + "…"
    assert short_name("x" * 5, 4) == "xxx…"


def test_names_that_shortening_made_alike_are_numbered():
    assert distinct_names(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_plotly_shows_text_as_it_is():
    assert plotly_text('<b> & "weird al"\'s') == '&lt;b&gt; &amp; "weird al"\'s'


def test_unknown_ending(tmp_path):
    with pytest.raises(FolksongError, match=r"a.jpeg: pictures are written as .png, .svg, .pdf"):
        write_picture(None, tmp_path / "a.jpeg")
