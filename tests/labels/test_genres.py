"""genres.txt read, proposed, edited and applied; correlations against plain loops."""

import logging

import numpy as np
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.labels import (
    GenreChoice,
    keep_genres,
    kmeans,
    propose_genres,
    propose_tags,
    read_genres,
    write_genres,
)
from folksong.labels.genres import genre_words, label_correlations, names_genre
from folksong.labels.space import Label, LabelSpace
from folksong.tags.table import TagTable

SPACE = LabelSpace(
    (
        Label("rock", ("rock", "indie rock")), Label("seen live", ("seen live",)), Label("metal", ("metal",)),
        Label("punk", ("punk", "punk rock")),
    ),
    {"Rock": "rock", "live": "seen live"},
)  # fmt: skip
TABLE = TagTable.from_pairs(
    ["a", "a", "b", "b", "c", "c", "d", "e", "e", "f"],
    ["metal", "punk", "metal", "punk", "rock", "seen live", "seen live", "metal", "indie rock", "punk rock"],
)


def test_two_lines_of_json(tmp_path):
    path = tmp_path / "genres.txt"
    path.write_text("[3, 0, 2]\n[[0, 2], [2, 3]]\n")
    assert read_genres(path) == GenreChoice((3, 0, 2), ((0, 2), (2, 3)))
    path.write_text("# a comment\n\n[1]\n")
    assert read_genres(path) == GenreChoice((1,))


@pytest.mark.parametrize(
    "content",
    [
        b"[1, 2]\r\n[[1, 2]]\r\n",
        b"\xef\xbb\xbf\n [1, 2] \n\n[[1, 2]]\n\n",
        b"[1,\n2]  # genres\n[[1,\n 2]] # pairs",
        "[1, 2]\n[[1, 2]]".encode("utf-16"),
    ],
)
def test_blanks_line_ends_and_encodings_of_genres(tmp_path, content):
    (tmp_path / "genres.txt").write_bytes(content)
    assert read_genres(tmp_path) == GenreChoice((1, 2), ((1, 2),))


def test_what_follows_the_two_lists_is_not_read_and_said(tmp_path, caplog):
    (tmp_path / "genres.txt").write_text("[1]\nnull\n[3]\nmore\n")
    assert read_genres(tmp_path) == GenreChoice((1,))
    assert "what follows its two lists is not read: [3]" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs two lines of JSON"),
        ("[1, 2", "not a line of JSON"),
        ('["rock"]\n[]', "first line must be a list of cluster numbers"),
        ("[true]\n[]", "first line must be a list"),
        ("[1]\n[[1, 2, 3]]", "second line must be a list of pairs"),
        ("[1]\n[1]", "second line must be a list of pairs"),
    ],
)
def test_damaged_files(tmp_path, text, message):
    path = tmp_path / "genres.txt"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_genres(path)
    with pytest.raises(FolksongError, match="no such file"):
        read_genres(tmp_path / "absent.txt")


def test_genre_words():
    for tag in (
        "Rock",
        "post-punk revival",
        "trip hop",
        "triphop",
        "hip-hop",
        "melodic death metal",
        "drum n bass",
    ):
        assert names_genre(tag, genre_words()) == (tag != "drum n bass"), tag
    for tag in ("seen live", "favorites", "60s", "sad"):
        assert not names_genre(tag, genre_words())


def test_correlations_equal_the_loops():
    found = label_correlations(SPACE, TABLE)
    present = np.array([[any(tag in label.tags for tag, _ in TABLE.tags_of(track)) for label in SPACE.labels]
                        for track in TABLE.track_ids], float)  # fmt: skip
    np.testing.assert_allclose(found, np.corrcoef(present.T), atol=1e-12)


