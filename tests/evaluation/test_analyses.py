"""Analyses beyond the figures: by hand-computed examples."""

from __future__ import annotations

import numpy as np
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.analyses import decisions_at, density, figures_by_group, imbalance, read_tag_groups
from folksong.evaluation.figures import measure
from folksong.evaluation.scores import ScoredTracks

TARGETS = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]], np.uint8)
SCORES = np.array(
    [[0.9, 0.6, 0.1], [0.8, 0.4, 0.1], [0.6, 0.3, 0.2], [0.3, 0.2, 0.1], [0.4, 0.1, 0.2]], np.float32
)


@pytest.fixture
def found():
    tracks = ScoredTracks(tuple("abcde"), ("rock", "guitar", "1990s"), TARGETS, SCORES, np.ones(5, bool))
    return measure(tracks, n_resamples=5)


def test_figures_by_group_are_means_over_the_labels_of_a_group(found, tmp_path):
    path = tmp_path / "groups.tsv"
    path.write_text("tag\tgroup\nguitar\tsound\nrock\tgenre\n1990s\tsound\nunheard\tmood\n")
    groups = read_tag_groups(path)
    sound, genre = figures_by_group(found, groups)
    assert (sound.name, sound.labels, genre.name, genre.labels) == ("sound", 2, "genre", 1)
    assert sound.pr_auc == pytest.approx((found["guitar"].pr_auc.value + found["1990s"].pr_auc.value) / 2)
    assert genre.roc_auc == found["rock"].roc_auc.value
    assert sound.chance == pytest.approx((2 / 5 + 1 / 5) / 2)


@pytest.mark.parametrize(
    "content",
    [
        "tag\tcounts\tgroup\nrock\t101071\tgenre\nfolk\t5\tgenre\nsad\t4\temotion\n",
        "rock\t101071\tgenre\r\nfolk\t5\tgenre\r\nsad\t4\temotion\r\n",
        "tag\tfacet\tconfidence\nrock\tgenre\t0.9\nfolk\tgenre\t1\nsad\temotion\t1\n",
        "rock\tgenre\nfolk\tgenre\n\nsad\temotion",
    ],
)
def test_groups_beside_counts_or_confidences(tmp_path, content):
    (tmp_path / "groups.tsv").write_bytes(content.encode())
    assert read_tag_groups(tmp_path / "groups.tsv") == {"rock": "genre", "folk": "genre", "sad": "emotion"}


def test_the_published_grouping_ships():
    groups = read_tag_groups("top100")
    assert len(groups) == 100
    assert groups["rock"] == "genre"
    assert len(set(groups.values())) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rock\n", "line 1 is not a tag"),
        (b"a\tb\na\tc\n", "'a' is in two groups"),
        (b"\xff\ta\n", "not UTF-8"),
    ],
)
def test_damaged_groups(tmp_path, content, message):
    (tmp_path / "g.tsv").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read_tag_groups(tmp_path / "g.tsv")
    with pytest.raises(FolksongError, match="no such file"):
        read_tag_groups(tmp_path / "none.tsv")


def test_decisions_at_thresholds_and_labels_that_are_never_predicted(found):
    low, middle, high = decisions_at(found)
    assert (low.threshold, middle.threshold, high.threshold) == (0.33, 0.5, 0.67)
    assert low.never == middle.never == ("1990s",)
    assert high.never == ("guitar", "1990s")
    (tn, fp), (fn, tp) = np.array(middle.shares) * 15
    assert (tn, fp, fn, tp) == pytest.approx((8, 0, 3, 4))
    assert middle.macro_f1 == pytest.approx((2 * 3 / (2 * 3 + 1) + 2 / 3 + 0) / 3)


def test_imbalance_is_the_mean_ratio_to_the_largest_label_and_a_correlation(found):
    ratio, correlation = imbalance(found)
    assert ratio == pytest.approx((4 / 4 + 4 / 2 + 4 / 1) / 3)
    values = [label.pr_auc.value for label in found.labels]
    assert correlation == pytest.approx(np.corrcoef([4, 2, 1], values)[0, 1])


def test_density_integrates_to_one():
    places = np.linspace(-3, 4, 2001)
    values = density([0.1, 0.2, 0.6, 0.9], places)
    assert np.trapezoid(values, places) == pytest.approx(1, abs=1e-3)
    assert not density([0.5], places).any()


def test_facets_of_tags_are_groups(tmp_path):
    path = tmp_path / "facets.tsv"
    path.write_text("tag\tfacet\tconfidence\treason\tcount\nrock\tgenre\t0.95\tlisted\t7\n")
    assert read_tag_groups(path) == {"rock": "genre"}
