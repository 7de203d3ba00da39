"""Spelling variants of a tag: one canonical form for "hip hop", "Hip-Hop" and "hiphop".

The form is reached in stages, each of which forgives one kind of difference; the first stage at which two tags agree
is the reason of their merge. Signs after a letter that carry a meaning of their own (the keys c# and b♭, c++) are kept.

Mistyped long words are rare forms that are a letter or two away from a much more popular one. The distance is that of
optimal string alignment: a letter too many, too few, another, or two neighbours swapped each count 1. How much is
forgiven depends on the length, for short words a letter makes another word ("trance", "dance").

Tags that differ in case, blanks, hyphens, accents or the writing of "and" or of a decade are one tag. A trailing s or a
letter may make another word ("Afrobeats" is no "Afrobeat", "Nederlands" no "Nederland"): such merges need evidence.

- The table is freely spelt: some of its tags are the same but for signs and case. In a curated vocabulary none are,
  and two spellings in it are two things.
- Their company agrees: their co-occurrences with all other tags, weighed by inverse document frequency, have a
  cosine of `AGREES`. Where the rarer one is `RARER` times rarer, it is enough that its company is as near to the
  other's as that of any tag, or too small to tell.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from rapidfuzz.distance import OSA
from tqdm import tqdm

from folksong.tags.table import TagTable
from folksong.tags.tag_lists import shipped_list

AND = re.compile(r"&amp;|&|(?<![^\W_])and(?![^\W_])")
DECADE = re.compile(r"(?<![^\W_])((?:19|20)?[0-9]0)['’´`]?s(?![^\W_])|(?<![^\W_])([a-z]+ies)(?![^\W_])")
SIGN = re.compile(r"(?<=[^\W\d_])[#♭+]+")
"""What carries meaning after a letter: c# is not c."""
WORD = re.compile(r"[^\W_]+(?:(?<=[^\W\d_])[#♭+]+)?")
# Letters that Unicode does not take apart into a letter and an accent.
LETTERS = str.maketrans(
    {"♯": "#", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i"}
)
SHORTEST_PLURAL = 4
"""Words of fewer letters and digits keep their last s: "jas" is no plural of "ja"."""
SHORTEST = 7
LONG = 13
LONGEST = 64
"""Longer forms are sentences, and no mistypings of each other."""
MARKS = 1 << 26
AT_ONCE = 1 << 14
"""Forms of which all that can be left is in memory at once, some 200 numbers each."""
SHORTEST_WORD = 5
"""Within a tag of several words, the one that differs must have so many letters: folk rock is not punk rock."""
RARER = 10
"""A mistyping is at least so many times rarer than the right spelling."""
Words = Mapping[str, tuple[str, ...]]


def unify_blanks(tag: str) -> str:
    """Return the tag in Unicode's NFKC form, blanks and control characters as single spaces, none at the ends."""
    if not tag.isascii():
        tag = unicodedata.normalize("NFKC", tag)
    if not tag.isprintable():
        tag = "".join(
            character if character.isprintable() or character.isspace() else " " for character in tag
        )
    return " ".join(tag.split())


def fold_case(tag: str) -> str:
    """Return the tag without differences of case."""
    return tag.casefold() if tag.isascii() else unicodedata.normalize("NFKC", tag.casefold())


def strip_accents(tag: str) -> str:
    """Return the tag with plain letters for accented Latin ones; other scripts keep their marks.

    >>> strip_accents("beyoncé"), strip_accents("ガガ") == "ガガ"
    ('beyonce', True)
    """
    if tag.isascii():
        return tag
    plain: list[str] = []
    base_is_latin = False
    for character in unicodedata.normalize("NFD", tag):
        if "\u0300" <= character <= "\u036f":
            if not base_is_latin:
                plain.append(character)
        else:
            base_is_latin = character.isascii()
            plain.append(character)
    return unicodedata.normalize("NFC", "".join(plain)).translate(LETTERS)


def unify_and(tag: str) -> str:
    """Return the tag with ``n`` for ``&``, ``and`` and ``n``: rock & roll, rock and roll, rock 'n' roll.

    >>> unify_and("r&b"), unify_and("drum and bass")
    ('r n b', 'drum n bass')
    """
    return AND.sub(" n ", tag).replace("  ", " ").strip() if "&" in tag or "and" in tag else tag


def unify_decades(tag: str) -> str:
    """Return the tag with decades as ``1960s``: 60s, 60's, sixties. A bare 20s may be either and stays.

    >>> unify_decades("60's pop"), unify_decades("00s"), unify_decades("20s")
    ('1960s pop', '2000s', '20s')
    """
    return DECADE.sub(_decade, tag) if "s" in tag else tag


def letters_and_digits(tag: str) -> str:
    """Return the letters and digits of the tag; one without any letter keeps its signs: "4/4" is not "44"."""
    if tag.isalnum():
        return tag
    signs = {place for match in SIGN.finditer(tag) for place in range(*match.span())}
    joined = "".join(
        character
        for place, character in enumerate(tag)
        if character.isalnum() or place in signs or unicodedata.category(character).startswith("M")
    )
    return joined if any(character.isalpha() for character in joined) else tag


def strip_plural(tag: str) -> str:
    """Return letters and digits without one trailing s, unless it belongs to the word (blues, brass, 1960s)."""
    joined = letters_and_digits(tag)
    if len(joined) < SHORTEST_PLURAL or not joined.endswith("s") or joined.endswith("ss"):
        return joined
    if joined[-2].isdigit() or joined.endswith(shipped_list("words_in_s.txt")):
        return joined
    return joined[:-1]


STAGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("blanks", unify_blanks),
    ("case", fold_case),
    ("accents", strip_accents),
    ("& and n", unify_and),
    ("decade", unify_decades),
    ("hyphens, blanks and signs", letters_and_digits),
    ("trailing s", strip_plural),
)
"""What each stage forgives, and how; each takes the text that the one before left."""


