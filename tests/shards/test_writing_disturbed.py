"""Writings that are stopped, doubled, or whose recordings change (issue 16, A to C): nothing is lost, nothing stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from folksong.audio.catalogue import Track, scan_folder
from folksong.claims import Claims
from folksong.errors import FolksongError
from folksong.shards.index import Manifest
from folksong.shards.maintenance import merge_shards, repair_shards
from folksong.shards.reader import ShardReader
from folksong.shards.writer import write_shards
from folksong.stores import open_store

from .conftest import N_SLOW

MakeTracks = Callable[[int], list[Track]]
RATE = 16000


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".checked.json"
    }


def replace_recording(path: Path) -> None:
    """Put other audio of the same length in a recording's place."""
    sound, _ = soundfile.read(path)
    soundfile.write(path, -sound[::-1], RATE)


def test_b3_shards_of_recordings_that_changed_are_not_up_to_date(
    make_tracks: MakeTracks, tmp_path: Path
) -> None:
    tracks, out = make_tracks(6), tmp_path / "out"
    write_shards(tracks, out, n_files=2, jobs=1)
    before = content(out)
    replace_recording(tracks[3].path)
    with pytest.raises(FolksongError, match=r"recordings have changed since.*some of waveform_\d.*overwrite"):
        write_shards(tracks, out, n_files=2, jobs=1)
    assert content(out) == before
    write_shards(tracks, out, n_files=2, jobs=1, overwrite=True)
    write_shards(tracks, tmp_path / "anew", n_files=2, jobs=1)
    assert content(out) == content(tmp_path / "anew") != before


