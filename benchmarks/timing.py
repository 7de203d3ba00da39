"""How long a call takes; for benchmarks in any environment that has NumPy."""

from __future__ import annotations

import time
from collections.abc import Callable

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
