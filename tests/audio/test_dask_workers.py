"""A Dask cluster in the place of processes: the same results, whatever dies in the middle."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from folksong.audio import guarded
from folksong.audio.catalogue import scan_folder
from folksong.audio.guarded import DaskWorkers
from folksong.audio.scan import scan_tree
from folksong.errors import FolksongError
from folksong.prediction.embed_audio import embed_audio
from folksong.shards.writer import write_shards

distributed = pytest.importorskip("distributed")


DEEDS = """
import os, signal, time
from pathlib import Path
from types import ModuleType

def add(guard, numbers):
    return sum(numbers) + 0 // len(numbers)

def dies(guard, marks, times):
    n_before = len(list(Path(marks).iterdir()))
    if n_before < times:
        Path(marks, str(n_before)).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return n_before
"""


@pytest.fixture(scope="module")
def deeds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A module of functions, which the cluster's workers can import too."""
    folder = tmp_path_factory.mktemp("deeds")
    (folder / "deeds_on_dask.py").write_text(DEEDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield importlib.import_module("deeds_on_dask")


@pytest.fixture(scope="module")
def cluster(deeds: ModuleType) -> Iterator[distributed.LocalCluster]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture
def audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recordings, one of them broken, by a path that is relative."""
    (tmp_path / "audio").mkdir()
    for number in range(40):
        sound = np.random.default_rng(number).normal(0, 0.1, 16000 + 400 * number)
        soundfile.write(tmp_path / "audio" / f"{number:02d}.mp3", sound, 16000)
    (tmp_path / "audio" / "07.mp3").write_bytes(b"no music")
    monkeypatch.chdir(tmp_path)
    return Path("audio")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".checked.json"
    }


def test_shards_of_a_cluster_whose_workers_are_killed(audio: Path, cluster: distributed.LocalCluster) -> None:
    tracks, address = scan_folder(audio), cluster.scheduler_address
    write_shards(tracks, "one", n_files=12, jobs=1)
    ended, killed, moments = threading.Event(), set[int](), random.Random(0)

    def kill() -> None:
        while len(killed) < 4 and not ended.wait(moments.uniform(0.02, 0.3)):
            if running := [nanny.pid for nanny in cluster.workers.values() if nanny.pid]:
                process = moments.choice(running)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.add(process)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        write_shards(tracks, "many", n_files=12, dask=address)
    finally:
        ended.set()
        killer.join()
    assert killed
    assert content(Path("many")) == content(Path("one"))


def test_a_scan_and_embeddings_of_a_cluster(audio: Path, cluster: distributed.LocalCluster) -> None:
    address = cluster.scheduler_address
    scan_tree(audio, "one.csv", jobs=1)
    scan_tree(audio, "many.csv", dask=address)
    assert Path("many.csv").read_text() == Path("one.csv").read_text()
    one = embed_audio(audio, "one", "statistics", jobs=1)
    many = embed_audio(audio, "many", "statistics", dask=address)
    assert many.track_ids == one.track_ids
    np.testing.assert_array_equal(many.values, one.values)


def test_results_and_errors_come_back(deeds: ModuleType, cluster: distributed.LocalCluster) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2)  # a test before may have killed some
    with DaskWorkers(cluster.scheduler_address) as workers:
        assert workers.jobs == 2
        found = workers.map(deeds.add, (([number, 1],) for number in range(20)))
        assert sorted(found) == list(range(1, 21))
        with pytest.raises(ZeroDivisionError):
            list(workers.map(deeds.add, [([],)]))


def test_a_task_whose_workers_die_is_done_again_but_not_for_ever(
    deeds: ModuleType, cluster: distributed.LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DaskWorkers(cluster.scheduler_address) as workers:
        assert list(workers.map(deeds.dies, [(str(tmp_path), 5)])) == [5], (
            "Dask itself gives up at the fourth"
        )
        monkeypatch.setattr(guarded, "TRIES", 0)
        with pytest.raises(FolksongError, match="Dask's workers keep dying"):
            list(workers.map(deeds.dies, [(str(tmp_path), 100)]))


def test_an_address_without_a_scheduler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "SECONDS_TO_CONNECT", 1)
    with pytest.raises(
        FolksongError, match=r"tcp://127\.0\.0\.1:1: no Dask scheduler with workers answers there"
    ):
        DaskWorkers("tcp://127.0.0.1:1")
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(FolksongError, match=r'pip install "folksong\[dask\]"'):
        DaskWorkers("tcp://127.0.0.1:1")
