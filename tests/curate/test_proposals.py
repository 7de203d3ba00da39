"""Proposed merges, reviewed by keys."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from folksong.cli import main
from folksong.curate.proposals import Review
from folksong.errors import FolksongError
from folksong.tags.cleaning.merges import propose_merges, read_merges, write_merges
from folksong.tags.cleaning.spelling import Merge
from folksong.tags.sources.read_tags import read_tags, write_tags
from folksong.tags.table import TagTable

MERGES = (
    Merge("Hip-Hop", "hip hop", "case", 30, 90),
    Merge("-dash", "#hash", "signs", 3, 4),
    Merge("<b>rnb</b>", "r&b\t", "letters", 2, 8),
    Merge("日本", "にほん", "letters", 1, 2),
)


def make_table() -> TagTable:
    pairs = [
        (f"t{n}", tag) for merge in MERGES for n in range(9) for tag in (merge.source, merge.target)[n % 2 :]
    ]
    return TagTable.from_pairs(*zip(*pairs, strict=True))


@pytest.fixture
def files(tmp_path):
    write_merges(MERGES, tmp_path / "proposal.tsv")
    return tmp_path / "proposal.tsv", tmp_path / "proposal.reviewed.tsv"


def test_what_was_decided_is_what_cleaning_reads_and_what_is_open_is_not(files):
    proposals, reviewed = files
    before = proposals.read_bytes()
    review = Review(proposals, reviewed, make_table())
    review.decide("Hip-Hop", "hip hop", True, None)
    review.decide("-dash", "#hash", False, None)
    review.decide("<b>rnb</b>", "rhythm and blues", True, None)
    found = read_merges(reviewed)
    assert found.accepted == {"Hip-Hop": "hip hop", "<b>rnb</b>": "rhythm and blues"}
    assert found.rejected == {"-dash"}
    assert proposals.read_bytes() == before
    again = Review(proposals, reviewed, None)
    assert [row["decision"] for row in again.state()["rows"]] == [True, False, True, None]
    assert again.row(2)["target"] == "rhythm and blues"
    again.decide("日本", "にほん", False, None)
    again.decide("Hip-Hop", "hip hop", None, True)
    assert read_merges(reviewed).accepted == {"<b>rnb</b>": "rhythm and blues"}
    assert read_merges(reviewed).rejected == {"-dash", "日本"}
    assert again.undo() == 0
    assert read_merges(reviewed).accepted["Hip-Hop"] == "hip hop"


def test_a_file_that_a_person_reviewed_and_extended_is_gone_on_with(files):
    proposals, reviewed = files
    proposals.write_text("-a\tb\n" + proposals.read_text())
    reviewed.write_text("mine\tyours\n-Hip-Hop\thip hop\n")
    review = Review(proposals, reviewed, None)
    review.decide("日本", "にほん", True, None)
    assert read_merges(reviewed).accepted == {"mine": "yours", "日本": "にほん"}
    assert read_merges(reviewed).rejected == {"a", "Hip-Hop"}


def test_what_another_wrote_meanwhile_is_not_replaced(files):
    proposals, reviewed = files
    review = Review(proposals, reviewed, None)
    review.decide("Hip-Hop", "hip hop", True, None)
    reviewed.write_text(reviewed.read_text() + "mine\tyours\n")
    with pytest.raises(FolksongError, match="was changed by something else"):
        review.decide("日本", "にほん", True, None)
    assert "mine\tyours" in reviewed.read_text()
    assert review.row(3)["decision"] is None


def test_wrong_decisions_are_refused(files):
    review = Review(*files, None)
    review.decide("Hip-Hop", "hip hop", True, None)
    for source, target, seen, says in (
        ("none", "a", None, "no merge of 'none'"),
        ("Hip-Hop", "hip hop", None, "decided in another window"),
        ("日本", "日本", None, "must become another tag"),
        ("日本", "", None, "must become another tag"),
    ):
        with pytest.raises(FolksongError, match=says):
            review.decide(source, target, True, seen)
    review.undo()
    with pytest.raises(FolksongError, match="nothing to undo"):
        review.undo()


def test_examples_are_tracks_of_both_tags(files):
    review = Review(*files, make_table())
    found = review.examples("Hip-Hop", "hip hop")
    assert found["shared"] == 5
    assert all("hip hop" in one["tags"] for one in found["tracks"]["hip hop"])
    assert review.examples("none", "neither") == {"shared": 0, "tracks": {"none": [], "neither": []}}
    assert Review(*files, None).examples("Hip-Hop", "hip hop") == {"shared": None, "tracks": {}}


def test_keys_are_heard_before_examples_are_there(app, open_page, tmp_path):
    write_tags(make_table(), tmp_path / "tags.csv")
    write_merges(MERGES, tmp_path / "proposal.tsv")
    page = open_page(app("--proposals", tmp_path / "proposal.tsv", "--tags", tmp_path / "tags.csv").address)
    page.route("**/merges/examples*", lambda route: None)  # never answered
    page.get_by_role("link", name="Merges").click()
    for number, key in enumerate("yny"):
        page.locator(f"#merge[data-row='{number}']").wait_for()
        page.keyboard.press(key)
    page.locator("#merge[data-row='3']").wait_for()
    figures = {
        name: page.locator(f"[data-figure='{name}']").inner_text() for name in ("merged", "kept apart")
    }
    assert figures == {"merged": "2", "kept apart": "1"}


def test_a_review_by_keys_and_the_cleaning_that_takes_it(app, open_page, tmp_path):
    tags = tmp_path / "tags.csv"
    write_tags(make_table(), tags)
    write_merges(propose_merges(tags), tmp_path / "found.tsv")
    write_merges(MERGES, tmp_path / "proposal.tsv")
    words = ("--proposals", tmp_path / "proposal.tsv", "--tags", tags)
    running = app(*words)
    page = open_page(running.address)
    page.get_by_role("link", name="Merges").click()
    at = lambda number: page.locator(f"#merge[data-row='{number}']").wait_for()  # noqa: E731
    at(0)
    page.get_by_text("both on 5 tracks").wait_for()
    page.keyboard.press("y")
    at(1)
    page.keyboard.press("n")
    at(2)
    page.get_by_role("heading", name="<b>rnb</b>").wait_for()
    page.keyboard.press("s")
    at(3)
    page.keyboard.press("n")
    at(2)
    page.keyboard.press("u")
    at(3)
    page.keyboard.press("y")
    at(2)
    page.keyboard.press("e")
    page.keyboard.type("rhythm & <i>blues</i>")
    page.keyboard.press("Enter")
    page.get_by_text("All merges are decided.").wait_for()
    running.kill()
    page = open_page(app(*words).address + "merges/")
    page.locator("[data-figure='merged']").get_by_text("3").wait_for()
    phone = open_page(page.url, width=390, height=844, scheme="dark")
    phone.locator("[data-ready]").wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    reviewed = tmp_path / "proposal.reviewed.tsv"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[[step]]\ndo = "merge"\nfiles = ["{reviewed}"]\n')
    main(
        ["tags", "clean", str(tags), str(tmp_path / "clean.csv"), "--recipe", str(recipe)],
        standalone_mode=False,
    )
    kept = set(read_tags(tmp_path / "clean.csv").tags)
    assert {"hip hop", "rhythm & <i>blues</i>", "にほん", "-dash", "#hash"} <= kept
    assert kept.isdisjoint({"Hip-Hop", "<b>rnb</b>", "日本"})
