"""Where a few values lie among many scores, sorting no more than that takes.

The scores are dealt out to buckets by the leading bits of their floats, which are in the order of the floats. Scores in
a bucket that holds none of the values only need to be counted; the others are sorted. With one value to twenty scores
that is a fifth of them, and the sort is what takes longest: with AVX-512 on AMD's Zen 4, where NumPy's sort is slow,
half a million float32 take 15 to 25 ms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.metrics.inputs import Floats

Numbers = npt.NDArray[np.int64]

LEAST_SCORES = 1 << 14  # fewer are sorted in no time
LARGEST_SHARE = 1 / 16  # with more values than this share of the scores, most buckets hold one
MOST_BUCKET_BITS = 22


def count_below(scores: Floats, values: Floats) -> tuple[Numbers, Numbers]:
    """Return how many of `scores` (n,) are less than, and how many at most, each of `values`.

    Args:
        scores: float32 or float64, no NaN.
        values: (n_values,) some of the scores, ascending, each once.

    Returns:
        Two arrays (n_values,).
    """
    if len(scores) < LEAST_SCORES or len(values) > LARGEST_SHARE * len(scores):
        return _search(np.sort(scores), values)
    keys = _keys(scores)
    smallest, largest = keys.min(), keys.max()
    range_bits = int(int(largest) - int(smallest)).bit_length()
    bucket_bits = min(len(scores).bit_length() - 1, MOST_BUCKET_BITS)
    shift = keys.dtype.type(max(0, range_bits - bucket_bits))
    buckets = _bucket(keys, smallest, shift)
    of_values = _bucket(_keys(values), smallest, shift)
    n_buckets = int(_bucket(keys.dtype.type(largest), smallest, shift)) + 1
    holds_value = np.zeros(n_buckets, bool)
    holds_value[of_values] = True
    is_near = holds_value.take(buckets)
    below, upto = _search(np.sort(scores[is_near]), values)
    counts = np.bincount(buckets[~is_near], minlength=n_buckets)
    elsewhere = np.cumsum(counts)[of_values]  # the value's own bucket counts 0 here
    return below + elsewhere, upto + elsewhere


def _search(ordered: Floats, values: Floats) -> tuple[Numbers, Numbers]:
    below = np.searchsorted(ordered, values, side="left").astype(np.int64)
    upto = below + 1
    more = np.flatnonzero(ordered[np.minimum(upto, len(ordered) - 1)] == values)
    upto[more] = np.searchsorted(ordered, values[more], side="right")
    return below, upto


def _keys(values: Floats) -> Any:
    """Return integers in the order of the floats; both zeros give the same."""
    signed = np.int32 if values.itemsize == 4 else np.int64
    bits: Any = (values + values.dtype.type(0)).view(signed)
    if bits.min() < 0:  # negative floats count backwards
        bits = bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(signed).max)
    return bits


def _bucket(keys: Any, smallest: Any, shift: Any) -> Any:
    """Return the bucket of each key; unsigned, as the range of keys may exceed the signed one."""
    unsigned = np.uint32 if keys.dtype.itemsize == 4 else np.uint64
    with np.errstate(over="ignore"):
        return ((keys.view(unsigned) - smallest.view(unsigned)) >> unsigned(shift)).astype(np.int64)
