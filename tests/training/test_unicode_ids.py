"""Records and split may write an id in different Unicode forms; a record is never in two parts for it."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace

import numpy as np

import folksong as fs
from folksong.training.data import _deal


def deal(records: list[str], training: tuple[str, ...], test: tuple[str, ...]) -> dict[str, list[int]]:
    table = fs.TagTable.from_pairs(records, ["rock"] * len(records))
    space = fs.labels.top(table, 1)
    split = fs.Split(training, ("plain",), test)
    reader = SimpleNamespace(track_ids=tuple(records), n_steps=np.ones(len(records)), folder="shards")
    targets = space.encode(table)[[table.row_of(record) for record in records]]
    found = _deal(reader, space, split, targets, targets, table, False)
    return {part: found.parts[part].tolist() for part in ("training", "test")}


def test_23_5_a_record_is_found_in_the_other_form():
    composed, apart = (unicodedata.normalize(form, "Beyoncé") for form in ("NFC", "NFD"))
    assert deal([apart, "plain", "other"], (composed,), ("other",)) == {"training": [0], "test": [2]}


def test_23_5_two_forms_that_both_are_records_stay_two():
    composed, apart = (unicodedata.normalize(form, "Beyoncé") for form in ("NFC", "NFD"))
    assert deal([apart, composed, "plain"], (composed,), (apart,)) == {"training": [1], "test": [0]}
