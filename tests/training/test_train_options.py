"""Every option of ``folksong train`` does what it says."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.cli.train import train as train_command
from folksong.evaluation.evaluate import evaluate
from folksong.labels import LabelSpace, top
from folksong.metrics import average_precision, confusion, roc_auc
from folksong.models import hardware
from folksong.models.checkpoint import read_checkpoint
from folksong.runs import Run
from folksong.shards.reader import ShardReader
from folksong.splits import PARTS, make_split
from folksong.tags.sources.read_tags import write_tags
from folksong.tags.table import TagTable
from folksong.training import distributed, loop
from folksong.training.batches import TrainingBatches
from folksong.training.config import Config
from folksong.training.data import read_run_data

SETTINGS = {
    "model": {"n_dense_units": 8, "n_filters": 1},
    "model-training": {
        "window_length": 0.64,
        "split": [50, 25, 25],
        "batch_size": 6,
        "adapt_to_small": False,
    },
    "tags": {"top": 5},
}


@pytest.fixture(autouse=True)
def _quiet_again():
    yield
    logging.getLogger("folksong").setLevel(logging.NOTSET)


@pytest.fixture
def settings_file(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(SETTINGS))
    return file


@pytest.fixture
def command(shards, tmp_path, settings_file):
    """Run ``folksong train`` for two steps; return the result and the run, or None."""

    def run(
        *words, name="run", base=("--epochs", "1", "--steps-per-epoch", "2", "--set", "precision=32"), **paths
    ):
        given = {"--tfrecords-dir": shards, "--config": settings_file, "--out": tmp_path / name, **paths}
        pairs = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
        words = ["train", "log-mel-spectrogram", *pairs, *base, *map(str, words)]
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        folder = tmp_path / name
        return result, Run.open(folder) if (folder / "config.json").exists() else None

    return run


def test_every_parameter_has_help_and_is_tried_here():
    for parameter in train_command.params:
        if parameter.name in ("frontend", "folder"):
            continue
        assert getattr(parameter, "help", None), parameter.name
        text = (
            Path(__file__).read_text() + '"--folds" "--artists" "--unfreeze" "--decisions"'
        )  # test_cross_validate.py, test_fine_tuning.py, test_listening.py
        assert any(f'"{name}"' in text for name in parameter.opts), parameter.opts


def test_the_head_of_the_joint_space_learns_from_spectrograms(command):
    base = ("--epochs", "20", "--set", "tag_side=random", "--set", "learning_rate=0.01")
    result, run = command(**{"--head": "joint"}, base=base)
    assert result.exit_code == 0, result.output
    assert run.config["settings"]["model"]["head"] == "joint"
    losses = [row["loss"] for row in run.history()]
    assert max(losses[-5:]) < losses[0]


def test_front_end_and_shards_are_needed(tmp_path):
    for words in ([], ["waveform"], ["--tfrecords-dir", "x"]):
        result = CliRunner().invoke(main, ["train", *words])
        assert result.exit_code == 2
        assert "FRONTEND and FOLDER" in result.output
    assert CliRunner().invoke(main, ["train", "wave"]).exit_code == 2


def test_config_may_be_a_folder_and_sets_the_network(command, tmp_path):
    result, run = command(**{"--config": tmp_path})
    assert result.exit_code == 0
    assert run.config["tagger"]["n_dense_units"] == 8
    assert run.config["settings"]["data"]["batch_size"] == 6
    assert "validation micro PR-AUC" in result.output


def test_a_typo_in_the_settings_ends_with_a_hint(command, settings_file):
    settings_file.write_text('{"model": {"n_dense_unit": 3}}')
    result, _ = command()
    assert result.exit_code == 1
    assert "unknown key 'n_dense_unit' in 'model'; did you mean 'n_dense_units'" in result.output


@pytest.mark.parametrize("option", ["--lastfm", "--tags"])
def test_tags_come_from_the_database_by_track_id(command, tmp_path, shards, option):
    ids = sorted(ShardReader(shards).track_ids)
    table = TagTable.from_pairs(ids, ["even" if int(track[1:]) % 2 == 0 else "odd" for track in ids])
    write_tags(table, tmp_path / "lastfm.db")
    _, run = command(option, tmp_path / "lastfm.db")
    assert sorted(run.labels.names) == ["even", "odd"]
    assert run.config["tags"]["path"] == str(tmp_path / "lastfm.db")


def test_one_tag_source_only(command):
    result, _ = command("--lastfm", "a", "--tags", "b")
    assert result.exit_code == 2


def test_a_tag_database_that_is_not_sqlite(command, tmp_path):
    (tmp_path / "tags.db").write_bytes(b"\x00\x01 no database")
    result, run = command("--lastfm", tmp_path / "tags.db")
    assert (result.exit_code, run) == (1, None)
    assert "tags.db" in result.output


def test_min_weight(command, tmp_path, shards):
    ids = sorted(ShardReader(shards).track_ids)
    table = TagTable.from_pairs(ids * 2, ["strong"] * 48 + ["weak"] * 48, [90] * 48 + [3] * 48)
    write_tags(table, tmp_path / "tags.csv")
    assert set(command("--tags", tmp_path / "tags.csv", name="all")[1].labels.names) == {"strong", "weak"}
    _, run = command("--tags", tmp_path / "tags.csv", "--set", "min_weight=50", name="heavy")
    assert run.labels.names == ("strong",)


def test_labels_and_split_are_taken_as_given_and_kept(command, tmp_path, shards):
    table = ShardReader(shards).tag_table()
    split = make_split(table, fractions=(50, 25, 25), seed=9)
    split.write(tmp_path / "my.split.json")
    space = top(table.select_tracks(split.training), 2, provenance={"split_sha256": split.sha256()})
    space.write(tmp_path / "my.labels.json")
    result, run = command("--labels", tmp_path / "my.labels.json", "--split", tmp_path / "my.split.json")
    assert run.labels == space == LabelSpace.read(tmp_path / "my.labels.json")
    assert run.split.sha256() == split.sha256()
    assert "learned from all tracks" not in result.output


def test_multi_db_default_chooses_the_tags(command):
    _, run = command("--multi-db", 2, "--multi-db-default", 1)
    assert "LOW" in run.labels.names
    assert run.config["settings"]["data"]["database"] == 1


def test_multi_db_must_be_what_the_records_hold(command):
    result, _ = command("--multi-db", 3)
    assert result.exit_code == 1
    assert "the records hold 2 tag databases, not 3" in result.output


def test_filter_takes_the_shipped_tags_out(command):
    assert "seen live" in command(name="a")[1].labels.names
    _, run = command("--filter", name="b")
    assert "seen live" not in run.labels.names
    assert "calm" in run.labels.names


def test_filter_path_takes_the_listed_tags_out(command, tmp_path):
    (tmp_path / "tags_remove.txt").write_text("calm\n")
    _, run = command("--filter", "--filter-path", tmp_path)
    assert "calm" not in run.labels.names
    assert "seen live" in run.labels.names
    empty = tmp_path / "empty"
    empty.mkdir()
    result, _ = command("--filter-path", empty, name="none")
    assert result.exit_code == 1
    assert "tags_remove.txt" in result.output


@pytest.fixture
def dictionary(tmp_path):
    """The earlier project's files: four clusters, of which ``genres.txt`` keeps three and merges two."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    clusters = {"low": np.int64(0), "calm": 1, "slow": np.int32(1), "middle": 2, "seen live": 3}
    (folder / "tags_dict_4.pkl").write_bytes(pickle.dumps(clusters))
    (folder / "genres.txt").write_text("[0, 1, 2]\n[[0, 2]]\n")
    return folder


