"""Stems: what makes no difference in a tag's wording, and what does; which tags contrast."""

import numpy as np
import pytest

from folksong.labels.wording import contrasts_of, meaning_of, stems_of


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


@pytest.mark.parametrize(
    ("one", "other", "contrast"),
    [
        ("80s", "90s", True),
        ("80s", "eighties", False),
        ("the 80’s", "1987", False),
        ("1987", "1991", True),
        ("1999", "00s", True),
        ("best of 80s and 90s", "90s", False),
        ("80s-rock", "mid-90s", True),
        ("(80s)", "1990´s", True),
        ("80s/90s", "90s!", False),
        ("1977-1979", "1981", True),
        ("best of the 1900s", "00s", True),
        ("20s", "80s", False),  # the age of a person, or a decade
        ("2pac", "90s", False),
        ("12345", "1987", False),
        ("female vocalists", "Male Vocals", True),
        ("women", "men", True),
        ("female vocalists", "boys and girls", False),
        ("female vocalists", "ladies", False),
        ("female vocalists", "malevolent", False),
        ("sad", "happy music", True),
        ("sadness", "melancholic", False),
        ("relaxing", "angry", True),
        ("sad", "angry", False),  # of two kinds
        ("slow", "fast", True),
        ("rock", "metal", False),
    ],
)
def test_pairs(one, other, contrast):
    assert contrasts_of([one, other]).between([0], [1]).item() is contrast
    assert contrasts_of([other, one]).between([0], [1]).item() is contrast


def test_a_matrix_is_symmetric_and_no_tag_contrasts_with_itself():
    tags = ["60s", "70s", "girl", "boy", "sad", "happy 60s", "rock", "male and female"]
    found = contrasts_of(tags).between(slice(None), slice(None))
    np.testing.assert_array_equal(found, found.T)
    assert not found.diagonal().any()
    assert found.sum() == 2 * 4  # 60s-70s, 70s-"happy 60s", girl-boy, sad-"happy 60s"
    assert contrasts_of([]).between(slice(None), slice(None)).shape == (0, 0)


def test_who_is_told_by_sex_alone_is_no_voice():
    said = [meaning_of(tag, "voice") for tag in ("female vocals", "women", "fav male singers", "disney girl")]
    assert said == ["female", "female", "male", ""]
