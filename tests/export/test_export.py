"""Exported models give the scores of the run."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from folksong.audio.log_mel import log_mel, read_preset
from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.export import keras_file
from folksong.export.folder import export_folder, read_folder, write_folder
from folksong.export.keras_file import import_keras, read_checkpoint_weights, read_keras_weights
from folksong.export.onnx import Spectrogram, export_onnx
from folksong.files import write_signed
from folksong.labels import Label, LabelSpace
from folksong.models import tagger as network
from folksong.models.checkpoint import load_model, write_checkpoint
from folksong.models.tagger import Tagger
from folksong.prediction import AudioInput, load_tagger
from folksong.runs import Run
from folksong.splits import Split

SPACE = LabelSpace(
    tuple(Label(name, (name, name.upper())) for name in ("rock", "jazz", "folk")), {"Rock": "rock"}
)
FRONT_ENDS = ("waveform", "log-mel-spectrogram")


@pytest.fixture(autouse=True)
def _small_back_end(monkeypatch):
    monkeypatch.setattr(network, "N_FILTERS", 16)


def sound(seconds=2.0, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(int(16000 * seconds)) / 16000
    return (0.3 * np.sin(2 * np.pi * 440 * time) + 0.05 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(params=FRONT_ENDS)
def run(request, tmp_path):
    """A run with random weights, as if trained."""
    torch.manual_seed(0)
    tagger = Tagger(request.param, SPACE, n_filters=2, n_dense_units=8)
    with torch.no_grad():
        for name, buffer in tagger.named_buffers():
            if "running_mean" in name:
                buffer.normal_(0, 0.1)
    preset = read_preset("urop2019") if request.param != "waveform" else None
    config = {
        "folksong": "0",
        "front_end": request.param,
        "tagger": tagger.settings,
        "audio": {
            "audio_format": request.param,
            "sample_rate": 16000,
            "preset": None if preset is None else preset.to_dict(),
            "window_seconds": 2.0,
            "window_steps": 32000 if preset is None else preset.frames(2.0),
        },
        "shards": {"folder": "x", "n_tracks": 0, "manifest_sha256": "1"},
        "tags": {"path": None, "database": 0, "table_sha256": "2"},
    }
    made = Run.create(tmp_path / "run", config, SPACE, Split(("a",), ("b",), ("c",)))
    write_checkpoint(made.best_checkpoint, {"tagger": tagger.state_dict()})
    return made


def scores_of(run, waveform):
    features = waveform if run.preset is None else log_mel(waveform, run.preset)
    with torch.inference_mode():
        return torch.sigmoid(load_model(run)(torch.from_numpy(features)[None])).numpy()[0]


def test_safetensors_folder_holds_the_same_model(run, tmp_path):
    result = CliRunner().invoke(main, ["export", "safetensors", str(run.path), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    model = read_folder(tmp_path / "out")
    assert model.labels.labels == SPACE.labels
    assert dict(model.labels.aliases) == {"Rock": "rock"}
    assert model.audio == AudioInput(16000, 2.0, run.preset)
    assert model.thresholds is None
    assert model.made_from["labels_sha256"] == SPACE.sha256()
    expected = load_model(run).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.tagger.state_dict().items())


def test_an_exported_folder_predicts_as_its_run_does(run, tmp_path):
    CliRunner().invoke(main, ["export", "safetensors", str(run.path), str(tmp_path / "out")])
    taggers = [load_tagger(folder, device="cpu") for folder in (run.path, tmp_path / "out")]
    assert taggers[0].labels == taggers[1].labels == SPACE.names
    one, other = (tagger.scores(sound(5.0)) for tagger in taggers)
    np.testing.assert_array_equal(one, other)


def test_thresholds_travel_along(run, tmp_path):
    write_folder(
        tmp_path / "out", load_model(run), AudioInput(16000, 2.0), thresholds=np.array([0.1, 0.5, 0.9])
    )
    assert read_folder(tmp_path / "out").thresholds.tolist() == [0.1, 0.5, 0.9]


def test_damaged_folders_are_named(run, tmp_path):
    with pytest.raises(FolksongError, match=r"no exported model here"):
        read_folder(tmp_path)
    folder = tmp_path / "out"
    CliRunner().invoke(main, ["export", "safetensors", str(run.path), str(folder)])
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-10])
    with pytest.raises(
        FileFormatError, match=r"model\.safetensors: not the weights that config\.json describes"
    ):
        read_folder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FolksongError, match=r"model\.safetensors: no such file"):
        read_folder(folder)
    content = json.loads((folder / "config.json").read_text())
    del content["audio"]
    write_signed(folder / "config.json", content)
    with pytest.raises(FileFormatError, match="damaged"):
        read_folder(folder)


def test_16_b1_other_files_of_these_names_stay(run, tmp_path):
    (tmp_path / "config.json").write_text('{"mine": 1}')
    with pytest.raises(FolksongError, match=r"config\.json: is there already and no exported model"):
        export_folder(run, tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"mine": 1}'
    (tmp_path / "notes.onnx").write_text("mine")
    result = CliRunner().invoke(main, ["export", "onnx", str(run.path), str(tmp_path / "notes.onnx")])
    assert (result.exit_code, (tmp_path / "notes.onnx").read_text()) == (1, "mine")


@pytest.mark.parametrize("key", ["labels", "audio", "tagger", "aliases", "weights_sha256", "made_from"])
def test_16_c1_an_edited_description_is_refused(run, tmp_path, key):
    folder = export_folder(run, tmp_path / "out")
    content = json.loads((folder / "config.json").read_text())
    if key == "labels":
        content[key].reverse()
    else:
        content[key] = {"Rock": "jazz"}
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"config\.json: was edited"):
        load_tagger(folder, device="cpu")


@pytest.mark.parametrize(
    "header", [b"\xff" * 8, (1 << 40).to_bytes(8, "little") + b"{}", b"", b"\x02" + bytes(7) + b"[]"]
)
def test_16_c9_damaged_safetensors_are_named(run, tmp_path, header):
    folder = export_folder(run, tmp_path / "out")
    (folder / "model.safetensors").write_bytes(header)
    content = json.loads((folder / "config.json").read_text())
    content["weights_sha256"] = hashlib.sha256(header).hexdigest()
    write_signed(folder / "config.json", content)
    with pytest.raises(FileFormatError, match=r"model\.safetensors: not weights of the network"):
        load_tagger(folder, device="cpu")


def test_onnx_equals_pytorch(run, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = export_onnx(run, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path))
    for seconds in (2.0, 3.3):  # any length, any batch
        clips = np.stack([sound(seconds, seed) for seed in range(3)])
        (scores,) = session.run(None, {"waveform": clips})
        np.testing.assert_allclose(scores, [scores_of(run, clip) for clip in clips], atol=2e-3)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == list(SPACE.names)
    assert json.loads(metadata["sample_rate"]) == 16000


@pytest.mark.parametrize("name", ["urop2019", "pons2018"])
def test_spectrograms_in_the_graph_equal_those_of_the_library(name):
    preset = read_preset(name)
    waveform = sound(1.5)
    inside = Spectrogram(preset)(torch.from_numpy(waveform)[None]).numpy()[0]
    outside = log_mel(waveform, preset)
    np.testing.assert_allclose(inside, outside, atol=0.01)
    silence = Spectrogram(preset)(torch.zeros(1, 16000)).numpy()[0]
    np.testing.assert_allclose(silence, log_mel(np.zeros(16000, np.float32), preset), atol=1e-4)


def write_keras_file(path, tagger_layers):
    """Write an HDF5 file as Keras 2 does."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in ["input_1", *tagger_layers]]
        root.create_group("input_1").attrs["weight_names"] = []
        for name, arrays in tagger_layers.items():
            words = (
                ("kernel", "bias")
                if len(arrays) == 2
                else ("gamma", "beta", "moving_mean", "moving_variance")
            )
            keys = [f"{name}/{word}:0" for word in words]
            group = root.create_group(name)
            group.attrs["weight_names"] = [key.encode() for key in keys]
            for key, array in zip(keys, arrays, strict=True):
                group.create_dataset(key, data=array)


