"""A tree of real files, good and bad, into a catalogue; stopped, continued, repeated."""

import csv
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from folksong.audio import file_facts, scan
from folksong.audio.catalogue import read_catalogue, scan_folder
from folksong.audio.file_facts import FileFacts, measure_file
from folksong.audio.scan import Filters, scan_tree
from folksong.claims import FINISH, Claims
from folksong.errors import PASSING, FolksongError
from folksong.stores import Store, open_store


def tone(hz, seconds=1.0, rate=16000):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "music"
    for folder in ("a", "b"):
        (root / folder).mkdir(parents=True)
    soundfile.write(root / "a/1.flac", np.stack([tone(300), tone(500)], 1), 16000)
    soundfile.write(root / "a/2.mp3", tone(400, 2.0), 16000)
    soundfile.write(root / "b/3.ogg", tone(500), 16000)
    (root / "b/4.flac").write_bytes((root / "a/1.flac").read_bytes())
    soundfile.write(root / "b/5.wav", np.round(tone(300, 0.5) * 2**15) / 2**15, 16000)
    soundfile.write(root / "b/6.flac", np.round(tone(300, 0.5) * 2**15) / 2**15, 16000)
    (root / "b/empty.mp3").write_bytes(b"")
    (root / "b/text.mp3").write_text("hello\n" * 50)
    (root / "b/notes.txt").write_text("not audio")
    return root


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(line for line in stream if not line.startswith("#")))


def test_facts_of_one_file(tree):
    facts = measure_file("a/1.flac", str(tree))
    assert (facts.format, facts.sample_rate, facts.channels, facts.seconds) == ("flac", 16000, 2, 1.0)
    assert (facts.effective_seconds, facts.silence_seconds, facts.damage, facts.problem) == (
        1.0,
        0.0,
        None,
        None,
    )
    assert facts.size == (tree / "a/1.flac").stat().st_size
    assert measure_file("b/4.flac", str(tree)).file_sha256 == facts.file_sha256
    wav, flac = measure_file("b/5.wav", str(tree)), measure_file("b/6.flac", str(tree))
    assert wav.audio_sha256 == flac.audio_sha256
    assert wav.file_sha256 != flac.file_sha256
    assert measure_file("b/gone.mp3", str(tree)) == FileFacts(
        "b/gone.mp3", 0, 0, problem="not read this time: no such file or folder"
    )


def test_a_scan_lists_good_files_and_accounts_for_the_others(tree, tmp_path):
    out = tmp_path / "lists/tracks.csv"
    report = scan_tree(tree, out, Filters(min_length=0.8, drop_duplicates=["file", "audio"]), jobs=2)
    assert (report.n_files, report.n_measured, report.n_kept) == (8, 8, 3)
    assert report.reasons == (("not decodable", 2), ("too short", 2), ("same file", 1))
    assert report.kept_seconds == pytest.approx(4)
    assert [(row["track_id"], row["mp3_path"]) for row in rows(out)] == [
        ("a/1", "a/1.flac"),
        ("a/2", "a/2.mp3"),
        ("b/3", "b/3.ogg"),
    ]
    dropped = {row["mp3_path"]: row["detail"] for row in rows(tmp_path / "lists/tracks.dropped.csv")}
    assert "an empty file" in dropped["b/empty.mp3"]
    assert "begins with 'hello" in dropped["b/text.mp3"]
    assert dropped["b/4.flac"] == "a/1.flac holds the same"
    assert len(rows(tmp_path / "lists/tracks.files.csv")) == 8
    tracks = read_catalogue(out)
    assert [track.path for track in tracks] == [tree / row["mp3_path"] for row in rows(out)]
    assert read_catalogue(out, root="elsewhere")[0].path.parts[0] == "elsewhere"


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3", "wav"])
def test_b2_artist_album_and_title_come_from_the_files_own_tags(tmp_path, kind):
    root = tmp_path / "music"
    root.mkdir()
    with soundfile.SoundFile(root / f"a.{kind}", "w", 16000, 1) as sound:
        sound.artist, sound.album, sound.title = "Sigur\nRós, #1", "( )", " Vaka "
        sound.write(tone(300))
    soundfile.write(root / "b.flac", tone(400), 16000)
    scan_tree(root, tmp_path / "tracks.csv", jobs=1)
    first, second = rows(tmp_path / "tracks.csv")
    assert [first[key] for key in ("artist", "album", "title")] == ["Sigur Rós, #1", "( )", "Vaka"]
    assert [second[key] for key in ("artist", "album", "title")] == ["", "", ""]
    assert [track.artist for track in read_catalogue(tmp_path / "tracks.csv")] == ["Sigur Rós, #1", None]
    assert scan_tree(root, tmp_path / "tracks.csv", jobs=1).n_measured == 0
    assert rows(tmp_path / "tracks.csv") == [first, second]


