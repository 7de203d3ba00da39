"""The real tables that lie beside a development checkout, against counts by the csv module and a Counter."""

import csv
from collections import Counter
from pathlib import Path

import pytest

import folksong as fs
from folksong.tags.statistics import coverage_of_top

DATA = Path(__file__).parents[3] / "shared" / "data" / "tags"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real tag tables are not there (../shared/data/tags)"
)


def independent_pairs(name: str, track: str, tag: str, separator: str) -> set[tuple[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as stream:
        return {(row[track], row[tag]) for row in csv.DictReader(stream, delimiter=separator)}


@pytest.mark.parametrize(
    ("name", "track", "tag", "separator", "sizes"),
    [
        ("hetrec_artist_tags.tsv", "artistID", "tagValue", "\t", (12523, 9749, 109750)),
        ("jamendo_track_tags.tsv", "TRACK_ID", "TAG", "\t", (55525, 187, 231419)),
        ("lastfm_artist_top_tags.csv", "search", "name", ",", (9159, 3457, 44707)),
    ],
)
def test_counts_and_coverage_equal_an_independent_count(
    name: str, track: str, tag: str, separator: str, sizes: tuple[int, int, int]
) -> None:
    pairs = independent_pairs(name, track, tag, separator)
    counter = Counter(tag for _, tag in pairs)
    ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    table = fs.read_tags(DATA / name)
    assert (table.n_tracks, table.n_tags, table.n_counts) == sizes
    popularity = table.popularity()
    assert list(zip(popularity.tags, popularity.counts.tolist(), strict=True)) == ranked
    for n in (1, 10, 100, 1000):
        top = {tag for tag, _ in ranked[:n]}
        row = coverage_of_top(table, [n])[0]
        assert row.n_counts == sum(count for _, count in ranked[:n])
        assert row.n_tracks == len({track for track, tag in pairs if tag in top})


def test_hetrec_top_100_and_filtered_hold_the_published_figures() -> None:
    pairs = independent_pairs("hetrec_artist_tags.tsv", "artistID", "tagValue", "\t")
    counter = Counter(tag for _, tag in pairs)
    ranked = [tag for tag, _ in sorted(counter.items(), key=lambda item: (-item[1], item[0]))][:100]
    table = fs.read_tags(DATA / "hetrec_artist_tags.tsv")
    top = fs.labels.top(table, 100)
    filtered = fs.labels.drop(top, fs.labels.SUBJECTIVE_TAGS)
    folded = fs.labels.drop(top, fs.labels.SUBJECTIVE_TAGS, ignore_case=True)
    listed = {tag.casefold() for tag in fs.labels.SUBJECTIVE_TAGS}
    for space, kept, n_labels, n_counts in (
        (top, ranked, 100, 48443),
        (filtered, [tag for tag in ranked if tag not in fs.labels.SUBJECTIVE_TAGS], 90, 44044),
        (folded, [tag for tag in ranked if tag.casefold() not in listed], 85, 42192),
    ):
        assert list(space.names) == kept
        assert len(space) == n_labels
        found = space.coverage(table)
        assert found.n_counts == n_counts == sum(counter[tag] for tag in kept)
        assert found.n_tracks == len({track for track, tag in pairs if tag in set(kept)})
        assert found.counts == n_counts / 109750


def test_a_copy_in_sqlite_is_equal(tmp_path: Path) -> None:
    from folksong.tags.sources import write_tags

    table = fs.read_tags(DATA / "hetrec_artist_tags.tsv")
    write_tags(table, tmp_path / "hetrec.db")
    assert fs.read_tags(tmp_path / "hetrec.db").sha256() == table.sha256()
