"""ONNX models as extractors: shapes fixed and dynamic, samples and log-mel, and files that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from folksong.errors import FileFormatError, FolksongError
from folksong.models.pretrained.extractors import get_extractor

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
helper = onnx.helper

RNG = np.random.default_rng(0)
SOUND = (0.2 * RNG.standard_normal(16_000)).astype(np.float32)
MEL = """
model = "means"
licence = "MIT"
sample_rate = 16000
input = "log-mel"
axes = {axes}
{window}
[mel]
n_fft = 512
hop_length = 256
n_mels = 96
scaling = "log10"
gain = 10000
"""


def write_model(folder, shape, toml, axis, operator="ReduceMean", name="model"):
    """Write a model that takes the mean of its input over one axis, and its description."""
    number = onnx.TensorProto.FLOAT if operator == "Add" else onnx.TensorProto.INT64
    axes = helper.make_tensor("axes", number, [1], [axis])
    given = ["x", "axes"] if operator in ("ReduceMean", "Add") else ["x"]
    options = {"keepdims": 0} if operator == "ReduceMean" else {}
    node = helper.make_node(operator, given, ["embeddings"], **options)
    values = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("embeddings", onnx.TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph([node], "means", values[:1], values[1:], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / f"{name}.onnx")
    (folder / f"{name}.toml").write_text(toml, encoding="utf-8")
    return f"onnx:{folder / name}.onnx"


@pytest.mark.parametrize("batch", [4, "n"])
@pytest.mark.parametrize(
    ("frames", "window"), [(20, ""), ("t", "window = 20"), ("t", ""), ("t", "window = 20\nhop = 15")]
)
def test_log_mel(tmp_path, batch, frames, window):
    toml = MEL.format(axes='["window", "frame", "band"]', window=window)
    extractor = get_extractor(write_model(tmp_path, [batch, frames, 96], toml, 1))
    vector = extractor(SOUND)
    from folksong.audio.log_mel import log_mel, read_preset

    mel = log_mel(SOUND, read_preset("pons2018"))
    assert extractor.space.dimensions == len(vector) == 96
    assert extractor.space.model == "means"
    starts = [0] if frames == "t" and not window else [0, 15, 30, 43] if "hop" in window else [0, 14, 28, 43]
    assert extractor.space.revision == ("hop 15" if "hop" in window else "")
    length = mel.shape[1] if frames == "t" and not window else 20
    wanted = np.mean([mel[:, start : start + length].mean(1) for start in starts], 0)
    np.testing.assert_allclose(vector, wanted, rtol=1e-4)


def test_bands_before_frames_and_a_channel(tmp_path):
    toml = MEL.format(axes='["window", "channel", "band", "frame"]', window="window = 20")
    vector = get_extractor(write_model(tmp_path, [1, 1, 96, 20], toml, 3))(SOUND)
    assert vector.shape == (96,)
    assert vector.std() > 0.01


@pytest.mark.parametrize("axes", ['["sample"]', '["window", "sample"]', '["window", "channel", "sample"]'])
def test_samples(tmp_path, axes):
    toml = f'model = "samples"\nsample_rate = 8000\ninput = "samples"\naxes = {axes}\nwindow = 100\npool = "max"\n'
    shape = [100] if axes.count('"') == 2 else [1, *[1] * (axes.count(",") - 1), 100]
    extractor = get_extractor(write_model(tmp_path, shape, toml, 0, operator="Identity"))
    assert extractor.sample_rate == 8000
    vector = extractor(np.arange(200, dtype=np.float32))
    np.testing.assert_array_equal(vector, np.arange(100, 200))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("sample_rate", "sample_rat"),
            r"model\.toml: unknown setting 'sample_rat'; did you mean 'sample_rate'",
        ),
        (("sample_rate = 16000", ""), r"model\.toml: missing sample_rate"),
        (('"band"]', '"note"]'), "axes of log-mel are"),
        (('input = "log-mel"', 'input = "midi"'), "input must be log-mel or samples"),
        (("n_fft = 512", "n_fft = 511"), "n_fft must be even"),
        (("[mel]", "[mel"), r"model\.toml: "),
        (("n_mels = 96", "n_mels = 64"), "takes 96 mel bands, but its description says 64"),
        (("[mel]", 'output = "tags"\n[mel]'), "has no output 'tags'; it has embeddings"),
        (("[mel]", "window = 30\n[mel]"), "takes windows of 20, but its description says 30"),
        (('"window", ', ""), "which .* do not fit"),
    ],
)
def test_descriptions_that_do_not_fit(tmp_path, change, message):
    toml = MEL.format(axes='["window", "frame", "band"]', window="").replace(*change)
    with pytest.raises(FolksongError, match=message):
        get_extractor(write_model(tmp_path, [1, 20, 96], toml, 1))


def test_unknown_operators_are_named(tmp_path):
    toml = MEL.format(axes='["window", "frame", "band"]', window="")
    name = write_model(tmp_path, [1, 20, 96], toml, 1, operator="HearMusic")
    with pytest.raises(FileFormatError, match=r"model\.onnx: .*HearMusic"):
        get_extractor(name)


def test_weights_outside_the_folder_are_refused(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "secret.bin"
    inside.mkdir()
    outside.write_bytes(np.ones(1, np.float32).tobytes())
    toml = MEL.format(axes='["window", "frame", "band"]', window="")
    name = write_model(inside, [1, 20, 96], toml, 1, operator="Add")
    model = onnx.load(inside / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for place in ("../secret.bin", str(outside)):
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=place)
        (inside / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(
            FileFormatError, match=r"keeps weights in '.*secret\.bin', outside its own folder"
        ):
            get_extractor(name)
    (inside / "weights.bin").write_bytes(outside.read_bytes())
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value="weights.bin")
    (inside / "model.onnx").write_bytes(model.SerializeToString())
    assert get_extractor(name)(SOUND).shape == (96,)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(FolksongError, match="no such ONNX model"):
        get_extractor(f"onnx:{tmp_path}/none.onnx")
    (tmp_path / "a.onnx").write_bytes(b"not a model")
    with pytest.raises(FolksongError, match=r"a\.toml: no such file"):
        get_extractor(f"onnx:{tmp_path}/a.onnx")
    (tmp_path / "a.toml").write_text(MEL.format(axes='["frame", "band"]', window=""))
    with pytest.raises(FileFormatError, match=r"a\.onnx: onnxruntime cannot load it"):
        get_extractor(f"onnx:{tmp_path}/a.onnx")
