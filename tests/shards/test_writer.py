from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from folksong.audio.catalogue import Track, scan_folder
from folksong.audio.decode import decode
from folksong.audio.log_mel import log_mel, read_preset
from folksong.errors import FolksongError
from folksong.shards import writer
from folksong.shards.index import Manifest
from folksong.shards.reader import ShardReader
from folksong.shards.writer import write_shards
from folksong.stores import Store
from folksong.tags.table import TagTable

MakeTracks = Callable[[int], list[Track]]


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a folder, but for the notes on what was checked."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".checked.json"
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_waveforms_and_tags_come_back(make_tracks: MakeTracks, tags: TagTable, tmp_path: Path) -> None:
    tracks = make_tracks(7)
    manifest = write_shards(tracks, tmp_path / "out", tags, n_files=3, jobs=1)
    assert sorted(content(tmp_path / "out")) == sorted(
        ["manifest.json", "skipped.csv", "damaged.csv"]
        + [f"waveform_{number}.tfrecord{ending}" for number in (1, 2, 3) for ending in ("", ".index")]
    )
    assert manifest == Manifest.read(tmp_path / "out")
    assert manifest.n_tracks == 7
    assert manifest.provenance["n_untagged"] == 1
    reader = ShardReader(tmp_path / "out")
    assert set(reader.track_ids) == {track.track_id for track in tracks}
    assert list(reader.track_ids) != [track.track_id for track in tracks], "the seed shuffles"
    for i, track_id in enumerate(reader.track_ids):
        track = next(track for track in tracks if track.track_id == track_id)
        np.testing.assert_array_equal(reader.audio(i), decode(track.path))
        names, weights = reader.tags(i)
        assert list(zip(names, weights or [], strict=True)) == tags.tags_of(track_id)


def test_spectrograms_come_back(make_tracks: MakeTracks, tmp_path: Path) -> None:
    tracks = make_tracks(2)
    manifest = write_shards(
        tracks,
        tmp_path / "out",
        audio_format="log-mel-spectrogram",
        n_mels=40,
        sample_rate=8000,
        n_files=1,
        jobs=1,
    )
    assert manifest.preset is not None
    assert (manifest.preset.n_mels, manifest.preset.sample_rate) == (40, 8000)
    reader = ShardReader(tmp_path / "out")
    for i, track_id in enumerate(reader.track_ids):
        path = next(track.path for track in tracks if track.track_id == track_id)
        expected = log_mel(decode(path, 8000), manifest.preset)
        np.testing.assert_allclose(reader.audio(i), expected, atol=1e-4)
    assert (reader.manifest.n_tag_databases, len(reader)) == (0, 2)


def test_the_bytes_do_not_depend_on_processes_and_change_with_the_seed(
    make_tracks: MakeTracks, tags: TagTable, tmp_path: Path
) -> None:
    tracks = make_tracks(9)
    for name, options in {"one": {"jobs": 1}, "two": {"jobs": 2}, "seed": {"jobs": 1, "seed": 1}}.items():
        write_shards(tracks, tmp_path / name, tags, audio_format="log-mel-spectrogram", n_files=4, **options)  # type: ignore[arg-type]
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one") != content(tmp_path / "seed")


def test_several_tag_databases(make_tracks: MakeTracks, tags: TagTable, tmp_path: Path) -> None:
    plain = TagTable.from_pairs(["TR000", "TR006"], ["a", "b"])
    write_shards(make_tracks(7), tmp_path / "out", [tags, plain], n_files=2, jobs=1)
    reader = ShardReader(tmp_path / "out")
    first = reader.track_ids.index("TR000")
    assert reader.tags(first, 0) == (["rock", "hip hop"], [100.0, 40.0])
    assert reader.tags(first, 1) == (["a"], None)
    assert reader.tag_table(1).tags.tolist() == ["a", "b"]
    assert b"tags_0_weight" in (tmp_path / "out" / "waveform_1.tfrecord").read_bytes()


