"""How long a call takes and how much memory a process; for benchmarks in any environment that has NumPy."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def median_seconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median seconds of processor and of wall time, after one call that does not count."""
    call()
    times = []
    for _ in range(repeats):
        began, start = time.process_time(), time.perf_counter()
        call()
        times.append((time.process_time() - began, time.perf_counter() - start))
    seconds, wall = np.median(times, axis=0).tolist()
    return seconds, wall


def peak_memory() -> int:
    """Return the most bytes that this process held: Linux's ``VmHWM``, as ``ru_maxrss`` begins with the parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
