"""A running app, and a browser that fails a test which asks for anything elsewhere or says an error."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM = os.environ.get("FOLKSONG_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class RunningApp:
    """``folksong curate`` in a process of its own."""

    process: subprocess.Popen[str]
    address: str

    @property
    def origin(self) -> str:
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> str:
        """End it as Ctrl-C does, and return what it said."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=20)[0]


def start_app(*words: object, cwd: Path) -> RunningApp:
    command = [sys.executable, "-m", "folksong", "curate", "--no-open", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.match(r"(http://\S+/)  ", line):
            return RunningApp(process, found[1])
    raise AssertionError("".join(said))


@pytest.fixture
def app(tmp_path) -> Iterator[Callable[..., RunningApp]]:
    """Start the app with options; it ends with the test."""
    started: list[RunningApp] = []

    def start(*words: object) -> RunningApp:
        started.append(start_app(*words, cwd=tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()
        one.process.stdout.close()


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
        context.set_default_timeout(10_000)
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
