import logging
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import folksong as fs
from folksong.errors import FileFormatError, FolksongError
from folksong.tags.sources.delimited import read_artists, read_delimited, write_delimited

words = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["a\nb", "a\r\nb", '"weird al" yankovic', 'say "x"', "🎸", "x" * 10_000, "a,b\tc", "#1", " b "]
)


def pairs_of(table: fs.TagTable) -> dict[tuple[str, str], float]:
    return {(track, tag): weight for track in table.track_ids for tag, weight in table.tags_of(track)}


def written(tmp_path: Path, text: str, name: str = "tags.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(words, words, st.sampled_from([0.0, 0.1, 1.0, 33.3, 100.0])), min_size=1, max_size=12),
    st.sampled_from([".csv", ".tsv", ".parquet"]),
)
def test_what_is_written_is_read_back_equal(rows: list, ending: str) -> None:
    table = fs.TagTable.from_pairs(*zip(*rows, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"tags{ending}")
        write_delimited(table, path)
        again = fs.read_tags(path)
    assert again.sha256() == table.sha256()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("track_id,tag,weight\na,rock,100\na,folk,0\n", {("a", "rock"): 100, ("a", "folk"): 0}),
        ("Track ID;Tag\na;rock\n", {("a", "rock"): 1}),
        ("artistID\tname\ttagValue\tweight\n1\tX\trock\t3\n", {("1", "rock"): 3}),
        ("TRACK_ID\tARTIST_ID\tALBUM_ID\tTAG\nt1\ta1\tb1\tgenre---rock\n", {("t1", "genre---rock"): 1}),
        ("count,name,search\n71,rock,The%20Beatles\n", {("The%20Beatles", "rock"): 71}),
        ("\ufefftid,tag,val\r\na,rock,5\r\n", {("a", "rock"): 5}),
        (" track , tag \na, rock\n", {("a", " rock"): 1}),
    ],
)
def test_usual_columns_are_recognised(tmp_path: Path, text: str, expected: dict) -> None:
    assert pairs_of(read_delimited(written(tmp_path, text))) == expected


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, "who,what,how\na,rock,3\n")
    with pytest.raises(
        FileFormatError, match=r"tags\.csv: no column looks like a track id \(columns: 'who', 'what', 'how'\)"
    ):
        fs.read_tags(path)
    table = fs.read_tags(path, track_column="who", tag_column="what", weight_column="how")
    assert pairs_of(table) == {("a", "rock"): 3}
    with pytest.raises(FolksongError, match=r"no column is called 'wat'; did you mean 'what'\?"):
        fs.read_tags(path, track_column="who", tag_column="wat")


def test_a_wide_file_has_one_column_a_tag(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [["clip_id", "no voice", "guitar", "mp3_path"], "201a", "611b", "700c"]
    text = "".join("\t".join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    with caplog.at_level(logging.INFO, logger="folksong"):
        table = fs.read_tags(written(tmp_path, text))
    assert pairs_of(table) == {("2", "guitar"): 1, ("6", "guitar"): 1, ("6", "no voice"): 1}
    assert table.track_ids.tolist() == ["2", "6", "7"]  # the clip without a tag stays
    assert "not tags: 'mp3_path'" in caplog.text


def test_a_wide_file_of_1000_columns(tmp_path: Path) -> None:
    tags = [f"tag {n}" for n in range(1000)]
    rows = [
        f"t{row}," + ",".join("1" if (row + n) % 7 == 0 else "" for n in range(1000)) for row in range(20)
    ]
    table = fs.read_tags(written(tmp_path, "track," + ",".join(tags) + "\n" + "\n".join(rows) + "\n"))
    assert (table.n_tracks, table.n_tags) == (20, 1000)
    assert table.n_counts == sum((row + n) % 7 == 0 for row in range(20) for n in range(1000))


def test_ragged_jamendo_files_are_read_whole(tmp_path: Path) -> None:
    text = (
        "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
        "t1\ta1\tb1\t48/1.mp3\t84.7\tgenre---rock\tmood/theme---dark\n"
        "t2\ta2\tb2\t49/2.mp3\t90.0\tgenre---folk\n"
    )
    path = written(tmp_path, text, "autotagging.tsv")
    assert pairs_of(fs.read_tags(path)) == {
        ("t1", "genre---rock"): 1,
        ("t1", "mood/theme---dark"): 1,
        ("t2", "genre---folk"): 1,
    }
    assert read_artists(path) == {"t1": "a1", "t2": "a2"}


def test_quotation_marks_that_quote_nothing_are_characters(tmp_path: Path) -> None:
    text = 'track\ttag\na\t"weird al" yankovic\nb\t"new" wave\nc\trock\n'
    table = fs.read_tags(written(tmp_path, text, "tags.tsv"))
    assert set(pairs_of(table)) == {("a", '"weird al" yankovic'), ("b", '"new" wave'), ("c", "rock")}
    quoted = fs.read_tags(written(tmp_path, 'track\ttag\na\t"the ""k"""\n', "q.tsv"))
    assert set(pairs_of(quoted)) == {("a", 'the "k"')}


def test_rows_without_track_tag_or_weight_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(
        tmp_path, "track,tag,weight\na,rock,1\n,rock,1\na,,1\nb,folk,many\nc,jazz,\na,rock,3\nd,nan,nan\n"
    )
    with caplog.at_level(logging.WARNING):
        table = fs.read_tags(path)
    assert pairs_of(table) == {("a", "rock"): 3}
    for reason in (
        "1 (the track id is empty)",
        "1 (the tag is empty)",
        "2 (the weight in 'weight' is empty or not a number)",
        "1 (the weight is not a number)",
        "1 (the pair stands there more than once; the larger weight stays)",
    ):
        assert reason in caplog.text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"track,tag\na,caf\xe9\n", r"not utf-8 text \(byte 0xe9 in line 2\); it may be Latin-1"),
        (b"just words\nmore words\n", "the first line, 'just words', has a single column"),
        (b"\x00\x01\x02\x03,\x00", "a binary file"),
        (b"track,tag\na,rock,extra,cells\n", "not a well-formed table"),
        (b"PAR1 and then nothing", "a damaged Parquet file"),
        (b"track,name\na,b\n", "neither a tag column nor columns of numbers"),
        (b"track,tag,weight\na,rock,-5\n", "1 weights are negative, the first is -5"),
    ],
)
def test_bad_files_have_errors_that_name_them(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=rf"bad\.csv: {message}"):
        fs.read_tags(path)


