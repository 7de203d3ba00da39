from pathlib import Path

import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.tags.tag_lists import read_remove_list, read_tag_list, shipped_list, write_tag_list


def test_marks_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff# genres\n rock \n-pop\n\nrock\r\n\\#1\n\\-ish\nhip hop\n".encode())
    assert read_tag_list(path) == ("rock", "#1", "-ish", "hip hop")


def test_lists_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(FolksongError, match=r"none\.txt: no such file"):
        read_tag_list(tmp_path / "none.txt")
    (tmp_path / "tags_remove.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(FileFormatError, match=r"tags_remove\.txt: not UTF-8 text"):
        read_remove_list(tmp_path)


def test_the_shipped_list_can_be_copied_and_read(tmp_path: Path) -> None:
    (tmp_path / "tags_remove.txt").write_text("\n".join(shipped_list()))
    assert read_remove_list(tmp_path) == shipped_list()


def test_a_written_list_is_read_back(tmp_path: Path) -> None:
    tags = {"rock": "40 tracks", "#1": "", "-ish": "odd", "hip hop": ""}
    write_tag_list(tmp_path / "list.txt", tags, "edit freely")
    assert (tmp_path / "list.txt").read_text().startswith("# edit freely\n# 40 tracks\nrock\n\\#1\n")
    assert read_tag_list(tmp_path / "list.txt") == tuple(tags)


def test_a_remove_list_is_a_folder_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "tags_remove.txt").write_text("rock\n")
    assert read_remove_list(tmp_path) == read_remove_list(tmp_path / "tags_remove.txt") == ("rock",)
    with pytest.raises(
        FolksongError, match=r"none\.txt: no such file; name a list of one tag a line, or its folder"
    ):
        read_remove_list(tmp_path / "none.txt")
