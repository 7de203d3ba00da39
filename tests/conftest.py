"""What tests of several rooms share: a tiny run, trained for one epoch on tones, chirps and noise, and a browser.

The browser fails a test whose page asks for anything elsewhere or says an error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import signal
import struct
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from folksong.models.pretrained.weights import kept_wheel
from folksong.shards.format import _varint, masked_crc32c

sys.path.insert(0, str(Path(__file__).parent))
import object_store

CHROMIUM = os.environ.get("FOLKSONG_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


RATE = 16_000
SECONDS = 2.0
KINDS = ("tone", "chirp", "noise", "clicks")
TRACKS_PER_KIND = 10


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

WHEEL = kept_wheel()  # of the user's cache; tests may have one of their own


@pytest.fixture(autouse=True)
def _no_command_speaks_in_the_next_test() -> Iterator[None]:
    """Take away the handler by which a command's log lines reach stderr."""
    yield
    logger = logging.getLogger("folksong")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def run_async() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return a function that runs a coroutine in a thread: a browser's event loop may run in this one."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()

    return run


@dataclass(frozen=True)
class TinyRun:
    """A run and where its inputs lie."""

    folder: Path
    shards: Path
    audio: Path
    tags: Path


def make_sound(kind: str, number: int, seconds: float = SECONDS) -> np.ndarray:
    """Return (samples,) float32 at 16 kHz: a different sound for each kind and number."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    time = np.arange(int(seconds * RATE)) / RATE
    hertz = rng.uniform(200, 800)
    sound = {
        "tone": lambda: np.sin(2 * np.pi * hertz * time),
        "chirp": lambda: np.sin(2 * np.pi * hertz * time * (1 + time)),
        "noise": lambda: rng.standard_normal(len(time)),
        "clicks": lambda: (np.arange(len(time)) % int(RATE / rng.uniform(4, 9)) < 20).astype(float),
    }[kind]()
    return (0.3 * sound + 0.003 * rng.standard_normal(len(time))).astype(np.float32)


def build_tiny_run(folder: Path, front_end: str, **options) -> TinyRun:
    """Write recordings, tags and shards into `folder`, and train on them for an epoch."""
    import soundfile

    from folksong.audio.catalogue import scan_folder
    from folksong.shards.writer import write_shards
    from folksong.tags.sources.read_tags import write_tags
    from folksong.tags.table import TagTable
    from folksong.training.config import Config
    from folksong.training.train import train

    audio, shards, tags = folder / "audio", folder / "shards", folder / "tags.csv"
    pairs = []
    for kind in KINDS:
        (audio / kind).mkdir(parents=True)
        for number in range(TRACKS_PER_KIND):
            seconds = SECONDS if number else 0.7  # one of each is shorter than the window
            soundfile.write(audio / kind / f"{number}.wav", make_sound(kind, number, seconds), RATE)
            pairs.append((f"{kind}/{number}", kind))
            if number % 2:
                pairs.append((f"{kind}/{number}", "odd"))
    pairs.remove(("noise/0", "noise"))
    pairs.append(("noise/0", "a tag of no label"))
    write_tags(TagTable.from_pairs(*zip(*pairs, strict=True)), tags)
    write_shards(scan_folder(audio), shards, None, audio_format=front_end, jobs=1)
    settings = Config.from_dict(
        {
            "model": {"n_dense_units": 16, "n_filters": 1},
            "model-training": {
                "window_length": 1.25,
                "batch_size": 8,
                "split": [50, 20, 30],
                "adapt_to_small": False,
            },
            "tags": {"top": 5},
        }
    )
    run = train(
        front_end, shards, out=folder / "run", config=settings, tags=tags, epochs=1, precision="32", **options
    )
    return TinyRun(run.path, shards, audio, tags)


@contextmanager
def left_alone(folder: Path) -> Iterator[None]:
    """Fail at the end if a test wrote into a folder that the tests of this process share."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    yield
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, f"a test changed {folder}"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Iterator[TinyRun]:
    """A log-mel run of one epoch. Read only: copy it before changing it."""
    run = build_tiny_run(tmp_path_factory.mktemp("tiny"), "log-mel-spectrogram")
    with left_alone(run.folder):
        yield run


@pytest.fixture(scope="session")
def tiny_waveform_run(tmp_path_factory) -> Iterator[TinyRun]:
    """A waveform run of one epoch. Read only: copy it before changing it."""
    run = build_tiny_run(tmp_path_factory.mktemp("tiny-waveform"), "waveform")
    with left_alone(run.folder):
        yield run


@pytest.fixture(scope="session")
def sound() -> Callable[..., np.ndarray]:
    """`make_sound`, for tests."""
    return make_sound


@pytest.fixture(scope="session")
def music_of_kinds() -> Callable[[Path, int], Path]:
    """Write class folders of so many one-second recordings a kind, and return their folder."""
    import soundfile

    def write(folder: Path, per_kind: int) -> Path:
        for kind in ("tone", "chirp", "noise", "clicks"):
            (folder / kind).mkdir()
            for number in range(per_kind):
                soundfile.write(folder / kind / f"{number}.flac", make_sound(kind, number, 1.0), RATE)
        return folder

    return write


