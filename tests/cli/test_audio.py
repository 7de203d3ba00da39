"""``folksong audio scan`` from the command line."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from folksong.audio import scan as scan_module
from folksong.cli import main


@pytest.fixture
def music(tmp_path):
    root = tmp_path / "music"
    root.mkdir()
    for name, seconds in (("1.clip.flac", 2.0), ("2.clip.flac", 0.5)):
        time = np.arange(int(8000 * seconds)) / 8000
        soundfile.write(root / name, 0.3 * np.sin(2 * np.pi * 440 * time), 8000)
    (root / "3.clip.flac").write_bytes((root / "1.clip.flac").read_bytes())
    (root / "4.mp3").write_bytes(b"")
    return root


def run(*arguments):
    return CliRunner().invoke(main, ["audio", "scan", *map(str, arguments)])


def test_scan_prints_what_was_kept_and_why_not(music, tmp_path):
    result = run(
        music, tmp_path / "t.csv", "--min-length", 1, "--drop-duplicates", "file", "audio", "--jobs", 1
    )
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    for expected in (
        ["kept", "1"],
        ["not", "decodable", "1"],
        ["same", "file", "1"],
        ["too", "short", "1"],
        ["all", "4"],
    ):
        assert expected in lines
    assert "t.dropped.csv" in result.output
    assert "\n1.clip,1.clip.flac,,1," in (tmp_path / "t.csv").read_text()


def test_errors_are_one_line(music, tmp_path):
    result = run(music, tmp_path / "t.csv", "--drop-duplicates", "list")
    assert result.exit_code == 2
    assert "--drop-duplicates list needs the list: --duplicates msd_duplicates.txt" in result.output
    result = run(music, tmp_path / "t.csv", "--track-list", music / "4.mp3")
    assert result.exit_code == 1
    assert "neither an SQLite nor an HDF5 file" in result.output


def test_ctrl_c_says_how_to_continue(music, tmp_path, monkeypatch):
    def stopped(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(scan_module, "scan_tree", stopped)
    result = run(music, tmp_path / "t.csv")
    assert result.exit_code == 130
    assert "run the same command again to continue" in result.output


def test_16_the_summary_tells_of_damaged_and_duplicate_files_that_were_kept(music, tmp_path):
    whole = (music / "1.clip.flac").read_bytes()
    (music / "cut.flac").write_bytes(whole[: len(whole) // 2])
    result = run(music, tmp_path / "t.csv", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "1 kept file can be read only in part (column damage); --drop-damaged" in result.output
    assert "1 kept file with the sound of another kept one; --drop-duplicates" in result.output
    result = run(music, tmp_path / "t.csv", "--drop-damaged", "--drop-duplicates", "audio", "--jobs", 1)
    assert "kept file" not in result.output
