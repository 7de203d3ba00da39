"""Labels that do not cross facets: the tags of each facet are given to those that stand for them best.

**Likeness** of two tags of one facet is 0 (of different facets, or opposites) to 1. A tag is a narrower one of another
if its wording ends in it ("melodic death metal" in "death metal") or begins with it ("rock argentino"), unless 20
tracks carry the genre and none of them the other, and of what its ending is a narrower one of ("progressive psytrance"
of trance) if half of its tracks carry that; or if the tree of genres that ships in the package says so, and half
of its tracks carry the wider one too. Else it must be like it by company *and* by words: the lesser of the cosines of
their hybrid vectors and of their word vectors counts. Two that share a word and differ in another are not alike ("pop
metal", "hair metal"), nor are contrasts (female and male; two countries, instruments or decades;
`folksong.labels.wording`) or two genres of the tree of which neither is a kind of the other. Where tracks have few
tags, company goes in part by words; two names are alike by their wording alone. A tag joins a label if it is a
narrower one of its name, or very like it, and not more frequent.

**Facility location**: tags are chosen so that the sum over all tags of

    count · likeness to the chosen tag that it is most like, up to `LIKE_ENOUGH`

is great. Greedy choice reaches at least 1 − 1/e of the best sum (Nemhauser, Wolsey & Fisher 1978), and the order of the
choice does not depend on how many are wanted: with a number of labels given, so many are chosen; without one, as many
as add a share of the counts each that is worth a label. Unlike a cluster's mean, a chosen tag is one that people wrote,
so that the label's name holds for its members as far as they are like it; tags that are like none are in no label.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array

from folksong.errors import FolksongError
from folksong.labels.analysis.pairs import Pair
from folksong.labels.hybrid_vectors import HybridVectors, TagGroups, direction_of, group_tags
from folksong.labels.space import Label
from folksong.labels.wording import contrasts_of, genre_in_tree, meaning_of, stems_of
from folksong.tags.facet_lists import FACETS, FUNCTION_WORDS, GENERIC_WORDS, UNKNOWN, WORD
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
LEAST_LIKENESS = 0.8
"""Tags less like any label's name are in none, unless known to be narrower ones. Company alone puts together what the
same people hear: of 90 tags that joined a label by it, 40% meant its name."""
SURE_ENOUGH = 0.9
"""A tag whose facet is a guess less sure than this is in no label."""
ENOUGH_COMPANY = 4.0
PHRASE = 3
"""Of so many words the mean vector is near that of any others."""
WORTH_A_LABEL = 0.0011
"""Of all counts: what a chosen tag must add."""
LIKE_ENOUGH = 0.85
"""A tag so like a chosen one is served; labels go to those that are like none rather than to finer shades."""
NARROWER, MORE_WORDS, BEGINS, KIN, KIN_BY_COMPANY = 0.45, 0.08, 0.4, 0.3, 0.2
LEAST_CARRIED = 0.5
"""Of the tracks of a genre: what must carry the wider one too, lest grindcore be rock."""
NEGATIONS = frozenset({"not", "no", "non"})
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
    described = Described.of(groups, of_group, words, table)
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
    described.follow_heads(label_of, chosen, alike)
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
    say_nothing = FUNCTION_WORDS | GENERIC_WORDS
    names = np.array([not say_nothing.issuperset(WORD.findall(name.lower())) for name in groups.names], bool)
    frequent = np.flatnonzero(wanted & names & (groups.counts >= least_tracks))[:MOST_CANDIDATES]
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
        words_share: how much of the likeness of company goes by words.
        kinds: (n,) the facets' numbers.
        meanings: (n,) numbers of what is said in other words too (a country, a decade), 0 where that is unknown.
        both: of two tags, how many tracks carry both, and how many the first.
    """

    groups: TagGroups
    facets: Sequence[str]
    points: npt.NDArray[np.float64]
    words: npt.NDArray[np.float64] | None
    words_share: float
    kinds: Numbers
    meanings: Numbers
    both: Callable[[str, str], tuple[int, int]]

    @classmethod
    def of(
        cls,
        groups: TagGroups,
        facets: Sequence[str],
        words: npt.NDArray[np.float64] | None,
        table: TagTable,
    ) -> Self:
        """Describe groups of the given facets."""
        points = direction_of(groups.points)
        meanings = [
            meaning_of(name, facet) if facet != "use" else ""  # one occasion may suit another
            for name, facet in zip(groups.names, facets, strict=True)
        ]
        named = np.array([facet == "name" for facet in facets], bool)
        points[named] = 0  # two artists are not one, whoever hears both
        if words is not None:
            phrases = np.array([len(WORD.findall(name)) >= PHRASE for name in groups.names], bool)
            words[named | phrases] = 0
        return cls(
            *(groups, facets, points, words, _words_share(table)),
            *(_numbered(facets), _numbered(meanings), _counted(table)),
        )

    def typical_cosine(self, rows: slice, candidates: Numbers) -> float:
        """Return the mean cosine of words, of those that have little to do with each other most of all."""
        if self.words is None:
            return 0.0
        cosines = np.asarray(self.words[rows] @ self.words[candidates].T, np.float32)
        return float(cosines[cosines != 0].mean()) if cosines.any() else 0.0

    def likeness(self, rows: slice, candidates: Numbers, typical: float) -> Floats:
        """Return how like the rows are to the candidates, (n_rows, n_candidates): 0 where they must not meet."""
        company = np.asarray(self.points[rows] @ self.points[candidates].T, np.float32)
        cosines = np.zeros_like(company)
        if self.words is not None:
            cosines = np.asarray(self.words[rows] @ self.words[candidates].T, np.float32)
            by_words = np.maximum(cosines - typical, 0) / max(1 - typical, 1e-6)
            company += np.float32(self.words_share) * (by_words - company)
        names, known = self.groups.names[rows], [self.groups.names[row] for row in candidates]
        kin = self._kin(rows, candidates)
        # of several wider genres, the one with more of its company
        found = np.where(kin > 0, KIN + KIN_BY_COMPANY * company, np.minimum(company, cosines))
        found[(kin < 0) | _siblings(names, known) & (kin == 0)] = 0
        narrower = kin > 0
        _narrower(found, narrower, names, known)
        found[self._barred(rows, candidates)] = 0
        found = np.clip(found, 0, 1)
        own = candidates - rows.indices(len(self.facets))[0]
        inside = np.flatnonzero((own >= 0) & (own < len(found)))
        found[own[inside], inside] = 1
        narrower[found == 0] = False
        counts = self.groups.counts
        drowned = counts[rows, None] > counts[candidates]  # a name must hold for its label's tracks
        strange = self._never_together(narrower, rows, candidates)
        found[(found < LEAST_LIKENESS) & ~narrower | drowned | strange] = 0
        return found

    def follow_heads(self, label_of: Numbers, chosen: Numbers, alike: Floats) -> None:
        """Give genres the label of the genre that they end in: "progressive psytrance" that of psytrance.

        Those are moved that have none, or one by what they begin with alone, if half of their tracks carry the genre
        that they end in, or the label.
        """
        genres = {
            name.lower(): row for row, name in enumerate(self.groups.names) if self.facets[row] == "genre"
        }
        for row in sorted(genres.values(), key=lambda row: len(WORD.findall(self.groups.names[row]))):
            name, label = self.groups.names[row], int(label_of[row])
            starts, ends = _edges(name)
            by_start = label >= 0 and self.groups.names[chosen[label]].lower() in starts
            if label >= 0 and not (by_start and alike[row, label] < LEAST_LIKENESS):
                continue
            head = next((genres[form] for form in ends if form in genres), row)
            new = int(label_of[head])
            if new in (-1, label) or self.groups.counts[row] > self.groups.counts[chosen[new]]:
                continue
            carried = (self.both(name, self.groups.names[other]) for other in (head, chosen[new]))
            if any(together >= LEAST_CARRIED * tracks for together, tracks in carried):
                label_of[row] = new

    def _kin(self, rows: slice, candidates: Numbers) -> npt.NDArray[np.int8]:
        """Return (n_rows, n_candidates): 1 where a genre is a kind of a candidate, -1 where not, 0 where nobody knows.

        It is one where the tree says so and half of its tracks carry the wider one too.
        """
        of_rows, of_candidates = (
            self._in_tree(range(*rows.indices(len(self.facets)))),
            self._in_tree(candidates),
        )
        kin = np.zeros((len(self.facets[rows]), len(candidates)), np.int8)
        for row, (name, form, wider) in of_rows.items():
            for column, (other_name, other, _) in of_candidates.items():
                if other in wider:
                    together, tracks = self.both(name, other_name)
                    kin[row, column] = 1 if together >= LEAST_CARRIED * tracks else -1
                elif other != form:
                    kin[row, column] = -1
        return kin

    def _in_tree(self, rows: Iterable[int]) -> dict[int, tuple[str, str, frozenset[str]]]:
        """Return the place of those rows that are genres of the tree -> name, form in the tree and wider genres."""
        found = {}
        for place, row in enumerate(rows):
            known = genre_in_tree(self.groups.names[row]) if self.facets[row] == "genre" else None
            if known is not None:
                found[place] = (self.groups.names[row], *known)
        return found

    def _never_together(self, narrower: Truths, rows: slice, candidates: Numbers) -> Truths:
        """Return where wording says that a genre is a narrower one, but none of its many tracks carries the other."""
        never, start = np.zeros_like(narrower), rows.indices(len(self.facets))[0]
        for row, column in np.argwhere(narrower).tolist():
            if self.facets[row + start] == "genre":
                other = self.groups.names[candidates[column]]
                together, tracks = self.both(self.groups.names[row + start], other)
                never[row, column] = together == 0 and tracks >= LEAST_TRACKS
        return never

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


