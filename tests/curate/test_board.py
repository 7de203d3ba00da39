"""The label board: its figures, its order of what windows do, and a person's way through it."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from folksong.cli import main
from folksong.curate.board import Board, ConflictError
from folksong.curate.figures import SpaceFigures
from folksong.errors import FolksongError
from folksong.labels.analysis.cooccurrence import doubtful, own_tags
from folksong.labels.curation import Action, apply_logs, log_actions
from folksong.labels.space import Label, LabelSpace
from folksong.tags.sources.read_tags import write_tags
from folksong.tags.table import TagTable

STRANGE = ("موسيقى هادئة", "演歌", "🎷🎶", "<script>alert(1)</script>", "&amp;", "'\"`", "a\\b", "x" * 120)


def make_table(n_tracks: int = 300, seed: int = 0) -> TagTable:
    rng = np.random.default_rng(seed)
    words = {"rock": ["rock", "hard rock", "punk", "grunge"], "jazz": ["jazz", "swing", "bebop", "free jazz"]}
    pairs = []
    for track in range(n_tracks):
        kind = ("rock", "jazz")[track % 2]
        carried = {kind, *rng.choice(words[kind], 2), *rng.choice([*STRANGE, "sad", "happy", "Rock"], 1)}
        pairs += [(f"t{track}", str(tag)) for tag in carried if track % 50]
        if not track % 50:
            pairs.append((f"t{track}", "left over"))
    return TagTable.from_pairs(*zip(*pairs, strict=True))


def make_space() -> LabelSpace:
    return LabelSpace(
        (
            Label("rock", ("rock", "hard rock", "punk", "grunge"), ("bebop",), "genre"),
            Label("jazz", ("jazz", "swing", "bebop", "free jazz"), (), "genre"),
            Label("mood", ("sad", "happy"), ("rock",), "mood"),
            Label("<b>strange</b> نشيد", STRANGE, (), ""),
            Label("nobody", ("never heard",), (), "mood"),
        ),
        {"Rock": "rock"},
    )


@pytest.fixture
def files(tmp_path) -> list[str]:
    """The options of an app on a small table."""
    make_space().write(tmp_path / "a.labels.json")
    write_tags(make_table(), tmp_path / "tags.csv")
    return [
        "--labels",
        str(tmp_path / "a.labels.json"),
        "--tags",
        str(tmp_path / "tags.csv"),
        "--who",
        "anna",
    ]


def assert_figures(figures: SpaceFigures, space: LabelSpace, table: TagTable) -> None:
    overall, coverage = figures.overall(), space.coverage(table)
    present, own = space.encode(table), own_tags(space).encode(table)
    assert overall["n_counts"] == coverage.n_counts
    assert overall["n_tracks"] == coverage.n_tracks
    assert overall["n_tags"] == len(space.tags)
    assert overall["own"] == pytest.approx(own.nnz / present.nnz)
    for number, name in enumerate(space.names):
        assert len(figures.of[name].rows) == present[:, [number]].nnz, name
        assert figures.of[name].n_own == own[:, [number]].nnz, name
    said = "\n".join(doubtful(space, table))
    warned = "\n".join(f"{name!r}: {line}" for name in space.names for line in figures.warnings(name))
    assert said.count("own tags") == warned.count("own tags")
    assert said.count("a third") == warned.count("of all tracks")
    assert 2 * said.count("nearly the same") == warned.count("nearly the same")


def test_figures_that_follow_are_those_counted_anew(tmp_path):
    table, space, rng = make_table(), make_space(), np.random.default_rng(3)
    board = Board(space, table, tmp_path / "log", "")
    assert_figures(board.figures, space, table)
    n_done = 0
    for number in range(400):
        names = [*board.curation.space.names, "new", "x"]
        label, to, tag = (str(rng.choice(part)) for part in (names, names, [*table.tags, "never heard"]))
        action = [
            Action("move", label, tag, to), Action("move", "", tag, to), Action("merge", label, to=to),
            Action("rename", label, to=to),
            Action("split", label, to=f"{to}{number}", tags=(tag,)), Action("drop", label, tag), Action("drop", label),
            Action("undo"), Action("redo"),
        ][int(rng.choice(9, p=[0.3, 0.15, 0.02, 0.05, 0.1, 0.2, 0.02, 0.1, 0.06]))]  # fmt: skip
        try:
            board.act([action], board.version)
        except FolksongError:
            continue
        n_done += 1
        if not n_done % 5:
            assert_figures(board.figures, board.curation.space, table)
    assert n_done > 60
    assert apply_logs(space, [tmp_path / "log"]).space == board.curation.space
    again = Board(space, table, tmp_path / "log", "")
    assert again.state()["cards"] == board.state()["cards"]


def test_a_window_that_saw_an_older_label_is_refused(tmp_path):
    board = Board(make_space(), make_table(), tmp_path / "log", "")
    seen = board.version
    board.act([Action("move", "rock", "punk", "jazz")], seen)
    with pytest.raises(ConflictError, match="'rock' was changed in another window"):
        board.act([Action("drop", "rock", "grunge")], seen)
    with pytest.raises(ConflictError, match="another window did something meanwhile"):
        board.act([Action("undo")], seen)
    board.act([Action("drop", "mood", "sad")], seen)  # what nobody else touched
    assert board.version == 2
    changed = board.state(seen)
    assert {card["name"] for card in changed["cards"]} == {"rock", "jazz", "mood"}
    assert not board.state(board.version)["cards"]


def test_of_several_actions_all_are_done_or_none(tmp_path):
    board = Board(make_space(), make_table(), tmp_path / "log", "")
    with pytest.raises(FolksongError, match="'punk' is not in 'rock'"):
        board.act([Action("drop", "rock", "punk"), Action("drop", "rock", "punk")], 0)
    assert board.version == 0
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    board.act([Action("drop", "rock", "punk"), Action("drop", "rock", "grunge")], 0)
    assert board.version == 2


def test_what_cannot_be_kept_is_not_done(tmp_path, monkeypatch):
    board = Board(make_space(), make_table(), tmp_path / "log", "")

    def full(*_):
        raise FolksongError("the disk is full")

    monkeypatch.setattr("folksong.curate.board.log_actions", full)
    with pytest.raises(FolksongError, match="the disk is full"):
        board.act([Action("drop", "rock", "punk")], 0)
    assert board.version == 0
    assert "punk" in board.curation.label("rock").tags


def test_a_log_that_something_else_changed_is_not_gone_on_with(tmp_path):
    log = tmp_path / "log"
    board = Board(make_space(), make_table(), log, "")
    board.act([Action("drop", "rock", "punk")], 0)
    log_actions(log, [Action("drop", "jazz")], "ben")
    for refused in (lambda: board.act([Action("drop", "rock", "grunge")], 1), board.check_log):
        with pytest.raises(FolksongError, match="something else changed it meanwhile; start the app again"):
            refused()
    assert Board(make_space(), make_table(), log, "").version == 2


def test_more_labels_than_a_board_shows_are_refused(tmp_path):
    space = LabelSpace(tuple(Label(f"label {number}", (f"tag {number}",)) for number in range(2001)))
    with pytest.raises(FolksongError, match="2,000 labels at most, and the space has 2,001"):
        Board(space, make_table(), tmp_path / "log", "")


def test_labels_of_nearly_the_same_tracks_warn(tmp_path):
    pairs = [(f"t{n}", tag) for n in range(40) for tag in ("a", "b", "c")[: 3 if n % 10 else 2]] + [
        ("x", "a")
    ]
    space = LabelSpace(tuple(Label(tag, (tag,)) for tag in "abc"))
    figures = SpaceFigures(TagTable.from_pairs(*zip(*pairs, strict=True)), space)
    assert "nearly the same tracks as 'b'" in figures.warnings("a")
    assert figures.nearly_same == {"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}}
    assert_figures(figures, space, figures.table)


def ask(address: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.load(error)}


WRONG = (
    {}, {"actions": [], "version": 0}, {"actions": [{"kind": "drop", "label": "rock"}]},
    {"actions": {}, "version": 0}, {"actions": ["drop"], "version": 0},
    {"actions": [{"kind": "drop"}], "version": 0}, {"actions": [{"kind": "undo"}] * 2000, "version": 0},
    {"actions": [{"kind": "drop", "label": "../a"}], "version": 0},
)  # fmt: skip


def test_wrong_requests_are_refused_with_a_reason_and_change_nothing(app, files, tmp_path):
    address = app(*files).address + "board"
    for body in WRONG:
        answer = ask(f"{address}/act", body)
        assert answer["status"] == 400, body
        assert answer["error"]
    for path in ("members?label=../../a", "members?label=%00", "split?label=", "split?label=none"):
        assert ask(f"{address}/{path}").get("status") in (None, 400), path
    assert ask(f"{address}/members?label=rock&start=-1&number=99999999999999999999")["members"]
    assert ask(f"{address}/state")["version"] == 0
    assert {path.name for path in tmp_path.iterdir()} <= {
        "a.labels.json", "tags.csv", "a.curation.jsonl", ".a.curation.jsonl.lock", ".a.curation.jsonl.app.lock",
    }  # fmt: skip


def test_two_windows_lose_nothing(app, files):
    running = app(*files)
    act = running.address + "board/act"

    def move(number: int) -> int:
        """Drop a tag of one's own into the label, again and again until nobody came between."""
        action = {"kind": "move", "tag": f"tag {number}", "to": "jazz"}
        while True:
            seen = ask(running.address + "board/state?since=100000")["version"]
            answer = ask(act, {"version": seen, "actions": [action]})
            if "version" in answer:
                return answer["version"]
            assert answer["status"] == 409

    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(move, range(40)))
    assert sorted(versions) != list(range(40))
    assert ask(running.address + "board/state")["version"] == 40
    space = apply_logs(make_space(), [Path(files[1]).with_name("a.curation.jsonl")]).space
    assert {f"tag {number}" for number in range(40)} <= set(space.labels[1].tags)


