"""A tagger that many ask at once, and files that crash, hang and swell its decoders."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import zipfile

import numpy as np
import pytest
import soundfile
import torch

import folksong as fs
from folksong.audio.log_mel import read_preset
from folksong.errors import AudioError
from folksong.prediction.windows import AudioInput, listening_threads
from folksong.serve import hearing
from folksong.serve.hearing import Hearing, heard_sound

SOUNDS = """
import ctypes, numpy
from folksong.serve.hearing import Sound
def heard_in_worker(path, sample_rate, preset, max_seconds):
    if "crash" in path:
        ctypes.string_at(0)
    while "hang" in path:
        pass
    return Sound(numpy.full(4, len(path), numpy.float32), 1.0, 0.5, None)
"""


class Listener:
    """Stands in for a tagger: the score of a recording is its first number; it can be held up, and fail."""

    device = torch.device("cpu")
    audio = AudioInput(16_000, 1.0)

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.may_go_on.set()

    def score_together(self, recordings, threads):
        self.begun.set()
        self.may_go_on.wait()
        self.groups.append(len(recordings))
        if any(len(one) == 13 for one in recordings):
            raise RuntimeError("thirteen")
        return (one[:1] for one in recordings)


@pytest.fixture
def strange_decoder(tmp_path, monkeypatch):
    (tmp_path / "sounds_for_hearing.py").write_text(SOUNDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import sounds_for_hearing

    monkeypatch.setattr(hearing, "heard_in_worker", sounds_for_hearing.heard_in_worker)
    yield
    del sys.modules["sounds_for_hearing"]


def write(path, sound, rate=16_000, **options):
    soundfile.write(path, sound, rate, **options)
    return str(path)


def test_what_crashes_or_hangs_is_refused_and_the_others_are_heard(strange_decoder, monkeypatch, run_async):
    monkeypatch.setattr(hearing, "DECODING_SECONDS", 1.0)
    paths = ["crash", "aa", "hang", "bbb", "crash again", "cccc"]

    async def ask(ear):
        return await asyncio.gather(*(ear.hear(path) for path in paths), return_exceptions=True)

    with Hearing(Listener(), 60.0) as ear:
        found = dict(zip(paths, run_async(ask(ear)), strict=True))
        assert len(ear._workers._all) <= ear._workers.jobs, "dead workers are kept"
    assert [float(found[path][1][0]) for path in ("aa", "bbb", "cccc")] == [2, 3, 4]
    crashes = "the decoder crashes on it (signal 11); leave the file out"
    hangs = "decoding takes longer than 1 s; leave the file out"
    for path, reason in (("crash", crashes), ("crash again", crashes), ("hang", hangs)):
        assert isinstance(found[path], AudioError)
        assert str(found[path]) == f"{path}: {reason}"


def test_all_that_wait_are_heard_together(strange_decoder, monkeypatch, run_async):
    monkeypatch.setattr(hearing, "n_processes", lambda jobs: 4)
    listener = Listener()
    listener.may_go_on.clear()

    async def ask(ear):
        asked = [asyncio.ensure_future(ear.hear("0"))]
        while not listener.begun.is_set():
            await asyncio.sleep(0.01)
        asked += [asyncio.ensure_future(ear.hear(f"{number}")) for number in range(1, 8)]
        while ear._waiting.qsize() < 7:
            await asyncio.sleep(0.01)
        asked[7].cancel()  # who does not wait any more
        await asyncio.sleep(0)
        listener.may_go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    with Hearing(listener, 60.0) as ear:
        *found, cancelled = run_async(ask(ear))
    assert all(float(scores[0]) == 1 for _, scores in found)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert listener.groups == [1, 6]


def test_a_recording_on_which_the_network_fails_takes_no_other_with_it():
    group = [hearing._Waiting(np.ones(n, np.float32), hearing.Future()) for n in (4, 13, 5)]
    with Hearing(Listener(), 60.0) as ear:
        ear._score(group)
        assert ear.is_alive
    assert [one.scores.result().tolist() for one in group[::2]] == [[1], [1]]
    with pytest.raises(RuntimeError, match="thirteen"):
        group[1].scores.result()


@pytest.mark.parametrize("front_end", ["tiny_run", "tiny_waveform_run"])
def test_scores_do_not_depend_on_what_else_is_in_the_batch(front_end, request, sound):
    tagger = fs.load_tagger(request.getfixturevalue(front_end).folder)
    clips = [
        tagger.audio.clip(sound(kind, number, seconds)).audio
        for number, seconds in enumerate((0.3, 1.25, 4.0, 11.0))
        for kind in ("tone", "noise", "clicks")
    ]
    with listening_threads(tagger.device) as threads:
        alone = np.array([next(tagger.score_together([clip], threads)) for clip in clips])
        together = np.array(list(tagger.score_together(clips, threads)))
        turned = np.array(list(tagger.score_together(clips[::-1], threads)))[::-1]
    assert alone.std(axis=0).max() > 1e-4, "all clips sound the same to it"
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(turned, alone, rtol=0, atol=1e-6)


def test_a_sound_is_what_prediction_hears(tmp_path, sound):
    path = write(tmp_path / "a.flac", np.stack([sound("chirp", 1), sound("noise", 1)], 1), 22_050)
    preset = read_preset("urop2019")
    for one in (None, preset):
        found = heard_sound(path, 16_000, one, 60.0)
        expected = AudioInput(16_000, 1.0, one).clip(fs.audio.decode.decode(path, 16_000)).audio
        np.testing.assert_array_equal(found.audio, expected)
        assert found.seconds == pytest.approx(2 * 16_000 / 22_050, abs=1e-3)
        assert found.damage is None


def test_a_recording_that_is_too_long(tmp_path):
    path = write(tmp_path / "long.flac", np.zeros(8_000 * 121), 8_000)
    with pytest.raises(AudioError, match="longer than 2 minutes"):
        heard_sound(path, 16_000, None, 120.0)


@pytest.mark.skipif(sys.platform != "linux", reason="a worker's memory is limited on Linux only")
def test_a_file_that_swells_gets_no_more_memory_than_a_worker_may_have(tmp_path, run_async):
    header = {"descr": "<f4", "fortran_order": False, "shape": (3 << 28,)}  # 3 GiB
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("array.npy", "w") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            stream.write(bytes(1 << 20))
        with archive.open("sr.npy", "w") as stream:
            np.save(stream, np.array(16_000))

    async def ask(ear):
        await ear.hear(os.fspath(tmp_path / "bomb.npz"))

    with Hearing(Listener(), 60.0) as ear, pytest.raises(AudioError, match="Unable to allocate"):
        run_async(ask(ear))
