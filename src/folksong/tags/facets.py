"""Facets of tags: genre, instrument, voice, era, mood, place, use, opinion, name; or unknown.

In this order, the first that says something decides:

1. a person's file;
2. the tag itself, where its vocabulary names the facet (``genre---rock``);
3. the lists of the package (`folksong.tags.facet_lists`), for the whole tag, a decade or a year;
4. the table, where its tracks are artists by their names: a tag that is one of them is a name;
5. the lists for all its words;
6. a guess: the logistic regression of `folksong.tags.facet_classifier` from wording and word vectors, and naive Bayes
   from the facets of the tags it shares tracks with, times a prior: how much of each facet the lists leave out. What is
   then in doubt is unknown.
"""

import logging
import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import atomic_write, read_text
from folksong.tags.facet_classifier import WordSource, fit
from folksong.tags.facet_lists import (
    DECADE,
    FACET_OF_PREFIX,
    FACETS,
    PREFIX,
    UNKNOWN,
    WORD,
    YEAR,
    listed,
    mistyped,
    parse,
    plain,
)
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

CONFIDENCE = {"file": 1.0, "prefix": 0.95, "listed": 0.95, "track": 0.85, "words": 0.85}
"""Of what is no guess; measured, but for the file, by benchmarks/judge_facets.py."""
NEIGHBOURS = 10
"""The company of a tag counts as so many independent neighbours at most, and as two a track."""
LEAST_CONFIDENCE = 0.45
PRIOR = {"genre": 1.0, "opinion": 1.0, "name": 1.0, "mood": 0.2, "use": 0.2}
"""Of what no list holds; of the other facets 0.05, as their words are few and known."""


@dataclass(frozen=True, eq=False)
class TagFacets:
    """Tags and their facets.

    Attributes:
        tags: (n,) in the table's order.
        facets: (n,) one of `FACETS`, or ``unknown``.
        confidences: (n,) from 0 to 1.
        reasons: (n,) ``file``, ``prefix``, ``listed``, ``track``, ``words`` or ``guess``.
    """

    tags: tuple[str, ...]
    facets: tuple[str, ...]
    confidences: Floats
    reasons: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"TagFacets({len(self.tags)} tags, {sum(facet != UNKNOWN for facet in self.facets)} with a facet)"
        )

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Tag -> row."""
        return {tag: row for row, tag in enumerate(self.tags)}

    def of(self, tag: str) -> str:
        """Return a tag's facet; of a tag that is not there, unknown."""
        row = self.row_of.get(tag)
        return UNKNOWN if row is None else self.facets[row]

    def summary(self, table: TagTable) -> list[tuple[str, int, int, str]]:
        """Return facet, number of tags, their counts, and the most popular ones; the facet of most counts first."""
        rows: dict[str, list[int]] = {}
        for column in table.popularity_order.tolist():
            rows.setdefault(self.facets[column], []).append(column)
        found = [
            (facet, len(tags), int(table.counts[tags].sum()), ", ".join(table.tags[tags[:5]]))
            for facet, tags in rows.items()
        ]
        return sorted(found, key=lambda row: -row[2])

    def write(self, path: str | os.PathLike[str], table: TagTable) -> None:
        """Write tag, facet, confidence, reason and count, most popular first: a file to edit and give back."""
        with atomic_write(path, "w") as stream:
            stream.write("tag\tfacet\tconfidence\treason\tcount\n")
            for column in table.popularity_order.tolist():
                row = self.row_of[table.tags[column]]
                said = f"{self.facets[row]}\t{self.confidences[row]:.2f}\t{self.reasons[row]}"
                stream.write(f"{self.tags[row]}\t{said}\t{table.counts[column]}\n")


