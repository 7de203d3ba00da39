"""Tables as other people have them: each is read as it is meant, or refused with what to do."""

import gzip
import logging
from pathlib import Path

import polars as pl
import pytest

import folksong as fs
from folksong.errors import FileFormatError, FolksongError, UnclearSourceError
from folksong.tags.sources.delimited import read_artists
from folksong.tags.sources.read_tags import write_tags
from folksong.tags.tag_lists import read_track_ids


def pairs_of(table: fs.TagTable) -> dict[tuple[str, str], float]:
    return {(track, tag): weight for track in table.track_ids for tag, weight in table.tags_of(track)}


def written(tmp_path: Path, text: str | bytes, name: str = "tags.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


ROCK_POP = {("a", "rock"): 1, ("b", "pop"): 1}


@pytest.mark.parametrize(
    "text",
    [
        "track_id,tag\ra,rock\rb,pop\r",
        "sep=;\r\ntrack_id;tag\r\na;rock\r\nb;pop\r\n",
        "# root: music, and more\ntrack_id,tag\na,rock\nb,pop\n",
        "#track_id,tag\na,rock\nb,pop\n",
        ",track_id,tag\n0,a,rock\n1,b,pop\n",
        "track_id, tag, weight\na, rock, 1\nb, pop, 1\n",
        "track_id,tag,weight\na,rock, 1 \nb,pop,1 \n",
        "track_id,tag\n\na,rock\n\nb,pop\n\n",
        "track_id,rock,pop\na,True,False\nb,False,TRUE\n",
        "track_id,bpm,rock,pop\na,120,True,False\nb,99,False,True\n",
        ",track_id,rock,pop\n0,a,1,0\n1,b,0,1\n",
        ",rock,pop\na,1,0\nb,0,1\n",
        "track_id,rock,pop\na, 1 ,0\nb,, 1\n",
    ],
)
def test_d6_tables_of_spreadsheets_and_pandas_are_read_as_meant(tmp_path: Path, text: str) -> None:
    assert pairs_of(fs.read_tags(written(tmp_path, text))) == ROCK_POP


def test_d6_the_index_of_a_parquet_file_is_no_tag(tmp_path: Path) -> None:
    frame = pl.DataFrame({"track_id": ["a", "b"], "rock": [1, 0], "pop": [0, 1], "__index_level_0__": [0, 1]})
    frame.write_parquet(tmp_path / "t.parquet")
    assert pairs_of(fs.read_tags(tmp_path / "t.parquet")) == ROCK_POP
    lists = pl.DataFrame({"track_id": ["a", "b"], "tags": [["rock"], ["pop"]]})
    lists.write_parquet(tmp_path / "lists.parquet")
    assert pairs_of(fs.read_tags(tmp_path / "lists.parquet")) == ROCK_POP


def test_16_c6_a_parquet_file_changed_anywhere_is_read_or_named(tmp_path: Path) -> None:
    """Some bytes let the reader panic, which is no ordinary exception."""
    path = tmp_path / "t.parquet"
    pl.DataFrame({"track_id": ["a", "b"], "tag": ["rock", None], "weight": [1, 2]}).write_parquet(path)
    content = path.read_bytes()
    refused = []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            fs.read_tags(path, cache=False)
        except fs.FolksongError as error:
            refused.append(str(error))
    assert 0 < len(refused) < len(content)
    assert all("t.parquet" in message for message in refused)


def test_d6_a_mixed_one_hot_table_says_which_columns_are_no_tags(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        fs.read_tags(written(tmp_path, "track_id,bpm,rock,pop\na,120,True,False\nb,99,False,True\n"))
    assert "a wide file of 2 tags; not tags: 'bpm'" in caplog.text


@pytest.mark.parametrize("text", ["track_id;tag;weight\na;rock;0,5\n", "track_id;rock;pop\na;0,5;x\n"])
def test_d6_decimal_commas_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        FileFormatError, match=r"tags\.csv: the numbers in '\w+' have decimal commas \('0,5'\)"
    ):
        fs.read_tags(written(tmp_path, text))


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize(
    "layout", ["TRACK_ID\tTAGS\nt1\ta{}b\tpop\nt2\tfolk\n", "track\ttag\nt1\ta{}b\nt1\tpop\nt2\tfolk\n"]
)
def test_d6_and_issue23_4_separators_of_unicode_cut_no_cell(tmp_path: Path, layout: str, sign: str) -> None:
    table = fs.read_tags(written(tmp_path, layout.format(sign), "t.tsv"))
    assert set(pairs_of(table)) == {("t1", f"a{sign}b"), ("t1", "pop"), ("t2", "folk")}


def test_issue23_4_a_header_that_names_a_tag_twice_invents_none(tmp_path: Path) -> None:
    table = fs.read_tags(written(tmp_path, "track_id,rock,rock,pop\na,1,0,0\nb,0,1,1\n"))
    assert pairs_of(table) == {("a", "rock"): 1, ("b", "rock"): 1, ("b", "pop"): 1}


@pytest.mark.parametrize(
    "text",
    [
        "track_id,tags\na,rock|pop\nb,pop\n",
        'track_id,tags\na,"rock, pop"\nb,pop\n',
        "track_id,tags\na,\"['rock', 'pop']\"\nb,['pop']\n",
        "TRACK_ID\tTAGS\na\trock\tpop\nb\tpop\n",
        "track_id,tags\na,rock,pop\nb,pop\n",
    ],
)
def test_b5_several_tags_of_a_cell_or_line_are_tags_of_their_own(tmp_path: Path, text: str) -> None:
    assert set(pairs_of(fs.read_tags(written(tmp_path, text)))) == {("a", "rock"), ("a", "pop"), ("b", "pop")}


def test_b5_cells_of_several_tags_are_known_by_how_few_tags_they_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = ("Pop", "Cover", "Live", "Rock")
    rows = [f'{n},"{kinds[n % 4]}, {kinds[n // 4 % 4]}"' for n in range(64)]
    path = written(tmp_path, "track_id,genre\n" + "\n".join(rows) + "\n")
    with caplog.at_level(logging.WARNING):
        assert sorted(fs.read_tags(path).tags) == sorted(kinds)
    assert "hold several tags each, parted by ','" in caplog.text
    assert fs.read_tags(path, separators="").n_tags == 16
    one = written(tmp_path, 'track_id,tag\na,"rock, roll"\nb,jazz\n', "one.csv")
    assert sorted(fs.read_tags(one).tags) == ["jazz", "rock, roll"]


def test_b5_lines_of_a_track_and_its_tags(tmp_path: Path) -> None:
    expected = {
        ("The Beatles", "rock"),
        ("The Beatles", "60s"),
        ("Björk", "pop"),
        ("Björk", "iceland"),
        ("X", "pop"),
    }
    text = "The Beatles,rock,60s\nBjörk,pop,iceland\nX,pop\n"
    for header in ("", "artist,tag\n", "artist,tag,tag\n"):
        assert set(pairs_of(fs.read_tags(written(tmp_path, header + text), format="ragged"))) == expected
    with pytest.raises(UnclearSourceError, match="'ragged'"):
        fs.read_tags(written(tmp_path, text))
    with pytest.raises(UnclearSourceError, match=r"line 2 has 3 cells, the header has 2.*'ragged'") as raised:
        fs.read_tags(written(tmp_path, "artist,tag\n" + text))
    assert raised.value.options == {"format": "ragged"}
    with pytest.raises(
        FileFormatError, match=r"line 3 has 4 cells, the header has 3$"
    ):  # a stray cell is no tag
        fs.read_tags(written(tmp_path, "track_id,tag,weight\na,rock,100\nc,pop,3,4\n"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04....", "a zip archive: a workbook"),
        (b'{"format": "folksong.labels"}', "a label space, as"),
        (b"ID3\x04", "a recording"),
        (b"%PDF-1.4", "a PDF document"),
        (b"\xfd7zXZ\x00", "a damaged compressed file"),
        (b"\x1f\x8b\x08\x00broken", "a damaged compressed file"),
    ],
)
def test_b4_wrong_kinds_of_files_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=rf"x\.csv: .*{message}"):
        fs.read_tags(written(tmp_path, data, "x.csv"))