def test_a_killed_app_has_every_action_that_it_confirmed(app, files):
    log = Path(files[1]).with_name("a.curation.jsonl")
    confirmed = 0
    rng = np.random.default_rng(0)
    for _ in range(2):
        running = app(*files)
        start = ask(running.address + "board/state")["version"]
        assert start >= confirmed
        confirmed, last = start, start + 8
        killer = threading.Timer(rng.uniform(0, 0.05), running.kill)
        try:
            while True:
                action = {"kind": "move", "tag": f"tag {confirmed}", "to": "jazz"}
                confirmed = ask(running.address + "board/act", {"version": confirmed, "actions": [action]})[
                    "version"
                ]
                if confirmed == last:  # soon after this action
                    killer.start()
        except (OSError, http.client.HTTPException):  # nobody there, or half an answer
            assert confirmed >= last
            killer.join()
    space = apply_logs(make_space(), [log]).space
    assert {f"tag {number}" for number in range(confirmed)} <= set(space.labels[1].tags)
    lines = log.read_text().splitlines()
    assert len(lines) in (confirmed + 1, confirmed + 2)  # one may be on disk that nobody was told of


def test_a_second_app_on_one_log_is_refused(app, files, capsys):
    app(*files)
    with pytest.raises(SystemExit):
        main(["curate", "--no-open", *files])
    assert "another app works with a.curation.jsonl" in capsys.readouterr().err


