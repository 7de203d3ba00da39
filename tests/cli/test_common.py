import json
import logging

import click
import pytest
from click.testing import CliRunner

from folksong.cli.command import FolksongGroup, echo_csv, echo_json, echo_table, log_to_stderr, shown
from folksong.errors import FolksongError


@click.group(cls=FolksongGroup)
def app() -> None: ...


def test_tables_show_nan_as_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table([["rock", 0.51234, 12345], ["pop", float("nan"), 7]], ["label", "ROC-AUC", "count"])
    out = capsys.readouterr().out
    assert "0.5123" in out
    assert "12,345" in out
    assert "–" in out


HOSTILE = "rock\x1b[2J\x9bH\u202eevil\u2066"


@app.command
def strange(*, form: str = "table") -> None:
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
