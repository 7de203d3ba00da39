"""A search over a plan's settings: every trial is the plan with some settings changed, its cells trained once.

Trials are kept in an Optuna study (``search.journal``), their cells in ``runs/``, named by a hash of what goes into
them: a search that was stopped goes on, one that was extended trains only what is new, and several commands or worker
processes may be at the same search.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from folksong.errors import FolksongError
from folksong.evaluation.common_tags import common_tags, project
from folksong.evaluation.evaluate import current_evaluation
from folksong.experiment.plan import Plan, Search, at_key
from folksong.experiment.prepare import Prepared, prepare
from folksong.experiment.read_plan import lay_over, make_plan, read_plan
from folksong.experiment.run_experiment import run_cell
from folksong.experiment.study import SharedStudy
from folksong.files import sha256_json, write_json
from folksong.labels.space import LabelSpace
from folksong.metrics import summarise
from folksong.runs import Run
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

RESULT_NAME = "search.json"
PART = "validation"


@dataclass(frozen=True)
class Trial:
    """One combination of settings.

    Args:
        number: in the order of the beginning.
        parameters: setting -> value.
        value: of the figure that is maximised; None if it failed.
        runs: folders of its runs, below the experiment's folder.
        error: why it failed.
    """

    number: int
    parameters: Mapping[str, Any]
    value: float | None
    runs: Sequence[str]
    error: str | None = None


@dataclass(frozen=True)
class SearchResult:
    """What a search found: all trials, best first; those that failed last."""

    figure: str
    on: str | None
    trials: Sequence[Trial]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest value; of several, the one begun first."""
        return next((trial for trial in self.trials if trial.value is not None), None)


def run_search(
    plan: Plan | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    jobs: int = 1,
    progress: bool = False,
) -> SearchResult:
    """Try what a plan's ``[search]`` says until nothing is left; give the same command again to go on.

    A trial that fails does not stop the others. ``search.json`` lists all trials and their runs.

    Args:
        plan: the plan, its file, or the name of a shipped plan.
        out: the experiment's folder.
        jobs: worker processes; the processor's cores are shared out among them. The same command, given several
            times at once, adds workers too.
        progress: show a bar while shards are written.

    Raises:
        FolksongError: the plan has no search, its data or label spaces are wrong, or Optuna is not installed.
    """
    opened = plan if isinstance(plan, Plan) else read_plan(plan)
    search, folder = _search_of(opened), Path(out)
    if jobs < 1:
        raise FolksongError(f"jobs must be at least 1, not {jobs}")
    ready = prepare(opened, folder, also=filter(None, [search.on]), progress=progress)
    study = SharedStudy(search, study_name(ready), folder)
    study.begin()
    if jobs == 1:
        work(opened, folder)
    else:
        threads = max(1, (os.cpu_count() or 1) // jobs)
        context = get_context("spawn")  # a forked process would inherit PyTorch's thread pools
        workers = [context.Process(target=work, args=(opened, folder, threads)) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        dead = sum(worker.exitcode != 0 for worker in workers)
        if dead:
            logger.warning(
                "%d of %d workers died; the same command tries again what they were at", dead, jobs
            )
    return _results(study, folder)


def study_name(ready: Prepared) -> str:
    """Return the name of a plan's study: a hash of all that decides what its trials come to."""
    plan = ready.plan
    content = {
        "plan": _content(plan),
        "search": _search_of(plan).model_dump(mode="json"),
        "tags": ready.table.sha256(),
        "split": ready.split.sha256(),
        "cells": [cell.sha256 for cell in ready.cells],
    }
    return sha256_json(content)[:16]


def work(plan: Plan, folder: Path, threads: int | None = None) -> None:
    """Be a worker: try one combination after another until none is left."""
    search = _search_of(plan)
    ready = prepare(plan, folder, also=filter(None, [search.on]))
    study = SharedStudy(search, study_name(ready), folder)
    with study.worker() as name:
        while (trial := study.next_trial(name)) is not None:
            runs: list[str] = []
            try:
                value = _try(ready, folder, trial.params, runs, threads)
            except (FolksongError, TypeError) as error:
                logger.warning("trial %d (%s) failed: %s", trial.number, trial.params, error)
                study.tell(trial, None, runs, str(error))
            else:
                study.tell(trial, value, runs)


def _try(
    ready: Prepared, folder: Path, chosen: Mapping[str, Any], runs: list[str], threads: int | None
) -> float:
    """Train the cells of the plan with the chosen settings; return the figure and leave the runs in `runs`."""
    content, search = _content(ready.plan), _search_of(ready.plan)
    for key, value in chosen.items():
        content = lay_over(content, at_key(key, value))
    changed = make_plan(content, ready.plan.folder, "search.parameters")
    trial = prepare(changed, folder)
    for cell in trial.cells:
        found = run_cell(trial.plan, folder, trial.config, cell, threads)
        if found.error is not None:
            raise FolksongError(found.error)
        runs.append(f"runs/{cell.name}")
    reference = None if search.on is None else ready.spaces[search.on]
    values = [_figure(Run.open(folder / run), search, ready.table, reference) for run in runs]
    if not values or np.isnan(values).any():
        raise FolksongError(
            f"{search.figure} of the {PART} part is undefined: no label has both positive and negative tracks"
        )
    return float(np.mean(values))


def _results(study: SharedStudy, folder: Path) -> SearchResult:
    trials = [
        Trial(
            number,
            trial.params,
            trial.value if "error" not in trial.user_attrs else None,
            trial.user_attrs.get("runs", []),
            trial.user_attrs.get("error"),
        )
        for number, trial in enumerate(study.finished())
    ]
    trials.sort(key=lambda trial: (trial.value is None, -(trial.value or 0.0), trial.number))
    found = SearchResult(study.search.figure, study.search.on, tuple(trials))
    write_json(
        folder / RESULT_NAME,
        {
            "format": "folksong.search",
            "version": 1,
            "study": study.name,
            "figure": found.figure,
            "on": found.on,
            "trials": [{**asdict(trial), "parameters": dict(trial.parameters)} for trial in trials],
        },
    )
    return found


def _content(plan: Plan) -> dict[str, Any]:
    return plan.model_dump(mode="json", exclude={"folder", "search"})


def _search_of(plan: Plan) -> Search:
    if plan.search is None:
        raise FolksongError("the plan has no [search] section")
    return plan.search


def _figure(run: Run, search: Search, table: TagTable, reference: LabelSpace | None) -> float:
    """Return what `search` maximises, on the tags of the label space that it names or on the run's own labels."""
    found = current_evaluation(run, PART)
    if reference is None:
        return float(getattr(found, search.figure).value)
    tags = common_tags([reference], table.select_tracks(found.tracks.track_ids))
    if not tags:
        raise FolksongError(f"search.on: no track of the {PART} part carries a tag of this label space")
    projected = project(found.tracks, run.labels, tags, table, unknown_at_chance=True)
    used = projected.select(projected.measured)
    summary = summarise(used.targets, used.scores, labels=used.labels, micro="micro" in search.figure)
    return float(getattr(summary, search.figure))
