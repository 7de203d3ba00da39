"""Labels that do not cross facets: the tags of each facet are given to those that stand for them best.

**Likeness** of two tags of one facet, from 0 (of different facets, or opposites) to 1: the cosine of their hybrid
vectors; where company says little (tracks have few tags; moods and occasions, that suit any music), in part that of
their word vectors. A tag whose wording ends in another tag ("melodic death metal" in "death metal") is a narrower one
of it, as is one that begins with it ("rock argentino"), and a kind of genre of the wider ones in a tree that ships in
the package; of two genres of the tree of which neither is a kind of the other, company says nothing. Two names are
alike by their wording alone. Contrasts (female and male; two countries, instruments or decades;
`folksong.labels.wording`) are not alike at all. A tag joins a label if it is a narrower one of its name, or very like
it, and not more frequent.

**Facility location**: tags are chosen so that the sum over all tags of

    count · likeness to the chosen tag that it is most like, up to `LIKE_ENOUGH`

is great. Greedy choice reaches at least 1 − 1/e of the best sum (Nemhauser, Wolsey & Fisher 1978), and the order of the
choice does not depend on how many are wanted: with a number of labels given, so many are chosen; without one, as many
as add a share of the counts each that is worth a label. Unlike a cluster's mean, a chosen tag is one that people wrote,
so that the label's name holds for its members as far as they are like it; tags that are like none are in no label.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.labels.analysis.pairs import Pair
from folksong.labels.hybrid_vectors import HybridVectors, TagGroups, direction_of, group_tags
from folksong.labels.space import Label
from folksong.labels.wording import contrasts_of, genre_in_tree, meaning_of
from folksong.tags.facet_lists import FACETS, UNKNOWN, WORD
from folksong.tags.facets import TagFacets
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

LEAST_TRACKS = 20
"""A label's name has at least so many counts, its spellings and what means the same together; in a table of fewer than
4,000 tracks, one for 200 tracks."""
MOST_CANDIDATES = 1500
LEAST_LIKENESS, LEAST_OF_FACET, RARE = 0.75, {"genre": 0.85, "opinion": 0.9}, 0.05
"""Tags less like any label's name are in none, unless known to be narrower ones. What a rare tag says is unsure, the
same people hear many genres, and the words of all opinions are near each other."""
FREQUENT = 10
SURE_ENOUGH = 0.9
"""A tag whose facet is a guess less sure than this is in no label."""
ENOUGH_COMPANY = 4.0
BY_WORDS = {"mood": 0.7, "use": 0.7, "opinion": 1.0}
"""Moods and occasions suit any music, so that their company says less of them than their words; of an opinion it says
who holds it."""
PHRASE = 3
"""Of so many words the mean vector is near that of any others."""
WORTH_A_LABEL = 0.001
"""Of all counts: what a chosen tag must add."""
LIKE_ENOUGH = 0.85
"""A tag so like a chosen one is served; labels go to those that are like none rather than to finer shades."""
NARROWER, MORE_WORDS, BEGINS, KIN = 0.45, 0.08, 0.4, 0.4
CHOOSING, BLOCK = 30_000, 30_000
"""So many of the most popular tags are heard in the choice of labels; the others join the chosen ones, so many at a
time. That bounds the memory: 30,000 x 1,500 numbers at once."""


def inside_facets(
    placed: HybridVectors,
    table: TagTable,
    facets: TagFacets,
    pairs: Sequence[Pair],
    n_labels: int | None,
    without: frozenset[str],
) -> tuple[tuple[Label, ...], dict[str, int]]:
    """Return the labels by facet, the most popular first, and the counts left out of each facet."""
    of_tag = [_sure_facet(facets, tag) for tag in placed.tags]
    leaders = _link_meanings(placed, of_tag)
    groups, group_of = group_tags(placed, leaders, pairs, alone=True)
    row_of = {tag: row for row, tag in enumerate(placed.tags)}
    of_group = [of_tag[row_of[name]] for name in groups.names]
    wanted, frequent = _candidates(groups, of_group, table, without)
    words = None if placed.words is None else placed.words[[row_of[name] for name in groups.names]]
    described = Described.of(groups, of_group, words, _words_share(table))
    first = min(max(CHOOSING, int(frequent[-1]) + 1), len(of_group))
    typical = described.typical_cosine(slice(first), frequent)
    alike = described.likeness(slice(first), frequent, typical)
    # what is left out sets no other standard
    told = wanted | np.array([facet != UNKNOWN for facet in of_group])
    columns = facility_location(alike, np.where(told, groups.counts, 0)[:first], n_labels)
    chosen, parts = frequent[columns], [alike[:, columns]]
    del alike
    rest = (slice(start, start + BLOCK) for start in range(first, len(of_group), BLOCK))
    parts.extend(described.likeness(rows, chosen, typical) for rows in rest)
    alike = np.concatenate(parts)
    label_of = np.where(wanted & alike.any(axis=1), alike.argmax(axis=1), -1)
    _keep_apart(groups, label_of, alike)
    members: dict[int, list[int]] = {}
    costs: dict[str, int] = {}
    for row, group in enumerate(group_of):
        label = int(label_of[group]) if group >= 0 else -1
        if label >= 0:
            members.setdefault(label, []).append(row)
        else:
            facet = facets.of(placed.tags[row])
            costs[facet] = costs.get(facet, 0) + int(placed.counts[row])
    labels = [
        Label(
            groups.names[int(chosen[label])],
            tuple(placed.tags[row] for row in rows),
            (),
            of_group[int(chosen[label])],
        )
        for label, rows in members.items()
    ]
    logger.info(
        "counts left out, by facet: %s", ", ".join(f"{facet} {n:,}" for facet, n in costs.items()) or "none"
    )
    return tuple(sorted(labels, key=lambda label: (*FACETS, UNKNOWN).index(label.facet))), costs


def _candidates(
    groups: TagGroups, of_group: Sequence[str], table: TagTable, without: frozenset[str]
) -> tuple[npt.NDArray[np.bool_], Numbers]:
    """Return which groups may be in a label, (n,) truths, and the rows of those frequent enough to be one."""
    if unknown := without - {*FACETS}:
        raise FolksongError(f"there is no facet {', '.join(sorted(unknown))}; facets are {', '.join(FACETS)}")
    wanted = np.array([facet != UNKNOWN and facet not in without for facet in of_group], bool)
    if not wanted.any() and not without:
        logger.warning("nothing is known of what the tags are about: they are divided as they are")
        wanted[:] = True
    least_tracks = min(LEAST_TRACKS, max(2, table.n_tracks // 200))
    frequent = np.flatnonzero(wanted & (groups.counts >= least_tracks))[:MOST_CANDIDATES]
    if not len(frequent):
        raise FolksongError(
            f"no tag of the facets to keep has {least_tracks} counts or more, so that a label could be learned; keep "
            "more facets, or build labels of the most popular tags"
        )
    return wanted, frequent


def _sure_facet(facets: TagFacets, tag: str) -> str:
    row = facets.row_of.get(tag)
    unsure = row is not None and facets.reasons[row] == "guess" and facets.confidences[row] < SURE_ENOUGH
    return UNKNOWN if unsure else facets.of(tag)


def _link_meanings(placed: HybridVectors, facets: Sequence[str]) -> Numbers:
    """Return the leaders of tags that mean the same: of one facet, and of one stem, place, instrument or decade."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first: dict[tuple[str, str], int] = {}
    linked = placed.leaders.copy()
    meant = np.arange(len(linked))
    for row, (tag, facet) in enumerate(zip(placed.tags, facets, strict=True)):
        if facets[linked[row]] != facet:
            linked[row] = row
        meaning = meaning_of(tag, facet)
        if meaning:
            meant[row] = first.setdefault((facet, meaning), row)
    ends = np.concatenate([linked, meant])
    rows = np.tile(np.arange(len(linked)), 2)
    edges = coo_array((np.ones(len(ends), bool), (rows, ends)), (len(linked), len(linked)))
    _, component = connected_components(edges, directed=False)
    leaders: Numbers = np.unique(component, return_index=True)[1][component]
    return leaders


