"""Claims: one of many gets a task, a dead holder's is taken again, a sleeping one's too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from folksong import claims as module
from folksong.claims import Claims, Parts
from folksong.errors import FolksongError
from folksong.stores import open_store

COMPETE = """
import sys
from folksong.claims import Claims
from folksong.stores import open_store
claims = Claims(open_store(sys.argv[1]), "claims")
sys.stdin.read(1)
print(*(task for task in range(200) if claims.take(str(task))))
sys.stdout.flush()
sys.stdin.read(1)
"""


def test_of_many_processes_one_gets_each_task(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COMPETE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    taken = [task for process in processes for task in process.stdout.readline().split()]  # type: ignore[union-attr]
    for process in processes:
        process.communicate("x")
    assert sorted(taken, key=int) == list(map(str, range(200)))


def claimed_by(folder: Path, **changes: object) -> Callable[[], None]:
    """Let somebody else claim the task `a`; the function returned makes their claim old."""
    said = {"process": os.getpid(), "host": "elsewhere", "token": "", **changes}
    path = folder / "claims" / "a.1.claim"
    path.parent.mkdir()
    path.write_text(json.dumps(said))
    return lambda: os.utime(path, (1, time.time() - module.LEASE_SECONDS - 1))


@pytest.mark.parametrize(
    ("said", "old", "free"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"host": None}, False, False),
        ({"process": "x"}, False, False),
        ({"process": "x"}, True, True),
    ],
)
def test_a_claim_that_nobody_renews_is_taken(
    tmp_path: Path, said: dict[str, object], old: bool, free: bool
) -> None:
    grow_old = claimed_by(tmp_path, **said)
    if old:
        grow_old()
    with Claims(open_store(tmp_path), "claims") as mine:
        assert mine.take("a") is free
        assert (len(Claims(open_store(tmp_path), "claims").holders()) == 1) is True
        assert Claims(open_store(tmp_path), "claims").take("a") is False
    assert not (tmp_path / "claims" / "a.2.claim").exists()


def test_the_claim_of_a_process_of_this_machine_ends_with_it(tmp_path: Path) -> None:
    script = "import sys; from folksong.claims import Claims; from folksong.stores import open_store\n"
    script += "print(Claims(open_store(sys.argv[1]), 'claims').take('a'))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
    claims = Claims(open_store(tmp_path), "claims")
    assert claims.holders() == []
    assert claims.take("a")
    assert claims.holders() == [], "its own is not another's"
    (holder,) = Claims(open_store(tmp_path), "claims").holders()
    assert holder.startswith(f"process {os.getpid()} on ")


def test_a_claim_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.02)
    with Claims(open_store(tmp_path), "claims") as claims:
        assert claims.take("a")
        path = tmp_path / "claims" / "a.1.claim"
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 60
        while path.stat().st_mtime < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not Claims(open_store(tmp_path), "claims").take("a")
        claims.release("a")
        assert not path.parent.exists()
    assert not path.exists()


def test_parts_that_others_have_done_are_passed_over(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    parts, states = Parts(store, "claims", ".x", "settings"), {str(number): number for number in range(130)}
    todo = parts.cut(states, ())
    assert [one for part in todo.values() for one in part] == list(states)
    fewer = parts.cut(states, {"0"})
    assert len(fewer.keys() & todo.keys()) == len(todo) - 1, "all divide alike, whatever they know"
    assert todo.keys().isdisjoint(Parts(store, "claims", ".x", "others").cut(states, ()))
    assert parts.cut({}, ()) == {}

    def ids(is_over: bool) -> list[str]:
        def work(asked: Iterator[list[str]]) -> Iterator[dict[str, str]]:
            yield from ({one: one for one in part} for part in asked)

        found = parts.share(claims, todo, work, lambda part: b"it", lambda: is_over)
        return [one for part in found for one in part]

    with Claims(store, "claims") as claims:
        assert sorted(ids(False), key=int) == list(states)
        assert len(parts.names()) == len(todo)
        assert ids(False) == []
        parts.delete(parts.names()[:1])
        assert 0 < len(ids(False)) <= 3
        parts.delete(parts.names())
        assert ids(True) == [], "whoever had all has removed them"
        assert sorted(ids(False), key=int) == list(states)
    assert claims.holders() == []


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # what a stick with FAT says

    monkeypatch.setattr(os, "link", link)
    with Claims(open_store(tmp_path), "claims") as mine:
        assert mine.take("a")
        assert not Claims(open_store(tmp_path), "claims").take("a")
        mine.release("a")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(FolksongError, match="file"):
        open_store(tmp_path / "file").put_if_absent("a", b"")


def test_a_file_is_put_once_whole(tmp_path: Path) -> None:
    store = open_store(tmp_path / "new")
    assert store.read("x/a") is None
    assert store.put_if_absent("x/a", b"first")
    assert not store.put_if_absent("x/a", b"second")
    found = store.read("x/a")
    assert found is not None
    assert found.data == b"first"
    assert store.sizes("x") == {"a": 5}
    store.put("x/a", b"third!")
    assert (store.size("x/a"), store.size("x/b"), store.sizes("y")) == (6, None, {})
    store.delete("x/a")
    assert list((tmp_path / "new").iterdir()) == []
