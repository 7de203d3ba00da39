"""Simulated tags: every clip borrows the whole tags of one real track of its class's word."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import folksong as fs
from folksong.errors import FolksongError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def simulated_tags(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import simulated_tags

    yield simulated_tags
    sys.modules.pop("simulated_tags")


@pytest.fixture
def clips(tmp_path):
    for name in ("Drum", "Flute"):
        (tmp_path / name).mkdir()
        for number in range(20):
            (tmp_path / name / f"{number}.wav").touch()
    return tmp_path


@pytest.fixture
def table():
    """Six artists of rock, six of folk, one of both; each has a tag of its own."""
    pairs = [(f"rock{n}", tag) for n in range(6) for tag in ("rock", f"r{n}", "seen live")]
    pairs += [(f"folk{n}", tag) for n in range(6) for tag in ("folk", f"f{n}")]
    pairs += [("both", "rock"), ("both", "folk"), ("both", "b")]
    return fs.TagTable.from_pairs(*zip(*pairs, strict=True))


WORDS = {"Drum": "rock", "Flute": "folk"}


def tags_of(table):
    weights = table.weights
    return {
        track_id: {table.tags[c] for c in weights.indices[weights.indptr[row] : weights.indptr[row + 1]]}
        for row, track_id in enumerate(table.track_ids)
    }


def test_every_clip_has_the_tags_of_one_artist_of_its_class(simulated_tags, clips, table):
    found = simulated_tags.simulate(clips, table, WORDS, wrong=0.0, seed=0)
    artists = [frozenset(tags) for tags in tags_of(table).values()]
    own = tags_of(found)
    assert len(own) == 40
    for track_id, tags in own.items():
        assert frozenset(tags) in artists
        assert WORDS[track_id.split("/")[0]] in tags
        assert "b" not in tags, "who carries the words of two classes lends to none"
    assert len({frozenset(tags) for tags in own.values()}) == 12, "all lend, none twice before all have"


def test_some_clips_are_wrong_and_the_seed_decides_which(simulated_tags, clips, table):
    def wrong(seed):
        found = tags_of(simulated_tags.simulate(clips, table, WORDS, wrong=0.3, seed=seed))
        return {track_id for track_id, tags in found.items() if WORDS[track_id.split("/")[0]] not in tags}

    assert 4 <= len(wrong(0)) <= 20
    assert wrong(0) == wrong(0) != wrong(1)


def test_unknown_classes_and_words_are_named(simulated_tags, clips, table):
    with pytest.raises(FolksongError, match="no word for Flute"):
        simulated_tags.simulate(clips, table, {"Drum": "rock"})
    with pytest.raises(FolksongError, match="no tag 'jazz'"):
        simulated_tags.simulate(clips, table, {**WORDS, "Flute": "jazz"})