def test_latin_1_is_read_when_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "track,tag\na,café\n", encoding="latin-1")
    assert set(pairs_of(fs.read_tags(path, encoding="latin-1"))) == {("a", "café")}
    with pytest.raises(FolksongError, match="unknown encoding 'latin-99'"):
        fs.read_tags(path, encoding="latin-99")


def test_d6_an_empty_table_never_passes_silently(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"tags\.csv: no tags; the table is empty"):
        fs.read_tags(written(tmp_path, "track,tag\n"))


def test_parquet_keeps_numbers_and_categories(tmp_path: Path) -> None:
    path = tmp_path / "tags.parquet"
    frame = pl.DataFrame(
        {"track": [7, 8], "tag": pl.Series(["x", "y"], dtype=pl.Categorical), "weight": [3, 0]}
    )
    frame.write_parquet(path)
    assert pairs_of(fs.read_tags(path)) == {("7", "x"): 3, ("8", "y"): 0}


def test_writing_says_what_a_delimited_file_cannot_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = fs.TagTable.from_pairs(["a", "b"], ["x", "y"]).select_tags(["x"])
    with caplog.at_level(logging.WARNING):
        write_delimited(table, tmp_path / "out.csv")
    assert "1 track without a tag and 0 tags without a track" in caplog.text
    with pytest.raises(FolksongError, match=r"out\.xls: the name must end in \.csv"):
        write_delimited(table, tmp_path / "out.xls")


def test_artists_are_read_from_the_usual_column(tmp_path: Path) -> None:
    path = written(tmp_path, "track_id,artist,mp3_path\na,X,1.mp3\nb,Y,2.mp3\nc,,3.mp3\na,X,1.mp3\n")
    assert read_artists(path) == {"a": "X", "b": "Y"}
    with pytest.raises(FileFormatError, match=r"the track 'a' is by 'X' and by 'Z'"):
        read_artists(written(tmp_path, "track_id,artist\na,X\na,Z\n", "two.csv"))
    with pytest.raises(FileFormatError, match="no column looks like an artist"):
        read_artists(written(tmp_path, "track_id,tag\na,X\n", "none.csv"))


def test_formats_and_options_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    path = written(tmp_path, "track,tag\na,x\n")
    with pytest.raises(FolksongError, match=r"unknown format 'longg'; did you mean 'long'\?"):
        fs.read_tags(path, format="longg")
    (tmp_path / "Flute").mkdir()
    (tmp_path / "Flute" / "a.wav").touch()
    with pytest.raises(FolksongError, match="only applies to delimited files"):
        fs.read_tags(tmp_path, tag_column="x")


@pytest.mark.parametrize("name", ["__index_level_0__", "", "Unnamed: 0"])
def test_d6_an_index_of_any_numbers_is_no_tag_beside_track_ids(tmp_path, name):
    path = tmp_path / "wide.csv"
    path.write_text(f"{name},track_id,rock,jazz\n" + "".join(f"{3 * n},t{n},{n % 2},1\n" for n in range(6)))
    table = fs.read_tags(path)
    assert sorted(table.tags) == ["jazz", "rock"]
    assert table.n_tracks == 6


def test_a_column_that_a_header_names_twice_is_refused(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("track_id,tag,tag\na,rock,pop\nb,jazz,folk\n")
    with pytest.raises(fs.FolksongError, match="names the column 'tag' more than once"):
        fs.read_tags(path)