def facets(
    tags: Tags,
    vectors: WordSource | None = None,
    *,
    given: Mapping[str, str] | None = None,
    progress: bool = False,
) -> TagFacets:
    """Return the facet of every tag, and how sure that is.

    Args:
        tags: a tag table, or where to read it.
        vectors: word vectors, read (`folksong.read_vectors`); without them words that no list holds are guessed by
            their letters and company alone.
        given: tag -> facet that a person says (`read_facets`); they win.
        progress: show a progress bar.

    Raises:
        FolksongError: `given` names a facet that there is not. A tag that the table has not is warned of.
    """
    table, given = as_table(tags), given or {}
    _check(given, table)
    artists = {plain(unquote(track)) for track in table.track_ids if not track.isdigit()}
    said = [_said(tag, given, artists) for tag in table.tags]
    open_rows = np.array([row for row, found in enumerate(said) if found is None], np.int64)
    chances = np.zeros((table.n_tags, len(FACETS)))
    for row, found in enumerate(said):
        if found is not None and found[0] != UNKNOWN:
            chances[row, FACETS.index(found[0])] = 1
    if len(open_rows):
        wording = fit(vectors).log_probabilities(
            [plain(table.tags[row]) for row in open_rows], progress=progress
        )
        prior = np.log([PRIOR.get(facet, 0.05) for facet in FACETS])
        chances[open_rows] = np.exp(
            log_softmax(wording + _company(table, chances)[open_rows] + prior, axis=1)
        )
    names, confidences, reasons = [], np.zeros(table.n_tags), []
    for row, found in enumerate(said):
        best = int(chances[row].argmax())
        confidence = CONFIDENCE[found[1]] if found else float(chances[row, best])
        name = found[0] if found else FACETS[best] if confidence >= LEAST_CONFIDENCE else UNKNOWN
        names.append(name)
        reasons.append(found[1] if found else "guess")
        confidences[row] = confidence
    return TagFacets(tuple(table.tags), tuple(names), confidences, tuple(reasons))


def _check(given: Mapping[str, str], table: TagTable) -> None:
    for tag, facet in given.items():
        if facet not in (*FACETS, UNKNOWN):
            raise FolksongError(
                f"the tag {tag!r} is given the facet {facet!r}{nearest(facet, FACETS)}; facets are "
                f"{', '.join((*FACETS, UNKNOWN))}"
            )
    absent = [tag for tag in given if tag not in table.tag_index]
    if absent:
        logger.warning(
            "%d tags with a given facet are not in the table: %s", len(absent), ", ".join(absent[:5])
        )


def _said(tag: str, given: Mapping[str, str], names: Set[str]) -> tuple[str, str] | None:
    """Return the facet that something says of the tag, and what says so."""
    if tag in given:
        return given[tag], "file"
    if prefix := PREFIX.match(tag.lower()):
        return FACET_OF_PREFIX.get(prefix[1], prefix[1]), "prefix"
    form = plain(tag)
    if facet := listed(form):
        return facet, "listed"
    if form in names:
        return "name", "track"
    words = WORD.findall(form)
    if len(form) < 2 or (form.isdigit() and not YEAR.fullmatch(form)):
        return UNKNOWN, "words"
    if len(words) == 1 and (DECADE.fullmatch(form) or YEAR.fullmatch(form)):
        return "era", "listed"
    found = parse(words) or (mistyped(form) if len(words) == 1 else None)
    return None if found is None else (found, "words")


def _company(table: TagTable, chances: Floats) -> Floats:
    """Return (n_tags, n_facets): how the facets of the tags on its tracks speak for each facet of a tag.

    `chances` are ones for tags whose facet is known; the others count for nobody.
    """
    presence, known = table.presence, chances.any(axis=1)
    together = presence.T @ (presence @ chances) - chances * table.counts[:, None]
    shares = (together + 0.1) / (together + 0.1).sum(axis=1, keepdims=True)
    learned = known & (together.sum(axis=1) > 0)
    if not learned.any():
        return np.zeros_like(chances)
    overall = shares[learned].mean(axis=0)
    weights = chances * learned[:, None]
    # a facet with few listed tags has the company of all
    typical = (weights.T @ shares + 20 * overall) / (weights.sum(axis=0)[:, None] + 20)
    strength = np.minimum(2 * table.counts, NEIGHBOURS) * (together.sum(axis=1) > 0)
    return np.asarray(strength[:, None] * (shares @ np.log(typical / overall).T))


def read_facets(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a person's facets: tab-separated lines of tag and facet, as `TagFacets.write` writes them."""
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        tag, *rest = line.split("\t")
        if not line.strip() or line.startswith("#") or (number == 1 and rest[:1] == ["facet"]):
            continue
        facet = rest[0].strip().lower() if rest else ""
        if not tag or facet not in (*FACETS, UNKNOWN):
            raise FileFormatError(
                f"{path}, line {number}: needs a tag and a facet, separated by a tab, not {line[:60]!r}"
                f"{nearest(facet, FACETS)}; facets are {', '.join((*FACETS, UNKNOWN))}"
            )
        if found.setdefault(tag, facet) != facet:
            raise FileFormatError(f"{path}, line {number}: {tag!r} is {found[tag]} above and {facet} here")
    return found
