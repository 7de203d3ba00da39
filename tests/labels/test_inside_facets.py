"""Facility location against all choices, its order, and labels inside facets."""

from itertools import combinations

import numpy as np
import pytest

from folksong.errors import FolksongError
from folksong.labels import Pair, hybrid, inside_facets
from folksong.labels.hybrid_vectors import TagGroups
from folksong.labels.inside_facets import LIKE_ENOUGH, MORE_WORDS, NARROWER, Described, facility_location
from folksong.labels.space import LabelSpace
from folksong.tags.facets import facets
from folksong.tags.table import TagTable


def table_of(tags_of):
    """Return the table of track id -> its tags."""
    pairs = [(track, str(tag)) for track, tags in tags_of.items() for tag in tags]
    return TagTable.from_pairs(*zip(*pairs, strict=True)) if pairs else TagTable.from_pairs([], [])


def test_greedy_choice_is_near_the_best_and_nested():
    rng = np.random.default_rng(0)
    likeness = rng.random((12, 12)).astype(np.float32)
    np.fill_diagonal(likeness, 1)
    counts = rng.integers(1, 50, 12)
    three = facility_location(likeness, counts, 3)
    served = np.minimum(likeness / LIKE_ENOUGH, 1)
    best = max((counts * served[:, list(rows)].max(axis=1)).sum() for rows in combinations(range(12), 3))
    assert (counts * served[:, three].max(axis=1)).sum() >= (1 - 1 / np.e) * best
    assert facility_location(likeness, counts, 5)[:3] == three
    with pytest.raises(FolksongError, match="13 labels were asked for, but only 12 tags"):
        facility_location(likeness, counts, 13)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    worlds = [
        (["rock", "hard rock", "80s", "american", "usa", "guitar", "seen live"], 0.6),
        (["jazz", "bebop", "60s", "french", "france", "saxophone", "favorites"], 0.6),
        (["metal", "death metal", "90s", "german", "deutsch", "sad", "radiohead"], 0.6),
    ]
    tracks = {}
    for track in range(600):
        tags, share = worlds[track % 3]
        tracks[f"t{track}"] = [tag for tag in tags if rng.random() < share]
    return table_of(tracks)


def by_facet(space):
    return {(label.facet, tag) for label in space.labels for tag in label.tags}


def test_labels_keep_to_facets_and_say_them(table, tmp_path):
    space = hybrid(table, None)
    assert {label.facet for label in space.labels} >= {"genre", "era", "place", "instrument", "opinion"}
    assert [label.facet for label in space.labels] == sorted(
        (label.facet for label in space.labels),
        key=["genre", "instrument", "voice", "era", "mood", "place", "use", "opinion", "name"].index,
    )
    assert ("place", "usa") in by_facet(space)
    assert space.labels_of("usa") == space.labels_of("american")
    assert space.labels_of("deutsch") == space.labels_of("german")
    assert not set(space.labels_of("80s")) & set(space.labels_of("90s"))
    space.write(tmp_path / "x.labels.json")
    read = LabelSpace.read(tmp_path / "x.labels.json")
    assert read.labels == space.labels
    assert read.provenance["across_facets"] is False


def test_what_is_left_out_is_counted(table):
    space = hybrid(table, None, without=("opinion", "name"))
    assert not {"opinion", "name"} & {label.facet for label in space.labels}
    counts = table.counts_by_tag
    left_out = space.provenance["left_out"]
    assert left_out["opinion"] == counts["seen live"] + counts["favorites"]
    kept = space.coverage(table)
    assert kept.n_counts + sum(left_out.values()) == table.n_counts


def test_number_pairs_and_given_facets(table):
    assert len(hybrid(table, None, n_clusters=12)) == 12
    together = hybrid(table, None, pairs=[Pair("same", "rock", "jazz")])
    assert together.labels_of("rock") == together.labels_of("jazz")
    apart = hybrid(table, None, pairs=[Pair("apart", "metal", "death metal")])
    assert not set(apart.labels_of("metal")) & set(apart.labels_of("death metal"))
    moved = hybrid(table, None, facets=facets(table, given={"sad": "opinion"}), without=["opinion"])
    assert not moved.labels_of("sad")