def test_d1_what_a_scan_writes_comes_back(tmp_path):
    root = tmp_path / "music"
    names = [
        "#1 Crush",
        "#41",
        "-x",
        " leading",
        "Album /trail",
        "#1's/01",
        "...And More/..Song",
        "Live: b",
        'say "c"',
    ]
    for name in names:
        (root / f"{name}.flac").parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / f"{name}.flac", tone(300, 0.1), 16000)
    assert scan_tree(root, tmp_path / "tracks.csv", jobs=1).n_kept == len(names)
    tracks = read_catalogue(tmp_path / "tracks.csv")
    assert sorted(track.track_id for track in tracks) == sorted(names)
    assert all(track.path.exists() for track in tracks)
    assert tracks == scan_folder(root)


@pytest.mark.skipif(os.name == "nt", reason="names of any bytes")
@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines"])
def test_d1_a_folder_whose_name_no_list_can_hold(tmp_path, name):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    root.mkdir()
    soundfile.write(tmp_path / "a.wav", tone(300), 16000)
    (tmp_path / "a.wav").rename(root / "a.wav")
    with pytest.raises(FolksongError, match="cannot hold this name; rename the folder, or link to it"):
        scan_tree(root, tmp_path / "tracks.csv", jobs=1)
    (tmp_path / "music").symlink_to(root)
    scan_tree(tmp_path / "music", tmp_path / "tracks.csv", jobs=1)
    assert read_catalogue(tmp_path / "tracks.csv")[0].path == tmp_path / "music/a.wav"


def test_a_tree_in_a_store_is_scanned_like_one_on_disk(tree, tmp_path, far):
    store = open_store(f"{far.address}/music")
    for path in tree.rglob("*.*"):
        store.put(path.relative_to(tree).as_posix(), path.read_bytes())
    scan_tree(tree, tmp_path / "near.csv", jobs=1)
    report = scan_tree(f"{far.address}/music", tmp_path / "far.csv", jobs=1)
    assert (report.n_files, report.n_measured) == (8, 8)
    assert rows(tmp_path / "far.csv") == rows(tmp_path / "near.csv")
    assert rows(tmp_path / "far.dropped.csv") == rows(tmp_path / "near.dropped.csv")
    assert scan_tree(f"{far.address}/music", tmp_path / "far.csv", jobs=1).n_measured == 0
    assert str(read_catalogue(tmp_path / "far.csv")[0].path) == str(Path(f"{far.address}/music/a/1.flac"))
    store.put("a/2.mp3", (tree / "a/2.mp3").read_bytes() + b"new")
    far.fault = lambda method, path, number: "403" if "2.mp3" in path and method == "GET" else ""
    with pytest.raises(FolksongError, match=r"music/a/2.mp3: access was refused"):
        scan_tree(f"{far.address}/music", tmp_path / "far.csv", jobs=1)
    far.fault = lambda method, path, number: ""
    assert scan_tree(f"{far.address}/music", tmp_path / "far.csv", jobs=1).n_measured == 1


