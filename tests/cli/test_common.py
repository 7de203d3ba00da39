import click
import pytest
from click.testing import CliRunner

from folksong.cli.common import FolksongCommand, FolksongGroup, ManyValues, echo_table
from folksong.errors import FolksongError


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