def test_b3_recordings_that_moved_or_were_only_touched_are_the_same(
    make_tracks: MakeTracks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracks, out = make_tracks(4), tmp_path / "out"
    caplog.set_level("INFO", "folksong")
    write_shards(tracks, out, n_files=2, jobs=1)
    shutil.copytree(tmp_path / "audio", tmp_path / "elsewhere")
    for track in tracks:
        os.utime(track.path, (1, 1))
    moved = [Track(track.track_id, tmp_path / "elsewhere" / track.path.name) for track in tracks]
    for catalogue in (tracks, moved):
        write_shards(catalogue, out, n_files=2, jobs=1)
        assert "nothing to do" in caplog.messages[-1]
    (out / ".checked.json").unlink()
    write_shards(tracks, out, n_files=2, jobs=1)
    tracks[0].path.unlink()
    with pytest.raises(FolksongError, match="recordings have changed"):
        write_shards(tracks, out, n_files=2, jobs=1)


def test_b3_an_unfinished_writing_makes_changed_files_anew(make_tracks: MakeTracks, tmp_path: Path) -> None:
    tracks, out = make_tracks(6), tmp_path / "out"
    write_shards(tracks, out, n_files=3, jobs=1, start_stop=(1, 2))
    for track in tracks:
        replace_recording(track.path)
    write_shards(tracks, out, n_files=3, jobs=1)
    write_shards(tracks, tmp_path / "anew", n_files=3, jobs=1)
    assert content(out) == content(tmp_path / "anew")


def test_b3_merged_and_repaired_shards_say_no_more_than_they_know(
    make_tracks: MakeTracks, tmp_path: Path
) -> None:
    write_shards(make_tracks(4), tmp_path / "out", n_files=2, jobs=1)
    assert all(file.recordings_sha256 for file in Manifest.read(tmp_path / "out").files)
    merged = merge_shards([tmp_path / "out"], tmp_path / "merged", n_files=1)
    assert [file.recordings_sha256 for file in merged.files] == [None]


WRITE = """
import sys
from folksong.cli import main
main(["shards", "write", sys.argv[1], sys.argv[2], "--num-files", "6", "--no-disk-check", *sys.argv[3:]])
"""


@contextlib.contextmanager
def writing(audio: Path, out: Path, *words: str, jobs: int = 2) -> Iterator[subprocess.Popen[str]]:
    """A command that is in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(audio), str(out), "--jobs", str(jobs), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        await_true(lambda: any(out.glob(".waveform_*.part")))
        yield process
    finally:
        process.kill()
        process.communicate()


def await_true(said: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(process: subprocess.Popen[str]) -> list[Path]:
    """The places in /proc of the processes of a command's session."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, session = place.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == process.pid and int(place.name) != process.pid and state != "Z":
                found.append(place)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


@needs_proc
@pytest.mark.parametrize("jobs", [1, 2])
def test_c8_sigterm_leaves_no_process_and_no_part_of_a_file(
    slow_tracks: Path, tmp_path: Path, jobs: int
) -> None:
    out = tmp_path / "out"
    with writing(slow_tracks, out, jobs=jobs) as process:
        assert len(workers_of(process)) == (jobs if jobs > 1 else 0)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 143
        assert "Traceback" not in said
        assert workers_of(process) == []
        assert not list(out.glob(".*.part"))
        assert not (out / "manifest.json").exists()


@needs_proc
def test_c8_workers_of_a_parent_that_was_killed_end_and_tidy_up(slow_tracks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(slow_tracks, out) as process:
        process.kill()
        process.wait()
        await_true(lambda: not workers_of(process), 60)
        assert not list(out.glob(".waveform_*.part"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_b4_ctrl_c_says_what_is_kept_and_exits_with_130(slow_tracks: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "out"
    with writing(slow_tracks, out, jobs=jobs) as process:
        await_true(lambda: any(out.glob(".writing/waveform_*.json")))
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130
        assert said.endswith("Stopped. Finished shards are kept; run the same command again to continue.\n")
        assert "Traceback" not in said
        assert not list(out.glob(".*.part"))
    finished = {out / f"{note.stem}.tfrecord" for note in out.glob(".writing/waveform_*.json")}
    assert finished
    times = {path: path.stat().st_mtime_ns for path in finished}
    write_shards(scan_folder(slow_tracks), out, [], n_files=6, jobs=2)
    assert {path: path.stat().st_mtime_ns for path in finished} == times
    assert len(ShardReader(out)) == N_SLOW


def test_c8_ctrl_c_at_the_start_shows_no_traceback_of_a_worker(slow_tracks: Path, tmp_path: Path) -> None:
    for number, seconds in enumerate((0.0, 0.4)):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(slow_tracks), str(tmp_path / str(number)), "--jobs", "2"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        marks = tmp_path / str(number) / ".writing" / "plan.json"
        await_true(marks.exists)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
        assert "Traceback" not in said


def test_b3_another_writing_into_the_same_folder_is_refused_and_the_same_one_joins(
    slow_tracks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with writing(slow_tracks, out, "--seed", "1") as process:
        for options in ({"seed": 2}, {"seed": 2, "overwrite": True}, {"seed": 2, "n_files": 3}):
            with pytest.raises(
                FolksongError, match=rf"another process writes these shards.*\(process {process.pid} on "
            ):
                write_shards(scan_folder(slow_tracks), out, [], **{"n_files": 6, "jobs": 1, **options})  # type: ignore[arg-type]
        manifest = write_shards(scan_folder(slow_tracks), out, [], n_files=6, jobs=1, seed=1)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert Manifest.read(out) == manifest
    assert (manifest.n_tracks, manifest.provenance["seed"]) == (N_SLOW, 1)
    assert not (out / ".writing").exists()


def test_b3_parts_are_written_side_by_side_and_a_writing_is_not_repaired(
    make_tracks: MakeTracks, tmp_path: Path
) -> None:
    tracks, out = make_tracks(8), tmp_path / "out"
    write_shards(tracks, out, n_files=4, jobs=1, start_stop=(1, 1))
    with Claims(open_store(out), ".writing") as claims:
        assert claims.take("waveform_2")
        write_shards(tracks, out, n_files=4, jobs=1, start_stop=(3, 4))
        with pytest.raises(FolksongError, match="another process writes shards here"):
            repair_shards(out)
    assert not (out / ".writing" / "waveform_2.1.claim").exists()
    assert write_shards(tracks, out, n_files=4, jobs=1).n_tracks == 8


def test_c9_a_recording_removed_during_the_writing_is_left_out_and_named(
    slow_tracks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with writing(slow_tracks, out) as process:
        left = sorted(slow_tracks.glob("*.wav"))
        for path in left[::3]:
            path.unlink()
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    skipped = (out / "skipped.csv").read_text().splitlines()[1:]
    assert skipped
    assert all("no such file" in line for line in skipped)
    assert len(ShardReader(out)) == N_SLOW - len(skipped)


@pytest.mark.parametrize("overwrite", [False, True])
def test_b1_a_place_that_holds_something_else_is_left_alone(
    make_tracks: MakeTracks, tmp_path: Path, overwrite: bool
) -> None:
    tracks = make_tracks(2)
    file, folder, own = tmp_path / "notes.txt", tmp_path / "audio", tmp_path / "old"
    file.write_text("mine")
    own.mkdir()
    (own / "waveform_1.tfrecord").write_bytes(b"of the earlier project")
    before = content(tmp_path)
    for place in (file, folder, own):
        with pytest.raises(FolksongError, match="shards need a folder of their own"):
            write_shards(tracks, place, jobs=1, overwrite=overwrite)
        with pytest.raises(FolksongError, match="need a folder of their own"):
            merge_shards([tmp_path / "nowhere"], place)
    assert content(tmp_path) == before


def test_b1_overwriting_removes_only_what_a_writing_made(make_tracks: MakeTracks, tmp_path: Path) -> None:
    tracks, out = make_tracks(4), tmp_path / "out"
    write_shards(tracks, out, n_files=4, jobs=1)
    (out / "notes.txt").write_text("mine")
    (out / "waveform_9.tfrecord").write_bytes(b"mine")
    write_shards(tracks, out, n_files=2, jobs=1, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "waveform_9.tfrecord").read_bytes() == b"mine"
    assert not (out / "waveform_3.tfrecord").exists()
    assert len(ShardReader(out)) == 4