def canonical_form(tag: str) -> str:
    """Return the form in which spelling variants agree. It is for comparing, not for showing.

    >>> canonical_form("Hip-Hop") == canonical_form("hip hop") == canonical_form("hiphop")
    True
    >>> [canonical_form(tag) for tag in ("Rock 'n' Roll", "R&B", "60's", "female vocalists")]
    ['rocknroll', 'rnb', '1960s', 'femalevocalist']
    """
    return strip_plural(_respelled(tag))


def words_of(tag: str) -> tuple[str, ...]:
    """Return the words of a tag in their canonical spelling, each without a trailing s."""
    return tuple(strip_plural(word) for word in WORD.findall(_respelled(tag)))


def _respelled(tag: str) -> str:
    for _, stage in STAGES[:5]:
        tag = stage(tag)
    return tag


def difference(one: str, other: str) -> str:
    """Return what tells two spellings apart: the first stage that makes them equal, or "" if none does."""
    for name, stage in STAGES[:5]:
        one, other = stage(one), stage(other)
        if one == other:
            return name
    for name, stage in STAGES[5:]:
        if stage(one) == stage(other):
            return name
    return ""


@dataclass(frozen=True)
class Merge:
    """One merge: `source` becomes `target`, for a reason in words; how many tracks have each."""

    source: str
    target: str
    reason: str
    source_count: int = 0
    target_count: int = 0


def variants(
    table: TagTable,
    *,
    min_count: int = 1,
    mistyped: bool = True,
    preferred: Collection[str] = (),
    progress: bool = False,
) -> tuple[Merge, ...]:
    """Return the merges of spelling variants, those that move most counts first.

    All tags of one canonical form become the most popular of them (ties by code point). With `mistyped`, a rare form
    that is a mistyping of a much more popular one joins it. Tags on fewer than `min_count` tracks take no part;
    `preferred` ones stay themselves and are the target of their group, however popular the others are.
    """
    stay = set(preferred)
    groups: dict[str, list[str]] = {}
    for tag, count in zip(*vars(table.popularity()).values(), strict=True):
        if count >= min_count:
            groups.setdefault(canonical_form(tag), []).append(tag)
    for tags in groups.values():  # the first of each is its target: a preferred tag, or the most popular
        tags.sort(key=lambda tag: tag not in stay)
    mistypings: dict[str, tuple[str, int]] = {}
    counts = table.counts_by_tag
    if mistyped:
        weight = {form: sum(counts[tag] for tag in tags) for form, tags in groups.items()}
        fixed = {form for form, tags in groups.items() if tags[0] in stay}
        words = {form: words_of(tags[0]) for form, tags in groups.items()}
        mistypings = find_mistypings(weight, words, fixed=fixed, progress=progress)
    merges: list[Merge] = []
    for form, tags in groups.items():
        right, distance = mistypings.get(form, (form, 0))
        target = groups[right][0]
        for tag in tags:
            if tag != target and tag not in stay:
                reason = difference(tag, target)
                reason = reason or f"mistyped ({distance} {'letter' if distance == 1 else 'letters'})"
                merges.append(Merge(tag, target, reason, counts[tag], counts[target]))
    return tuple(sorted(merges, key=lambda merge: (-merge.source_count, merge.target, merge.source)))