def test_dictionary_dir_takes_labels_from_the_earlier_projects_files(command, dictionary):
    _, run = command("--dictionary-dir", dictionary)
    assert [label.tags for label in run.labels.labels] == [
        ("low",), ("calm", "slow"), ("middle",), ("seen live",)
    ]  # fmt: skip
    assert run.labels.provenance["split_sha256"] == run.split.sha256()
    _, filtered = command("--dictionary-dir", dictionary / "tags_dict_4.pkl", "--filter", name="filtered")
    assert filtered.labels.names == ("low", "calm", "middle")


def test_genre_path_keeps_and_merges_the_dictionarys_genres(command, dictionary):
    _, run = command("--dictionary-dir", dictionary, "--genre-path", dictionary / "genres.txt")
    assert {frozenset(label.tags) for label in run.labels.labels} == {
        frozenset({"low", "middle"}), frozenset({"calm", "slow"})
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--filter --filter-path FILES --save-PR OUT --save-ROC OUT --save-confusion-matrix OUT --cuda 2",
        "--dictionary-dir FILES --save-PR OUT --save-ROC OUT --save-confusion-matrix OUT --multi-tag --cuda 0 1 2 3",
        "--dictionary-dir FILES --genre-path FILES --save-coocurrence-matrix-path OUT --filter --filter-path FILES",
        "--filter --filter-path FILES --gamma 1 --custom-loss-embeddings-path GLOVE",
    ],
    ids=["Model 1", "Model 2", "Models 3, 4", "Model 3, genres", "Model 5"],
)
def test_the_earlier_projects_commands(command, dictionary, tmp_path, glove, words):
    """Its example commands, with settings as published: null where something is off, and no first brace."""
    training = {**SETTINGS["model-training"], "interleave_cycle_length": 2, "interleave_block_length": 1}
    training |= {
        f"{name}_{key}": None for name in ("reduceLRoP", "early_stop") for key in ("min_delta", "patience")
    }
    settings = {**SETTINGS, "model": {**SETTINGS["model"], "n_clusters": 500}, "model-training": training}
    settings["tfrecords"] = {"n_mels": 96, "n_tags": 155, "sample_rate": 16000}
    (dictionary / "config.json").write_text(json.dumps(settings)[1:])
    (dictionary / "tags_remove.txt").write_text("seen live\nno such tag\n")
    (dictionary / "kmeans_4.pkl").write_bytes(b"no dictionary")
    places = {"FILES": dictionary, "OUT": tmp_path / "figures", "GLOVE": glove}
    result, run = command("--config", dictionary, *(places.get(word, word) for word in words.split()))
    assert result.exit_code == 0, result.output
    assert "seen live" not in run.labels.names or "--filter" not in words
    assert run.config["settings"]["schedule"]["early_stop_patience"] is None
    assert len(list((tmp_path / "figures").glob("*.npy"))) == words.count("OUT")


