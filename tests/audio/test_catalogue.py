"""Track lists from CSV files and folders."""

import csv
import logging

import pytest

from folksong.audio.catalogue import Track, read_catalogue, scan_folder
from folksong.errors import FileFormatError, FolksongError


def test_ultimate_csv(tmp_path):
    (tmp_path / "ultimate.csv").write_text(
        "# made by hand\n,track_id,mp3_path,size,Artist\n0,TRAAA,2/3/23.clip.mp3,480000,Nina\n"
        '1,TRAAB,"a, b.mp3",,\n\n2,TRAAC,/abs/c.mp3,1,x\n',
        encoding="utf-8-sig",
    )
    assert read_catalogue(tmp_path / "ultimate.csv", root="music") == [
        Track("TRAAA", type(tmp_path)("music/2/3/23.clip.mp3"), "Nina"),
        Track("TRAAB", type(tmp_path)("music/a, b.mp3")),
        Track("TRAAC", type(tmp_path)("/abs/c.mp3"), "x"),
    ]
    assert read_catalogue(tmp_path / "ultimate.csv")[0].path == tmp_path / "2/3/23.clip.mp3"


def test_tabs_and_artist_ids(tmp_path):
    (tmp_path / "a.tsv").write_text("TRACK_ID\tMP3_PATH\tARTIST_ID\nT1\tx.mp3\tA7\n")
    assert read_catalogue(tmp_path / "a.tsv") == [Track("T1", tmp_path / "x.mp3", "A7")]


def test_of_a_repeated_id_the_first_line_counts(tmp_path, caplog):
    lines = "".join(f"T{k % 8},{k}.mp3\n" for k in range(16))
    (tmp_path / "a.csv").write_text("track_id,mp3_path\n" + lines)
    with caplog.at_level(logging.WARNING):
        tracks = read_catalogue(tmp_path / "a.csv")
    assert [track.path.name for track in tracks] == [f"{k}.mp3" for k in range(8)]
    (record,) = caplog.records
    assert "8 lines repeat a track id" in record.getMessage()
    assert "T0, T1, T2, T3, T4 and 3 more" in record.getMessage()


def test_incomplete_lines_are_left_out_and_numbered(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("# yes\n\ntrack_id,mp3_path\n# no\nT1,\nT2,b.mp3\n,c.mp3\nT4\n")
    with caplog.at_level(logging.WARNING):
        assert [track.track_id for track in read_catalogue(tmp_path / "a.csv")] == ["T2"]
    assert "4 lines without a track id or a path are left out (line 4, 5, 7, 8)" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,path\n1,a.mp3\n", "no column 'track_id'.*its columns are: 'id', 'path'"),
        (b"track_id,mp3_pfad\n1,a.mp3\n", "no column 'mp3_path'; did you mean 'mp3_pfad'"),
        (b"", "columns are: none at all"),
        (b"# nothing\n", "columns are: none at all"),
        (b"track_id,mp3_path\n", "lists no track"),
        (b"track_id,mp3_path\n\xff\xfe,a\n", "not a CSV file in UTF-8"),
        (b"track_id,mp3_path\n" + b'"' + b"x" * 200_000 + b"\n", "not a CSV file"),
    ],
)
def test_files_that_are_no_track_list(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(FileFormatError, match=f"a.csv: .*{message}"):
        read_catalogue(tmp_path / "a.csv")


def test_a_missing_list(tmp_path):
    with pytest.raises(FolksongError, match=r"a.csv: no such file"):
        read_catalogue(tmp_path / "a.csv")


def test_a_folder_is_a_list_of_tracks_in_the_order_of_paths(tmp_path):
    for name in ("b/2.OGG", "b/10.ogg", "a/Z.flac", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert scan_folder(tmp_path) == [
        Track("a/Z", tmp_path / "a/Z.flac"),
        Track("b/10", tmp_path / "b/10.ogg"),
        Track("b/2", tmp_path / "b/2.OGG"),
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FolksongError, match="holds no recording"):
        scan_folder(empty)


def test_d1_ids_and_paths_are_literal(tmp_path):
    names = ["#41", "-x", " 01 Intro", "Outro ", "#1's/a", "Live: b", 'say "c"', "two\nlines", "#\n#"]
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        stream.write("# root: /nowhere\n")
        csv.writer(stream, lineterminator="\n").writerows(
            [["track_id", "mp3_path"], *([name, f"{name}.mp3"] for name in names)]
        )
    tracks = read_catalogue(tmp_path / "a.csv")
    assert [track.track_id for track in tracks] == names
    assert [track.path for track in tracks] == [tmp_path / f"{name}.mp3" for name in names]


def test_d1_a_root_may_end_in_a_blank(tmp_path):
    root = tmp_path / "music "
    root.mkdir()
    (tmp_path / "a.csv").write_text(f"# root: {root}\ntrack_id,mp3_path\nT,a.mp3\n")
    assert read_catalogue(tmp_path / "a.csv")[0].path == root / "a.mp3"


def test_blanks_after_all_commas_are_no_part_of_the_names(tmp_path):
    (tmp_path / "a.csv").write_text('track_id, mp3_path, artist\nT1, "a, b.mp3", Nina\n')
    assert read_catalogue(tmp_path / "a.csv") == [Track("T1", tmp_path / "a, b.mp3", "Nina")]


@pytest.mark.parametrize(
    ("content", "track"),
    [
        (
            "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\ntrack_1\tartist_14\talbum_3\t14/214.mp3\t124\ta\tb\n",
            ("track_1", "14/214.mp3", "artist_14"),
        ),
        ("clip_id\tguitar\tmp3_path\n2\t1\tf/x.mp3\n", ("2", "f/x.mp3", None)),
        (",track_id,npz_path\r\n0,TR1,1/2/12.npz\r\n", ("TR1", "1/2/12.npz", None)),
        ("track_id,npz_path,file_path\nTR1,12.npz,1/2/12.mp3\n", ("TR1", "1/2/12.mp3", None)),
    ],
    ids=["MTG-Jamendo", "MagnaTagATune", "npz", "mp3 beside npz"],
)
def test_23_9_columns_of_other_collections(tmp_path, content, track):
    (tmp_path / "a.tsv").write_text(content)
    assert read_catalogue(tmp_path / "a.tsv") == [Track(track[0], tmp_path / track[1], track[2])]


def test_b2_an_artists_id_goes_before_a_name(tmp_path):
    (tmp_path / "a.csv").write_text("track_id,mp3_path,artist,artist_id\nA,a.mp3,Nina,AR1\nB,b.mp3,Nina,\n")
    assert [track.artist for track in read_catalogue(tmp_path / "a.csv")] == ["AR1", None]
