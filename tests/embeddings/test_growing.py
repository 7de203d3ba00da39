"""Embeddings that follow their recordings: heard once, by one process or several, and written as if made at once."""

from __future__ import annotations

import ast
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from folksong.embeddings import growing as module
from folksong.embeddings.growing import Row, grow_embeddings, states_of
from folksong.embeddings.store import (
    WRITING_NAME,
    Embeddings,
    EmbeddingSpace,
    read_embeddings,
    write_embeddings,
)
from folksong.errors import PASSING, FolksongError

SPACE = EmbeddingSpace("musicnn-msd", "0.1.0", "penultimate", "mean", 16000, 3.0, "ISC", "ab" * 32, 4)
STATES = {f"track {number}": f"{number} 1" for number in range(1000)}


class Ears:
    """Make rows of track ids and states; every seventh has none. Remembers what was heard."""

    def __init__(self, states: Mapping[str, str], *, at_most: int = 10**6) -> None:
        self.states, self.at_most, self.heard = states, at_most, list[str]()

    def __call__(self, parts: Iterator[Sequence[str]]) -> Iterator[dict[str, Row]]:
        for part in parts:
            if len(self.heard) >= self.at_most:
                raise KeyboardInterrupt
            self.heard += part
            yield {track_id: self.row(track_id) for track_id in part}

    def row(self, track_id: str) -> Row:
        number, changed = map(int, self.states[track_id].split())
        return f"{track_id}: broken" if number % 7 == 6 else np.array([number, changed, 0, 1], np.float32)


def grow(folder: Path, ears: Ears) -> Embeddings:
    return grow_embeddings(folder, SPACE, ears.states, ears, provenance={"extractor": "x"})


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    grow(folder, Ears(STATES))
    return folder


def test_what_may_pass_is_tried_again(tmp_path: Path, whole: Path) -> None:
    class Away(Ears):
        def row(self, track_id: str) -> Row:
            away = track_id in ("track 3", "track 800")
            return f"{track_id}: {PASSING}no such file" if away else super().row(track_id)

    grow(tmp_path / "e", Away(STATES))
    ears = Ears(STATES)
    grow(tmp_path / "e", ears)
    assert sorted(ears.heard) == ["track 3", "track 800"]
    assert files_of(tmp_path / "e") == files_of(whole)


def test_rows_and_reasons_lie_in_the_order_of_the_recordings(whole: Path) -> None:
    found = read_embeddings(whole)
    assert list(found.track_ids) == [name for number, name in enumerate(STATES) if number % 7 != 6]
    np.testing.assert_array_equal(found.values[:, 0], [n for n in range(1000) if n % 7 != 6])
    assert found.provenance["skipped"][0] == {"track_id": "track 6", "reason": "track 6: broken"}
    assert found.provenance["extractor"] == "x"
    assert set(files_of(whole)) == {"values.npy", "track_ids.jsonl", "embeddings.json"}


def test_what_was_stopped_goes_on_also_with_other_recordings(whole: Path, tmp_path: Path) -> None:
    fewer = {name: state for name, state in STATES.items() if not name.endswith("5")}
    first = Ears(fewer, at_most=500)
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, first)
    second = Ears(STATES)
    grow(tmp_path, second)
    assert len(first.heard) >= 480
    assert sorted(first.heard + second.heard) == sorted(STATES)
    assert files_of(tmp_path) == files_of(whole)


def test_a_grown_changed_and_shrunk_library(whole: Path, tmp_path: Path) -> None:
    before = {name: state for name, state in STATES.items() if not name.endswith("3")}
    before |= {"track 8": "8 0", "track 13": "6 1", "gone": "0 0"}
    grow(tmp_path, Ears(before))
    again = Ears(STATES)
    grow(tmp_path, again)
    assert sorted(again.heard) == sorted(["track 8", *(name for name in STATES if name.endswith("3"))])
    assert files_of(tmp_path) == files_of(whole)
    backwards = Ears(dict(reversed(STATES.items())))
    assert grow(tmp_path, backwards).track_ids == read_embeddings(whole).track_ids[::-1]
    assert backwards.heard == []