def test_b4_a_folder_of_recordings_without_classes_is_no_table_of_0_tags(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(UnclearSourceError, match="1 recordings, but no folders of classes") as raised:
        fs.read_tags(tmp_path)
    assert raised.value.options == {"format": "library"}


def test_issue23_9_gzip_tables_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b"track_id,tag\na,rock\nb,pop\n"), "tags.csv.gz")
    assert pairs_of(fs.read_tags(path)) == ROCK_POP


def test_issue23_9_ids_from_paths_have_no_audio_ending(tmp_path: Path) -> None:
    text = "TRACK_ID\tPATH\tDURATION\tTAGS\nt1\t14/214.mp3\t84.7\trock\nt2\t14/2.FLAC\t9\tpop\nt3\tMr. X\t9\tpop\n"
    path = written(tmp_path, text, "j.tsv")
    assert fs.read_tags(path).track_ids.tolist() == ["t1", "t2", "t3"]
    table = fs.read_tags(path, track_column="PATH")
    assert table.track_ids.tolist() == ["14/2", "14/214", "Mr. X"]


def test_issue23_5_one_artist_in_two_unicode_forms_is_one(tmp_path: Path) -> None:
    path = written(tmp_path, "track_id,artist\na,Beyonc\u00e9\nb,Beyonce\u0301\nc,X\nd,Y\n")
    artists = read_artists(path)
    assert artists["a"] == artists["b"]
    table = fs.TagTable.from_pairs(["Beyonc\u00e9", "b", "c", "d"], ["rock"] * 4)
    split = fs.splits.make_split(
        table,
        artists={"Beyonce\u0301": "Z\u00e9", "b": "Ze\u0301", "c": "X", "d": "Y"},
        fractions=(50, 25, 25),
    )
    where = [part for part in fs.splits.PARTS if {"Beyonc\u00e9", "b"} & set(split.part(part))]
    assert len(where) == 1


