"""Pairs: the file, the score, and the division."""

import math
from pathlib import Path

import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.labels import Pair, control_scores, doubtful, read_pairs, score_pairs
from folksong.labels.analysis.pairs import rare_pairs
from folksong.labels.space import Label, LabelSpace
from folksong.tags.table import TagTable


def table_of(tags_of):
    """Return the table of track id -> its tags."""
    pairs = [(track, str(tag)) for track, tags in tags_of.items() for tag in tags]
    return TagTable.from_pairs(*zip(*pairs, strict=True)) if pairs else TagTable.from_pairs([], [])


SPACE = LabelSpace(
    (Label("rap", ("rap", "hip-hop")), Label("metal", ("metal",)), Label("loud", ("metal", "punk"))),
    {"hip hop": "hip-hop"},
)
HETREC_PAIRS = Path(__file__).parents[3] / "benchmarks" / "data" / "hetrec_pairs.tsv"


def test_worked_example():
    pairs = [
        Pair("same", "rap", "hip hop"), Pair("same", "metal", "punk"), Pair("same", "rap", "punk"),
        Pair("same", "rap", "absent"), Pair("apart", "rap", "metal"), Pair("apart", "punk", "metal"),
        Pair("apart", "rap", "absent"),
    ]  # fmt: skip
    found = score_pairs(SPACE, pairs)
    assert (found.same, found.apart) == (2 / 4, 1 / 3)
    assert found.balanced == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert found.absent == (pairs[3], pairs[6])
    assert found.wrong == (pairs[2], pairs[5])
    assert math.isnan(score_pairs(SPACE, pairs[:1]).balanced)


def test_the_file(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("# comment\nsame\trap\thip hop\r\n\napart\t rap \tmetal\n")
    assert read_pairs(path) == (Pair("same", "rap", "hip hop"), Pair("apart", " rap ", "metal"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("same\trap\n", r"line 1: needs 'same' or 'apart' and two tags"),
        ("# x\nlike\ta\tb\n", r"line 2: needs 'same' or 'apart'"),
        ("same\ta\tb\tc\n", "line 1"),
        ("same\t\tb\n", "line 1"),
        ("# nothing\n", "holds no pairs"),
    ],
)
def test_damaged_files(tmp_path, text, message):
    path = tmp_path / "pairs.tsv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_pairs(path)
    with pytest.raises(FolksongError, match="no such file"):
        read_pairs(tmp_path / "absent.tsv")


def test_a_pair_is_rare_by_its_rarer_tag():
    pairs = [Pair("same", f"a{i}", "b") for i in range(10)] + [Pair("apart", f"a{i}", "c") for i in range(7)]
    table = TagTable.from_pairs([f"t{i}" for i in range(12)] * 3, ["a1"] * 12 + ["b"] * 12 + ["c"] * 12)
    frequent, rare = rare_pairs(pairs, table)
    assert frequent == (pairs[1], pairs[11])
    assert len(rare) == 15


def test_the_list_of_hetrec_pairs_can_be_read():
    pairs = read_pairs(HETREC_PAIRS)
    assert len(pairs) == len(set(pairs)) >= 100
    assert sum(pair.relation == "same" for pair in pairs) == len(pairs) / 2


def test_what_stands_beside_a_score():
    """Random and shuffled sharing, average precision with ties, own tags: by hand."""
    tracks = {f"a{i}": ["rock", "metal", "doom"] for i in range(20)} | {
        f"b{i}": ["jazz", "bop"] for i in range(20)
    }
    table = table_of(tracks)
    space = LabelSpace((Label("rock", ("rock", "metal", "doom")), Label("jazz", ("jazz",), ("bop", "rock"))))
    pairs = [Pair("same", "rock", "metal"), Pair("apart", "metal", "jazz"), Pair("same", "jazz", "bop")]
    found = control_scores(space, pairs, table)
    assert found.average_precision == pytest.approx(1.0)
    assert found.own == pytest.approx(40 / 60)
    assert 0 <= found.cosine <= 1
    assert 0 < found.random < 1
    worse = control_scores(space, [Pair("apart", "rock", "metal"), Pair("same", "rock", "bop")], table)
    assert worse.average_precision == pytest.approx(0.5)  # a tie
    lines = doubtful(space, table)
    assert any("'jazz': only 20 of its 40 tracks" in line for line in lines) is False  # just half
    assert any("label 'jazz': on 40 of 40 tracks, more than a third" in line for line in lines)
    drowned = LabelSpace(
        (Label("bop", ("bop",), ("rock", "jazz", "doom")), Label("rock", ("rock",), ("bop",)))
    )
    lines = doubtful(drowned, table)
    assert any("labels 'bop' and 'rock': nearly the same tracks" in line for line in lines)