# ---- a person's way through it


def card(page, name: str):
    return page.locator(f".card[data-label={json.dumps(name, ensure_ascii=False)}]")


def tag(page, name: str, text: str):
    return card(page, name).locator(".tag").filter(has=page.get_by_text(text, exact=True))


def figure(page, name: str) -> str:
    return page.locator(f"[data-figure='{name}']").inner_text()


def done(page, number: int) -> None:
    page.locator(f"#board[data-version='{number}']").wait_for()


def press(page, at, keys: str) -> None:
    at.focus()
    page.keyboard.press(keys)


def test_twelve_actions_undo_restart_and_the_same_file_by_replay(app, open_page, files, tmp_path):
    running = app(*files)
    page = open_page(running.address)
    done(page, 0)
    before = figure(page, "of the counts")
    press(page, tag(page, "rock", "punk"), "m")  # 1 by keyboard
    page.keyboard.type("jaz")
    page.keyboard.press("Enter")
    done(page, 1)
    tag(page, "jazz", "punk").wait_for()
    tag(page, "jazz", "swing").drag_to(card(page, "mood"))  # 2 by mouse
    done(page, 2)
    tag(page, "jazz", "free jazz").click()  # 3 by the sheet
    page.get_by_role("button", name="Drop it").click()
    done(page, 3)
    assert figure(page, "of the counts") != before
    press(page, card(page, "mood").locator(".title"), "r")  # 4
    page.keyboard.type("気分 <i>")
    page.keyboard.press("Enter")
    done(page, 4)
    press(page, card(page, "nobody").locator(".title"), "x")  # 5
    done(page, 5)
    press(page, card(page, "<b>strange</b> نشيد").locator(".title"), "f")  # 6
    page.keyboard.type("odd")
    page.keyboard.press("Enter")
    done(page, 6)
    page.locator(".column[data-facet=odd]").wait_for()
    press(page, card(page, "rock").locator(".title"), "m")  # 7
    page.keyboard.type("jazz")
    page.keyboard.press("Enter")
    done(page, 7)
    press(page, card(page, "jazz").locator(".title"), "s")  # 8
    page.locator(".halves").wait_for()
    page.get_by_label("Name of the new label").fill("second half")
    page.keyboard.press("Enter")
    done(page, 8)
    press(page, tag(page, "<b>strange</b> نشيد", "🎷🎶"), "n")  # 9
    page.keyboard.press("Enter")
    done(page, 9)
    page.keyboard.press("/")
    page.locator("#search:focus").fill("left")
    page.locator("#found .tag").first.click()
    page.keyboard.press("m")  # 10: a tag of no label
    page.keyboard.type("second")
    page.keyboard.press("Enter")
    done(page, 10)
    page.locator("#search").fill("")
    press(page, tag(page, "<b>strange</b> نشيد", "<script>alert(1)</script>"), "Space")
    press(page, tag(page, "<b>strange</b> نشيد", "演歌"), "Space")
    page.keyboard.press("x")  # 11 and 12: two that are selected
    done(page, 12)
    state = page.locator("#board").inner_text()
    page.get_by_role("button", name="Undo").click()
    done(page, 13)
    assert tag(page, "<b>strange</b> نشيد", "演歌").count() + tag(
        page, "<b>strange</b> نشيد", "<script>alert(1)</script>"
    ).count() == 1  # fmt: skip
    page.keyboard.press("Shift+U")
    done(page, 14)
    assert page.locator("#board").inner_text() == state

    running.kill()
    again = app(*files)
    page = open_page(again.address)
    done(page, 14)
    assert page.locator("#board").inner_text() == state
    page.get_by_role("button", name="Write labels").click()
    page.get_by_text("written, after 12 actions").wait_for()
    written = tmp_path / "a.curated.labels.json"
    main(
        ["labels", "apply", files[1], str(tmp_path / "a.curation.jsonl"), str(tmp_path / "r.json")],
        standalone_mode=False,
    )
    assert written.read_bytes() == (tmp_path / "r.json").read_bytes()
    assert make_space() == LabelSpace.read(files[1])
    again.stop()
    second = app(*files)
    ask(second.address + "board/write", {})  # what the app wrote it may write anew