def test_the_earlier_projects_files_do_not_go_with_a_label_space_nor_genres_alone(
    shards, dictionary, tmp_path
):
    start = ["train", "log-mel-spectrogram", "--tfrecords-dir", str(shards)]
    both = [*start, "--dictionary-dir", str(dictionary), "--labels", "x.labels.json"]
    assert "give one" in CliRunner().invoke(main, both).output
    alone = CliRunner().invoke(main, [*start, "--genre-path", str(dictionary / "genres.txt")])
    assert alone.exit_code == 2
    assert "give --dictionary-dir too" in alone.output


def test_a_hostile_dictionary_trains_nothing(command, tmp_path):
    (tmp_path / "tags_dict_1.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    result, run = command("--dictionary-dir", tmp_path / "tags_dict_1.pkl")
    assert result.exit_code == 1
    assert "asks for os.system" in result.output
    assert run is None


def test_arrays_per_label_are_those_of_the_test_part(command, tmp_path):
    folders = [tmp_path / "arrays" / name for name in ("pr", "roc", "confusion", "tags", "together")]
    _, run = command(
        "--save-PR", folders[0], "--save-ROC", folders[1], "--save-confusion-matrix", folders[2],
        "--save-tags-path", folders[3], "--save-coocurrence-matrix-path", folders[4],
    )  # fmt: skip
    tracks = evaluate(run, write=False).tracks
    targets, scores = tracks.targets[tracks.measured], tracks.scores[tracks.measured]
    np.testing.assert_array_equal(np.load(folders[0] / "pr_auc.npy"), average_precision(targets, scores))
    np.testing.assert_array_equal(np.load(folders[1] / "roc_auc.npy"), roc_auc(targets, scores))
    matrices = np.load(folders[2] / "confusion_matrix.npy")
    np.testing.assert_array_equal(matrices, confusion(targets, scores))
    assert matrices.shape == (5, 2, 2)
    assert np.load(folders[3] / "tags.npy").tolist() == list(run.labels.names)
    data = read_run_data(run, None, Config.from_dict(run.config["settings"]))
    dense = data.targets[np.concatenate([data.parts[part] for part in PARTS])].toarray().astype(int)
    assert len(dense) > len(targets)
    together = [[int((one & other).sum()) for other in dense.T] for one in dense.T]
    assert np.load(folders[4] / "cooccurrence_matrix.npy").tolist() == together
    command("--save-cooccurrence-matrix-path", tmp_path / "spelt", name="spelt")
    assert np.load(tmp_path / "spelt" / "cooccurrence_matrix.npy").tolist() == together


def test_without_a_test_part_the_arrays_are_those_of_the_validation_part(command, tmp_path):
    (tmp_path / "two.json").write_text(
        json.dumps({**SETTINGS, "model-training": {**SETTINGS["model-training"], "split": [70, 30]}})
    )
    result, run = command("--save-PR", tmp_path / "arrays", "--config", tmp_path / "two.json")
    assert result.exit_code == 0, result.output
    tracks = evaluate(run, part="validation", write=False).tracks
    expected = average_precision(tracks.targets[tracks.measured], tracks.scores[tracks.measured])
    np.testing.assert_array_equal(np.load(tmp_path / "arrays" / "pr_auc.npy"), expected)


def test_multi_tag_leads_with_macro(command):
    result, run = command("--multi-tag")
    assert "validation macro PR-AUC" in result.output
    assert run.config["settings"]["schedule"]["multi_tag"] is True
    assert {"macro_pr_auc", "micro_pr_auc"} <= run.history()[0].keys()


def test_keep_unlabelled(command):
    _, run = command("--set", "keep_unlabelled=true")
    assert sum(part["tracks"] for part in run.config["parts"].values()) == 48


def test_epochs_and_steps_per_epoch(command):
    _, run = command(base=("--epochs", "3", "--steps-per-epoch", "2", "--set", "precision=32"))
    assert [(row["epoch"], row["step"]) for row in run.history()] == [(1, 2), (2, 4), (3, 6)]
    _, whole = command(name="pass", base=("--epochs", "1", "--set", "precision=32"))
    assert whole.history()[0]["step"] == whole.config["parts"]["training"]["tracks"] // 6


@pytest.mark.parametrize(("words", "shuffled"), [((), True), (("--no-shuffle",), False)])
def test_no_shuffle_keeps_the_records_order(command, monkeypatch, words, shuffled):
    seen = []
    original = TrainingBatches.from_step

    def from_step(self, step):
        for place, batch in original(self, step):
            seen.append(batch["index"].tolist())
            yield place, batch

    monkeypatch.setattr(TrainingBatches, "from_step", from_step)
    command(*words)
    assert (seen[0] != sorted(seen[0])) == shuffled


def test_update_freq_is_how_often_the_loss_is_written(command, monkeypatch):
    written = []
    monkeypatch.setattr(loop.SummaryWriter, "add_scalar", lambda self, *values: written.append(values))
    command("--update-freq", 2, base=("--epochs", "1", "--steps-per-epoch", "5", "--set", "precision=32"))
    assert [step for name, _, step in written if name == "training/loss"] == [2, 4]
    assert {"epoch/loss", "epoch/macro_pr_auc", "epoch/learning_rate"} <= {name for name, *_ in written}


def test_save_every_is_how_often_the_run_is_saved(command, monkeypatch):
    saved = []
    original = loop.TrainingState.save
    monkeypatch.setattr(
        loop.TrainingState, "save", lambda self, run: (saved.append(self.counts.step), original(self, run))
    )
    command(
        "--set", "save_every=2", base=("--epochs", "1", "--steps-per-epoch", "5", "--set", "precision=32")
    )
    assert saved == [2, 4, 5]


def test_cuda_takes_several_numbers_and_falls_back_to_the_cpu_once(command, monkeypatch):
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: False)
    result, run = command("--cuda", 0, 1, 2)
    assert result.exit_code == 0
    assert result.output.count("no GPU found; training on the CPU") == 1
    assert run.history()


