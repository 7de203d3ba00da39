import logging
from pathlib import Path

import numpy as np
import pytest

import folksong as fs
from folksong.errors import FolksongError
from folksong.labels import Label

TABLE = fs.TagTable.from_pairs(
    ["a", "a", "a", "b", "b", "c", "c", "d"],
    ["rock", "folk", "usa", "rock", "Awesome", "rock", "folk", "awesome"],
)


def test_top_labels_are_the_most_popular_tags_ties_by_code_point() -> None:
    space = fs.labels.top(TABLE, 4)
    assert space.names == ("rock", "folk", "Awesome", "awesome")
    assert space.labels[0] == Label("rock", ("rock",))
    assert space.provenance["builder"] == "top"
    assert space.provenance["table_sha256"] == TABLE.sha256()


def test_coverage_counts_tags_and_tracks() -> None:
    kept = fs.labels.top(TABLE, 2).coverage(TABLE)
    assert (kept.n_counts, kept.all_counts, kept.n_tracks, kept.all_tracks) == (5, 8, 3, 4)
    assert (kept.counts, kept.tracks) == (5 / 8, 3 / 4)


def test_coverage_counts_aliases_and_names_absent_labels() -> None:
    space = fs.LabelSpace((Label("rock", ("rock",)), Label("none", ("none",))), {"usa": "rock"})
    kept = space.coverage(TABLE)
    assert (kept.n_counts, kept.absent_labels) == (4, ("none",))
    empty = space.coverage(fs.TagTable.from_pairs([], []))
    assert empty.to_dict()["counts"] is None


def test_more_labels_than_tags_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(fs.labels.top(TABLE, 100)) == 5
    assert "labels asked for: 100, tags in use: only 5" in caplog.text


def test_no_labels_at_all_is_an_error() -> None:
    with pytest.raises(FolksongError, match="at least 1, not 0"):
        fs.labels.top(TABLE, 0)
    with pytest.raises(FolksongError, match="no track has a tag"):
        fs.labels.top(TABLE.select_tracks([]), 3)
    with pytest.raises(FolksongError, match="every label would be dropped"):
        fs.labels.drop(fs.labels.top(TABLE, 1), ["rock"])


def test_drop_matches_exactly_and_names_near_matches(caplog: pytest.LogCaptureFixture) -> None:
    space = fs.labels.top(TABLE, 5)
    with caplog.at_level(logging.WARNING):
        after = fs.labels.drop(space, ["Awesome", "USA", "nowhere"])
    assert after.names == ("rock", "folk", "awesome", "usa")
    expected = "2 of 3 listed tags match no tag of the label space: 'USA', did you mean 'usa'?; 'nowhere'"
    assert expected in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        fs.labels.drop(space, [f"nothing {number}" for number in range(109)])
    assert "109 of 109 listed tags match no tag" in caplog.text
    assert "'nothing 0'; 'nothing 1'; 'nothing 2' and 106 more" in caplog.text
    assert len(caplog.messages) == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        folded = fs.labels.drop(space, ["Awesome", "USA"], ignore_case=True)
    assert folded.names == ("rock", "folk")
    assert not caplog.text


def test_drop_takes_members_and_aliases_out_of_bigger_labels() -> None:
    space = fs.LabelSpace(
        (Label("cool", ("cool", "jazz", "bop")), Label("live", ("live",)), Label("jazz", ("x",))),
        {"Cool": "cool", "be bop": "bop"},
    )
    after = fs.labels.drop(space, ["cool", "live"])
    assert after.labels == (Label("bop", ("jazz", "bop")), Label("jazz", ("x",)))
    assert dict(after.aliases) == {"be bop": "bop"}
    assert after.provenance["dropped"] == ["cool", "live"]


def test_drop_takes_tags_out_of_the_labels_they_also_belong_to() -> None:
    space = fs.LabelSpace((Label("rock", ("rock",), ("indie", "live")), Label("live", ("live", "indie"))))
    assert fs.labels.drop(space, ["live"]).labels == (
        Label("rock", ("rock",), ("indie",)),
        Label("indie", ("indie",)),
    )


