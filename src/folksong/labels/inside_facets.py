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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
BLOCK = 2000


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
    units = direction_of(groups.points)
    words = None if placed.words is None else placed.words[[row_of[name] for name in groups.names]]
    meanings = [
        meaning_of(name, facet) if facet != "use" else ""  # one occasion may suit another
        for name, facet in zip(groups.names, of_group, strict=True)
    ]
    by_words = np.array([BY_WORDS.get(facet, 0.0) for facet in of_group])
    by_words = np.maximum(by_words, _words_share(table))
    named = np.array([facet == "name" for facet in of_group], bool)
    units[named] = 0  # two artists are not one, whoever hears both
    if words is not None:
        words[named | np.array([len(WORD.findall(name)) >= PHRASE for name in groups.names], bool)] = 0
    alike, narrower = likeness(
        groups.names, groups.wordings, units, words, by_words, of_group, meanings, frequent
    )
    least = np.array([LEAST_OF_FACET.get(facet, LEAST_LIKENESS) for facet in of_group])
    least += RARE * (groups.counts < FREQUENT)
    drowned = groups.counts[:, None] > groups.counts[frequent]  # a name must hold for its label's tracks
    alike[(alike < least[:, None]) & ~narrower | drowned] = 0
    # what is left out sets no other standard
    told = wanted | np.array([facet != UNKNOWN for facet in of_group])
    found = facility_location(alike, frequent, np.where(told, groups.counts, 0), n_labels)
    label_of = np.where(wanted & (found.likeness > 0), found.label, -1)
    _keep_apart(groups, label_of, alike[:, np.searchsorted(frequent, found.chosen)])
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
            groups.names[int(found.chosen[label])],
            tuple(placed.tags[row] for row in rows),
            (),
            of_group[int(found.chosen[label])],
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
    leaders = placed.leaders.copy()
    first: dict[tuple[str, str], int] = {}
    for row, (tag, facet) in enumerate(zip(placed.tags, facets, strict=True)):
        if facets[leaders[row]] != facet:
            leaders[row] = row
        meaning = meaning_of(tag, facet)
        if meaning:
            other = leaders[first.setdefault((facet, meaning), row)]
            one = leaders[row]
            leaders[leaders == max(one, other)] = min(one, other)
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


@dataclass(frozen=True, eq=False)
class Located:
    """Chosen rows and who belongs to them.

    Attributes:
        chosen: (n_labels,) rows, in the order of choice.
        label: (n,) number of the chosen row that each row is most like.
        likeness: (n,) and how like.
    """

    chosen: Numbers
    label: Numbers
    likeness: Floats


def facility_location(
    likeness: Floats, candidates: Numbers, counts: Numbers, n_labels: int | None = None
) -> Located:
    """Choose among the candidates.

    Args:
        likeness: (n, n_candidates), of a candidate to itself 1, of rows that must not meet 0.
        candidates: (n_candidates,) their rows.
        counts: (n,) what each row weighs.
        n_labels: how many to choose; None chooses as many as add `WORTH_A_LABEL` of the counts.
    """
    if n_labels is not None and n_labels > len(candidates):
        raise FolksongError(
            f"{n_labels} labels were asked for, but only {len(candidates)} tags are frequent enough to stand for one; "
            "ask for fewer"
        )
    weights, served = counts.astype(np.float32), np.minimum(likeness / LIKE_ENOUGH, 1)
    reached = np.zeros(len(likeness), np.float32)
    left = np.ones(len(candidates), bool)
    chosen: list[int] = []
    while left.any() and len(chosen) != n_labels:
        gains = np.where(left, weights @ np.maximum(served - reached[:, None], 0), -1)
        best = int(gains.argmax())
        if n_labels is None and chosen and gains[best] < WORTH_A_LABEL * weights.sum():
            break
        chosen.append(best)
        left[best] = False
        reached = np.maximum(reached, served[:, best])
    columns = likeness[:, chosen]
    return Located(candidates[chosen], columns.argmax(axis=1), columns.max(axis=1))


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
    """Return how like n tags are to the candidates among them, and where they are known to be narrower ones.

    Both are (n, n_candidates).

    Each stands for others, whose words are its wording; `points`, (n, d), are hybrid vectors, `words`, (n, m), word
    vectors, whose rows have length 1, or 0 where a word is unknown; `words_share`, (n,), is how much goes by words.
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