@pytest.fixture(scope="session")
def wheel() -> Path:
    if not WHEEL.is_file():
        pytest.skip("the weights of musicnn are not here; get them: folksong models fetch musicnn")
    return WHEEL


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """Return a protocol buffer of numbers and bytes."""
    parts = []
    for number, value in fields:
        if isinstance(value, bytes):
            parts.append(_varint(number << 3 | 2) + _varint(len(value)) + value)
        elif number == 6:  # the CRC of an entry has 4 bytes
            parts.append(_varint(number << 3 | 5) + struct.pack("<I", value))
        else:
            parts.append(_varint(number << 3) + _varint(value))
    return b"".join(parts)


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return a block of a LevelDB table, keys cut to what is new in each, with its trailer."""
    content, before = b"", b""
    for key, value in pairs:
        shared = next((n for n in range(len(before), -1, -1) if key.startswith(before[:n])), 0)
        content += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        before = key
    content += struct.pack("<II", 0, 1) + b"\0"
    return content + struct.pack("<I", masked_crc32c(content))


def write_tf_checkpoint(
    prefix: Path, tensors: dict[str, np.ndarray], names: dict[str, str] | None = None
) -> None:
    """Write a checkpoint as TensorFlow does; `names` are the variables' own, by key, in the object graph."""
    dtypes = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
    contents = {
        key: (dtypes[a.dtype.name], a.shape, np.ascontiguousarray(a).tobytes()) for key, a in tensors.items()
    }
    if names:
        nodes = [
            message((2, message((1, b"kernel"), (2, own.encode()), (3, key.encode()))))
            for key, own in names.items()
        ]
        graph = b"".join(message((1, node)) for node in nodes)
        length = _varint(len(graph))
        contents["_CHECKPOINTABLE_OBJECT_GRAPH"] = (
            7,
            (),
            length + struct.pack("<I", masked_crc32c(length)) + graph,
        )
    data, entries = b"", [(b"", message((1, 1), (3, message((1, 1)))))]
    for key, (dtype, shape, content) in sorted(contents.items()):
        sizes = message(*((2, message((1, size))) for size in shape))
        place = [(4, len(data))] if data else []
        entry = message((1, dtype), (2, sizes), *place, (5, len(content)), (6, masked_crc32c(content)))
        entries.append((key.encode(), entry))
        data += content
    first = block(entries)
    second = block([])
    third = block([(b"~", _varint(0) + _varint(len(first) - 5))])
    handles = b"".join(map(_varint, (len(first), len(second) - 5, len(first) + len(second), len(third) - 5)))
    footer = handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    Path(f"{prefix}.index").write_bytes(first + second + third + footer)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


@pytest.fixture(scope="session")
def write_checkpoint():
    return write_tf_checkpoint


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an S3 server that runs as long as the tests."""
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    with object_store.s3_server() as port:
        yield port


@pytest.fixture(scope="session")
def azure_port() -> Iterator[int]:
    """The port of an Azure server that runs as long as the tests."""
    pytest.importorskip("obstore")
    if object_store.AZURITE is None:
        pytest.skip("no azurite-blob is installed; it comes with: npm install --global azurite")
    with object_store.azure_server() as port:
        yield port


@contextmanager
def new_bucket(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[object_store.Proxy]:
    """A proxy before the server, to which the environment points; its `bucket` is new, so is the cache."""
    from folksong.stores import open_objects

    port, make, settings = {
        "s3": ("s3_port", object_store.make_bucket, object_store.environment),
        "az": ("azure_port", object_store.make_container, object_store.azure_environment),
    }[kind]
    behind = request.getfixturevalue(port)
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    open_objects.cache_clear()
    with object_store.proxy(behind, settings) as server:
        server.bucket = f"bucket-{secrets.token_hex(6)}"
        server.address = f"{kind}://{server.bucket}"
        make(behind, server.bucket)
        yield server
    open_objects.cache_clear()


@pytest.fixture
def s3(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[object_store.Proxy]:
    """A new bucket of the S3 server, behind a proxy."""
    with new_bucket("s3", request, tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture(params=["s3", "az"])
def far(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[object_store.Proxy]:
    """A new bucket of each server that is installed, behind a proxy."""
    with new_bucket(request.param, request, tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed, which the journeys drive")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium) -> Iterator[Callable[..., object]]:
    """Open a page, of a width and scheme; the test fails on a request elsewhere and on any error of the console."""
    faults: list[str] = []
    contexts = []

    def look(request) -> None:
        where = urlsplit(request.url)
        if where.scheme not in ("data", "blob") and where.hostname not in ("127.0.0.1", "localhost", "::1"):
            faults.append(f"asked for {request.url}")

    def listen(message) -> None:
        expected = "Failed to load resource" in message.text  # a refusal, which the page shows
        if message.type == "error" and not expected:
            faults.append(f"console: {message.text}")

    def open_(address: str, width: int = 1280, height: int = 900, scheme: str = "light", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        context.set_default_timeout(60_000)
        contexts.append(context)
        context.on("request", look)
        context.on("console", listen)
        context.on("weberror", lambda error: faults.append(f"error: {error.error}"))
        page = context.new_page()
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults, faults
