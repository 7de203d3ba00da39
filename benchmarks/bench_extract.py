"""Embedding one 30 s mp3 with the network loaded: seconds of processor, beside the same network in plain PyTorch.

    python benchmarks/bench_extract.py [--audio FILE] [--repeats 7] [--recordings 24]

The peer has the same decoder and spectrogram, and the network as one writes it down (all filters' convolutions, then
the maximum over bands), in the same run. Then many recordings with one and with two processes. Needs the weights
(`folksong models fetch musicnn`). ``--audio`` takes half a minute from the middle of a recording instead of a synthetic
chord.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench_prediction import RATE, middle_of, sound
from folksong.audio.decode import decode
from folksong.audio.log_mel import log_mel
from folksong.models.hardware import one_thread
from folksong.models.pretrained.extractors import get_extractor
from folksong.models.pretrained.musicnn import PRESET, Musicnn, windows_of
from folksong.models.pretrained.weights import read_weights
from folksong.prediction.embed_audio import embed_audio
from timing import median_seconds

NETWORK, MODEL = "MSD_musicnn", "musicnn-msd"


def plain_network() -> Musicnn:
    network = Musicnn()
    network.load(read_weights(NETWORK).tensors)
    for filters in (*network.timbral, *network.temporal, *network.middle):
        filters.alive.fill_(True)
    return network.eval().requires_grad_(False)


def plain_features(network: Musicnn, file: Path) -> np.ndarray:
    with torch.inference_mode(), one_thread(blas=True):
        mel = log_mel(decode(file), PRESET)
        layers = [network(torch.from_numpy(windows))["features"] for windows in windows_of(mel)]
        values = torch.cat(layers).flatten(0, 1)
        return torch.cat([values.mean(0), values.amax(0)]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--recordings", type=int, default=24)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp3"
        rate = soundfile.info(given.audio).samplerate if given.audio else RATE
        soundfile.write(file, middle_of(given.audio) if given.audio else sound(), rate, format="MP3")
        extractor, plain = get_extractor(MODEL), plain_network()
        np.testing.assert_allclose(extractor(decode(file)), plain_features(plain, file), atol=1e-3, rtol=1e-4)
        calls = {
            "decoding alone": lambda: decode(file),
            "and spectrogram": lambda: log_mel(decode(file), PRESET),
            MODEL: lambda: extractor(decode(file)),
            f"{MODEL} in plain PyTorch": lambda: plain_features(plain, file),
        }
        seconds = {name: median_seconds(call, given.repeats)[0] for name, call in calls.items()}
        for name, value in seconds.items():
            print(f"{name:<28} {value:.3f} s of processor")
        print(f"{seconds[f'{MODEL} in plain PyTorch'] / seconds[MODEL]:.1f} times the peer")
        music = Path(folder) / "music"
        music.mkdir()
        for number in range(given.recordings):
            shutil.copy(file, music / f"{number}.mp3")
        wall = {}
        for jobs in (1, 2):
            start = time.perf_counter()
            embed_audio(music, Path(folder) / f"{jobs}", MODEL, jobs=jobs)
            wall[jobs] = time.perf_counter() - start
            print(
                f"{given.recordings} recordings, {jobs} processes: {wall[jobs]:.1f} s (start of processes included)"
            )
        print(f"two processes: {wall[1] / wall[2]:.2f} times one")


if __name__ == "__main__":
    main()
