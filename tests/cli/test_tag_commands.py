import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import folksong as fs
from folksong.cli import main
from folksong.splits import Split


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "tags.csv"
    rows = ["track,tag,weight"]
    for n in range(40):
        rows += (
            [f"t{n:02d},{'rock' if n % 2 else 'folk'},{n}", f"t{n:02d},seen live,100"]
            if n % 4
            else [f"t{n:02d},folk,0"]
        )
    path.write_text("\n".join(rows) + "\n")
    return path


def test_import_converts_to_sqlite_and_back(tmp_path: Path, source: Path) -> None:
    assert "40 tracks, 3 tags, 70 counts" in run("tags", "import", source, tmp_path / "tags.db").output
    run("tags", "import", tmp_path / "tags.db", tmp_path / "again.parquet")
    assert fs.read_tags(tmp_path / "again.parquet").sha256() == fs.read_tags(source).sha256()
    assert "60 counts" in run("tags", "import", source, tmp_path / "heavy.db", "--min-weight", 0).output


def test_stats_as_table_json_and_csv(source: Path) -> None:
    assert (
        "40 tracks (40 with a tag), 3 tags (3 in use, 0 on a single track), 70 counts"
        in run("tags", "stats", source).output
    )
    figures = json.loads(run("tags", "stats", source, "--json", "--coverage", 1, 2).stdout)
    assert [row["n"] for row in figures["coverage"]] == [1, 2]
    assert figures["coverage"][0]["n_counts"] == 30
    rows = list(csv.reader(run("tags", "stats", source, "--csv").stdout.splitlines()))
    assert ["n_counts", "", "70.0"] in rows


def test_stats_of_listed_tracks(tmp_path: Path, source: Path) -> None:
    tracks = tmp_path / "tracks.txt"
    tracks.write_text("t00\nt01\n")
    figures = json.loads(run("tags", "stats", source, "--tracks", tracks, "--json").stdout)
    assert (figures["n_tracks"], figures["n_counts"]) == (2, 3)


def test_popular_prints_tags_in_order(source: Path) -> None:
    rows = json.loads(run("tags", "popular", source, "-n", 2, "--json").stdout)
    assert [(row["tag"], row["tracks"]) for row in rows] == [("seen live", 30), ("folk", 20)]
    assert (
        run("tags", "popular", source, "-n", 1, "--csv").stdout.splitlines()[1].startswith("1,seen live,30")
    )
    assert "rock" in run("tags", "popular", source).output


def test_labels_top_filter_show(tmp_path: Path, source: Path) -> None:
    top, filtered = tmp_path / "top.labels.json", tmp_path / "filtered.labels.json"
    assert "70 of 70 counts kept (100.0000%)" in run("labels", "top", source, top, "-n", 3).output
    assert "2 labels" in run("labels", "filter", top, filtered, "--tags", source).output
    assert fs.LabelSpace.read(filtered).names == ("folk", "rock")
    shown = run("labels", "show", filtered, "--tags", source).output
    assert "40 of 70 counts kept" in shown
    assert "folk" in shown


def test_labels_filter_with_ones_own_list(tmp_path: Path, source: Path) -> None:
    top, out = tmp_path / "top.labels.json", tmp_path / "out.labels.json"
    run("labels", "top", source, top)
    (tmp_path / "tags_remove.txt").write_text("ROCK\n")
    assert (
        "'ROCK', did you mean 'rock'?" in run("labels", "filter", top, out, "--filter-path", tmp_path).output
    )
    assert len(fs.LabelSpace.read(out)) == 3
    run("labels", "filter", top, out, "--filter-path", tmp_path, "--ignore-case")
    assert fs.LabelSpace.read(out).names == ("seen live", "folk")
    error = run("labels", "filter", top, out, "--filter-path", tmp_path / "none", code=1).output
    assert "none: no such file" in error


def test_split_and_labels_from_training_tracks_only(tmp_path: Path, source: Path) -> None:
    out, space = tmp_path / "my.split.json", tmp_path / "top.labels.json"
    artists = tmp_path / "artists.csv"
    artists.write_text("track_id,artist\n" + "".join(f"t{n:02d},a{n // 3}\n" for n in range(40)))
    shown = run("split", source, out, "--fractions", 50, 25, 25, "--artists", artists, "--seed", 3).output
    assert "by artist, seed 3" in shown
    split = Split.read(out)
    assert len(split.training) == pytest.approx(20, abs=2)
    run("labels", "top", source, space, "--split", out)
    built = fs.LabelSpace.read(space)
    assert built.provenance["split_sha256"] == split.sha256()
    assert built.provenance["n_tracks"] == len(split.training)


def test_mistakes_are_one_line_and_exit_code_1(tmp_path: Path, source: Path) -> None:
    error = run("tags", "stats", tmp_path / "none.csv", code=1).output
    assert "none.csv: no such file" in error
    assert "Traceback" not in error
    wrong = run("tags", "import", source, tmp_path / "x.db", "--tag-column", "tagg", code=1).output
    assert "did you mean" in wrong
    assert (
        "three numbers"
        in run("split", source, tmp_path / "x.split.json", "--fractions", 80, 20, code=1).output
    )


def test_split_says_options_by_their_names(tmp_path: Path, source: Path) -> None:
    dropped = tmp_path / "tracks.dropped.csv"
    dropped.write_text("mp3_path,track_id,reason,detail\na.mp3,a,cut,x\n")
    found = run("split", source, tmp_path / "x.split.json", "--artists", dropped, code=1)
    assert "say which column names the artist (--artist-column)" in found.output
    tags, artists = tmp_path / "genres.csv", tmp_path / "artists.csv"
    names = [(f"g{genre}n{n:02}", f"g{genre}p{n % 6}") for genre in range(10) for n in range(25)]
    tags.write_text("track,tag\n" + "".join(f"{name},{name[:2]}\n" for name, _ in names))
    artists.write_text("track,artist\n" + "".join(f"{name},{artist}\n" for name, artist in names))
    found = run("split", tags, tmp_path / "y.split.json", "--artists", artists)
    assert "such as 70/15/15, hold more (--fractions 70 15 15)" in found.output
