"""The settings file: its template, the earlier project's files, and what is said of mistakes."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.training.config import Config, write_config_template
from folksong.training.optimizer import build_optimizer, optimizer_names

EARLIER = {
    "model": {"n_dense_units": 400, "n_filters": 32},
    "model-training": {
        "optimizer": {"name": "SGD", "learning_rate": 0.01, "momentum": 0.9},
        "batch_size": 32,
        "interleave_cycle_length": 2,
        "interleave_block_length": 1,
        "early_stop_patience": 5,
        "early_stop_min_delta": 0.2,
        "reduceLRoP_patience": None,
        "reduceLRoP_factor": 0.1,
        "reduceLRoP_min_delta": 0.1,
        "reduceLRoP_min_lr": 0.0,
        "log_dir": "~/logs/",
        "shuffle": True,
        "shuffle_buffer_size": 10000,
        "split": [80, 10, 10],
        "window_length": 15,
        "window_random": True,
    },
    "tags": {"top": 50, "with": None, "without": ["USA"], "merge": [["rap", "hip hop"]]},
    "tfrecords": {"n_mels": 96, "n_tags": 155, "sample_rate": 16000},
}


def test_the_template_holds_every_key_at_its_default(tmp_path):
    file = write_config_template(tmp_path)
    assert file == tmp_path / "config.json"
    assert Config.read(file) == Config()
    text = file.read_text()
    for section in Config().to_dict().values():
        for key in section:
            assert f'"{key}"' in text


def test_settings_of_the_earlier_project_are_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(EARLIER))
    config = Config.read(tmp_path)
    assert config.optimizer.arguments == {"momentum": 0.9}
    assert config.schedule.reduce_lr_patience is None
    assert config.data.without == ("USA",)
    assert config.data.merge == (("rap", "hip hop"),)
    assert config.data.merge_as == "together"
    assert (config.data.batch_size, config.data.window_seconds, config.data.n_tags) == (32, 15, 155)
    assert (config.model.n_filters, config.runtime.log_dir) == (32, "~/logs/")
    assert config.schedule.early_stop_min_delta == 0.2
    assert Config.from_dict(config.to_dict()) == config


PUBLISHED = {
    "model": {"n_dense_units": 500, "n_filters": 16, "n_clusters": 500},
    "model-training": {
        "optimizer": {"name": "Adam", "learning_rate": 0.001},
        "batch_size": 64,
        "reduceLRoP_factor": None,
        "early_stop_min_delta": None,
        "reduceLRoP_min_delta": None,
        "early_stop_patience": None,
        "reduceLRoP_patience": None,
        "split": [80, 20],
    },
}


def test_null_switches_off_and_two_fractions_leave_no_test_part():
    config = Config.from_dict(PUBLISHED)
    schedule = config.schedule
    assert schedule.early_stop_patience is schedule.reduce_lr_patience is schedule.reduce_lr_factor is None
    assert schedule.early_stop_min_delta == schedule.reduce_lr_min_delta == 0
    assert config.data.fractions == (80, 20, 0)


def test_a_maximal_learning_rate_means_a_cyclic_schedule():
    training = {"iterations": 300, "max_learning_rate": 0.01, "early_stop_patience": 0}
    schedule = Config.from_dict({"model-training": training}).schedule
    assert (schedule.kind, schedule.cycle_steps, schedule.max_learning_rate) == ("cyclic", 300, 0.01)
    assert schedule.early_stop_patience == 0
    with pytest.raises(
        FileFormatError, match=r"max_learning_rate must be more than the learning rate 0\.001"
    ):
        Config.from_dict({"model-training": {"max_learning_rate": 1e-4}})


def test_a_missing_first_brace_is_said_and_read_as_if_it_were_there(tmp_path, caplog):
    text = json.dumps(PUBLISHED, indent=2)
    (tmp_path / "cut.json").write_text(text[1:])
    assert Config.read(tmp_path / "cut.json") == Config.from_dict(PUBLISHED)
    assert "cut.json: the brace that opens the settings is missing" in caplog.text
    assert "write { as its first line" in caplog.text
    (tmp_path / "other.json").write_text(text[1:-2])
    with pytest.raises(FileFormatError, match=r"other.json: not valid JSON .*write { as its first line"):
        Config.read(tmp_path / "other.json")
    (tmp_path / "wide.json").write_bytes(f"// by hand\n{text[1:]}".encode("utf-16"))
    assert Config.read(tmp_path / "wide.json") == Config.read(tmp_path / "cut.json")


def test_the_cyclic_settings_of_the_base_project(tmp_path):
    training = {
        "optimizer": {"name": "Adam", "learning_rate": 0.001, "max_learning_rate": 0.0014},
        "iterations": 2026, "early_stop_patience": 0, "reduceLRoP_patience": 0, "early_stop_min_delta": 0.0,
        "reduceLRoP_min_delta": 0.0, "reduceLRoP_min_lr": 0.0, "reduceLRoP_factor": 0.0,
    }  # fmt: skip
    config = Config.from_dict({"model-training": training})
    assert (config.schedule.kind, config.schedule.max_learning_rate) == ("cyclic", 0.0014)
    assert (config.schedule.cycle_steps, config.schedule.reduce_lr_factor) == (2026, 0)
    assert config.optimizer.arguments == {}
    training["optimizer"]["iterations"] = training.pop("iterations")
    assert Config.from_dict({"model-training": training}) == config


def test_changes_are_given_by_key_whatever_their_section():
    changed = Config().with_changes(
        epochs=3, batch_size=4, loss="asymmetric", margin=0.1, gain_db=6, weight_decay=0.1, seed=None,
        schedule={"early_stop_patience": None}, top=7,
    )  # fmt: skip
    assert (changed.schedule.epochs, changed.data.batch_size, changed.loss.kind) == (3, 4, "asymmetric")
    assert (changed.loss.margin, changed.data.augmentation.gain_db, changed.runtime.seed) == (0.1, 6, 0)
    assert changed.optimizer.arguments == {"weight_decay": 0.1}
    assert changed.schedule.early_stop_patience is None
    with pytest.raises(FolksongError, match="a training has no setting 'epoch'; did you mean 'epochs'"):
        Config().with_changes(epoch=3)
    with pytest.raises(FileFormatError, match=r"data\.batch_size: Input should be"):
        Config().with_changes(batch_size=0)


def test_comments_and_trailing_commas_are_allowed(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"model": {"n_filters": 4,}, // small\n}')
    assert Config.read(file).model.n_filters == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"modle": {}}, "unknown key 'modle'; did you mean 'model'"),
        ({"model": {"n_filter": 3}}, "unknown key 'n_filter' in 'model'; did you mean 'n_filters'"),
        ({"model-training": {"batchsize": 3}}, "'batchsize' in 'model-training'; did you mean 'batch_size'"),
        ({"model-training": {"reduceLRoPpatience": 3}}, "did you mean 'reduceLRoP_patience'"),
        ({"tags": {"xyz": 3}}, "unknown key 'xyz' in 'tags'; known are top, with, without, merge"),
        (
            {"model-training": {"batch_size": "16"}},
            "model-training.batch_size: Input should be a valid integer",
        ),
        ({"model-training": {"batch_size": 0}}, "greater than or equal to 1"),
        ({"model-training": {"split": [80]}}, "model-training.split"),
        ({"model-training": {"split": [0, 50, 50]}}, r"model-training.split.0: .* greater than 0"),
        ({"model-training": 3}, "'model-training' must be an object with keys optimizer, batch_size"),
        ({"data": {"batchsize": 3}}, "unknown key 'batchsize' in 'data'; did you mean 'batch_size'"),
        ({"loss": {"gamma": -1}}, "loss.gamma: Input should be greater than or equal to 0"),
        ({"loss": {"kind": "bce", "vectors": "x"}}, "the loss bce takes no word vectors"),
        ({"model-training": {"reduceLRoP_factor": 1.5}}, "less than 1"),
        ({"model-training": {"optimizer": {"name": "adam"}}}, "'adam'; did you mean 'Adam'"),
        ({"model-training": {"optimizer": {"name": "Adam", "lr": 0.1}}}, "called 'learning_rate' here"),
        (
            {"model-training": {"optimizer": {"name": "Adam", "weight_decy": 0}}},
            "did you mean 'weight_decay'",
        ),
        ({"model-training": {"optimizer": {"name": "Adam", "eps": -1}}}, "Invalid epsilon"),
        ([], "must be an object with the sections model, data, loss, optimizer"),
    ],
)
def test_mistakes_are_named_with_the_nearest_known_word(content, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        Config.from_dict(content, "my.json")
    assert str(caught.value).startswith("my.json: ")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FolksongError, match=r"no such file"):
        Config.read(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"model": {')
    with pytest.raises(FileFormatError, match=r"cut\.json: not valid JSON"):
        Config.read(tmp_path / "cut.json")
    (tmp_path / "twice.json").write_text('{"model": {}, "model": {}}')
    with pytest.raises(FileFormatError, match=r"not valid JSON.*[Dd]uplicate"):
        Config.read(tmp_path / "twice.json")
    (tmp_path / "latin.json").write_bytes(b'{"tags": {"with": ["caf\xe9"]}}')
    with pytest.raises(FileFormatError, match="not UTF-8"):
        Config.read(tmp_path / "latin.json")


def test_every_optimizer_of_torch_can_be_built():
    weights = torch.nn.Linear(3, 2).weight
    for name in optimizer_names():
        optimizer = build_optimizer([weights], name, 0.5, {})
        assert type(optimizer).__name__ == name
        assert optimizer.param_groups[0]["lr"] == 0.5


def test_the_words_of_keras_are_understood():
    weights = torch.nn.Linear(3, 2).weight
    group = build_optimizer([weights], "Adam", 0.5, {"beta_2": 0.9, "epsilon": 1e-5}).param_groups[0]
    assert (group["betas"], group["eps"]) == ((0.9, 0.9), 1e-5)


def test_config_commands(tmp_path):
    runner = CliRunner()
    file = str(tmp_path / "config.json")
    assert runner.invoke(main, ["config", "init", file]).exit_code == 0
    again = runner.invoke(main, ["config", "init", file])
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert runner.invoke(main, ["config", "init", file, "--force"]).exit_code == 0
    listed = runner.invoke(main, ["config"]).output
    assert 'schedule.kind = "plateau"' in listed
    assert "One of bce, semantic, asymmetric, contrastive, hinge, ridge." in listed
    assert "data.augmentation.gain_db = 0.0" in listed
    checked = runner.invoke(main, ["config", "check", file])
    assert json.loads(checked.output) == Config().to_dict()
