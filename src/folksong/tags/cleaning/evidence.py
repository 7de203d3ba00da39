"""Whether a table itself speaks for a spelling merge, or only the letters do.

Tags that differ in case, blanks, hyphens, accents or the writing of "and" or of a decade are one tag. A trailing s or a
letter may make another word ("Afrobeats" is no "Afrobeat", "Nederlands" no "Nederland"): such merges need evidence.

- The table is freely spelt: some of its tags are the same but for signs and case. In a curated vocabulary none are,
  and two spellings in it are two things.
- Their company agrees: their co-occurrences with all other tags, weighed by inverse document frequency, have a
  cosine of `AGREES`. Where the rarer one is `RARER` times rarer, it is enough that its company is as near to the
  other's as that of any tag, or too small to tell.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.tags.cleaning.spelling import RARER, STAGES, Merge
from folksong.tags.table import TagTable

SURE = frozenset(name for name, _ in STAGES[:-1])
"""Reasons that need no evidence."""
FREE_SHARE = 0.005
"""Of the tags of a freely spelt table, so many are another's spelling for sure; HetRec 0.033, MTG-Jamendo 0."""
AGREES = 0.3
LEAST_TRACKS = 3
LEAST_COMPANY = 20
"""Other tags on the rarer one's tracks: fewer tell nothing."""
BLOCK = 512


def with_evidence(table: TagTable, merges: Sequence[Merge]) -> tuple[Merge, ...]:
    """Return those of the merges that are sure or that the table speaks for, in their order."""
    sure = {merge.source for merge in merges if merge.reason in SURE}
    open_ones = [merge for merge in merges if merge.source not in sure]
    if open_ones and freely_spelt(table, merges):
        sure |= _agreeing(table, open_ones)
    return tuple(merge for merge in merges if merge.source in sure)


def freely_spelt(table: TagTable, merges: Sequence[Merge]) -> bool:
    """Return whether the table holds spellings that are surely one tag, so that others may be, too."""
    return sum(merge.reason in SURE for merge in merges) >= max(1, FREE_SHARE * table.n_tags)


def _agreeing(table: TagTable, merges: Sequence[Merge]) -> set[str]:
    presence, counts = table.presence.tocsr().astype(np.float64), np.maximum(table.counts, 1)
    tracks_of = presence.T.tocsr()
    rarity = sp.diags_array(np.log(max(table.n_tracks, 1) / counts))
    overall = tracks_of @ _sums(presence) - table.counts
    found: set[str] = set()
    for start in range(0, len(merges), BLOCK):
        block = merges[start : start + BLOCK]
        rows, pair = (
            np.arange(len(block)),
            [[table.tag_index[tag] for tag in (m.source, m.target)] for m in block],
        )
        sources, targets = np.array(pair).T
        both = sp.csr_array(
            (np.ones(2 * len(rows)), (np.tile(rows, 2), np.r_[sources, targets])), (len(rows), table.n_tags)
        )
        company = [tracks_of[one] @ presence for one in (sources, targets)]
        company = [one - one.multiply(both) for one in company]
        one, other = (part @ rarity for part in company)
        lengths = np.sqrt(_sums(one.multiply(one)) * _sums(other.multiply(other)))
        cosine = _sums(one.multiply(other)) / np.maximum(lengths, 1e-12)
        given = company[1] @ sp.diags_array(
            1 / counts
        )  # the share of each tag's tracks that the target is on
        size = _sums(company[0])
        usual = given @ overall / max(overall.sum(), 1)
        near = (size < LEAST_COMPANY) | (_sums(company[0].multiply(given)) >= usual * size)
        n_source, n_target = table.counts[sources], table.counts[targets]
        agrees = (n_source >= LEAST_TRACKS) & (cosine >= AGREES) | (n_target >= RARER * n_source) & near
        found |= {merge.source for merge, good in zip(block, agrees, strict=True) if good}
    return found


def _sums(matrix: Any) -> npt.NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=1)).ravel()
