"""What the commands about tags may replace, and what they say of sources that they cannot read."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import folksong as fs
from folksong.cli import main


@pytest.fixture(autouse=True)
def _own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "small.tsv"
    path.write_text(
        "track_id\ttag\n" + "".join(f"t{n}\t{'hip hop' if n % 3 else 'Hip-Hop'}\n" for n in range(12))
    )
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("split", "small.tsv", "small.tsv"),
        ("tags", "clean", "small.tsv", "small.tsv"),
        ("tags", "import", "small.tsv", "small.tsv", "--force"),
        ("tags", "propose", "small.tsv", "./small.tsv"),
        ("tags", "cooccurrence", "small.tsv", "--npy", "small.tsv"),
        ("tags", "stats", "small.tsv", "--plot", "small.tsv"),
    ],
)
def test_b1_an_output_is_never_an_input(source: Path, words: tuple[str, ...]) -> None:
    before = source.read_bytes()
    assert "both an input and the output" in run(*words, code=1).output
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("tags", "recipe", "notes.db"),
        ("split", "small.tsv", "notes.db"),
        ("tags", "clean", "small.tsv", "notes.db"),
        ("tags", "import", "small.tsv", "notes.db"),
        ("tags", "cooccurrence", "small.tsv", "--npy", "notes.db"),
    ],
)
def test_b1_a_file_that_another_made_stays(source: Path, words: tuple[str, ...]) -> None:
    notes = source.with_name("notes.db")
    notes.write_text("mine")
    assert "--force replaces it" in run(*words, code=1).output
    assert notes.read_text() == "mine"
    run(*words, "--force")
    run(*words)  # its own, as it was written


def test_b1_a_reviewed_proposal_never_goes(source: Path) -> None:
    proposal = source.with_name("p.tsv")
    run("tags", "propose", source, proposal)
    run("tags", "propose", source, proposal)
    proposal.write_text(proposal.read_text().replace("Hip-Hop", "-Hip-Hop"))
    reviewed = proposal.read_bytes()
    assert "changed since" in run("tags", "propose", source, proposal, code=1).output
    assert proposal.read_bytes() == reviewed


def test_b4_a_source_that_is_unclear_is_refused_with_the_command_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "latin table.csv").write_bytes("track_id,tag\na,café\n".encode("latin-1"))
    error = run("tags", "stats", "latin table.csv", code=1).output
    command = error.splitlines()[-1].removeprefix("This reads it: folksong ")
    assert command == "tags import 'latin table.csv' tags.db --encoding latin-1"
    run(*shlex.split(command))
    assert fs.read_tags("tags.db").tags_of("a") == [("café", 1.0)]
    assert (
        "tags import 'latin table.csv' 'latin table.tags.db'"
        in run("tags", "stats", "latin table.csv", code=1).output
    )
    (tmp_path / "tags.db").unlink()  # a table that is there is never what a hint would write
    for name, text, option in (
        ("who.csv", "who,tag\na,rock\n", "--track-column NAME"),
        ("what.csv", "track,what\na,rock\n", "--tag-column NAME"),
        ("negative.csv", "track,tag,weight\na,rock,-1\n", "--min-weight 0"),
        ("ragged.csv", "artist,tag\nX,rock,pop\nY,a,b,c\n", "--format ragged"),
    ):
        (tmp_path / name).write_text(text)
        for words in (
            ("tags", "popular", name),
            ("split", name, "x.split.json"),
            ("labels", "top", name, "l.json"),
        ):
            assert f"folksong tags import {name} tags.db {option}" in run(*words, code=1).output


def test_b4_import_says_which_columns_it_took(source: Path) -> None:
    said = run("tags", "import", source, "o.db").output
    assert "track ids from the column 'track_id', tags from 'tag', weights 1" in said
    assert "track ids" not in run("tags", "stats", source).output


def test_b4_one_way_of_output_formats(source: Path) -> None:
    for words in (("stats",), ("popular",), ("cooccurrence",), ("cooccurrence", "--measure", "equivalent")):
        json.loads(run("tags", words[0], source, *words[1:], "--json").stdout)
        assert "," in run("tags", words[0], source, *words[1:], "--csv").stdout.splitlines()[0]


def test_d1_tracks_are_taken_literally(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("track_id,tag\n-QP,rock\n#41,jazz\nplain,pop\n")
    (tmp_path / "ids.txt").write_text("-QP\n#41\n")
    rows = json.loads(run("tags", "popular", "t.csv", "--tracks", "ids.txt", "--json").stdout)
    assert [row["tag"] for row in rows] == ["jazz", "rock"]
