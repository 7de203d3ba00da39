"""The pages of the documentation: every command is one that the command line takes, and the tutorial's run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile

import folksong as fs
from folksong.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDER = re.compile(r"…|\.\.\.")


def commands_of(page: Path) -> Iterator[str]:
    """Yield the commands of a page's blocks of code, without what a shell would do with their output."""
    inside = False
    for line in page.read_text("utf-8").replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            inside = not inside
        command = re.split(r"\s+#\s|\s[|>]\s|\s2?>", line.removeprefix("$ ").strip())[0]
        if inside and command.startswith("folksong ") and not PLACEHOLDER.search(command):
            yield command


def parse(words: list[str]) -> click.Context:
    """Parse a command as the command line does, without running it."""
    command: click.Command = main
    context = main.make_context("folksong", [], resilient_parsing=True)
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"no command {name!r}"
        command = found
    return command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_line_takes_every_command_of_a_page(page: Path) -> None:
    wrong = []
    for command in commands_of(page):
        try:
            parse(
                shlex.split(command.replace("s3://", ""))[1:]
            )  # an address is asked for as soon as it is parsed
        except click.exceptions.Exit:  # --help, --version
            pass
        except click.ClickException as error:
            wrong.append(f"{command}: {error.format_message()}")
    assert not wrong, "\n".join(wrong)


def test_a_command_that_is_wrong_would_be_found() -> None:
    for command in (
        "labels top tags.db out.json --number-of-labels 3",
        "split tags.db",
        "train wavform shards",
    ):
        with pytest.raises(click.UsageError):
            parse(shlex.split(command))


KINDS = {"tone": "jazz", "chirp": "techno", "noise": "metal", "clicks": "folk"}


def write_library(
    folder: Path, sound: Callable[..., np.ndarray], numbers: Iterable[int], *, genre: bool
) -> None:
    """Write recordings of four kinds, each by a player of its own, as a tagged music library."""
    mutagen = pytest.importorskip("mutagen")
    for number in numbers:
        for kind, name in KINDS.items():
            path = folder / f"Player {kind} {number}" / "Pieces" / "01 Piece.flac"
            path.parent.mkdir(parents=True)
            soundfile.write(path, sound(kind, number, 1.0), 16_000)
            file = mutagen.File(path)
            file.update(
                {"artist": path.parts[-3], "album": "Pieces", "title": "Piece"}
                | ({"genre": name} if genre else {})
            )
            file.save()


def test_the_tutorial_runs_as_it_stands(
    tmp_path: Path, sound: Callable[..., np.ndarray], wheel: Path
) -> None:
    pytest.importorskip("beets")
    page = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    write_library(tmp_path / "music", sound, range(10), genre=True)
    write_library(tmp_path / "new-music", sound, range(20, 22), genre=False)
    settings = re.search(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert settings is not None
    (tmp_path / "beets-settings.yaml").write_text(settings[1])
    commands = [
        line[2:]
        for line in page.splitlines()
        if line.startswith("$ ") and not re.search("pip|venv|fetch", line)
    ]
    assert len(commands) >= 15
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    for command in commands:
        program, _, rest = command.partition(" ")
        module = {"folksong": "folksong", "beet": "beets", ".": ""}[program]
        if not module:
            continue
        done = subprocess.run(
            [sys.executable, "-m", module, *shlex.split(rest)], cwd=tmp_path, capture_output=True, text=True,
            check=False, timeout=300, env={**os.environ, "PYTHONPATH": source, "BEETSDIR": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    genres = fs.read_tags(tmp_path / "new-music", format="library", fields=("genre",))
    right = sum(dict(genres.tags_of(track)).keys() == {KINDS[track.split()[1]]} for track in genres.track_ids)
    assert right >= 6, {track: genres.tags_of(track) for track in genres.track_ids}
