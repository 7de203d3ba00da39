"""What a tag's wording tells: the stems of its words, and which tags contrast.

Endings, word order, generic words ("music", "songs", "the") and short forms ("fave", "prog") make no difference:
"polish music" and "polish" have the same stems. Tags contrast that say different things of one kind, such as two
decades, or female and male: artists carry both, so that co-occurrence puts such tags near each other, and word vectors
do so too. Decades are read from a tag's words and years; the other kinds are a word list in the package.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.embeddings.tags import decade_words
from folksong.tags.cleaning.spelling import words_of
from folksong.tags.facet_lists import SEPARATORS, meaning, plain, sources

DECADE = re.compile(r"(?<![a-z0-9])((?:19|20)?\d0)['’´`]?s(?![a-z0-9])")
YEAR = re.compile(r"(?<![a-z0-9])(19\d|20[0-2])\d(?![a-z0-9])")
WORD = re.compile(r"[a-z]+")


@lru_cache(maxsize=200_000)
def stems_of(tag: str) -> tuple[str, ...]:
    """Return the stems of a tag's words, sorted: equal for tags that differ in endings, order and generic words only.

    >>> stems_of("relaxing") == stems_of("Relax"), stems_of("favourite songs") == stems_of("fave song")
    (True, True)
    >>> stems_of("the music of Poland"), stems_of("music")
    (('poland',), ('music',))
    """
    stems = sorted(_stem_of(word) for word in words_of(tag))
    return tuple(stem for stem in stems if stem not in _generic_words()) or tuple(stems)


@lru_cache(maxsize=200_000)
def _stem_of(word: str) -> str:
    stem: str = _stemmer().stemWord(word)
    return _same_words().get(stem, stem)


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def data_lines(name: str) -> list[str]:
    """Return the lines of a word list of this package, without comments."""
    text = resources.files("folksong.labels").joinpath("data", name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@cache
def _same_words() -> dict[str, str]:
    lines = (line.split("\t") for line in data_lines("same_words.tsv"))
    return {fields[0]: fields[1] for fields in lines}


@cache
def _voice_words() -> frozenset[str]:
    return frozenset(data_lines("voice_words.txt"))


@cache
def _generic_words() -> frozenset[str]:
    return frozenset(data_lines("generic_words.txt"))


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Which of n tags contrast with which.

    Attributes:
        sides: for each kind (n, sides) float32: 1 where a tag says that side.
    """

    sides: tuple[npt.NDArray[np.float32], ...]

    def between(self, rows: slice | Sequence[int], others: slice | Sequence[int]) -> npt.NDArray[np.bool_]:
        """Return (rows, others): True where both say something of one kind, and nothing in common."""
        contrast = np.zeros((len(self.sides[0][rows]), len(self.sides[0][others])), bool)
        for sides in self.sides:
            one, other = sides[rows], sides[others]
            contrast |= np.outer(one.any(axis=1), other.any(axis=1)) & (one @ other.T == 0)
        return contrast


def meaning_of(tag: str, facet: str) -> str:
    """Return what a tag means where other words mean the same: its country, instrument, use, decade, sex; empty else.

    >>> meaning_of("Berlin", "place"), meaning_of("80's", "era"), meaning_of("rock", "genre")
    ('germany', '1980s', '')
    """
    if facet == "era":
        decades = decades_of(tag)
        return decades.pop() if len(decades) == 1 else ""
    if facet == "voice":
        if plain(tag) not in sources() and not _voice_words().intersection(WORD.findall(tag.lower())):
            return ""  # "bad girls" do not sing by their name
        stems, sides = set(stems_of(tag)), _opposites()[0]
        said = [name for name, side in zip(("female", "male"), sides, strict=True) if stems & side]
        return said[0] if len(said) == 1 else ""
    if facet == "use":
        return sources()[form][2] if (form := plain(tag)) in sources() else ""
    return meaning(plain(tag), facet) if facet in ("place", "instrument") else ""


@cache
def _wider_genres() -> dict[str, frozenset[str]]:
    """Return each genre of the shipped tree, without blanks and hyphens -> all wider ones; none of those at the top."""
    parents: dict[str, set[str]] = {}
    for line in data_lines("genre_parents.tsv"):
        genre, parent = (SEPARATORS.sub("", name) for name in line.split("\t"))
        parents.setdefault(genre, set()).add(parent)
        parents.setdefault(parent, set())
    wider: dict[str, frozenset[str]] = {}
    for genre in parents:
        found, new = set[str](), parents[genre]
        while new:
            found |= new
            new = set().union(*(parents[name] for name in new)) - found
        wider[genre] = frozenset(found)
    return wider


def genre_in_tree(tag: str) -> tuple[str, frozenset[str]] | None:
    """Return a genre as the shipped tree names it, and all wider genres; None where the tree lacks it.

    >>> genre_in_tree("Be Bop"), genre_in_tree("zorbcore")
    (('bebop', frozenset({'jazz'})), None)
    """
    form = SEPARATORS.sub("", plain(tag))
    return (form, _wider_genres()[form]) if form in _wider_genres() else None


def contrasts_of(tags: Sequence[str]) -> Contrasts:
    """Return the contrasts among tags.

    >>> found = contrasts_of(["60's", "1978", "sixties", "girl groups", "male vocals", "boys and girls"])
    >>> found.between(slice(0, 3), slice(0, 3)).tolist()
    [[False, True, False], [True, False, True], [False, True, False]]
    >>> found.between([3], slice(3, 6)).tolist()
    [[False, True, False]]
    """
    stems = [set(stems_of(tag)) for tag in tags]
    decades = [decades_of(tag) for tag in tags]
    named = sorted(set().union(*decades))
    kinds = [_says(stems, sides) for sides in _opposites()]
    return Contrasts((*kinds, _says(decades, [frozenset([decade]) for decade in named])))


def _says(words_of: Sequence[Set[str]], sides: Sequence[Set[str]]) -> npt.NDArray[np.float32]:
    """Return (tags, sides): 1 where a tag has a word of that side."""
    said = [bool(words & side) for words in words_of for side in sides]
    return np.array(said, np.float32).reshape(len(words_of), len(sides))


def decades_of(tag: str) -> set[str]:
    """Return the decades that a tag's words and years name, as ``1960s``."""
    tag, forms = tag.lower(), decade_words()
    written = {f"{match[1]}s" for match in DECADE.finditer(tag)} | set(WORD.findall(tag))
    decades = {form if len(form) == 5 and form[0].isdigit() else forms.get(form) for form in written}
    return {decade for decade in decades if decade} | {f"{match[1]}0s" for match in YEAR.finditer(tag)}


@cache
def _opposites() -> tuple[tuple[frozenset[str], ...], ...]:
    """Return for each kind its sides, as stems."""
    return tuple(
        tuple(frozenset(stem for word in side.split() for stem in stems_of(word)) for side in line.split("|"))
        for line in data_lines("opposites.txt")
    )
