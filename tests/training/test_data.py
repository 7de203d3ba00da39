"""Records, tags, labels and parts brought together."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from folksong.errors import FolksongError
from folksong.labels import Label, LabelSpace
from folksong.shards.reader import ShardReader
from folksong.splits import Split, make_split
from folksong.tags.sources.read_tags import write_tags
from folksong.tags.table import TagTable
from folksong.training.config import Config, DataSettings
from folksong.training.data import build_space, prepare, read_record_tags

TABLE = TagTable.from_pairs(
    ["a", "a", "b", "b", "c", "c", "d"], ["rock", "rap", "rock", "hip hop", "rock", "rap", "folk"]
)


def settings(**values):
    return DataSettings.model_validate(values)


def names_and_tags(space):
    return [(label.name, label.tags) for label in space.labels]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"top": 2}, [("rock", ("rock",)), ("rap", ("rap",))]),
        ({"top": 1, "with": ("folk", "rock")}, [("rock", ("rock",)), ("folk", ("folk",))]),
        ({"top": 2, "without": ("rock",)}, [("rap", ("rap",))]),
        (
            {"top": None, "merge": (("hip hop", "rap"),)},
            [("rock", ("rock",)), ("hip hop", ("hip hop", "rap")), ("folk", ("folk",))],
        ),
        ({"top": 1, "merge": (("rap", "hip hop"),)}, [("rock", ("rock",)), ("rap", ("rap", "hip hop"))]),
        ({"top": 2, "with": None, "without": None, "merge": None}, [("rock", ("rock",)), ("rap", ("rap",))]),
    ],
)
def test_labels_follow_the_tags_section(values, wanted):
    space = build_space(settings(**values), TABLE)
    assert names_and_tags(space) == wanted
    assert space.provenance["tags"]["top"] == values["top"]


def test_merged_tags_may_keep_their_outputs_and_be_set_together():
    chosen = settings(
        top=1, **{"with": ("rap", "folk")}, merge=(("hip hop", "rap", "rock"),), merge_as="together"
    )
    space = build_space(chosen, TABLE)
    assert space.names == ("rock", "rap", "folk")
    assert space.encode(TABLE).toarray().astype(int).tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("key", ["with", "merge"])
def test_unknown_tags_are_named_with_the_nearest(key):
    value = ("hiphop",) if key == "with" else (("hiphop", "rap"),)
    with pytest.raises(FolksongError, match=rf"{key}: .*'hiphop'; did you mean 'hip hop'"):
        build_space(settings(top=1, **{key: value}), TABLE)


@pytest.fixture(scope="module")
def reader(shards):
    return ShardReader(shards)


def prepared(reader, labels=None, split=None, tags=None, **changes):
    config = Config().with_changes(**{"top": 5, "fractions": (50, 25, 25), **changes})
    database, min_weight = config.data.database, config.data.min_weight
    table = read_record_tags(reader, tags, database=database, min_weight=min_weight)
    return prepare(reader, table, config, labels=labels, split=split)


def test_targets_are_the_records_own_tags(reader):
    data = prepared(reader)
    assert set(data.space.names) == {"low", "middle", "high", "calm", "seen live"}
    for record in range(len(reader)):
        tags, _ = reader.tags(record)
        expected = [float(name in tags) for name in data.space.names]
        assert data.targets[record].toarray()[0].tolist() == expected
    used = np.concatenate([data.parts[part] for part in ("training", "validation", "test")])
    assert len(used) == len(set(used.tolist())) == 42


def test_the_second_database_and_a_table_give_other_labels(reader, tmp_path):
    assert "LOW" in prepared(reader, database=1).space.names
    with pytest.raises(FolksongError, match="no tag database 2"):
        prepared(reader, database=2)
    pairs = [(track, f"n{number % 2}", number) for number, track in enumerate(sorted(reader.track_ids))]
    write_tags(TagTable.from_pairs(*zip(*pairs, strict=True)), tmp_path / "tags.csv")
    data = prepared(reader, tags=tmp_path / "tags.csv")
    assert sorted(data.space.names) == ["n0", "n1"]
    assert sum(map(len, data.parts.values())) == 48
    heavy = prepared(reader, tags=tmp_path / "tags.csv", min_weight=30)
    assert sum(map(len, heavy.parts.values())) == 17


def test_a_table_of_other_tracks_is_an_error(reader, tmp_path):
    write_tags(TagTable.from_pairs(["x"], ["rock"]), tmp_path / "tags.csv")
    with pytest.raises(FolksongError, match=r"none of its 1 tracks is among the 48 records .*'T000'"):
        prepared(reader, tags=tmp_path / "tags.csv")


def test_unlabelled_tracks_are_left_out_and_counted_or_kept(reader):
    left_out = prepared(reader)
    kept = prepared(reader, keep_unlabelled=True, split=left_out.split)
    assert sum(left_out.unlabelled.values()) == sum(kept.unlabelled.values()) == 6
    assert sum(map(len, left_out.parts.values())) == 42
    assert sum(map(len, kept.parts.values())) == 48
    assert kept.counts()["training"]["unlabelled"] == kept.unlabelled["training"]


def test_labels_are_learned_from_the_training_part_only(reader):
    table = reader.tag_table()
    calm = {track for track in table.track_ids if any(tag == "calm" for tag, _ in table.tags_of(track))}
    others = sorted(set(table.track_ids) - calm)
    split = Split(tuple(others[:20]), tuple(others[20:]), tuple(sorted(calm)))
    data = prepared(reader, split=split)
    assert "calm" not in data.space.names
    assert data.space.provenance["split_sha256"] == split.sha256()


def test_labels_learned_from_all_tracks_are_warned_of(reader, caplog):
    space = LabelSpace((Label("low", ("low",)),), provenance={"table_sha256": "0"})
    with caplog.at_level(logging.WARNING):
        prepared(reader, labels=space)
    assert "the labels were learned from all tracks" in caplog.text
    caplog.clear()
    split = make_split(reader.tag_table(), seed=1)
    learned = LabelSpace(space.labels, provenance={"split_sha256": split.sha256()})
    with caplog.at_level(logging.WARNING):
        prepared(reader, labels=learned, split=split)
    assert "learned" not in caplog.text
    with caplog.at_level(logging.WARNING):
        prepared(reader, labels=learned, split=make_split(reader.tag_table(), seed=2))
    assert "learned with another split" in caplog.text


def test_labels_without_an_example_are_listed(reader, caplog):
    space = LabelSpace((Label("low", ("low",)), Label("yodel", ("yodel",))))
    with caplog.at_level(logging.WARNING):
        data = prepared(reader, labels=space)
    assert data.absent["test"] == ("yodel",)
    assert "test part: 1 of 2 labels have no positive example: 'yodel'" in caplog.text


def test_tracks_of_the_split_without_a_record_are_counted(reader, caplog):
    ids = sorted(reader.track_ids)
    split = Split((*ids[:20], "gone"), tuple(ids[20:30]), tuple(ids[30:]))
    with caplog.at_level(logging.WARNING):
        prepared(reader, split=split)
    assert "1 tracks of the training part have no record" in caplog.text


def test_nothing_to_train_on_is_an_error_that_says_why(reader):
    space = LabelSpace((Label("yodel", ("yodel",)),))
    with pytest.raises(FolksongError, match="no track is left to train on: of 48 records 48 have no label"):
        prepared(reader, labels=space)


def test_removed_tags_leave_the_labels(reader):
    assert "seen live" not in prepared(reader, remove=("seen live",)).space.names


def weighted_table(reader, low, high):
    ids = sorted(reader.track_ids)
    return TagTable.from_pairs(ids * 2, ["a"] * 48 + ["b"] * 48, [low] * 48 + [high] * 48)


@pytest.mark.parametrize(
    ("low", "high", "wanted"), [(0, 100, (0.01, 1.0)), (25, 50, (0.25, 0.5)), (0.5, 1, (0.5, 1.0))]
)
def test_weights_become_what_the_loss_sees(reader, tmp_path, low, high, wanted):
    write_tags(weighted_table(reader, low, high), tmp_path / "tags.csv")
    data = prepared(reader, tags=tmp_path / "tags.csv", weights="soft")
    assert set(data.targets.data.tolist()) == {1.0}
    columns = [data.space.index("a"), data.space.index("b")]
    assert data.learned_of("training")[:, columns].toarray()[0].tolist() == pytest.approx(wanted)


def test_weights_of_another_kind_are_refused(reader, tmp_path):
    write_tags(weighted_table(reader, 3, 2000), tmp_path / "tags.csv")
    with pytest.raises(FolksongError, match="weights up to 2000"):
        prepared(reader, tags=tmp_path / "tags.csv", weights="soft")


def test_counts_of_tags_are_those_of_the_training_part(reader):
    data = prepared(reader)
    expected = data.targets_of("training").sum(axis=0).A1
    assert [data.tag_counts[name] for name in data.space.names] == expected.astype(int).tolist()