def test_processes_and_machines_are_told_to_the_training(command, monkeypatch):
    given = []
    monkeypatch.setattr(loop, "joined", lambda runtime: given.append(runtime) or distributed.joined())
    assert command("--processes", 3, "--num-nodes", 2)[0].exit_code == 0
    assert [(runtime.cuda, runtime.processes, runtime.num_nodes) for runtime in given] == [(None, 3, 2)]


def test_options_change_the_settings_of_the_file(command, settings_file):
    words = [
        "--set",
        "accumulate_batches=2",
        "--set",
        "clip_gradient_norm=0.5",
        "--set",
        "weight_decay=0.01",
        "--set",
        "schedule=cosine",
    ]
    words += ["--set", "warmup_steps=1", "--set", "frequency_masks=2", "--set", "time_masks=3"]
    result, run = command(*words)
    assert result.exit_code == 0, result.output
    kept = run.config["settings"]
    assert kept["data"]["batch_size"] == 6
    assert kept["optimizer"] == {
        "name": "Adam", "learning_rate": 1e-3, "weight_decay": 0.01, "accumulate_batches": 2, "clip_gradient_norm": 0.5,
    }  # fmt: skip
    assert (kept["schedule"]["kind"], kept["schedule"]["warmup_steps"]) == ("cosine", 1)
    augmentation = kept["data"]["augmentation"]
    assert (augmentation["frequency_masks"], augmentation["time_masks"]) == (2, 3)
    result, _ = command("--set", "gain_db=6", name="b")
    assert result.exit_code == 1
    assert "gain_db is for waveforms" in result.output


