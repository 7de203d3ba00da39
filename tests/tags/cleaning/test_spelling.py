from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

import folksong as fs
from folksong.tags.cleaning.spelling import (
    RARER,
    STAGES,
    allowed_distance,
    canonical_form,
    difference,
    find_mistypings,
    strip_accents,
    unify_blanks,
    variants,
    words_of,
)
from folksong.tags.table import rename_tags

text = st.text(max_size=20) | st.text("aAéß&'n -s0619ies", max_size=12)


def table_of(counts: dict[str, int]) -> fs.TagTable:
    pairs = [(f"t{number}", tag) for tag, count in counts.items() for number in range(count)]
    return fs.TagTable.from_pairs(*zip(*pairs, strict=True))


@pytest.mark.parametrize(
    ("spellings", "form"),
    [
        (("hip hop", "Hip-Hop", "hiphop", "hip_hop", " HIP  HOP ", "ｈｉｐ ｈｏｐ"), "hiphop"),
        (
            (
                "rock & roll",
                "rock and roll",
                "rock 'n' roll",
                "Rock n Roll",
                "rock'n'roll",
                "rock &amp; roll",
            ),
            "rocknroll",
        ),
        (("r&b", "R and B", "rnb", "r'n'b", "r n b"), "rnb"),
        (("60s", "1960s", "60's", "1960's", "Sixties"), "1960s"),
        (("80s pop", "1980s pop", "80’s Pop", "eighties pop"), "1980spop"),
        (("female vocalists", "Female Vocalist", "female-vocalists"), "femalevocalist"),
        (("beyoncé", "Beyonce", "BEYONCE\u0301"), "beyonce"),
        (("motörhead", "Motorhead"), "motorhead"),
        (("singer-songwriter", "singer/songwriter", "singer songwriters"), "singersongwriter"),
        (("2000s", "00s"), "2000s"),
        (("2010s", "10s"), "2010s"),
    ],
)
def test_spellings_of_one_tag_agree(spellings: tuple[str, ...], form: str) -> None:
    assert {canonical_form(tag) for tag in spellings} == {form}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("blues", "blue"), ("brass", "bras"), ("bass", "bas"), ("60s", "60"), ("60s", "70s"), ("20s", "1920s"),
        ("4/4", "44"), ("<3", "3"), ("!!!", "???"), ("♥", "♡"), ("rock", "punk"), ("ガガ", "カカ"), ("brand", "brn"),
    ],
)  # fmt: skip
def test_what_is_not_the_same_stays_apart(one: str, other: str) -> None:
    assert canonical_form(one) != canonical_form(other)
    assert difference(one, other) == ""


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("rock ", "rock", "blanks"),
        ("Rock", "rock", "case"),
        ("café", "cafe", "accents"),
        ("r & b", "r and b", "& and n"),
        ("80's", "80s", "decade"),
        ("hip hop", "hip-hop", "hyphens, blanks and signs"),
        ("singer", "singers", "trailing s"),
    ],
)
def test_the_reason_is_the_first_stage_that_agrees(one: str, other: str, reason: str) -> None:
    assert difference(one, other) == difference(other, one) == reason


@settings(max_examples=200, deadline=None)
@given(text)
def test_forms_are_stable(tag: str) -> None:
    assert unify_blanks(unify_blanks(tag)) == unify_blanks(tag)
    assert strip_accents(strip_accents(tag)) == strip_accents(tag)
    form = canonical_form(tag)
    assert canonical_form(unify_blanks(tag)) == form
    # a form never loses the letters that tell tags apart: only a tag of blanks has none
    assert bool(form) == bool(unify_blanks(tag))


def test_all_variants_become_the_most_popular_one() -> None:
    merges = variants(table_of({"hip hop": 3, "hip-hop": 9, "Hip-Hop": 3, "rock": 5}))
    assert [(merge.source, merge.target, merge.source_count, merge.target_count) for merge in merges] == [
        ("Hip-Hop", "hip-hop", 3, 9),
        ("hip hop", "hip-hop", 3, 9),
    ]
    assert not variants(table_of({"hip hop": 3, "hip-hop": 9}), min_count=4)


def test_preferred_tags_stay_and_are_the_target() -> None:
    table = table_of({"hip hop": 3, "hip-hop": 9, "hiphop": 1})
    merges = variants(table, preferred=["hiphop"])
    assert {(merge.source, merge.target) for merge in merges} == {
        ("hip hop", "hiphop"),
        ("hip-hop", "hiphop"),
    }
    both = variants(table, preferred=["hiphop", "hip hop"])
    assert {(merge.source, merge.target) for merge in both} == {("hip-hop", "hip hop")}


