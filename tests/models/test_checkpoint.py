"""A checkpoint that was changed anywhere is refused: weights that are a little wrong would tag a little wrong."""

from __future__ import annotations

import json
import shutil
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch

from folksong.errors import FileFormatError
from folksong.files import write_signed
from folksong.models.checkpoint import read_checkpoint, write_checkpoint
from folksong.prediction import load_tagger


def test_c6_a_flipped_bit_among_the_weights_is_found(tmp_path):
    path = tmp_path / "best.ckpt"
    write_checkpoint(path, {"tagger": {"weight": torch.arange(4096.0)}})
    assert read_checkpoint(path)["tagger"]["weight"][7] == 7
    content = bytearray(path.read_bytes())
    content[content.index(np.arange(100, 164, dtype=np.float32).tobytes()) + 5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"best.ckpt: cut or damaged \(the CRC of"):
        read_checkpoint(path)


def test_16_c9_the_same_weights_are_the_same_bytes(tmp_path):
    """A killed training that was run again is compared by them, thresholds and evaluations name their hash."""
    for name in ("a/best.ckpt", "b/last.ckpt", "a/best.ckpt"):
        write_checkpoint(tmp_path / name, {"tagger": {"weight": torch.arange(3.0)}})
    assert (tmp_path / "a/best.ckpt").read_bytes() == (tmp_path / "b/last.ckpt").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(100), b"\x80\x02."])
def test_c6_what_is_no_checkpoint_is_said(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(FileFormatError, match="cut or damaged"):
        read_checkpoint(tmp_path / "x.ckpt")


def rewritten(path, change):
    """Write the parts of a checkpoint's archive anew, as ``change(name, content)`` gives them."""
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, change(name, content))


HOSTILE = {
    "a million nested tuples as a key": b"\x80\x02}(K\x01" + b"\x85" * 1_000_000 + b"K\x01u.",
    "2^60 steps to hash": b"\x80\x02}(K\x01"
    + b"".join(b"q%ch%c\x86" % (number, number) for number in range(60))
    + b"K\x01u.",
    "4 GB in nine bytes": b"\x8e" + (4 << 30).to_bytes(8, "little"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_16_c4_a_checkpoint_asks_for_no_endless_time_or_memory(tmp_path, name):
    path = tmp_path / "best.ckpt"
    write_checkpoint(path, {"tagger": {"weight": torch.arange(3.0)}})
    rewritten(path, lambda part, content: HOSTILE[name] if part.endswith("data.pkl") else content)
    with pytest.raises(
        FileFormatError, match=r"best.ckpt: cut or damaged \((tuples within|expected 4294967296)"
    ):
        read_checkpoint(path)


def test_16_c4_a_compressed_checkpoint_is_not_unpacked(tmp_path):
    path = tmp_path / "best.ckpt"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("best/data.pkl", bytes(1 << 20))
    with pytest.raises(FileFormatError, match="compressed archive"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("tagger", None), ("tagger", {"n_labels": "5"}), ("tagger", {"n_dense_units": None}), ("audio", 3),
        ("audio", {"sample_rate": "x"}), ("audio", {"preset": {"name": "x"}}), ("audio", {"window_seconds": -1.0}),
        ("scoring", {"hop_seconds": "1"}), ("scoring", {"windows": "none"}), ("shards", []), ("front_end", 7),
    ],
    ids=str,
)  # fmt: skip
def test_16_c6_a_run_signed_anew_with_odd_settings_is_named(tiny_run, tmp_path, section, change):
    """Whoever edits config.json may sign it too; what is in it still has to fit."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    content = json.loads((folder / "config.json").read_text())
    content[section] = {**content[section], **change} if isinstance(change, dict) else change
    write_signed(folder / "config.json", {key: value for key, value in content.items() if key != "sha256"})
    with pytest.raises(FileFormatError, match=r"config\.json: "):
        load_tagger(folder, device="cpu")