def _decade(match: re.Match[str]) -> str:
    digits, word = match.groups()
    if word is not None:
        return _decade_words().get(word, match.group())
    if len(digits) == 4:
        return f"{digits}s"
    if digits == "20":
        return "20s"
    return f"20{digits}s" if digits in ("00", "10") else f"19{digits}s"


@cache
def _decade_words() -> dict[str, str]:
    return dict(line.split("\t") for line in shipped_list("decades.tsv"))


def allowed_distance(length: int) -> int:
    """Return how many letters may differ in a word of so many letters: none below 7, one below 13, else two."""
    return 0 if length < SHORTEST else 1 if length < LONG else 2


def find_mistypings(
    counts: Mapping[str, int], words: Words, *, fixed: Collection[str] = (), progress: bool = False
) -> dict[str, tuple[str, int]]:
    """Return mistyped form -> (right form, distance), of forms with so many tracks and of such words.

    Forms are lower-case letters and digits (`canonical_form`), those that are `fixed` right by definition. The right
    form starts with the same letter, has the same digits in the same order (1980s is no mistyping of 1990s), and
    neither is the other's beginning (electronica is no mistyping of electronic). Where both have as many words, a word
    that differs must be long, and rare in all tags together ("rave" is a word of its own, so new rave is not new wave).
    A form that is itself mistyped is never the right one.
    """
    forms = [form for form in counts if len(form) >= SHORTEST and form.isascii()]
    forms.sort(key=lambda form: (-counts[form], form))
    rank = {form: position for position, form in enumerate(forms)}
    candidates = _candidates(forms, counts, frozenset(fixed), progress)
    uses: Counter[str] = Counter()
    for form, count in counts.items():
        uses.update(dict.fromkeys(words[form], count))
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
    """Return for each form the more popular ones near enough, with their distances.

    Forms at a distance of d are equal once each has lost d letters at most (never the first, which they share). So
    forms are looked up by what can be left of them, those of each power of ten among the more popular ones: the time
    grows with the forms, not with their pairs.
    """
    number = np.array([counts[form] for form in forms], np.int64)
    in_doubt = np.array([form not in fixed for form in forms], bool)
    lengths = np.array([len(form) for form in forms], np.int64)
    of_length = {
        int(length): np.flatnonzero(lengths == length)
        for length in set(lengths.tolist())
        if length <= LONGEST
    }
    lefts = sorted({length - lost for length in of_length for lost in range(allowed_distance(length) + 1)})
    tiers = [1]
    while (number >= RARER * tiers[-1]).any():
        tiers.append(RARER * tiers[-1])
    near = [np.empty((0, 2), np.int64)]
    for left in tqdm(lefts, "looking for mistyped tags", disable=not progress):
        groups = [(of_length[left + lost], lost) for lost in range(3) if left + lost in of_length]
        groups = [(rows, lost) for rows, lost in groups if lost <= allowed_distance(left + lost)]
        for least, next_tier in pairwise(tiers):
            popular = [(rows[number[rows] >= next_tier], lost) for rows, lost in groups]
            is_rare = in_doubt & (number >= least) & (number < next_tier)
            rare = [(rows[is_rare[rows]], lost) for rows, lost in groups]
            near += _with_equal_remainders(forms, left, rare, popular)
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    pairs = np.unique(np.concatenate(near), axis=0)
    for row, other in pairs[number[pairs[:, 1]] >= RARER * number[pairs[:, 0]]].tolist():
        form, right = forms[row], forms[other]
        most = allowed_distance(min(len(form), len(right)))
        if _may_be_mistyped(form, right) and (distance := OSA.distance(form, right)) <= most:
            found[form].append((right, distance))
    return found


