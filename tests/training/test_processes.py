"""Trainings of several processes: what two compute is what one does, and what ends one ends all."""

from __future__ import annotations

import json
import multiprocessing
import runpy
import signal
import socket
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from folksong.cli import main
from folksong.errors import FolksongError
from folksong.models import tagger as network
from folksong.models.checkpoint import read_checkpoint
from folksong.runs import Run
from folksong.shards.reader import ShardReader
from folksong.splits import Split
from folksong.training import distributed
from folksong.training.config import RuntimeSettings
from folksong.training.distributed import find_gpus, joined, speaks
from folksong.training.resume import resume

SHARE = Path(__file__).parent / "process_share.py"
SECONDS_TO_END = 200  # for each process after the one before
FAILED = ([3, 1], [3, -signal.SIGKILL])
"""Exit codes where the first says what is wrong. The other ends too: by itself, or by whoever started it, as torchrun
does, where it hangs in closing its connection to one that is gone (seen once; its log then says where)."""


@pytest.fixture(scope="module")
def context():
    """Processes forked from one that has imported everything, so that each begins at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["folksong.training.train"])
    return context


def free_port():
    """Return a port that no outgoing connection is given, as those of the range for such are, before it is used."""
    for port in np.random.default_rng().permutation(np.arange(20000, 32000)).tolist():
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError


class Outcome:
    def __init__(self, folder, logs, records, exit_codes):
        self.run = Run(folder, {})
        self.says = [log.read_text() for log in logs]
        self.steps = [torch.load(path) if path.exists() else None for path in records]
        self.exit_codes = exit_codes


@pytest.fixture
def run_processes(context, shards, tmp_path, config):
    """Train in processes connected as torchrun connects them; a `signal` is for the last of them."""
    number = iter(range(100))

    def run(name, n, *, call="train", settings=None, last=None, shards_dir=shards, by_node=False, **case):
        port = free_port()
        place = tmp_path / f"call{next(number)}"
        place.mkdir()
        processes, logs, records = [], [], []
        for rank in range(n):
            logs.append(place / f"{rank}.log")
            records.append(place / f"{rank}.pt")
            place_in_all = {"NODE_RANK": rank} if by_node else {"RANK": rank, "WORLD_SIZE": n}
            environment = {**place_in_all, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            given = {
                "environment": {key: str(value) for key, value in environment.items()},
                "log": str(logs[-1]), "record": str(records[-1]), "call": call, "options": {},
                "seconds": SECONDS_TO_END,
                "folder": str(tmp_path / name), "shards": str(shards_dir),
                "config": (settings or config(batch_size=6 // n)).to_dict(),
                **case, **((last or {}) if rank == n - 1 else {}),
            }  # fmt: skip
            processes.append(context.Process(target=runpy.run_path, args=(str(SHARE), {"CASE": given})))
            processes[-1].start()
        for process, log in zip(processes, logs, strict=True):
            process.join(SECONDS_TO_END)
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL and (trace := log.with_suffix(".trace").read_text()):
                warnings.warn(f"did not end:\n{trace}", stacklevel=2)
        return Outcome(tmp_path / name, logs, records, [process.exitcode for process in processes])

    return run


def weights_of(run):
    return read_checkpoint(run.last_checkpoint)["tagger"]


def same_weights(one, other):
    one, other = weights_of(one), weights_of(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_two_processes_compute_what_one_does(run_processes):
    options = {"epochs": 2}
    one = run_processes("one", 1, frozen=True, options=options)
    two = run_processes("two", 2, frozen=True, options=options)
    assert one.exit_codes == [0]
    assert two.exit_codes == [0, 0], two.says
    (alone,) = one.steps
    first, second = two.steps
    assert len(alone) == len(first) == len(second) == 6
    for step, a, b in zip(alone, first, second, strict=True):
        assert step["tracks"] == a["tracks"] + b["tracks"]
    for epoch in (first[:3] + second[:3], first[3:] + second[3:]):
        tracks = [track for step in epoch for track in step["tracks"]]
        assert len(tracks) == len(set(tracks)) == 18
    for name, gradient in alone[0]["gradients"].items():
        torch.testing.assert_close(first[0]["gradients"][name], gradient, atol=1e-6, rtol=1e-6)
        assert torch.equal(first[0]["gradients"][name], second[0]["gradients"][name])
    for expected, row in zip(one.run.history(), two.run.history(), strict=True):
        assert row == pytest.approx(expected, abs=1e-5)
    assert "epoch 2/2" in two.says[0]
    assert two.says[1] == ""


def test_two_machines_compute_what_one_does(run_processes):
    options = {"epochs": 1, "processes": 1}
    one = run_processes("one", 1, frozen=True, options=options)
    two = run_processes("two", 2, frozen=True, options={**options, "num_nodes": 2}, by_node=True)
    assert (one.exit_codes, two.exit_codes) == ([0], [0, 0]), two.says
    for step, a, b in zip(one.steps[0], *two.steps, strict=True):
        assert step["tracks"] == a["tracks"] + b["tracks"]
    assert two.run.history()[0] == pytest.approx(one.run.history()[0], abs=1e-5)
    assert two.says[1] == ""


def test_accumulated_batches_compute_what_a_large_one_does(run_processes, config):
    one = run_processes("one", 1, frozen=True, options={"epochs": 1})
    settings = config(batch_size=3, accumulate_batches=2)
    two = run_processes("two", 1, frozen=True, options={"epochs": 1}, settings=settings)
    (large,), (small,) = one.steps, two.steps
    assert len(small) == 2 * len(large) == 6
    for number, step in enumerate(large):
        first, second = small[2 * number : 2 * number + 2]
        assert step["tracks"] == first["tracks"] + second["tracks"]
    for name, gradient in large[0]["gradients"].items():
        torch.testing.assert_close(small[1]["gradients"][name], gradient, atol=1e-6, rtol=1e-6)
    assert two.run.history()[0] == pytest.approx(one.run.history()[0], abs=1e-5)


def test_killed_processes_resume_to_the_same_bits(run_processes, config):
    options = {"epochs": 2, "steps_per_epoch": 4, "save_every": 2}
    settings = config(
        batch_size=2, accumulate_batches=2, augmentation={"time_masks": 1, "time_mask_seconds": 0.2}
    )
    whole = run_processes("whole", 2, settings=settings, options=options)
    last = {"signal": [8, signal.SIGKILL]}
    killed = run_processes("cut", 2, settings=settings, options=options, last=last)
    assert killed.exit_codes == [3, -signal.SIGKILL]
    assert "another process of the training died" in killed.says[0]
    assert read_checkpoint(killed.run.last_checkpoint)["step"] == 6
    resumed = run_processes("cut", 2, call="resume")
    assert resumed.exit_codes == [0, 0], resumed.says
    assert same_weights(whole.run, resumed.run)
    assert whole.run.metrics_path.read_text() == resumed.run.metrics_path.read_text()


def test_a_signal_to_one_process_ends_all_and_another_number_can_go_on(run_processes):
    options = {"epochs": 2, "steps_per_epoch": 4}
    cut = run_processes("cut", 2, options=options, last={"signal": [6, signal.SIGTERM]})
    assert cut.exit_codes in FAILED
    assert "interrupted; " in cut.says[0]
    assert cut.says[1] == ""
    assert read_checkpoint(cut.run.last_checkpoint)["step"] == 6
    run = resume(cut.run.path)
    whole = run_processes("whole", 2, options=options)
    assert [row["step"] for row in run.history()] == [row["step"] for row in whole.run.history()] == [4, 8]
    assert run.history()[1]["loss"] == pytest.approx(whole.run.history()[1]["loss"], rel=0.1)


def test_sound_that_is_not_finite_is_named_once(run_processes, write_shards, tmp_path, config):
    sounds = [np.zeros((96, 30), np.float32) + number for number in range(20)]
    sounds[7][5, :] = np.nan
    folder = write_shards(tmp_path / "broken", sounds, [[["a"], ["b"]] * 10])
    split = Split(tuple(f"T{number:03d}" for number in range(20)), (), ())
    options = {"epochs": 4, "split": split}
    ended = run_processes("run", 2, shards_dir=folder, settings=config(batch_size=3), options=options)
    assert ended.exit_codes in FAILED
    assert "the audio of these tracks is not finite: T007; write their shards anew" in ended.says[0]
    assert ended.says[1] == ""


def test_gradients_that_are_not_finite_name_tracks_of_all_processes(run_processes, shards):
    ended = run_processes("run", 2, options={"epochs": 2}, last={"explode": 2})
    assert ended.exit_codes in FAILED
    (message,) = [
        line for line in ended.says[0].splitlines() if "after step 1: the norm of the gradients" in line
    ]
    training = set(Run.open(ended.run.path).split.training)
    records = [t for t in ShardReader(shards).track_ids if t in training and int(t[1:]) % 8 != 7]
    for steps in ended.steps:
        assert all(records[position] in message for position in steps[1]["tracks"])


def test_what_fails_before_the_training_is_said_once(run_processes, tmp_path):
    ended = run_processes("run", 2, options={"labels": str(tmp_path / "none.labels.json")})
    assert ended.exit_codes in FAILED
    assert "none.labels.json: no such file" in ended.says[0]
    assert ended.says[1] == ""
    assert not (tmp_path / "run").exists()


def test_the_command_line_starts_processes_and_torchrun_goes_on(shards, tmp_path, config, monkeypatch):
    monkeypatch.setattr(network, "N_FILTERS", 512)  # the processes that are started know no other
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config_file = tmp_path / "config.json"
    config_file.write_text(json.dumps(config(batch_size=3).to_dict()))
    words = [
        "log-mel-spectrogram",
        "--tfrecords-dir",
        shards,
        "--config",
        config_file,
        "--out",
        tmp_path / "run",
    ]
    words += ["--processes", 2, "--epochs", 1, "--steps-per-epoch", 2, "--set", "precision=32"]
    began = CliRunner().invoke(main, ["train", *map(str, words)], catch_exceptions=False)
    assert began.exit_code == 0, began.output
    assert began.output.count("best epoch 1") == 1
    assert began.output.count("training part: 21 tracks") == 1
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "folksong"]
    command = [*launcher, "train", "--resume", str(tmp_path / "run"), "--epochs", "2"]
    went_on = subprocess.run(command, capture_output=True, text=True, check=False)
    assert went_on.returncode == 0, went_on.stderr
    assert went_on.stdout.count("best epoch") == 1
    assert [row["step"] for row in Run.open(tmp_path / "run").history()] == [2, 4]


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the machine has four."""
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(distributed.torch.cuda, "device_count", lambda: 4)


