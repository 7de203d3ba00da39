import json
import logging
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from folksong.cli.command import FolksongCommand, FolksongGroup, ManyValues, OutputFile
from folksong.cli.common import echo_csv, echo_json, echo_table, log_to_stderr, shown
from folksong.errors import FolksongError
from folksong.files import check_output


@click.group(cls=FolksongGroup)
def app() -> None: ...


@app.command(cls=FolksongCommand)
@click.argument("front_end", required=False)
@click.option("--cuda", cls=ManyValues, multiple=True, type=int)
@click.option("--paths", cls=ManyValues, multiple=True)
@click.option("--flag", is_flag=True)
def show(front_end: str | None, cuda: tuple[int, ...], paths: tuple[str, ...], flag: bool) -> None:
    click.echo(f"{front_end} {cuda} {paths} {flag}")


@app.command()
@click.argument("kind")
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


def test_tables_show_nan_as_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table([["rock", 0.51234, 12345], ["pop", float("nan"), 7]], ["label", "ROC-AUC", "count"])
    out = capsys.readouterr().out
    assert "0.5123" in out
    assert "12,345" in out
    assert "–" in out


@pytest.fixture
def copier(tmp_path, monkeypatch):
    """A command that copies a file, with its own folder of notes."""
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))

    @click.command(cls=FolksongCommand, name="copier")
    @click.argument("source", type=click.Path())
    @click.argument("out", type=OutputFile())
    @click.option("--also", type=OutputFile())
    def copy(source, out, also):
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


HOSTILE = "rock\x1b[2J\x9bH\u202eevil\u2066"


@app.command()
@click.option("--form", default="table")
def strange(form: str) -> None:
    if form == "table":
        echo_table([(HOSTILE, 1), ("two\nlines", 2)], ("label", "tracks"))
    elif form == "json":
        echo_json({"label": HOSTILE, "file": "caf\udce9.mp3"})
    elif form == "csv":
        echo_csv([(HOSTILE, 1), ("caf\udce9.mp3", 2)], ("label", "tracks"))
    elif form == "error":
        raise FolksongError(f"{HOSTILE}: damaged")
    else:
        click.echo(HOSTILE)


def is_harmless(text: str) -> bool:
    return not set(text) & set("\x1b\x9b\u202e\u2066\u2028\r")


@pytest.mark.parametrize("form", ["table", "json", "error", "text"])
def test_16_c7_what_strangers_wrote_cannot_command_the_terminal(form: str) -> None:
    result = CliRunner().invoke(app, ["strange", "--form", form])
    assert is_harmless(result.output)
    assert "\\u009bH\\u202eevil\\u2066" in result.output
    if form == "json":
        assert json.loads(result.stdout) == {"label": HOSTILE, "file": "caf\udce9.mp3"}


def test_16_c7_a_label_cannot_add_a_line_to_a_table() -> None:
    result = CliRunner().invoke(app, ["strange"])
    assert "two\\nlines" in result.output
    assert len(result.output.splitlines()) == 4


def test_16_c7_csv_in_a_file_is_what_it_was() -> None:
    result = CliRunner().invoke(app, ["strange", "--form", "csv"])
    assert result.exit_code == 0
    assert result.stdout == f"label,tracks\n{HOSTILE},1\ncaf\\udce9.mp3,2\n"


def test_16_c7_log_lines_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    logging.getLogger("folksong.test").warning("%s is odd", HOSTILE)
    written = capfd.readouterr().err
    assert is_harmless(written)
    assert "rock\\u001b[2J" in written


def test_16_c7_ordinary_text_stays() -> None:
    text = "björk 日本語 👩‍🎤 عربي\tx\n"
    assert shown(text) == text
