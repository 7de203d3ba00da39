"""Curation: actions, their log, and the replay of one or several logs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong import journal
from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.labels.curation import (
    Action,
    Curation,
    apply_actions,
    apply_logs,
    log_actions,
    propose_split,
    read_log,
    start_log,
)
from folksong.labels.space import Label, LabelSpace

from .conftest import GENRES, make_table

SPACE = LabelSpace(
    (
        Label("rock", ("rock", "hard rock", "soft rock"), ("ballad",), "genre"),
        Label("pop", ("pop", "ballad"), (), "genre"),
        Label("sad", ("sad", "نشيد", "🎷", "<script>alert(1)</script>"), (), "mood"),
    ),
    {"Rock": "rock", "Soft-Rock": "soft rock"},
    {"builder": "hand"},
)


def members(space: LabelSpace) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {label.name: (label.tags, label.also) for label in space.labels}


@pytest.mark.parametrize(
    ("action", "after"),
    [
        (Action("move", "rock", "soft rock", "pop"), {
            "rock": (("rock", "hard rock"), ("ballad",)), "pop": (("pop", "ballad", "soft rock"), ()),
        }),
        (Action("move", "pop", "ballad", "rock"), {
            "rock": (("rock", "hard rock", "soft rock", "ballad"), ()), "pop": (("pop",), ()),
        }),
        (Action("move", "rock", "ballad", "sad"), {
            "rock": (("rock", "hard rock", "soft rock"), ()), "sad": ((*SPACE.labels[2].tags, "ballad"), ()),
        }),
        (Action("move", "", "new tag", "pop"), {"pop": (("pop", "ballad", "new tag"), ())}),
        (Action("merge", "rock", to="pop"), {
            "pop": (("pop", "ballad", "rock", "hard rock", "soft rock"), ()), "rock": None,
        }),
        (Action("split", "rock", to="soft", tags=("soft rock", "ballad")), {
            "rock": (("rock", "hard rock"), ()), "soft": (("soft rock",), ("ballad",)),
        }),
        (Action("split", "rock", to="soft", tags=("ballad",)), {
            "rock": (("rock", "hard rock", "soft rock"), ()), "soft": (("ballad",), ()),
        }),
        (Action("split", to="new", tags=("a", "b")), {"new": (("a", "b"), ())}),
        (Action("rename", "rock", to="ロック"), {"rock": None, "ロック": (SPACE.labels[0].tags, ("ballad",))}),
        (Action("drop", "rock"), {"rock": None}),
        (Action("drop", "sad", "🎷"), {"sad": (("sad", "نشيد", "<script>alert(1)</script>"), ())}),
        (Action("facet", "rock", to="style"), {}),
    ],
)  # fmt: skip
def test_an_action_does_what_it_says_and_nothing_else(action, after):
    found = members(apply_actions(SPACE, [action]))
    wanted = {**members(SPACE), **after}
    assert found == {name: value for name, value in wanted.items() if value is not None}


def test_places_facets_aliases_and_where_it_comes_from():
    space = apply_actions(SPACE, [
        Action("split", "rock", to="soft", tags=("soft rock",)), Action("facet", "sad", to="feeling"),
        Action("drop", "rock", "hard rock"), Action("drop", "soft"),
        Action("split", to="last", tags=("x",)), Action("rename", "pop", to="Pop"),
    ])  # fmt: skip
    assert space.names == ("rock", "Pop", "sad", "last")
    assert [label.facet for label in space.labels] == ["genre", "genre", "feeling", ""]
    assert dict(space.aliases) == {"Rock": "rock"}
    assert space.provenance["builder"] == "hand"
    assert space.provenance["curation"] == [{"space_sha256": SPACE.sha256(), "n_actions": 6}]
    assert apply_actions(SPACE, []) is SPACE


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Action("move", "rock", "pop", "sad"), "'pop' is not in 'rock'"),
        (Action("move", "rock", "rock", "rock"), "in 'rock' already"),
        (Action("move", "", "rock", "pop"), "say in which"),
        (Action("move", "rok", "rock", "pop"), "no label is called 'rok'; did you mean 'rock'"),
        (Action("merge", "rock", to="rock"), "into itself"),
        (Action("split", "pop", to="p", tags=("pop", "ballad")), "no tag of its own"),
        (Action("split", "pop", to="rock", tags=("pop",)), "a label 'rock' already"),
        (Action("split", to="p", tags=("pop",)), "'pop' is in a label"),
        (Action("rename", "pop", to="rock"), "a label 'rock' already"),
        (Action("drop", "rock", "x"), "'x' is not in 'rock'"),
        (Action("undo"), "nothing to undo"),
        (Action("redo"), "nothing to redo"),
    ],
)
def test_what_does_not_apply_is_named_and_changes_nothing(action, says):
    curation = Curation(SPACE)
    with pytest.raises(FolksongError, match=says):
        curation.apply(action)
    assert curation.space is SPACE


def test_the_action_at_fault_is_numbered():
    with pytest.raises(FolksongError, match=r"action 2, drop the label 'x': no label is called 'x'"):
        apply_actions(SPACE, [Action("drop", "sad"), Action("drop", "x")])


def test_a_space_keeps_a_label():
    with pytest.raises(FolksongError, match="at least one label"):
        apply_actions(SPACE, [Action("drop", name) for name in SPACE.names])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "says its 'kind'"),
        ({"kind": 3}, "says its 'kind'"),
        ({"kind": "mov"}, "no action is called 'mov'; did you mean 'move'"),
        ({"kind": "move", "tag": "a"}, "lacks 'to'"),
        ({"kind": "merge", "label": "a", "to": "b", "tag": "c"}, "has no 'tag'"),
        ({"kind": "merge", "label": "a", "too": "b"}, "no 'too'; did you mean 'to'"),
        ({"kind": "merge", "label": ["a"], "to": "b"}, "is no text"),
        ({"kind": "merge", "label": "\ud800", "to": "b"}, "is no text"),
        ({"kind": "split", "label": "a", "to": "b", "tags": "c"}, "must be a list"),
        ({"kind": "split", "label": "a", "to": "b", "tags": [1]}, "is no text"),
        ({"kind": "split", "label": "a", "to": "b", "tags": ["c", "c"]}, "twice"),
        ({"kind": "rename", "label": "a", "to": " b"}, "no name"),
        ({"kind": "rename", "label": "a", "to": "b\nc"}, "no name"),
        ({"kind": "rename", "label": "a", "to": "b" * 201}, "no name"),
    ],
)
def test_what_is_no_action_is_refused(content, says):
    with pytest.raises(FolksongError, match=says):
        Action.from_dict(content)


TAGS = (*SPACE.tags, "new", "日本")
NAMES = (*SPACE.names, "soft", "ロック")
ACTIONS = st.one_of(
    st.builds(Action, st.just("move"), st.sampled_from(("", *NAMES)), st.sampled_from(TAGS), st.sampled_from(NAMES)),
    st.builds(lambda a, b: Action("merge", a, to=b), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds(
        lambda a, b, c: Action("split", a, to=b, tags=tuple(c)), st.sampled_from(("", *NAMES)), st.sampled_from(NAMES),
        st.lists(st.sampled_from(TAGS), min_size=1, max_size=3, unique=True),
    ),
    st.builds(lambda a, b: Action("rename", a, to=b), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds(lambda a, b: Action("drop", a, b), st.sampled_from(NAMES), st.sampled_from(("", *TAGS))),
    st.builds(lambda a, b: Action("facet", a, to=b), st.sampled_from(NAMES), st.sampled_from(("", "genre"))),
    st.sampled_from([Action("undo"), Action("redo")]),
)  # fmt: skip


@given(actions=st.lists(ACTIONS, max_size=30))
@settings(max_examples=150, deadline=None)
def test_what_was_done_undone_and_done_again_is_what_replays(tmp_path_factory, actions):
    log = tmp_path_factory.mktemp("log") / "log.jsonl"
    assert start_log(log, SPACE) == ()
    curation, states = Curation(SPACE), [SPACE.labels]
    for action in actions:
        before = curation.labels
        try:
            curation.apply(action)
        except FolksongError:
            assert curation.labels is before
            continue
        log_actions(log, [action], "a")
        if action.kind == "undo":
            assert curation.labels == states[len(curation.done)]
        else:
            states[len(curation.done) :] = [curation.labels]
        assert Action.from_dict(json.loads(json.dumps(action.to_dict()))) == action
    replay = apply_logs(SPACE, [log])
    assert replay.space == curation.space
    assert not replay.conflicts
    assert replay.n_actions == len(curation.done)
    assert apply_actions(SPACE, curation.done) == curation.space


def write_log(path, *actions, space=SPACE):
    start_log(path, space)
    log_actions(path, actions, "anna")
    return path


def test_a_log_says_who_and_when_and_goes_on(tmp_path):
    log = write_log(tmp_path / "log.jsonl", Action("drop", "sad"))
    first, line = journal.read(log)
    assert first == {"format": "folksong.curation", "version": 1, "space_sha256": SPACE.sha256()}
    assert line["who"] == "anna"
    assert line["when"].endswith("+00:00")
    assert start_log(log, SPACE) == (Action("drop", "sad"),)


def test_a_log_of_another_space_is_refused(tmp_path):
    log = write_log(tmp_path / "log.jsonl", Action("drop", "sad"))
    other = apply_actions(SPACE, [Action("drop", "rock", "hard rock")])
    for call in (lambda: start_log(log, other), lambda: apply_logs(other, [log])):
        with pytest.raises(FolksongError, match="a log of another label space"):
            call()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"kind": "mov"}', "line 2: no action is called 'mov'"),
        (b'{"kind": "undo"}', "line 2: there is nothing to undo"),
    ],
)
def test_a_damaged_log_is_named_with_its_line(tmp_path, line, says):
    log = tmp_path / "log.jsonl"
    start_log(log, SPACE)
    log.write_bytes(log.read_bytes() + line + b"\n")
    with pytest.raises(FileFormatError, match=says):
        apply_logs(SPACE, [log])
    log.write_bytes(b'{"a": 1}\n')
    with pytest.raises(FileFormatError, match="no log of curation"):
        read_log(log)


def test_two_people(tmp_path):
    move = Action("move", "rock", "soft rock", "pop")
    anna = write_log(
        tmp_path / "anna", move, Action("rename", "sad", to="blue"), Action("drop", "pop", "ballad")
    )
    ben = write_log(
        tmp_path / "ben", Action("drop", "rock", "hard rock"), move, Action("drop", "sad", "🎷"),
        Action("facet", "pop", to="style"), Action("undo"), Action("undo"), Action("facet", "sad", to="x"),
    )  # fmt: skip
    with pytest.raises(
        FolksongError, match=r"1 actions do not apply:\n.*ben: line 8, set the facet of 'sad'"
    ):
        apply_logs(SPACE, [anna, ben])
    replay = apply_logs(SPACE, [anna, ben], skip_conflicts=True)
    assert (replay.n_actions, replay.n_agreed, len(replay.conflicts)) == (4, 1, 1)
    assert members(replay.space)["pop"] == (("pop", "soft rock"), ())
    assert members(replay.space)["rock"] == (("rock",), ("ballad",))


def test_a_log_may_go_on_where_another_ended(tmp_path):
    first = write_log(tmp_path / "first", Action("drop", "rock", "soft rock"))
    between = apply_logs(SPACE, [first]).space
    second = write_log(tmp_path / "second", Action("move", "", "soft rock", "pop"), space=between)
    both = apply_logs(SPACE, [first, second]).space
    assert both == apply_logs(between, [second]).space
    assert [step["n_actions"] for step in both.provenance["curation"]] == [1, 1]


def test_the_command(tmp_path, capsys):
    source, out = tmp_path / "a.labels.json", tmp_path / "b.labels.json"
    SPACE.write(source)
    log = write_log(
        tmp_path / "log.jsonl", Action("drop", "sad", "🎷"), Action("undo"), Action("drop", "sad")
    )
    main(["labels", "apply", str(source), str(log), str(out)], standalone_mode=False)
    assert "1 actions" in capsys.readouterr().out
    assert LabelSpace.read(out) == apply_actions(SPACE, [Action("drop", "sad")])
    with pytest.raises(SystemExit):
        main(["labels", "apply", str(out), str(log), str(tmp_path / "c.labels.json")])
    assert "of another label space" in capsys.readouterr().err


def test_a_split_is_proposed_by_company():
    table = make_table()
    label = Label("both", (*GENRES["metal"], "never heard", *GENRES["electronic"]))
    first, second = propose_split(label, table)
    assert set(first) | set(second) == set(label.members)
    assert set(second) in (set(GENRES["electronic"]), set(GENRES["metal"]))
    assert "never heard" in first
    counts = [table.counts_by_tag[tag] for tag in second]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("tags", [("metal",), ("never heard", "nor this"), ("metal", "never heard")])
def test_what_has_no_company_cannot_be_split(tags):
    with pytest.raises(FolksongError, match="fewer than two of its tags"):
        propose_split(Label("few", tags), make_table())
