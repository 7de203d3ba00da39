"""Pictures are written whole, the same for the same figures, whatever the labels are called."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from folksong.errors import FolksongError
from folksong.evaluation.figures import measure
from folksong.evaluation.plots import plot_labels
from folksong.evaluation.scores import ScoredTracks


def figures_of(n_labels, names=()):
    rng = np.random.default_rng(0)
    targets = (rng.random((80, n_labels)) < 0.3).astype(np.uint8)
    scores = rng.random(targets.shape, dtype=np.float32)
    labels = (*names, *(f"label {number}" for number in range(len(names), n_labels)))
    tracks = ScoredTracks(tuple(map(str, range(80))), labels, targets, scores, np.ones(80, bool))
    return measure(tracks, n_resamples=20)


@pytest.mark.parametrize("n_labels", [1, 40])
def test_every_number_of_labels_gets_a_row_and_the_same_bytes(tmp_path, n_labels):
    found = figures_of(n_labels)
    plot_labels(found, tmp_path / "a.png")
    plot_labels(found, tmp_path / "b.png")
    picture = (tmp_path / "a.png").read_bytes()
    assert picture == (tmp_path / "b.png").read_bytes()
    height = int.from_bytes(picture[20:24], "big")  # of the PNG header
    assert height >= 150 * 0.16 * n_labels


def test_svg_names_the_labels_as_they_are(tmp_path):
    """Text with dollar signs is no formula, and a name of 10,000 characters does not push the picture aside."""
    names = ("$100 & <more>$", "a\nb", "x" * 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import matplotlib as mpl

        with mpl.rc_context({"svg.fonttype": "none"}):
            plot_labels(figures_of(4, names), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "$100 &amp; &lt;more&gt;$ (" in text
    assert "a b (" in text
    assert "x" * 31 + "… (" in text
    assert "x" * 33 not in text


def test_unknown_ending_and_nothing_to_draw(tmp_path):
    with pytest.raises(FolksongError, match=r"a.jpeg: pictures are written as .png, .svg, .pdf"):
        plot_labels(figures_of(2), tmp_path / "a.jpeg")
    empty = ScoredTracks(
        ("a",), ("b",), np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.float32), np.ones(1, bool)
    )
    with pytest.raises(FolksongError, match="nothing to draw"):
        plot_labels(measure(empty, n_resamples=5), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
