"""Options from signatures and docstrings, of a command's function and of the library's.

Args:
    shared: Of this module.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.cli.command import File, FolksongCommand, Form, Output
from folksong.cli.parameters import ManyValues, parameters, read_function


def every_command(command: click.Command, path: str = "folksong") -> list[tuple[str, click.Command]]:
    inner = command.commands.items() if isinstance(command, click.Group) else ()
    return [(path, command)] + [
        found for name, one in inner for found in every_command(one, f"{path} {name}")
    ]


def sample(
    source: File, number: int = 3, *, out: Output | None = None, kind: Literal["a", "b"] = "a", seed: int = 0,
    n_clusters: int = 5, share: float = 0.5, jobs: int = -1, part: str = "test", many: tuple[int, ...] = (),
    again: Sequence[File] = (), quiet: bool = False, merge: bool = True, check: bool = True,
    cache: bool | None = None, form: Form = None, shared: str | None = None, secret: str | None = None,
    pair: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Do it.

    Args:
        out (-o, --out FILE): Where to,
            if anywhere.  [default: nowhere]
        kind: Which.
        share: How much.
        many (N...): Numbers.
        again: Files.
        n_clusters (--k): How many.
        quiet: Say nothing.
        merge (--keep): Do not merge.
        check: Check it.
        cache: Keep it.
        pair (A B): Two.
    """


FOUND = {parameter.name: parameter for parameter in parameters(sample, (), ())}


def test_parameters_before_the_star_are_arguments() -> None:
    source, number = FOUND["source"], FOUND["number"]
    assert (type(source), source.required) == (click.Argument, True)
    assert (type(number), number.required, number.default) == (click.Argument, False, 3)


def test_an_entry_names_flags_metavar_and_help() -> None:
    out = FOUND["out"]
    assert (out.opts, out.metavar) == (["-o", "--out"], "FILE")
    assert out.help == "Where to, if anywhere.  [default: nowhere]"
    assert FOUND["n_clusters"].opts == ["--k"]


def test_entries_come_from_function_module_and_the_shared_ones() -> None:
    assert FOUND["kind"].help == "Which."
    assert FOUND["shared"].help == "Of this module."
    assert FOUND["seed"].help == "Of all random choices."
    assert FOUND["secret"].hidden
    assert not FOUND["kind"].hidden


def test_types_follow_from_annotations() -> None:
    assert FOUND["kind"].type.choices == ("a", "b")
    assert FOUND["part"].type.choices == ("test", "validation", "training")
    assert (FOUND["seed"].type.min, FOUND["n_clusters"].type.min, FOUND["jobs"].type.min) == (0, 1, -1)
    assert isinstance(FOUND["many"], ManyValues)
    assert FOUND["again"].multiple
    assert not isinstance(FOUND["again"], ManyValues)
    assert FOUND["pair"].nargs == 2


def test_flags() -> None:
    assert (FOUND["quiet"].opts, FOUND["quiet"].secondary_opts) == (["--quiet"], [])
    assert (FOUND["check"].opts, FOUND["check"].secondary_opts) == (["--check"], ["--no-check"])
    assert FOUND["cache"].secondary_opts == ["--no-cache"]
    assert FOUND["merge"].opts == ["--keep"]
    values = []

    @click.command(cls=FolksongCommand)
    def command(
        *, merge: bool = True, check: bool = True, cache: bool | None = None, form: Form = None
    ) -> None:
        """Do it.

        Args:
            merge (--keep): Do not merge.
        """
        values.append((merge, check, cache, form))

    for words in ([], ["--keep", "--no-check", "--no-cache", "--csv"], ["--cache", "--json"]):
        assert CliRunner().invoke(command, words).exit_code == 0
    assert values == [(True, True, None, None), (False, False, False, "csv"), (True, True, True, "json")]


def test_options_of_a_library_function_are_read_from_its_source() -> None:
    function = read_function("labels.npmi:npmi")
    taken = {parameter.name: parameter for parameter in function.taken}
    assert taken["linkage"].annotation == Literal["average", "complete", "single"]
    assert taken["keep_main"].default is False

    def command(*, population: Literal["all"] = "all", **settings: Any) -> None:
        """Do it."""

    found = {one.name: one for one in parameters(command, [function], ("drop_rare",))}
    assert list(found) == ["population", "linkage", "keep_main", "main_as_label"]  # no mapping, none left out
    assert found["linkage"].help == '"average", "complete" or "single".'
    assert found["population"].type.choices == ("all",)


def test_a_default_that_is_a_constant_of_another_module_is_found() -> None:
    taken = {parameter.name: parameter.default for parameter in read_function("audio.scan:scan_tree").taken}
    assert taken["silence_db"] == 60.0
    assert taken["limit_seconds"] == 300.0


@pytest.mark.parametrize(("path", "command"), every_command(main))
def test_every_option_has_help(path: str, command: click.Command) -> None:
    assert not [one.name for one in command.params if isinstance(one, click.Option) and one.hidden], path
    assert "Args:" not in command.get_help(click.Context(command))


@pytest.mark.parametrize("words", [["evaluate"], ["labels", "kmeans"], ["train"], ["shards", "write"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        f"from folksong.cli import main; main([*{words}, '--help'], standalone_mode=False)\n"
        "import sys; print('loaded:', sorted({'torch', 'numpy', 'scipy', 'polars', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: []\n")


NEEDING = [path for path, command in every_command(main) if any(one.required for one in command.params)]


@pytest.mark.parametrize("path", NEEDING)
def test_16_c6_a_missing_argument_is_said(path: str) -> None:
    result = CliRunner().invoke(main, path.split()[1:])
    assert (result.exit_code, "Missing" in result.output) == (2, True), result.output
