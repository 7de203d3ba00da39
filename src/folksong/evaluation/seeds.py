"""Runs that differ in their seed alone, as one: means over seeds, with the spread and an interval over tracks.

Two kinds of chance are kept apart. The *interval* is a bootstrap over tracks of the mean over seeds: how far the figure
would move on other test tracks. The *spread* (least and most of the seeds' own figures) is how far it moves when the
same network is trained again. Differences are taken seed by seed, seed 0 against seed 0, and then averaged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.errors import FolksongError
from folksong.evaluation.cells import NamedRun
from folksong.evaluation.compare import FIGURES, difference_of
from folksong.evaluation.scored import ScoredTracks
from folksong.files import json_value
from folksong.labels.space import LabelSpace
from folksong.metrics import Bootstrap, Summary, bootstrap, centred_interval, summarise
from folksong.runs import Run

Array = npt.NDArray[np.float64]
PLAIN_LOSS = "bce"


@dataclass(frozen=True)
class Group:
    """Runs of one label space, front-end and loss.

    Args:
        space: what the label space is called.
        loss: what the loss is called; None where nothing else than it is compared.
        front_end: of all runs.
        runs: one a seed.
        rows: their places among the runs given.
    """

    space: str
    loss: str | None
    front_end: str
    runs: tuple[Run, ...]
    rows: tuple[int, ...]

    @property
    def name(self) -> str:
        """Label space, and the loss unless it is the plain one or the only one."""
        return self.space if self.loss in (None, PLAIN_LOSS) else f"{self.space}, {self.loss}"

    @property
    def labels(self) -> LabelSpace:
        """The label space."""
        return self.runs[0].labels

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each run."""
        return tuple(seed_of(run) for run in self.runs)

    @property
    def one_tag_labels(self) -> bool:
        """Whether every label is a tag as it was written."""
        return all(len(label.tags) == 1 and not label.also for label in self.labels.labels)


@dataclass(frozen=True)
class Measured:
    """One run on some ground: its figures, and those of every resample."""

    summary: Summary
    resampled: Bootstrap


def seed_of(run: Run) -> int:
    """Return the seed of a run's training."""
    return int(run.config["settings"]["runtime"]["seed"])


def group_runs(named: Sequence[NamedRun], names: Sequence[str]) -> list[Group]:
    """Put runs together that differ in nothing but their seed, in the order of the first of each.

    Args:
        named: the runs.
        names: (n_runs,) what a run is called whose label space nobody named.
    """
    members: dict[str, list[int]] = {}
    for row, one in enumerate(named):
        key = _key(one)
        if any(seed_of(named[other].run) == seed_of(one.run) for other in members.get(key, [])):
            key += f" {row}"  # the same seed twice: somebody wants to see both
        members.setdefault(key, []).append(row)
    several = {(space, front_end) for space, front_end, losses in _losses(named) if losses > 1}
    groups = []
    for rows in members.values():
        first = named[rows[0]]
        where = (first.run.labels.sha256(), first.run.front_end)
        loss = first.loss or str(first.run.config["settings"]["loss"]["kind"])
        groups.append(
            Group(
                space=first.space or names[rows[0]],
                loss=loss if where in several and first.space is not None else None,
                front_end=first.run.front_end,
                runs=tuple(named[row].run for row in rows),
                rows=tuple(rows),
            )
        )
    return groups


def measure_tracks(tracks: ScoredTracks, n_resamples: int, level: float = 0.95) -> Measured:
    """Measure the tracks marked as measured; runs with the same tracks share the resamples."""
    used = tracks.select(tracks.measured)
    if not len(used):
        raise FolksongError("no track has a label")
    return Measured(
        summarise(used.targets, used.scores, labels=used.labels),
        bootstrap(
            used.targets, used.scores, n_resamples=n_resamples, level=level, micro=True, labels=used.labels
        ),
    )


def average(measured: Sequence[Measured]) -> dict[str, dict[str, Any]]:
    """Return each figure's mean over the seeds: ``value``, ``low``, ``high``, ``chance``, and the ``seeds``' own."""
    level = measured[0].resampled.level
    found = {}
    for name in FIGURES:
        values = [float(getattr(one.summary, name)) for one in measured]
        mean = float(np.mean(values))
        low, high = np.clip(centred_interval(_mean_resampled(measured, name), mean, level), 0.0, 1.0)
        chance = 0.5 if name.endswith("auc") else measured[0].summary.macro_chance
        found[name] = json_value({"value": mean, "low": low, "high": high, "chance": chance, "seeds": values})
    return found


def paired_difference(of: Mapping[int, Measured], minus: Mapping[int, Measured], name: str) -> dict[str, Any]:
    """Return how much more a figure is, seed by seed: ``value``, ``low``, ``high``, ``p``, and the ``seeds``' own.

    Args:
        of: seed -> the runs of one group.
        minus: seed -> those of another, on the same tracks; without a common seed, means are compared.
        name: one of `folksong.evaluation.compare.FIGURES`.
    """
    common = sorted(set(of) & set(minus))
    mine, theirs = [of[seed] for seed in common], [minus[seed] for seed in common]
    if not common:
        mine, theirs = list(of.values()), list(minus.values())
    each = [
        float(getattr(a.summary, name) - getattr(b.summary, name)) for a, b in zip(mine, theirs, strict=False)
    ]
    value = float(
        np.mean([getattr(one.summary, name) for one in mine])
        - np.mean([getattr(one.summary, name) for one in theirs])
    )
    resampled = _mean_resampled(mine, name) - _mean_resampled(theirs, name)
    found = difference_of(value, resampled, mine[0].resampled.level)
    return {
        **json_value(vars(found)),
        "seeds": json_value(each) if common else [],
    }


def _mean_resampled(measured: Sequence[Measured], name: str) -> Array:
    values: Array = np.mean([getattr(one.resampled, name) for one in measured], axis=0)
    return values


def _key(one: NamedRun) -> str:
    """Return all that decides a run but its seed (and where its data lie) as text."""
    config = one.run.config
    settings = {name: dict(section) for name, section in config["settings"].items() if name != "runtime"}
    settings["data"].pop("tags")
    kept = [
        settings,
        config["settings"]["runtime"]["precision"],
        one.run.front_end,
        one.run.labels.sha256(),
        one.space,
        one.loss,
    ]
    kept += [config.get("split_sha256"), config["shards"].get("manifest_sha256")]
    return json.dumps(kept, sort_keys=True, default=str)


def _losses(named: Sequence[NamedRun]) -> list[tuple[str, str, int]]:
    """Return (label space, front-end, number of losses)."""
    losses: dict[tuple[str, str], set[str]] = {}
    for one in named:
        loss = json.dumps(one.run.config["settings"]["loss"], sort_keys=True)
        losses.setdefault((one.run.labels.sha256(), one.run.front_end), set()).add(loss)
    return [(*where, len(found)) for where, found in losses.items()]