def test_another_window_is_seen_and_an_action_against_what_it_changed_is_refused(app, open_page, files):
    address = app(*files).address
    one, other = open_page(address), open_page(address)
    done(one, 0)
    done(other, 0)
    other.evaluate(
        """() => {  // it looks no more for what others do
            const real = window.fetch;
            window.fetch = (...all) => (all[1].method ? real(...all) : new Promise(() => {}));
        }"""
    )
    press(one, tag(one, "rock", "punk"), "x")
    done(one, 1)
    press(other, tag(other, "rock", "grunge"), "x")
    other.get_by_text("'rock' was changed in another window").wait_for()
    assert tag(other, "rock", "punk").count() == 0
    assert tag(other, "rock", "grunge").count() == 1
    press(other, tag(other, "rock", "grunge"), "x")
    done(other, 2)
    done(one, 2)  # by looking now and then
    one.get_by_text("in another window: drop 'grunge'").wait_for()


def test_keys_alone_reach_everything(app, open_page, files):
    page = open_page(app(*files).address)
    done(page, 0)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#board .title')"):
            break
    seen = set()
    for direction in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"):
        for _ in range(12):
            page.keyboard.press(direction)
            seen.add(page.evaluate("document.activeElement.closest('.card')?.dataset.label"))
            style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none"
    assert seen >= {"rock", "jazz", "mood"}
    press(page, tag(page, "rock", "punk"), "Enter")
    page.locator("dialog[open]").wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.tag") == "punk"
    page.keyboard.press("?")
    page.get_by_text("go through labels and tags").wait_for()
    page.keyboard.press("Escape")
    members = card(page, "rock").locator(".tag").all_inner_texts()
    press(page, card(page, "rock").locator(".tag").first, "x")
    done(page, 1)
    for number in range(
        2, len(members) + 1
    ):  # the keys stay with tags, and never reach the label by themselves
        assert page.evaluate("document.activeElement.closest('.card').dataset.label") == "rock"
        assert page.evaluate("'tag' in document.activeElement.dataset") == (number <= len(members))
        if number < len(members) - 1:
            page.keyboard.press("x")
            done(page, number)
    assert card(page, "rock").count() == 1


