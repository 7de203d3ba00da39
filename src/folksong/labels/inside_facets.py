"""The hybrid label space inside facets: tags of each facet are given to those that stand for them best.

These are chosen by facility location (`folksong.labels.facility_location`), as many as the counts ask for. Places,
instruments and decades that mean the same in any language are linked first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.labels.analysis.pairs import Pair
from folksong.labels.facility_location import facility_location
from folksong.labels.hybrid_vectors import HybridVectors, Numbers, TagGroups, group_tags
from folksong.labels.likeness import likeness
from folksong.labels.space import Label
from folksong.labels.wording import meaning_of
from folksong.tags.facet_lists import FACETS, UNKNOWN, WORD
from folksong.tags.facets import TagFacets
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

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


def inside_facets(
    placed: HybridVectors,
    table: TagTable,
    facets: TagFacets,
    pairs: Sequence[Pair],
    n_labels: int | None,
    without: frozenset[str],
) -> tuple[tuple[Label, ...], dict[str, int]]:
    """Return the labels by facet, the most popular first, and the counts left out of each facet."""
    if unknown := without - {*FACETS}:
        raise FolksongError(f"there is no facet {', '.join(sorted(unknown))}; facets are {', '.join(FACETS)}")
    of_tag = [_sure_facet(facets, tag) for tag in placed.tags]
    leaders = _link_meanings(placed, of_tag)
    groups, group_of = group_tags(placed, leaders, pairs)
    row_of = {tag: row for row, tag in enumerate(placed.tags)}
    of_group = [of_tag[row_of[name]] for name in groups.names]
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
    units = groups.points / np.linalg.norm(groups.points, axis=1, keepdims=True)
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
    found = facility_location(alike, frequent, np.where(wanted, groups.counts, 0), n_labels)
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
    order = {facet: place for place, facet in enumerate((*FACETS, UNKNOWN))}
    logger.info(
        "counts left out, by facet: %s", ", ".join(f"{facet} {n:,}" for facet, n in costs.items()) or "none"
    )
    return tuple(sorted(labels, key=lambda label: order[label.facet])), costs


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
