"""The three CSV dumps, a music library's own files, and tags with categories."""

import logging
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

import folksong as fs
from folksong.errors import FileFormatError, FolksongError
from folksong.tags.sources.read_tags import categories, select_category


def pairs_of(table: fs.TagTable) -> dict[tuple[str, str], float]:
    return {(track, tag): weight for track in table.track_ids for tag, weight in table.tags_of(track)}


@pytest.mark.parametrize(
    ("tids", "tags", "pairs"),
    [
        ("tid\nT1\nT2\n", "tag\nrock\n\"a,b\"\n", "tid,tag,val\n1,1,100\n2,2,0\n2,1,7\n"),
        ("T1\nT2\n", "rock\n\"a,b\"\n", "1,1,100\n2,2,0\n2,1,7\n"),  # sqlite3 .mode csv, without a header
        ("rowid,tid\n7,T1\n9,T2\n", "rowid,tag\n4,rock\n2,\"a,b\"\n", "tid,tag,val\n7,4,100\n9,2,0\n9,4,7\n"),
        (",tid\n0,T1\n1,T2\n", ",tag\n0,rock\n1,\"a,b\"\n", ",tid,tag,val\n0,1,1,100.0\n1,2,2,0.0\n2,2,1,7.0\n"),
        ("7,T1\n9,T2\n", "4,rock\n2,\"a,b\"\n", "7,4,100\n9,2,0\n9,4,7\n"),
    ],
)  # fmt: skip
def test_the_three_dumps_are_one_table(tmp_path: Path, tids: str, tags: str, pairs: str) -> None:
    for name, text in (("lastfm_tids", tids), ("lastfm_tags", tags), ("lastfm_tid_tag", pairs)):
        (tmp_path / f"{name}.csv").write_text(text)
    expected = {("T1", "rock"): 100, ("T2", "a,b"): 0, ("T2", "rock"): 7}
    assert pairs_of(fs.read_tags(tmp_path)) == expected
    assert fs.read_tags(tmp_path, min_weight=0).n_counts == 2


def test_dumps_with_gaps_say_what_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tids.csv").write_text('tid\nT1\n""\n')
    (tmp_path / "tags.csv").write_text("tag\nrock\n")
    (tmp_path / "tidtag.csv").write_text("tid,tag,val\n1,1,5\n2,1,5\n1,9,5\n1,1,much\n")
    with caplog.at_level(logging.WARNING):
        assert pairs_of(fs.read_tags(tmp_path)) == {("T1", "rock"): 5}
    assert "2 (tid_tag names a row that tids or tags lacks)" in caplog.text
    assert "1 (tid, tag or val is empty or not a number)" in caplog.text
    (tmp_path / "tidtag.csv").write_text("tid,tag\n1,1\n")
    with pytest.raises(FileFormatError, match=r"tidtag\.csv: has 2 columns"):
        fs.read_tags(tmp_path)
    (tmp_path / "tidtag.csv").unlink()
    with pytest.raises(FolksongError, match=r"no tags found; a dump is .*three files: tids\.csv"):
        fs.read_tags(tmp_path, format="dumps")