def _keep_apart(groups: TagGroups, label_of: Numbers, alike: npt.NDArray[np.float32]) -> None:
    """Move the rarer of two groups that must be apart to the next label that it is like, or out."""
    for row in sorted(groups.apart):
        rivals = {int(label_of[rival]) for rival in groups.apart[row] if rival < row}
        if int(label_of[row]) in rivals:
            ranked = np.argsort(-alike[row], kind="stable").tolist()
            free = (label for label in ranked if label not in rivals and alike[row, label] >= LEAST_LIKENESS)
            label_of[row] = next(free, -1)


def _words_share(table: TagTable) -> float:
    """Return how much words say rather than company: none where a tag shares its tracks with many others."""
    tags_of = np.diff(table.weights.indptr)
    company = float((tags_of * (tags_of - 1)).sum() / max(table.n_counts, 1))
    share = max(0.0, 1 - company / ENOUGH_COMPANY)
    if share:
        logger.info(
            "a tag has %.1f others on its tracks on average: likeness goes by words to %.0f%%",
            company,
            100 * share,
        )
    return share


def facility_location(likeness: Floats, counts: Numbers, n_labels: int | None = None) -> list[int]:
    """Choose among candidates; return the chosen ones' columns, in the order of choice.

    Args:
        likeness: (n, n_candidates), of a candidate to itself 1, of rows that must not meet 0.
        counts: (n,) what each row weighs.
        n_labels: how many to choose; None chooses as many as add `WORTH_A_LABEL` of the counts.
    """
    n_candidates = likeness.shape[1]
    if n_labels is not None and n_labels > n_candidates:
        raise FolksongError(
            f"{n_labels} labels were asked for, but only {n_candidates} tags are frequent enough to stand for one; "
            "ask for fewer"
        )
    weights, served = counts.astype(np.float32), np.minimum(likeness / LIKE_ENOUGH, 1)
    reached = np.zeros(len(likeness), np.float32)
    left = np.ones(n_candidates, bool)
    chosen: list[int] = []
    while left.any() and len(chosen) != n_labels:
        gains = np.where(left, weights @ np.maximum(served - reached[:, None], 0), -1)
        best = int(gains.argmax())
        if n_labels is None and chosen and gains[best] < WORTH_A_LABEL * weights.sum():
            break
        chosen.append(best)
        left[best] = False
        reached = np.maximum(reached, served[:, best])
    return chosen