def test_broken_recordings_are_listed_and_the_rest_is_written(
    make_tracks: MakeTracks, tags: TagTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracks = make_tracks(6)
    tracks[1].path.write_bytes(b"")
    tracks[2].path.write_text("not music")
    tracks[3].path.unlink()
    odd = tmp_path / "audio" / os.fsdecode(b"caf\xe9.wav")
    odd.write_bytes(b"RIFF")
    catalogue = [*tracks, Track("TRodd", odd), Track("TR000", tracks[4].path), Track("TRdir", tmp_path)]
    manifest = write_shards(catalogue, tmp_path / "out", tags, n_files=2, jobs=1)
    skipped = rows(tmp_path / "out" / "skipped.csv")
    assert [row["track_id"] for row in skipped] == ["TR000", "TR001", "TR002", "TR003", "TRdir", "TRodd"]
    reasons = {row["track_id"]: row["reason"] for row in skipped}
    assert reasons["TR000"] == f"the track id occurs twice; {tracks[0].path} is taken"
    assert str(tracks[1].path) in reasons["TR001"]
    assert "no such file" in reasons["TR003"]
    assert "caf\\xe9.wav" in skipped[-1]["path"]
    assert manifest.n_tracks == 3
    assert manifest.provenance["n_skipped"] == 6
    assert sorted(ShardReader(tmp_path / "out").track_ids) == ["TR000", "TR004", "TR005"]
    assert "have the id of another one" in caplog.text


def test_a_recording_of_which_a_part_is_left_is_written_and_listed(
    make_tracks: MakeTracks, tmp_path: Path
) -> None:
    import soundfile

    tracks = make_tracks(2)
    cut = tmp_path / "audio" / "cut.mp3"
    soundfile.write(cut, np.random.default_rng(0).normal(0, 0.1, 48000), 16000)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2 + 7])
    write_shards([*tracks, Track("TRcut", cut)], tmp_path / "out", n_files=1, jobs=1)
    damaged = rows(tmp_path / "out" / "damaged.csv")
    assert [row["track_id"] for row in damaged] == ["TRcut"]
    reader = ShardReader(tmp_path / "out")
    assert 0 < reader.n_steps[reader.track_ids.index("TRcut")] < 48000


