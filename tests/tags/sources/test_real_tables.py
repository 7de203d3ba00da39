"""The real tables that lie beside a development checkout, against counts by the csv module and a Counter."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import folksong as fs
from folksong.tags.cleaning.change_log import explain
from folksong.tags.cleaning.clean import clean
from folksong.tags.cleaning.merges import propose_merges, write_merges
from folksong.tags.cleaning.recipe import Recipe, default_recipe, read_recipe
from folksong.tags.statistics import coverage_of_top

DATA = Path(__file__).parents[4] / "shared" / "data" / "tags"
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
    from folksong.tags.sources.read_tags import write_tags

    table = fs.read_tags(DATA / "hetrec_artist_tags.tsv")
    write_tags(table, tmp_path / "hetrec.db")
    assert fs.read_tags(tmp_path / "hetrec.db").sha256() == table.sha256()


def test_the_page_on_cleaning_hetrec_says_what_happens(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "cleaning-hetrec.md").read_text(encoding="utf-8")
    blocks = {block.split("\n", 1)[0]: block.split("\n", 1)[1] for block in page.split("```")[1::2]}
    edits = {line.removeprefix("-").split("\t")[0]: line for line in blocks["text"].splitlines()}
    table = fs.read_tags(DATA / "hetrec_artist_tags.tsv")
    merges = propose_merges(table)
    assert (
        f"{len(merges)} merges are proposed, {sum(merge.source_count for merge in merges):,} counts in all"
        in page
    )
    write_merges(merges, tmp_path / "proposal.tsv")
    lines = (tmp_path / "proposal.tsv").read_text(encoding="utf-8").splitlines()
    reviewed = [edits.pop(line.split("\t")[0], line) for line in lines]
    assert not edits  # each edited line was proposed
    (tmp_path / "proposal.tsv").write_text("\n".join(reviewed) + "\n", encoding="utf-8")
    (tmp_path / "cleaning.toml").write_text(blocks["toml"])
    recipe = read_recipe(tmp_path / "cleaning.toml")
    cleaned = clean(table, recipe)
    merged = clean(table, Recipe(tuple(step for step in recipe.steps if step.name != "minimum-count"))).table
    after = cleaned.table
    tagged = int((np.diff(after.weights.indptr) > 0).sum())
    for row in (
        f"| tags | 9,749 | {merged.n_tags:,} | {after.n_tags:,} |",
        f"| pairs | 109,750 | {merged.n_counts:,} | {after.n_counts:,} |",
        f"| share of pairs kept | | {merged.n_counts / 109750:.2%} | {after.n_counts / 109750:.2%} |",
        f"| artists with a tag | 12,523 | 12,523 | {tagged:,} |",
    ):
        assert row in page
    largest = [
        f"{tag} | {final} | {count} |"
        for tag, count in zip(*vars(table.popularity()).values(), strict=True)
        if (final := cleaned.log.final(tag)) not in (None, tag)
    ]
    assert all(row in page for row in largest[:30])
    assert clean(after, recipe).table.sha256() == after.sha256()
    origins = explain(table, cleaned.log, "14071", "rnb")
    assert all(f"{origin.tag} (weight {origin.weight:g})" in page for origin in origins)


@pytest.mark.parametrize(
    "name", ["hetrec_artist_tags.tsv", "jamendo_track_tags.tsv", "lastfm_artist_top_tags.csv"]
)
def test_cleaning_keeps_every_pair_of_the_real_tables(name: str, tmp_path: Path) -> None:
    table = fs.read_tags(DATA / name)
    cleaned = clean(table, default_recipe())
    final = [cleaned.log.final(tag) for tag in table.tags]
    entries = table.weights.tocoo()
    expected = {
        (row, final[column]) for row, column in zip(entries.row.tolist(), entries.col.tolist(), strict=True)
    }
    after = cleaned.table.weights.tocoo()
    found = {
        (row, cleaned.table.tags[column])
        for row, column in zip(after.row.tolist(), after.col.tolist(), strict=True)
    }
    assert found == {pair for pair in expected if pair[1] is not None}
    cleaned.write(tmp_path / "clean.db")
    assert fs.read_tags(tmp_path / "clean.db").sha256() == cleaned.table.sha256()
