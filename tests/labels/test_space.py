import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folksong import FolksongError, LabelSpace, TagTable
from folksong.errors import FileFormatError
from folksong.labels.space import Label

SPACE = LabelSpace(
    (Label("rap", ("rap", "hip hop")), Label("rock", ("rock",)), Label("loud", ("rock", "metal"))),
    {"hip-hop": "hip hop", "rap ": "rap"},
    {"builder": "by hand"},
)
TAGS = ["rap", "hip hop", "hip-hop", "rap ", "rock", "metal", "pop"]


def test_encoding_by_hand() -> None:
    table = TagTable.from_pairs(
        ["1", "1", "2", "3", "3"], ["hip hop", "hip-hop", "rock", "pop", "metal"], [30, 70, 0, 5, 9]
    )
    assert SPACE.encode(table).toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    weights = SPACE.encode(table, weights=True)
    assert weights.toarray().tolist() == [[70, 0, 0], [0, 0, 0], [0, 0, 9]]
    assert weights.nnz == 4  # the rock of weight 0 is a stored entry of both its labels


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(TAGS), st.integers(0, 100)), max_size=25))
def test_a_table_and_its_rows_encode_alike(rows: list[tuple[str, str, int]]) -> None:
    table = TagTable.from_pairs([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    binary, weighted = SPACE.encode(table).toarray(), SPACE.encode(table, weights=True).toarray()
    assert binary.shape == (table.n_tracks, 3)
    for row, track in enumerate(table.track_ids):
        pairs = table.tags_of(track)
        tags = [tag for tag, _ in pairs]
        np.testing.assert_array_equal(binary[row], SPACE.encode_tags(tags))
        np.testing.assert_array_equal(weighted[row], SPACE.encode_tags(tags, [weight for _, weight in pairs]))


def test_a_space_survives_file_and_pickle(tmp_path: Path) -> None:
    space = LabelSpace((Label("é\n🎵", ("é", "x" * 10_000)),), {"É": "é"}, {"seed": 3})
    space.write(tmp_path / "a.labels.json")
    again = LabelSpace.read(tmp_path / "a.labels.json")
    assert again == space
    assert again.sha256() == space.sha256()
    assert pickle.loads(pickle.dumps(space)) == space  # noqa: S301
    space.write(tmp_path / "b.labels.json")
    assert (tmp_path / "a.labels.json").read_bytes() == (tmp_path / "b.labels.json").read_bytes()


def test_a_tag_that_is_also_of_other_labels(tmp_path: Path) -> None:
    space = LabelSpace(
        (Label("rock", ("rock", "metal"), ("indie",)), Label("pop", ("pop", "indie"), ("metal",)))
    )
    assert space.labels_of("metal") == (0, 1)
    assert space.labels_of("indie") == (1, 0)  # its own label comes first
    assert space.encode_tags(["metal"]).tolist() == [1, 1]
    table = TagTable.from_pairs(["1", "2"], ["indie", "pop"])
    assert space.encode(table).toarray().tolist() == [[1, 1], [0, 1]]
    space.write(tmp_path / "a.labels.json")
    assert LabelSpace.read(tmp_path / "a.labels.json") == space
    plain = LabelSpace(tuple(Label(label.name, label.tags) for label in space.labels))
    plain.write(tmp_path / "plain.labels.json")
    assert "also" not in (tmp_path / "plain.labels.json").read_text()
    assert plain.sha256() != space.sha256()
    with pytest.raises(FolksongError, match="a tag twice"):
        LabelSpace((Label("a", ("x",), ("x",)),))


def test_order_is_part_of_the_space() -> None:
    turned = LabelSpace(SPACE.labels[::-1], SPACE.aliases)
    assert turned.sha256() != SPACE.sha256()
    assert turned.names == ("loud", "rock", "rap")


def test_a_misspelt_label_name_finds_the_nearest() -> None:
    assert SPACE.index("rock") == 1
    with pytest.raises(FolksongError, match="did you mean 'rock'"):
        SPACE.index("rok")


@pytest.mark.parametrize(
    ("labels", "aliases", "message"),
    [
        ([("a", ["x"]), ("a", ["y"])], {}, "'a' occurs twice"),
        ([("a", [])], {}, "has no tags"),
        ([("a", ["x", "x"])], {}, "a tag twice"),
        ([("a", ["x"])], {"z": "y"}, "leads to 'y'"),
    ],
)
def test_wrong_spaces_are_refused_by_name(tmp_path: Path, labels: list, aliases: dict, message: str) -> None:
    with pytest.raises(FolksongError, match=message):
        LabelSpace(tuple(Label(name, tuple(tags)) for name, tags in labels), aliases)
    path = tmp_path / "edited.labels.json"
    entries = [{"name": name, "tags": tags} for name, tags in labels]
    path.write_text(
        json.dumps({"format": "folksong.labels", "version": 1, "labels": entries, "aliases": aliases})
    )
    with pytest.raises(FileFormatError, match=f"edited.labels.json: .*{message}"):
        LabelSpace.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a label space"),
        ('{"format": "folksong.labels", "version": 9}', "version 9"),
        ('{"format": "folksong.labels", "version": 1, "labels": {}}', "must be a list"),
        ('{"format": "folksong.labels", "version": 1, "labels": [{"name": "a"}]}', r"labels\[0\]"),
        (
            '{"format": "folksong.labels", "version": 1, "labels": [{"name": "a", "tags": ["x"], "also": "y"}]}',
            r"labels\[0\] must be",
        ),
        (
            '{"format": "folksong.labels", "version": 1, "labels": [], "aliases": []}',
            "'aliases' must be an object",
        ),
        (
            '{"format": "folksong.labels", "version": 1, "labels": [], "aliases": {"a": ["x"]}}',
            "from text to text",
        ),
        (
            '{"format": "folksong.labels", "version": 1, "labels": [{"name": "a", "tags": ["\\ud800"]}]}',
            "holds a lone surrogate",
        ),
        ("{", "not valid JSON"),
    ],
)
def test_files_that_are_no_label_space(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.labels.json").write_text(content)
    with pytest.raises(FileFormatError, match=message):
        LabelSpace.read(tmp_path / "x.labels.json")


def test_mean_imbalance_ratio_by_hand() -> None:
    space = LabelSpace((Label("a", ("a", "b")), Label("c", ("c",)), Label("d", ("d",)), Label("e", ("e",))))
    table = TagTable.from_pairs(["1", "2", "3", "3", "4", "1", "2"], ["a", "b", "a", "b", "a", "c", "d"])
    assert space.mean_imbalance_ratio(table) == (4 / 4 + 4 / 1 + 4 / 1) / 3  # e is on no track
    assert np.isnan(LabelSpace((Label("e", ("e",)),)).mean_imbalance_ratio(table))


def test_16_c9_a_hundred_thousand_labels(tmp_path):
    space = LabelSpace(tuple(Label(f"label {number}", (f"tag {number}",)) for number in range(100_000)))
    space.write(tmp_path / "x.labels.json")
    again = LabelSpace.read(tmp_path / "x.labels.json")
    assert again.sha256() == space.sha256()
    assert again.encode_tags(["tag 99999", "tag 7"]).nonzero()[0].tolist() == [7, 99999]
    assert again.labels_of("tag 12345") == (12345,)
