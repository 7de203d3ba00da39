import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import folksong as fs
from folksong.audio.msd import read_duplicates, read_mismatches
from folksong.errors import FileFormatError, FolksongError
from folksong.tags.cleaning.change_log import ChangeLog, changes_path, explain
from folksong.tags.cleaning.clean import clean
from folksong.tags.cleaning.merges import propose_merges, read_merges, shipped_merges, write_merges
from folksong.tags.cleaning.recipe import Recipe, default_recipe, default_recipe_text, read_recipe
from folksong.tags.cleaning.spelling import Merge
from folksong.tags.cleaning.steps import (
    DropTags,
    FoldCase,
    ImpliedTags,
    KeepTags,
    MergeTags,
    MergeVariants,
    MinimumCount,
    Normalise,
)

names = st.sampled_from(
    ["hip hop", "Hip-Hop", "hiphop", "r&b", "RnB", "rhythm and blues", "60s", "1960's", "electronic", "eletronic",
     "rock", "Rock ", "female vocalist", "Female Singer", "seen live", "  ", "a\nb", "é", "E\u0301", "ǅ", "ŉ", "¨"]
) | st.text("aAbs &-\u0301é", min_size=1, max_size=5)  # fmt: skip
rows_of = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), names, st.sampled_from([0.0, 1.0, 50.0])), max_size=50
)
steps_of = st.lists(
    st.sampled_from(
        [
            Normalise(), FoldCase(), MergeVariants(), MergeVariants(min_count=2, mistyped=False), MinimumCount(2),
            MergeTags({"rhythm and blues": "rnb", "r&b": "rnb", "female singer": "female vocalists"}),
            MergeTags({"hiphop": "rap"}, frozenset({"eletronic"})),
            DropTags(frozenset({"seen live", "Rock"})), DropTags(frozenset({"seen live"}), ignore_case=True),
        ]
    ),
    max_size=5,
    unique_by=lambda step: (step.name, repr(step)),
)  # fmt: skip


def table_of(rows: list) -> fs.TagTable:
    return fs.TagTable.from_pairs(*(zip(*rows, strict=True) if rows else ([], [], [])))


@settings(max_examples=150, deadline=None)
@given(rows_of, steps_of, st.sampled_from(["maximum", "sum"]))
def test_cleaning_keeps_pairs_and_twice_equals_once(rows: list, steps: list, weights: str) -> None:
    table = table_of(rows)
    recipe = Recipe(tuple(steps), weights)
    cleaned = clean(table, recipe)
    for track in table.track_ids:
        kept = {tag for tag, _ in cleaned.table.tags_of(track)}
        became = {cleaned.log.final(tag) for tag, _ in table.tags_of(track)} - {None}
        assert kept == became  # no pair of track and concept is lost, none is made up
    again = clean(cleaned.table, recipe)
    assert again.table.sha256() == cleaned.table.sha256()
    assert again.log.steps == ()


@settings(max_examples=50, deadline=None)
@given(rows_of, steps_of, st.randoms())
def test_the_order_of_rows_and_steps_never_matters(rows: list, steps: list, random: object) -> None:
    shuffled, reordered = list(rows), list(steps)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    # steps of different phases may stand in any order; within a phase the recipe's order is kept
    random.shuffle(reordered)  # type: ignore[attr-defined]
    by_phase = {phase: iter([s for s in steps if s.phase == phase]) for phase in {s.phase for s in steps}}
    reordered = [next(by_phase[step.phase]) for step in reordered]
    one, other = (
        clean(table_of(rows), Recipe(tuple(steps))),
        clean(table_of(shuffled), Recipe(tuple(reordered))),
    )
    assert one.table.sha256() == other.table.sha256()
    assert one.log == other.log


def test_aliases_come_before_canonical_forms_before_lists() -> None:
    table = table_of([("a", "rhythm and blues", 9), ("b", "R&B", 5), ("c", "r and b", 5), ("d", "rock", 1)])
    steps = (
        KeepTags(frozenset({"rnb"})),
        MergeVariants(),
        MergeTags({"rhythm and blues": "rnb"}),
        Normalise(),
    )
    recipe = Recipe(steps)
    assert [step.name for step in recipe.steps] == ["normalise", "merge", "merge-variants", "keep"]
    assert clean(table, recipe).table.tags.tolist() == ["rnb"]


