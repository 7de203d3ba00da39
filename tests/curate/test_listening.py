"""The listening queue and dropped recordings: what a person hears and decides is kept, learned, and written."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

pytest.importorskip("starlette")

import folksong as fs
from folksong.cli import main
from folksong.curate.app import Session
from folksong.curate.drop import MOST_KEPT, Dropped
from folksong.curate.listening import Ears, Queue, decisions_path, space_of, spectrogram
from folksong.errors import FolksongError
from folksong.prediction import load_tagger
from folksong.recordings import recordings_by_id
from folksong.tags.decisions import read_decisions

KINDS, RATE, PER_KIND = ("tone", "chirp", "noise", "clicks"), 16_000, 8
WRONG = [f"{kind}/{number}" for kind in ("noise", "tone") for number in range(5)]
"""Tracks that the crowd calls by another kind's name: two disagreements each."""


@pytest.fixture(scope="module")
def music(tmp_path_factory, music_of_kinds) -> Path:
    return music_of_kinds(tmp_path_factory.mktemp("music"), PER_KIND)


@pytest.fixture(scope="module")
def run(music, tmp_path_factory) -> fs.Run:
    folder = tmp_path_factory.mktemp("run")
    fs.embed_audio(music, folder / "features", "statistics", jobs=1)
    tags = fs.TagTable.from_pairs(
        *zip(*((track, track.split("/")[0]) for track in recordings_by_id(music)), strict=True)
    )
    return fs.train("embeddings", folder / "features", tags=tags, out=folder / "run", fractions=(60, 20, 20))