def sound(path: Path) -> Path:
    """Write a tenth of a second of silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(4410), 44100)
    return path


def sound_m4a(path: Path) -> Path:
    with av.open(str(path), "w", format="ipod") as file:
        stream = file.add_stream("aac", rate=44100)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    pytest.importorskip("mutagen", reason="mutagen (the extra 'library') is not installed")
    from mutagen.flac import FLAC
    from mutagen.id3 import ID3, TCON, TIT1, TMOO
    from mutagen.mp4 import MP4
    from mutagen.oggvorbis import OggVorbis

    flac = FLAC(sound(tmp_path / "A" / "one.flac"))
    flac["genre"], flac["MOOD"] = ["Hip-Hop", "Jazz; Soul / Funk"], ["dark"]
    flac.save()
    ogg = OggVorbis(sound(tmp_path / "A" / "two.ogg"))
    ogg["GENRE"], ogg["grouping"] = ["Folk"], [" live  set "]
    ogg.save()
    mp3 = ID3()
    mp3.add(TCON(encoding=3, text=["(17)", "Indie"]))
    mp3.add(TMOO(encoding=3, text=["calm"]))
    mp3.add(TIT1(encoding=3, text=["evening;morning"]))
    mp3.save(sound(tmp_path / "B" / "three.mp3"))
    m4a = MP4(sound_m4a(tmp_path / "B" / "four.m4a"))
    m4a["\xa9gen"], m4a["\xa9grp"] = ["Techno"], ["club"]
    m4a["----:com.apple.iTunes:MOOD"] = [b"wild"]
    m4a.save()
    sound(tmp_path / "bare.flac")
    (tmp_path / "broken.flac").write_bytes(b"fLaC and no more")
    return tmp_path


def test_a_music_library_tells_its_own_tags(library: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        table = fs.read_tags(library, format="library")
    assert {track: sorted(tag for tag, _ in table.tags_of(track)) for track in table.track_ids} == {
        "A/one": ["Funk", "Hip-Hop", "Jazz", "Soul", "dark"],
        "A/two": ["Folk", "live set"],
        "B/four": ["Techno", "club", "wild"],
        "B/three": ["Indie", "Rock", "calm", "evening", "morning"],
        "bare": [],
        "broken": [],
    }
    assert "broken.flac: its tags cannot be read" in caplog.text


def test_a_library_with_categories_and_chosen_fields(library: Path) -> None:
    table = fs.read_tags(library, format="library", fields=("genre", "mood"), separators=";", categories=True)
    assert [tag for tag, _ in table.tags_of("A/one")] == [
        "genre---Hip-Hop", "genre---Jazz", "genre---Soul / Funk", "mood---dark",
    ]  # fmt: skip
    with pytest.raises(FolksongError, match="fields are genre, mood, grouping, not 'title'"):
        fs.read_tags(library, format="library", fields=("title",))
    with pytest.raises(FolksongError, match="only applies to a music library"):
        fs.read_tags(library, fields=("genre",))


def test_without_mutagen_the_command_to_install_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mutagen", None)
    with pytest.raises(FolksongError, match=r'pip install "folksong\[library\]"'):
        fs.read_tags(tmp_path, format="library")


def test_categories_are_told_apart_and_selected() -> None:
    table = fs.TagTable.from_pairs(["a", "a", "b"], ["genre---rock", "mood/theme---dark", "plain"], [1, 2, 3])
    assert categories(table) == {
        "genre": ("genre---rock",),
        "mood/theme": ("mood/theme---dark",),
        None: ("plain",),
    }
    assert pairs_of(select_category(table, "mood/theme")) == {("a", "dark"): 2}
    assert pairs_of(select_category(table, "genre")) == {("a", "rock"): 1}
    with pytest.raises(
        FolksongError, match=r"'genres'; did you mean 'genre'\? \(categories: genre, mood/theme\)"
    ):
        select_category(table, "genres")


def test_folders_that_are_artists_are_no_tags(library: Path, caplog: pytest.LogCaptureFixture) -> None:
    from mutagen.flac import FLAC

    root = library / "A" / "classes"
    for folder in ("Ada Berg/First", "Ada Cruz/Second", "ADA HALE/Third"):
        flac = FLAC(sound(root / folder / "one.flac"))
        flac["genre"], flac["artist"], flac["album"] = "Folk", "x", folder.split("/")[1]
        flac.save()
    with caplog.at_level(logging.INFO):
        assert fs.read_tags(root).n_tags == 6
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "most folders are the artists and albums of their files" in caplog.text
    assert "which the format 'library' reads" in caplog.text
    for path in root.rglob("*.flac"):
        flac = FLAC(path)
        flac["artist"], flac["album"] = path.parts[-3].title(), "Live"
        flac.save()
    caplog.clear()
    fs.read_tags(root)
    assert "most folders are the artists" in caplog.text
    for path in root.rglob("*.flac"):
        flac = FLAC(path)
        flac["artist"], flac["album"] = "Somebody", "Else"
        flac.save()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        fs.read_tags(root)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "folders are the tags" in caplog.text
