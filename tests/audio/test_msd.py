"""The Million Song Dataset's own files, made small."""

import sqlite3

import numpy as np
import pytest

from folksong.audio.msd import read_duplicates, read_mismatches, read_track_list, seven_digital_id
from folksong.errors import FileFormatError, FolksongError

A, B, C, D = (f"TR{letter * 16}" for letter in "ABCD")
ROWS = [(77, B, "ARB"), (12, C, "ARC"), (77, A, "ARA"), (0, D, "ARD")]


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("1234567.clip.mp3", 1234567),
        ("2/3/77.clip.MP3", 77),
        ("1234567.mp3", None),
        ("x1.clip.mp3", None),
        ("1.clip.mp3.bak", None),
        ("9" * 30 + ".clip.mp3", None),
    ],
)
def test_names_of_previews(path, number):
    assert seven_digital_id(path) == number


def make_sqlite(path, columns="track_7digitalid, track_id, artist_id"):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (title, track_7digitalid INTEGER, track_id TEXT, artist_id TEXT)")
    connection.executemany("INSERT INTO songs VALUES ('x', ?, ?, ?)", ROWS)
    connection.commit()
    connection.close()
    return path


def make_hdf5(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as summary:
        metadata = np.array(
            [(n, a.encode()) for n, _, a in ROWS], [("track_7digitalid", "<i4"), ("artist_id", "S32")]
        )
        analysis = np.array([(t.encode(),) for _, t, _ in ROWS], [("track_id", "S32")])
        summary.create_dataset("metadata/songs", data=metadata)
        summary.create_dataset("analysis/songs", data=analysis)
    return path


@pytest.mark.parametrize("make", [make_sqlite, make_hdf5])
def test_the_track_list_by_7digital_number(tmp_path, make):
    tracks = read_track_list(make(tmp_path / "list"))
    assert tracks.find(77) == [(A, "ARA"), (B, "ARB")]
    assert tracks.find(12) == [(C, "ARC")]
    assert tracks.find(13) == []
    assert len(tracks) == 3, "a track without a number cannot be found"


def test_files_that_are_no_track_list(tmp_path):
    (tmp_path / "a.db").write_bytes(b"not a database at all")
    with pytest.raises(FileFormatError, match=r"a.db: neither an SQLite nor an HDF5 file"):
        read_track_list(tmp_path / "a.db")
    sqlite3.connect(tmp_path / "b.db").execute("CREATE TABLE songs (track_id)").connection.close()
    with pytest.raises(FileFormatError, match=r"b.db: no table `songs`.*use msd_summary_file.h5"):
        read_track_list(tmp_path / "b.db")
    (tmp_path / "c.db").write_bytes(make_sqlite(tmp_path / "d.db").read_bytes()[:700])
    with pytest.raises(FileFormatError, match=r"c.db: no table"):
        read_track_list(tmp_path / "c.db")
    with pytest.raises(FolksongError, match=r"e.db: no such file"):
        read_track_list(tmp_path / "e.db")


def test_damaged_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as summary:
        summary.create_dataset("other", data=[1])
    with pytest.raises(FileFormatError, match=r"a.h5: not the dataset's summary file.*metadata/songs"):
        read_track_list(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:600])
    with pytest.raises(FileFormatError, match="not the dataset's summary file"):
        read_track_list(tmp_path / "b.h5")


def test_mismatches_name_the_track_of_a_line(tmp_path):
    (tmp_path / "a.txt").write_text(
        f"ERROR: <SOUMNSI12AB0182807 {A}> Digital Underground  -  The Way We Swing  !=  Linkwood  -  Whats up\n"
        f"ERROR: <SOCMRBE12AB018C546 {B}> Jimmy Reed  -  The Sun Is Shining  !=  Slim Harpo {C}\n\n"
        f"ERROR: < SOX {D} > a\u2028b  -  c  !=  d  -  e\n"
    )
    assert read_mismatches(tmp_path / "a.txt") == (A, B, D)
    (tmp_path / "ids.txt").write_text(f"{B}\n{A} wrong song\n{B}\n")
    assert read_mismatches(tmp_path / "ids.txt") == (B, A)
    (tmp_path / "b.txt").write_text("nothing\n")
    with pytest.raises(FileFormatError, match=r"b.txt: no mismatches"):
        read_mismatches(tmp_path / "b.txt")


def test_groups_of_duplicates(tmp_path):
    head = "# MILLION SONG DATASET\n# lists of duplicates\n#\n"
    (tmp_path / "a.txt").write_text(
        f"{head}%0 a song - someone {C}\n{B}\n{A}<SEP>x\n%1 another\n{C} title\n{D}\n{D}\n%2 none\n"
    )
    assert read_duplicates(tmp_path / "a.txt") == ((B, A), (C, D))
    (tmp_path / "b.csv").write_text(f"{A},{B}\n{C} {D}\n")
    assert read_duplicates(tmp_path / "b.csv") == ((A, B), (C, D))
    (tmp_path / "c.txt").write_text("%\n")
    with pytest.raises(FileFormatError, match="no group of duplicates"):
        read_duplicates(tmp_path / "c.txt")