Rows = npt.NDArray[np.int64]


def _with_equal_remainders(
    forms: Sequence[str], left: int, rare: Sequence[tuple[Rows, int]], popular: Sequence[tuple[Rows, int]]
) -> Iterator[Rows]:
    """Yield pairs (n, 2) of a rare and a popular form of which the same may be left.

    Args:
        forms: all.
        left: letters that are left of each.
        rare: rows of the forms of one length, and how many letters these lose, for each length.
        popular: likewise.
    """
    parts = [_remainders(forms, rows, left, lost) for rows, lost in popular]
    known, owners = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not len(known):
        return
    order = np.argsort(known)
    known, owners = known[order], owners[order]
    marked = np.zeros(MARKS, bool)  # tells quickly of most numbers that nothing known has them
    marked[known % MARKS] = True
    for rows, lost in rare:
        for part in np.array_split(rows, len(rows) // AT_ONCE + 1):
            numbers, wrong = _remainders(forms, part, left, lost)
            seen = np.flatnonzero(marked[numbers % MARKS])
            first, end = (np.searchsorted(known, numbers[seen], side) for side in ("left", "right"))
            n_known = end - first
            place = np.repeat(first - n_known.cumsum() + n_known, n_known) + np.arange(n_known.sum())
            yield np.column_stack([np.repeat(wrong[seen], n_known), owners[place]])


def _remainders(forms: Sequence[str], rows: Rows, left: int, lost: int) -> tuple[Rows, Rows]:
    """Return what is left of forms of ``left + lost`` letters in each way to lose `lost`, as numbers, and their rows.

    A number is the sum of the letters' codes, each times the random number of its place, which floats hold exactly.
    """
    length = left + lost
    ways = list(combinations(range(1, length), lost))
    kept = np.ones((len(ways), length), bool)
    kept[np.arange(len(ways))[:, None], np.array(ways, np.int64).reshape(len(ways), lost)] = False
    of_places = np.random.default_rng(0).integers(1 << 40, size=LONGEST).astype(np.float64)
    weights = np.where(kept, of_places[kept.cumsum(axis=1) - 1], 0.0)
    codes = np.array([forms[row] for row in rows], f"S{length}").view(np.uint8).reshape(-1, length)
    numbers = codes.astype(np.float64) @ weights.T
    return numbers.astype(np.int64).ravel(), np.repeat(rows, len(ways))


def _may_be_mistyped(form: str, other: str) -> bool:
    digits, others = ([c for c in text if not c.isalpha()] for text in (form, other))
    return digits == others and not form.startswith(other) and not other.startswith(form)


def _words_allow(words: tuple[str, ...], others: tuple[str, ...], uses: Mapping[str, int]) -> bool:
    if len(words) != len(others):
        return True  # a blank is missing or too many: the words cannot be paired
    return all(
        word == other or (min(len(word), len(other)) >= SHORTEST_WORD and uses[other] >= RARER * uses[word])
        for word, other in zip(words, others, strict=True)
    )


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
        rows = np.arange(len(block))
        sources, targets = np.array([[table.tag_index[tag] for tag in (m.source, m.target)] for m in block]).T
        both = sp.csr_array(
            (np.ones(2 * len(rows)), (np.tile(rows, 2), np.r_[sources, targets])), (len(rows), table.n_tags)
        )
        company = [tracks_of[one] @ presence for one in (sources, targets)]
        company = [one - one.multiply(both) for one in company]
        one, other = (part @ rarity for part in company)
        lengths = np.sqrt(_sums(one.multiply(one)) * _sums(other.multiply(other)))
        cosine = _sums(one.multiply(other)) / np.maximum(lengths, 1e-12)
        given = company[1] @ sp.diags_array(1 / counts)  # the share of each tag's tracks with the target
        size = _sums(company[0])
        usual = given @ overall / max(overall.sum(), 1)
        near = (size < LEAST_COMPANY) | (_sums(company[0].multiply(given)) >= usual * size)
        n_source, n_target = table.counts[sources], table.counts[targets]
        agrees = (n_source >= LEAST_TRACKS) & (cosine >= AGREES) | (n_target >= RARER * n_source) & near
        found |= {merge.source for merge, good in zip(block, agrees, strict=True) if good}
    return found


def _sums(matrix: Any) -> npt.NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=1)).ravel()
