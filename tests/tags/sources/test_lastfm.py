import logging
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import folksong as fs
from folksong.errors import FileFormatError, FolksongError
from folksong.tags.sources.lastfm import read_lastfm, write_lastfm

words = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["a\nb", "🎸" * 3, "x" * 10_000, "\x00odd", "  ", "'"]
)
rows_of = st.lists(st.tuples(words, words, st.sampled_from([0.0, 1.0, 0.5, 33.3, 100.0])), max_size=20)


BARE = "CREATE TABLE tids (tid); CREATE TABLE tags (tag); CREATE TABLE tid_tag (tid, tag, val)"


def make_database(
    path: Path, tids: list, tags: list, entries: list[tuple], create: str = "", *, fill: bool = False
) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            create
            or "CREATE TABLE tids (tid TEXT); CREATE TABLE tags (tag TEXT);"
            "CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT);"
        )
        if not create or fill:
            connection.executemany("INSERT INTO tids VALUES (?)", [(tid,) for tid in tids])
            connection.executemany("INSERT INTO tags VALUES (?)", [(tag,) for tag in tags])
            connection.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", entries)
        connection.commit()
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_database(
        tmp_path / "tags.db",
        ["TRB", "TRA", "TRC"],
        ["rock", "folk", "seen live"],
        [(1, 1, 100), (1, 2, 0), (2, 1, 50.5), (2, 3, 7)],
    )