@pytest.fixture
def keras_golden(monkeypatch):
    """The golden outputs of Keras and the weights that gave them; the network in its full size."""
    monkeypatch.setattr(network, "N_FILTERS", 512)
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parents[1] / "models" / "keras_golden.py"
    spec = importlib.util.spec_from_file_location("keras_golden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with np.load(module.GOLDEN) as arrays:
        return module, dict(arrays)


def write_checkpoint_of(prefix, tagger_layers, write_checkpoint):
    """Write a TensorFlow checkpoint as ``tf.train.Checkpoint(model=…, optimizer=…).save`` does."""
    tensors, names = {"optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE": np.array(7, np.int64)}, {}
    for number, (layer, arrays) in enumerate(tagger_layers.items()):
        kinds = (
            ("kernel", "bias") if len(arrays) == 2 else ("gamma", "beta", "moving_mean", "moving_variance")
        )
        for kind, array in zip(kinds, arrays, strict=True):
            key = f"model/layer_with_weights-{number}/{kind}/.ATTRIBUTES/VARIABLE_VALUE"
            tensors[key], names[key] = array, f"{layer}/{kind}"
            slot = f"model/layer_with_weights-{number}/{kind}/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE"
            tensors[slot], names[slot] = np.zeros_like(array), f"Adam/{layer}/{kind}/m"
    write_checkpoint(prefix, tensors, names)


@pytest.mark.parametrize("form", ["mymodel.h5", "epoch3-1.index"])
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_keras_files_give_the_outputs_of_keras(front_end, form, keras_golden, tmp_path, write_checkpoint):
    module, golden = keras_golden
    layers = {}
    for key, shapes in golden.items():
        owner, _, layer = key.partition("/")
        if owner == front_end and layer:
            layers[layer] = module.layer_weights(layer, [tuple(int(n) for n in s if n) for s in shapes])
    if form == "mymodel.h5":
        write_keras_file(tmp_path / form, layers)
        found = read_keras_weights(tmp_path / form)
    else:
        write_checkpoint_of(tmp_path / "epoch3-1", layers, write_checkpoint)
        found = read_checkpoint_weights(tmp_path / form)
    assert {name for name, arrays in found.items() if arrays} == set(layers)
    labels = LabelSpace(tuple(Label(f"l{n}", (f"l{n}",)) for n in range(module.SIZES["n_labels"])))
    model = read_folder(import_keras(tmp_path / form, tmp_path / "out", labels))
    with torch.inference_mode():
        scores = torch.sigmoid(model.tagger(torch.from_numpy(module.inputs(front_end)))).numpy()
    np.testing.assert_allclose(scores, golden[front_end], atol=1e-4)


def test_a_keras_model_of_the_earlier_projects_sizes_becomes_a_tagger(tmp_path):
    """128 mel bands and 32 base filters: laid out as Keras has them, read back, and heard with."""
    torch.manual_seed(1)
    tagger = Tagger("log-mel-spectrogram", SPACE, n_mels=128, n_filters=32, n_dense_units=500).eval()
    state = {name: value.numpy() for name, value in tagger.state_dict().items()}
    as_keras = {
        keras_file._picture: lambda kernel: kernel.transpose(2, 3, 1, 0),
        keras_file._curve: lambda kernel: kernel[:, :, 0].transpose(2, 1, 0),
        keras_file._sequence: lambda kernel: kernel.transpose(3, 1, 2, 0),
        keras_file._dense: lambda kernel: kernel.T,
        keras_file._pooled: lambda kernel: np.stack(np.split(kernel.T, 2), axis=1).reshape(kernel.T.shape),
    }
    weights = {}
    for layer, (module, turn) in keras_file.keras_layers(tagger).items():
        if turn is None:
            names = ("weight", "bias", "running_mean", "running_var")
            weights[layer] = [state[f"{module}.{name}"] for name in names]
        else:
            weights[layer] = [as_keras[turn](state[f"{module}.weight"]), state[f"{module}.bias"]]
    assert weights["conv1_spec"][0].shape == (115, 7, 1, 32)
    assert weights["conv1_back"][0].shape[1] == 29 * 32
    write_keras_file(tmp_path / "mymodel.h5", weights)
    folder = import_keras(tmp_path / "mymodel.h5", tmp_path / "out", SPACE)
    model = read_folder(folder)
    x = torch.randn(2, 128, 80)
    with torch.inference_mode():
        torch.testing.assert_close(model.tagger(x), tagger(x), atol=0, rtol=0)
    heard = load_tagger(folder).scores(sound(16))
    assert heard.shape == (len(SPACE),)
    weights["conv1_spec"][0] = weights["conv1_spec"][0][:114]
    write_keras_file(tmp_path / "cut.h5", weights)
    with pytest.raises(FolksongError, match=r"no number of mel bands has filters over \[114, 51\] bands"):
        import_keras(tmp_path / "cut.h5", tmp_path / "other", SPACE)


def test_files_that_are_no_keras_models(tmp_path):
    h5py = pytest.importorskip("h5py")
    with pytest.raises(FolksongError, match="no such file"):
        read_keras_weights(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FileFormatError, match=r"text\.h5: not a Keras 2 HDF5 model"):
        read_keras_weights(tmp_path / "text.h5")
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(FileFormatError, match="not a Keras 2 HDF5 model"):
        read_keras_weights(tmp_path / "empty.h5")
    write_keras_file(tmp_path / "other.h5", {"conv": [np.zeros((3, 1, 2)), np.zeros(2)]})
    with pytest.raises(
        FolksongError, match="not a tagger of the earlier project: its layers are input_1, conv"
    ):
        import_keras(tmp_path / "other.h5", tmp_path / "out", SPACE)


def test_16_c9_layers_that_hold_code_are_not_run(tmp_path):
    """A Lambda layer's code lies in the file's configuration, which nobody reads; its weights are refused."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "lambda.h5"
    write_keras_file(path, {"lambda": [np.zeros(2), np.zeros(2)]})
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = '{"class_name": "Lambda", "config": {"function": "4wEAAAA="}}'
    with pytest.raises(
        FolksongError, match="not a tagger of the earlier project: its layers are input_1, lambda"
    ):
        import_keras(path, tmp_path / "out", SPACE)


def test_16_c9_weights_elsewhere_are_not_read(tmp_path):
    """HDF5 can point at other files: external links and external storage are refused."""
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret.bin").write_bytes(np.ones(2, "<f4").tobytes())
    for kind in ("link", "storage"):
        path = tmp_path / f"{kind}.h5"
        with h5py.File(path, "w") as file:
            root = file.create_group("model_weights")
            root.attrs["layer_names"] = [b"dense1_back"]
            group = root.create_group("dense1_back")
            group.attrs["weight_names"] = [b"kernel"]
            if kind == "link":
                group["kernel"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
                with h5py.File(tmp_path / "other.h5", "w") as other:
                    other["x"] = np.ones(2, np.float32)
            else:
                group.create_dataset("kernel", (2,), "<f4", external=[(str(tmp_path / "secret.bin"), 0, 8)])
        with pytest.raises(FileFormatError, match="its weights lie in another file"):
            read_keras_weights(path)


def test_16_c9_huge_arrays_are_refused_before_they_are_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [b"dense1_back"]
        group = root.create_group("dense1_back")
        group.attrs["weight_names"] = [b"kernel"]
        group.create_dataset("kernel", (1 << 20, 1 << 20), "<f4", chunks=(1024, 1024))
    with pytest.raises(FileFormatError, match=r"huge\.h5: more than .* of weights"):
        read_keras_weights(tmp_path / "huge.h5")


def test_16_c1_an_edited_onnx_export_is_refused(tmp_path, run):
    """Its labels and its weights; that its weights lie in another file is a change too."""
    onnx = pytest.importorskip("onnx")
    path = export_onnx(run, tmp_path / "model.onnx")
    if run.front_end == "waveform":
        assert load_tagger(path, device="cpu").labels == SPACE.names

    def labels(model):
        entry = next(entry for entry in model.metadata_props if entry.key == "labels")
        entry.value = json.dumps(list(reversed(SPACE.names)))

    def weights(model):
        data = bytearray(model.graph.initializer[0].raw_data)
        data[1] ^= 1
        model.graph.initializer[0].raw_data = bytes(data)

    content = path.read_bytes()
    (tmp_path / "odd.onnx").write_bytes(
        content.replace(SPACE.names[0].encode(), b"\xff" * len(SPACE.names[0]))
    )
    with pytest.raises(FileFormatError, match=r"odd\.onnx: "):
        load_tagger(tmp_path / "odd.onnx", device="cpu")
    for change in (labels, weights, lambda model: None):
        model = onnx.load(path)
        change(model)
        outside = change is not labels and change is not weights
        onnx.save(model, tmp_path / "other.onnx", save_as_external_data=outside, size_threshold=0)
        with pytest.raises(FileFormatError, match=r"other\.onnx: was changed after it was exported"):
            load_tagger(tmp_path / "other.onnx", device="cpu")


def test_16_c6_an_hdf5_file_that_its_library_never_ends_to_read_is_named(tmp_path):
    """A byte between the values of the attributes sends it round in circles."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "k.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense1_back"]
        layer = file.create_group("dense1_back")
        layer.attrs["weight_names"] = [b"kernel", b"bias"]
        layer["kernel"], layer["bias"] = np.zeros((12, 4), np.float32), np.zeros(4, np.float32)
    assert [len(array) for array in read_keras_weights(path)["dense1_back"]] == [12, 4]
    content = path.read_bytes()
    place = content.index(b"kernel", content.index(b"GCOL"))
    path.write_bytes(content[: place - 14] + b"\r" + content[place - 14 :])
    with pytest.raises(FileFormatError, match=r"k\.h5: "):
        read_keras_weights(path)
