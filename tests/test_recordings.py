"""The one walk over folders of recordings."""

import logging
import os
import socket
from pathlib import Path

import pytest

import folksong as fs
from folksong.errors import FolksongError, printable
from folksong.recordings import recordings_by_id, track_id_of, walk_recordings

posix = pytest.mark.skipif(os.name == "nt", reason="links, pipes and names of any bytes")


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("path", "track_id"),
    [
        ("Flute/a.ogg", "Flute/a"),
        ("a.b.mp3", "a.b"),
        (Path("x") / "y" / "z.wav", "x/y/z"),
        ("...And More/..Song.wav", "...And More/..Song"),
        (" 01 Intro .wav", " 01 Intro "),
        ("#1's/#41.mp3", "#1's/#41"),
    ],
)
def test_track_ids(path, track_id):
    assert track_id_of(path) == track_id


def test_paths_in_the_order_of_code_points(tmp_path):
    make(tmp_path, "b/2.OGG", "b/10.ogg", "a/\u00e9.mp3", "a/Z.flac", "c.wav", "notes.txt", "b/._2.ogg")
    assert walk_recordings(tmp_path) == ["a/Z.flac", "a/\u00e9.mp3", "b/10.ogg", "b/2.OGG", "c.wav"]


def test_two_endings_of_one_name(tmp_path, caplog):
    make(tmp_path, "a/x.mp3", "a/x.flac", "a/x.wav")
    assert len(walk_recordings(tmp_path)) == 3
    with caplog.at_level(logging.WARNING):
        assert recordings_by_id(tmp_path) == {"a/x": tmp_path / "a/x.flac"}
    assert "2 recordings would have the same track id" in caplog.text
    assert "a/x.mp3 (x.flac is kept), a/x.wav (x.flac is kept)" in caplog.text


def test_places_that_are_no_folder(tmp_path):
    make(tmp_path, "a.txt")
    with pytest.raises(FolksongError, match="no such folder"):
        walk_recordings(tmp_path / "no")
    with pytest.raises(FolksongError, match="is a file, not a folder"):
        walk_recordings(tmp_path / "a.txt")


@posix
def test_links_are_followed_once(tmp_path):
    make(tmp_path, "elsewhere/x.mp3", "root/y.mp3", "root/zz/real.mp3")
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/alias").symlink_to(tmp_path / "root/zz")
    (tmp_path / "root/self.mp3").symlink_to("self.mp3")
    assert walk_recordings(tmp_path / "root") == ["link/x.mp3", "y.mp3", "zz/real.mp3"]


@posix
def test_23_2_a_link_loop_lists_a_recording_once_for_tags_and_tracks(tmp_path):
    make(tmp_path, "Rock/a.wav", "Pop/b.wav")
    (tmp_path / "Rock/up").symlink_to("..")
    (tmp_path / "Rock/up2").symlink_to("..")
    (tmp_path / "Pop/other").symlink_to("../Rock")
    table = fs.read_tags(tmp_path)
    assert table.track_ids.tolist() == ["Pop/b", "Rock/a"]
    assert table.tags.tolist() == ["Pop", "Rock"]
    assert [track.track_id for track in fs.scan_folder(tmp_path)] == table.track_ids.tolist()


def test_23_7_dots_in_front_hide_with_a_word_or_not_at_all(tmp_path, caplog):
    make(
        tmp_path,
        "...And More/a.wav",
        "..Song.wav",
        ".hidden/x.mp3",
        ".38 Special.wav",
        ".git/config",
        "x/._y.wav",
    )
    with caplog.at_level(logging.WARNING):
        assert walk_recordings(tmp_path) == ["...And More/a.wav", "..Song.wav"]
    (record,) = caplog.records
    assert "2 recordings left out, they are hidden by a dot in front" in record.getMessage()
    assert record.getMessage().endswith(": .38 Special.wav, .hidden")


@posix
def test_d1_names_that_are_no_utf8_are_told_and_passed_over(tmp_path, caplog):
    make(tmp_path, "Rock/a.mp3")
    try:
        (tmp_path / os.fsdecode(b"Rock/b\xff.mp3")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with caplog.at_level(logging.WARNING):
        assert walk_recordings(tmp_path) == ["Rock/a.mp3"]
        assert fs.read_tags(tmp_path).track_ids.tolist() == ["Rock/a"]
    assert r"names that are not UTF-8; rename them: Rock/b\xff.mp3" in caplog.text


@posix
def test_c2_pipes_sockets_and_broken_links_are_told_and_passed_over(tmp_path, caplog, monkeypatch):
    make(tmp_path, "a.mp3")
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "lost.wav").symlink_to("nowhere.wav")
    with socket.socket(socket.AF_UNIX) as server, caplog.at_level(logging.WARNING):
        monkeypatch.chdir(tmp_path)
        server.bind("s.ogg")
        assert walk_recordings(tmp_path) == ["a.mp3"]
    assert "3 recordings left out, they are no files (pipes, broken links)" in caplog.text


@pytest.mark.parametrize("name", ["caf\u00e9 \u2028.mp3", "#1 \t.mp3"])
def test_printable_names_stay(name):
    assert printable(name) == name


@posix
def test_d1_bytes_that_are_no_utf8_become_printable():
    assert printable(os.fsdecode(b"caf\xe9.mp3")) == r"caf\xe9.mp3"
    assert printable("half \ud800.mp3") == r"half \ud800.mp3"