def test_batch_size_and_any_setting_by_its_last_word_or_in_full(command):
    words = ["--batch-size", 3, "--set", "data.window_seconds=0.5", "--set", "augmentation.time_masks=1"]
    result, run = command(*words, "--set", "learning_rate=3e-4", "--set", "schedule.warmup_steps=1")
    assert result.exit_code == 0, result.output
    kept = run.config["settings"]
    assert (kept["data"]["batch_size"], kept["data"]["window_seconds"]) == (3, 0.5)
    assert kept["data"]["augmentation"]["time_masks"] == 1
    assert (kept["optimizer"]["learning_rate"], kept["schedule"]["warmup_steps"]) == (3e-4, 1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("gama=2", "a training has no setting 'gama'; did you mean 'gamma'?"),
        ("loss.gama=2", "unknown key 'gama' in 'loss'; did you mean 'gamma'?"),
        ("margin=2", "margin: Input should be less than 1"),
        ("loss", "a setting is written as KEY=VALUE"),
        ("shards=x", "a training has no setting 'shards'"),
    ],
)
def test_a_setting_that_is_none_is_refused(command, setting, message):
    result, run = command("--set", setting)
    assert (result.exit_code, run) == (1, None)
    assert message in result.output


def test_gpus_are_chosen_by_number(monkeypatch):
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(distributed.torch.cuda, "device_count", lambda: 2)
    assert distributed.find_gpus(None) == [0]
    assert distributed.find_gpus([1, 0]) == [1, 0]
    with pytest.raises(ValueError, match="there is no GPU 2; this machine has 2"):
        distributed.find_gpus([0, 2])


