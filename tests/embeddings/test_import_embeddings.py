"""Embeddings of any origin: kinds of files, shapes, labels beside features, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import folksong as fs
from folksong.cli import main
from folksong.embeddings.import_embeddings import import_embeddings
from folksong.embeddings.store import read_embeddings
from folksong.errors import FileFormatError, FolksongError

IDS = ["a", "b", "sub/c"]
VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) / 7


def write_source(folder: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    if kind == "npy":
        np.save(folder / "x.npy", VALUES)
        (folder / "x.txt").write_text("a.mp3\nb\nsub/c\n", encoding="utf-8")
        return folder / "x.npy", {}
    if kind == "npy, ids in a table":
        np.save(folder / "x.npy", VALUES)
        (folder / "ids.csv").write_text("title,track_id\nA,a\nB,b\nC,sub/c\n", encoding="utf-8")
        return folder / "x.npy", {"ids": folder / "ids.csv"}
    if kind == "npz of tracks":
        np.savez(folder / "x.npz", **dict(zip(IDS, VALUES, strict=True)))
        return folder / "x.npz", {}
    if kind == "npz of one array":
        np.savez(folder / "x.npz", track_ids=np.array(IDS), embeddings=VALUES)
        return folder / "x.npz", {}
    if kind == "folder":
        for track_id, row in zip(IDS, VALUES, strict=True):
            (folder / "x" / track_id).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / "x" / f"{track_id}.npy", row)
        return folder / "x", {}
    if kind == "parquet of lists":
        pl.DataFrame({"id": IDS, "genre": ["x"] * 3, "embedding": VALUES.tolist()}).write_parquet(
            folder / "x.parquet"
        )
        return folder / "x.parquet", {}
    columns = {"filename": [f"{name}.wav" for name in IDS], **{f"f{n}": VALUES[:, n] for n in range(4)}}
    pl.DataFrame(columns).write_csv(folder / "x.csv")
    return folder / "x.csv", {}


@pytest.mark.parametrize(
    "kind",
    ["npy", "npy, ids in a table", "npz of tracks", "npz of one array", "folder", "parquet of lists", "csv"],
)
def test_kinds(tmp_path: Path, kind: str) -> None:
    source, options = write_source(tmp_path, kind)
    found = import_embeddings(
        source, tmp_path / "out", model="mert", revision="v1", sample_rate=24000, **options
    )
    assert found.track_ids == tuple(IDS)
    np.testing.assert_allclose(found.values, VALUES, rtol=1e-6)
    assert (found.space.model, found.space.revision, found.space.sample_rate) == ("mert", "v1", 24000)
    assert found.space.pool == ""
    assert read_embeddings(tmp_path / "out").sha256 == found.sha256
    assert not found.tag_table().n_tags


def test_layers_and_pools(tmp_path: Path) -> None:
    array = (
        np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float16)
    )  # tracks, layers, time, numbers
    np.save(tmp_path / "x.npy", array)
    (tmp_path / "x.json").write_text('["a", "b"]', encoding="utf-8")
    found = import_embeddings(tmp_path / "x.npy", tmp_path / "o", layer=-1, pool="mean+std")
    wide = array[:, -1].astype(np.float32)
    assert found.values.dtype == np.float16
    np.testing.assert_allclose(found.values, np.hstack([wide.mean(1), wide.std(1)]), atol=2e-3)
    assert (found.space.layer, found.space.pool, found.space.dimensions) == ("-1", "mean+std", 8)
    for options, message in [({}, r"track 'a' has 3 layers"), ({"layer": 3}, "none is number 3")]:
        with pytest.raises(FolksongError, match=message):
            import_embeddings(tmp_path / "x.npy", tmp_path / "p", **options)
        assert not (tmp_path / "p").exists() or not list((tmp_path / "p").iterdir())


def test_bytes_are_numbers_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([-128, 127], np.int8), b=np.array([0, 3], np.int8))
    found = import_embeddings(tmp_path / "x.npz", tmp_path / "o")
    np.testing.assert_array_equal(found.values, [[-128, 127], [0, 3]])
    assert found.values.dtype == np.float32


def test_tracks_that_are_wanted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, _ = write_source(tmp_path, "npz of tracks")
    (tmp_path / "tracks.csv").write_text("track_id\nb\nsub/c\nd\ne\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        found = import_embeddings(source, tmp_path / "o", tracks=tmp_path / "tracks.csv")
    assert found.track_ids == ("b", "sub/c")
    assert "1 ids match no track and are left out: 'a'" in caplog.text.replace("left out: a", "left out: 'a'")
    assert "2 of 4 tracks have no embedding" in caplog.text
    assert found.provenance["missing"] == 2
    with pytest.raises(FolksongError, match=r"none of its 3 ids is one of the 1 tracks: 'a' here, 'x' there"):
        import_embeddings(source, tmp_path / "p", tracks=["x"])
    assert import_embeddings(source, tmp_path / "p").track_ids == tuple(IDS)  # nothing is in the way


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named(tmp_path: Path, bad: float) -> None:
    values = VALUES.copy()
    values[1, 2] = bad
    np.savez(tmp_path / "x.npz", **dict(zip(IDS, values, strict=True)))
    with pytest.raises(FolksongError, match=r"x\.npz: track 'b': its embedding holds NaN or infinite"):
        import_embeddings(tmp_path / "x.npz", tmp_path / "o")
    pl.DataFrame({"id": ["a", "b"], "f1": ["1", ""], "f2": ["2", "3"]}).write_csv(tmp_path / "x.csv")
    with pytest.raises(FolksongError, match=r"track .b.*NaN"):
        import_embeddings(tmp_path / "x.csv", tmp_path / "o")


def test_pickles_are_never_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{"x": 1}], object))
    np.save(tmp_path / "x.npy", np.array([{"x": 1}], object), allow_pickle=True)
    (tmp_path / "x.txt").write_text("a\n", encoding="utf-8")
    for name in ("x.npz", "x.npy"):
        with pytest.raises(FileFormatError, match="pickled objects"):
            import_embeddings(tmp_path / name, tmp_path / "o")


def test_refusals(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    source = tmp_path / "x.npy"
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (source, {}, r"whose are the rows\? name a file of their ids, or put x.txt beside it"),
        (source, {"pool": "men"}, "no pool 'men'.*mean"),
        (tmp_path / "none.npy", {}, "no such file or folder"),
        (tmp_path / "x.wav", {}, "not known as embeddings"),
        (tmp_path / "cut.npy", {"ids": tmp_path / "two.txt"}, "not an array of numbers, or cut"),
        (source, {"ids": tmp_path / "two.txt"}, r"shape \(3, 4\) does not fit 2 ids"),
        (tmp_path / "uneven.npz", {}, r"track 'b': shape \(3,\), not \(4,\)"),
        (tmp_path / "text.npz", {}, "track 'a' has <U1, not numbers"),
        (source, {"ids": tmp_path / "three.txt", "licens": "MIT"}, "has no 'licens'.*licence"),
    ]
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    (tmp_path / "cut.npy").write_bytes(source.read_bytes()[:40])
    (tmp_path / "two.txt").write_text("a\nb\n", encoding="utf-8")
    (tmp_path / "three.txt").write_text("a\nb\nc\n", encoding="utf-8")
    np.savez(tmp_path / "uneven.npz", a=np.ones(4), b=np.ones(3))
    np.savez(tmp_path / "text.npz", a=np.array(["x"]))
    for path, options, message in cases:
        with pytest.raises(FolksongError, match=message):
            import_embeddings(path, tmp_path / "o", **options)


ARFF = """% like those of Mulan
@relation cal
@attribute song string
@attribute 'mean mfcc' numeric
@attribute mfcc_2 REAL
@attribute 'Angry-Agressive' {0,1}
@attribute Calming {0, 1}

