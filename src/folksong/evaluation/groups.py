"""Runs, alone or as cells of an experiment, and groups of runs that differ in their seed alone.

Two kinds of chance are kept apart. The *interval* of a group's figure is a bootstrap over tracks of the mean over its
seeds: how far the figure would move on other test tracks. The *spread* (least and most of the seeds' own figures) is
how far it moves when the same network is trained again.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folksong.errors import FolksongError
from folksong.files import read_document, reading
from folksong.labels.space import LabelSpace
from folksong.runs import Run

EXPERIMENT_NAME = "experiment.json"
EXPERIMENT_FORMAT = "folksong.experiment"
EXPERIMENT_VERSION = 1
PLAIN_LOSS = "bce"


@dataclass(frozen=True)
class NamedRun:
    """A run, its name among others, and what an experiment calls its label space and loss; None if it is in none."""

    run: Run
    name: str
    space: str | None = None
    loss: str | None = None


@dataclass(frozen=True)
class Group:
    """Runs of one label space, front-end and loss (None: nothing else is compared), one a seed.

    `rows` are their places among the runs given.
    """

    space: str
    loss: str | None
    front_end: str
    runs: tuple[Run, ...]
    rows: Sequence[int]

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


def seed_of(run: Run) -> int:
    """Return the seed of a run's training."""
    return int(run.config["settings"]["runtime"]["seed"])


def open_runs(paths: Sequence[Run | str | os.PathLike[str]]) -> list[NamedRun]:
    """Open runs; the folder of an experiment stands for all its finished cells, in its plan's order.

    The space and loss of a run that lies in an experiment's folder are called what its plan calls them.
    """
    found: list[tuple[Run, str | None, str | None]] = []
    for path in paths:
        folder = Path(path)
        if (folder / EXPERIMENT_NAME).is_file():
            cells = [cell for cell in _read_cells(folder) if cell["done"]]
            if not cells:
                raise FolksongError(f"{folder}: no cell of this experiment is finished yet")
            with reading(folder / EXPERIMENT_NAME):
                found += [(Run.open(folder / cell["run"]), cell["space"], cell["loss"]) for cell in cells]
            continue
        run = Run.open(path)
        above = folder.absolute().parent.parent
        cells = _read_cells(above) if (above / EXPERIMENT_NAME).is_file() else []
        own = next((cell for cell in cells if cell["run"] == f"runs/{folder.name}"), None)
        found.append((run, None, None) if own is None else (run, own["space"], own["loss"]))
    names = _short_names([run for run, _, _ in found])
    return [NamedRun(run, name, *more) for (run, *more), name in zip(found, names, strict=True)]


def _read_cells(folder: Path) -> list[dict[str, Any]]:
    """Return run, space, loss and done of an experiment's cells."""
    file = folder / EXPERIMENT_NAME
    content = read_document(
        file, EXPERIMENT_FORMAT, EXPERIMENT_VERSION, "an experiment", "give the folders of its runs instead"
    )
    with reading(file, "run the experiment again"):
        return [
            {**{key: str(cell[key]) for key in ("run", "space", "loss")}, "done": cell["done"]}
            for cell in content["cells"]
        ]


def group_runs(named: Sequence[NamedRun]) -> list[Group]:
    """Put runs together that differ in nothing but their seed, in the order of the first of each."""
    members: dict[str, list[int]] = {}
    for row, one in enumerate(named):
        key = _key(one)
        if any(seed_of(named[other].run) == seed_of(one.run) for other in members.get(key, [])):
            key += f" {row}"  # the same seed twice: somebody wants to see both
        members.setdefault(key, []).append(row)
    losses: dict[tuple[str, str], set[str]] = {}
    for one in named:
        loss = json.dumps(one.run.config["settings"]["loss"], sort_keys=True)
        losses.setdefault(_place(one.run), set()).add(loss)
    groups = []
    for rows in members.values():
        first = named[rows[0]]
        loss = first.loss or str(first.run.config["settings"]["loss"]["kind"])
        several = len(losses[_place(first.run)]) > 1 and first.space is not None
        groups.append(
            Group(
                space=first.space or first.name,
                loss=loss if several else None,
                front_end=first.run.front_end,
                runs=tuple(named[row].run for row in rows),
                rows=tuple(rows),
            )
        )
    return groups


def _place(run: Run) -> tuple[str, str]:
    return run.labels.sha256(), run.front_end


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


def _short_names(runs: Sequence[Run]) -> list[str]:
    """Return folder names, with as many parents as it takes to tell the runs apart."""
    parts = [run.path.absolute().parts for run in runs]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(path[-depth:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise FolksongError("a run is named twice")