def test_what_others_finished_meanwhile_is_not_heard_again(whole: Path, tmp_path: Path) -> None:
    others = Ears(STATES)

    class Slow(Ears):
        def __call__(self, parts: Iterator[Sequence[str]]) -> Iterator[dict[str, Row]]:
            yield next(super().__call__(parts))
            grow(tmp_path, others)
            yield from super().__call__(parts)

    slow = Slow(STATES)
    grow(tmp_path, slow)
    assert sorted(slow.heard + others.heard) == sorted(STATES)
    assert files_of(tmp_path) == files_of(whole)


def test_several_at_once_share_the_work(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.01)
    one_at_a_time, parse = threading.Lock(), ast.literal_eval

    def guarded_parse(text: str) -> object:
        with one_at_a_time:  # Python before 3.11.8 fails if two threads parse at once; NumPy parses headers
            return parse(text)

    monkeypatch.setattr(ast, "literal_eval", guarded_parse)
    together = threading.Barrier(4)

    class Slow(Ears):
        def __call__(self, parts: Iterator[Sequence[str]]) -> Iterator[dict[str, Row]]:
            together.wait()
            for rows in super().__call__(parts):
                time.sleep(0.005)
                yield rows
            self.__class__ = Ears  # a later pass waits for nobody

    ears = [Slow(STATES) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: grow(tmp_path, one), ears))
    assert len({one.sha256 for one in found}) == 1
    heard = [len(one.heard) for one in ears]
    assert sum(heard) == len(STATES)
    assert min(heard) > 0
    assert files_of(tmp_path) == files_of(whole)


def test_the_part_of_a_dead_process_is_taken_again(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, Ears(STATES, at_most=900))
    (tmp_path / WRITING_NAME / "finish.1.claim").write_text(
        json.dumps({"process": 2**22 + 1, "host": os.uname()[1]})
    )
    damaged = sorted((tmp_path / WRITING_NAME).glob("*.npz"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    again = Ears(STATES)
    grow(tmp_path, again)
    assert 100 <= len(again.heard) <= 140
    assert files_of(tmp_path) == files_of(whole)


def test_what_another_made_is_refused(whole: Path, tmp_path: Path) -> None:
    other = replace(SPACE, model="musicnn-mtt", pool="max")
    with pytest.raises(
        FolksongError, match=r"of musicnn-msd .*has musicnn-mtt .*differ in model, pool.*never mix"
    ):
        grow_embeddings(whole, other, STATES, Ears(STATES))
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path / "stopped", Ears(STATES, at_most=40))
    with pytest.raises(FolksongError, match=r"not finished.* musicnn-msd .*has musicnn-mtt .*never mix"):
        grow_embeddings(tmp_path / "stopped", other, STATES, Ears(STATES))
    with write_embeddings(tmp_path / "imported", SPACE) as writer:
        writer.add("track 1", np.ones(4))
        writer.finish({})
    with pytest.raises(FolksongError, match="holds embeddings already; choose another folder"):
        grow(tmp_path / "imported", Ears(STATES))


def test_where_nothing_can_be_heard_the_next_try_hears_again(tmp_path: Path) -> None:
    states = {"a": "6 1", "b": "13 1"}
    for _ in range(2):
        ears = Ears(states)
        with pytest.raises(FolksongError, match="there is no embedding to write"):
            grow(tmp_path, ears)
        assert sorted(ears.heard) == ["a", "b"]


def test_states_tell_a_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    os.utime(tmp_path / "a", ns=(0, 17))
    assert states_of({"x": tmp_path / "a", "y": tmp_path / "none"}) == {"x": "2 17", "y": ""}