def test_a_second_scan_reads_only_what_changed(tree, tmp_path, monkeypatch):
    out = tmp_path / "tracks.csv"
    scan_tree(tree, out, jobs=1)
    first = out.read_bytes()
    assert scan_tree(tree, out, jobs=1).n_measured == 0
    assert out.read_bytes() == first
    soundfile.write(tree / "a/2.mp3", tone(900), 16000)
    (tree / "b/3.ogg").unlink()
    soundfile.write(tree / "a/9.wav", tone(100), 16000)
    report = scan_tree(tree, out, jobs=1)
    assert (report.n_measured, report.n_files) == (2, 8)
    assert [row["track_id"] for row in rows(out)] == ["a/1", "a/2", "a/9", "b/4", "b/5", "b/6"]
    monkeypatch.setattr(file_facts, "MEMORY_VERSION", 99)
    assert scan_tree(tree, out, jobs=1).n_measured == 8


def test_spoiled_memory_is_measured_anew(tree, tmp_path):
    out = tmp_path / "tracks.csv"
    scan_tree(tree, out, jobs=1)
    first, listed = out.read_bytes(), tmp_path / "tracks.files.csv"
    lines = listed.read_text().splitlines()
    lines[3] = lines[3].replace(",16000,", ",sixteen,", 1)
    lines[4] = lines[4][:20]
    listed.write_text("\n".join([*lines, ""]))
    assert scan_tree(tree, out, jobs=1).n_measured == 2
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("content", "of_another"),
    [
        (b"\xff\xfe\x00garbage", False),
        (b"", False),
        (b'# {"folksong audio scan": 1, "silence_db": 60.0}\na,b\n1,2\n', True),
    ],
)
def test_what_is_no_memory_is_not_believed(tmp_path, content, of_another):
    (tmp_path / "t.files.csv").write_bytes(content)
    (tmp_path / ".t.csv.writing").mkdir()
    (tmp_path / ".t.csv.writing/part.csv").write_bytes(content)
    known = file_facts.KnownFiles(tmp_path / "t.csv", "/r", 60.0)
    assert known.of([FileFacts("a", 1, 1), FileFacts("1", 2, 2)]) == []
    assert (tmp_path / ".t.csv.writing").exists() == of_another  # which may be under way
    known.write([])
    assert not (tmp_path / ".t.csv.writing").exists()


