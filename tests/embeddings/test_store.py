"""The store of embeddings: whole or not there, and spaces that never mix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from folksong.embeddings.store import (
    DESCRIPTION_NAME,
    WRITING_NAME,
    Embeddings,
    EmbeddingSpace,
    read_embeddings,
    settle,
    write_embeddings,
)
from folksong.errors import FileFormatError, FolksongError

SPACE = EmbeddingSpace("musicnn-msd", "0.1.0", "penultimate", "mean", 16000, 3.0, "ISC", "ab" * 32, 4)


def write(folder: Path, ids: list[str], storage: str = "float32", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(len(ids), SPACE.dimensions)).astype(storage)
    with write_embeddings(folder, SPACE, storage=storage) as writer:
        for track_id, row in zip(ids, values, strict=True):
            writer.add(track_id, row)
        writer.finish({"missing": 2})
    return values


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_round_trip_is_mapped_and_exact(tmp_path: Path, storage: str) -> None:
    ids = ["a", "b\nc", "é\u2028x"]
    values = write(tmp_path / "e", ids, storage)
    found = read_embeddings(tmp_path / "e")
    assert found.track_ids == tuple(ids)
    assert isinstance(found.values, np.memmap)
    assert found.values.dtype == storage
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.vectors(["é\u2028x", "a"]), values[[2, 0]].astype(np.float32))
    assert found.space == SPACE
    assert found.provenance == {"missing": 2}
    np.testing.assert_array_equal(np.load(tmp_path / "e" / "values.npy"), values)
    assert not (tmp_path / "e" / WRITING_NAME).exists()
    with pytest.raises(FolksongError, match="1 tracks have no embedding, the first is 'zz'"):
        found.vectors(["a", "zz"])


def test_a_stopped_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"), write_embeddings(tmp_path, SPACE) as writer:
        writer.add("a", np.ones(4))
        with pytest.raises(FolksongError, match="not finished; extract \\(or import\\) again"):
            read_embeddings(tmp_path)
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_moved", [0, 1, 2])
def test_stopped_while_completing_loses_nothing(tmp_path: Path, n_moved: int) -> None:
    write(tmp_path, ["a"])
    values = write(tmp_path / "new", ["a", "b"], seed=1)
    (tmp_path / WRITING_NAME).mkdir()
    for number, name in enumerate(("values.npy", "track_ids.jsonl", DESCRIPTION_NAME)):
        target = tmp_path if number < n_moved else tmp_path / WRITING_NAME
        (tmp_path / "new" / name).replace(target / name)
    with pytest.raises(FolksongError, match="not finished"):
        read_embeddings(tmp_path)
    settle(tmp_path)
    found = read_embeddings(tmp_path)
    assert found.track_ids == ("a", "b")
    np.testing.assert_array_equal(found.values, values)


def test_rows_that_cannot_be(tmp_path: Path) -> None:
    with write_embeddings(tmp_path, SPACE, storage="float16") as writer:
        with pytest.raises(FolksongError, match=r"track 'x': its embedding holds NaN"):
            writer.add("x", [1, np.nan, 1, 1])
        with pytest.raises(
            FolksongError, match=r"track 'x': its embedding holds a number too large for float16"
        ):
            writer.add("x", [1, 1e6, 1, 1])
        with pytest.raises(FolksongError, match=r"track 'x': shape \(3,\), not \(4,\) of musicnn-msd"):
            writer.add("x", [1, 1, 1])
        with pytest.raises(FolksongError, match="there is no embedding to write"):
            writer.finish({})
        writer.add("x", np.ones(4))
        with pytest.raises(FolksongError, match="track 'x': occurs twice"):
            writer.add("x", np.ones(4))


def test_two_spaces_never_mix() -> None:
    other = replace(SPACE, model="musicnn-mtt", pool="max")
    with pytest.raises(FolksongError, match=r"musicnn-msd .*musicnn-mtt .*differ in model, pool.*never mix"):
        other.require(SPACE, "x", "the run")
    with pytest.raises(FolksongError, match=r"0\.1\.0, penultimate, mean, 16000 Hz, 3 s windows, 4 numbers"):
        SPACE.require(other, "x", "the run")
    SPACE.require(replace(SPACE), "x", "the run")


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "values.npy").write_bytes(b"mine")
    write(tmp_path / "done", ["a"])
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for name, message in [("mine", "something else"), ("done", "already"), ("file", "is a file")]:
        with pytest.raises(FolksongError, match=message), write_embeddings(tmp_path / name, SPACE):
            pass
    assert (tmp_path / "mine" / "values.npy").read_bytes() == b"mine"
    with pytest.raises(FolksongError, match="no embeddings here"):
        read_embeddings(tmp_path / "mine")
    with pytest.raises(FolksongError, match="no such folder of embeddings"):
        read_embeddings(tmp_path / "none")


@pytest.mark.parametrize("name", ["values.npy", "track_ids.jsonl", "embeddings.json"])
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, ["a", "b"])
    content = bytearray((tmp_path / name).read_bytes())
    content[-6] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=name):
        read_embeddings(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FolksongError, match=name):
        read_embeddings(tmp_path)


def test_embeddings_must_fit() -> None:
    with pytest.raises(FolksongError, match="do not fit values"):
        Embeddings(("a",), np.zeros((2, 4), np.float32), SPACE)
    with pytest.raises(FolksongError, match="'a' occurs twice"):
        Embeddings(("a", "a"), np.zeros((2, 4), np.float32), SPACE)
    for changes in (
        {"model": ""},
        {"dimensions": 0},
        {"sample_rate": 0},
        {"window_seconds": -1.0},
        {"licence": None},
    ):
        with pytest.raises(FolksongError):
            replace(SPACE, **changes)