@pytest.mark.parametrize(
    ("wrong", "right", "merged"),
    [
        ("electornic", "electronic", True),  # two neighbours swapped
        ("eletronic", "electronic", True),
        ("psychadelic", "psychedelic", True),
        ("electronica", "electronic", False),  # a word of its own that begins like the other
        ("1980s pop songs", "1990s pop songs", False),
        ("folk rocks", "punk rocks", False),
        ("new rave", "new wave", False),
        ("trance", "france", False),
        ("progressive folk", "progressive rock", False),
        ("female vocalits", "female vocalists", True),
    ],
)
def test_mistyped_words_join_the_right_one(wrong: str, right: str, merged: bool) -> None:
    merges = variants(table_of({wrong: 1, right: 30}))
    assert [(merge.source, merge.target) for merge in merges] == ([(wrong, right)] if merged else [])
    assert not variants(table_of({wrong: 1, right: 30}), mistyped=False)
    assert not variants(table_of({wrong: 4, right: 30}))  # not rare enough to be a mistake


def test_words_that_live_elsewhere_are_no_mistypings() -> None:
    counts = {"trash metal": 2, "thrash metal": 40}
    assert [merge.source for merge in variants(table_of(counts))] == ["trash metal"]
    assert not variants(table_of({**counts, "trash": 30}))


def test_a_mistyping_never_leads_to_another() -> None:
    counts = {"electronicx": 2000, "electronixx": 100, "elektronixx": 5}
    words = {form: (form,) for form in counts}
    found = find_mistypings(counts, words)
    assert found == {"electronixx": ("electronicx", 1)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab", min_size=5, max_size=14).map("x".__add__), min_size=2, max_size=40, unique=True),
    st.randoms(use_true_random=False),
)
def test_all_near_forms_are_found(forms: list[str], random: Random) -> None:
    counts = {form: random.choice([1, 3, 10, 40, 100, 5000]) for form in forms}
    found = find_mistypings(counts, {form: (form,) for form in forms})
    popular = sorted(forms, key=lambda form: (-counts[form], form))
    expected: dict[str, tuple[str, int]] = {}
    for form in popular:  # every pair, one by one
        near = [
            (distance, popular.index(right), right)
            for right in forms
            if counts[right] >= RARER * counts[form]
            and right not in expected
            and right != form
            and not right.startswith(form)
            and not form.startswith(right)
            and (distance := OSA.distance(form, right)) <= allowed_distance(min(len(form), len(right)))
        ]
        if near:
            distance, _, right = min(near)
            expected[form] = (right, distance)
    assert found == expected


def test_short_words_are_never_mistyped() -> None:
    assert [allowed_distance(length) for length in (6, 7, 12, 13, 30)] == [0, 1, 1, 2, 2]


def test_every_stage_has_a_name_and_the_last_is_the_form() -> None:
    tag = "The Best of the 80's & More"
    for _, stage in STAGES[:5]:
        tag = stage(tag)
    assert STAGES[-1][1](tag) == canonical_form("The Best of the 80's & More")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("vwxyz"), st.integers(0, 100)), max_size=30),
    st.dictionaries(st.sampled_from("vwxyz"), st.sampled_from("vwxyzQ") | st.none(), max_size=5),
    st.sampled_from(["maximum", "sum"]),
)
def test_merging_keeps_every_pair_of_track_and_concept(rows: list, names: dict, weights: str) -> None:
    table = fs.TagTable.from_pairs(*(zip(*rows, strict=True) if rows else ([], [], [])))
    merged = rename_tags(table, names, weights=weights)
    before = {(track, tag): weight for track in table.track_ids for tag, weight in table.tags_of(track)}
    expected: dict = {}
    for (track, tag), weight in before.items():
        new = names.get(tag, tag)
        if new is not None:
            so_far = expected.get((track, new))
            expected[track, new] = (
                weight if so_far is None else so_far + weight if weights == "sum" else max(so_far, weight)
            )
    assert {
        (track, tag): weight for track in merged.track_ids for tag, weight in merged.tags_of(track)
    } == expected
    assert merged.track_ids.tolist() == table.track_ids.tolist()


def test_merged_weights_are_the_maximum_or_the_sum() -> None:
    table = fs.TagTable.from_pairs(["a", "a"], ["x", "y"], [3, 4])
    assert rename_tags(table, {"y": "x"}).tags_of("a") == [("x", 4.0)]
    assert rename_tags(table, {"y": "x"}, weights="sum").tags_of("a") == [("x", 7.0)]
    with pytest.raises(fs.FolksongError, match="'maximum' or 'sum', not 'mean'"):
        rename_tags(table, {}, weights="mean")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("c minor", "c# minor", False),
        ("f", "f#", False),
        ("c", "c++", False),
        ("b minor", "b♭ minor", False),
        ("c# minor", "C♯-minor", True),
        ("#rock", "rock", True),
        ("a+ b", "a b", False),
        ("lo-fi +", "lo-fi", True),
    ],
)
def test_issue23_3_signs_after_a_letter_carry_meaning(one: str, other: str, same: bool) -> None:
    assert (canonical_form(one) == canonical_form(other)) == same
    assert (words_of(one) == words_of(other)) == same


def test_issue23_3_keys_are_no_mistypings_of_each_other() -> None:
    tags = ["c minor scale", "c# minor scale", "f# minor scale"]
    table = fs.TagTable.from_pairs(
        [f"{tag}{n}" for tag, count in zip(tags, (500, 5, 5), strict=True) for n in range(count)],
        [tag for tag, count in zip(tags, (500, 5, 5), strict=True) for _ in range(count)],
    )
    assert variants(table) == ()
