import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import folksong as fs
from folksong.cli import main


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [f"t{n:02d},{'hip hop' if n % 3 else 'Hip-Hop'},{n}" for n in range(30)]
    rows += (
        ["t01,halloween,1"]
        + [f"t{n:02d},halloween,1" for n in range(2, 30)]
        + ["t00,helloween,5", "t05,once,5"]
    )
    path = tmp_path / "tags.csv"
    path.write_text("track,tag,weight\n" + "\n".join(rows) + "\n")
    return path


def test_propose_review_clean_why(tmp_path: Path, source: Path) -> None:
    proposal, recipe, out = tmp_path / "p.tsv", tmp_path / "r.toml", tmp_path / "clean.db"
    shown = run("tags", "propose", source, proposal).output
    assert "2 merges proposed, 11 counts" in shown
    lines = proposal.read_text().splitlines()
    assert "Hip-Hop\thip hop\t10\t20\tcase" not in lines[5]
    reviewed = [f"-{line}" if line.startswith("helloween") else line for line in lines]
    proposal.write_text("\n".join(reviewed) + "\n")
    run("tags", "recipe", recipe)
    text = (
        recipe.read_text()
        .replace('# files = ["proposal.tsv"]', 'files = ["p.tsv"]')
        .replace("count = 2", "count = 1")
    )
    recipe.write_text(text)
    assert "clean.db.changes.json" in run("tags", "clean", source, out, "--recipe", recipe).output
    assert fs.read_tags(out).tags.tolist() == ["halloween", "helloween", "hip hop", "once"]
    why = run("tags", "explain", out, "t03", "hip hop").output
    assert "Hip-Hop (weight 3)" in why
    assert "merge: -> hip hop (listed merge)" in why
    assert "does not carry 'jazz'" in run("tags", "explain", out, "t03", "jazz", code=1).output
    space = tmp_path / "x.labels.json"
    run("labels", "top", out, space, "-n", 2)
    assert dict(fs.LabelSpace.read(space).aliases) == {"Hip-Hop": "hip hop"}
    assert (
        f"{source}: was not made by `folksong tags clean`"
        in run("tags", "explain", source, "t03", code=1).output
    )
    source.unlink()
    assert "say where they are with --source" in run("tags", "explain", out, "t03", code=1).output


def test_clean_without_a_recipe_takes_the_shipped_one(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "clean.csv"
    run("tags", "clean", source, out)
    assert fs.read_tags(out).tags.tolist() == ["halloween", "hip hop"]
    assert "once (weight 5)\n    minimum-count: dropped" in run("tags", "explain", out, "t05").output


def test_cooccurrence_in_every_form(tmp_path: Path, source: Path) -> None:
    matrix = json.loads(
        run("tags", "cooccurrence", source, "--tags", "hip hop", "halloween", "--json").stdout
    )["matrix"]
    assert matrix == [[20, 20], [20, 29]]
    assert (
        "hip hop,1.0,1.0"
        in run(
            "tags",
            "cooccurrence",
            source,
            "--tags",
            "hip hop",
            "halloween",
            "--measure",
            "conditional",
            "--csv",
        ).stdout
    )
    run("tags", "cooccurrence", source, "--top", 2, "--measure", "npmi", "--npy", tmp_path / "m.npy")
    assert np.load(tmp_path / "m.npy").shape == (2, 2)
    run("tags", "cooccurrence", source, "--top", 2, "--plot", tmp_path / "m.png")
    assert (tmp_path / "m.png").stat().st_size > 1000
    (tmp_path / "list.txt").write_text("once\n-rock\n# comment\nhelloween\n")
    assert "once" in run("tags", "cooccurrence", source, "--tags", f"@{tmp_path}/list.txt").output


def test_count_and_related(source: Path) -> None:
    assert (
        "19 of 30 tracks"
        in run("tags", "query", source, "--all-of", "hip hop", "halloween", "--none-of", "once").output
    )
    assert run("tags", "query", source, "--any-of", "once", "helloween", "--list").output == "t00\nt05\n"
    rows = json.loads(run("tags", "cooccurrence", source, "--measure", "contained", "--json").stdout)
    assert [(row["tag"], row["other"]) for row in rows] == [
        ("hip hop", "halloween"),
        ("Hip-Hop", "halloween"),
    ]
    assert "0 pairs" in run("tags", "cooccurrence", source, "--measure", "equivalent").output
    query = ("tags", "query", source, "--all-of", "hip hop", "--any-of")
    assert "P(once | hip hop) = 0.0500" in run(*query, "once").output
    assert "P(halloween or once | hip hop) = 1.0000" in run(*query, "halloween", "once").output


def test_stats_draws_the_long_tail(tmp_path: Path, source: Path) -> None:
    run("tags", "stats", source, "--plot", tmp_path / "tail.html", "--plot-weights", tmp_path / "weights.png")
    assert (tmp_path / "tail.html").stat().st_size > 1000
    assert (tmp_path / "weights.png").stat().st_size > 1000


def test_16_c_the_change_log_beside_a_cleaned_table_replaces_no_file_of_others(
    tmp_path: Path, source: Path
) -> None:
    out, log = tmp_path / "clean.csv", tmp_path / "clean.csv.changes.json"
    log.write_text("mine")
    assert (
        "clean.csv.changes.json: this file is there already"
        in run("tags", "clean", source, out, code=1).output
    )
    assert log.read_text() == "mine"
    assert not out.exists()
    run("tags", "clean", source, out, "--force")
    run("tags", "clean", source, out)  # both are as this command left them