def _counted(table: TagTable) -> Callable[[str, str], tuple[int, int]]:
    """Return how many tracks carry both of two tags, and how many the first, as a function of the two."""
    columns = table.presence.tocsc()

    def tracks(tag: str) -> npt.NDArray[np.integer]:
        column = table.tag_index[tag]
        return np.asarray(columns.indices[columns.indptr[column] : columns.indptr[column + 1]])

    def both(tag: str, other: str) -> tuple[int, int]:
        of_tag = tracks(tag)
        return len(np.intersect1d(of_tag, tracks(other), assume_unique=True)), len(of_tag)

    return both


def _siblings(names: Sequence[str], candidates: Sequence[str]) -> Truths:
    """Return (n_names, n_candidates): where two share a word and each has another: "pop metal" is no "hair metal"."""
    stems = [set(stems_of(name)) for name in [*names, *candidates]]
    column_of = {stem: column for column, stem in enumerate(sorted(set().union(*stems)))}
    columns = [column_of[stem] for own in stems for stem in sorted(own)]
    sizes = np.array([len(own) for own in stems])
    ends = np.concatenate([[0], sizes.cumsum()])
    holds = csr_array((np.ones(len(columns), np.float32), columns, ends), shape=(len(stems), len(column_of)))
    n = len(names)
    shared = (holds[:n] @ holds[n:].T).toarray()
    siblings: Truths = (shared > 0) & (shared < np.minimum(sizes[:n, None], sizes[n:]))
    return siblings


def _edges(name: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return what a name begins with, and what it ends in, the longest first -> of how many words that is."""
    words = WORD.findall(name.lower())
    if NEGATIONS.intersection(words[:1]):
        return {}, {}
    sizes = [(size, sign) for size in range(len(words) - 1, 0, -1) for sign in (" ", "-")]
    starts = {sign.join(words[:size]): size for size, sign in sizes}
    return starts, {sign.join(words[-size:]): size for size, sign in sizes}


def _narrower(found: Floats, narrower: Truths, names: Sequence[str], candidates: Sequence[str]) -> None:
    column_of = {name.lower(): column for column, name in enumerate(candidates)}
    for row, name in enumerate(names):
        starts, ends = _edges(name)
        values = [(form, min(NARROWER + MORE_WORDS * size, 0.95)) for form, size in ends.items()]
        for form, value in [*values, *((form, BEGINS) for form in starts)]:
            column = column_of.get(form)
            if column is not None:
                narrower[row, column] = True
                found[row, column] = max(found[row, column], value)