@data
'track one',0.5,-1,1,0
'track two',0.25,2e-1,0,1
{0 'track three', 1 3, 3 1, 4 1}
"""


def test_arff_with_labels_is_all_that_training_needs(tmp_path: Path) -> None:
    (tmp_path / "cal.arff").write_text(ARFF.replace("song string", "track_id string"), encoding="utf-8")
    found = import_embeddings(tmp_path / "cal.arff", tmp_path / "o")
    assert found.track_ids == ("track one", "track two", "track three")
    np.testing.assert_allclose(found.values, [[0.5, -1], [0.25, 0.2], [3, 0]])
    table = fs.read_tags(tmp_path / "o" / "tags.db")
    assert table.tags_of("track three") == found.tag_table().tags_of("track three")
    assert {tag for tag, _ in table.tags_of("track three")} == {"Angry-Agressive", "Calming"}


def test_features_without_ids_train(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    y = (x[:, :2] + rng.normal(size=(80, 2)) > 0).astype(int)
    frame = {**{f"f{n}": x[:, n] for n in range(3)}, "happy": y[:, 0] > 0, "sad": y[:, 1] * 1.0}
    pl.DataFrame(frame).write_csv(tmp_path / "emotions.csv")
    command = ["embeddings", "import", str(tmp_path / "emotions.csv"), str(tmp_path / "o")]
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 0, found.output
    assert ": 80 embeddings of emotions (3 numbers)" in found.output
    run = fs.train("embeddings", tmp_path / "o", out=tmp_path / "run")
    assert set(run.labels.names) == {"happy", "sad"}
    assert CliRunner().invoke(main, command).exit_code == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npz", b"PK\x03\x04" + bytes(40), "damaged, or holds pickled objects"),
        ("x.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': 7}\n   ", "not an array of numbers"),
        ("x.csv", b"track_id,a,b\nt1,1.5,2\n,3,4\n", "row 2 has no track id in 'track_id'"),
        ("x.arff", b"@attribute a numeric\n@data\n{9 1}\n", "line 3: '9' is no number of an attribute"),
        ("x.arff", b"@attribute a numeric\n@data\n{-1 1}\n", "line 3: '-1' is no number of an attribute"),
    ],
)
def test_16_c6_damaged_embeddings_of_others_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "x.json").write_text('["t1"]')
    with pytest.raises(FolksongError, match=message):
        import_embeddings(tmp_path / name, tmp_path / "out")


def test_16_c6_ids_that_are_no_list_are_named(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((1, 2), np.float32))
    (tmp_path / "x.json").write_text("3")
    with pytest.raises(FolksongError, match=r"x\.json: not a list of track ids"):
        import_embeddings(tmp_path / "x.npy", tmp_path / "out")