def test_b2_asked_for_artists_and_finding_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="the column 'artist' names no artist"):
        read_artists(written(tmp_path, "# root: x\ntrack_id,artist\na,\nb,\n"))
    with pytest.raises(FolksongError, match="no track has a known artist"):
        fs.splits.make_split(fs.TagTable.from_pairs(["a"], ["x"]), artists={"z": "Z"})


def test_b2_of_several_columns_of_artists_one_that_is_filled_counts(tmp_path: Path) -> None:
    head = "# root: x\ntrack_id,mp3_path,artist_id,artist\n"
    assert read_artists(written(tmp_path, f"{head}a,a.mp3,,Nina\nb,b.mp3,,\n", "names.csv")) == {"a": "Nina"}
    assert read_artists(written(tmp_path, f"{head}a,a.mp3,AR1,Nina\n", "ids.csv")) == {"a": "AR1"}


def test_d1_ids_of_a_track_list_are_literal(tmp_path: Path) -> None:
    ids = ("-QPLjNS3FYs", "#41", " leading", "trailing ", "plain", "a,b")
    assert read_track_ids(written(tmp_path, "\n".join(ids) + "\n", "ids.txt")) == ids
    assert read_track_ids(written(tmp_path, "# of mine\r\ntrack_id\r\n#41\r\nx\r\n", "ids.txt")) == (
        "#41",
        "x",
    )
    scan = written(tmp_path, "# root: /m\ntrack_id,mp3_path\n#1 Crush,#1 Crush.mp3\n b, b.mp3\n", "scan.csv")
    assert read_track_ids(scan) == ("#1 Crush", " b")
    with pytest.raises(FileFormatError, match="no track ids"):
        read_track_ids(written(tmp_path, "\n\n", "ids.txt"))


def test_c2_only_files_and_folders_are_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(FolksongError, match="neither a file nor a folder"):
        fs.read_tags(tmp_path / "pipe.csv")
    with pytest.raises(FolksongError, match="pipe"):
        read_artists(tmp_path / "pipe.csv")


def test_16_c6_a_lone_carriage_return_in_a_table_is_named(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"track_id,tag,weight\na,rock\r,,5,7\n")
    with pytest.raises(FileFormatError, match=r"x\.csv: not a well-formed table"):
        fs.read_tags(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('track_id,tag\na,12" vinyl\nb,7" single\n', {("a", '12" vinyl'): 1, ("b", '7" single'): 1}),
        ("track_id,tag\r\na,rock\rb,pop\nc,jazz\r\n", {("a", "rock"): 1, ("b", "pop"): 1, ("c", "jazz"): 1}),
        ("index,track_id,rock,pop\n0,a,1,0\n1,b,0,1\n", {("a", "rock"): 1, ("b", "pop"): 1}),
        ("level_0,track_id,tag\n0,a,rock\n1,b,pop\n", {("a", "rock"): 1, ("b", "pop"): 1}),
        ("track_id,index,rock\na,1,0\nb,0,1\n", {("a", "index"): 1, ("b", "rock"): 1}),
    ],
)
def test_16_d6_what_programs_and_people_leave_in_tables(tmp_path, text, expected):
    assert pairs_of(fs.read_tags(written(tmp_path, text))) == expected


@pytest.mark.parametrize(
    "text", ["track_id,tag,weight\na,rock,inf\nb,pop,nan\n", "track_id,rock,pop\na,0,0\n"]
)
def test_16_d6_a_table_of_which_nothing_is_left_is_refused(tmp_path, text):
    with pytest.raises(FileFormatError, match="no tags; the table is empty"):
        fs.read_tags(written(tmp_path, text))


def test_16_d6_a_database_without_a_tag_is_told(tmp_path, caplog):
    table = fs.read_tags(written(tmp_path, "track_id,tag\na,rock\n"))
    write_tags(table.select_tags([]), tmp_path / "x.db")
    assert fs.read_tags(tmp_path / "x.db").n_tags == 0
    assert "x.db: holds no tag of any track" in caplog.text
