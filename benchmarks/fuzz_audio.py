"""Decode thousands of damaged recordings: none may crash a run, hang, or fill the memory.

    python benchmarks/fuzz_audio.py [--files 10000] [--jobs 2] [--seed 0] [--recordings FOLDER]

Whole files (made here, or those of FOLDER) are damaged in one to eight places by a generator seeded with the file's
number, so that any finding can be made again. Each is measured as `folksong audio scan` does and decoded as `shards
write` does, by workers that survive a crash. Exit code 1 if anything broke the rules.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timing import peak_memory

LIMIT_SECONDS = 10.0
LIMIT_BYTES = 1 << 30
UNFORESEEN = "cannot be decoded ("  # measure_file's words for an exception that is no AudioError
KINDS = ("mp3", "ogg", "flac", "wav", "m4a", "aac", "aiff", "au", "caf", "webm", "oga")


@dataclass(frozen=True)
class Finding:
    """What became of one damaged file."""

    kind: str
    outcome: str
    seconds: float
    peak_bytes: int


def write_seeds(folder: Path) -> None:
    """Write small sound files of every kind, rate and number of channels."""
    import soundfile

    rng = np.random.default_rng(0)
    for rate in (8000, 16000, 22050, 44100, 48000):
        for channels in (1, 2):
            time_s = np.arange(rate) / rate
            tone = 0.3 * np.sin(2 * np.pi * 440 * time_s)[:, None] + 0.05 * rng.standard_normal(
                (rate, channels)
            )
            name = f"{rate}_{channels}"
            soundfile.write(folder / f"{name}.mp3", tone, rate, format="MP3", bitrate_mode="CONSTANT")
            soundfile.write(folder / f"{name}_v.mp3", tone, rate, format="MP3", bitrate_mode="VARIABLE")
            soundfile.write(folder / f"{name}.ogg", tone, rate)
            soundfile.write(folder / f"{name}_16.flac", tone, rate, subtype="PCM_16")
            soundfile.write(folder / f"{name}_24.flac", tone, rate, subtype="PCM_24")
            for subtype in ("PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM", "MS_ADPCM", "ULAW"):
                soundfile.write(folder / f"{name}_{subtype}.wav", tone, rate, subtype=subtype)
    soundfile.write(folder / "opus.ogg", tone, 48000, format="OGG", subtype="OPUS")
    soundfile.write(folder / "six.wav", np.repeat(tone, 3, axis=1), 48000)
    soundfile.write(folder / "six.ogg", np.repeat(tone, 3, axis=1), 48000)
    for kind in ("aiff", "au", "caf"):
        soundfile.write(folder / f"two.{kind}", tone, 48000)
    for kind in ("mp3", "ogg"):  # joined and chained
        (folder / f"joined.{kind}").write_bytes(
            (folder / f"44100_2.{kind}").read_bytes() + (folder / f"48000_1.{kind}").read_bytes() * 2
        )
    write_ffmpeg_seeds(folder, tone)


def write_ffmpeg_seeds(folder: Path, tone: np.ndarray) -> None:
    """Write `tone`, (n_samples, 2) at 48 kHz, in the formats that FFmpeg decodes."""
    import av

    codecs = {
        "aac.m4a": "aac",
        "alac.m4a": "alac",
        "raw.aac": "aac",
        "opus.webm": "libopus",
        "flac.oga": "flac",
    }
    formats = {"m4a": "mp4", "aac": "adts", "webm": "webm", "oga": "ogg"}
    for name, codec in codecs.items():
        with av.open(str(folder / name), "w", format=formats[name.partition(".")[2]]) as container:
            stream = container.add_stream(codec, rate=48000)
            stream.layout = "stereo"
            samples = np.ascontiguousarray(tone.T, np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, 0
            resampler = av.AudioResampler(format=stream.format.name, layout="stereo", rate=48000)
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))


def flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    for position in rng.integers(0, len(data), int(rng.integers(1, 40))):
        data[position] ^= 1 << int(rng.integers(8))


def scribble_in_the_head(data: bytearray, rng: np.random.Generator) -> None:
    for position in rng.integers(0, min(len(data), 200), int(rng.integers(1, 6))):
        data[position] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(0, len(data) + 1)) :]


def remove_a_piece(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 3000))]


def repeat_a_piece(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    piece = data[start : start + int(rng.integers(1, 3000))]
    data[start:start] = piece * int(rng.integers(1, 4))


def overwrite(data: bytearray, rng: np.random.Generator) -> None:
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 3000))
    fill = rng.integers(4)
    noise = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    data[start : start + length] = noise if fill == 0 else bytes([(0, 0xFF, 0x55)[int(fill) - 1]]) * length


def huge_number(data: bytearray, rng: np.random.Generator) -> None:
    """Write a large integer over four bytes, where sizes and counts may stand."""
    start = int(rng.integers(min(len(data), 400)))
    value = int(rng.choice([0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x10000000, 0]))
    data[start : start + 4] = value.to_bytes(4, "little" if rng.integers(2) else "big")


def another_head(data: bytearray, rng: np.random.Generator) -> None:
    heads = (
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"fLaC",
        b"OggS\x00\x02",
        b"\xff\xfb\x90\x64",
    )
    head = heads[int(rng.integers(len(heads)))]
    data[: len(head) if rng.integers(2) else 0] = head


DAMAGES: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    *(
        flip_bits,
        scribble_in_the_head,
        cut,
        remove_a_piece,
        repeat_a_piece,
        overwrite,
        huge_number,
        another_head,
    ),
)


def damaged(seeds: list[Path], number: int, seed: int) -> tuple[bytes, str]:
    """Return the bytes of damaged file `number`, and its name's ending."""
    rng = np.random.default_rng([seed, number])
    path = seeds[int(rng.integers(len(seeds)))]
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 9))):
        if data:
            DAMAGES[int(rng.integers(len(DAMAGES)))](data, rng)
    return bytes(data), path.suffix