def test_listed_merges_match_other_spellings_when_variants_are_merged() -> None:
    table = table_of([("a", "Female-Singer", 9), ("b", "female singers", 5)])
    merge = MergeTags({"female singer": "female vocalists"})
    assert clean(table, Recipe((merge,))).table.n_tags == 2
    assert clean(table, Recipe((merge, MergeVariants()))).table.tags.tolist() == ["female vocalists"]


def test_a_rejected_merge_is_not_made_by_a_later_step() -> None:
    table = table_of([(f"t{n}", "halloween", 1) for n in range(30)] + [("t0", "helloween", 1)])
    proposed = clean(table, Recipe((MergeVariants(),)))  # nothing but the letters speaks for it
    assert proposed.table.tags.tolist() == ["halloween", "helloween"]
    assert [(merge.source, merge.target) for merge in proposed.left] == [("helloween", "halloween")]
    assert clean(table, Recipe((MergeVariants(),)), accept_proposals=True).table.tags.tolist() == [
        "halloween"
    ]
    recipe = Recipe((MergeTags({}, frozenset({"helloween"})), MergeVariants()))
    kept = clean(table, recipe, accept_proposals=True)
    assert kept.table.tags.tolist() == ["halloween", "helloween"]


def test_listed_merges_are_read_in_the_text_form_of_the_table() -> None:
    table = table_of([("a", "R&B  music", 1), ("b", "RnB", 1)])
    steps = (Normalise(), FoldCase(), MergeTags({"R&B  Music": "RnB", "rnb": "RNB"}))
    assert clean(table, Recipe(steps)).table.tags.tolist() == ["rnb"]


def test_chains_of_merges_are_followed_to_their_end() -> None:
    table = table_of([("a", "x", 1), ("b", "y", 1)])
    assert clean(table, Recipe((MergeTags({"x": "y"}), MergeTags({"y": "z"})))).table.tags.tolist() == ["z"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((MergeTags({"a": "b", "b": "c", "c": "b"}),), "circle: 'b' -> 'c' -> 'b'"),
        ((MergeTags({"a": "b"}), MergeTags({"a": "c"})), "'a' is merged into 'b' and into 'c'"),
        (
            (MergeTags({"a": "b"}), DropTags(frozenset({"b"}))),
            "the step 'drop' would undo the step 'merge': 'b'",
        ),
        (
            (MergeTags({"a": "b"}), KeepTags(frozenset({"a"}))),
            "the step 'keep' lists 'a', which the step 'merge' turns into 'b'",
        ),
        (
            (KeepTags(frozenset({"a"})), DropTags(frozenset({"a"}))),
            "'a' is listed to be kept and to be dropped",
        ),
    ],
)
def test_a_step_that_would_undo_another_is_an_error(steps: tuple, message: str) -> None:
    with pytest.raises(FolksongError, match=message):
        Recipe(steps)


def test_the_log_says_what_became_of_each_tag(tmp_path: Path) -> None:
    table = table_of([("a", "R&B ", 57), ("a", "rhythm and blues", 9), ("a", "once", 1), ("b", "rnb", 1)])
    cleaned = clean(
        table, Recipe((Normalise(), MergeTags({"rhythm and blues": "rnb"}), MergeVariants(), MinimumCount(2)))
    )
    assert cleaned.table.tags_of("a") == [("rnb", 57.0)]
    assert [(change.step, change.after) for change in cleaned.log.changes_of("R&B ")] == [
        ("normalise", "R&B"),
        ("merge-variants", "rnb"),
    ]
    assert cleaned.log.final("once") is None
    assert cleaned.log.aliases(["rnb"]) == {"R&B ": "rnb", "R&B": "rnb", "rhythm and blues": "rnb"}
    path = tmp_path / "clean.db"
    cleaned.write(path)
    assert ChangeLog.read(changes_path(path)) == cleaned.log
    assert fs.read_tags(path).sha256() == cleaned.table.sha256()
    origins = explain(table, cleaned.log, "a", "rnb")
    assert [(origin.tag, origin.weight) for origin in origins] == [("R&B ", 57.0), ("rhythm and blues", 9.0)]
    assert [origin.became for origin in explain(table, cleaned.log, "a")] == ["rnb", "rnb", None]
    with pytest.raises(FolksongError, match="does not carry 'jazz'; its cleaned tags: 'rnb'"):
        explain(table, cleaned.log, "a", "jazz")
    with pytest.raises(FolksongError, match="no track 'z'"):
        explain(table, cleaned.log, "z")


