"""Commands: options with many values, guarded outputs, errors as one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import click
import pytest
from click.testing import CliRunner

import folksong
from folksong.cli import main
from folksong.cli.command import File, FolksongCommand, FolksongGroup, Output, OutputFolder, Outputs
from folksong.errors import FolksongError
from folksong.files import atomic_write, check_output


@click.group(cls=FolksongGroup)
def app() -> None: ...


@app.command
def show(
    front_end: str | None = None,
    *,
    cuda: tuple[int, ...] = (),
    paths: tuple[File, ...] = (),
    flag: bool = False,
) -> None:
    click.echo(f"{front_end} {cuda} {paths} {flag}")


@app.command
def fail(kind: str) -> None:
    if kind == "ours":
        raise FolksongError("x.csv: no column 'track_id'")
    open("/nonexistent/file.txt")  # noqa: PTH123, SIM115


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("waveform --cuda 0 1 2", "waveform (0, 1, 2) () False"),
        ("--cuda 0 1 waveform", "waveform (0, 1) () False"),
        ("--cuda 0 --cuda 3 --flag waveform", "waveform (0, 3) () True"),
        ("--cuda=1 waveform", "waveform (1,) () False"),
        ("waveform --paths a.db b.db --flag", "waveform () ('a.db', 'b.db') True"),
        ("--paths a b -- waveform", "waveform () ('a', 'b') False"),
        ("waveform", "waveform () () False"),
    ],
)
def test_options_with_many_values(words: str, shown: str) -> None:
    result = CliRunner().invoke(app, ["show", *words.split()])
    assert result.output.strip() == shown


def test_a_value_of_the_wrong_type_is_refused() -> None:
    result = CliRunner().invoke(app, ["show", "--cuda", "first"])
    assert result.exit_code == 2
    assert "'first' is not a valid integer" in result.output


def test_errors_are_one_line_without_traceback() -> None:
    result = CliRunner().invoke(app, ["fail", "ours"])
    assert (result.exit_code, result.output) == (1, "Error: x.csv: no column 'track_id'\n")
    result = CliRunner().invoke(app, ["fail", "system"])
    assert (result.exit_code, result.output) == (1, "Error: /nonexistent/file.txt: no such file or folder\n")


@pytest.fixture
def copier(tmp_path, monkeypatch):
    """A command that copies a file, with its own folder of notes."""
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))

    @click.command(cls=FolksongCommand, name="copier")
    def copy(source: File, out: Output, *, also: Output | None = None):
        for path in filter(None, (out, also)):
            Path(path).write_text(Path(source).read_text() + "!")

    (tmp_path / "in.txt").write_text("tags")
    (tmp_path / "notes.txt").write_text("mine")
    return lambda *words: CliRunner().invoke(copy, [str(tmp_path / w) if "." in w else w for w in words])


def test_b1_an_output_is_never_an_input_even_with_force(copier, tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "in.txt")
    for words in (["in.txt", "in.txt"], ["in.txt", "in.txt", "--force"], ["in.txt", "link.txt", "--force"],
                  ["in.txt", "out.txt", "--also", "in.txt"]):  # fmt: skip
        result = copier(*words)
        assert result.exit_code == 1
        assert "both an input and the output" in result.output
    assert (tmp_path / "in.txt").read_text() == "tags"
    assert not (tmp_path / "out.txt").exists()


def test_b1_a_file_that_others_made_stays_without_force(copier, tmp_path):
    result = copier("in.txt", "notes.txt")
    assert result.exit_code == 1
    assert "notes.txt: this file is there already, and copier did not write it" in result.output
    assert "--force" in result.output
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert copier("in.txt", "notes.txt", "--force").exit_code == 0
    assert (tmp_path / "notes.txt").read_text() == "tags!"


def test_b1_what_the_command_wrote_is_replaced_until_a_person_edits_it(copier, tmp_path):
    for _ in range(3):
        assert copier("in.txt", "out.txt").exit_code == 0
    (tmp_path / "out.txt").write_text("reviewed")
    assert copier("in.txt", "out.txt").exit_code == 1
    assert (tmp_path / "out.txt").read_text() == "reviewed"


def test_b1_another_command_does_not_replace_it(copier, tmp_path):
    assert copier("in.txt", "out.txt").exit_code == 0
    with pytest.raises(FolksongError, match="another did not write it"):
        check_output(tmp_path / "out.txt", "another")


@pytest.fixture
def spreader(tmp_path, monkeypatch):
    """A command that writes into two folders: files of known names, and of others."""
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    started: list[str] = []

    @click.command(cls=FolksongCommand, name="spreader")
    def spread(
        *, known: Annotated[str | None, OutputFolder("a.txt", "b.txt")] = None, others: Outputs | None = None
    ):
        started.append("")
        for folder, name in ((known, "a.txt"), (known, "b.txt"), (others, "c.txt")):
            if folder:
                with atomic_write(Path(folder, name), "w") as stream:
                    stream.write(f"made {len(started)}")

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "b.txt").write_text("mine")
    (tmp_path / "mine" / "c.txt").write_text("mine")
    return started, lambda option, folder, *more: CliRunner().invoke(
        spread, [option, str(tmp_path / folder), *more]
    )


@pytest.mark.parametrize(("option", "name", "starts"), [("--known", "b.txt", 0), ("--others", "c.txt", 1)])
def test_b1_files_of_others_stay_in_a_folder_that_is_written_into(spreader, tmp_path, option, name, starts):
    started, spread = spreader
    result = spread(option, "mine")
    assert (result.exit_code, len(started)) == (1, starts)  # known names are checked before anything is done
    assert f"{name}: this file is there already" in result.output
    assert "--force replaces it" in result.output
    assert (tmp_path / "mine" / name).read_text() == "mine"
    assert [spread(option, "new").exit_code for _ in range(2)] == [0, 0]
    (tmp_path / "new" / name).write_text("edited")
    assert spread(option, "new").exit_code == 1
    assert (tmp_path / "new" / name).read_text() == "edited"
    assert spread(option, "mine", "--force").exit_code == 0
    assert (tmp_path / "mine" / name).read_text().startswith("made")


@pytest.mark.parametrize("words", [["--force", "tags", "recipe"], ["tags", "recipe", "--force"]])
def test_force_is_one_option_of_the_whole_command_line(tmp_path, monkeypatch, words):
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "notes.toml").write_text("mine")
    plain = [word for word in words if word != "--force"]
    assert CliRunner().invoke(main, [*plain, str(tmp_path / "notes.toml")]).exit_code == 1
    assert CliRunner().invoke(main, [*words, str(tmp_path / "notes.toml")]).exit_code == 0
    assert "--force replaces it" in CliRunner().invoke(main, [*plain, "--help"]).output
    assert "--force" not in CliRunner().invoke(main, ["tags", "query", "--help"]).output


@pytest.mark.parametrize(
    "words",
    [
        ["tags", "stats", "x", "--cover\x1b[2Jage"],
        ["tags", "s\x1b[2J"],
        ["--\x1b[2J"],
        ["tags", "popular", "x", "-n", "\x1b[2J"],
        ["train", "\x9b\u202e"],
        ["tags", "stats", "gone\x1b[2J"],
    ],
)
def test_16_c7_usage_errors_cannot_command_the_terminal(words):
    result = CliRunner().invoke(main, words)
    assert result.exit_code in (1, 2)
    assert not set(result.output) & set("\x1b\x9b\u202e")
    assert "\\" in result.output


def test_ctrl_c_ends_with_130_and_says_how_to_go_on():
    @click.command(cls=FolksongCommand, resumable="What was done is kept")
    def stopped() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(stopped)
    assert result.exit_code == 130
    assert result.output == "Stopped. What was done is kept; run the same command again to continue.\n"


def test_ctrl_c_while_modules_are_imported_ends_with_130_and_one_line(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    folders = os.pathsep.join([str(tmp_path), str(Path(folksong.__file__).parents[1])])
    command = [sys.executable, "-m", "folksong", "--help"]
    found = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": folders}, capture_output=True, check=False
    )
    assert (found.returncode, found.stderr) == (130, b"Stopped.\n")


def test_ctrl_c_before_a_command_begins_ends_with_130(monkeypatch):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FolksongCommand, "parse_args", stopped)
    result = CliRunner().invoke(app, ["show"])
    assert (result.exit_code, result.output) == (130, "Stopped.\n")
