"""Several writings of the same shards at once, some killed: nothing lost, nothing twice, the bytes of one process."""

from __future__ import annotations

import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from folksong.audio.catalogue import Track
from folksong.errors import FolksongError
from folksong.shards.encoding import TaskTrack
from folksong.shards.index import Manifest
from folksong.shards.writer import write_shards

MakeTracks = Callable[[int], list[Track]]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
N_FILES = 12
ENTRY = "import sys; from folksong.cli import main; main(sys.argv[1:])"


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".checked.json"
    }


@pytest.fixture
def catalogue(make_tracks: MakeTracks, tmp_path: Path) -> Path:
    path = tmp_path / "tracks.csv"
    lines = [f"{track.track_id},{track.path}" for track in make_tracks(60)]
    path.write_text("\n".join(["track_id,mp3_path", *lines]))
    (tmp_path / "audio" / "007.wav").write_bytes(b"not music")
    return path


def one_process(catalogue: Path, out: Path) -> dict[str, bytes]:
    from folksong.audio.catalogue import read_catalogue

    write_shards(read_catalogue(catalogue), out, n_files=N_FILES, jobs=1)
    return content(out)


def worker(catalogue: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [
        "shards",
        "write",
        str(catalogue),
        str(out),
        "--num-files",
        str(N_FILES),
        "--jobs",
        "1",
        *words,
    ]
    return subprocess.Popen([sys.executable, "-c", ENTRY, *command], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("named", [False, True])
def test_workers_share_the_files_and_each_is_written_once(
    catalogue: Path, tmp_path: Path, named: bool
) -> None:
    out = tmp_path / "out"
    processes = [
        worker(catalogue, out, *(["--worker", f"{number}/3"] if named else [])) for number in (1, 2, 3)
    ]
    times: dict[str, set[int]] = {}
    running = True
    while running:
        running = any(process.poll() is None for process in processes)
        for path in out.glob("*.tfrecord"):
            times.setdefault(path.name, set()).add(path.stat().st_mtime_ns)
        time.sleep(0.001)
    for process in processes:
        assert process.wait() == 0, process.communicate()[1]
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys(
        (f"waveform_{number}.tfrecord" for number in range(1, N_FILES + 1)), 1
    )
    assert content(out) == one_process(catalogue, tmp_path / "one")


def test_killed_workers_lose_nothing(catalogue: Path, tmp_path: Path) -> None:
    expected = one_process(catalogue, tmp_path / "one")
    out, moments = tmp_path / "out", random.Random(0)
    processes = [worker(catalogue, out, "--no-disk-check") for _ in range(3)]
    for _ in range(6):
        time.sleep(moments.uniform(0.2, 0.6))
        place = moments.randrange(3)
        processes[place].kill()
        processes[place].communicate()
        processes[place] = worker(catalogue, out, "--no-disk-check")
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert content(out) == expected


def test_a_worker_that_cannot_go_on_leaves_its_file_to_others(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from folksong.audio.catalogue import read_catalogue
    from folksong.shards import encoding

    tracks, out = read_catalogue(catalogue), tmp_path / "out"

    def full(*_: object) -> None:
        raise FolksongError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(encoding, "write_records", full)
        with pytest.raises(FolksongError, match="the disk is full"):
            write_shards(tracks, out, n_files=N_FILES, jobs=1, check_disk=False)
    assert [path.name for path in (out / ".writing").iterdir()] == ["plan.json"]
    assert write_shards(tracks, out, n_files=N_FILES, jobs=1).n_tracks == 59


def test_a_worker_is_one_of_so_many(catalogue: Path, tmp_path: Path) -> None:
    from folksong.audio.catalogue import read_catalogue

    with pytest.raises(FolksongError, match="worker 3 of 2: workers count from 1"):
        write_shards(read_catalogue(catalogue), tmp_path / "out", worker=(3, 2))
    _, said = worker(catalogue, tmp_path / "out", "--worker", "1-2").communicate()
    assert "'1-2' is not I/N, such as 3/20" in said


def test_the_job_array_of_the_docs_runs_as_it_is(catalogue: Path, tmp_path: Path) -> None:
    (script,) = re.findall(
        r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    (tmp_path / "shards.sbatch").write_text(script)
    command = tmp_path / "bin" / "folksong"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{ENTRY}" "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "tags.csv").write_text("track,tag\nTR000,calm\n")

    def task(number: int) -> subprocess.Popen[str]:
        given = {
            "SLURM_ARRAY_TASK_ID": str(number),
            "SLURM_ARRAY_TASK_COUNT": "2",
            "SLURM_CPUS_PER_TASK": "1",
        }
        paths = {"TRACKS": "tracks.csv", "TAGS": "tags.csv", "OUT": "out"}
        environment = {**os.environ, **given, **paths, "PATH": f"{command.parent}:{os.environ['PATH']}"}
        return subprocess.Popen(
            ["bash", "shards.sbatch"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    first, second = task(1), task(2)
    while second.poll() is None and not list((tmp_path / "out").glob(".writing/*.claim")):
        time.sleep(0.01)
    with suppress(ProcessLookupError):  # it has done all
        os.killpg(second.pid, signal.SIGKILL)
    second.communicate()
    _, said = first.communicate(timeout=300)
    assert first.returncode == 0, said
    manifest = Manifest.read(tmp_path / "out")
    assert (manifest.n_tracks, manifest.audio_format) == (59, "log-mel-spectrogram")


def test_a_worker_that_slept_leaves_what_others_wrote(catalogue: Path, tmp_path: Path) -> None:
    """It wakes in the middle of its shard: the others have noted that one, or the folder is complete."""
    from folksong.audio.catalogue import read_catalogue
    from folksong.audio.workers import Guard
    from folksong.shards.encoding import Encoding, put_shard

    out = tmp_path / "out"
    before = one_process(catalogue, out)
    name = Manifest.read(out).files[0].name
    tracks = [TaskTrack(track.track_id, str(track.path), ()) for track in read_catalogue(catalogue)[:3]]
    encoding, inputs = Encoding(16000, None, "float32"), "as of the plan"
    assert put_shard(Guard(), str(out), name, tracks, encoding, 60.0, inputs) == (name, 3)
    assert content(out) == before
    (out / "manifest.json").rename(tmp_path / "manifest.json")
    assert put_shard(Guard(), str(out), name, tracks, encoding, 60.0, inputs) == (name, 3)  # nobody noted it
    assert (out / name).read_bytes() != before[name]
    noted = content(out)
    assert put_shard(Guard(), str(out), name, tracks[:1], encoding, 60.0, inputs) == (name, 1)
    assert content(out) == noted


def test_a_finished_folder_that_lost_something_is_not_taken_for_whole(
    catalogue: Path, tmp_path: Path
) -> None:
    from folksong.audio.catalogue import read_catalogue

    out = tmp_path / "out"
    one_process(catalogue, out)
    first, second = (out / file.name for file in Manifest.read(out).files[:2])
    os.truncate(first, first.stat().st_size // 2)
    second.unlink()
    with pytest.raises(
        FolksongError, match=rf"not as long as they were.*{first.name}, {second.name}.*repairing"
    ):
        write_shards(read_catalogue(catalogue), out, n_files=N_FILES, jobs=1)
