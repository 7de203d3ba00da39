import io
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import folksong as fs
from folksong.array_cache import content_key, path_beside
from folksong.tags.sources.lastfm import write_lastfm
from folksong.tags.sources.read_tags import READERS, as_table, read_cache, write_cache

words = st.text(max_size=6) | st.sampled_from(["\x00", "a\x00b", "x\ny", "🎸"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, words, st.sampled_from([0.0, 0.5, 100.0])), max_size=15))
def test_a_copy_is_read_back_equal(rows: list) -> None:
    table = fs.TagTable.from_pairs(*(zip(*rows, strict=True) if rows else ([], [], [])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "copy")
        write_cache(table, path, "key")
        again = read_cache(path, "key")
        assert again is not None
        assert again.sha256() == table.sha256()
        assert read_cache(path, "other key") is None


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "tags.csv"
    path.write_text("track,tag,weight\na,rock,5\nb,,3\na,folk,0\n")
    return path


def test_the_second_open_reads_the_copy_and_warns_again(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = fs.read_tags(source, cache=True)
    copy = path_beside(source, {})
    assert copy.exists()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        second = fs.read_tags(source, cache=True)
    assert second.sha256() == first.sha256()
    assert "1 (the tag is empty)" in caplog.text
    # to be sure that it is the copy that is read: give it another table under the same key
    other = fs.TagTable.from_pairs(["z"], ["z"])
    write_cache(other, copy, content_key(source, {"min_weight": None, "readers": READERS}))
    assert fs.read_tags(source, cache=True).sha256() == other.sha256()
    assert fs.read_tags(source, cache=False).sha256() == first.sha256()


def test_a_changed_source_is_read_anew_even_with_the_old_date_and_size(source: Path) -> None:
    fs.read_tags(source, cache=True)
    before = source.stat()
    source.write_text("track,tag,weight\na,rock,5\nb,,3\na,funk,0\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_size == before.st_size
    assert fs.read_tags(source, cache=True).tags.tolist() == ["funk", "rock"]


def test_each_way_of_reading_has_its_own_copy(source: Path) -> None:
    assert fs.read_tags(source, cache=True).n_counts == 2
    assert fs.read_tags(source, cache=True, min_weight=0).n_counts == 1
    assert fs.read_tags(source, cache=True).n_counts == 2
    assert len(list(source.parent.glob(".*.folksong"))) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "first", "header"])
def test_a_damaged_copy_is_not_used(source: Path, damage: str) -> None:
    first = fs.read_tags(source, cache=True)
    copy = path_beside(source, {})
    data = bytearray(copy.read_bytes())
    if damage == "cut":
        data = data[:-5]
    elif damage == "flip":
        data[-9] ^= 1
    elif damage in ("first", "header"):
        data[30 if damage == "first" else -60] ^= 1
    else:
        data = bytearray()
    copy.write_bytes(data)
    assert fs.read_tags(source, cache=True).sha256() == first.sha256()


def test_small_files_get_no_copy_unless_asked_for(source: Path) -> None:
    fs.read_tags(source)
    assert [path.name for path in source.parent.iterdir()] == ["tags.csv"]


def test_a_folder_that_cannot_be_written_to_is_no_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = io.open

    def full(path: str | Path, *args: int, **options: int) -> int:
        if not isinstance(path, int) and os.fspath(path).endswith(".part"):
            raise OSError(28, "No space left on device")
        return really_open(path, *args, **options)

    monkeypatch.setattr("io.open", full)
    assert fs.read_tags(source, cache=True).n_counts == 2
    assert [path.name for path in source.parent.iterdir()] == ["tags.csv"]


def test_what_waits_in_a_write_ahead_log_counts_too(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "tags.db"
    write_lastfm(fs.TagTable.from_pairs(["a"], ["rock"], [5]), path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.commit()
        assert fs.read_tags(path, cache=True).n_counts == 1
        connection.execute("INSERT INTO tags VALUES ('folk')")
        connection.execute("INSERT INTO tid_tag VALUES (1, 2, 7)")
        connection.commit()  # it is in the log, not in the file
        assert fs.read_tags(path, cache=True).n_counts == 2


def test_arrays_of_a_copy_are_whole_numbers_of_32_bits(source: Path) -> None:
    fs.read_tags(source, cache=True)
    table = fs.read_tags(source, cache=True)
    assert table.weights.indices.dtype == table.weights.indptr.dtype == np.int32


def test_a_table_or_where_it_is(source: Path) -> None:
    table = as_table(source)
    assert table.n_counts == 2
    assert as_table(table) is table
