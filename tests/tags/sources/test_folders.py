import logging
from pathlib import Path

import pytest

import folksong as fs
from folksong.errors import FileFormatError, FolksongError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_folders_are_the_tags(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        "Flute/b.wav",
        "Wind/Flute/a.OGG",
        "top.mp3",
        "Flute/notes.txt",
        ".git/x.wav",
        "Flute/.h.wav",
    )
    table = fs.read_tags(root)
    assert table.track_ids.tolist() == ["Flute/b", "Wind/Flute/a", "top"]
    assert [[tag for tag, _ in table.tags_of(track)] for track in table.track_ids] == [
        ["Flute"],
        ["Flute", "Wind"],
        [],
    ]


def test_two_files_of_one_stem_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path, "Flute/b.wav", "Flute/b.mp3")
    with caplog.at_level(logging.WARNING):
        table = fs.read_tags(root)
    assert table.track_ids.tolist() == ["Flute/b"]
    assert "Flute/b.wav (b.mp3 is kept)" in caplog.text


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no recordings"):
        fs.read_tags(tmp_path)
    with pytest.raises(FolksongError, match="no such folder"):
        fs.read_tags(tmp_path / "none", format="folders")
