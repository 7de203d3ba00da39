"""Groups of runs on common ground: the same tracks, and the same labels or tags.

Three grounds, since no single one is fair to all label spaces:

``labels``  all runs have the same labels.
``common``  the tags that every space knows. A space gains nothing by labels that are large or many; what a space leaves
            out, or what only it knows, does not count.
``all``     every tag that enough of the tracks carry, known or not; a tag that a space leaves out is at chance. What a
            space keeps counts here as much as how well it is heard.

Besides, every two groups of a front-end are compared on the tags that both of them know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from folksong.evaluation.compare import FIGURES
from folksong.evaluation.projection import common_tags, project
from folksong.evaluation.scored import ScoredTracks
from folksong.evaluation.seeds import Group, Measured, average, measure_tracks, paired_difference
from folksong.tags.table import TagTable

LEAST_TRACKS = 5  # that must carry a tag of the ground "all": with fewer, a tag's own figure is noise


@dataclass(frozen=True)
class Grounds:
    """All comparisons of some groups, as JSON values.

    Args:
        grounds: one entry a ground: ``key``, ``names`` (how many labels or tags), ``n_tracks``, and ``groups``: each
            with its ``figures``, the ``reference`` (the first group of its front-end) and the ``differences`` from it.
        pairs: every two groups of a front-end on what both know.
    """

    grounds: list[dict[str, Any]]
    pairs: list[dict[str, Any]]


def compare_groups(
    groups: Sequence[Group], scored: Sequence[ScoredTracks], table: TagTable | None, n_resamples: int
) -> Grounds:
    """Compare groups on all grounds.

    Args:
        groups: the groups.
        scored: (n_runs,) each run's scores, on the same tracks in the same order.
        table: the tags of the tracks; None leaves out what needs them.
        n_resamples: of the bootstrap.
    """
    grounds: list[dict[str, Any]] = []
    if len({group.labels.sha256() for group in groups}) == 1:
        grounds.append(_ground("labels", groups, _on_labels(scored), n_resamples))
    elif table is not None:
        present = table.select_tracks(scored[0].track_ids)
        common = common_tags([group.labels for group in groups], present)
        if common:
            grounds.append(_ground("common", groups, _on_tags(groups, scored, common, table), n_resamples))
        frequent = _frequent(present)
        if frequent:
            grounds.append(_ground("all", groups, _on_tags(groups, scored, frequent, table), n_resamples))
    return Grounds(grounds, _pairs(groups, scored, table, n_resamples))


def _ground(
    key: str, groups: Sequence[Group], scored: Sequence[ScoredTracks], n_resamples: int
) -> dict[str, Any]:
    measured = [
        {
            seed: measure_tracks(scored[row], n_resamples)
            for seed, row in zip(group.seeds, group.rows, strict=True)
        }
        for group in groups
    ]
    entries = []
    for number, group in enumerate(groups):
        reference = next(place for place, other in enumerate(groups) if other.front_end == group.front_end)
        entries.append(
            {
                "figures": average(list(measured[number].values())),
                "known": sum(bool(group.labels.labels_of(tag)) for tag in scored[0].labels),
                "reference": reference,
                "differences": {}
                if reference == number
                else _differences(measured[number], measured[reference]),
            }
        )
    return {
        "key": key,
        "names": len(scored[0].labels),
        "n_tracks": int(scored[0].measured.sum()),
        "groups": entries,
    }


def _pairs(
    groups: Sequence[Group], scored: Sequence[ScoredTracks], table: TagTable | None, n_resamples: int
) -> list[dict[str, Any]]:
    """Compare every two groups of a front-end: on their labels where these are the same, else on common tags."""
    found = []
    present = None if table is None else table.select_tracks(scored[0].track_ids)
    for first in range(len(groups)):
        for second in range(first + 1, len(groups)):
            two = groups[first], groups[second]
            if two[0].front_end != two[1].front_end:
                continue
            of_two = [scored[row] for group in two for row in group.rows]
            if two[0].labels.sha256() == two[1].labels.sha256():
                on = _on_labels(of_two)
            elif table is not None and present is not None:
                tags = common_tags([group.labels for group in two], present)
                if not tags:
                    continue
                on = _on_tags(_renumbered(two), of_two, tags, table)
            else:
                continue
            measured = [
                {
                    seed: measure_tracks(on[row], n_resamples)
                    for seed, row in zip(group.seeds, group.rows, strict=True)
                }
                for group in _renumbered(two)
            ]
            figures = [average(list(one.values())) for one in measured]
            found.append(
                {
                    "first": first,
                    "second": second,
                    "names": len(on[0].labels),
                    "n_tracks": int(on[0].measured.sum()),
                    "figures": [{name: one[name] for name in FIGURES[:2]} for one in figures],
                    "differences": _differences(measured[1], measured[0]),
                }
            )
    return found


def _differences(of: Mapping[int, Measured], minus: Mapping[int, Measured]) -> dict[str, Any]:
    return {name: paired_difference(of, minus, name) for name in FIGURES[:2]}


def _renumbered(groups: Sequence[Group]) -> list[Group]:
    """Return the groups with rows that count from 0."""
    found, begin = [], 0
    for group in groups:
        rows = tuple(range(begin, begin + len(group.runs)))
        found.append(Group(group.space, group.loss, group.front_end, group.runs, rows))
        begin += len(rows)
    return found


def _on_labels(scored: Sequence[ScoredTracks]) -> list[ScoredTracks]:
    """Return the tracks that every run measures."""
    measured = scored[0].measured.copy()
    for tracks in scored[1:]:
        measured &= tracks.measured
    return [tracks.select(measured) for tracks in scored]


def _on_tags(
    groups: Sequence[Group], scored: Sequence[ScoredTracks], tags: Sequence[str], table: TagTable
) -> list[ScoredTracks]:
    space_of = {row: group.labels for group in groups for row in group.rows}
    return [
        project(tracks, space_of[row], tags, table, unknown_at_chance=True)
        for row, tracks in enumerate(scored)
    ]


def _frequent(present: TagTable) -> tuple[str, ...]:
    popularity = present.popularity()
    return tuple(
        tag for tag, count in zip(popularity.tags, popularity.counts, strict=True) if count >= LEAST_TRACKS
    )
