"""Track lists from CSV files and folders."""

import logging
import os

import pytest

from folksong.audio.catalogue import Track, audio_files, read_catalogue, scan_folder
from folksong.errors import FileFormatError, FolksongError


def test_ultimate_csv(tmp_path):
    (tmp_path / "ultimate.csv").write_text(
        "# made by hand\n,track_id,mp3_path,size,Artist\n0,TRAAA,2/3/23.clip.mp3,480000,Nina\n"
        '# a comment\n1,TRAAB,"a, b.mp3",,\n\n2,TRAAC,/abs/c.mp3,1,x\n',
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
    (tmp_path / "a.csv").write_text("track_id,mp3_path\n# no\nT1,\nT2,b.mp3\n,c.mp3\nT4\n")
    with caplog.at_level(logging.WARNING):
        assert [track.track_id for track in read_catalogue(tmp_path / "a.csv")] == ["T2"]
    assert "3 lines without a track_id or mp3_path are left out (line 3, 5, 6)" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,path\n1,a.mp3\n", "no column 'track_id'.*its columns are: 'id', 'path'"),
        (b"track_id,mp3path\n1,a.mp3\n", "no column 'mp3_path'; did you mean 'mp3path'"),
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


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_a_folder_in_the_order_of_code_points(tmp_path):
    make(
        tmp_path,
        "b/2.OGG",
        "b/10.ogg",
        "a/é.mp3",
        "a/Z.flac",
        "c.wav",
        "notes.txt",
        ".hidden/x.mp3",
        "b/._2.ogg",
    )
    assert audio_files(tmp_path) == ["a/Z.flac", "a/é.mp3", "b/10.ogg", "b/2.OGG", "c.wav"]
    tracks = scan_folder(tmp_path)
    assert [track.track_id for track in tracks] == ["a/Z", "a/é", "b/10", "b/2", "c"]
    assert tracks[0].path == tmp_path / "a/Z.flac"


def test_two_endings_of_one_name(tmp_path, caplog):
    make(tmp_path, "a/x.mp3", "a/x.flac")
    with caplog.at_level(logging.WARNING):
        assert [track.path.name for track in scan_folder(tmp_path)] == ["x.flac"]
    assert "a/x.flac and a/x.mp3 would have the same track id" in caplog.text


def test_folders_without_music(tmp_path):
    make(tmp_path, "a.txt")
    with pytest.raises(FolksongError, match="holds no recording"):
        scan_folder(tmp_path)
    with pytest.raises(FolksongError, match="no such folder"):
        scan_folder(tmp_path / "no")
    with pytest.raises(FolksongError, match="is a file, not a folder"):
        scan_folder(tmp_path / "a.txt")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_are_followed_once(tmp_path):
    make(tmp_path, "elsewhere/x.mp3", "root/y.mp3")
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/up").symlink_to(tmp_path / "root")
    assert audio_files(tmp_path / "root") == ["link/x.mp3", "y.mp3"]


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_no_utf8_are_left_out(tmp_path, caplog):
    make(tmp_path, "a.mp3")
    try:
        (tmp_path / os.fsdecode(b"b\xff.mp3")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with caplog.at_level(logging.WARNING):
        assert audio_files(tmp_path) == ["a.mp3"]
    assert r"b\udcff.mp3" in caplog.text
