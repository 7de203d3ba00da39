"""What the hardware is made to do: numbers of 16 bits where it multiplies them, and memory that is kept.

With its default settings the GNU C library maps each large block freshly and gives it back when freed, so that every
step page-faults through gigabytes: training the waveform network is 1.8 to 2 times slower for it. Told to serve large
blocks from its heap and not to trim that, it reuses them. The price is memory: freed blocks stay with the process and
leave gaps (batch 16 of 15 s, waveform: peak 2.9 GB before, 4.1 GB after).
"""

import ctypes
import logging
import os
import platform
import sys
from contextlib import AbstractContextManager, ExitStack
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

logger = logging.getLogger(__name__)

SWITCH = "FOLKSONG_KEEP_MEMORY"
"""Set this environment variable to 0 to leave the allocator as it is."""

# Parameters of mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD_BYTES = 64 << 20
NEVER_TRIM = 2**31 - 1


def keep_memory() -> bool:
    """Make the C library keep and reuse large blocks; say whether it now does.

    It does nothing outside Linux with glibc, where another allocator is preloaded, or where the user has tuned glibc
    already. Call it before the first large tensor; training on a GPU has no use for it.
    """
    if os.environ.get(SWITCH) == "0" or not sys.platform.startswith("linux"):
        return False
    tuned = os.environ.get("GLIBC_TUNABLES", "") + os.environ.get("LD_PRELOAD", "")
    if platform.libc_ver()[0] != "glibc" or "malloc" in tuned:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER_TRIM), (M_TOP_PAD, TOP_PAD_BYTES))
    done = {mallopt(parameter, value) for parameter, value in settings} == {1}
    logger.debug("the C library %s large blocks", "keeps" if done else "could not be told to keep")
    return done


def choose_precision(wanted: str, *, gpu: bool) -> str:
    """Return the precision to use; ``"auto"`` takes bfloat16 where the hardware multiplies in it, else float32.

    Weights, batch norm statistics, standardising and the loss stay in float32 in any case.
    """
    if wanted != "auto":
        return wanted
    if gpu:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "16"
    return "bf16" if has_bf16_cpu() else "32"


def has_bf16_cpu() -> bool:
    """Say whether this processor multiplies bfloat16 itself (AVX-512 BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name)()) for name in checks if hasattr(torch.cpu, name))


def one_thread(*, blas: bool = False) -> AbstractContextManager[object]:
    """Let this thread's PyTorch work without the help of others; as a context, until its end.

    With `blas` matrix products too, NumPy's and PyTorch's; their number of threads is the whole process's.
    """
    # At its first use in a thread, PyTorch sets the number that is set below.
    threads = torch.get_num_threads()
    limited: AbstractContextManager[object] = _controller().limit(
        limits=1, user_api=None if blas else "openmp"
    )
    if not blas:
        return limited
    # PyTorch's MKL keeps the number that it was once told by `torch.set_num_threads`, whatever OpenMP is told.
    stack = ExitStack()
    stack.enter_context(limited)
    torch.set_num_threads(1)
    stack.callback(torch.set_num_threads, threads)
    return stack


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