def test_wrong_settings_and_tables_of_one_facet(table):
    with pytest.raises(FolksongError, match="there is no facet opinions"):
        hybrid(table, None, without=["opinions"])
    with pytest.raises(FolksongError, match="only where labels do not cross"):
        hybrid(table, None, across_facets=True, without=["name"])
    one = table.select_tags(["rock", "hard rock", "jazz", "bebop"])
    assert {label.facet for label in hybrid(one, None).labels} == {"genre"}
    with pytest.raises(FolksongError, match="no tag of the facets to keep"):
        hybrid(one, None, without=["genre"])


def test_small_tables_are_no_longer_refused():
    tracks = [f"t{i}" for i in range(20) for _ in range(2)]
    tags = [tag for i in range(20) for tag in (("rock", "80s") if i % 2 else ("jazz", "60s"))]
    assert len(hybrid(TagTable.from_pairs(tracks, tags), None)) >= 3


def test_tags_that_say_nothing_are_divided_as_they_are(caplog):
    rng = np.random.default_rng(2)
    tracks = {f"t{i}": [f"{i % 2}{j}9" for j in rng.choice(5, 3, replace=False)] for i in range(200)}
    space = hybrid(table_of(tracks), None)
    assert {label.facet for label in space.labels} == {"unknown"}
    assert "nothing is known of what the tags are about" in caplog.text


@pytest.fixture(scope="module")
def curated():
    """A table as a shop keeps it: capitals, one to three tags a track, several languages."""
    rng = np.random.default_rng(3)
    worlds = [
        ["Progressive Rock", "UK", "80s"], ["Progressive Rock", "United Kingdom", "70s"], ["Metalcore", "In English"],
        ["Metalcore", "USA"], ["Christmas", "In English"], ["Weihnachten", "Deutsch"], ["Choral Music", "Christmas"],
        ["Composer", "Choral Music"], ["Compositeur", "Choral Music"], ["Pop", "00s"], ["Pop", "80s", "In English"],
        ["Afrobeat", "Nigeria"], ["Afrobeats", "Nigeria"], ["Nederland", "Pop"], ["Nederlands", "Pop"], ["Pop"],
    ]  # fmt: skip
    picked = rng.integers(0, len(worlds), 4000)
    return table_of({f"s{track}": worlds[world] for track, world in enumerate(picked.tolist())})


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("In English", "Metalcore", False),
        ("Progressive Rock", "Christmas", False),
        ("Progressive Rock", "Choral Music", False),
        ("UK", "United Kingdom", True),
        ("Composer", "Compositeur", True),
        ("Christmas", "Weihnachten", True),
        ("80s", "00s", False),
    ],
)
def test_issue17_a_curated_table_keeps_meanings(curated, one, other, together):
    space = hybrid(curated, None)
    assert bool(set(space.labels_of(one)) & set(space.labels_of(other))) is together
    assert not {"Afrobeats", "Nederlands"} & space.aliases.keys()


def test_issue17_kinds_of_genre_join_wider_ones_and_no_other():
    tracks = {f"a{n}": ["jazz", "bebop" if n % 2 else "swing", "zorbcore"] for n in range(90)}
    tracks |= {f"b{n}": ["reggae", "dancehall"] for n in range(60)} | {f"c{n}": ["reggae"] for n in range(60)}
    tracks |= {f"d{n}": ["bebop", "soul"] for n in range(3)}
    space = hybrid(table_of(tracks), None, n_clusters=2, without=("name", "opinion"))
    assert {label.name for label in space.labels} == {"reggae", "jazz"}
    assert space.labels_of("bebop") == space.labels_of("swing") == space.labels_of("jazz")
    assert space.labels_of("dancehall") == space.labels_of("reggae")
    assert not space.labels_of("soul")


def test_rare_tags_join_the_chosen_ones_a_few_at_a_time(table, monkeypatch):
    rare = ["brutal death metal", "melodic death metal", "classic hard rock", "free jazz", "70s", "sad sad"]
    tracks = {track: [tag for tag, _ in table.tags_of(track)] for track in table.track_ids}
    for number, tag in enumerate(rare):
        tracks[f"t{number}"].append(tag)
    rarer = table_of(tracks)
    at_once = hybrid(rarer, None, threshold=0)
    described, seen = inside_facets.Described.likeness, []
    monkeypatch.setattr(inside_facets, "CHOOSING", 1)
    monkeypatch.setattr(inside_facets, "BLOCK", 4)
    monkeypatch.setattr(
        inside_facets.Described, "likeness", lambda *given: seen.append(given[1]) or described(*given)
    )
    assert hybrid(rarer, None, threshold=0).labels == at_once.labels
    assert len(seen) > 1
    assert at_once.labels_of("brutal death metal")


