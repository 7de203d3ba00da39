"""Facility location: the tags that stand for all others best, one of them the name of each label.

Of a matrix of likenesses, tags are chosen so that the sum over all tags of

    count · likeness to the chosen tag that it is most like, up to `LIKE_ENOUGH`

is great. Greedy choice reaches at least 1 − 1/e of the best sum (Nemhauser, Wolsey & Fisher 1978), and the order of the
choice does not depend on how many are wanted: with a number of labels given, so many are chosen; without one, as many
as add a share of the counts each that is worth a label. Unlike a cluster's mean, a chosen tag is one that people wrote,
so that the label's name holds for its members as far as they are like it; tags that are like none are in no label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

WORTH_A_LABEL = 0.0006
"""Of all counts: what a chosen tag must add."""
LIKE_ENOUGH = 0.85
"""A tag so like a chosen one is served; labels go to those that are like none rather than to finer shades."""


@dataclass(frozen=True, eq=False)
class Located:
    """Chosen rows and who belongs to them.

    Attributes:
        chosen: (n_labels,) rows, in the order of choice.
        label: (n,) number of the chosen row that each row is most like.
        likeness: (n,) and how like.
    """

    chosen: Numbers
    label: Numbers
    likeness: Floats


def facility_location(
    likeness: Floats, candidates: Numbers, counts: Numbers, n_labels: int | None = None
) -> Located:
    """Choose among the candidates.

    Args:
        likeness: (n, n_candidates), of a candidate to itself 1, of rows that must not meet 0.
        candidates: (n_candidates,) their rows.
        counts: (n,) what each row weighs.
        n_labels: how many to choose; None chooses as many as add `WORTH_A_LABEL` of the counts.
    """
    if n_labels is not None and n_labels > len(candidates):
        raise FolksongError(
            f"{n_labels} labels were asked for, but only {len(candidates)} tags are frequent enough to stand for one; "
            "ask for fewer"
        )
    weights, served = counts.astype(np.float32), np.minimum(likeness / LIKE_ENOUGH, 1)
    reached = np.zeros(len(likeness), np.float32)
    left = np.ones(len(candidates), bool)
    chosen: list[int] = []
    while left.any() and len(chosen) != n_labels:
        gains = np.where(left, weights @ np.maximum(served - reached[:, None], 0), -1)
        best = int(gains.argmax())
        if n_labels is None and chosen and gains[best] < WORTH_A_LABEL * weights.sum():
            break
        chosen.append(best)
        left[best] = False
        reached = np.maximum(reached, served[:, best])
    columns = likeness[:, chosen]
    return Located(candidates[chosen], columns.argmax(axis=1), columns.max(axis=1))