@pytest.fixture(scope="module")
def crowd(music, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tags") / "crowd.csv"
    other = {"noise": "chirp", "tone": "clicks"}
    rows = [
        (track, other[kind] if track in WRONG else kind)
        for track in recordings_by_id(music)
        for kind in [track.split("/")[0]]
    ]
    path.write_text("track,tag\n" + "".join(f"{track},{tag}\n" for track, tag in rows), encoding="utf-8")
    return path


@pytest.fixture
def queue(run, music, crowd, tmp_path, monkeypatch) -> Queue:
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    return open_queue(run, music, crowd, tmp_path / "decisions.jsonl")


def open_queue(run, music, crowd, path: Path) -> Queue:
    tagger = load_tagger(run.path)
    ears = Ears(tagger, str(run.path), recordings_by_id(music))
    ears.thread.start()
    ears.thread.join()
    return Queue(ears, space_of(str(run.path), tagger.labels), fs.read_tags(crowd), path, "me")


def test_what_tags_and_tagger_disagree_on_comes_first(queue):
    found = queue.questions("disagree", number=2 * len(WRONG))
    assert {one["track"] for one in found} == set(WRONG)
    for one in found:
        assert (one["label"] == one["track"].split("/")[0]) == (not one["tagged"])
    later = queue.questions("disagree", number=1000)[len(found) :]
    distances = [round((one["score"] - 0.5) * (-1 if one["tagged"] else 1), 3) for one in [*found, *later]]
    assert distances == sorted(distances, reverse=True)
    assert {one["tagged"] for one in queue.questions("wrong")} == {True}
    assert {one["tagged"] for one in queue.questions("missing")} == {False}
    assert {one["label"] for one in queue.questions("unsure", "tone")} == {"tone"}
    distances = [abs(one["score"] - 0.5) for one in queue.questions("unsure")]
    assert distances == sorted(distances)


def test_a_decision_is_kept_not_asked_again_and_taken_back(queue, run, music, crowd):
    (first, *_) = queue.questions("disagree")
    pair = first["track"], first["label"]
    for was, decision in (("", "yes"), ("yes", "no"), ("no", "skip")):
        queue.decide(*pair, decision, was)
        again = open_queue(run, music, crowd, queue.path)
        for one in (queue, again):
            assert one.decided == {pair: decision}
            assert pair not in {(each["track"], each["label"]) for each in one.questions("disagree")}
    (asked,) = queue.questions("answered")
    assert (asked["track"], asked["label"], asked["decided"]) == (*pair, "skip")
    queue.decide(*pair, "open", "skip")
    assert queue.questions("disagree")[0] == first
    assert open_queue(run, music, crowd, queue.path).decided == {}
    with pytest.raises(FolksongError, match="no recording has the id"):
        queue.decide("../../etc/passwd", "tone", "yes", "")
    with pytest.raises(FolksongError, match="no label is called"):
        queue.decide(first["track"], "tones", "yes", "")
    with pytest.raises(FolksongError, match="no decision"):
        queue.decide(*pair, "perhaps", "")


def test_of_two_windows_the_second_is_told_and_changes_nothing(queue):
    (first, *_) = queue.questions("disagree")
    pair = first["track"], first["label"]
    queue.decide(*pair, "yes", "")
    for decision, was in (("no", ""), ("skip", ""), ("open", "skip"), ("open", "no")):
        with pytest.raises(FolksongError, match="another window has decided meanwhile: yes"):
            queue.decide(*pair, decision, was)
    assert [one.decision for one in read_decisions(queue.path)] == ["yes"]


def test_recordings_are_heard_once_and_again_where_they_changed(
    run, music, crowd, tmp_path, monkeypatch, sound
):
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "m").mkdir()
    for number in range(3):
        soundfile.write(tmp_path / "m" / f"{number}.flac", sound("tone", number, 1.0), RATE)
    (tmp_path / "m" / "broken.flac").write_bytes(b"fLaC" + bytes(100))
    heard: list[str] = []

    def listening() -> Ears:
        tagger = load_tagger(run.path)
        whole = tagger._predict

        def told(file, *rest):
            heard.append(Path(file).stem)
            return whole(file, *rest)

        monkeypatch.setattr(tagger, "_predict", told)
        ears = Ears(tagger, str(run.path), recordings_by_id(tmp_path / "m"))
        ears.thread.start()
        ears.thread.join()
        return ears

    first = listening()
    assert sorted(heard) == ["0", "1", "2", "broken"]
    assert sorted(first.scores) == ["0", "1", "2"]
    assert "broken.flac" in first.failed["broken"]
    with first.memory.open("ab") as stream:
        stream.write(b'{"file": "torn')
    soundfile.write(tmp_path / "m" / "1.flac", sound("noise", 1, 1.5), RATE)
    heard.clear()
    second = listening()
    assert sorted(heard) == ["1", "broken"]
    assert second.scores["1"].argmax() != first.scores["1"].argmax()
    np.testing.assert_allclose(second.scores["0"], first.scores["0"], atol=1e-5)


def test_what_is_known_of_a_track(queue, music):
    known = queue.track("noise/0")
    assert known["tags"] == [["chirp", 1.0]]
    assert known["scores"][0][0] == "noise"
    times = queue.over_time("noise/0", "clicks")
    assert times["labels"][0] == "clicks"
    assert np.shape(times["scores"]) == (len(times["labels"]), len(times["starts"]))
    with pytest.raises(FolksongError, match="was heard"):
        queue.track("nothing")
    assert spectrogram(music / "noise" / "0.flac").startswith(b"\x89PNG")


def test_decisions_lie_beside_the_run():
    assert decisions_path(Session(run="musicnn-msd")) == Path("musicnn-msd.decisions.jsonl")
    assert decisions_path(Session(run="hf://me/mel")) == Path("mel.decisions.jsonl")


def test_a_file_that_is_no_decisions_is_left_alone(run, music, crowd, tmp_path, monkeypatch):
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "notes.txt"
    path.write_text("mine\n", encoding="utf-8")
    with pytest.raises(FolksongError, match="line 1 is not JSON"):
        open_queue(run, music, crowd, path)
    assert path.read_text(encoding="utf-8") == "mine\n"