def test_the_shipped_list_is_the_one_of_the_design() -> None:
    assert len(fs.labels.SUBJECTIVE_TAGS) == 20
    assert fs.labels.SUBJECTIVE_TAGS[:3] == ("favorites", "Awesome", "sexy")
    assert fs.labels.SUBJECTIVE_TAGS[-1] == "Favourite Songs"


def test_aliases_of_a_cleaning_that_lead_to_a_label_are_kept() -> None:
    space = fs.labels.top(TABLE, 2, aliases={"Rock!": "rock", "jazzy": "jazz", "folk": "rock"})
    assert dict(space.aliases) == {"Rock!": "rock"}


def test_main_tags_are_each_labels_most_popular_tag_in_the_same_order():
    table = fs.TagTable.from_pairs("ababcc", ["rap", "rap", "hip hop", "metal", "metal", "doom"])
    aliases = {"hiphop": "hip hop", "RAP": "rap"}
    space = fs.LabelSpace((Label("heavy", ("doom", "metal")), Label("rap", ("hip hop", "rap"))), aliases)
    mains = fs.labels.main_tags(space, table)
    assert [label.tags for label in mains.labels] == [("metal",), ("rap",)]
    assert mains.aliases == {"RAP": "rap"}
    assert mains.encode(table).toarray().tolist() == [[0, 1], [1, 1], [1, 0]]
    twice = fs.LabelSpace((Label("one", ("rap", "doom")), Label("two", ("rap",))))
    with pytest.raises(FolksongError, match="'rap' is the most popular tag of two labels"):
        fs.labels.main_tags(twice, table)


EARLIER = Path(__file__).resolve().parents[3] / "shared" / "data" / "earlier-project"


def published_counts():
    rows = (EARLIER / "top100.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {row.split("\t")[0]: int(row.split("\t")[1]) for row in rows}


def counts_of_the_published_sums():
    """Counts of 80 tags and of the 20 that the shipped list removes, whose sums are the published ones."""
    kept = {f"tag {number}": 20_075 for number in range(80)}
    removed = dict.fromkeys(sorted(fs.labels.SUBJECTIVE_TAGS), 16_195)
    kept["tag 0"] += 1_606_067 - sum(kept.values())
    removed["Awesome"] += 1_929_985 - 1_606_067 - sum(removed.values())
    return {**kept, **removed}


needs_earlier = pytest.mark.skipif(
    not EARLIER.is_dir(), reason=f"{EARLIER} (the earlier project's own files) is not here"
)


@pytest.mark.parametrize(
    "counts", [counts_of_the_published_sums, pytest.param(published_counts, marks=needs_earlier)]
)
def test_coverage_of_the_published_counts(counts) -> None:
    popular = counts()
    fill, rest = min(popular.values()) - 1, 8_598_630 - sum(popular.values())
    sizes = [*popular.values(), *[fill] * (rest // fill), rest % fill]
    names = [*popular, *(f"rare {number}" for number in range(len(sizes) - len(popular)))]
    tracks = np.concatenate([np.arange(size) for size in sizes])
    columns = np.repeat(np.arange(len(sizes)), sizes)
    track_ids = [f"t{number}" for number in range(max(sizes))]
    table = fs.TagTable.from_codes(track_ids, names, tracks, columns, np.ones(len(tracks), np.float32))
    space = fs.labels.top(table, 100)
    assert space.coverage(table).n_counts == 1_929_985
    assert int(1e6 * space.coverage(table).counts) == 224452  # published: 22.4452%, cut off
    filtered = fs.labels.drop(space, fs.labels.SUBJECTIVE_TAGS)
    assert (len(filtered), filtered.coverage(table).n_counts) == (80, 1_606_067)
    assert round(filtered.coverage(table).counts, 5) == 0.18678
    assert space.coverage(table).all_counts == 8_598_630
