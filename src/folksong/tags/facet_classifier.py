"""The guess of a tag's facet from its wording: multinomial logistic regression, learned from the listed tags.

Features of a tag: its words, the first and the last of them, pieces of three and four letters of each word, the listed
tags inside it and the one that ends it, decades and years, how long it is, and its word vectors where some are given.
As few listed tags have several words of several facets, the lists are combined for learning: a place, a mood, an era,
an opinion or a word that nobody knows before a genre is a genre still ("swedish metal", "zorbing metal"), a first and
a last name are a name.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import log_softmax

from folksong.tags.facet_lists import DECADE, FACETS, LONGEST, WORD, YEAR, listed_from, seeds, sources

Floats = npt.NDArray[np.float64]

PENALTY = 1.0
ITERATIONS = 40
VECTOR_SCALE = 3.0
"""What a unit word vector weighs; a word weighs 1."""
SOURCED = 0.3
"""What a tag of a collected list weighs: such lists go far into what nobody tags, and their long tails would speak for
every word that is not known."""
COMBINED = 400
"""Combined tags of each kind to learn from; of a genre and a word that is on no list twice as many."""
BLOCK_TAGS = 20_000


class WordSource(Protocol):
    """Word vectors as `folksong.embeddings.read_vectors` gives them."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def __hash__(self) -> int:
        """Vectors are told apart by identity."""

    def embed(self, words: Sequence[str]) -> Any:
        """Return an object with ``vectors`` (n, dimension) and ``known`` (n,)."""


def features(tag: str) -> list[str]:
    """Return what a plain tag is described by.

    >>> [name for name in features("swedish metal") if name.startswith(("word ", "holds", "ends"))]
    ['word swedish', 'word metal', 'holds place', 'holds genre', 'ends genre']
    """
    words = WORD.findall(tag)
    found = [f"word {word}" for word in words]
    if words:
        found += [f"first {words[0]}", f"last {words[-1]}"]
    known = seeds()
    for start in range(len(words)):
        for end in range(start + 1, min(start + LONGEST, len(words)) + 1):
            facet = known.get(" ".join(words[start:end])) if end - start < len(words) else None
            if facet:
                found.append(f"holds {facet}")
                if end == len(words):
                    found.append(f"ends {facet}")
    for word in words:
        marked = f"<{word}>"
        found += [marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1)]
    if DECADE.search(tag):
        found.append("decade")
    if YEAR.search(tag):
        found.append("year")
    if any(character.isdigit() for character in tag):
        found.append("digit")
    if not words:
        found.append("signs only")
    found.append(f"words {min(len(words), 6)}")
    return found