def test_a_tag_is_dragged_by_touch_at_phone_width(app, open_page, files):
    page = open_page(app(*files).address, width=390, height=844, has_touch=True, is_mobile=True)
    done(page, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    source, target = tag(page, "rock", "punk"), card(page, "jazz")
    target.scroll_into_view_if_needed()
    source.scroll_into_view_if_needed()
    page.locator("#board").evaluate("() => scrollTo(0, 0)")
    middle = lambda box: (box["x"] + box["width"] / 2, box["y"] + min(box["height"] / 2, 15))  # noqa: E731
    start, end = middle(source.bounding_box()), middle(target.bounding_box())
    touch = page.context.new_cdp_session(page)

    def send(kind: str, place: tuple[float, float] | None) -> None:
        points = [] if place is None else [{"x": place[0], "y": place[1]}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", start)
    page.locator(".ghost").wait_for()
    for part in range(1, 6):
        send("touchMove", tuple(a + (b - a) * part / 5 for a, b in zip(start, end, strict=True)))
    send("touchEnd", None)
    done(page, 1)
    tag(page, "jazz", "punk").wait_for()


def test_the_map_is_drawn_and_shut_off(app, open_page, files):
    page = open_page(app(*files).address)
    done(page, 0)
    press(page, card(page, "jazz").locator(".title"), "r")
    page.locator("dialog input").fill("R&B <i>x")
    page.keyboard.press("Enter")
    done(page, 1)
    page.get_by_role("button", name="Map", exact=True).click()
    frame = page.frame_locator("#map iframe")
    frame.locator(".plot-container").first.wait_for()
    frame.get_by_text("R&B <i>x", exact=True).first.wait_for()
    inner = page.frames[1]
    assert inner.evaluate("origin") == "null"
    policy = page.request.get(inner.url).headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'; ")


def test_sixty_five_labels_and_ten_thousand_tags(app, open_page, tmp_path):
    rng = np.random.default_rng(0)
    names = [f"tag {number}" for number in range(10_000)]
    weights = 1 / np.arange(1, 10_001) ** 0.7
    columns = np.concatenate([rng.choice(10_000, 110_000, p=weights / weights.sum()), np.arange(10_000)])
    rows = rng.integers(0, 12_500, len(columns))
    table = TagTable.from_pairs([f"t{row}" for row in rows], [names[column] for column in columns])
    write_tags(table, tmp_path / "tags.db")
    labels = [Label(f"label {n}", tuple(names[n::65]), (), f"facet {n % 6}") for n in range(65)]
    LabelSpace(tuple(labels)).write(tmp_path / "big.labels.json")
    running = app("--labels", tmp_path / "big.labels.json", "--tags", tmp_path / "tags.db")
    page = open_page(running.address)
    done(page, 0)
    for version in range(1, 12):
        press(page, card(page, f"label {version}").locator(".tag").nth(3), "m")
        page.keyboard.type(f"label {version + 20}")
        page.keyboard.press("Enter")
        done(page, version)

    at = card(page, "label 50")
    press(page, at.locator(".more"), "Enter")
    at.locator(".tag").nth(111).wait_for()
    assert page.evaluate("document.activeElement.matches('.tag')")
    press(page, at.locator(".tag").nth(60), "x")
    done(page, 12)
    assert at.locator(".tag").count() == 112  # what a person opened stays open
    page.keyboard.press("Control+z")
    done(page, 13)
    page.locator("#search").fill("tag 9999")
    page.locator("#found").get_by_text("· label 54").wait_for()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.at") == json.dumps(
        {"label": "label 54", "tag": "tag 9999"}, separators=(",", ":")
    )
