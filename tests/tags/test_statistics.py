import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import folksong as fs
from folksong.errors import FolksongError
from folksong.tags.statistics import coverage_curve, coverage_of_top, tag_statistics

letters = st.sampled_from("abcdefghij")
tables = st.lists(st.tuples(letters, letters, st.integers(0, 100)), min_size=1, max_size=60)


@given(tables)
def test_coverage_equals_a_count_by_hand(rows: list) -> None:
    table = fs.TagTable.from_pairs(*zip(*rows, strict=True))
    pairs = {(track, tag) for track, tag, _ in rows}
    popularity = table.popularity()
    counts, tracks = coverage_curve(table)
    for n in range(1, table.n_tags + 1):
        top = set(popularity.tags[:n])
        assert counts[n - 1] == sum(tag in top for _, tag in pairs)
        assert tracks[n - 1] == len({track for track, tag in pairs if tag in top})
        kept = fs.labels.top(table, n).coverage(table)
        row = coverage_of_top(table, [n])[0]
        assert (kept.counts, kept.tracks, kept.n_counts) == (row.counts, row.tracks, row.n_counts)


@given(tables)
def test_every_value_is_in_one_bin(rows: list) -> None:
    table = fs.TagTable.from_pairs(*zip(*rows, strict=True))
    found = tag_statistics(table)
    for distribution, number in (
        (found.tracks_per_tag, table.n_tags),
        (found.tags_per_track, table.n_tracks),
        (found.weights, table.n_counts),
    ):
        assert sum(bar.number for bar in distribution.bins) == number
    assert found.tags_per_track.mean == pytest.approx(table.n_counts / table.n_tracks)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["n_counts"] == table.n_counts
    assert ("n_counts", "", float(table.n_counts)) in found.rows()


def test_statistics_of_some_tracks_only() -> None:
    table = fs.TagTable.from_pairs(["a", "a", "b", "c"], ["x", "y", "x", "z"])
    found = tag_statistics(table, tracks=["a", "b", "unknown"], sizes=[1, 9])
    assert (found.n_tracks, found.n_counts, found.n_tags, found.n_used_tags) == (2, 3, 3, 2)
    assert [(row.n_counts, row.n_tracks) for row in found.coverage] == [(2, 2), (3, 2)]


def test_an_empty_table_has_statistics_too() -> None:
    table = fs.TagTable.from_pairs([], [])
    found = tag_statistics(table)
    assert (found.n_counts, found.coverage[0].n_counts) == (0, 0)
    assert np.isnan(found.coverage[0].counts)
    assert found.to_dict()["coverage"][0]["counts"] is None


def test_coverage_of_less_than_one_tag_is_an_error() -> None:
    with pytest.raises(FolksongError, match="at least 1, not 0"):
        coverage_of_top(fs.TagTable.from_pairs(["a"], ["x"]), [0])
