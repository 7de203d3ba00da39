"""mp3 -> 16 kHz mono -> 96-band log-mel: folksong beside librosa, decoders beside each other, and how exact it is.

    pip install -e '.[bench]'
    python benchmarks/bench_audio.py [--audio FILE] [--repeats 15]

The clips are 30 s mp3 files made from FILE (any recording that folksong reads) or, without it, from a synthetic signal.
Peers take turns within every round, so that a change of the machine's pace hits all of them, and the ratio of
each round is taken before the median. CPU seconds of one thread are reported for one process (other work on the machine
hardly disturbs them), wall seconds for two.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from folksong.audio.decode import decode, read_recording
from folksong.audio.log_mel import log_mel, read_preset

RATE = 16000
CLIP_SECONDS = 30
KINDS = ((44100, 2), (44100, 1), (22050, 2), (22050, 1), (16000, 2), (16000, 1))


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """mpg123 (inside libsndfile, librosa's decoder) writes to the file descriptor itself."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as sink:  # noqa: PTH123
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def source_signal(audio: Path | None) -> np.ndarray:
    """Return (n_samples, 2) float32 at 44.1 kHz, 30 s."""
    n_samples = CLIP_SECONDS * 44100
    if audio is not None:
        mono = np.resize(read_recording(audio, 44100).samples, n_samples)
        return np.stack([mono, np.roll(mono, 441) * np.float32(0.8)], axis=1)
    time_s = np.arange(n_samples) / 44100
    rng = np.random.default_rng(0)
    beats = np.exp(-8 * (time_s % 0.5))
    chord = sum(
        np.sin(2 * np.pi * hz * time_s) / k for k, hz in enumerate((110, 165, 220, 277, 880, 3520), 1)
    )
    left = 0.1 * chord + 0.1 * beats * rng.standard_normal(n_samples)
    return np.stack([left, 0.7 * left + 0.01 * rng.standard_normal(n_samples)], axis=1).astype(np.float32)


def write_clips(folder: Path, audio: Path | None) -> dict[tuple[int, int], Path]:
    signal = source_signal(audio)
    clips = {}
    for rate, channels in KINDS:
        path = folder / f"{rate}_{channels}.mp3"
        soundfile.write(path, soxr.resample(signal[:, :channels], 44100, rate), rate, format="MP3")
        clips[rate, channels] = path
    return clips


def ours(path: Path) -> np.ndarray:
    return log_mel(decode(path, RATE), read_preset("urop2019"))


def ours_kept(path: Path) -> int:
    """Make the spectrogram and keep it in the process, as a shard's writer does: arrays are not sent about."""
    return ours(path).size


def librosas(path: Path) -> np.ndarray:
    import librosa

    samples, _ = librosa.load(path, sr=RATE)
    return librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=RATE, n_mels=96))


def with_soundfile(path: Path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.sum(axis=1) if samples.shape[1] == 1 else (samples[:, 0] + samples[:, 1]) * np.float32(0.5)


def with_pyav(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    return samples[0] if len(samples) == 1 else (samples[0] + samples[1]) * np.float32(0.5)


def with_folksong(path: Path) -> np.ndarray:
    return read_recording(path, None).samples


def take_turns(
    peers: dict[str, Callable[[Path], np.ndarray]], path: Path, repeats: int
) -> dict[str, np.ndarray]:
    """Return CPU seconds of each peer: (repeats,)."""
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for call in peers.values():
        call(path)
    for _ in range(repeats):
        for name, call in peers.items():
            start = time.thread_time()
            call(path)
            seconds[name].append(time.thread_time() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def milliseconds(values: np.ndarray) -> str:
    return f"{np.median(values) * 1e3:7.1f} (least {values.min() * 1e3:6.1f})"


def bench_one_core(clips: dict[tuple[int, int], Path], repeats: int) -> None:
    print("\nmp3 -> log-mel, one core, CPU ms a 30 s clip, median (least)")
    print(f"{'clip':>16} {'folksong':>24} {'librosa':>24} {'ratio, median (range)':>24}")
    for (rate, channels), path in clips.items():
        with quiet_stderr():
            seconds = take_turns({"folksong": ours, "librosa": librosas}, path, repeats)
        ratio = seconds["librosa"] / seconds["folksong"]
        print(
            f"{rate:>8} Hz x{channels:>3} {milliseconds(seconds['folksong']):>26}"
            f" {milliseconds(seconds['librosa']):>24} {np.median(ratio):8.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
        )


def bench_decoders(clips: dict[tuple[int, int], Path], repeats: int) -> None:
    print("\nmp3 -> mono at the file's own rate, CPU ms, median (least)")
    peers = {"folksong (miniaudio)": with_folksong, "libsndfile": with_soundfile, "PyAV": with_pyav}
    for (rate, channels), path in clips.items():
        with quiet_stderr():
            seconds = take_turns(peers, path, repeats)
        print(
            f"{rate:>8} Hz x{channels:>3} ",
            *(f"{name} {milliseconds(values)};" for name, values in seconds.items()),
        )


def bench_processes(path: Path, n_clips: int, repeats: int) -> None:
    from joblib import Parallel, delayed

    print(f"\n{n_clips} clips of {path.stem}, wall seconds, one process and two (workers warm)")
    ratios = []
    with Parallel(n_jobs=1) as one, Parallel(n_jobs=2) as two:
        two(delayed(ours_kept)(path) for _ in range(4))
        for _ in range(repeats):
            seconds = []
            for pool in (one, two):
                start = time.perf_counter()
                pool(delayed(ours_kept)(path) for _ in range(n_clips))
                seconds.append(time.perf_counter() - start)
            ratios.append(seconds[0] / seconds[1])
            print(f"  {seconds[0]:6.2f} {seconds[1]:6.2f}  ratio {ratios[-1]:.2f}")
    print(f"  median ratio {np.median(ratios):.2f}, best {max(ratios):.2f}")


def report_exactness(clips: dict[tuple[int, int], Path]) -> None:
    import librosa

    print("\nexactness")
    for (rate, channels), path in clips.items():
        native = read_recording(path, None).samples
        found = decode(path, RATE)
        best = native if rate == RATE else soxr.resample(native.astype(np.float64), rate, RATE, "VHQ")
        error = best[: len(found)] - found[: len(best)]
        power = float(np.sum(best**2)), float(np.sum(error.astype(float) ** 2))
        snr = float("inf") if power[1] == 0 else 10 * np.log10(power[0] / power[1])
        mel = librosa.power_to_db(librosa.feature.melspectrogram(y=found, sr=RATE, n_mels=96))
        apart = np.abs(mel - log_mel(found, read_preset("urop2019"))).max()
        with quiet_stderr():
            mpg123 = with_soundfile(path)
        decoders = (
            np.abs(native - mpg123[: len(native)]).max() if len(native) == len(mpg123) else float("nan")
        )
        print(
            f"{rate:>8} Hz x{channels}: {snr:5.1f} dB against soxr VHQ in float64; log-mel within {apart:.1e} dB of "
            f"librosa; samples within {decoders:.1e} of mpg123"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audio", type=Path, help="a recording to make the clips from")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--clips", type=int, default=60, help="clips in each timing of two processes")
    arguments = parser.parse_args()
    from threadpoolctl import threadpool_limits

    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        clips = write_clips(Path(folder), arguments.audio)
        report_exactness(clips)
        bench_decoders(clips, arguments.repeats)
        bench_one_core(clips, arguments.repeats)
        bench_processes(clips[44100, 2], arguments.clips, max(3, arguments.repeats // 5))


if __name__ == "__main__":
    main()
