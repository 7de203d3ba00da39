"""Tag vectors against a plain-loop reference written from their definition, and worked examples."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folksong.embeddings.tags import embed_tags
from folksong.embeddings.words import StoredVectors
from folksong.tags.table import TagTable

WORDS = {
    "rock": [3.0, 4.0, 0.0],
    "hip": [0.0, 2.0, 0.0],
    "hop": [0.0, 0.0, 5.0],
    "post-punk": [1.0, 1.0, 1.0],
    "post": [1.0, 0.0, 0.0],
    "1960s": [1.0, 2.0, 3.0],
    "2000s": [3.0, 2.0, 1.0],
    "eighties": [0.0, 1.0, 1.0],
    "20s": [7.0, 0.0, 1.0],
    "teens": [1.0, -1.0, 0.0],
    "zero": [0.0, 0.0, 0.0],
}
VECTORS = StoredVectors(list(WORDS), np.array(list(WORDS.values()), np.float32), "tiny")
DECADES = {
    "60s": "1960s",
    "1960s": "1960s",
    "60's": "1960s",
    "sixties": "1960s",
    "00s": "2000s",
    "80s": "eighties",
}


def reference(tag, split=True):
    total = np.zeros(3)
    text = tag.lower()
    for mark in ".!?,":
        text = text.replace(mark, "")
    for word in text.split():
        word = DECADES.get(word, word)
        pieces = [word]
        if word not in WORDS and split:
            pieces = re.split("[-/_]", word)
        for piece in pieces:
            vector = np.array(WORDS.get(piece, [0.0, 0.0, 0.0]))
            if np.linalg.norm(vector) > 0:
                total = total + vector / np.linalg.norm(vector)
    length = np.linalg.norm(total)
    return total / length if length > 1e-6 else None


def test_worked_example():
    # rock -> (0.6, 0.8, 0), hip -> (0, 1, 0): the sum is (0.6, 1.8, 0), of length 1.8974
    found = embed_tags(["Hip, Rock!"], VECTORS)
    np.testing.assert_allclose(found.vectors, [[0.31623, 0.94868, 0]], atol=1e-5)
    assert found.vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("tag", "same_as"),
    [
        ("60s", "1960s"), ("60's", "1960s"), ("60’s", "1960s"), ("'60s", "1960s"), ("1960's", "1960s"),
        ("sixties", "1960s"), ("00s", "2000s"), ("noughties", "2000s"), ("80s", "eighties"), ("1980s", "eighties"),
        ("post-punk", "post-punk"), ("hip-hop", "hip hop"), ("hip/hop", "hop hip"), ("hip_hop", "hip hop"),
        ("H.I.P.", "hip"),
    ],
)  # fmt: skip
def test_forms_that_share_a_vector(tag, same_as):
    found = embed_tags([tag, same_as], VECTORS)
    np.testing.assert_array_equal(found.vectors[0], found.vectors[1])


def test_decades_that_stay_as_they_are():
    found = embed_tags(["20s", "10s", "teens"], VECTORS)
    assert found.missing == ("10s",)  # neither 2010s nor a word for it: never "teens"
    np.testing.assert_allclose(found.vectors[0], np.array([7, 0, 1]) / 50**0.5, atol=1e-6)


def test_what_has_no_vector_is_listed_in_order():
    found = embed_tags(["zzz", "rock zzz", "", "zero", "hip-zzz", "..."], VECTORS)
    assert found.tags == ("rock zzz", "hip-zzz")
    assert found.missing == ("zzz", "", "zero", "...")
    assert dict(found.unknown_words) == {"rock zzz": ("zzz",), "hip-zzz": ("zzz",)}


def test_the_original_recipe_does_not_split_hyphens():
    found = embed_tags(["hip-hop", "post-punk"], VECTORS, split_hyphens=False)
    assert found.tags == ("post-punk",)
    assert found.missing == ("hip-hop",)
    assert embed_tags(["60s"], VECTORS, decades=False).missing == ("60s",)


@given(
    st.lists(
        st.lists(st.sampled_from([*WORDS, *DECADES, "xx", "hip-hop", "rock/xx", "!"]), max_size=4), max_size=6
    )
)
def test_equals_the_reference(word_lists):
    tags = list(dict.fromkeys(" ".join(words) for words in word_lists))
    found = embed_tags(tags, VECTORS)
    expected = {tag: vector for tag in tags if (vector := reference(tag)) is not None}
    assert found.tags == tuple(expected)
    if expected:
        np.testing.assert_allclose(found.vectors, list(expected.values()), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)


def test_coverage_counts_what_is_lost():
    table = TagTable.from_pairs(["a", "b", "a", "c", "b"], ["rock", "rock", "zzz", "zzz", "hip zzz"])
    report = embed_tags(table.tags, VECTORS).coverage(table)
    assert report.missing == (("zzz", 2),)
    assert report.partly == (("hip zzz", ("zzz",)),)
    assert report.counts == pytest.approx(0.6)
    assert report.tags == pytest.approx(2 / 3)


def test_no_overlap_at_all():
    found = embed_tags(["xx", "yy"], VECTORS)
    assert found.vectors.shape == (0, 3)
    assert found.missing == ("xx", "yy")


def test_case_is_kept_where_a_vocabulary_knows_names():
    vectors = StoredVectors(["Queen", "queen", "rock"], np.eye(3, dtype=np.float32), "cased")
    found = embed_tags(["Queen", "queen!", "Rock", "Queen Rock"], vectors, keep_case=True)
    assert found.tags == ("Queen", "queen!", "Queen Rock")  # of Queen Rock, Rock is unknown and adds nothing
    np.testing.assert_array_equal(found.vectors, [[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    assert found.missing == ("Rock",)
    assert embed_tags(["Queen"], vectors).vectors.tolist() == [[0, 1, 0]]