def test_built_in_is_accepted_and_said(command):
    result, _ = command("--built-in")
    assert result.exit_code == 0
    assert "training always uses the built-in loop" in result.output


def test_verbose_says_more_and_more(command):
    lines = []
    for level in range(4):
        result, _ = command("--verbose", level, name=f"v{level}")
        assert result.exit_code == 0
        lines.append(result.output)
    assert lines[0].startswith("Warning: the best network has learned for 2 steps only")
    assert lines[0].count("\n") == 1
    assert "epoch 1/1: loss" in lines[1]
    assert "trainable parameters" in lines[2]
    assert "trainable parameters" not in lines[1]
    assert len(lines[3]) >= len(lines[2])
    assert command("-v", 4, name="v4")[0].exit_code == 2


def test_resume_goes_on_and_keeps_the_settings(command, tmp_path):
    _, run = command()
    words = ["train", "--resume", str(run.path), "--epochs", "2"]
    assert CliRunner().invoke(main, words, catch_exceptions=False).exit_code == 0
    assert [row["step"] for row in run.history()] == [2, 4]
    fixed = CliRunner().invoke(main, [*words, "--seed", "3", "--multi-tag"])
    assert fixed.exit_code == 2
    assert "leave out --multi-tag, --seed" in fixed.output
    kept = CliRunner().invoke(main, [*words, "--set", "gamma=3"])
    assert kept.exit_code == 1
    assert "a resumed run keeps its setting 'gamma'" in kept.output
    workers = ["train", "--resume", str(run.path), "--epochs", "3", "--set", "runtime.workers=2"]
    assert CliRunner().invoke(main, workers, catch_exceptions=False).exit_code == 0
    missing = CliRunner().invoke(main, ["train", "--resume", str(tmp_path / "none")])
    assert missing.exit_code == 1
    assert "no such folder" in missing.output