def test_nothing_to_write_is_an_error(make_tracks: MakeTracks, tmp_path: Path) -> None:
    with pytest.raises(FolksongError, match="there are no tracks to write"):
        write_shards([], tmp_path / "out")
    tracks = make_tracks(2)
    for track in tracks:
        track.path.write_bytes(b"")
    with pytest.raises(FolksongError, match=r"none of the 2 tracks could be read; the first: .*\.wav"):
        write_shards(tracks, tmp_path / "out", jobs=1)
    assert sorted(content(tmp_path / "out")) == ["damaged.csv", "skipped.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"audio_format": "midi"}, "audio format 'midi'; known are waveform, log-mel-spectrogram"),
        ({"storage": "int8"}, "storage 'int8'; known are float32, float16, int16"),
        ({"sample_rate": 0}, "a sample rate of 0 Hz"),
        ({"n_files": 0}, "the number of files must be 1 or more, not 0"),
        ({"n_files": 2, "start_stop": (2, 3)}, "files 2 to 3: there are files 1 to 2"),
        ({"audio_format": "log-mel-spectrogram", "preset": "urop2018"}, "did you mean 'urop2019'"),
    ],
)
def test_wrong_settings_are_errors(
    make_tracks: MakeTracks, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(FolksongError, match=message):
        write_shards(make_tracks(2), tmp_path / "out", jobs=1, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_finished_folder_is_left_alone_unless_told(
    make_tracks: MakeTracks, tags: TagTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracks, out = make_tracks(3), tmp_path / "out"
    caplog.set_level("INFO", "folksong")
    first = write_shards(tracks, out, tags, jobs=1)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert write_shards(tracks, out, tags, jobs=1) == first
    assert "written already; nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(FolksongError, match=r"holds shards of other tracks, tags or settings.*overwrite"):
        write_shards(tracks[:2], out, tags, jobs=1)
    again = write_shards(tracks[:2], out, tags, jobs=1, overwrite=True)
    assert len(list(out.glob("*.tfrecord"))) == len(again.files) == 2


def test_files_of_something_else_are_not_mixed_in(make_tracks: MakeTracks, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other.tfrecord").write_bytes(b"")
    with pytest.raises(FolksongError, match=r"out: holds files of something else \(other.tfrecord\)"):
        write_shards(make_tracks(2), tmp_path / "out", jobs=1)


def test_parts_written_apart_make_the_same_whole(
    make_tracks: MakeTracks, tags: TagTable, tmp_path: Path
) -> None:
    tracks = make_tracks(8)
    write_shards(tracks, tmp_path / "whole", tags, n_files=4, jobs=1)
    part = write_shards(tracks, tmp_path / "parts", tags, n_files=4, jobs=1, start_stop=(3, 4))
    assert [file.name for file in part.files] == ["waveform_3.tfrecord", "waveform_4.tfrecord"]
    with pytest.raises(FolksongError, match="not finished"):
        ShardReader(tmp_path / "parts")
    with pytest.raises(FolksongError, match="holds an unfinished writing of other tracks"):
        write_shards(tracks, tmp_path / "parts", tags, n_files=3, jobs=1)
    write_shards(tracks, tmp_path / "parts", tags, n_files=4, jobs=1, start_stop=(1, 2))
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


KILLED = """
import sys
from folksong.audio.catalogue import read_catalogue
from folksong.shards.writer import write_shards
write_shards(read_catalogue(sys.argv[1]), sys.argv[2], n_files=6, jobs=2)
"""


def test_a_killed_writing_continues_to_the_same_bytes(slow_tracks: Path, tmp_path: Path) -> None:
    tracks = scan_folder(slow_tracks)
    catalogue = tmp_path / "catalogue.csv"
    lines = [f"{track.track_id},{track.path}" for track in tracks]
    catalogue.write_text("\n".join(["track_id,mp3_path", *lines]))
    write_shards(tracks, tmp_path / "whole", n_files=6, jobs=1)
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(catalogue), str(out)], start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("waveform_*.tfrecord")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists()
    debris = out / ".waveform_6.tfrecord.0123abcd.part"
    debris.write_bytes(b"of the process that died")
    write_shards(tracks, out, n_files=6, jobs=1)
    assert content(out) == content(tmp_path / "whole")


def test_c2_a_pipe_among_the_recordings_is_left_out(make_tracks: MakeTracks, tmp_path: Path) -> None:
    tracks = make_tracks(5)
    pipe = tmp_path / "audio" / "pipe.mp3"
    os.mkfifo(pipe)  # opening it waits for a writer that never comes
    catalogue = [*tracks, Track("TRpipe", pipe)]
    manifest = write_shards(
        catalogue, tmp_path / "out", n_files=2, jobs=2, limit_seconds=2.0, check_disk=False
    )
    assert manifest.n_tracks == 5
    (skipped,) = rows(tmp_path / "out" / "skipped.csv")
    assert skipped["track_id"] == "TRpipe"
    assert "pipe.mp3: is a pipe" in skipped["reason"]


def test_a_writing_killed_while_it_tidies_up_is_tidied_up_by_the_next(
    make_tracks: MakeTracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, out = make_tracks(4), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(writer.Claims, "clear", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_shards(tracks, out, n_files=2, jobs=1)
    assert (out / ".writing" / "plan.json").exists()
    assert write_shards(tracks, out, n_files=2, jobs=1).n_tracks == 4
    assert not (out / ".writing").exists()


@pytest.mark.parametrize("n_deletions", [0, 1, 3, 9])
def test_an_overwriting_killed_while_it_clears_goes_on(
    make_tracks: MakeTracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_deletions: int
) -> None:
    tracks, out, left = make_tracks(4), tmp_path / "out", iter(range(n_deletions))
    expected = write_shards(tracks, tmp_path / "new", n_files=2, jobs=1, seed=1)
    write_shards(tracks, out, n_files=4, jobs=1)
    delete = Store.delete

    def killed(self: Store, name: str) -> None:
        if not name.endswith(".claim") and next(left, None) is None:
            raise KeyboardInterrupt
        delete(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            write_shards(tracks, out, n_files=2, jobs=1, seed=1, overwrite=True)
    if n_deletions:
        with pytest.raises(FolksongError, match="unfinished writing of other tracks, tags or settings"):
            write_shards(tracks, out, n_files=4, jobs=1)
    assert write_shards(tracks, out, n_files=2, jobs=1, seed=1, overwrite=not n_deletions) == expected
    assert content(out) == content(tmp_path / "new")
    assert not (out / ".writing").exists()
    assert len(list(out.glob("*.tfrecord"))) == 2


@pytest.mark.parametrize("finished", [False, True])
def test_a_writing_that_slept_while_another_began_ends(
    make_tracks: MakeTracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    tracks, out = make_tracks(6), tmp_path / "out"
    expected = write_shards(tracks, tmp_path / "other", n_files=3, jobs=1, seed=1)
    put, asleep = writer.put_shard, iter([True])

    def sleep(*task: object) -> object:
        if next(asleep, False):  # its claims have run out meanwhile
            with monkeypatch.context() as patch:
                patch.setattr(writer.Claims, "holder_of", lambda *_: None)
                if not finished:
                    patch.setattr(writer._Writing, "write", lambda *_: None)
                write_shards(tracks, out, n_files=3, jobs=1, seed=1, overwrite=True)
        return put(*task)

    monkeypatch.setattr(writer, "put_shard", sleep)
    with pytest.raises(FolksongError, match=r"another writing was begun|holds shards of other tracks"):
        write_shards(tracks, out, n_files=3, jobs=1)
    assert write_shards(tracks, out, n_files=3, jobs=1, seed=1) == expected
    assert content(out) == content(tmp_path / "other")


def test_a_writing_is_noticed_at_every_moment(make_tracks: MakeTracks, tmp_path: Path) -> None:
    tracks, out, seen = make_tracks(4), tmp_path / "out", []
    finish = writer._Writing.finish

    def look(self: writer._Writing) -> object:
        with pytest.raises(FolksongError, match="another process writes these shards"):
            write_shards(tracks, out, n_files=3, jobs=1, overwrite=True)
        seen.append(self.plan.n_files)
        return finish(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer._Writing, "finish", look)
        assert write_shards(tracks, out, n_files=2, jobs=1).n_tracks == 4
    assert seen == [2]


def children() -> list[int]:
    """The workers of this process."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int(place.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"folksong.audio.workers" in place.joinpath("cmdline").read_bytes():
                found.append(int(place.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_worker_that_is_killed_from_outside_costs_nothing(slow_tracks: Path, tmp_path: Path) -> None:
    tracks = scan_folder(slow_tracks)
    write_shards(tracks, tmp_path / "whole", n_files=6, jobs=1)
    out = tmp_path / "out"
    killed = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not list(out.glob("waveform_*.tfrecord")) and time.monotonic() < deadline:
            time.sleep(0.001)
        for process in children()[:1]:
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    killer = threading.Thread(target=kill_one)
    killer.start()
    write_shards(tracks, out, n_files=6, jobs=2)
    killer.join()
    assert killed
    assert content(out) == content(tmp_path / "whole")


def test_a_disk_too_small_is_refused_before_the_start(
    make_tracks: MakeTracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracks = make_tracks(4)
    caplog.set_level("INFO", "folksong")
    needed = write_shards(tracks, tmp_path / "fits", jobs=1).n_bytes
    assert "4 tracks with 1 job: about" in caplog.text
    monkeypatch.setattr(writer, "free_bytes", lambda _: needed)
    with pytest.raises(
        FolksongError, match=r"out: the disk is too small: the shards need about .*, and .* are free"
    ):
        write_shards(tracks, tmp_path / "out", jobs=1)
    assert not list((tmp_path / "out").glob("*.tfrecord"))
    write_shards(tracks, tmp_path / "out", jobs=1, check_disk=False)


def test_an_estimate_is_near_the_truth(make_tracks: MakeTracks, tmp_path: Path) -> None:
    from folksong.audio.workers import Workers
    from folksong.shards.encoding import estimate_write, make_encoding
    from folksong.shards.plan import make_plan

    tracks = make_tracks(30)
    encoding = make_encoding("log-mel-spectrogram", 16000, read_preset("urop2019"), None, "float32")
    plan = make_plan(tracks, [], encoding, 2, 0)
    with Workers(1, isolated=False) as workers:
        guess = estimate_write([plan.task_track(i) for i in range(30)], 30, encoding, workers)
    truth = write_shards(tracks, tmp_path / "out", audio_format="log-mel-spectrogram", jobs=1).n_bytes
    assert guess is not None
    assert guess.n_tried == 8
    assert abs(guess.record_bytes - truth) < 0.1 * truth


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_fills_up_is_a_clear_error_and_the_writing_continues(
    make_tracks: MakeTracks, small_disk: Path
) -> None:
    tracks = make_tracks(12)  # 8 to 12 kB each
    with pytest.raises(FolksongError, match=r"waveform_\d.tfrecord: the disk is full .*free some space"):
        write_shards(tracks, small_disk / "out", n_files=4, jobs=1, check_disk=False)
    out = small_disk / "out"
    assert not list(out.glob(".*.part"))
    assert not (out / "manifest.json").exists()
    finished = {path.name for path in out.glob("*.tfrecord")}
    assert 1 <= len(finished) < 4
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    manifest = write_shards(tracks, out, n_files=4, jobs=1)
    assert manifest.n_tracks == 12
    assert ShardReader(out).n_steps.sum() == sum(2000 + 100 * number for number in range(12))


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from folksong.audio.catalogue import scan_folder
from folksong.errors import FolksongError
from folksong.shards.writer import write_shards
try:
    write_shards(scan_folder(sys.argv[1]), sys.argv[2], n_files=1, jobs=1, check_disk=False)
except FolksongError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_is_a_clear_error(make_tracks: MakeTracks, tmp_path: Path) -> None:
    make_tracks(12)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "audio"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "waveform_1.tfrecord: File too large" in done.stdout, done.stderr
    assert not list((tmp_path / "out").glob("*.tfrecord")) + list((tmp_path / "out").glob(".*.part"))


@pytest.mark.parametrize(("storage", "least_db"), [("float32", np.inf), ("int16", 85), ("float16", 65)])
def test_the_loss_of_each_storage(
    make_tracks: MakeTracks, tmp_path: Path, storage: str, least_db: float
) -> None:
    tracks = make_tracks(3)
    manifest = write_shards(tracks, tmp_path / "out", storage=storage, n_files=1, jobs=1)
    reader = ShardReader(tmp_path / "out")
    assert manifest.storage == reader.manifest.storage == storage
    for i, track_id in enumerate(reader.track_ids):
        exact = decode(next(track.path for track in tracks if track.track_id == track_id)).astype(float)
        error = ((reader.audio(i) - exact) ** 2).mean()
        with np.errstate(divide="ignore"):
            assert 10 * np.log10((exact**2).mean() / error) >= least_db
        np.testing.assert_array_equal(reader.window(i, 100, 50), reader.audio(i)[100:150])
        np.testing.assert_array_equal(reader.window(i, 0, 6000), np.resize(reader.audio(i), 6000))


def test_int16_takes_the_nearest_number() -> None:
    from folksong.shards.encoding import store_audio

    audio = np.random.default_rng(0).uniform(-1, 1, 10_000).astype(np.float32)
    audio[0] = 1.0  # the peak: a step is 1 / 32767
    (content,) = store_audio(audio, "int16")["audio"]
    error = np.frombuffer(content, "<i2") - audio.astype(float) * 32767
    assert np.abs(error).max() < 0.51
    assert abs(error.mean()) < 0.02
    nearest = store_audio(np.array([1.0, 0.7 / 32767, -0.7 / 32767, 0.3 / 32767], np.float32), "int16")
    assert np.frombuffer(nearest["audio"][0], "<i2").tolist() == [32767, 1, -1, 0]


def test_silence_and_the_loudest_sample_survive_int16() -> None:
    from folksong.shards.encoding import store_audio

    stored = store_audio(np.zeros(4, np.float32), "int16")
    assert stored["audio_scale"][0] == 1
    stored = store_audio(np.array([-3.5, 3.5, 0], np.float32), "int16")
    np.testing.assert_array_equal(np.frombuffer(stored["audio"][0], "<i2"), [-32767, 32767, 0])  # type: ignore[arg-type]