def try_file(number: str, folder: str, seed: int) -> Finding:
    """Damage and decode one file (in a worker). A crash leaves it in `folder`, to be looked at."""
    from folksong.audio.decode import read_recording
    from folksong.audio.file_facts import measure_file
    from folksong.errors import AudioError

    seeds = sorted(path for kind in KINDS for path in Path(folder, "seeds").rglob(f"*.{kind}"))
    data, suffix = damaged(seeds, int(number), seed)
    path = Path(folder, "damaged", f"{number}{suffix}")
    path.write_bytes(data)
    start = time.perf_counter()
    facts = measure_file(path.name, str(path.parent))
    try:
        decoded = bool(np.isfinite(read_recording(path).samples).all())
    except AudioError:
        decoded = False
    seconds = time.perf_counter() - start
    path.unlink()
    if facts.problem is not None and facts.problem.startswith(UNFORESEEN):
        outcome = f"unforeseen: {facts.problem}"
    elif (facts.problem is None) != decoded and "full scale" not in (facts.problem or "full scale"):
        outcome = f"undecided: {facts.problem}, decoded {decoded}"
    else:
        outcome = "refused" if facts.problem else "in part" if facts.damage else "whole"
    return Finding(suffix[1:], outcome, seconds, peak_memory())


def fuzz(
    n_files: int, folder: Path, *, seed: int, jobs: int, progress: bool = False
) -> tuple[list[Finding], list[str]]:
    """Return what became of the files, and the crashes and hangs. `folder` holds `seeds/` and an empty `damaged/`."""
    from tqdm import tqdm

    from folksong.audio.guarded import run_guarded

    findings: list[Finding] = []
    crashes: list[str] = []
    batches = ([str(k) for k in range(start, min(start + 50, n_files))] for start in range(0, n_files, 50))
    with tqdm(total=n_files, disable=not progress, unit="file") as bar:
        for outcomes in run_guarded(
            try_file, batches, (str(folder), seed), jobs=jobs, limit_seconds=LIMIT_SECONDS
        ):
            for outcome in outcomes:
                if outcome.result is not None:
                    findings.append(outcome.result)
                else:
                    crashes.append(f"file {outcome.path}: {outcome.crash}")
            bar.update(len(outcomes))
    return findings, crashes


def report(findings: list[Finding], crashes: list[str]) -> int:
    """Print the findings and return the number of broken rules."""
    outcomes = Counter((finding.kind, finding.outcome.partition(":")[0]) for finding in findings)
    columns = ("whole", "in part", "refused", "unforeseen", "undecided")
    print(f"{'':8}" + "".join(f"{name:>12}" for name in columns))
    for kind in sorted({finding.kind for finding in findings}):
        print(f"{kind:8}" + "".join(f"{outcomes[kind, name]:>12}" for name in columns))
    slow = max(findings, key=lambda finding: finding.seconds)
    peak = max(finding.peak_bytes for finding in findings)
    print(f"slowest {slow.seconds:.2f} s ({slow.kind}); peak memory of a worker {peak / 1e6:.0f} MB")
    print(f"crashes and hangs: {len(crashes)}")
    strange = sorted({finding.outcome for finding in findings if ":" in finding.outcome})
    for line in [*crashes, *strange]:
        print(f"  {line}")
    return len(crashes) + len(strange) + (peak > LIMIT_BYTES) + (slow.seconds > LIMIT_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recordings", type=Path, help="a folder of mp3, ogg, flac and wav files to damage")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    import fuzz_audio  # workers find the functions in the module, not in __main__

    print(f"{platform.platform()}, {arguments.files} files, seed {arguments.seed}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "damaged").mkdir()
        if arguments.recordings:
            (folder / "seeds").symlink_to(arguments.recordings.resolve())
        else:
            (folder / "seeds").mkdir()
            write_seeds(folder / "seeds")
        start = time.perf_counter()
        findings, crashes = fuzz_audio.fuzz(
            arguments.files, folder, seed=arguments.seed, jobs=arguments.jobs, progress=sys.stderr.isatty()
        )
        print(f"{time.perf_counter() - start:.0f} s")
        return 1 if report(findings, crashes) else 0


if __name__ == "__main__":
    sys.exit(main())
