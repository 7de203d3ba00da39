"""Decisions of people who listened: the last counts, the crowd's table stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folksong.errors import FileFormatError, FolksongError
from folksong.tags.decisions import Decision, decide, decided, read_decisions
from folksong.tags.table import TagTable

TABLE = TagTable.from_pairs(
    ["a", "a", "b", "b", "c"], ["rock", "jazz", "rock", "pop", "jazz"], [100, 3, 7, 50, 20]
)


def pairs(table):
    entries = table.weights.tocoo()
    rows, columns = table.track_ids[entries.row], table.tags[entries.col]
    return dict(zip(zip(rows, columns, strict=True), entries.data.tolist(), strict=True))


def test_a_no_takes_all_tags_of_a_label_and_a_yes_gives_the_first():
    found = decided(
        TABLE,
        [
            Decision("b", "loud", ("rock", "pop"), "no"),
            Decision("c", "loud", ("rock", "pop"), "yes"),
            Decision("a", "swing", ("jazz", "swing"), "yes"),
            Decision("d", "swing", ("swing", "jazz"), "yes"),
            Decision("a", "loud", ("rock",), "skip"),
        ],
    )
    assert pairs(found) == {
        ("a", "rock"): 100,
        ("a", "jazz"): 3,  # carried already: its weight stays
        ("c", "jazz"): 20,
        ("c", "rock"): 100,
        ("d", "swing"): 100,
    }
    assert pairs(TABLE)["b", "pop"] == 50


def test_a_tag_that_one_label_confirms_is_not_taken_by_another():
    yes, no = Decision("a", "x", ("rock",), "yes"), Decision("a", "y", ("rock", "jazz"), "no")
    assert pairs(decided(TABLE, [yes, no])) == pairs(decided(TABLE, [no, yes]))
    assert pairs(decided(TABLE, [yes, no]))["a", "rock"] == 100
    assert ("a", "jazz") not in pairs(decided(TABLE, [yes, no]))


def test_ids_that_differ_in_their_unicode_form_are_one_track():
    table = TagTable.from_pairs(["caf\u00e9"], ["rock"])
    assert not decided(table, [Decision("cafe\u0301", "rock", ("rock",), "no")]).n_counts


decisions = st.lists(
    st.builds(
        Decision,
        st.sampled_from("abcd"),
        st.sampled_from(["x", "y"]),
        st.lists(st.sampled_from(["rock", "pop", "jazz", "new"]), min_size=1, max_size=3, unique=True).map(
            tuple
        ),
        st.sampled_from(["yes", "no", "skip"]),
    )
)


@given(decisions)
def test_deciding_twice_changes_nothing_more(chosen):
    once = decided(TABLE, chosen)
    assert pairs(decided(once, chosen)) == pairs(once)


def test_of_several_decisions_the_last_counts_and_open_takes_it_back(tmp_path):
    path = tmp_path / "decisions.jsonl"
    for verdict in ("yes", "no"):
        decide(path, Decision("a", "rock", ("rock",), verdict, who="me"))
    decide(path, Decision("b", "rock", ("rock",), "yes"))
    decide(path, Decision("b", "rock", ("rock",), "open"))
    (found,) = read_decisions(path)
    assert (found.track, found.decision, found.who) == ("a", "no", "me")
    assert found.when.endswith("+00:00")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.parametrize(
    "change",
    [{"decision": "maybe"}, {"tags": []}, {"tags": "rock"}, {"tags": [1]}, {"track": None}, {"more": 1}],
)
def test_a_line_that_is_no_decision_is_named(tmp_path, change):
    path = tmp_path / "decisions.jsonl"
    decide(path, Decision("a", "rock", ("rock",), "yes"))
    entry = json.loads(path.read_text(encoding="utf-8")) | change
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")
    with pytest.raises(FileFormatError, match="line 2 is no decision"):
        read_decisions(path)


def test_a_decision_needs_a_tag():
    with pytest.raises(FolksongError, match="no decision"):
        Decision("a", "rock", (), "yes")