@settings(max_examples=30, deadline=None)
@given(rows_of, st.sets(words, max_size=3), st.sets(words, max_size=3))
def test_a_written_database_is_read_back_equal(rows: list, more_tracks: set, more_tags: set) -> None:
    table = fs.TagTable.from_pairs(*(zip(*rows, strict=True) if rows else ([], [], [])))
    track_ids = sorted({*table.track_ids, *more_tracks})
    tags = sorted({*table.tags, *more_tags})
    entries = table.weights.tocoo()
    table = fs.TagTable.from_codes(
        track_ids,
        tags,
        np.array([track_ids.index(table.track_ids[row]) for row in entries.row], np.int64),
        np.array([tags.index(table.tags[column]) for column in entries.col], np.int64),
        entries.data,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.db")
        write_lastfm(table, path)
        again = read_lastfm(path)
    assert again.sha256() == table.sha256()


def test_plain_sqlite_sees_the_original_schema_with_consistent_row_ids(tmp_path: Path) -> None:
    table = fs.TagTable.from_pairs(["t1", "t1", "t2"], ["rock", "folk", "rock"], [100, 0, 3])
    path = tmp_path / "out.db"
    write_lastfm(table, path)
    with closing(sqlite3.connect(path)) as connection:
        joined = connection.execute(
            "SELECT tids.tid, tags.tag, tid_tag.val FROM tid_tag, tids, tags "
            "WHERE tid_tag.tid = tids.ROWID AND tid_tag.tag = tags.ROWID ORDER BY 1, 2"
        ).fetchall()
        columns = {
            name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        plan = str(connection.execute("EXPLAIN QUERY PLAN SELECT val FROM tid_tag WHERE tid = 1").fetchall())
    assert joined == [("t1", "folk", 0.0), ("t1", "rock", 100.0), ("t2", "rock", 3.0)]
    assert columns == {"tids": ["tid"], "tags": ["tag"], "tid_tag": ["tid", "tag", "val"]}
    assert "INDEX" in plan


def test_weight_zero_is_kept_unless_a_threshold_says_otherwise(database: Path) -> None:
    table = read_lastfm(database)
    assert table.track_ids.tolist() == ["TRA", "TRB", "TRC"]  # TRC has no tag and stays
    assert table.tags_of("TRB") == [("rock", 100.0), ("folk", 0.0)]
    assert read_lastfm(database, min_weight=0).tags_of("TRB") == [("rock", 100.0)]
    assert read_lastfm(database, min_weight=50).n_counts == 2
    assert read_lastfm(database, min_weight=50.5).n_counts == 1


def test_row_ids_far_apart_and_rows_that_lead_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_database(tmp_path / "t.db", [], [], [])
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO tids (ROWID, tid) VALUES (?, ?)", [(5, "a"), (2_000_000_000, "b")]
        )
        connection.executemany("INSERT INTO tags (ROWID, tag) VALUES (?, ?)", [(7, "x"), (9, "y")])
        connection.executemany(
            "INSERT INTO tid_tag VALUES (?, ?, ?)",
            [(5, 7, 1), (2_000_000_000, 9, 2), (6, 7, 3), (5, 8, 4), (5, 10**6, 1)],
        )
        connection.commit()
    with caplog.at_level(logging.WARNING):
        table = read_lastfm(path)
    assert (table.tags_of("a"), table.tags_of("b")) == ([("x", 1.0)], [("y", 2.0)])
    assert "3 (tid_tag names a row that tids or tags lacks)" in caplog.text


def test_null_text_and_huge_numbers_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_database(
        tmp_path / "t.db",
        ["a", None, "c"],
        ["x", None],
        [
            (1, 1, 5),
            (1, 2, 5),
            (2, 1, 5),
            (None, 1, 1),
            (1, None, 1),
            (3, 1, None),
            (3, 1, "much"),
            (10**12, 1, 1),
        ],
    )
    with caplog.at_level(logging.WARNING):
        table = read_lastfm(path)
    assert [(track, table.tags_of(track)) for track in table.track_ids] == [("a", [("x", 5.0)]), ("c", [])]
    assert "4 (tid, tag or val is NULL or not a number)" in caplog.text
    assert "1 (tags holds NULL" in caplog.text
    assert "3 (tid_tag names a row" in caplog.text


def test_duplicate_rows_and_names_become_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_database(tmp_path / "t.db", ["a", "a"], ["x", "x"], [(1, 1, 5), (2, 2, 9), (1, 1, 5)])
    with caplog.at_level(logging.WARNING):
        table = read_lastfm(path)
    assert table.tags_of("a") == [("x", 9.0)]
    assert "2 (the pair stands there more than once; the larger weight stays)" in caplog.text


def test_latin_1_names_are_read_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_database(tmp_path / "t.db", ["a"], ["folk", "x"], [(1, 1, 5), (1, 2, 6)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tags SET tag = CAST(? AS TEXT) WHERE tag = 'folk'", (b"caf\xe9",))
        connection.commit()
    with caplog.at_level(logging.WARNING):
        table = read_lastfm(path)
    assert table.tags_of("a") == [("x", 6.0), ("café", 5.0)]
    assert "1 of the tag names are not UTF-8 and were read as Latin-1" in caplog.text


def test_negative_weights_are_an_error_that_a_threshold_mends(tmp_path: Path) -> None:
    path = make_database(tmp_path / "t.db", ["a"], ["x", "y"], [(1, 1, 5), (1, 2, -3)])
    with pytest.raises(
        FileFormatError, match=r"t\.db: 1 weights are negative, the first is -3 for tag 'y'.*min_weight=0"
    ):
        read_lastfm(path)
    assert read_lastfm(path, min_weight=0).n_counts == 1
    assert read_lastfm(path, min_weight=0).tags.tolist() == ["x", "y"]


def test_an_empty_database_is_an_empty_table(tmp_path: Path) -> None:
    table = read_lastfm(make_database(tmp_path / "t.db", [], [], []))
    assert (table.n_tracks, table.n_tags, table.n_counts) == (0, 0, 0)


def test_what_is_no_tag_database_is_refused_by_name(tmp_path: Path, database: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_text("not a database")
    with pytest.raises(FileFormatError, match=r"notes\.db: not a SQLite database"):
        fs.read_tags(text)
    other = make_database(
        tmp_path / "other.db", [], [], [], "CREATE TABLE tids (tid); CREATE TABLE tags (tag);"
    )
    with pytest.raises(
        FileFormatError, match=r"other\.db: the table 'tid_tag' is missing \(found: tags, tids\)"
    ):
        fs.read_tags(other)
    odd = make_database(
        tmp_path / "odd.db",
        [],
        [],
        [],
        "CREATE TABLE tids (tid); CREATE TABLE tags (tag); CREATE TABLE tid_tag (tid, tag);",
    )
    with pytest.raises(FileFormatError, match=r"'tid_tag' lacks the column 'val' \(found: tid, tag\)"):
        fs.read_tags(odd)
    with pytest.raises(FolksongError, match=r"none\.db: no such file"):
        fs.read_tags(tmp_path / "none.db")
    with pytest.raises(FolksongError, match="min_weight must be a finite number"):
        fs.read_tags(database, min_weight=float("nan"))


def test_a_database_cut_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = make_database(
        tmp_path / "t.db", [f"t{n}" for n in range(3000)], ["x"], [(n + 1, 1, 1) for n in range(3000)]
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError, match=r"t\.db: the database cannot be read"):
        read_lastfm(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    path.write_text("old")
    bad = fs.TagTable(np.array(["\ud800"], object), np.array(["x"], object), sp.csr_matrix([[1.0]]))
    with pytest.raises(FolksongError, match="not valid Unicode"):
        write_lastfm(bad, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.db"]


@pytest.mark.parametrize(
    ("odd", "more"),
    [
        (None, 0), ((1, 1, 0.5), 0), ((2, 2, 2000), 1), ((2, 1, None), 0), ((1, 2_000_000, 3), 0), ((-1, 1, 3), 0),
        ((2, 2, "x"), 0), ((2, 2, "7.5"), 1), (("2", b"2", 3), 1), ((2.0, 2, 3), 1), ((b"x", 1, 3), 0),
    ],
)  # fmt: skip
def test_entries_of_mixed_types_are_read_as_numbers_where_they_are(
    tmp_path: Path, odd: tuple | None, more: int
) -> None:
    entries = [(1, 1, 100), (1, 2, 0), (2, 1, 7.0), *([odd] if odd else [])]
    for name, create in (("typed", ""), ("bare", BARE)):
        path = make_database(tmp_path / f"{name}.db", ["a", "b"], ["x", "y"], entries, create, fill=True)
        table = read_lastfm(path)
        assert table.n_counts == 3 + more
        assert table.tags_of("a") == [("x", 100.0), ("y", 0.0)]
        assert dict(table.tags_of("b"))["x"] == 7


def test_issue23_4_blob_tags_read_the_same_with_and_without_gaps_of_row_ids(tmp_path: Path) -> None:
    for gap in (0, 1):
        path = make_database(tmp_path / f"{gap}.db", ["a"], [], [(1, 1, 5), (1, 2 + gap, 6)])
        with closing(sqlite3.connect(path)) as connection:
            connection.executemany(
                "INSERT INTO tags (ROWID, tag) VALUES (?, ?)", [(1, b"rock"), (2 + gap, b"caf\xc3\xa9")]
            )
            connection.commit()
        assert read_lastfm(path).tags_of("a") == [("café", 6.0), ("rock", 5.0)]


def test_a_database_of_utf_16_reads_as_any_other(tmp_path: Path) -> None:
    create = f"PRAGMA encoding = 'UTF-16'; {BARE}"
    path = make_database(tmp_path / "t.db", ["Ä"], ["röck", "🎸"], [(1, 1, 5), (1, 2, 6)], create, fill=True)
    assert read_lastfm(path).tags_of("Ä") == [("🎸", 6.0), ("röck", 5.0)]


def test_c2_a_view_is_refused_for_it_may_never_end(tmp_path: Path) -> None:
    endless = (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        "SELECT x AS tid, 1 AS tag, 1 AS val FROM c"
    )
    create = f"CREATE TABLE tids (tid); CREATE TABLE tags (tag); CREATE VIEW tid_tag AS {endless}"
    path = make_database(tmp_path / "t.db", [], [], [], create)
    with pytest.raises(FileFormatError, match="'tid_tag' is a view"):
        read_lastfm(path)


def write_wal(path: Path, keep_log: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.executescript(
        "CREATE TABLE tids (tid); CREATE TABLE tags (tag); CREATE TABLE tid_tag (tid, tag, val);"
        "INSERT INTO tids VALUES ('a'); INSERT INTO tags VALUES ('x'); INSERT INTO tid_tag VALUES (1, 1, 5);"
    )
    connection.commit()
    if not keep_log:
        connection.close()
    return connection


@pytest.mark.parametrize("log", [False, True])
def test_d7_a_wal_database_leaves_nothing_beside_it_and_may_lie_where_nothing_is_written(
    tmp_path: Path, log: bool
) -> None:
    (tmp_path / "made").mkdir()
    connection = write_wal(tmp_path / "made" / "t.db", keep_log=log)
    folder = tmp_path / "read-only"
    folder.mkdir()
    for name in ("t.db", *(["t.db-wal"] if log else [])):
        shutil.copyfile(tmp_path / "made" / name, folder / name)
    connection.close()
    before = sorted(file.name for file in folder.iterdir())
    folder.chmod(0o555)
    assert read_lastfm(folder / "t.db").tags_of("a") == [("x", 5.0)]
    folder.chmod(0o755)
    assert sorted(file.name for file in folder.iterdir()) == before


def test_d7_a_locked_database_says_so(tmp_path: Path, database: Path) -> None:
    lock = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", lock, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(
            FolksongError, match=r"tags\.db: another program is writing to the database; try again"
        ):
            read_lastfm(database)
        process.communicate()
    assert read_lastfm(database).n_tracks == 3