@dataclass(frozen=True, eq=False)
class Described:
    """What the likeness of n groups of tags goes by.

    Attributes:
        groups: their names, wordings and counts.
        facets: (n,) their facets.
        points: (n, d) hybrid vectors, rows of length 1, or 0 of those that are like none.
        words: (n, m) word vectors, rows of length 1, or 0 where words say nothing; None without.
        words_share: (n,) how much goes by words.
        kinds: (n,) the facets' numbers.
        meanings: (n,) numbers of what is said in other words too (a country, a decade), 0 where that is unknown.
        least: (n,) likeness below which a group is like none.
    """

    groups: TagGroups
    facets: Sequence[str]
    points: npt.NDArray[np.float64]
    words: npt.NDArray[np.float64] | None
    words_share: npt.NDArray[np.float64]
    kinds: Numbers
    meanings: Numbers
    least: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, groups: TagGroups, facets: Sequence[str], words: npt.NDArray[np.float64] | None, share: float
    ) -> Self:
        """Describe groups of the given facets; `share` is how much of all likeness goes by words at least."""
        points = direction_of(groups.points)
        meanings = [
            meaning_of(name, facet) if facet != "use" else ""  # one occasion may suit another
            for name, facet in zip(groups.names, facets, strict=True)
        ]
        by_words = np.array([BY_WORDS.get(facet, 0.0) for facet in facets])
        named = np.array([facet == "name" for facet in facets], bool)
        points[named] = 0  # two artists are not one, whoever hears both
        if words is not None:
            phrases = np.array([len(WORD.findall(name)) >= PHRASE for name in groups.names], bool)
            words[named | phrases] = 0
        least = np.array([LEAST_OF_FACET.get(facet, LEAST_LIKENESS) for facet in facets])
        least += RARE * (groups.counts < FREQUENT)
        return cls(
            *(groups, facets, points, words, np.maximum(by_words, share)),
            *(_numbered(facets), _numbered(meanings), least),
        )

    def typical_cosine(self, rows: slice, candidates: Numbers) -> float:
        """Return the mean cosine of words, of those that have little to do with each other most of all."""
        if self.words is None:
            return 0.0
        cosines = np.asarray(self.words[rows] @ self.words[candidates].T, np.float32)
        return float(cosines[cosines != 0].mean()) if cosines.any() else 0.0

    def likeness(self, rows: slice, candidates: Numbers, typical: float) -> Floats:
        """Return how like the rows are to the candidates, (n_rows, n_candidates): 0 where they must not meet."""
        found = np.asarray(self.points[rows] @ self.points[candidates].T, np.float32)
        if self.words is not None and self.words_share.any():
            cosines = np.asarray(self.words[rows] @ self.words[candidates].T, np.float32)
            by_words = np.maximum(cosines - typical, 0) / max(1 - typical, 1e-6)
            found += np.asarray(self.words_share[rows, None] * (by_words - found), np.float32)
        names, facets = self.groups.names[rows], self.facets[rows]
        known = [self.groups.names[row] for row in candidates]
        narrower = _by_tree(found, names, facets, known, [self.facets[row] for row in candidates])
        _narrower(found, narrower, names, known)
        found[self._barred(rows, candidates)] = 0
        found = np.clip(found, 0, 1)
        own = candidates - rows.indices(len(self.facets))[0]
        inside = np.flatnonzero((own >= 0) & (own < len(found)))
        found[own[inside], inside] = 1
        narrower[found == 0] = False
        counts = self.groups.counts
        drowned = counts[rows, None] > counts[candidates]  # a name must hold for its label's tracks
        found[(found < self.least[rows, None]) & ~narrower | drowned] = 0
        return found

    def _barred(self, rows: slice, candidates: Numbers) -> Truths:
        """Return which rows and candidates are of two facets, contrast, or mean two things."""
        own = self.groups.wordings[rows]
        contrasts = contrasts_of([*own, *(self.groups.wordings[row] for row in candidates)])
        barred = contrasts.between(slice(len(own)), slice(len(own), None))
        barred |= self.kinds[rows, None] != self.kinds[candidates]
        means = self.meanings > 0
        dated = means & np.array([facet == "era" for facet in self.facets], bool)
        both = means[rows, None] & means[candidates]
        both |= dated[rows, None] | dated[candidates]  # "oldies" are of no decade
        barred |= both & (self.meanings[rows, None] != self.meanings[candidates])
        return barred


