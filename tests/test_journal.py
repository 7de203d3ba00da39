"""The journal: what was confirmed is there, whatever came after."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from folksong import journal
from folksong.errors import FileFormatError, FolksongError


def test_entries_come_back_in_order_with_any_characters(tmp_path):
    path = tmp_path / "log.jsonl"
    first, second = {"tag": "نشيد\u2028 <b>\n"}, {"tag": "🎷", "n": 2}
    journal.append(path, [first])
    journal.append(path, [second, first])
    assert journal.read(path) == [first, second, first]


@pytest.mark.parametrize("torn", [b'{"n": 2', b"{", b'{"n": 2}', b"x" * 200_000])
def test_what_a_killed_process_left_is_not_read_and_cut_off(tmp_path, torn):
    path = tmp_path / "log.jsonl"
    journal.append(path, [{"n": 1}])
    with path.open("ab") as stream:
        stream.write(torn)
    assert journal.read(path) == [{"n": 1}]
    journal.append(path, [{"n": 3}])
    assert journal.read(path) == [{"n": 1}, {"n": 3}]
    assert torn not in path.read_bytes() or torn == b"{"


def test_a_journal_of_only_a_torn_line_begins_anew(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n"')
    assert journal.read(path) == []
    journal.append(path, [{"n": 1}])
    assert path.read_bytes() == b'{"n": 1}\n'


def test_several_writers_lose_nothing(tmp_path):
    path = tmp_path / "log.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: journal.append(path, [{"n": n}]), range(100)))
    assert sorted(entry["n"] for entry in journal.read(path)) == list(range(100))


@pytest.mark.parametrize(
    ("line", "says"), [(b"[1]", "not a JSON object"), (b"{", "not JSON"), (b"\xff{}", "not JSON")]
)
def test_a_damaged_line_is_named(tmp_path, line, says):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"{}\n" + line + b"\n{}\n")
    with pytest.raises(FileFormatError, match=re.escape(f"{path}: line 2 is {says}")):
        journal.read(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for call in (lambda: journal.read(path), lambda: journal.append(path, [{}])):
        with pytest.raises(FolksongError, match="is a pipe"):
            call()


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    journal.append(path, [{"n": 1}])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "fsync", full)
    with pytest.raises(FolksongError, match="the disk is full"):
        journal.append(path, [{"n": 2}])
    assert path.read_bytes() == b'{"n": 1}\n'