def test_raw_tags_find_their_label_through_the_log() -> None:
    table = table_of([("a", "R&B", 1), ("b", "rnb", 1), ("c", "rnb", 1)])
    cleaned = clean(table, Recipe((MergeVariants(),)))
    space = fs.labels.top(cleaned.table, 1)
    space = fs.LabelSpace(space.labels, cleaned.log.aliases(space.names))
    assert space.encode_tags(["R&B"]).tolist() == [1.0]
    assert space.encode(table).sum() == 3


def test_duplicates_and_mismatches_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "msd_duplicates.txt").write_text(
        "# comment\n%1 X<SEP>Y\nT1\nT2\nT3\n%0 Z\nT9 some title\nT4<SEP>artist\n", encoding="utf-8"
    )
    (tmp_path / "sid_mismatches.txt").write_text(
        "ERROR: <SOUM T5> A  -  b  !=  C  -  d\n# nothing\n", encoding="utf-8"
    )
    assert read_duplicates(tmp_path / "msd_duplicates.txt") == (("T1", "T2", "T3"), ("T9", "T4"))
    assert read_mismatches(tmp_path / "sid_mismatches.txt") == ("T5",)
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[[step]]\ndo = "drop-tracks"\nduplicates = "msd_duplicates.txt"\nmismatches = "sid_mismatches.txt"\n'
    )
    table = fs.TagTable.from_pairs(["T2", "T3", "T4", "T5", "T6"], ["x"] * 5)
    cleaned = clean(table, read_recipe(recipe))
    assert cleaned.table.track_ids.tolist() == ["T2", "T4", "T6"]
    assert cleaned.log.dropped_track("T3") == ("drop-tracks", "a duplicate of T2")
    assert cleaned.log.dropped_track("T5") == ("drop-tracks", "listed as a mismatch")
    (tmp_path / "bad.txt").write_text("T1\n%\n")
    with pytest.raises(FileFormatError, match=r"bad\.txt: line 1, 'T1', comes before the first group"):
        read_duplicates(tmp_path / "bad.txt")
    with pytest.raises(FileFormatError, match="no mismatches"):
        read_mismatches(tmp_path / "bad.txt")


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, names, max_size=6))
def test_a_file_of_merges_is_read_back_equal(pairs: dict) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.tsv")
        write_merges([Merge(source, target, "why", 1, 2) for source, target in pairs.items()], path)
        found = read_merges(path)
    assert found.accepted == {source: target for source, target in pairs.items() if source != target}


