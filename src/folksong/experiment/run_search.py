"""A search over a plan's settings: every trial is the plan with some settings changed, its cells trained once.

Trials are kept in an Optuna study (``search.journal``), their cells in ``runs/``, named by a hash of what goes into
them: a search that was stopped goes on, one that was extended trains only what is new, and several commands or worker
processes may be at the same search. A trial is begun under the study's lock, so that two workers never take the same
combination of a grid. A worker holds the lock of a file of its own while it lives: trials of a worker that was killed
are found by that and tried again.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from folksong.errors import FolksongError, needs_extra
from folksong.evaluation.common_tags import common_tags, project
from folksong.evaluation.evaluate import current_evaluation
from folksong.experiment.plan import Plan, Range, Search, at_key, lay_over, make_plan, read_plan
from folksong.experiment.prepare import Prepared, prepare
from folksong.experiment.run_experiment import run_cell
from folksong.files import is_locked, locked, sha256_json, write_json
from folksong.labels.space import LabelSpace
from folksong.metrics import summarise
from folksong.runs import Run
from folksong.tags.table import TagTable

logger = logging.getLogger(__name__)

RESULT_NAME = "search.json"
PART = "validation"


@dataclass(frozen=True)
class Trial:
    """One combination of settings, numbered in the order of the beginning.

    `value` is of the figure that is maximised, None if it failed; `runs` are folders below the experiment's.
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
    projected = project(found.tracks, run.labels, tags, table)
    used = projected.select(projected.measured)
    summary = summarise(used.targets, used.scores, labels=used.labels, micro="micro" in search.figure)
    return float(getattr(summary, search.figure))


if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

JOURNAL_NAME = "search.journal"


class SharedStudy:
    """The study of one search in an experiment's folder.

    Equal names in one folder are the same study: a name must change with all that decides a trial's value.

    Raises:
        FolksongError: Optuna is not installed.
    """

    def __init__(self, search: Search, name: str, folder: Path) -> None:
        optuna = _optuna()
        self.search, self.name, self.folder = search, name, folder
        self._state = optuna.trial.TrialState
        self._lock = folder / "locks" / "search"
        folder.mkdir(parents=True, exist_ok=True)
        journal = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL_NAME))
        with locked(self._lock):
            self.study: Study = optuna.create_study(
                study_name=name,
                storage=optuna.storages.JournalStorage(journal),
                sampler=_sampler(search),
                direction="maximize",
                load_if_exists=True,
            )

    def begin(self) -> None:
        """Give up the trials of workers that died, and put down what is still to be tried of a grid."""
        with locked(self._lock):
            for trial in self.study.get_trials(deepcopy=False, states=[self._state.RUNNING]):
                if not is_locked(self._worker_file(str(trial.user_attrs.get("worker", "none")))):
                    self.study.tell(trial.number, state=self._state.FAIL)
                    if self.search.sampler != "grid" and trial.params:
                        self.study.enqueue_trial(trial.params, user_attrs={"again": True})
            if self.search.sampler == "grid":
                open_or_done = {
                    _key(found)
                    for trial in self.study.get_trials(deepcopy=False)
                    if trial.state != self._state.FAIL and (found := _parameters(trial))
                }
                for combination in combinations(self.search):
                    if _key(combination) not in open_or_done:
                        self.study.enqueue_trial(combination)

    @contextmanager
    def worker(self) -> Iterator[str]:
        """Be a worker for the block; yields its name."""
        name = uuid.uuid4().hex
        path = self._worker_file(name)
        try:
            with locked(path):
                yield name
        finally:
            path.unlink(missing_ok=True)

    def next_trial(self, worker: str) -> OptunaTrial | None:
        """Begin the next trial, its values chosen; None if nothing is left to begin."""
        with locked(self._lock):
            trials = self.study.get_trials(deepcopy=False)
            waiting = any(trial.state == self._state.WAITING for trial in trials)
            begun = sum(
                trial.state in (self._state.RUNNING, self._state.COMPLETE) or "error" in trial.user_attrs
                for trial in trials
            )
            if not waiting and (self.search.sampler == "grid" or begun >= (self.search.trials or 0)):
                return None
            trial = self.study.ask()
            trial.set_user_attr("worker", worker)
            for key, values in self.search.parameters.items():
                _suggest(trial, key, values)
            return trial

    def tell(
        self, trial: OptunaTrial, value: float | None, runs: list[str], error: str | None = None
    ) -> None:
        """Put down what came of a trial; without a value it failed."""
        trial.set_user_attr("runs", runs)
        if error is not None:
            trial.set_user_attr("error", error)
        self.study.tell(trial, value, state=self._state.FAIL if value is None else self._state.COMPLETE)

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that gave a value, or an error that nobody has put right since."""
        trials = self.study.get_trials(deepcopy=False)
        done = [trial for trial in trials if trial.state == self._state.COMPLETE]
        mended = {_key(trial.params) for trial in done}
        failed = {
            _key(trial.params): trial
            for trial in trials
            if "error" in trial.user_attrs and _key(trial.params) not in mended
        }
        return sorted([*done, *failed.values()], key=lambda trial: trial.number)

    def _worker_file(self, worker: str) -> Path:
        return self.folder / "locks" / f"worker-{worker}"


def combinations(search: Search) -> list[dict[str, Any]]:
    """Return all combinations of a grid's lists, the last parameter changing fastest."""
    values = [values for values in search.parameters.values() if not isinstance(values, Range)]
    return [dict(zip(search.parameters, chosen, strict=True)) for chosen in itertools.product(*values)]


def _suggest(trial: OptunaTrial, key: str, values: tuple[Any, ...] | Range) -> None:
    if not isinstance(values, Range):
        trial.suggest_categorical(key, values)
    elif values.whole:
        trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
    else:
        trial.suggest_float(key, values.low, values.high, log=values.log)


def _parameters(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return a trial's parameters; those that wait are known only by what was put down for them."""
    fixed: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return trial.params or fixed


def _key(parameters: Mapping[str, Any]) -> str:
    return json.dumps(dict(parameters), sort_keys=True)


def _sampler(search: Search) -> Any:
    optuna = _optuna()
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=search.seed)
    # Of a grid, every trial's values are put down beforehand.
    return optuna.samplers.RandomSampler(seed=search.seed)


def _optuna() -> Any:
    with needs_extra("a plan with a [search]", "search"):
        import optuna
        import optuna.storages.journal
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
