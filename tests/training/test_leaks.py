"""Labels that were learned from test tracks are told of; those of the training part are not, however they were made."""

from __future__ import annotations

import logging

import folksong as fs
from folksong.splits import make_split
from folksong.training.data import _warn_of_leaks


def table_of_tracks(n: int = 40) -> fs.TagTable:
    ids = [f"t{number}" for number in range(n) for _ in range(2)]
    return fs.TagTable.from_pairs(
        ids, [("rock", "jazz")[number % 2] for number in range(n) for _ in range(1)] * 2
    )


def test_a4_labels_of_the_training_part_give_no_warning(caplog):
    table = table_of_tracks()
    split = make_split(table, fractions=(60, 20, 20))
    learnable = table.select_tracks(split.training)
    with caplog.at_level(logging.WARNING):
        _warn_of_leaks(fs.labels.top(learnable, 2), split, learnable)
    assert not caplog.records


def test_labels_of_all_tracks_or_of_another_split_give_one(caplog):
    table = table_of_tracks()
    split, other = (make_split(table, fractions=(60, 20, 20), seed=seed) for seed in (0, 1))
    learnable = table.select_tracks(split.training)
    with caplog.at_level(logging.WARNING):
        _warn_of_leaks(fs.labels.top(table, 2), split, learnable)
        theirs = table.select_tracks(other.training)
        _warn_of_leaks(
            fs.labels.top(theirs, 2, provenance={"split_sha256": other.sha256()}), split, learnable
        )
    assert ["all tracks" in caplog.records[0].message, "another split" in caplog.records[1].message] == [
        True,
        True,
    ]
