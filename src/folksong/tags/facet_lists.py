"""The listed tags of each facet: files of the package, one tag a line, in many languages, each below its source."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files

FACETS = ("genre", "instrument", "voice", "era", "mood", "place", "use", "opinion", "name")
UNKNOWN = "unknown"


def _words(kind: str) -> frozenset[str]:
    text = files("folksong.tags").joinpath("lists", "facets", "words.txt").read_text(encoding="utf-8")
    return next(frozenset(line.split()[1:]) for line in text.splitlines() if line.startswith(f"{kind}:"))


FUNCTION_WORDS = _words("function")
"""Words that say nothing of a tag's facet."""
GENERIC_WORDS = _words("generic")
PERSONAL_WORDS = _words("personal")
"""Whoever says this tells of himself, whatever of."""
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
YEAR = re.compile(r"(?<!\d)(1[5-9]\d\d|20[0-4]\d)(?!\d)")
DECADE = re.compile(r"(?<![a-z0-9])(?:1[89]|20)?\d0\W?s(?![a-z])|(?<!\d)(?:1[89]|20)?\d0er(?![a-z])")
SEPARATORS = re.compile(r"[\s_/.-]+")
SHORTEST_MISTYPED = 7
LONGEST = 4
"""Words of the listed tags that are looked for inside a tag."""
PREFIX = re.compile(
    r"^(genre|style|subgenre|instrument|voice|vocals|era|decade|mood|theme|place|country|language|location)s?"
    r"(?:/\w+)?\s*(?:---|::?|=)\s*(?=\w)"
)
FACET_OF_PREFIX = {
    "style": "genre",
    "subgenre": "genre",
    "vocals": "voice",
    "decade": "era",
    "theme": "mood",
    "country": "place",
    "language": "place",
    "location": "place",
}
"""Some vocabularies say the facet: ``genre---rock``, ``mood/theme: calm``."""


@lru_cache(maxsize=4096)
def plain(tag: str) -> str:
    """Return the tag as the lists spell it: lower case, single blanks, without a prefix that names a facet."""
    return PREFIX.sub("", " ".join(unicodedata.normalize("NFC", tag).lower().replace("’", "'").split()))


@cache
def sources() -> dict[str, tuple[str, str, str]]:
    """Return tag -> its facet, where the list has it from, and what it means where that is another word.

    "deutsch" and "berlin" mean germany, "gitarre" the same as "guitar".
    """
    found: dict[str, tuple[str, str, str]] = {}
    for facet in FACETS:
        text = files("folksong.tags").joinpath("lists", "facets", f"{facet}.txt").read_text(encoding="utf-8")
        source = ""
        for line in text.splitlines():
            if line.startswith("# source: "):
                source = line.removeprefix("# source: ")
            elif line:
                tag, _, meaning = line.removeprefix("\\").partition("\t")
                found.setdefault(tag, (facet, source, meaning or tag))
    return found


@cache
def seeds() -> dict[str, str]:
    """Return tag -> facet."""
    return {tag: facet for tag, (facet, *_) in sources().items()}


@cache
def _squeezed() -> dict[str, str]:
    """Return listed tags without blanks and hyphens -> facet; the first list that has it decides."""
    found: dict[str, str] = {}
    for tag, facet in seeds().items():
        found.setdefault(SEPARATORS.sub("", tag), facet)
    return found


def listed(form: str) -> str | None:
    """Return the facet of a plain tag that a list holds, in any of its spellings with blanks or hyphens.

    >>> listed("synth-pop"), listed("electricguitar"), listed("zorbing")
    ('genre', 'instrument', None)
    """
    squeezed = SEPARATORS.sub("", form)
    return seeds().get(form) or (_squeezed().get(squeezed) if len(squeezed) > 3 else None)


def listed_from(source: str) -> list[str]:
    """Return the tags of the sources that begin so."""
    return [tag for tag, (_, said, _) in sources().items() if said.startswith(source)]


def parse(words: Sequence[str]) -> str | None:
    """Return the facet of a tag's words where lists hold them all; None where they do not, or leave it open.

    A genre keeps its facet beside places, moods, eras, instruments and opinions ("swedish metal"), all others beside
    opinions ("beautiful piano"); of others the last decides. What is said in the first person is an opinion.

    >>> [parse(tag.split()) for tag in ("swedish metal", "1982 songs", "zorbing songs", "my sad songs")]
    ['genre', 'era', None, 'opinion']
    """
    found = _pieces(words)
    if not found:
        return None
    if words[0] in PERSONAL_WORDS or PERSONAL_WORDS & set(words) - {"love", "hate"}:
        return "opinion"
    facets = set(found)
    if len(facets) == 1 or "name" in facets:
        return found[0] if len(facets) == 1 else None
    if "genre" in facets:
        return "genre"
    rest = [facet for facet in found if facet != "opinion"]
    return rest[-1]


def _pieces(words: Sequence[str]) -> list[str]:
    """Return the facets of the longest listed pieces from left to right; none where a word is in no piece."""
    known, found, start = seeds(), list[str](), 0
    while start < len(words):
        for end in range(min(start + LONGEST, len(words)), start, -1):
            piece = " ".join(words[start:end])
            if piece in FUNCTION_WORDS or piece in GENERIC_WORDS or piece in PERSONAL_WORDS:
                break
            if facet := known.get(piece) or ("era" if YEAR.fullmatch(piece) else None):
                found.append(facet)
                break
        else:
            return []
        start = end
    return found


def mistyped(word: str) -> str | None:
    """Return the facet of the listed words that are one letter away, where they agree; None of short words.

    >>> mistyped("clasical"), mistyped("folc")
    ('genre', None)
    """
    if len(word) < SHORTEST_MISTYPED:
        return None
    near = _less_one_letter()
    found = {facet for form in (word, *_deletions(word)) for facet in near.get(form, ())}
    return found.pop() if len(found) == 1 else None


def _deletions(word: str) -> set[str]:
    return {word[:place] + word[place + 1 :] for place in range(len(word))}


@cache
def _less_one_letter() -> dict[str, set[str]]:
    """Return each listed word, whole and with a letter left out -> its facets: two such forms meet (SymSpell)."""
    found: dict[str, set[str]] = {}
    for tag in listed_from("ours"):
        if len(tag) >= SHORTEST_MISTYPED and tag.isalpha():
            for form in (tag, *_deletions(tag)):
                found.setdefault(form, set()).add(seeds()[tag])
    return found


def meaning(form: str, facet: str) -> str:
    """Return what a plain tag of a facet is about: what the list says it means, or a listed piece of it; else itself.

    >>> meaning("deutsch", "place")
    'germany'
    """
    known = sources()
    whole = known.get(form, ("", "", form))
    if whole[2] != form:
        return whole[2]
    words = WORD.findall(form)
    for size in range(min(LONGEST, len(words) - 1), 0, -1):
        for start in range(len(words) - size, -1, -1):
            piece = known.get(" ".join(words[start : start + size]))
            if piece is not None and piece[0] == facet:
                return piece[2]
    return form