def test_a_kind_of_a_genre_is_heard_as_one():
    """The tree says that grunge and grindcore are rock, wording that both funks are funk; the tracks of two deny it."""
    tracks = {f"a{n}": ["rock", "grunge"] for n in range(40)} | {f"b{n}": ["rock"] for n in range(60)}
    tracks |= {f"c{n}": ["grindcore", "metal"] for n in range(30)}
    tracks |= {f"d{n}": ["g-funk", "rap"] for n in range(30)}
    tracks |= {f"e{n}": ["funk", "p-funk"] for n in range(20)} | {f"f{n}": ["funk"] for n in range(40)}
    space = hybrid(table_of(tracks), None, n_clusters=4)
    assert space.labels_of("grunge") == space.labels_of("rock") != ()
    assert space.labels_of("p-funk") == space.labels_of("funk") != ()
    assert not set(space.labels_of("grindcore")) & set(space.labels_of("rock"))
    assert not set(space.labels_of("g-funk")) & set(space.labels_of("funk"))


@pytest.mark.parametrize("spelt", [str, str.title])
def test_a_genre_goes_where_the_genre_goes_that_it_ends_in(spelt):
    """Unless its tracks carry neither that nor its label; and "not" is no kind."""
    tracks = {f"a{n}": ["trance", "psytrance"] for n in range(40)} | {f"b{n}": ["trance"] for n in range(60)}
    tracks |= {f"c{n}": ["progressive"] for n in range(60)} | {f"d{n}": ["hardcore"] for n in range(50)}
    tracks |= {f"e{n}": ["psytrance", "progressive psytrance", "trance"] for n in range(3)}
    tracks |= {f"f{n}": ["progressive", "progressive zorbcore"] for n in range(3)}
    tracks |= {f"g{n}": ["progressive", "hardcore psytrance"] for n in range(3)}
    tracks |= {f"h{n}": ["trance", "not trance"] for n in range(3)}
    named = {track: [spelt(tag) for tag in tags] for track, tags in tracks.items()}
    space = hybrid(table_of(named), None, n_clusters=3, threshold=0)
    joined = {tag.lower(): label.name.lower() for label in space.labels for tag in label.tags}
    assert joined["psytrance"] == joined["progressive psytrance"] == "trance"
    assert joined.get("progressive zorbcore", "progressive") == "progressive"
    assert joined["hardcore psytrance"] == "hardcore"
    assert "not trance" not in joined


def at_cosine(cosine):
    return np.array([[cosine, np.sqrt(1 - cosine**2)], [1, 0]])


@pytest.mark.parametrize(
    ("one", "other", "cosine", "expected"),
    [
        ("zorb", "florb", 0.85, 0.85),
        ("zorb", "florb", 0.6, 0),
        ("pop metal", "hair metal", 0.82, 0),
        ("hair metal", "metal", 0.2, NARROWER + MORE_WORDS),
    ],
)
def test_company_needs_words_that_agree_and_do_not_contrast(one, other, cosine, expected):
    names, none = (one, other), np.zeros(2, np.int64)
    groups = TagGroups(names, names, np.array([5, 9]), at_cosine(0.95), {})
    described = Described(
        groups, ["genre", "genre"], groups.points, at_cosine(cosine), 0.0, none, none, lambda *_: (3, 5)
    )
    found = described.likeness(slice(2), np.array([1]), 0.0)
    assert found[:, 0] == pytest.approx([expected, 1])


def test_words_that_say_nothing_name_no_label():
    tracks = {f"t{n}": ["rock", "artists"] for n in range(60)}
    table = table_of(tracks)
    space = hybrid(table, None, facets=facets(table, given={"artists": "opinion"}))
    assert [label.name for label in space.labels] == ["rock"]
