"""Mistyped long words: a rare form that is a letter or two away from a much more popular one.

The distance is that of optimal string alignment: a letter too many, too few, another, or two neighbours swapped each
count 1. How much is forgiven depends on the length, for short words a letter makes another word ("trance", "dance").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

import numpy as np
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist
from tqdm import tqdm

SHORTEST = 7
LONG = 13
SHORTEST_WORD = 5
"""Within a tag of several words, the one that differs must have so many letters: folk rock is not punk rock."""
RARER = 10
"""A mistyping is at least so many times rarer than the right spelling."""
Words = Mapping[str, tuple[str, ...]]


def allowed_distance(length: int) -> int:
    """Return how many letters may differ in a word of so many letters: none below 7, one below 13, else two."""
    return 0 if length < SHORTEST else 1 if length < LONG else 2


def find_mistypings(
    counts: Mapping[str, int], words: Words, *, fixed: Collection[str] = (), progress: bool = False
) -> dict[str, tuple[str, int]]:
    """Return mistyped form -> (right form, distance).

    Forms are lower-case letters and digits (`spelling.canonical_form`). The right form starts with the
    same letter, has the same digits in the same order (1980s is no mistyping of 1990s), and neither is the other's
    beginning (electronica is no mistyping of electronic). Where both have as many words, a word that differs must be
    long, and rare in all tags together ("rave" is a word of its own, so new rave is not new wave). A form that is
    itself mistyped is never the right one.

    Args:
        counts: form -> number of tracks.
        words: form -> its words.
        fixed: forms that are right by definition.
        progress: show a progress bar.
    """
    forms = [form for form in counts if len(form) >= SHORTEST and form.isascii()]
    forms.sort(key=lambda form: (-counts[form], form))
    rank = {form: position for position, form in enumerate(forms)}
    candidates = _candidates(forms, counts, frozenset(fixed), progress)
    uses: dict[str, int] = defaultdict(int)
    for form, count in counts.items():
        for word in set(words[form]):
            uses[word] += count
    found: dict[str, tuple[str, int]] = {}
    for form in forms:  # popular ones first, so that it is known of each target whether it is mistyped itself
        near = [
            (distance, rank[other], other)
            for other, distance in candidates.get(form, ())
            if other not in found and _words_allow(words[form], words[other], uses)
        ]
        if near:
            distance, _, other = min(near)
            found[form] = (other, distance)
    return found


def _candidates(
    forms: list[str], counts: Mapping[str, int], fixed: frozenset[str], progress: bool
) -> dict[str, list[tuple[str, int]]]:
    """Return for each form the more popular ones near enough, by blocks of equal first letter and length."""
    blocks: dict[tuple[str, int], list[str]] = defaultdict(list)
    for form in forms:
        blocks[form[0], len(form)].append(form)
    least = RARER * min((counts[form] for form in forms), default=0)
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for (first, length), queries in tqdm(blocks.items(), "looking for mistyped tags", disable=not progress):
        wrong = [form for form in queries if form not in fixed]
        for other_length in range(length - 2, length + 3):
            most = allowed_distance(min(length, other_length))
            choices = [form for form in blocks.get((first, other_length), ()) if counts[form] >= least]
            if not wrong or not choices or abs(other_length - length) > most:
                continue
            distances = cdist(wrong, choices, scorer=OSA.distance, score_cutoff=most, dtype=np.uint8)
            for row, column in np.argwhere((distances <= most) & (distances > 0)).tolist():
                form, other = wrong[row], choices[column]
                if counts[other] >= RARER * counts[form] and _may_be_mistyped(form, other):
                    found[form].append((other, int(distances[row, column])))
    return found


def _may_be_mistyped(form: str, other: str) -> bool:
    if form.startswith(other) or other.startswith(form):
        return False
    return [c for c in form if c.isdigit()] == [c for c in other if c.isdigit()]


def _words_allow(words: tuple[str, ...], others: tuple[str, ...], uses: Mapping[str, int]) -> bool:
    if len(words) != len(others):
        return True  # a blank is missing or too many: the words cannot be paired
    return all(
        word == other or (min(len(word), len(other)) >= SHORTEST_WORD and uses[other] >= RARER * uses[word])
        for word, other in zip(words, others, strict=True)
    )
