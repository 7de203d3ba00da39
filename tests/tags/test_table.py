import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from folksong import FolksongError, TagTable

words = st.text(min_size=1, max_size=8)
pairs = st.lists(st.tuples(words, words, st.integers(0, 100)), max_size=40)


def table_of(rows: list[tuple[str, str, int]]) -> TagTable:
    return TagTable.from_pairs([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def as_dict(table: TagTable) -> dict[tuple[str, str], float]:
    return {(track, tag): weight for track in table.track_ids for tag, weight in table.tags_of(track)}


@given(pairs)
def test_a_table_holds_the_largest_weight_of_each_pair(rows: list[tuple[str, str, int]]) -> None:
    expected: dict[tuple[str, str], float] = {}
    for track, tag, weight in rows:
        expected[track, tag] = max(weight, expected.get((track, tag), 0))
    table = table_of(rows)
    assert as_dict(table) == expected
    assert table.n_counts == len(expected)
    for tag, count in zip(table.tags, table.counts, strict=True):
        assert count == sum(pair[1] == tag for pair in expected)


@given(pairs, st.randoms())
def test_row_order_never_matters(rows: list[tuple[str, str, int]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert table_of(rows).sha256() == table_of(shuffled).sha256()


@given(pairs, st.sets(words, max_size=5))
def test_selections_keep_exactly_what_was_asked_for(
    rows: list[tuple[str, str, int]], wanted: set[str]
) -> None:
    table = table_of(rows)
    wanted |= {row[1] for row in rows[::3]} | {row[0] for row in rows[::3]}
    whole = as_dict(table)
    assert as_dict(table.select_tags(wanted)) == {p: w for p, w in whole.items() if p[1] in wanted}
    assert as_dict(table.select_tracks(wanted)) == {p: w for p, w in whole.items() if p[0] in wanted}


def test_weight_zero_is_a_tag() -> None:
    table = TagTable.from_pairs(["a", "b"], ["rock", "rock"], [0, 0])
    assert table.counts.tolist() == [2]
    assert table.presence.toarray().tolist() == [[1.0], [1.0]]
    assert table.select_tags(["rock"]).n_counts == 2
    assert table.select_tracks(["b"]).n_counts == 1


def test_popularity_breaks_ties_by_code_point() -> None:
    table = TagTable.from_pairs(["1", "2", "1", "1", "1"], ["rock", "rock", "é", "Z", "a"])
    assert table.popularity().tags == ("rock", "Z", "a", "é")
    assert table.popularity().counts.tolist() == [2, 1, 1, 1]


def test_the_table_is_frozen() -> None:
    table = TagTable.from_pairs(["a"], ["rock"], [3])
    with pytest.raises(ValueError, match="read-only"):
        table.weights.data[0] = 5
    with pytest.raises(ValueError, match="read-only"):
        table.tags[0] = "pop"


def test_the_callers_arrays_stay_writable() -> None:
    ids, weights = np.array(["a"], dtype=object), sp.csr_matrix(np.ones((1, 1), np.float32))
    table = TagTable(ids, np.array(["rock"], dtype=object), weights)
    ids[0] = "b"
    weights.data[0] = 2
    assert (ids[0], weights.data[0]) == ("b", 2)
    assert table.tags_of("a") == [("rock", 1.0)]  # and do not change the table


def test_the_hash_tells_tables_apart() -> None:
    hashes = {
        TagTable.from_pairs(["a"], ["bc"]).sha256(),
        TagTable.from_pairs(["ab"], ["c"]).sha256(),
        TagTable.from_pairs(["a"], ["bc"], [2]).sha256(),
        TagTable.from_pairs(["a", "a"], ["b", "c"]).sha256(),
        TagTable.from_pairs([], []).sha256(),
    }
    assert len(hashes) == 5


def test_an_empty_table_works() -> None:
    table = TagTable.from_pairs([], [])
    assert (table.n_tracks, table.n_tags, table.n_counts) == (0, 0, 0)
    assert len(table.popularity()) == 0
    assert table.tags_of("x") == []


@pytest.mark.parametrize(
    ("tracks", "tags", "weights", "message"),
    [
        (["a", "a"], ["t"], np.ones((2, 1)), "'a' twice"),
        (["a"], ["t", "t"], np.ones((1, 2)), "'t' twice"),
        (["a"], ["t"], np.ones((2, 1)), r"shape \(2, 1\)"),
        (["a"], ["t"], -np.ones((1, 1)), "not negative"),
        (["a"], ["t"], np.full((1, 1), np.nan), "finite"),
        ([1], ["t"], np.ones((1, 1)), "is a int, not a string"),
    ],
)
def test_wrong_tables_are_refused(tracks: list, tags: list, weights: np.ndarray, message: str) -> None:
    with pytest.raises(FolksongError, match=message):
        TagTable(tracks, tags, sp.csr_matrix(weights))


def test_an_id_is_found_in_either_unicode_form():
    import unicodedata

    composed = unicodedata.normalize("NFC", "Beyoncé/halo")
    table = TagTable.from_pairs([composed, "plain"], ["pop", "rock"])
    assert table.row_of(unicodedata.normalize("NFD", composed)) == table.row_of(composed)
    assert table.tags_of(unicodedata.normalize("NFD", composed)) == [("pop", 1.0)]
    assert table.row_of("plain") is not None
    assert table.row_of("none") is table.row_of("nöne") is None
