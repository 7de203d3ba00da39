"""Workers that crash, hang and go on."""

import os
import sys

import psutil
import pytest

from folksong.audio import guarded
from folksong.audio.guarded import read_guarded, run_guarded
from folksong.audio.workers import Crash, Workers
from folksong.errors import FileFormatError, FolksongError

BODY = """
import ctypes, os, time
def deed(path, factor):
    if path.startswith("crash"):
        ctypes.string_at(0)
    if path.startswith("abort"):
        os.abort()
    if path.startswith("loop"):
        while True: pass
    if path.startswith("once") and not os.path.exists(path):
        open(path, "w").close()
        os._exit(3)
    return path, len(path) * factor
def read(path):
    return deed(path, 1)
def slowly(guard, number):
    time.sleep(1)
    return number
def killed(guard):
    os._exit(9)
"""


@pytest.fixture
def deeds(tmp_path, monkeypatch):
    """A module that workers can import."""
    (tmp_path / "deeds_of_workers.py").write_text(BODY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    import deeds_of_workers

    yield deeds_of_workers
    del sys.modules["deeds_of_workers"]


def run(deeds, batches, jobs=2, limit_seconds=20.0):
    found = {}
    for outcomes in run_guarded(deeds.deed, batches, (3,), jobs=jobs, limit_seconds=limit_seconds):
        for outcome in outcomes:
            assert outcome.path not in found, "each path once"
            found[outcome.path] = outcome
    return found


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_of_all_paths(deeds, jobs):
    batches = [[f"{k}-{n}" for n in range(k % 4)] for k in range(20)]
    found = run(deeds, batches, jobs)
    assert {path: outcome.result for path, outcome in found.items()} == {
        path: (path, len(path) * 3) for batch in batches for path in batch
    }


def test_a_crash_costs_the_culprit_only(deeds):
    batches = [["a1", "crash1", "a2"], ["b1", "b2"], ["abort1"], ["once.txt", "c1"], ["d1", "d2", "d3"]]
    found = run(deeds, batches)
    assert set(found) == {path for batch in batches for path in batch}
    crashed = {path: outcome.crash for path, outcome in found.items() if outcome.crash}
    assert set(crashed) == {"crash1", "abort1"}
    assert crashed["crash1"] == Crash("the decoder crashes on it (signal 11); leave the file out")
    assert "signal 6" in crashed["abort1"].reason
    assert found["once.txt"].result == ("once.txt", 24), "dies once, lives when alone"


def test_a_hang_is_cut_short(deeds):
    found = run(deeds, [["a", "loop"], ["b"]], limit_seconds=2.0)
    assert {path for path, outcome in found.items() if outcome.crash} == {"loop"}
    assert found["loop"].crash == Crash("decoding takes longer than 2 s; leave the file out", may_pass=True)


def test_workers_killed_from_outside(deeds):
    with pytest.raises(FolksongError, match=r"killed from outside.*fewer jobs"), Workers(1) as workers:
        list(workers.map(deeds.killed, [()]))


def test_workers_that_died_while_they_waited_cost_the_next_task_nothing(deeds):
    with Workers(3) as workers:
        assert sorted(workers.map(deeds.slowly, [(number,) for number in range(3)])) == [0, 1, 2]
        for process in psutil.Process().children():
            if "folksong.audio.workers" in " ".join(process.cmdline()):
                process.kill()
                process.wait()
        assert list(workers.map(deeds.slowly, [(4,)])) == [4]


def test_16_c6_a_reading_that_never_ends_or_crashes_is_an_error(deeds, monkeypatch, tmp_path):
    for name in ("plain", "loop", "crash"):
        (tmp_path / name).write_text("x")
    assert read_guarded(deeds.read, "plain") == ("plain", 5)
    monkeypatch.setattr(guarded, "SECONDS_OF_A_READING", 1.0)
    for name, reason in (("loop", "takes longer than"), ("crash", "crashes on it")):
        with pytest.raises(FileFormatError, match=f"{name}: damaged .*{reason}"):
            read_guarded(deeds.read, name)
