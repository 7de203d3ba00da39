"""Plans are checked when read, and their cells named by what goes into them."""

from __future__ import annotations

import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.experiment.plan import read_plan
from folksong.experiment.prepare import build_spaces, loss_of, make_cells
from folksong.tags.table import TagTable
from folksong.training.config import Config

PLAN = """
[data]
tags = "tags.csv"
shards = { "log-mel-spectrogram" = "mel" }

[spaces]
top = { builder = "top", n = 3 }
less = { builder = "drop", of = "top", tags = ["rock"] }

[losses]
soft = { kind = "asymmetric", margin = 0.1 }

[[grid]]
spaces = ["top", "less"]
front_ends = ["log-mel-spectrogram"]
losses = ["bce", "soft"]
seeds = [0, 1]

[[grid]]
spaces = ["top"]
front_ends = ["log-mel-spectrogram"]
seeds = [1, 2]
"""


def write(tmp_path, text=PLAN):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    (tmp_path / "mel").mkdir(exist_ok=True)
    (tmp_path / "mel/manifest.json").write_text("{}")
    return path


def cells_of(tmp_path, text=PLAN, **config):
    plan = read_plan(write(tmp_path, text))
    table = TagTable.from_pairs(
        ["1", "2", "3", "1", "2", "3"], ["rock", "rock", "rock", "pop", "pop", "jazz"]
    )
    spaces = build_spaces(plan, table, "split")
    return make_cells(plan, spaces, Config.from_dict(config), table_sha256="tags", split_sha256="split")


def test_cells_are_all_combinations_each_once(tmp_path):
    cells = cells_of(tmp_path)
    assert len(cells) == 2 * 2 * 2 + 1  # the second grid adds seed 2; seed 1 is there already
    assert len({cell.name for cell in cells}) == len(cells)
    assert [cell.seed for cell in cells if (cell.space, cell.loss) == ("top", "bce")] == [0, 1, 2]


def test_names_depend_on_all_inputs_and_on_nothing_else(tmp_path):
    names = {(c.space, c.loss, c.seed): c.name for c in cells_of(tmp_path)}
    assert names == {(c.space, c.loss, c.seed): c.name for c in cells_of(tmp_path)}
    changed = {(c.space, c.loss, c.seed): c.name for c in cells_of(tmp_path, PLAN.replace("0.1", "0.2"))}
    assert {key[1] for key, name in names.items() if changed[key] != name} == {"soft"}
    other_labels = {
        (c.space, c.loss, c.seed): c.name for c in cells_of(tmp_path, PLAN.replace('"rock"', '"pop"'))
    }
    assert {key[0] for key, name in names.items() if other_labels[key] != name} == {"less"}
    settings = cells_of(tmp_path, **{"model-training": {"window_length": 3}})
    assert not {cell.name for cell in settings} & set(names.values())


def test_spaces_start_from_others(tmp_path):
    plan = read_plan(write(tmp_path))
    table = TagTable.from_pairs(
        ["1", "2", "3", "1", "2", "3"], ["rock", "rock", "rock", "pop", "pop", "jazz"]
    )
    spaces = build_spaces(plan, table, "split")
    assert spaces["top"].names == ("rock", "pop", "jazz")
    assert spaces["less"].names == ("pop", "jazz")
    assert spaces["top"].provenance["split_sha256"] == "split"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [0, 1]", "seed = [0, 1]", r"unknown key 'grid.0.seed'; did you mean 'seeds'"),
        ('tags = "tags.csv"', 'tag = "tags.csv"', r"unknown key 'data.tag'; did you mean 'tags'"),
        ('spaces = ["top", "less"]', 'spaces = ["tops"]', r"no label space 'tops'; did you mean 'top'"),
        ('["bce", "soft"]', '["sof"]', r"no loss 'sof'; did you mean 'soft'"),
        ('of = "top"', 'of = "tap"', r"spaces.less: no label space 'tap'; did you mean 'top'"),
        ('of = "top"', 'of = "less"', r"spaces.less: starts from itself"),
        ('"log-mel-spectrogram" = "mel"', '"waveform" = "wave"', r"no shards for 'log-mel-spectrogram'"),
        ('builder = "top"', 'builder = "tops"', r"spaces.top.builder"),
        ("[0, 1]", "[-1]", r"grid.0.seeds.0"),
        ("[data]", "[data", "not valid TOML"),
        ("[data]", 'folder = "x"\n[data]', "unknown key 'folder'"),
    ],
)
def test_wrong_plans_say_where(tmp_path, old, new, message):
    assert old in PLAN
    with pytest.raises(FileFormatError, match=message) as found:
        read_plan(write(tmp_path, PLAN.replace(old, new, 1)))
    assert "plan.toml" in str(found.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n = 3", "number = 3", r"spaces.top: .*number"),
        ('builder = "top", n = 3', 'builder = "kmeans"', r"spaces.top: needs word vectors"),
        (
            'builder = "top", n = 3',
            'builder = "npmi"',
            r"spaces.top: the builder npmi starts from another space",
        ),
        ('builder = "top", n = 3', 'builder = "file"', r"spaces.top: a space from a file needs its path"),
        ("margin = 0.1", "margins = 0.1", r"losses.soft: .*margins"),
        ("margin = 0.1", "margin = 7", r"losses.soft: .*margin: Input should be less than 1"),
    ],
)
def test_wrong_builders_and_losses_name_themselves(tmp_path, old, new, message):
    with pytest.raises(FolksongError, match=message):
        cells_of(tmp_path, PLAN.replace(old, new, 1))


def test_missing_plan_and_plain_loss(tmp_path):
    with pytest.raises(FolksongError, match="no such file"):
        read_plan(tmp_path / "none.toml")
    assert loss_of(read_plan(write(tmp_path)), "bce").kind == "bce"
