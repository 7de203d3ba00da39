"""A search tries every combination once, whoever was killed in between, and trains nothing twice."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.evaluation.evaluate import current_evaluation
from folksong.experiment.plan import Search, make_plan, read_plan
from folksong.experiment.prepare import prepare
from folksong.experiment.run_search import SharedStudy, combinations, run_search, study_name, work
from folksong.runs import Run

optuna = pytest.importorskip("optuna", reason="searching is an extra")

MODULE = sys.modules[run_search.__module__]
SEARCH = {"parameters": {"spaces.top.n": [2, 5]}, "figure": "macro_roc_auc"}


@pytest.fixture
def plan(tiny_run, tmp_path):
    """A plan whose cells train for one epoch, with a grid of two numbers of labels."""
    small = {"n_dense_units": 16, "n_filters": 1}
    content = {
        "data": {
            "tags": str(tiny_run.tags),
            "shards": {"log-mel-spectrogram": str(tiny_run.shards)},
            "fractions": [50, 20, 30],
        },
        "training": {"epochs": 1, "precision": "32"},
        "settings": {"model": small, "model-training": {"window_length": 1.25, "batch_size": 8}},
        "spaces": {"top": {"builder": "top", "n": 5}, "two": {"builder": "top", "n": 2}},
        "grid": [{"spaces": ["top"], "front_ends": ["log-mel-spectrogram"]}],
        "search": SEARCH,
    }
    return make_plan(content, tmp_path, "plan")


def with_search(plan, **changes):
    content = plan.model_dump(mode="json", exclude={"folder"})
    content["search"] = {**content["search"], **changes}
    return make_plan(content, plan.folder, "plan")


def test_a_grid_is_tried_once_and_what_is_trained_is_kept(plan, tmp_path):
    out = tmp_path / "out"
    found = run_search(plan, out)
    assert sorted(trial.parameters["spaces.top.n"] for trial in found.trials) == [2, 5]
    assert found.trials[0].value >= found.trials[1].value
    assert found.best == found.trials[0]
    for trial in found.trials:
        (run,) = (Run.open(out / name) for name in trial.runs)
        assert len(run.labels) == trial.parameters["spaces.top.n"]
        assert trial.value == current_evaluation(run, "validation").macro_roc_auc.value
    assert json.loads((out / "search.json").read_text())["trials"][0]["value"] == found.trials[0].value
    weights = {path: path.read_bytes() for path in out.glob("runs/*/checkpoints/best.ckpt")}
    assert run_search(plan, out).trials == found.trials

    # A longer grid is another study, but trains only what is new; all are now measured on the same two tags.
    longer = run_search(with_search(plan, on="two", parameters={"spaces.top.n": [1, 2, 5]}), out)
    assert sorted(trial.parameters["spaces.top.n"] for trial in longer.trials) == [1, 2, 5]
    assert longer.on == "two"
    assert {path: path.read_bytes() for path in weights} == weights
    assert len(list(out.glob("runs/*"))) == 3
    one = next(trial for trial in longer.trials if trial.parameters["spaces.top.n"] == 1)
    run = Run.open(out / one.runs[0])
    own = current_evaluation(run, "validation").tracks
    assert 0.25 <= one.value <= 0.75, (
        "one of the two tags is unknown to a space of one label, and so at chance"
    )
    assert len(own.labels) == 1


def test_what_a_killed_worker_was_at_is_tried_again(plan, tmp_path, monkeypatch):
    """A worker that dies in a trial leaves it begun; the next command sees that its lock is free."""
    out = tmp_path / "out"
    study = SharedStudy(plan.search, study_name(prepare(plan, out)), out)
    study.begin()
    with study.worker() as name:
        taken = study.next_trial(name)
        study.begin()  # another command meanwhile: this worker lives, so its trial is its own
        assert [trial.state.name for trial in study.study.trials] == ["RUNNING", "WAITING"]
    study.begin()
    assert [trial.state.name for trial in study.study.trials] == ["FAIL", "WAITING", "WAITING"]
    monkeypatch.setattr(MODULE, "_try", lambda *arguments: float(arguments[2]["spaces.top.n"]))
    work(plan, out)
    finished = {trial.params["spaces.top.n"]: trial.value for trial in study.finished()}
    assert finished == {2: 2.0, 5: 5.0}
    assert taken.number not in [trial.number for trial in study.finished()]


def test_trials_that_fail_say_why_and_are_tried_again(plan, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def fail(*arguments):
        if arguments[2]["spaces.top.n"] == 2:
            raise FolksongError("no such luck")
        return 0.5

    monkeypatch.setattr(MODULE, "_try", fail)
    found = run_search(plan, out)
    assert [(trial.parameters["spaces.top.n"], trial.error) for trial in found.trials] == [
        (5, None),
        (2, "no such luck"),
    ]
    monkeypatch.setattr(MODULE, "_try", lambda *_: 0.7)
    again = run_search(plan, out)
    assert [(trial.parameters["spaces.top.n"], trial.value) for trial in again.trials] == [(2, 0.7), (5, 0.5)]


def test_samplers_draw_so_many_trials_and_learn(plan, tmp_path, monkeypatch):
    """Twelve trials in all, also when the command is given twice; the values lie in their ranges."""
    monkeypatch.setattr(
        MODULE, "_try", lambda *arguments: -abs(arguments[2]["settings.model-training.batch_size"] - 8.0)
    )
    ranges = {
        "settings.model-training.batch_size": {"low": 2, "high": 64, "log": True},
        "losses.x.gamma": {"low": 0.5, "high": 2.0},
    }
    for sampler in ("tpe", "random"):
        searched = with_search(plan, sampler=sampler, trials=12, parameters=ranges)
        found = run_search(searched, tmp_path / sampler)
        assert run_search(searched, tmp_path / sampler).trials == found.trials
        assert len(found.trials) == 12
        for trial in found.trials:
            size = trial.parameters["settings.model-training.batch_size"]
            assert isinstance(size, int)
            assert 2 <= size <= 64
            assert 0.5 <= trial.parameters["losses.x.gamma"] <= 2.0


def test_several_processes_share_a_search(plan, tmp_path):
    found = run_search(plan, tmp_path / "out", jobs=2)
    assert sorted(trial.parameters["spaces.top.n"] for trial in found.trials) == [2, 5]
    assert all(trial.error is None for trial in found.trials)
    assert not list((tmp_path / "out/locks").glob("worker-*"))


def test_combinations_vary_the_last_parameter_fastest():
    search = Search(parameters={"spaces.a.n": [1, 2], "spaces.b.n": [3, 4]})
    assert [tuple(one.values()) for one in combinations(search)] == [(1, 3), (1, 4), (2, 3), (2, 4)]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"parameters": {}}, r"search.parameters: .*at least 1"),
        ({"parameters": {"spaces.top.n": []}}, r"search.parameters.spaces.top.n"),
        ({"parameters": {"data.split": ["a"]}}, r"parameters.data.split: only settings below spaces, losses"),
        ({"parameters": {"spaces..n": [1]}}, r"'spaces..n' is no key \(.*parts are joined by dots"),
        ({"parameters": {"spaces.top.n": {"low": 1, "high": 2}}}, r"a grid needs a list of values"),
        ({"parameters": {"spaces.top.n": {"low": 2, "high": 1}}}, r"low \(2\) must be less than high \(1\)"),
        ({"parameters": {"spaces.top.n": [1]}, "sampler": "tpe"}, r"trials: say how many"),
        ({"parameters": {"spaces.top.n": [1]}, "trials": 3}, r"a grid tries all combinations"),
        ({"parameters": {"spaces.top.n": [1]}, "on": "tops"}, r"search.on: no label space 'tops'; did you mean 'top'"),
        ({"parameters": {"spaces.top.n": [1]}, "figures": "x"}, r"unknown key 'search.figures'; did you mean 'figure'"),
    ],
)  # fmt: skip
def test_wrong_searches_say_where(plan, search, message):
    content = plan.model_dump(mode="json", exclude={"folder"})
    with pytest.raises(FileFormatError, match=message):
        make_plan({**content, "search": search}, plan.folder, "plan")


def test_the_shipped_grid_is_model_3s():
    for name in ("model-3-grid", "model-3-grid-small"):
        plan = read_plan(name)
        assert len(combinations(plan.search)) == 9
        assert [grid.spaces for grid in plan.grid] == [("model-3",)]
        assert plan.search.on == "model-2"


def test_command_prints_the_trials_best_first(plan, tmp_path, monkeypatch):
    text = json.dumps(plan.model_dump(mode="json", exclude={"folder", "search"}, exclude_none=True))
    (tmp_path / "plan.json").write_text(text)
    monkeypatch.setattr(MODULE, "_try", lambda *arguments: float(arguments[2]["spaces.top.n"]))
    monkeypatch.setattr("folksong.experiment.read_plan", lambda *_, **__: plan)
    out = CliRunner().invoke(main, ["experiment", "grid", "--out", str(tmp_path / "out"), "--no-report"])
    assert out.exit_code == 0, out.output
    lines = [line.split() for line in out.stdout.splitlines()]
    assert ["5", "5.0000"] in lines
    assert lines.index(["5", "5.0000"]) < lines.index(["2", "2.0000"])
