"""Facets of tags: what decides before the guess, a person's file, other languages, and input that is wrong."""

import numpy as np
import pytest

import folksong as fs
from folksong.errors import FileFormatError, FolksongError
from folksong.tags.facet_lists import FACETS, listed, sources
from folksong.tags.facets import facets, read_facets
from folksong.tags.table import TagTable


def table_of(tags_of):
    """Return the table of track id -> its tags."""
    pairs = [(track, str(tag)) for track, tags in tags_of.items() for tag in tags]
    return TagTable.from_pairs(*zip(*pairs, strict=True)) if pairs else TagTable.from_pairs([], [])


def of(*tags, **given):
    table = table_of({str(number): [tag] for number, tag in enumerate(tags)})
    return [facets(table, **given).of(tag) for tag in tags]


@pytest.mark.parametrize(
    ("tag", "facet"),
    [
        ("Hip-Hop", "genre"),
        ("swedish death metal", "genre"),
        ("synth pop", "genre"),
        ("electricguitar", "instrument"),
        ("Gitarre", "instrument"),
        ("female vocalists", "voice"),
        ("kadın vokal", "voice"),
        ("80's", "era"),
        ("1987", "era"),
        ("années 80", "era"),
        ("traurig", "mood"),
        ("sad songs", "mood"),
        ("Türkçe", "place"),
        ("made in germany", "place"),
        ("weihnachten", "use"),
        ("songs i sing in my car", "opinion"),
        ("seen live", "opinion"),
        ("radiohead", "name"),
        ("mood/theme---film", "mood"),
        ("country: sweden", "place"),
        ("8500", "unknown"),
    ],
)
def test_lists_shapes_and_prefixes(tag, facet):
    assert of(tag) == [facet]


def test_words_of_no_list_are_guessed():
    guessed = ["zorbcore", "grungewave", "blackened zorb metal"]
    assert of(*guessed) == ["genre"] * 3
    found = facets(table_of({"1": guessed}))
    assert set(found.reasons) == {"guess"}
    assert ((found.confidences > 0) & (found.confidences <= 1)).all()


def test_company_counts():
    """A word that says nothing is a genre among genres."""
    rng = np.random.default_rng(0)
    genres, names = ["rock", "metal", "punk", "jazz"], ["radiohead", "madonna", "björk", "prince"]
    tracks = {f"g{i}": [*rng.choice(genres, 2, replace=False), "qwzrt"] for i in range(30)}
    tracks |= {f"n{i}": [*rng.choice(names, 2, replace=False), "qwzrs"] for i in range(30)}
    found = facets(table_of(tracks))
    assert found.of("qwzrs") == "name"
    assert found.of("qwzrt") != "name"


def test_a_file_wins_and_what_was_written_is_read(tmp_path):
    table = table_of({"1": ["rock", "zzz"], "2": ["rock"]})
    path = tmp_path / "facets.tsv"
    facets(table).write(path, table)
    lines = path.read_text().splitlines()
    assert lines[0] == "tag\tfacet\tconfidence\treason\tcount"
    assert lines[1].split("\t") == ["rock", "genre", "0.95", "listed", "2"]
    path.write_text("rock\topinion\nzzz\tunknown\n", encoding="utf-8")
    found = facets(table, given=read_facets(path))
    assert (found.of("rock"), found.of("zzz")) == ("opinion", "unknown")
    assert found.reasons == ("file", "file")
    assert found.of("absent") == "unknown"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rock\n", "line 1: needs a tag and a facet"),
        ("tag\tfacet\nrock\tgenres\n", "line 2: needs a tag and a facet.*'genre'"),
        ("rock\tgenre\nrock\tmood\n", "line 2: 'rock' is genre above and mood here"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "facets.tsv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_facets(path)


def test_given_facets_and_tags_that_are_not_there(caplog):
    table = table_of({"1": ["rock"]})
    with pytest.raises(FolksongError, match=r"'rock' is given the facet 'gener'.*'genre'"):
        facets(table, given={"rock": "gener"})
    facets(table, given={"pop": "genre"})
    assert "1 tags with a given facet are not in the table: pop" in caplog.text
    assert facets(table_of({"1": []})).tags == ()


def test_lists_have_sources_and_no_tag_twice():
    for tag, (facet, source, meaning) in sources().items():
        assert facet in FACETS
        assert source
        assert meaning
        assert tag == " ".join(tag.lower().split()), tag
    assert listed("deutsch") == "place"
    assert fs.tags.facets is facets


def test_issue17_a_tag_that_names_a_track_is_a_name_where_tracks_are_artists():
    pairs = [
        ("The%20Wombles", "casting crowns"),
        ("Casting%20Crowns", "the wombles"),
        ("2006", "2006"),
        ("Rock", "rock"),
    ]
    found = facets(fs.TagTable.from_pairs(*zip(*pairs, strict=True)))
    reason = dict(zip(found.tags, found.reasons, strict=True))
    assert [(found.of(tag), reason[tag]) for tag in ("casting crowns", "the wombles")] == [
        ("name", "track")
    ] * 2
    assert (found.of("2006"), found.of("rock")) == ("era", "genre")
