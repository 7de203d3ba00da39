"""Object stores on a real server, through a proxy that fails: a message or a retry, never a wrong or lost byte."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from folksong.claims import Claims
from folksong.errors import FolksongError
from folksong.stores import absolute, is_address, local_copy, open_objects, open_store
from object_store import Proxy

BIG = bytes(range(256)) * 4 * 25_000  # 25.6 MB: several parts


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://b/x", True),
        ("gs://b", True),
        ("abfss://c@a/x", True),
        ("s3:", False),
        ("a/s3://b", False),
        ("x", False),
    ],
)
def test_an_address_is_known_also_as_a_path(place: str, said: bool) -> None:
    assert is_address(place) is is_address(Path(place)) is said
    if said:
        assert absolute(Path(place)) == absolute(place) == place


def test_files_come_back_as_they_were_put(far: Proxy, tmp_path: Path) -> None:
    store = open_store(f"{far.address}/deep/folder")
    assert (store.read("x/a"), store.size("x/a"), store.sizes(""), store.sizes("x")) == (None, None, {}, {})
    store.put("x/a", b"one")
    store.put("b", b"")
    found = store.read("x/a")
    assert found is not None
    assert found.data == b"one"
    assert (store.sizes(""), store.sizes("x"), store.size("b")) == ({"b": 0}, {"a": 3}, 0)
    with store.writing("big") as path:
        path.write_bytes(BIG)
    assert store.local("big").read_bytes() == BIG
    assert store.local("big").is_relative_to(tmp_path / "cache")
    store.delete("big")
    store.delete("big")
    assert not store.local("big").exists()


def test_of_many_that_put_at_once_one_does(far: Proxy) -> None:
    """moto looks and puts in two steps, so that two may do within a millisecond; one after the other, never."""
    store = open_store(f"{far.address}/folder")
    for number in range(5):
        assert store.put_if_absent(f"{number}", b"first")
        with ThreadPoolExecutor(8) as many:
            said = list(
                many.map(lambda who, name=str(number): store.put_if_absent(name, b"%d" % who), range(8))
            )
        assert said == [False] * 8
        found = store.read(f"{number}")
        assert found is not None
        assert found.data == b"first"


def test_claims_in_a_store(far: Proxy) -> None:
    store = open_store(f"{far.address}/folder")
    with Claims(store, ".writing") as mine:
        assert mine.take("a")
        assert not Claims(store, ".writing").take("a")
        assert len(Claims(store, ".writing").holders()) == 1
        mine.release("a")
        assert Claims(store, ".writing").holders() == []


FAULTS: list[tuple[str, Callable[[int], bool]]] = [
    ("503", lambda number: number % 3 != 2),
    ("cut", lambda number: number % 2 == 0),
    ("lost", lambda number: number % 3 == 0),
]


@pytest.mark.parametrize(("fault", "when"), FAULTS)
def test_a_store_that_fails_now_and_then_costs_nothing(
    far: Proxy, fault: str, when: Callable[[int], bool]
) -> None:
    store = open_store(f"{far.address}/folder")
    far.fault = lambda method, path, number: fault if when(number) else ""
    for number in range(3):
        assert store.put_if_absent(f"{number}", b"mine %d" % number)
        assert not store.put_if_absent(f"{number}", b"another")
        found = store.read(f"{number}")
        assert found is not None
        assert found.data == b"mine %d" % number
    with store.writing("big") as path:
        path.write_bytes(BIG)
    assert store.local("big").read_bytes() == BIG


def test_half_an_object_is_fetched_again_or_an_error(far: Proxy) -> None:
    store = open_objects(f"{far.address}/folder")
    with store.writing("big") as path:
        path.write_bytes(BIG)
    store.put("small", b"0123456789")
    halves = threading.Semaphore(2)

    def sometimes(method: str, path: str, number: int) -> str:
        return "half" if method == "GET" and halves.acquire(blocking=False) else ""

    far.fault = sometimes
    assert store.local("big").read_bytes() == BIG
    halves.release()
    found = store.read("small")
    assert found is not None
    assert found.data == b"0123456789"
    far.fault = lambda method, path, number: "half" if method == "GET" else ""
    with pytest.raises(FolksongError, match="folder/small: run the same again"):
        store.read("small")


def test_what_a_store_refuses_is_said_with_what_to_do(s3: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"s3://{s3.bucket}/folder"
    store = open_store(address)
    s3.fault = lambda method, path, number: "403"
    for call in (lambda: store.read("a"), lambda: store.put("a", b""), lambda: store.put_if_absent("a", b"")):
        with pytest.raises(FolksongError, match=rf"{address}/a: access was refused: .*AWS_ACCESS_KEY_ID"):
            call()
    s3.fault = lambda method, path, number: "507" if method == "PUT" else ""
    with (
        pytest.raises(FolksongError, match=rf"{address}/a: run the same again when the store answers.*507"),
        store.writing("a") as path,
    ):
        path.write_bytes(b"x")
    s3.fault = lambda method, path, number: ""
    with pytest.raises(FolksongError, match="s3://none-such/a: no such object or bucket"):
        open_store("s3://none-such").put("a", b"")


@pytest.mark.parametrize("far", ["az"], indirect=True)  # moto takes any key
def test_a_wrong_key_is_told(far: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    store = open_store(f"{far.address}/folder")
    for call in (lambda: store.read("a"), lambda: store.put_if_absent("a", b""), lambda: store.sizes("")):
        with pytest.raises(
            FolksongError, match=r"az://.*/folder.*: access was refused: give credentials.*AZURE"
        ):
            call()


@pytest.mark.parametrize(
    ("address", "given"),
    [
        ("az://b", {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "not in base 64"}),
        ("az://b", {}),
        ("gs://b", {"GOOGLE_SERVICE_ACCOUNT": "none.json"}),
    ],
)
def test_credentials_that_cannot_be_are_told_as_such(
    address: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    for name in list(os.environ):
        if name.startswith(("AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    open_objects.cache_clear()
    with pytest.raises(FolksongError, match=rf"{address}: access was refused: give credentials"):
        open_store(address)


def test_without_the_package_its_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    open_objects.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(
        FolksongError, match=r's3://b: an object store needs .*pip install "folksong\[stores\]"'
    ):
        open_store("s3://b")


def test_an_object_whose_name_leads_out_is_not_copied(s3: Proxy) -> None:
    store = open_objects(f"s3://{s3.bucket}/run")
    with pytest.raises(FolksongError, match="a name that leads out of its folder"):
        store.fetch("../../elsewhere", 1)


def test_copies_for_commands(far: Proxy) -> None:
    address = far.address
    for name in ("run/config.json", "run/checkpoints/best.ckpt", "shards/manifest.json", "tags.csv"):
        open_store(address).put(name, name.encode())
    assert Path(local_copy(f"{address}/tags.csv")).read_bytes() == b"tags.csv"
    assert (
        Path(local_copy(f"{address}/run/"), "checkpoints", "best.ckpt").read_bytes()
        == b"run/checkpoints/best.ckpt"
    )
    assert local_copy(f"{address}/shards") == f"{address}/shards"
    assert local_copy(address) == address
    assert local_copy("here") == "here"
    with pytest.raises(FolksongError, match="none: no such object or folder"):
        local_copy(f"{address}/none")


def test_what_is_there_already_is_not_uploaded_again(far: Proxy) -> None:
    store = open_store(f"{far.address}/folder")

    def puts(data: bytes) -> int:
        before = len(far.seen)
        with store.writing("big") as path:
            path.write_bytes(data)
        return sum(method in ("PUT", "POST") for method, _, _ in far.seen[before:])

    assert puts(b"x" * 100) == 1
    assert puts(b"x" * 100) == 0
    assert puts(b"y" * 100) == 1
    assert puts(BIG) > 2
    assert puts(BIG) == 0
    assert store.local("big").read_bytes() == BIG
