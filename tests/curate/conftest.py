"""A running app."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest


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
        return self.process.communicate(timeout=60)[0]


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
