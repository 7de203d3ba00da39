"""An Optuna study in a journal file that several processes share: who tries what, and what came of it.

A trial is begun under the study's lock, so that two workers never take the same combination of a grid. A worker holds
the lock of a file of its own while it lives: trials of a worker that was killed are found by that and tried again.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from folksong.errors import FolksongError
from folksong.experiment.plan import Range, Search
from folksong.files import is_locked, locked

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

JOURNAL_NAME = "search.journal"


class SharedStudy:
    """The study of one search in an experiment's folder.

    Args:
        search: what is tried.
        name: equal names in one folder are the same study; it must change with all that decides a trial's value.
        folder: the experiment's folder.

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
    return optuna.samplers.RandomSampler(
        seed=search.seed
    )  # of a grid, every trial's values are put down beforehand


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise FolksongError(
            "a plan with a [search] needs Optuna; install it by: pip install 'folksong[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