def test_only_the_last_dropped_recordings_are_kept(run, music):
    dropped = Dropped(load_tagger(run.path))
    names = ["../../x.flac", "a/b\\c\n.flac", "", ".hidden", "x" * 500 + ".flac", "日本.flac"]
    keys = [dropped.place(name) for name in names]
    for key, path in keys:
        assert path.parent == Path(dropped.folder.name)
        assert not set("/\\\n") & set(dropped.find(key)[1])
        path.write_bytes((music / "noise" / "0.flac").read_bytes())
    assert dropped.hear(keys[0][0])["labels"][0][0] == "noise"
    for _ in range(MOST_KEPT):
        dropped.place("y.flac")
    with pytest.raises(FolksongError, match="drop it again"):
        dropped.hear(keys[0][0])
    assert not list(Path(dropped.folder.name).iterdir())


def test_journey_twenty_decisions_by_keyboard_are_learned(app, open_page, run, music, crowd, tmp_path):
    decisions = tmp_path / "decisions.jsonl"
    words = ("--run", run.path, "--audio", music, "--tags", crowd, "--decisions", decisions, "--who", "me")
    running = app(*words)
    page = open_page(running.address + "listen/")
    page.get_by_text(f"{len(KINDS) * PER_KIND} recordings; answered").wait_for()
    page.locator("#picture").wait_for()
    given = {"yes": 0, "no": 0}

    def answer(decision: str, by: int = 1) -> None:
        page.keyboard.press(decision[0] if by > 0 else "u")
        given[decision] += by
        page.get_by_text(f"answered: {given['yes']} yes, {given['no']} no").wait_for()

    for number in range(20):
        asked = page.locator("#asked").text_content()
        track = page.evaluate("new URL(document.getElementById('audio').src).searchParams.get('track')")
        right, slip = ("yes", "no") if asked == track.split("/")[0] else ("no", "yes")
        if number == 7:
            page.keyboard.down("s")  # held: once
            for _ in range(5):
                page.keyboard.down("s")
            page.keyboard.up("s")
            page.get_by_text("1 skipped").wait_for()
            page.keyboard.press("u")
            page.get_by_text("0 skipped").wait_for()
            answer(slip)
            answer(slip, by=-1)
        answer(right)
    running.kill()
    kept = read_decisions(decisions)
    assert len(kept) == 20
    assert all((one.decision == "yes") == (one.label == one.track.split("/")[0]) for one in kept)
    assert {one.who for one in kept} == {"me"}

    space = tmp_path / "kinds.labels.json"
    fs.labels.top(fs.read_tags(crowd), 4).write(space)
    command = [
        "train",
        "embeddings",
        run.shards_dir,
        "--tags",
        crowd,
        "--labels",
        space,
        "--out",
        tmp_path / "new",
    ]
    assert CliRunner().invoke(main, [*map(str, command), "--decisions", str(decisions)]).exit_code == 0
    predicted = json.loads(
        CliRunner()
        .invoke(main, ["predict", str(tmp_path / "new"), str(music), "--top", "1", "--json"])
        .stdout
    )
    right = [one["labels"][0]["label"] == Path(one["file"]).parent.name for one in predicted]
    assert sum(right) >= 0.9 * len(right)


