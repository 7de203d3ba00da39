"""Runs against each other: the same tracks, the same labels or tags, and a paired bootstrap.

All runs are measured on the tracks that all of them scored; differences are from the first. The resamples of the
bootstrap are the same for all, so that the interval of a difference sees that all runs find the same tracks hard. Runs
that differ in their seed alone are compared as one by the report: their differences are taken seed by seed, seed 0
against seed 0, and then averaged; a single run is the case of one seed.

Since no single ground is fair to all label spaces, there are three:

``labels``  all runs have the same labels.
``tags``    the tags that every space knows. A space gains nothing by labels that are large or many; what a space leaves
            out, or what only it knows, does not count.
``all``     every tag that enough of the tracks carry, known or not; a tag that a space leaves out is at chance. What a
            space keeps counts here as much as how well it is heard.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.evaluation.common_tags import common_tags, project, same_tracks
from folksong.evaluation.evaluate import current_evaluation
from folksong.evaluation.figures import (
    FIGURES,
    Average,
    Estimate,
    Measured,
    averages,
    mean_resampled,
    measure_tracks,
)
from folksong.evaluation.groups import Group
from folksong.evaluation.scores import ScoredTracks, open_run_records
from folksong.files import json_value
from folksong.runs import Run
from folksong.tags.table import TagTable
from folksong.training.data import read_run_tags

Array = npt.NDArray[np.float64]
Measuring = Callable[[ScoredTracks], Measured]

LEAST_TRACKS = 5  # that must carry a tag of the ground "all": with fewer, a tag's own figure is noise


@dataclass(frozen=True)
class Difference(Estimate):
    """How much more a group reaches than the first one; over several seeds, the mean of their differences.

    `p` is two-sided and says what the interval says: the interval of every level above 1 − p holds 0, none below does.
    """

    p: float
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Compared:
    """One group (of one run, or of a run for each seed) on the common ground.

    `measured` are the figures by seed, `figures` their mean; `label_roc_auc`, (n_names,), is NaN where undefined;
    `known` is how many of the names belong to a label of its label space. The first group has no `differences`.
    """

    group: Group
    measured: Mapping[int, Measured]
    figures: Mapping[str, Average]
    differences: Mapping[str, Difference]
    label_roc_auc: Array
    known: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    Args:
        part: the part measured.
        ground: ``"labels"``, ``"tags"`` or ``"all"``.
        names: the labels or tags measured, also those without a positive or negative track.
        n_tracks: common tracks that carry at least one of them.
        groups: in the order given; differences are from the first.
        level: of the intervals.
    """

    part: str
    ground: str
    names: tuple[str, ...]
    n_tracks: int
    groups: tuple[Compared, ...]
    level: float

    def label_differences(self, number: int) -> tuple[Difference, ...]:
        """Return the difference in ROC-AUC of each label or tag, of the group `number` minus the first."""
        mine, theirs = _paired(self.groups[number].measured, self.groups[0].measured)
        values = _mean_summary(mine, "roc_auc") - _mean_summary(theirs, "roc_auc")
        resampled = mean_resampled(mine, "roc_auc") - mean_resampled(theirs, "roc_auc")
        return tuple(
            _with_interval(float(value), resampled[:, column], self.level)
            for column, value in enumerate(values)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison of single runs as JSON values; undefined figures are null."""
        return {
            "part": self.part,
            "ground": self.ground,
            "n_tracks": self.n_tracks,
            "level": self.level,
            "names": list(self.names),
            "runs": [
                {
                    "run": os.fspath(one.group.runs[0].path),
                    "n_labels": len(one.group.labels),
                    "figures": {name: figure.to_dict() for name, figure in one.figures.items()},
                    "differences": {name: found.to_dict() for name, found in one.differences.items()},
                    "label_roc_auc": json_value(one.label_roc_auc.tolist()),
                    "label_differences": [found.to_dict() for found in self.label_differences(number)]
                    if number
                    else [],
                }
                for number, one in enumerate(self.groups)
            ],
        }


def compare(
    runs: Sequence[Run | str | os.PathLike[str]],
    *,
    part: str = "test",
    ground: Literal["auto", "labels", "tags"] = "auto",
    tags: str | os.PathLike[str] | None = None,
    min_tracks: int = 1,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare runs on the tracks that all of them scored; the first is the one that the others are measured against.

    Runs that were not evaluated yet, or not since they learned more, are evaluated first.

    Args:
        runs: two or more runs, or their folders.
        part: ``"test"``, ``"validation"`` or ``"training"``.
        ground: ``"labels"`` compares equal label spaces, ``"tags"`` projects on common tags, ``"auto"`` chooses.
        tags: the table of tags to project on; None takes the first run's own tag source.
        min_tracks: of tags to project on, so many of the common tracks must carry a tag.
        n_resamples: of the bootstrap.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        FolksongError: fewer than two runs, no common track or tag, or label spaces differ where labels are to be
            compared.
    """
    if len(runs) < 2:
        raise FolksongError("a comparison needs two or more runs")
    opened = [Run.open(run) for run in runs]
    scored = same_tracks([current_evaluation(run, part).tracks for run in opened])
    groups = [Group(run.path.name, None, run.front_end, (run,), (row,)) for row, run in enumerate(opened)]
    measuring = partial(measure_tracks, n_resamples=n_resamples, level=level, seed=seed)
    equal = _have_equal_labels(groups)
    if ground == "labels" and not equal:
        raise FolksongError(
            "the runs have different label spaces; compare them on the tags that all of them know"
        )
    if ground == "auto":
        ground = "labels" if equal else "tags"
    table = None if ground == "labels" else read_run_tags(opened[0], open_run_records(opened[0]), tags)
    on_ground = _on_ground(ground, groups, scored, table, min_tracks)
    if not on_ground:
        raise FolksongError(
            "no tag of these tracks belongs to a label in every run; there is no common ground"
        )
    return _compare_on(ground, part, groups, on_ground, measuring)


def compare_groups(
    groups: Sequence[Group],
    scored: Sequence[ScoredTracks],
    table: TagTable | None,
    part: str,
    measuring: Measuring,
) -> list[Comparison]:
    """Compare groups on every ground that there is: on labels if all have the same, else on common and on all tags.

    `scored` is (n_runs,), on the same tracks in the same order; without the `table` of tags, only labels are compared.
    """
    if _have_equal_labels(groups):
        grounds: tuple[str, ...] = ("labels",)
    else:
        grounds = () if table is None else ("tags", "all")
    on_grounds = {ground: _on_ground(ground, groups, scored, table) for ground in grounds}
    return [_compare_on(ground, part, groups, on, measuring) for ground, on in on_grounds.items() if on]


def compare_pairs(
    groups: Sequence[Group],
    scored: Sequence[ScoredTracks],
    table: TagTable | None,
    part: str,
    measuring: Measuring,
) -> list[Comparison]:
    """Compare every two groups of a front-end, or of a label space, on their labels if equal, else on common tags."""
    found = []
    for number, first in enumerate(groups):
        for second in groups[number + 1 :]:
            if first.front_end != second.front_end and first.name != second.name:
                continue
            of_two = [scored[row] for row in (*first.rows, *second.rows)]
            rows = range(len(of_two))
            middle = len(first.rows)
            two = [replace(first, rows=rows[:middle]), replace(second, rows=rows[middle:])]
            of_pair = compare_groups(two, of_two, table, part, measuring)
            found += [one for one in of_pair if one.ground != "all"]
    return found


def _have_equal_labels(groups: Sequence[Group]) -> bool:
    return len({group.labels.sha256() for group in groups}) == 1


def _on_ground(
    ground: str,
    groups: Sequence[Group],
    scored: Sequence[ScoredTracks],
    table: TagTable | None,
    min_tracks: int = 1,
) -> list[ScoredTracks]:
    """Return the scores on the tracks that every run measures, or on tags; empty if there is no tag."""
    if ground == "labels" or table is None:
        measured = np.logical_and.reduce([tracks.measured for tracks in scored])
        return [tracks.select(measured) for tracks in scored]
    everything = ground == "all"
    tags = common_tags(
        [] if everything else [group.labels for group in groups],
        table.select_tracks(scored[0].track_ids),
        min_tracks=LEAST_TRACKS if everything else min_tracks,
    )
    space_of = {row: group.labels for group in groups for row in group.rows}
    return [project(tracks, space_of[row], tags, table) for row, tracks in enumerate(scored) if tags]


def _compare_on(
    ground: str, part: str, groups: Sequence[Group], scored: Sequence[ScoredTracks], measuring: Measuring
) -> Comparison:
    """Compare groups whose runs have the same tracks and names; `scored` is (n_runs,), in the order of their rows."""
    if any((tracks.targets != scored[0].targets).any() for tracks in scored[1:]):
        raise FolksongError(
            "the runs were evaluated against different tags; evaluate them again with the same table"
        )
    names = scored[0].labels
    compared: list[Compared] = []
    for group in groups:
        rows = zip(group.seeds, group.rows, strict=True)
        measured = {seed: measuring(scored[row]) for seed, row in rows}
        first = compared[0].measured if compared else None
        known = [name for name in names if ground == "labels" or group.labels.labels_of(name)]
        compared.append(
            Compared(
                group,
                measured,
                figures=averages(list(measured.values())),
                differences={name: difference(measured, first, name) for name in FIGURES if first},
                label_roc_auc=_mean_summary(list(measured.values()), "roc_auc"),
                known=len(known),
            )
        )
    level = next(iter(compared[0].measured.values())).resampled.level
    return Comparison(part, ground, names, int(scored[0].measured.sum()), tuple(compared), level)


def difference(of: Mapping[int, Measured], minus: Mapping[int, Measured], name: str) -> Difference:
    """Return how much more the figure `name` is, taken seed by seed; without a common seed, means are compared."""
    mine, theirs = _paired(of, minus)
    each = [
        float(getattr(a.summary, name) - getattr(b.summary, name)) for a, b in zip(mine, theirs, strict=False)
    ]
    return _with_interval(
        float(_mean_summary(mine, name) - _mean_summary(theirs, name)),
        mean_resampled(mine, name) - mean_resampled(theirs, name),
        mine[0].resampled.level,
        tuple(each) if set(of) & set(minus) else (),
    )


def _paired(
    of: Mapping[int, Measured], minus: Mapping[int, Measured]
) -> tuple[list[Measured], list[Measured]]:
    common = sorted(set(of) & set(minus))
    if not common:
        return list(of.values()), list(minus.values())
    return [of[seed] for seed in common], [minus[seed] for seed in common]


def _mean_summary(measured: Sequence[Measured], name: str) -> Array:
    values: Array = np.mean([getattr(one.summary, name) for one in measured], axis=0)
    return values


def _with_interval(value: float, values: Array, level: float, seeds: tuple[float, ...] = ()) -> Difference:
    """Return a difference with its interval and p, from that of each resample, (n_resamples,)."""
    defined = values[~np.isnan(values)]
    if not len(defined) or np.isnan(value):
        return Difference(np.nan, np.nan, np.nan, np.nan, seeds)
    # Moved until their mean lies on the estimate; no difference at all (of a label that both nearly always get right)
    # stays none, or however small a move would make all resamples differ.
    centred = np.sort(np.where(defined == 0, 0.0, defined - defined.mean() + value))
    low, high = np.quantile(centred, [(1 - level) / 2, (1 + level) / 2])
    # Where 0 lies among the resamples that the interval is made of: the inverse of the quantiles at its ends.
    around_zero = [-np.finfo(float).tiny, np.finfo(float).tiny]
    below, upto = np.interp(around_zero, centred, np.linspace(0, 1, len(centred)))
    p = max(min(1.0, 2 * upto, 2 * (1 - below)), 1 / (1 + len(defined)))
    return Difference(float(value), float(low), float(high), float(p), seeds)