def test_seed_changes_the_weights(command):
    runs = [command("--seed", seed, name=f"s{place}")[1] for place, seed in enumerate((1, 1, 2))]
    weights = [read_checkpoint(run.last_checkpoint)["tagger"]["back_end.output.weight"] for run in runs]
    assert (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()


def test_workers_change_nothing_but_speed(command):
    runs = [command("--set", f"workers={n}", name=f"w{n}")[1] for n in (0, 3)]
    assert runs[0].metrics_path.read_text() == runs[1].metrics_path.read_text()


@pytest.mark.parametrize("precision", ["32", "bf16", "64"])
def test_precision_is_what_the_network_computes_with(command, monkeypatch, precision):
    seen = set()
    original = loop.compute_loss

    def compute_loss(network, *given):
        network.back_end.adapt.conv.register_forward_hook(lambda *given: seen.add(str(given[-1].dtype)))
        return original(network, *given)

    monkeypatch.setattr(loop, "compute_loss", compute_loss)
    _, run = command("--set", f"precision={precision}", base=("--epochs", "1", "--steps-per-epoch", "2"))
    assert seen == {{"32": "torch.float32", "bf16": "torch.bfloat16", "64": "torch.float64"}[precision]}
    assert run.config["settings"]["runtime"]["precision"] == precision


def test_auto_precision_follows_the_hardware(monkeypatch):
    monkeypatch.setattr(hardware, "has_bf16_cpu", lambda: True)
    assert hardware.choose_precision("auto", gpu=False) == "bf16"
    monkeypatch.setattr(hardware, "has_bf16_cpu", lambda: False)
    assert hardware.choose_precision("auto", gpu=False) == "32"
    assert hardware.choose_precision("16", gpu=False) == "16"


@pytest.fixture
def glove(tmp_path):
    """Vectors for three of the five labels; low and calm mean nearly the same."""
    file = tmp_path / "glove.txt"
    file.write_text("low 1 0 0\ncalm 0.9 0.1 0\nhigh -1 0 0.1\n")
    return file


def test_custom_loss_embeddings_path_implies_the_semantic_loss(command, glove):
    result, run = command("--custom-loss-embeddings-path", glove, "--gamma", 2)
    assert result.exit_code == 0, result.output
    assert run.config["settings"]["loss"]["kind"] == "semantic"
    assert run.config["settings"]["loss"]["gamma"] == 2
    assert run.config["label_vectors"]["missing"] == [
        name for name in run.labels.names if name not in ("low", "calm", "high")
    ]
    assert "2 of 5 labels have no vector in glove.txt" in result.output
    vectors = np.load(run.path / "label_vectors.npy")
    np.testing.assert_allclose(vectors[run.labels.index("low")], [1, 0, 0])
    _, plain = command(name="plain")
    assert plain.history()[0]["loss"] < run.history()[0]["loss"]
    glove.unlink()  # a resumed run has its own copy
    assert CliRunner().invoke(main, ["train", "--resume", str(run.path), "--epochs", "2"]).exit_code == 0
    np.save(run.path / "label_vectors.npy", vectors[::-1])  # 16, C1: it would learn on with others
    result = CliRunner().invoke(main, ["train", "--resume", str(run.path), "--epochs", "3"])
    assert (result.exit_code, "label_vectors.npy: was changed since" in result.output) == (1, True)


def test_gamma_zero_trains_as_binary_cross_entropy(command, glove):
    _, semantic = command(
        "--set", "loss=semantic", "--custom-loss-embeddings-path", glove, "--set", "gamma=0"
    )
    _, plain = command("--set", "loss=bce", name="plain")
    assert semantic.metrics_path.read_text() == plain.metrics_path.read_text()


def test_losses_and_vectors_must_fit(command, glove):
    result, _ = command("--set", "loss=semantic")
    assert "the semantic loss needs word vectors" in result.output
    result, _ = command("--set", "loss=asymmetric", "--custom-loss-embeddings-path", glove)
    assert "takes no word vectors" in result.output
    glove.write_text("unrelated 1 2 3\n")
    result, _ = command("--custom-loss-embeddings-path", glove)
    assert "a vector for none of the 5 labels" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "loss=asymmetric"),
        ("--set", "loss=asymmetric", "--set", "negative_focus=1"),
        ("--set", "loss=asymmetric", "--set", "positive_focus=2"),
        ("--set", "loss=asymmetric", "--set", "margin=0.3"),
        ("--set", "absent_weight=0.3"),
        ("--set", "label_smoothing=0.2"),
    ],
)
def test_each_option_of_the_loss_changes_what_is_learned(command, words):
    losses = [command(*given, name=f"l{len(given)}")[1].history()[0]["loss"] for given in (words, ())]
    assert losses[0] != losses[1]
    if len(words) > 2 and words[1] == "asymmetric":
        _, default = command(*words[:2], name="default")
        assert losses[0] != default.history()[0]["loss"]


def test_weights_are_soft_targets_or_sample_weights(command, tmp_path, shards):
    ids = sorted(ShardReader(shards).track_ids)
    kinds = [("low", "middle", "high")[int(track[1:]) % 3] for track in ids]
    write_tags(TagTable.from_pairs(ids, kinds, [1 + int(t[1:]) * 2 for t in ids]), tmp_path / "tags.csv")
    runs = [
        command("--tags", tmp_path / "tags.csv", "--set", f"weights={mode}", name=mode)[1]
        for mode in ("ignore", "soft", "sample")
    ]
    losses = [run.history()[0]["loss"] for run in runs]
    assert len(set(losses)) == 3
    assert losses[2] < losses[0]  # the same terms, some of them lighter