def test_each_gpu_has_one_process(gpus):
    assert find_gpus(None, 2) == [0, 1]
    assert find_gpus([3, 1], 2) == [3, 1]
    with pytest.raises(FolksongError, match="3 processes were started on this machine for 2 GPUs"):
        find_gpus([0, 1], 3)
    with pytest.raises(FolksongError, match="there is no GPU 4"):
        find_gpus(None, 5)
    with (
        pytest.raises(FolksongError, match=r"2 GPUs are named.*leave processes=3 out"),
        joined(RuntimeSettings(cuda=(0, 1), processes=3)),
    ):
        pass


def test_several_machines_need_an_address(monkeypatch):
    for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(FolksongError, match="num_nodes 2 needs NODE_RANK, MASTER_ADDR, MASTER_PORT"),
        joined(RuntimeSettings(num_nodes=2)),
    ):
        pass
    for name, value in (("NODE_RANK", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(FolksongError, match="NODE_RANK 2: 2 machines are numbered from 0 to 1"),
        joined(RuntimeSettings(num_nodes=2)),
    ):
        pass
    assert not speaks(num_nodes=2)


def test_what_the_environment_says_must_make_sense(monkeypatch):
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "two"), ("MASTER_ADDR", "x"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(FolksongError, match=r"by numbers: \{'RANK': '1', 'WORLD_SIZE': 'two'"), joined():
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(FolksongError, match="describes no process"), joined():
        pass
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(FolksongError, match=r"2 processes were started.*leave processes and"),
        joined(RuntimeSettings(processes=3)),
    ):
        pass
    assert not speaks()
