"""Meaning and company together: clusters of tags by the company they keep, with the words' help where it is sure.

1. Spelling variants are merged; the raw spellings stay as the space's aliases.
2. Tags of the same word stems ("relax", "relaxing"; "favourite songs", "fave songs") are linked, unless the company
   they keep contradicts ("blues" and "blue" is such a risk, "country" and "countries" another).
3. Company vectors (`folksong.vectors.company`) of the linked groups are clustered by spherical k-means. Clusters are
   learned on tags with 5 counts or more; rarer ones go to the nearest centroid. With `overlap` a tag takes part in
   other labels that are nearly as near, in more the rarer it is: the company of three tracks says roughly where a tag
   belongs, not exactly.
4. Word vectors place the tags that keep no company at all; they can be joined to the others with a weight, but on
   HetRec no weight made the labels better (docs/label-spaces-hetrec.md has the figures).

A person's pairs can be added: those that must share a label are linked, those that must not are moved apart.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.labels.clusters import frequent_tags, labels_of_clusters, require_enough
from folksong.labels.judge import Pair
from folksong.labels.space import LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.labels.wording import stems_of
from folksong.tags.merging import rename_tags
from folksong.tags.spelling import variants
from folksong.tags.table import TagTable
from folksong.vectors.company import company_vectors
from folksong.vectors.tag_vectors import embed_tags
from folksong.vectors.words import WordVectors

logger = logging.getLogger(__name__)

Numbers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]

LEARN_FROM_COUNTS = 5
LEAST_COSINE_OF_STEMS = 0.05
OVERLAP_FALLS_AT = (10, 50, 200)
"""With overlap, a tag of at least so many counts takes part in one label fewer."""

NEAR_ENOUGH = 0.5
"""With overlap, a further label's cosine is at least this share of the nearest one's."""


@dataclass(frozen=True, eq=False)
class JointVectors:
    """Tags, where they lie, and which of them belong together for sure.

    Attributes:
        tags: (n,) canonical spellings, most popular first.
        counts: (n,) their counts.
        vectors: (n, d) company and meaning joined, rows of length 1.
        leaders: (n,) the row of the most popular tag that each is linked to (its own where it is alone).
        aliases: raw spelling -> tag.
    """

    tags: tuple[str, ...]
    counts: Numbers
    vectors: Matrix
    leaders: Numbers
    aliases: Mapping[str, str]


def hybrid(
    table: TagTable,
    vectors: WordVectors | None,
    *,
    threshold: int = 2,
    n_clusters: int = 65,
    overlap: int = 1,
    meaning: float = 0.0,
    dimension: int = 60,
    weighted: bool = False,
    merge_spellings: bool = True,
    link_stems: bool = True,
    pairs: Iterable[Pair] = (),
    n_init: int = 10,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> LabelSpace:
    """Build labels from meaning and company together.

    To learn from training tracks only, give ``table.select_tracks(split.training)``.

    Args:
        table: the tags.
        vectors: word vectors; None leaves meaning to the words' stems alone.
        threshold: only tags with more counts than this take part (variants counted together).
        n_clusters: number of labels.
        overlap: labels that a tag may take part in: its nearest ones, at least half as near as the nearest by cosine.
            One fewer for tags of 10 counts or more, two fewer from 50, three fewer from 200, but at least one. 1
            divides the tags.
        meaning: weight of the word vectors beside company, which weighs 1; 0 uses them only for tags without company.
        dimension: of the company vectors.
        weighted: whether company counts by the tags' weights (see `folksong.vectors.company_vectors`).
        merge_spellings: merge spelling variants first and keep them as aliases.
        link_stems: link tags of the same word stems, unless their company contradicts.
        pairs: a person's pairs of tags that must (``same``) or must not (``apart``) share a label.
        n_init: starts of k-means, of which the best is kept.
        seed: of k-means.
        provenance: further entries for the space's provenance.

    Raises:
        FolksongError: fewer tags than clusters, or pairs that contradict each other.
    """
    if overlap < 1:
        raise FolksongError(f"a tag takes part in 1 label or more, not in {overlap}")
    pairs = tuple(pairs)
    placed = joint_vectors(
        table,
        vectors,
        threshold=threshold,
        meaning=meaning,
        dimension=dimension,
        weighted=weighted,
        merge_spellings=merge_spellings,
        link_stems=link_stems,
    )
    rows = {tag: row for row, tag in enumerate(placed.tags)}
    rows |= {raw: rows[tag] for raw, tag in placed.aliases.items()}
    leaders = _link_pairs(placed.leaders, pairs, rows)
    numbers = _cluster(placed, leaders, n_clusters, overlap, n_init, seed, _apart(pairs, rows, leaders))
    used = {"vectors": vectors.source, "vectors_sha256": vectors.sha256} if vectors is not None else {}
    settings: dict[str, Any] = {"threshold": threshold, "n_clusters": n_clusters, "overlap": overlap}
    settings |= {"meaning": meaning, "dimension": dimension, "weighted": weighted}
    settings |= {"merge_spellings": merge_spellings, "link_stems": link_stems, "n_init": n_init, "seed": seed}
    return LabelSpace(
        labels_of_clusters(placed.tags, [main for main, *_ in numbers], [also for _, *also in numbers]),
        placed.aliases,
        {
            "builder": "hybrid",
            **settings,
            "pairs": [[pair.relation, pair.first, pair.second] for pair in pairs],
            "n_tracks": table.n_tracks,
            "table_sha256": table.sha256(),
            **used,
            **(provenance or {}),
        },
    )


def joint_vectors(
    table: TagTable,
    vectors: WordVectors | None,
    *,
    threshold: int = 2,
    meaning: float = 0.0,
    dimension: int = 60,
    weighted: bool = False,
    merge_spellings: bool = True,
    link_stems: bool = True,
) -> JointVectors:
    """Place tags by company and meaning, and link those of the same stems; arguments as for `hybrid`."""
    if meaning < 0:
        raise FolksongError(f"the weight of meaning must not be negative, not {meaning}")
    aliases: dict[str, str] = {}
    if merge_spellings:
        aliases = {merge.source: merge.target for merge in variants(table, mistyped=False)}
        table = rename_tags(table, aliases)
    tags = frequent_tags(table, threshold)
    if not tags:
        raise FolksongError(f"no tag has more than {threshold} counts; lower the threshold")
    company = company_vectors(table, tags, dimension=dimension, weighted=weighted).astype(np.float64)
    joined = company
    if vectors is not None:
        words = np.zeros((len(tags), vectors.dimension))
        found = embed_tags(tags, vectors)
        row_of = {tag: row for row, tag in enumerate(tags)}
        words[[row_of[tag] for tag in found.tags]] = found.vectors
        alone = ~company.any(axis=1)
        joined = np.hstack([company, words * np.where(alone, 1.0, meaning)[:, None]])
    placed = np.flatnonzero(joined.any(axis=1))
    kept = tuple(tags[row] for row in placed)
    if len(kept) < len(tags):
        logger.info("%d of %d tags have neither company nor a vector", len(tags) - len(kept), len(tags))
    joined = joined[placed] / np.linalg.norm(joined[placed], axis=1, keepdims=True)
    leaders = _link_stems(kept, company[placed]) if link_stems else np.arange(len(kept))
    counts = np.array([table.counts[table.tag_index[tag]] for tag in kept], np.int64)
    members = set(kept)
    return JointVectors(
        kept, counts, joined, leaders, {r: t for r, t in sorted(aliases.items()) if t in members}
    )


def _link_stems(tags: Sequence[str], company: Matrix) -> Numbers:
    leaders = np.arange(len(tags))
    first: dict[tuple[str, ...], int] = {}
    for row, tag in enumerate(tags):  # most popular first, so that the leader of a group is
        stems = stems_of(tag)
        leader = first.setdefault(stems, row) if stems else row
        if leader != row and company[row] @ company[leader] >= LEAST_COSINE_OF_STEMS:
            leaders[row] = leader
    return leaders


def _link_pairs(leaders: Numbers, pairs: Sequence[Pair], rows: Mapping[str, int]) -> Numbers:
    leaders = leaders.copy()
    for pair in pairs:
        if pair.first not in rows or pair.second not in rows:
            logger.warning("the pair %r and %r is passed over: not both take part", pair.first, pair.second)
        elif pair.relation == "same":
            one, other = leaders[rows[pair.first]], leaders[rows[pair.second]]
            leaders[leaders == max(one, other)] = min(one, other)
    return leaders


def _apart(pairs: Sequence[Pair], rows: Mapping[str, int], leaders: Numbers) -> dict[int, set[int]]:
    """Return leader -> leaders that must not be in its cluster."""
    apart: dict[int, set[int]] = {}
    for pair in pairs:
        if pair.relation == "apart" and pair.first in rows and pair.second in rows:
            one, other = int(leaders[rows[pair.first]]), int(leaders[rows[pair.second]])
            if one == other:
                raise FolksongError(
                    f"{pair.first!r} and {pair.second!r} must be apart, but other pairs, their spelling or their stems "
                    "put them together; remove a pair or leave stems unlinked"
                )
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
    return apart


def _cluster(
    placed: JointVectors,
    leaders: Numbers,
    n_clusters: int,
    overlap: int,
    n_init: int,
    seed: int,
    apart: Mapping[int, set[int]],
) -> list[tuple[int, ...]]:
    """Return the clusters of each tag, its main one first."""
    points = np.zeros_like(placed.vectors)
    np.add.at(points, leaders, placed.vectors * np.sqrt(placed.counts)[:, None])
    heads = np.unique(leaders)
    heads = heads[np.linalg.norm(points[heads], axis=1) > 1e-9]
    group_counts = np.bincount(leaders, placed.counts, minlength=len(leaders))
    learned = heads[group_counts[heads] >= LEARN_FROM_COUNTS]
    require_enough(
        len(learned),
        n_clusters,
        f"{LEARN_FROM_COUNTS} counts or more",
        len(placed.tags),
        "number of clusters",
    )
    model = SphericalKMeans(n_clusters, n_init=n_init, seed=seed).fit(points[learned])
    n_labels = _number_of_labels(group_counts[heads], overlap)
    chosen: dict[int, tuple[int, ...]] = {}
    # Heads are in order of popularity: of two that must be apart, the more popular one stays and the other moves.
    for head, main, number in zip(
        heads.tolist(), model.predict(points[heads]).tolist(), n_labels.tolist(), strict=True
    ):
        rivals = {place for rival in apart.get(head, ()) for place in chosen.get(rival, ())}
        if number == 1 and main not in rivals:
            chosen[head] = (main,)
            continue
        nearness = model.cluster_centers_ @ points[head]
        order = np.argsort(-nearness, kind="stable").tolist()
        free = [place for place in dict.fromkeys([main, *order]) if place not in rivals]
        if not free:
            raise FolksongError(
                f"{placed.tags[head]!r} must be apart from tags in every cluster; ask for more clusters"
            )
        near = [place for place in free[1:number] if nearness[place] >= NEAR_ENOUGH * nearness[main]]
        chosen[head] = (free[0], *near)
    return [chosen.get(leader, (-1,)) for leader in leaders.tolist()]


def _number_of_labels(counts: Numbers, overlap: int) -> Numbers:
    fewer = np.searchsorted(OVERLAP_FALLS_AT, counts, side="right")
    return np.maximum(overlap - fewer, 1)
