"""Tagging one 30 s mp3 with a loaded model: seconds of processor, decoding and all, beside musicnn's.

    python benchmarks/bench_prediction.py [--audio FILE] [--repeats 15] [--musicnn FOLDER --musicnn-python PATH]

``--musicnn`` times the peer package musicnn 0.1.0 on the same clip before and after (`musicnn_tagging.py`): FOLDER is
its unpacked wheel, PATH the Python of an environment with TensorFlow, tf_keras and librosa. The networks are not
trained, which costs the same time. Decoding alone is timed beside them, and tagging many such files; ``--audio`` takes
half a minute from the middle of a recording instead of a synthetic chord.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from folksong.audio.decode import decode
from folksong.audio.log_mel import read_preset
from folksong.export.folder import write_folder
from folksong.labels import Label, LabelSpace
from folksong.models.tagger import Tagger
from folksong.prediction import AudioInput, LoadedTagger, load_tagger
from timing import median_seconds

RATE, SECONDS = 44_100, 30
N_FILES = 24


def sound() -> np.ndarray:
    """Return (samples, 2): a beating chord with a little noise."""
    time_s = np.arange(RATE * SECONDS) / RATE
    chord = sum(np.sin(2 * np.pi * hertz * time_s) for hertz in (110, 165.3, 220, 277, 881)) * 0.1
    noise = np.random.default_rng(0).normal(0, 0.01, (len(time_s), 2))
    return (chord * np.exp(-4 * (time_s % 0.5)))[:, None] * np.array([1, 0.7]) + noise


def middle_of(recording: Path) -> np.ndarray:
    """Return (samples, channels) of half a minute in the middle."""
    n_samples = soundfile.info(recording).frames
    rate = soundfile.info(recording).samplerate
    start = max(0, n_samples // 2 - SECONDS * rate // 2)
    return soundfile.read(recording, frames=SECONDS * rate, start=start)[0]


def time_calls(call: Callable[[], object], repeats: int, threads: int) -> tuple[float, float]:
    """Return the median seconds of processor and of wall time."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    timed = median_seconds(call, repeats)
    torch.set_num_threads(before)
    return timed


def tag_all(tagger: LoadedTagger, files: list[Path]) -> None:
    for prediction in tagger.predict_files(files):
        prediction.ranked()


def print_musicnn(clip: Path, given: argparse.Namespace) -> None:
    script = Path(__file__).with_name("musicnn_tagging.py")
    for threads in (0, 1):
        command = [given.musicnn_python, script, clip, "--package", given.musicnn, "--threads", str(threads)]
        done = subprocess.run(
            [*command, "--repeats", str(given.repeats)], stdout=subprocess.PIPE, text=True, check=True
        )
        for kind, (seconds, wall) in json.loads(done.stdout).items():
            print(
                f"musicnn, {kind}, {threads or 'all'} threads: {seconds:.3f} s of processor, {wall:.3f} s on the wall"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--audio", type=Path, help="a recording to make the clip from")
    parser.add_argument("--musicnn", type=Path, metavar="FOLDER")
    parser.add_argument("--musicnn-python", default="python", metavar="PATH")
    arguments = parser.parse_args()
    repeats = arguments.repeats
    labels = LabelSpace(tuple(Label(f"label {number}", (f"tag {number}",)) for number in range(50)))
    with tempfile.TemporaryDirectory() as name:
        clip = Path(name, "clip.mp3")
        if arguments.audio is None:
            soundfile.write(clip, sound(), RATE)
        else:
            soundfile.write(clip, middle_of(arguments.audio), soundfile.info(arguments.audio).samplerate)
        if arguments.musicnn:
            print_musicnn(clip, arguments)
        seconds, _ = time_calls(lambda: decode(clip, 16_000), repeats, 1)
        print(f"decoding alone: {seconds:.3f} s of processor")
        for front_end, preset in (
            ("waveform", None),
            ("log-mel-spectrogram", read_preset("urop2019")),
        ):
            audio = AudioInput(16_000, 15.0, preset)
            folder = write_folder(Path(name, front_end), Tagger(front_end, labels), audio)
            taggers = {
                "as it is": load_tagger(folder, device="cpu"),
                "in float32": load_tagger(folder, device="cpu", precision="32"),
                "in float32, windows that overlap by half": load_tagger(
                    folder, device="cpu", precision="32", hop_seconds=7.5
                ),
            }
            for threads in (torch.get_num_threads(), 1):
                for kind, tagger in taggers.items():
                    seconds, wall = time_calls(partial(tagger.tag, clip), repeats, threads)
                    print(
                        f"{front_end}, {kind}, {threads} threads: {seconds:.3f} s of processor, "
                        f"{wall:.3f} s on the wall"
                    )
            for kind, tagger in taggers.items():
                together = partial(tag_all, tagger, [clip] * N_FILES)
                seconds, wall = time_calls(together, 5, torch.get_num_threads())
                print(
                    f"{front_end}, {kind}, {N_FILES} files together: {seconds / N_FILES:.3f} s of processor a file, "
                    f"{wall / N_FILES:.3f} s on the wall"
                )
        if arguments.musicnn:
            print_musicnn(clip, arguments)


if __name__ == "__main__":
    main()
