"""How like two tags of one facet are, from 0 (of different facets, or opposites) to 1.

The cosine of their hybrid vectors; where company says little (tracks have few tags; moods and occasions, that suit any
music), in part that of their word vectors. A tag whose wording ends in another tag ("melodic death metal" in "death
metal") is a narrower one of it, and at least `NARROWER` like it, the more words they share the more; one that begins
with it ("rock argentino") at least half way; so is a kind of genre to a wider one that it is a kind of, by a tree that
ships in the package, and two genres of the tree of which neither is a kind of the other are not alike,
whoever hears both. Contrasts (female and male; two countries, instruments or decades;
`folksong.labels.wording`) are not alike at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from folksong.labels.wording import contrasts_of, genre_in_tree
from folksong.tags.facet_lists import WORD

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

NARROWER, MORE_WORDS, BEGINS, KIN = 0.45, 0.08, 0.4, 0.4
BLOCK = 2000


def likeness(
    names: Sequence[str],
    wordings: Sequence[str],
    points: npt.NDArray[np.float64],
    words: npt.NDArray[np.float64] | None,
    words_share: npt.NDArray[np.float64],
    facets: Sequence[str],
    meanings: Sequence[str],
    candidates: Numbers,
) -> tuple[Floats, Truths]:
    """Return (n, n_candidates) how like, and where a tag is known to be a narrower one of the candidate.

    Args:
        names: (n,) the tags.
        wordings: (n,) the words of all tags that each stands for.
        points: (n, d) their hybrid vectors, rows of length 1.
        words: (n, m) their word vectors, rows of length 1 or zeros; None without.
        words_share: (n,) how much of a tag's likeness goes by words, from 0 to 1.
        facets: (n,) theirs.
        meanings: (n,) their countries, instruments, decades (`folksong.labels.wording.meaning_of`); empty without.
        candidates: rows.
    """
    found = np.asarray(points @ points[candidates].T, np.float32)
    if words is not None and words_share.any():
        cosines = np.asarray(words @ words[candidates].T, np.float32)
        typical = (
            float(cosines[cosines != 0].mean()) if cosines.any() else 0.0
        )  # of words that have little to do
        by_words = np.maximum(cosines - typical, 0) / max(1 - typical, 1e-6)
        found += np.asarray(words_share[:, None] * (by_words - found), np.float32)
    narrower = _by_tree(found, names, facets, candidates)
    contrasts = contrasts_of(wordings)
    facet, meaning = _numbered(facets), _numbered(meanings)
    means = np.array([bool(one) for one in meanings], bool)
    dated = means & np.array([facet == "era" for facet in facets], bool)
    for start in range(0, len(found), BLOCK):
        rows = slice(start, start + BLOCK)
        column_of = {names[row]: column for column, row in enumerate(candidates.tolist())}
        _narrower(found, narrower, names, rows, column_of)
        barred = contrasts.between(rows, candidates.tolist()) | (facet[rows, None] != facet[candidates])
        both = means[rows, None] & means[candidates]
        both |= dated[rows, None] | dated[candidates]  # "oldies" are of no decade
        barred |= both & (meaning[rows, None] != meaning[candidates])
        found[rows][barred] = 0
    found = np.clip(found, 0, 1)
    found[candidates, np.arange(len(candidates))] = 1
    narrower[found == 0] = False
    return found, narrower


def _numbered(names: Sequence[str]) -> Numbers:
    return np.unique(np.array(names, object), return_inverse=True)[1].astype(np.int64)


def _by_tree(found: Floats, names: Sequence[str], facets: Sequence[str], candidates: Numbers) -> Truths:
    """Let a genre be like the wider ones of the tree and like no others in it; return where it is a kind of one."""
    in_tree = {row: genre_in_tree(names[row]) for row, facet in enumerate(facets) if facet == "genre"}
    known = {row: place for row, place in in_tree.items() if place is not None}
    narrower = np.zeros(found.shape, bool)
    columns = [(column, known[row][0]) for column, row in enumerate(candidates.tolist()) if row in known]
    for row, (form, wider) in known.items():
        for column, other in columns:
            if other in wider:
                narrower[row, column] = True
                # of several wider ones, the one with more of its company
                found[row, column] = max(found[row, column], KIN + (1 - KIN) * found[row, column] / 2)
            elif other != form:
                found[row, column] = 0
    return narrower


def _narrower(
    found: Floats, narrower: Truths, names: Sequence[str], rows: slice, column_of: Mapping[str, int]
) -> None:
    for row in range(*rows.indices(len(names))):
        words = WORD.findall(names[row].lower())
        for size in range(1, len(words)):
            least = min(NARROWER + MORE_WORDS * size, 0.95)
            for piece, value in ((words[-size:], least), (words[:size], BEGINS)):
                for form in (" ".join(piece), "-".join(piece)):
                    column = column_of.get(form)
                    if column is not None:
                        narrower[row, column] = True
                        found[row, column] = max(found[row, column], value)