def test_proposal_is_written_for_a_person_and_read_back(tmp_path):
    proposal = propose_genres(SPACE, TABLE, correlation=0.2)
    assert proposal.choice == GenreChoice((0, 2, 3), ((2, 3),))  # metal and punk share 2 of 4 tracks: 0.333
    write_genres(tmp_path / "genres.txt", proposal.choice, SPACE, proposal)
    text = (tmp_path / "genres.txt").read_text()
    assert text.splitlines()[:2] == ["[0, 2, 3]", "[[2, 3]]"]
    assert "# [2, 3] correlation 0.333: metal + punk" in text
    assert "# 1 - seen live (0% genre words): seen live" in text
    assert read_genres(tmp_path / "genres.txt") == proposal.choice
    assert propose_genres(SPACE, TABLE, words=["live"]).choice.genres == (1,)


def test_merging_in_chains():
    merged = keep_genres(SPACE, GenreChoice((0, 2, 3), ((3, 2), (0, 3))), TABLE)
    assert merged.labels == (Label("metal", ("metal", "punk", "indie rock", "punk rock", "rock")),)
    assert merged.aliases == {"Rock": "rock"}
    apart = keep_genres(SPACE, GenreChoice((0, 3)), TABLE)
    assert apart.names == ("punk", "rock")  # by counts: punk 2, indie rock 1
    assert apart.provenance["genres"] == [0, 3]


def test_tags_of_several_labels_stay_in_those_that_are_kept():
    space = LabelSpace(
        (
            Label("metal", ("metal",), ("seen live", "rock")),
            Label("rock", ("rock", "punk"), ("metal",)),
            Label("seen live", ("seen live",)),
        ),
        {"live": "seen live"},
    )
    assert keep_genres(space, GenreChoice((0,)), TABLE).labels == space.labels[:1]
    merged = keep_genres(space, GenreChoice((0, 1), ((0, 1),)), TABLE)
    assert [(set(label.tags), label.also) for label in merged.labels] == [
        ({"metal", "rock", "punk"}, ("seen live",))
    ]
    assert merged.aliases == {"live": "seen live"}


def test_choices_that_do_not_fit():
    with pytest.raises(FolksongError, match="there is no cluster 4; the space has 4, numbered from 0"):
        keep_genres(SPACE, GenreChoice((4,)), TABLE)
    with pytest.raises(FolksongError, match="no cluster is chosen"):
        keep_genres(SPACE, GenreChoice(()), TABLE)


def test_a_pair_with_a_cluster_that_is_no_genre_does_nothing(caplog):
    alone = keep_genres(SPACE, GenreChoice((0, 2)), TABLE)
    with caplog.at_level(logging.INFO):
        found = keep_genres(SPACE, GenreChoice((0, 2), ((0, 1), (1, 2), (2, 9))), TABLE)
    assert found.labels == alone.labels
    assert "3 pairs to merge are of clusters that are no genres; they do nothing" in caplog.text


def test_on_clusters(table, vectors):
    space = kmeans(table, vectors, threshold=5, n_clusters=3)
    proposal = propose_genres(space, table)
    assert {space.labels[number].name for number in proposal.choice.genres} == {"metal", "electronic"}


def test_popular_tags_of_a_kind_are_proposed():
    sizes = {
        "rock": 40,
        "Death-Metal": 30,
        "seen live": 25,
        "female vocalists": 20,
        "folk": 3,
        "male singers": 2,
    }
    pairs = [(f"t{track}", tag) for tag, size in sizes.items() for track in range(size)]
    table = TagTable.from_pairs(*zip(*pairs, strict=True))
    assert propose_tags(table, percentile=0) == (("rock", 40), ("Death-Metal", 30), ("folk", 3))
    assert propose_tags(table, percentile=60) == (("rock", 40), ("Death-Metal", 30))  # 25 tracks or more
    assert propose_tags(table, "voice", percentile=0) == (("female vocalists", 20), ("male singers", 2))
    for settings in ({"kind": "mood"}, {"percentile": 101}):
        with pytest.raises(
            FolksongError, match="a kind is one of genre, voice and a percentile from 0 to 100"
        ):
            propose_tags(table, **settings)
