"""Stems: what makes no difference in a tag's wording, and what does."""

import pytest

from folksong.labels.wording import stems_of


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("relax", "relaxing", True), ("favourite songs", "fave song", True), ("pop punk", "punk-pop", True),
        ("sad", "sadness", True), ("death metal", "metal", False), ("sad", "happy", False), ("60s", "1960s", True),
        ("polish music", "polish", True), ("prog rock", "progressive rock", True), ("music", "songs", False),
        ("makes me wanna dance", "makes me want to dance", True), ("xmas songs", "Christmas music", True),
        ("the beat", "beat", True), ("love songs", "love", True), ("music", "polish", False),
    ],
)  # fmt: skip
def test_stems(one, other, equal):
    assert (stems_of(one) == stems_of(other)) == equal


def test_a_tag_of_generic_words_alone_keeps_them():
    assert stems_of("the music") == ("music", "the")
    assert stems_of("!!!") == ()