def test_a_reviewed_file_says_what_was_rejected(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_text("# c\n-helloween\thalloween\t3\t93\twhy\n\\-ish\tminus\nr&b\trnb\n\n", encoding="utf-8")
    found = read_merges(path)
    assert (found.accepted, found.rejected) == ({"-ish": "minus", "r&b": "rnb"}, frozenset({"helloween"}))
    path.write_text("only one column\n")
    with pytest.raises(FileFormatError, match=r"p\.tsv: line 1, 'only one column': a merge has a tag, a tab"):
        read_merges(path)
    path.write_text("a\tb\na\tc\n")
    with pytest.raises(FileFormatError, match="line 2: 'a' becomes 'c' here and 'b' further up"):
        read_merges(path)
    path.write_text("a\tb\n-a\tc\n")
    with pytest.raises(FileFormatError, match="both accepted and rejected"):
        read_merges(path)


def test_equivalent_tags_are_proposed_when_asked_for() -> None:
    rows = [(f"t{n}", tag, 1) for n in range(12) for tag in ("dnb", "jungle")] + [("x", "jungle", 1)]
    table = table_of(rows)
    assert propose_merges(table) == ()
    found = propose_merges(table, equivalent=0.9, min_count=10)
    assert [(merge.source, merge.target, merge.reason) for merge in found] == [
        ("dnb", "jungle", "on the same tracks (100% and 92%)")
    ]


def test_the_shipped_recipe_and_lists_are_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = default_recipe()
    assert [step.name for step in recipe.steps] == ["normalise", "merge", "merge-variants", "minimum-count"]
    assert shipped_merges("vocals").accepted["female singer"] == "female vocalists"
    (tmp_path / "r.toml").write_text(default_recipe_text())
    assert read_recipe(tmp_path / "r.toml") == recipe
    with caplog.at_level(logging.INFO, logger="folksong"):
        clean(table_of([("a", "Rock ", 1), ("b", "Rock", 1)]), recipe)
    assert "normalise: 1 tag renamed or merged" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no steps"),
        ("x = ", "not valid TOML"),
        ("weigths = 'sum'", "unknown setting 'weigths'; did you mean 'weights'"),
        ("[[step]]\ndo = 'mrege'", "step 1: do = 'mrege' is no step; did you mean 'merge'"),
        ("[[step]]\ndo = 'minimum-count'", r"step 1 \(minimum-count\): give the least number of tracks"),
        ("[[step]]\ndo = 'minimum-count'\ncount = 'ten'", "count must be a whole number, not 'ten'"),
        ("[[step]]\ndo = 'minimum-count'\ncount = 0", "at least 1, not 0"),
        ("[[step]]\ndo = 'drop'", "no tags are listed"),
        ("[[step]]\ndo = 'drop'\ntags = 'x'", "tags must be a list of texts"),
        ("[[step]]\ndo = 'drop'\nfiles = ['none.txt']", r"none\.txt: no such file"),
        (
            "[[step]]\ndo = 'merge'\nshipped = ['vocal']",
            "no list of merges called 'vocal'.*did you mean 'vocals'",
        ),
        ("[[step]]\ndo = 'merge'\nmerges = { a = 1 }", "merges must be a table of tags"),
        ("[[step]]\ndo = 'drop-tracks'", "give duplicates"),
        ("weights = 'mean'\n[[step]]\ndo = 'normalise'", "'maximum' or 'sum', not 'mean'"),
    ],
)
def test_bad_recipes_have_errors_that_name_the_step(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(content)
    with pytest.raises(FileFormatError, match=rf"r\.toml.*{message}"):
        read_recipe(path)


def implied_table() -> fs.TagTable:
    pairs = [(f"b{n}", tag) for n in range(20) for tag in ("bebop", "jazz")][:-1]  # b19 lacks jazz
    pairs += [(f"j{n}", "jazz") for n in range(20)]
    return fs.TagTable.from_pairs(*zip(*pairs, strict=True), [float(n % 7) for n in range(len(pairs))])


@pytest.mark.parametrize("how", ["threshold = 0.9", 'implies = { bebop = "jazz" }'])
def test_issue15_11_implied_tags_are_added_or_dropped(tmp_path: Path, how: str) -> None:
    table = implied_table()
    for do, n_jazz in (("add-implied", 40), ("drop-implied", 20)):
        (tmp_path / "r.toml").write_text(f'[[step]]\ndo = "{do}"\n{how}\n')
        cleaned = clean(table, tmp_path / "r.toml")
        after = cleaned.table
        counts = dict(zip(after.popularity().tags, after.popularity().counts.tolist(), strict=True))
        assert counts == {"jazz": n_jazz, "bebop": 20}
        assert clean(after, tmp_path / "r.toml").table.sha256() == after.sha256()
        untouched = after.select_tracks(f"j{n}" for n in range(20))
        assert untouched.sha256() == table.select_tracks(f"j{n}" for n in range(20)).sha256()
        cleaned.log.write(tmp_path / "log.json")
        assert ChangeLog.read(tmp_path / "log.json") == cleaned.log
        for track in table.track_ids:  # the log explains exactly the tags that each track has now
            now = {origin.became for origin in explain(table, cleaned.log, track)} - {None}
            assert now == {tag for tag, _ in after.tags_of(track)}
    assert (
        dict(clean(table, Recipe((ImpliedTags(True, threshold=0.9),))).table.tags_of("b19"))["jazz"]
        == dict(table.tags_of("b19"))["bebop"]
    )
    with pytest.raises(FolksongError, match="not both"):
        Recipe((ImpliedTags(True), ImpliedTags(False)))


@settings(max_examples=80, deadline=None)
@given(rows_of, st.booleans(), st.sampled_from([0.3, 0.6, 1.0]), st.booleans())
def test_issue15_11_implied_tags_settle_and_are_explained(
    rows: list, add: bool, threshold: float, listed: bool
) -> None:
    table = table_of(rows)
    pairs = (("rock", "60s"), ("60s", "new")) if listed else ()
    recipe = Recipe((Normalise(), MergeVariants(), ImpliedTags(add, pairs, threshold, min_count=1)))
    cleaned = clean(table, recipe)
    assert clean(cleaned.table, recipe).table.sha256() == cleaned.table.sha256()
    for track in table.track_ids:
        now = {origin.became for origin in explain(table, cleaned.log, track)} - {None}
        assert now == {tag for tag, _ in cleaned.table.tags_of(track)}


def test_damaged_change_logs_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(FileFormatError, match="not a change log"):
        ChangeLog.read(path)
    path.write_text('{"format": "folksong.changes", "version": 1, "steps": [{}]}')
    with pytest.raises(FileFormatError, match=r"x\.json: damaged \(KeyError"):
        ChangeLog.read(path)


def worlds_of(counts: dict[str, int], company: dict[str, tuple[str, ...]]) -> fs.TagTable:
    rows = [
        (f"{tag}{n}", other, 1)
        for tag, count in counts.items()
        for n in range(count)
        for other in (tag, *company[tag])
    ]
    return table_of(rows)


def test_issue17_5_a_curated_vocabulary_is_left_as_it_is() -> None:
    counts = {
        "Afrobeat": 300,
        "Afrobeats": 30,
        "Nederland": 40,
        "Nederlands": 400,
        "R&B": 50,
        "Lo-Fi": 20,
        "Rock": 99,
    }
    company = {tag: ("Lagos",) if tag.startswith("Afro") else () for tag in counts}
    table = worlds_of(counts, company)
    cleaned = clean(table)
    assert cleaned.table.tags.tolist() == table.tags.tolist()
    assert {(merge.source, merge.target) for merge in cleaned.left} == {
        ("Afrobeats", "Afrobeat"), ("Nederland", "Nederlands"),
    }  # fmt: skip
    accepted = clean(table, accept_proposals=True)
    assert not {"Afrobeats", "Nederland"} & {*accepted.table.tags}
    assert accepted.left == ()


def test_issue17_5_shipped_merges_take_the_case_of_the_table() -> None:
    counts = {"R&B": 50, "RnB": 9, "Female Singer": 20, "Female Voice": 9, "Rock": 99, "jazz": 3}
    table = worlds_of(counts, dict.fromkeys(counts, ()))
    assert clean(table).table.tags.tolist() == ["Female Vocalists", "RnB", "Rock", "jazz"]
    lower = worlds_of({tag.lower(): n for tag, n in counts.items()}, {tag.lower(): () for tag in counts})
    assert clean(lower).table.tags.tolist() == ["female vocalists", "jazz", "rnb", "rock"]


def test_issue17_5_evidence_is_company_or_rarity() -> None:
    counts = {
        "hip hop": 90, "hip-hop": 40, "ballad": 60, "ballads": 40, "christian": 300, "christina": 4, "electronic": 300,
        "eletronic": 4, "idol": 60, "idols": 40,
    }  # fmt: skip
    company = {
        "hip hop": ("rap",), "hip-hop": ("rap",), "ballad": ("slow", "love"), "ballads": ("slow", "love"),
        "christian": ("gospel", "god", "praise"), "christina": tuple("abcdef"), "electronic": ("synth", "dance"),
        "eletronic": ("synth", "dance"), "idol": ("tv", "contest"), "idols": ("punk", "loud"),
    }  # fmt: skip
    cleaned = clean(worlds_of(counts, company), Recipe((MergeVariants(),)))
    merged = {tag for step in cleaned.log.steps for tag in step.tags}
    assert merged == {"hip-hop", "ballads", "eletronic"}
    assert {merge.source for merge in cleaned.left} == {"christina", "idols"}