def _combined() -> Iterator[tuple[str, str]]:
    """Yield tags put together from listed ones, and their facet."""
    rng = np.random.default_rng(0)
    by_facet: dict[str, list[str]] = {facet: [] for facet in FACETS}
    for tag in listed_from("ours"):
        by_facet[seeds()[tag]].append(tag)
    heads = by_facet["genre"][:400]

    def some(tags: Sequence[str], n: int = COMBINED) -> list[str]:
        return [tags[i] for i in rng.integers(0, len(tags), n)]

    short = {facet: [tag for tag in tags if " " not in tag] for facet, tags in by_facet.items()}
    for modifier, times in (
        ("place", 3),
        ("mood", 2),
        ("era", 1),
        ("genre", 3),
        ("instrument", 1),
        ("opinion", 1),
    ):
        for first, head in zip(
            some(short[modifier], COMBINED * times), some(heads, COMBINED * times), strict=True
        ):
            yield f"{first} {head}", "genre"
    for place, head in zip(some(short["place"]), some(heads), strict=True):
        yield f"{head} {place}", "genre"
    first_names, last_names = (listed_from(kind) for kind in ("first names", "surnames"))
    for start, end, head in zip(
        some(first_names, 2 * COMBINED),
        some(last_names, 2 * COMBINED),
        some(heads, 2 * COMBINED),
        strict=True,
    ):
        yield f"{start[:3]}{end[-3:]} {head}", "genre"
    for facet in ("mood", "instrument", "use", "place", "era"):
        for noun in ("music", "songs", "song"):
            for tag in some(short[facet], COMBINED // 8):
                yield f"{tag} {noun}", facet
    for tag in some(short["opinion"]):
        yield f"{tag} {some(short['opinion'], 1)[0]}", "opinion"
    phrases = [tag for tag in by_facet["opinion"] if tag.count(" ") >= 2]
    for tag in some(phrases):
        yield f"{tag} {some(phrases, 1)[0]}", "opinion"
    for noun in some(["songs", "music", "bands", "artists", "band", "tracks", "lyrics", "stuff"]):
        yield f"{some(short['opinion'], 1)[0]} {noun}", "opinion"
    for first, last in zip(some(first_names, 2 * COMBINED), some(last_names, 2 * COMBINED), strict=True):
        yield f"{first} {last}", "name"


@dataclass(frozen=True, eq=False)
class FacetClassifier:
    """A fitted classifier.

    Attributes:
        columns: feature -> its row of `weights`.
        weights: (n_features + dimension + 1, n_facets); the last rows are those of the word vectors, and of the share
            of words that have none.
        intercept: (n_facets,)
        vectors: the word vectors, or None.
    """

    columns: Mapping[str, int]
    weights: Floats
    intercept: Floats
    vectors: WordSource | None

    def log_probabilities(self, tags: Sequence[str], *, progress: bool = False) -> Floats:
        """Return (n, n_facets): the logarithm of each facet's probability, of plain tags."""
        from tqdm import tqdm

        found = np.empty((len(tags), len(FACETS)))
        with tqdm(total=len(tags), desc="facets", unit=" tags", disable=not progress) as bar:
            for start in range(0, len(tags), BLOCK_TAGS):
                block = tags[start : start + BLOCK_TAGS]
                scores = (
                    _matrix(block, map(features, block), self.columns, self.vectors) @ self.weights
                    + self.intercept
                )
                found[start : start + len(block)] = log_softmax(scores, axis=1)
                bar.update(len(block))
        return found


@lru_cache(maxsize=2)
def fit(vectors: WordSource | None, without: frozenset[str] = frozenset()) -> FacetClassifier:
    """Learn from the listed tags, but for those in `without`."""
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    known, source_of = seeds(), {tag: source for tag, (_, source, _) in sources().items()}
    pairs = [(tag, facet) for tag, facet in known.items() if tag not in without]
    pairs += [pair for pair in _combined() if pair[0] not in known and pair[0] not in without]
    tags = [tag for tag, _ in pairs]
    described = [features(tag) for tag in tags]
    counted = Counter(feature for found in described for feature in found)
    columns = {name: row for row, name in enumerate(sorted(n for n, times in counted.items() if times > 2))}
    matrix = _matrix(tags, described, columns, vectors)
    targets = np.zeros((len(tags), len(FACETS)))
    targets[np.arange(len(tags)), [FACETS.index(facet) for _, facet in pairs]] = 1
    shares = targets.sum(axis=0)
    collected = [SOURCED if source_of.get(tag, "ours") != "ours" else 1.0 for tag in tags]
    importance = (targets @ (shares.mean() / shares) ** 0.5)[:, None] * np.array(collected)[:, None]
    transposed = matrix.T.tocsr()
    shape = (matrix.shape[1] + 1, len(FACETS))

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        log_p = log_softmax(matrix @ weights[:-1] + weights[-1], axis=1)
        errors = importance * (np.exp(log_p) - targets)
        gradient = np.vstack([transposed @ errors + PENALTY * weights[:-1], errors.sum(axis=0)])
        value = -(importance * targets * log_p).sum() + PENALTY / 2 * (weights[:-1] ** 2).sum()
        return float(value), gradient.ravel()

    with threadpool_limits(1, "blas"):  # the same sums on any number of cores
        best = minimize(
            loss,
            np.zeros(np.prod(shape)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ITERATIONS, "maxcor": 5},
        )
    weights = best.x.reshape(shape)
    return FacetClassifier(columns, weights[:-1], weights[-1], vectors)


def _matrix(
    tags: Sequence[str],
    described: Iterable[Sequence[str]],
    columns: Mapping[str, int],
    vectors: WordSource | None,
) -> sp.csr_matrix:
    found = [sorted({columns[name] for name in names if name in columns}) for names in described]
    ends = np.cumsum([0, *map(len, found)])
    indices = np.fromiter((column for row in found for column in row), np.int64, count=int(ends[-1]))
    matrix = sp.csr_matrix((np.ones(len(indices)), indices, ends), shape=(len(tags), len(columns)))
    # The letters of long tags must not outweigh everything: rows are scaled to one length.
    lengths = np.sqrt(np.maximum(np.diff(ends), 1))
    matrix = sp.diags_array(3.0 / lengths) @ matrix
    if vectors is not None:
        matrix = sp.hstack([matrix, _mean_vectors(tags, vectors)])
    return sp.csr_matrix(matrix)


def _mean_vectors(tags: Sequence[str], vectors: WordSource) -> Floats:
    """Return (n, dimension + 1): the mean of the words' unit vectors, and the share of words without one."""
    words_of = [WORD.findall(tag) for tag in tags]
    words = sorted({word for words in words_of for word in words})
    embedded = vectors.embed(words)
    number = {word: row for row, word in enumerate(words)}
    ends = np.cumsum([0, *map(len, words_of)])
    used = sp.csr_matrix(
        (np.ones(ends[-1]), [number[word] for of_tag in words_of for word in of_tag], ends),
        shape=(len(tags), len(words)),
    )
    units = np.zeros((len(words), vectors.dimension + 1))
    rows = np.asarray(embedded.vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    good = np.asarray(embedded.known, bool) & (lengths > 0)
    units[good, :-1] = rows[good] / lengths[good, None]
    units[~good, -1] = 1
    return np.asarray(VECTOR_SCALE * (used @ units) / np.maximum(np.diff(ends), 1)[:, None])
