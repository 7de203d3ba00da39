"""Tag vectors: the sum of the words' unit vectors, scaled to length 1.

A tag is lower-cased, freed of ``. ! ? ,`` and split on blanks. Decades first become one form (``60s``, ``60's`` and
``sixties`` mean ``1960s``; ``00s`` means ``2000s``; never "teens", and a bare ``20s`` stays). A word that the vectors
do not know is retried split at ``-``, ``/`` and ``_``; what stays unknown adds nothing, and a tag without any known
word has no vector.
"""

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.embeddings.words import Vectors, WordVectors
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

PUNCTUATION = str.maketrans("", "", ".!?,")
SEPARATORS = re.compile(r"[-/_]")


@dataclass(frozen=True)
class VectorCoverage:
    """What a tag table loses because some tags have no vector.

    Attributes:
        missing: (tag, count) of the tags without a vector, most popular first.
        partly: (tag, its unknown words) of the tags whose vector lacks a word, most popular first.
        tags: share of distinct tags that have a vector; NaN without tags.
        counts: share of (track, tag) pairs whose tag has one; NaN without counts.
    """

    missing: tuple[tuple[str, int], ...]
    partly: tuple[tuple[str, tuple[str, ...]], ...]
    tags: float
    counts: float


@dataclass(frozen=True, eq=False)
class TagVectors:
    """Tags and their unit vectors.

    Attributes:
        tags: (n,) the tags that have a vector, in the order given.
        vectors: (n, dimension) float32, rows of length 1.
        missing: the tags that have none, in the order given.
        unknown_words: tag -> its words that added nothing, for tags that have a vector all the same.
        source: what the vectors came from.
        sha256: hash of that source.
    """

    tags: tuple[str, ...]
    vectors: Vectors
    missing: tuple[str, ...] = ()
    unknown_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ""
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.tags)

    def coverage(self, table: TagTable) -> VectorCoverage:
        """Return which tags of `table` have no vector, and how many counts that loses.

        A tag of the table that was never embedded counts as missing.
        """
        ranking, known = table.popularity(), set(self.tags)
        counts = dict(zip(ranking.tags, ranking.counts.tolist(), strict=True))
        missing = tuple((tag, count) for tag, count in counts.items() if tag not in known)
        lost = sum(count for _, count in missing)
        return VectorCoverage(
            missing,
            tuple((tag, self.unknown_words[tag]) for tag in counts if tag in self.unknown_words),
            1 - len(missing) / table.n_tags if table.n_tags else float("nan"),
            1 - lost / table.n_counts if table.n_counts else float("nan"),
        )


def embed_tags(
    tags: Iterable[str],
    vectors: WordVectors,
    *,
    split_hyphens: bool = True,
    decades: bool = True,
    keep_case: bool = False,
) -> TagVectors:
    """Give each tag its unit vector.

    Args:
        tags: the tags, as written.
        vectors: word vectors; a sentence model embeds the tag as a whole.
        split_hyphens: retry an unknown word split at ``-``, ``/`` and ``_`` (the original recipe did not).
        decades: bring decades to one form first.
        keep_case: do not lower the case: for vocabularies, such as word2vec's, that know names.

    Returns:
        The tags that have a vector, in the order given, and the others in `TagVectors.missing`.
    """
    names = list(tags)
    words_of = [tag_words(tag, keep_case=keep_case) for tag in names]
    if decades:
        form = _decade_forms(vectors)
        words_of = [[form.get(word, word) for word in words] for words in words_of]
    if vectors.takes_phrases:
        words_of = [[" ".join(words)] if words else [] for words in words_of]
        split_hyphens = False
    sums, unknown_of = _sum_words(words_of, vectors, split_hyphens=split_hyphens)
    lengths = np.linalg.norm(sums, axis=1)
    found = lengths > 1e-6  # words that cancel each other leave no direction
    unit = (sums[found] / lengths[found, None]).astype(np.float32)
    kept = tuple(tag for tag, good in zip(names, found, strict=True) if good)
    return TagVectors(
        kept,
        unit,
        tuple(tag for tag, good in zip(names, found, strict=True) if not good),
        {
            tag: tuple(unknown)
            for tag, unknown, good in zip(names, unknown_of, found, strict=True)
            if good and unknown
        },
        vectors.source,
        vectors.sha256,
    )


def tag_words(tag: str, *, keep_case: bool = False) -> list[str]:
    """Return the words of a tag: lower case unless kept, without ``. ! ? ,``, split on blanks.

    >>> tag_words("R.E.M. Rocks!")
    ['rem', 'rocks']
    """
    return (tag if keep_case else tag.lower()).translate(PUNCTUATION).split()


@cache
def decade_words() -> dict[str, str]:
    """Return written form -> decade: ``60's`` -> ``1960s``; ``20s`` and "teens" are no decade."""
    text = resources.files("folksong.embeddings").joinpath("data/decades.json").read_text(encoding="utf-8")
    return {form: decade for decade, forms in json.loads(text).items() for form in forms}


def _decade_forms(vectors: WordVectors) -> dict[str, str]:
    """Return written form -> what the vectors call that decade: ``1960s``, or else its word."""
    forms = decade_words()
    written_out = {decade: form for form, decade in forms.items() if form.isalpha()}
    called = {}
    for decade in dict.fromkeys(forms.values()):
        candidates = [decade, *([written_out[decade]] if decade in written_out else [])]
        called[decade] = next((word for word in candidates if word in vectors), None)
    found = {form: called[decade] for form, decade in forms.items()}
    return {form.replace("'", mark): word for form, word in found.items() if word for mark in ("'", "’")}


def _sum_words(
    words_of: Sequence[Sequence[str]], vectors: WordVectors, *, split_hyphens: bool
) -> tuple[npt.NDArray[np.float64], list[list[str]]]:
    """Return, for each tag, the sum of its words' unit vectors, (n, dimension), and the words that have none."""
    words = {word for words in words_of for word in words}
    units = _unit_vectors(words, vectors)
    split: dict[str, list[str]] = {}
    if split_hyphens:
        unknown = [word for word in words - units.keys() if SEPARATORS.search(word)]
        split = {word: [piece for piece in SEPARATORS.split(word) if piece] for word in unknown}
        units |= _unit_vectors({p for pieces in split.values() for p in pieces} - units.keys(), vectors)
    pieces_of = [
        [p for word in of_tag for p in ([word] if word in units else split.get(word, [word]))]
        for of_tag in words_of
    ]
    vocabulary = sorted({piece for pieces in pieces_of for piece in pieces} & units.keys())
    number = {word: position for position, word in enumerate(vocabulary)}
    columns = [[number[piece] for piece in pieces if piece in number] for pieces in pieces_of]
    ends = np.cumsum([0, *map(len, columns)])
    flat = [column for of_tag in columns for column in of_tag]
    used = sp.csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(columns), len(vocabulary)))
    used.sum_duplicates()  # one order of summation, whatever the order of the words
    rows = np.array([units[word] for word in vocabulary]).reshape(-1, vectors.dimension)
    return np.asarray(used @ rows), [[p for p in pieces if p not in units] for pieces in pieces_of]


def _unit_vectors(words: Set[str], vectors: WordVectors) -> dict[str, npt.NDArray[np.float64]]:
    """Return the vectors of the words that have one, (dimension,) each, scaled to length 1."""
    names = sorted(words)
    embedded = vectors.embed(names)
    usable = np.flatnonzero(embedded.known & np.any(embedded.vectors != 0, axis=1))
    units = embedded.vectors[usable].astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return {names[name]: row for name, row in zip(usable.tolist(), units, strict=True)}
