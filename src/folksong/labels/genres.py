"""Genre clusters: which clusters of a label space are genres, and which of them to merge.

``genres.txt`` holds two lines of JSON: the list of the cluster numbers that are genres, and a list of pairs to merge.
What follows a ``#`` is a comment; a proposal uses them to say what each number is, so that a person can edit
the two lines above.
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from folksong.errors import FileFormatError, FolksongError
from folksong.files import atomic_write, read_text
from folksong.labels.analysis.cooccurrence import cooccurrence
from folksong.labels.space import Label, LabelSpace
from folksong.labels.wording import data_lines
from folksong.tags.sources.read_tags import Tags, as_table

logger = logging.getLogger(__name__)

Pair = tuple[int, int]

Kind = Literal["genre", "voice"]

GENRES_FILE = "genres.txt"
KINDS: tuple[Kind, ...] = ("genre", "voice")


@dataclass(frozen=True)
class GenreChoice:
    """The clusters that are genres, and the pairs of them to merge, by their numbers in a label space (from 0)."""

    genres: tuple[int, ...]
    merges: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class GenreProposal:
    """A proposed choice and its grounds.

    Attributes:
        choice: what is proposed.
        genre_shares: (n_labels,) share of each cluster's counts whose tags name a genre.
        correlations: (n_labels, n_labels) correlation of the clusters' presence in tracks.
    """

    choice: GenreChoice
    genre_shares: npt.NDArray[np.float64]
    correlations: npt.NDArray[np.float64]


def read_genres(path: str | os.PathLike[str]) -> GenreChoice:
    """Read a ``genres.txt`` file, or the one in a folder.

    Raises:
        FolksongError: the file is missing.
        FileFormatError: it does not hold a list of whole numbers and a list of pairs of them.
    """
    path = Path(path, GENRES_FILE) if Path(path).is_dir() else Path(path)
    text = "\n".join(line.partition("#")[0] for line in read_text(path).split("\n")).strip()
    lists: list[Any] = []
    while text and len(lists) < 2:
        try:
            found, end = json.JSONDecoder().raw_decode(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise FileFormatError(f"{path}: not a line of JSON: {text[:60]}") from error
        lists.append(found)
        text = text[end:].strip()
    if not lists:
        raise FileFormatError(f"{path}: needs two lines of JSON (cluster numbers; pairs to merge), not 0")
    if text:
        logger.warning("%s: what follows its two lists is not read: %s", path, text[:60])
    genres, merges = lists[0], (lists[1:] or [None])[0] or []
    if not _are_numbers(genres):
        raise FileFormatError(
            f"{path}: the first line must be a list of cluster numbers, not {str(genres)[:60]}"
        )
    if not isinstance(merges, list) or not all(_are_numbers(pair) and len(pair) == 2 for pair in merges):
        raise FileFormatError(
            f"{path}: the second line must be a list of pairs of numbers, not {str(merges)[:60]}"
        )
    return GenreChoice(tuple(genres), tuple((first, second) for first, second in merges))


def write_genres(
    path: str | os.PathLike[str],
    choice: GenreChoice,
    space: LabelSpace,
    proposal: GenreProposal | None = None,
) -> None:
    """Write a choice as ``genres.txt``, with comments that say what each number is."""
    listed = set(choice.genres)
    lines = [json.dumps(list(choice.genres)), json.dumps([list(pair) for pair in choice.merges])]
    lines += [
        "# First line: the clusters that are genres. Second line: pairs of them to merge. Edit both freely."
    ]
    if proposal is not None:
        for first, second in choice.merges:
            names = f"{space.labels[first].name} + {space.labels[second].name}"
            lines.append(
                f"# [{first}, {second}] correlation {proposal.correlations[first, second]:.3f}: {names}"
            )
    for number, label in enumerate(space.labels):
        share = f" ({100 * proposal.genre_shares[number]:.0f}% genre words)" if proposal is not None else ""
        mark = "genre" if number in listed else "-"
        shown = _one_line(", ".join(label.tags[:12]) + (", …" if len(label.tags) > 12 else ""))
        lines.append(f"# {number} {mark} {_one_line(label.name)}{share}: {shown}")
    with atomic_write(path, "w") as stream:
        stream.write("\n".join(lines) + "\n")


def propose_genres(
    space: LabelSpace,
    tags: Tags,
    *,
    min_share: float = 0.5,
    correlation: float = 0.3,
    m: float | None = None,
    words: Iterable[str] | None = None,
) -> GenreProposal:
    """Propose which clusters are genres and which pairs of them to merge.

    Args:
        space: the clusters.
        tags: a tag table, or where to read it.
        min_share: a cluster is a genre when at least this share of its counts belongs to tags that name one.
        correlation: two genres are to be merged when their presence in tracks correlates at least so much (Pearson,
            which is the phi coefficient here).
        m: two genres are to be merged instead when they are m-correlated, n_ij > min(n_i, n_j) / m by the tracks that
            they share; the earlier project took 3/2.
        words: genre words instead of the list that ships with the package.
    """
    table = as_table(tags)
    known = {_plain(word) for word in words} if words is not None else genre_words()
    counts = table.counts_by_tag
    shares = np.zeros(len(space))
    for number, label in enumerate(space.labels):
        total = sum(counts.get(tag, 0) for tag in label.tags)
        named = sum(counts.get(tag, 0) for tag in label.tags if names_genre(tag, known))
        shares[number] = named / total if total else 0.0
    genres = tuple(int(number) for number in np.flatnonzero(shares >= min_share))
    correlations = label_correlations(space, table)
    pairs = [(i, j) for i in genres for j in genres if i < j and correlations[i, j] >= correlation]
    if m is not None:
        shared = cooccurrence(space, table).correlated(m)
        pairs = [(pair.first, pair.second) for pair in shared if {pair.first, pair.second} <= set(genres)]
    merges = sorted(pairs, key=lambda pair: (-correlations[pair], pair))
    return GenreProposal(GenreChoice(genres, tuple(merges)), shares, correlations)


def keep_genres(
    space: LabelSpace, choice: GenreChoice, tags: Tags, *, provenance: Mapping[str, Any] | None = None
) -> LabelSpace:
    """Build the space of the genres only, correlated ones merged (in chains too: 1-2 and 2-3 make one label).

    A merged label's tags are ordered by their counts in `tags` (a tag table, or where to read it), and it is named by
    the most popular one. A pair with a cluster that is no chosen genre does nothing.

    Raises:
        FolksongError: a genre is no cluster of `space`, or nothing is chosen.
    """
    table = as_table(tags)
    chosen = sorted(set(choice.genres))
    for number in chosen:
        if not 0 <= number < len(space):
            raise FolksongError(f"there is no cluster {number}; the space has {len(space)}, numbered from 0")
    if not chosen:
        raise FolksongError(
            "no cluster is chosen as a genre; list some numbers in the first line of genres.txt"
        )
    merges = [pair for pair in choice.merges if set(pair) <= set(chosen)]
    if len(merges) < len(choice.merges):
        logger.info(
            "%d pairs to merge are of clusters that are no genres; they do nothing",
            len(choice.merges) - len(merges),
        )
    group = {number: number for number in chosen}
    for first, second in merges:
        old, new = max(group[first], group[second]), min(group[first], group[second])
        group = {number: new if target == old else target for number, target in group.items()}
    counts = table.counts_by_tag
    labels = []
    for target in dict.fromkeys(group.values()):
        merged = [space.labels[number] for number in chosen if group[number] == target]
        members = {tag for label in merged for tag in label.tags}
        guests = {tag for label in merged for tag in label.also} - members
        own, also = map(table.by_popularity, (members, guests))
        labels.append(Label(merged[0].name if len(merged) == 1 else own[0], tuple(own), tuple(also)))
    labels.sort(key=lambda label: (-counts.get(label.tags[0], 0), label.tags[0]))
    listed = {"genres": list(choice.genres), "merges": [list(pair) for pair in choice.merges]}
    known = {"clusters": dict(space.provenance), "clusters_sha256": space.sha256(), **(provenance or {})}
    return LabelSpace.built(labels, space.aliases, {"builder": "genres", **listed}, table, known)


def label_correlations(space: LabelSpace, tags: Tags) -> npt.NDArray[np.float64]:
    """Return how the labels' presence in tracks correlates: (n_labels, n_labels), 0 where a label is constant."""
    table = as_table(tags)
    n_tracks, joint = table.n_tracks, cooccurrence(space, table).counts.astype(np.float64)
    single = np.diagonal(joint)
    covariance = n_tracks * joint - np.outer(single, single)
    spread = np.sqrt(single * (n_tracks - single))
    scale = np.outer(spread, spread)
    return np.asarray(np.divide(covariance, scale, out=np.zeros_like(joint), where=scale > 0))


