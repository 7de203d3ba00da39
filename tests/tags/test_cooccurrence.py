import pytest
from hypothesis import given
from hypothesis import strategies as st

import folksong as fs
from folksong.errors import FolksongError
from folksong.tags.cooccurrence import conditional, contained, equivalents, implications, tracks_with

letters = st.sampled_from("abcdef")
tables = st.lists(st.tuples(st.sampled_from("0123456789"), letters), min_size=1, max_size=50)


def sets_of(rows: list) -> dict[str, set[str]]:
    tagged: dict[str, set[str]] = {}
    for track, tag in rows:
        tagged.setdefault(tag, set()).add(track)
    return tagged


@given(tables, st.sets(letters), st.sets(letters), st.sets(letters))
def test_queries_equal_python_sets(rows: list, all_of: set, any_of: set, none_of: set) -> None:
    table = fs.TagTable.from_pairs(*zip(*rows, strict=True))
    tagged = sets_of(rows)
    all_of, any_of, none_of = (sorted(tags & tagged.keys()) for tags in (all_of, any_of, none_of))
    expected = {track for track, _ in rows}
    for tag in all_of:
        expected &= tagged[tag]
    if any_of:
        expected &= set().union(*(tagged[tag] for tag in any_of))
    for tag in none_of:
        expected -= tagged[tag]
    found = tracks_with(table, all_of=all_of, any_of=any_of, none_of=none_of)
    assert set(table.track_ids[found]) == expected


@given(tables, st.sampled_from([0.3, 0.5, 1.0]), st.integers(1, 3))
def test_implications_equal_python_sets(rows: list, threshold: float, min_count: int) -> None:
    table = fs.TagTable.from_pairs(*zip(*rows, strict=True))
    tagged = {tag: tracks for tag, tracks in sets_of(rows).items() if len(tracks) >= min_count}
    expected = {
        (one, other)
        for one in tagged
        for other in tagged
        if one != other and len(tagged[one] & tagged[other]) / len(tagged[one]) >= threshold
    }
    found = implications(table, threshold=threshold, min_count=min_count)
    assert {(pair.tag, pair.other) for pair in found} == expected
    for pair in found:
        assert pair.together == len(tagged[pair.tag] & tagged[pair.other])
        assert pair.forward == pair.together / len(tagged[pair.tag])
        assert pair.backward == pair.together / len(tagged[pair.other])
    both = {frozenset(pair) for pair in expected if pair[::-1] in expected}
    assert {
        frozenset((pair.tag, pair.other))
        for pair in equivalents(table, threshold=threshold, min_count=min_count)
    } == both
    assert {
        (pair.tag, pair.other) for pair in contained(table, threshold=threshold, min_count=min_count)
    } == {pair for pair in expected if pair[::-1] not in expected}


def test_conditional_shares_of_pairs_and_of_one_or_the_other() -> None:
    table = fs.TagTable.from_pairs(["1", "1", "2", "2", "3"], ["rock", "pop", "rock", "jazz", "rock"])
    shares = conditional(table, ["rock", "pop", "jazz"])
    assert shares[0].tolist() == [1, 1 / 3, 1 / 3]
    assert shares[:, 0].tolist() == [1, 1, 1]
    assert tracks_with(table, all_of=["rock"], any_of=["pop", "jazz"]).sum() == 2


def test_unknown_tags_and_thresholds_are_errors() -> None:
    table = fs.TagTable.from_pairs(["1"], ["rock"])
    with pytest.raises(FolksongError, match=r"the tag 'rokc' is not in the table; did you mean 'rock'\?"):
        tracks_with(table, all_of=["rokc"])
    with pytest.raises(FolksongError, match="a share above 0"):
        implications(table, threshold=0)
