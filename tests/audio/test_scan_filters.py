"""Which files become tracks, and the reasons told."""

import dataclasses

import numpy as np
import pytest

from folksong.audio.file_facts import FileFacts
from folksong.audio.msd import MsdLists, TrackList
from folksong.audio.scan import Filters, select
from folksong.errors import FolksongError

GOOD = FileFacts("x", 10_000, 1, "mp3", 44100, 2, 30.0, 29.0, 1.0, 0.5, -12.0, "f", "a")


def facts(*paths, **changes):
    return [
        dataclasses.replace(GOOD, path=path, file_sha256=path, audio_sha256=path, **changes) for path in paths
    ]


def reasons(selection):
    return {file.path: file.reason for file in selection.dropped}


@pytest.mark.parametrize(
    ("change", "filters", "reason", "detail"),
    [
        ({"problem": "an empty file"}, Filters(), "not decodable", "an empty file"),
        ({"damage": "cut"}, Filters(drop_damaged=True), "damaged", "cut"),
        ({"size": 99}, Filters(min_size=100), "too small", "99 bytes, fewer than 100"),
        (
            {"effective_seconds": 14.9},
            Filters(min_length=15),
            "too short",
            "14.9 s without silence.*less than 15 s",
        ),
        (
            {"silence_seconds": 3.1},
            Filters(max_total_silence=3),
            "too much silence",
            "3.1 s in all, more than 3 s",
        ),
        ({"longest_silence_seconds": 1.1}, Filters(max_silence=1), "silence too long", "1.1 s at a stretch"),
    ],
)
def test_each_filter_drops_with_its_reason(change, filters, reason, detail):
    good, bad = facts("a.mp3")[0], facts("b.mp3", **change)[0]
    selection = select([bad, good], filters)
    assert [kept.facts.path for kept in selection.kept] == ["a.mp3"]
    (dropped,) = selection.dropped
    assert dropped.reason == reason
    pytest.importorskip("re").search(detail, dropped.detail) or pytest.fail(dropped.detail)


def test_filters_at_their_limits_keep():
    limits = Filters(min_size=10_000, min_length=29, max_total_silence=1, max_silence=0.5)
    assert len(select(facts("a.mp3"), limits).kept) == 1
    assert len(select(facts("a.mp3", damage="cut"), limits).kept) == 1


def test_track_ids_from_the_track_list():
    tracks = TrackList(
        np.array([7, 7, 9]), np.array([b"TRA", b"TRB", b"TRC"]), np.array([b"AR1", b"AR2", b"AR3"])
    )
    selection = select(
        facts("1/7.clip.mp3", "2/7.clip.mp3", "9.clip.mp3", "8.clip.mp3", "song.mp3"),
        lists=MsdLists(tracks, mismatches=["TRC"]),
    )
    (kept,) = selection.kept
    assert (kept.track_id, kept.artist_id, kept.seven_digital, kept.facts.path) == (
        "TRA",
        "AR1",
        7,
        "1/7.clip.mp3",
    )
    assert reasons(selection) == {
        "2/7.clip.mp3": "same track",
        "8.clip.mp3": "not in the track list",
        "9.clip.mp3": "mismatched",
        "song.mp3": "not in the track list",
    }


def test_without_a_track_list_the_path_is_the_id():
    selection = select(facts("b/y.mp3", "b/y.flac", "12.clip.mp3"))
    assert [(kept.track_id, kept.seven_digital) for kept in selection.kept] == [
        ("12.clip", 12),
        ("b/y", None),
    ]
    assert reasons(selection) == {"b/y.mp3": "same track"}


def test_duplicates_by_list_keep_the_first_that_the_list_names():
    files = facts("A.mp3", "B.mp3", "C.mp3", "D.mp3")
    groups = [("X", "C", "A"), ("D",), ("B", "Y"), ("A", "B")]
    selection = select(files, Filters(drop_duplicates=["list"]), MsdLists(duplicates=groups))
    assert [kept.track_id for kept in selection.kept] == ["B", "C", "D"]
    (dropped,) = selection.dropped
    assert (dropped.track_id, dropped.reason, dropped.detail) == (
        "A",
        "listed duplicate",
        "C is the same song",
    )


def test_duplicates_by_bytes_and_by_sound():
    one, two, three = facts("a.mp3", "b.mp3", "c.mp3")
    two = dataclasses.replace(two, file_sha256="a.mp3", audio_sha256="a.mp3")
    three = dataclasses.replace(three, audio_sha256="a.mp3")
    everything = [three, two, one]
    assert reasons(select(everything)) == {}
    assert reasons(select(everything, Filters(drop_duplicates=["file"]))) == {"b.mp3": "same file"}
    assert reasons(select(everything, Filters(drop_duplicates=["audio"]))) == dict.fromkeys(
        ("b.mp3", "c.mp3"), "same audio"
    )
    both = select(everything, Filters(drop_duplicates=["audio", "file"]))
    assert reasons(both) == {"b.mp3": "same file", "c.mp3": "same audio"}


def test_a_dropped_file_is_no_ones_duplicate():
    """Of two copies the one that fails a filter must not push the other out."""
    bad = dataclasses.replace(facts("a.mp3")[0], effective_seconds=1.0)
    good = dataclasses.replace(bad, path="b.mp3", effective_seconds=29.0)
    selection = select([bad, good], Filters(min_length=15, drop_duplicates=["file", "audio"]))
    assert [kept.facts.path for kept in selection.kept] == ["b.mp3"]


def test_settings_that_make_no_sense():
    with pytest.raises(FolksongError, match="min_length must not be negative"):
        Filters(min_length=-1)
    with pytest.raises(FolksongError, match="'fil'; did you mean 'file'"):
        Filters(drop_duplicates=["fil"])
    with pytest.raises(FolksongError, match="needs the list"):
        select(facts("a.mp3"), Filters(drop_duplicates=["list"]))