def propose_tags(tags: Tags, kind: Kind = "genre", *, percentile: float = 95) -> tuple[tuple[str, int], ...]:
    """Propose the popular tags that name a genre, or a voice, for a person to edit.

    Args:
        tags: a tag table, or where to read it.
        kind: "genre" or "voice".
        percentile: of the counts of all tags in use; less popular tags are passed over.

    Returns:
        Tags and their counts, most popular first.

    Raises:
        FolksongError: an unknown kind, a percentile outside 0 to 100, or a table without tags.
    """
    if kind not in KINDS or not 0 <= percentile <= 100:
        raise FolksongError(f"a kind is one of {', '.join(KINDS)} and a percentile from 0 to 100")
    popularity, words = as_table(tags).popularity(), genre_words(kind)
    used = popularity.counts[popularity.counts > 0]
    if not len(used):
        raise FolksongError("the table holds no tags to choose from")
    least = np.percentile(used, percentile)
    found = zip(popularity.tags, popularity.counts.tolist(), strict=True)
    return tuple((tag, count) for tag, count in found if count >= max(least, 1) and names_genre(tag, words))


@cache
def genre_words(kind: Kind = "genre") -> frozenset[str]:
    """Return the words for genres, or for voices, that ship with the package, without blanks and hyphens."""
    return frozenset(_plain(line) for line in data_lines(f"{kind}_words.txt"))


def names_genre(tag: str, words: frozenset[str] | set[str]) -> bool:
    """Say whether a tag, two neighbouring words of it, or one word of it is a genre word.

    >>> names_genre("melodic death metal", genre_words()), names_genre("seen live", genre_words())
    (True, False)
    """
    parts = [part for part in re.split(r"[\s/_-]+", tag.lower()) if part]
    runs = [
        *parts,
        *(first + second for first, second in pairwise(parts)),
        "".join(parts),
    ]
    return any(_plain(run) in words for run in runs)


def _plain(word: str) -> str:
    return re.sub(r"[\s/_-]+", "", word.lower())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)