def test_another_folder_is_another_memory(tmp_path):
    for name, hertz in (("a", 440), ("b", 660)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", tone(hertz, 1.0), 16000)
        os.utime(tmp_path / name / "x.wav", (5, 5))
    scan_tree(tmp_path / "b", tmp_path / "alone.csv", jobs=1)
    scan_tree(tmp_path / "a", tmp_path / "t.csv", jobs=1)
    assert scan_tree(tmp_path / "b", tmp_path / "t.csv", jobs=1).n_measured == 1
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()


def test_what_may_pass_is_tried_again(tree, tmp_path, monkeypatch):
    out = tmp_path / "t.csv"
    n_files = scan_tree(tree, out, jobs=1).n_files
    whole = out.read_bytes()
    (tmp_path / "t.files.csv").unlink()
    hidden, run_guarded = tree / "a/2.mp3", scan.run_guarded

    def vanish(*arguments, **settings):
        hidden.rename(tmp_path / "2.mp3")
        return run_guarded(*arguments, **settings)

    monkeypatch.setattr(scan, "run_guarded", vanish)
    report = scan_tree(tree, out, jobs=1)
    assert report.n_measured == n_files
    assert "not read this time" in (tmp_path / "t.dropped.csv").read_text()
    monkeypatch.undo()
    (tmp_path / "2.mp3").rename(hidden)
    assert scan_tree(tree, out, jobs=1).n_measured == 1
    assert out.read_bytes() == whole


def test_what_takes_too_long_is_tried_again(tmp_path):
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music/long.flac", tone(300, 60.0), 16000)
    out = tmp_path / "t.csv"
    with pytest.raises(FolksongError, match="no track is left"):
        scan_tree(tmp_path / "music", out, jobs=1, limit_seconds=0.001)
    (dropped,) = rows(tmp_path / "t.dropped.csv")
    assert dropped["detail"] == f"{PASSING}decoding takes longer than 0 s; leave the file out"
    assert scan_tree(tmp_path / "music", out, jobs=1).n_measured == 1


def test_what_may_pass_is_tried_once_by_all_processes_of_a_scan(tmp_path):
    known, beside = (file_facts.KnownFiles(tmp_path / "t.csv", "/r", 60.0) for _ in range(2))
    entry = FileFacts("a.mp3", 5, 7, problem=f"{PASSING}no such file")
    beside.write([entry])
    known.look()
    assert known.has(entry)
    assert not file_facts.KnownFiles(tmp_path / "t.csv", "/r", 60.0).has(entry)


def test_an_endless_title_is_cut(tree, tmp_path):
    with soundfile.SoundFile(tree / "a/0.flac", "w", 16000, 1) as file:
        file.title = "x" * 200_000
        file.write(tone(300))
    assert scan_tree(tree, tmp_path / "t.csv", jobs=1).n_measured == 9
    assert scan_tree(tree, tmp_path / "t.csv", jobs=1).n_measured == 0
    assert {len(row["title"]) for row in rows(tmp_path / "t.files.csv")} == {0, 10_000}


def test_one_process_at_a_time_writes_the_files(tree, tmp_path):
    out = tmp_path / "t.csv"
    scan_tree(tree, out, jobs=1)
    before = {path: path.read_bytes() for path in tmp_path.glob("t.*")}
    with ThreadPoolExecutor(1) as beside, Claims(Store(tmp_path), ".t.csv.writing") as claims:
        assert claims.take(FINISH)
        running = beside.submit(scan_tree, tree, out, Filters(min_length=1.5), jobs=1)
        with pytest.raises(TimeoutError):
            running.result(timeout=2)
        assert {path: path.read_bytes() for path in tmp_path.glob("t.*")} == before
        claims.release(FINISH)
        assert running.result(timeout=30).n_kept == 1
    assert out.read_bytes() != before[out]
    assert not (tmp_path / ".t.csv.writing").exists()


def test_another_threshold_of_silence_is_another_memory(tmp_path):
    entry = FileFacts("a.mp3", 5, 7, problem="none")
    file_facts.KnownFiles(tmp_path / "t.csv", "/r", 60.0).write([entry])
    assert file_facts.KnownFiles(tmp_path / "t.csv", "/r", 60.0).has(entry)
    assert not file_facts.KnownFiles(tmp_path / "t.csv", "/r", 40.0).has(entry)


def test_a_part_cut_in_the_middle_of_a_line_counts_to_there(tree, tmp_path):
    out = tmp_path / "tracks.csv"
    facts = {path: measure_file(path, str(tree)) for path in ("a/1.flac", "a/2.mp3")}
    part = tmp_path / ".tracks.csv.writing/part.csv"
    part.parent.mkdir()
    dead = json.dumps({"process": 2**22 + 1, "host": socket.gethostname(), "token": ""})  # no such process
    part.with_name(".abc.1.claim.0123abcd.part").write_text(dead)
    part.write_bytes(file_facts.KnownFiles(out, str(tree.resolve()), 60.0).content(facts)[:-30])
    report = scan_tree(tree, out, jobs=1)
    assert report.n_measured == 7
    assert not part.parent.exists()
    whole = tmp_path / "whole.csv"
    scan_tree(tree, whole, jobs=1)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_a_killed_scan_continues_to_the_same_result(tree, tmp_path):
    for number in range(40):
        soundfile.write(tree / f"a/more{number}.flac", tone(100 + 10 * number, 3.0), 16000)
    whole, out = tmp_path / "whole.csv", tmp_path / "tracks.csv"
    scan_tree(tree, whole, jobs=1)
    parts = tmp_path / ".tracks.csv.writing"
    code = f"from folksong.audio.scan import scan_tree; scan_tree({str(tree)!r}, {str(out)!r}, jobs=1)"
    killed = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while killed.poll() is None and time.monotonic() < deadline:
        if len(list(parts.glob("*.csv"))) > 2:
            os.killpg(killed.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    killed.wait()
    if not (tmp_path / "tracks.files.csv").exists():  # it may have finished in the moment before the signal
        assert scan_tree(tree, out, jobs=2).n_measured < 48
    for name in ("csv", "dropped.csv", "files.csv"):
        assert (tmp_path / f"tracks.{name}").read_bytes() == (tmp_path / f"whole.{name}").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_the_same_scan_given_several_times_shares_the_work(tree, tmp_path):
    for number in range(100):
        soundfile.write(tree / f"a/more{number}.flac", tone(100 + 10 * number, 3.0), 16000)
    whole, out = tmp_path / "whole.csv", tmp_path / "tracks.csv"
    scan_tree(tree, whole, jobs=1)
    code = "import sys; from folksong.audio.scan import scan_tree; print('ready', flush=True); sys.stdin.read(1); "
    code += f"print(scan_tree({str(tree)!r}, {str(out)!r}, jobs=1).n_measured)"
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    killed, *others = (
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True, text=True, **pipes)
        for _ in range(3)
    )
    for process in (killed, *others):
        assert process.stdout.readline() == "ready\n"
    for process in (killed, *others):
        process.stdin.write("x")
        process.stdin.flush()
    claims = tmp_path / ".tracks.csv.writing"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(
        f'"process": {killed.pid},' in text_of_file(path) for path in claims.glob("*.claim")
    ):
        time.sleep(0.002)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    measured = [int(process.communicate(timeout=120)[0]) for process in others]
    assert [process.returncode for process in others] == [0, 0]
    assert 0 < sum(measured) <= 108, "no file is measured twice"
    for name in ("csv", "dropped.csv", "files.csv"):
        assert (tmp_path / f"tracks.{name}").read_bytes() == (tmp_path / f"whole.{name}").read_bytes()
    assert not claims.exists()


def text_of_file(path):
    try:
        return path.read_text()
    except FileNotFoundError:  # released meanwhile
        return ""


def test_a_file_that_crashes_the_decoder_is_dropped_and_the_rest_goes_on(tree, tmp_path, monkeypatch, caplog):
    (tmp_path / "crashing_measure.py").write_text(
        "import ctypes\n"
        "from folksong.audio.file_facts import measure_file as measure\n"
        "def measure_file(path, root, silence_db):\n"
        "    if path.endswith('3.ogg'): ctypes.string_at(0)\n"
        "    return measure(path, root, silence_db)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    import crashing_measure

    monkeypatch.setattr(scan, "measure_file", crashing_measure.measure_file)
    out = tmp_path / "tracks.csv"
    with caplog.at_level(logging.WARNING):
        report = scan_tree(tree, out, jobs=2)
    del sys.modules["crashing_measure"]
    assert report.n_kept == 5
    dropped = {row["mp3_path"]: row["detail"] for row in rows(tmp_path / "tracks.dropped.csv")}
    assert "the decoder crashes on it (signal 11)" in dropped["b/3.ogg"]
    assert "3.ogg: the decoder crashes" in caplog.text
    assert scan_tree(tree, out, jobs=1).n_measured == 0, "it is not tried again until it changes"


def test_trees_that_give_nothing(tree, tmp_path):
    with pytest.raises(FolksongError, match="no such folder"):
        scan_tree(tmp_path / "no", tmp_path / "tracks.csv")
    (tmp_path / "bare").mkdir()
    with pytest.raises(FolksongError, match="holds no recording"):
        scan_tree(tmp_path / "bare", tmp_path / "tracks.csv")
    with pytest.raises(
        FolksongError,
        match=r"no track is left of 8 files \(6 too short, 2 not decodable\); see .*dropped.csv",
    ):
        scan_tree(tree, tmp_path / "tracks.csv", Filters(min_length=99), jobs=1)
    assert len(rows(tmp_path / "tracks.dropped.csv")) == 8
    with pytest.raises(FolksongError, match="threshold must be above 0 dB"):
        scan_tree(tree, tmp_path / "tracks.csv", silence_db=0)


def test_a_catalogue_in_a_place_that_cannot_be(tree, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolksongError, match=r"file"):
        scan_tree(tree, tmp_path / "file/tracks.csv", jobs=1)