def _numbered(names: Sequence[str]) -> Numbers:
    """Return a number of each name: 0 for none, and the same for the same."""
    return np.unique(np.array(["", *names], object), return_inverse=True)[1][1:].astype(np.int64)


def _by_tree(
    found: Floats,
    names: Sequence[str],
    facets: Sequence[str],
    candidates: Sequence[str],
    theirs: Sequence[str],
) -> Truths:
    """Let a genre be like the wider ones of the tree and like no others in it; return where it is a kind of one."""
    narrower = np.zeros(found.shape, bool)
    wide = [
        genre_in_tree(name) if facet == "genre" else None
        for name, facet in zip(candidates, theirs, strict=True)
    ]
    columns = [(column, place[0]) for column, place in enumerate(wide) if place is not None]
    for row, (name, facet) in enumerate(zip(names, facets, strict=True)):
        place = genre_in_tree(name) if facet == "genre" else None
        if place is None:
            continue
        form, wider = place
        for column, other in columns:
            if other in wider:
                narrower[row, column] = True
                # of several wider ones, the one with more of its company
                found[row, column] = max(found[row, column], KIN + (1 - KIN) * found[row, column] / 2)
            elif other != form:
                found[row, column] = 0
    return narrower


def _narrower(found: Floats, narrower: Truths, names: Sequence[str], candidates: Sequence[str]) -> None:
    column_of = {name: column for column, name in enumerate(candidates)}
    for row, name in enumerate(names):
        words = WORD.findall(name.lower())
        for size in range(1, len(words)):
            least = min(NARROWER + MORE_WORDS * size, 0.95)
            for piece, value in ((words[-size:], least), (words[:size], BEGINS)):
                for form in (" ".join(piece), "-".join(piece)):
                    column = column_of.get(form)
                    if column is not None:
                        narrower[row, column] = True
                        found[row, column] = max(found[row, column], value)
