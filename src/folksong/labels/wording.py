"""What a tag's wording tells: the stems of its words.

Endings, word order, generic words ("music", "songs", "the") and short forms ("fave", "prog") make no difference:
"polish music" and "polish" have the same stems.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from typing import Any

from folksong.tags.cleaning.spelling import words_of


@lru_cache(maxsize=200_000)
def stems_of(tag: str) -> tuple[str, ...]:
    """Return the stems of a tag's words, sorted: equal for tags that differ in endings, order and generic words only.

    >>> stems_of("relaxing") == stems_of("Relax"), stems_of("favourite songs") == stems_of("fave song")
    (True, True)
    >>> stems_of("the music of Poland"), stems_of("music")
    (('poland',), ('music',))
    """
    stemmer, same = _stemmer(), _same_words()
    stems = sorted(same.get(stem, stem) for stem in (stemmer.stemWord(word) for word in words_of(tag)))
    return tuple(stem for stem in stems if stem not in _generic_words()) or tuple(stems)


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
def _generic_words() -> frozenset[str]:
    return frozenset(data_lines("generic_words.txt"))