def test_recordings_are_served_in_parts_and_only_those_of_the_folder(app, run, music, tmp_path):
    (tmp_path / "m").mkdir()
    samples, rate = soundfile.read(music / "noise" / "0.flac")
    soundfile.write(tmp_path / "m" / "old.au", samples, rate)
    soundfile.write(tmp_path / "m" / "new.flac", samples, rate)
    (tmp_path / "m" / "link.mp3").symlink_to("/etc/passwd")
    running = app("--run", run.path, "--audio", tmp_path / "m")
    began = time.monotonic()
    while b'"heard":2' not in urlopen(f"{running.address}listen/questions").read():
        assert time.monotonic() - began < 120
        time.sleep(0.1)
    whole = (tmp_path / "m" / "new.flac").read_bytes()
    asked = Request(f"{running.address}listen/audio?track=new", headers={"Range": "bytes=100-199"})
    with urlopen(asked) as answer:
        assert (answer.status, answer.read()) == (206, whole[100:200])
    with urlopen(f"{running.address}listen/audio?track=old") as answer:
        assert answer.read(4) == b"RIFF"
    for track in ("../crowd", "%2Fetc%2Fpasswd", "..%2F..%2Fetc%2Fpasswd", "new.flac", "link", ""):
        with pytest.raises(OSError, match="400"):
            urlopen(f"{running.address}listen/audio?track={track}")
    (tmp_path / "m" / "new.flac").unlink()
    for what in ("audio", "picture", "time"):
        with pytest.raises(OSError, match="400"):
            urlopen(f"{running.address}listen/{what}?track=new")
    assert "Traceback" not in running.stop()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_an_app_that_is_ended_while_it_hears_ends_quietly(app, run, music, tmp_path, number, code):
    (tmp_path / "m").mkdir()
    samples, rate = soundfile.read(music / "noise" / "0.flac")
    for name in range(200):
        soundfile.write(tmp_path / "m" / f"{name}.flac", np.tile(samples, 20) * (name + 1) / 201, rate)
    running = app("--run", run.path, "--audio", tmp_path / "m")
    began = time.monotonic()
    while b'"heard":0' in (state := urlopen(f"{running.address}listen/questions").read()):
        assert time.monotonic() - began < 120
        time.sleep(0.02)
    running.process.send_signal(number)
    said, _ = running.process.communicate(timeout=120)
    assert (running.process.returncode, b'"heard":200' in state) == (code, False), said
    assert not any(word in said for word in ("Traceback", "Error", "terminate")), said


def test_journey_an_mp3_a_flac_and_a_text_are_dropped(app, open_page, run, music, tmp_path):
    mutagen = pytest.importorskip("mutagen")
    samples, rate = soundfile.read(music / "noise" / "0.flac")
    soundfile.write(tmp_path / "one.mp3", samples, rate, format="MP3")
    soundfile.write(tmp_path / "<b>two & 日本.flac", samples, rate)
    (tmp_path / "three.txt").write_text("no music", encoding="utf-8")
    running = app("--run", run.path)
    page = open_page(running.address + "drop/")
    page.set_input_files(
        "#choose", [tmp_path / "one.mp3", tmp_path / "<b>two & 日本.flac", tmp_path / "three.txt"]
    )
    page.get_by_text("three.txt: not a recording").wait_for()
    for name in ("one.mp3", "<b>two & 日本.flac"):
        card = page.locator("article", has_text=name)
        card.get_by_role("checkbox", name="noise").wait_for()
        assert card.get_by_role("checkbox", name="noise").is_checked()
        card.get_by_role("button").click()
        with page.expect_download() as saved:
            card.get_by_text("save the copy").click()
        saved.value.save_as(tmp_path / "saved" / name)
        keys = ("grouping",) if name.endswith("flac") else ("TIT1",)
        found = mutagen.File(tmp_path / "saved" / name)
        assert [str(value) for key in keys for value in found[key]] == ["noise"]
        assert found.info.length == pytest.approx(1.0, abs=0.2)
    assert mutagen.File(tmp_path / "<b>two & 日本.flac").tags in (None, [])
    page.reload()
    page.locator("article", has_text="one.mp3").get_by_role("checkbox", name="noise").wait_for()
    folders = list(Path(tempfile.gettempdir()).glob(f"folksong-web-{running.process.pid}-*"))
    assert folders
    running.process.terminate()
    running.process.wait(60)
    assert not any(path.exists() for path in folders)


@pytest.mark.parametrize("width", [390])
def test_journey_phone_width_by_touch(app, open_page, run, music, crowd, tmp_path, width):
    running = app("--run", run.path, "--audio", music, "--tags", crowd, "--decisions", tmp_path / "d.jsonl")
    page = open_page(running.address + "listen/", width=width, scheme="dark", has_touch=True)
    page.locator("#strips .strip").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("[data-decision=yes]").tap()
    page.get_by_text("answered: 1 yes").wait_for()
    began = time.monotonic()
    while not (tmp_path / "d.jsonl").exists():
        assert time.monotonic() - began < 5
    assert len(read_decisions(tmp_path / "d.jsonl")) == 1
