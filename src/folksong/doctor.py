"""What this machine can do, and what is known to go wrong on it.

Codecs are not looked up but tried: a second of sound is encoded, decoded again and compared.
"""

import importlib.metadata
import io
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError

Status = Literal["ok", "note", "problem"]

CODECS = ("mp3", "ogg", "flac", "wav", "m4a")
TONE_RATE_HZ = 44_100
LEAST_SHARED_MEMORY_BYTES = 256 << 20
LEAST_OPEN_FILES = 256


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``ok``, a ``note`` (works, but know this) or a ``problem`` (something will fail)."""

    topic: str
    status: Status
    text: str


def examine() -> list[Finding]:
    """Look at Python, cores, memory, disk, GPUs, codecs, extras and the environment's known traps."""
    return [*_machine(), *_accelerators(), *(_codec(name) for name in CODECS), *_extras(), *_traps()]


def _machine() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    findings = [
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        Finding("cores", "ok", f"{cores} usable"),
    ]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        findings.append(Finding("memory", "ok", f"{memory / 2**30:.1f} GiB"))
    free = shutil.disk_usage(Path.cwd()).free
    status: Status = "ok" if free > 1 << 30 else "note"
    findings.append(Finding("disk", status, f"{free / 2**30:.1f} GiB free here ({Path.cwd()})"))
    return findings


def _accelerators() -> list[Finding]:
    import torch

    version = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        return [
            Finding("gpu", "ok", f"cuda:{n} {torch.cuda.get_device_name(n)} ({version})")
            for n in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        return [Finding("gpu", "ok", f"Apple GPU ({version})")]
    capability = torch.backends.cpu.get_cpu_capability()
    return [Finding("gpu", "note", f"none: training runs on the CPU ({version}, {capability} kernels)")]


def _codec(name: str) -> Finding:
    from folksong.audio.decode import decode

    seconds = np.arange(TONE_RATE_HZ) / TONE_RATE_HZ
    tone = (0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"tone.{name}"
            path.write_bytes(_encode_m4a(tone) if name == "m4a" else _encode(tone, name))
            heard = decode(path, TONE_RATE_HZ)
    except (FolksongError, OSError, RuntimeError, ValueError) as error:
        return Finding(name, "problem", f"cannot be read here: {error}")
    loudness = float(np.sqrt(np.mean(np.square(heard)))) if len(heard) else 0.0
    if abs(loudness - 0.5 / np.sqrt(2)) > 0.05:
        return Finding(name, "problem", f"decodes to the wrong level (RMS {loudness:.3f} instead of 0.354)")
    return Finding(name, "ok", "encoded, decoded and compared")


def _encode(tone: npt.NDArray[np.float32], name: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, tone, TONE_RATE_HZ, format=name.upper())
    return buffer.getvalue()


def _encode_m4a(tone: npt.NDArray[np.float32]) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=TONE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = TONE_RATE_HZ, Fraction(1, TONE_RATE_HZ)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()


def _extras() -> list[Finding]:
    """Say of each optional extra of the installed package whether all it needs is there."""
    from packaging.requirements import Requirement

    metadata = importlib.metadata.metadata("folksong")
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]
    findings = []
    for extra in sorted(set(metadata.get_all("Provides-Extra") or []) - {"dev", "bench"}):
        wanted = [r for r in requirements if r.marker and not r.marker.evaluate({"extra": ""})]
        wanted = [r for r in wanted if r.marker and r.marker.evaluate({"extra": extra})]
        missing = [r.name for r in wanted if not _is_installed(r.name)]
        if missing:
            text = f"not installed ({', '.join(missing)}): pip install 'folksong[{extra}]'"
            findings.append(Finding(f"extra {extra}", "note", text))
        else:
            findings.append(Finding(f"extra {extra}", "ok", "installed"))
    return findings


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _traps() -> list[Finding]:
    findings = []
    if core := os.environ.get("OPENBLAS_CORETYPE"):
        text = f"OPENBLAS_CORETYPE={core} can halve the speed of NumPy's matrix products; unset it"
        findings.append(Finding("environment", "note", text))
    if threads := os.environ.get("OMP_NUM_THREADS"):
        text = f"OMP_NUM_THREADS={threads} limits every computation to so many threads"
        findings.append(Finding("environment", "note", text))
    if "jemalloc" in os.environ.get("LD_PRELOAD", ""):
        findings.append(
            Finding("environment", "note", "jemalloc is preloaded: OpenVINO is known to crash with it")
        )
    if sys.getfilesystemencoding().lower() not in ("utf-8", "utf8"):
        text = f"file names are {sys.getfilesystemencoding()}, not UTF-8: set LANG=C.UTF-8"
        findings.append(Finding("environment", "problem", text))
    shared = Path("/dev/shm")
    if shared.is_dir() and (size := shutil.disk_usage(shared).total) < LEAST_SHARED_MEMORY_BYTES:
        text = (
            f"/dev/shm holds only {size >> 20} MiB: train with --set workers=0, or docker run --shm-size 1g"
        )
        findings.append(Finding("shared memory", "note", text))
    return [*findings, *_open_files()] or [Finding("environment", "ok", "no known trap")]


def _open_files() -> list[Finding]:
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= LEAST_OPEN_FILES:
        return []
    return [Finding("open files", "note", f"at most {soft} at once; raise it with `ulimit -n 1024`")]
