"""The networks against Keras: same weights, same outputs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from folksong.errors import FolksongError
from folksong.export.keras_file import load_keras_weights
from folksong.models.tagger import Tagger

HERE = Path(__file__).parent
FRONT_ENDS = ("waveform", "log-mel-spectrogram")

spec = importlib.util.spec_from_file_location("keras_golden", HERE / "keras_golden.py")
assert spec is not None
assert spec.loader is not None
keras_golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(keras_golden)


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "keras_golden.npz") as arrays:
        return dict(arrays)


def tagger_and_weights(front_end, golden):
    sizes = dict(keras_golden.SIZES)
    tagger = Tagger(front_end, sizes.pop("n_labels"), **sizes)
    weights = {}
    for name, shapes in golden.items():
        owner, _, layer = name.partition("/")
        if owner == front_end and layer:
            weights[layer] = keras_golden.layer_weights(
                layer, [tuple(int(n) for n in shape if n) for shape in shapes]
            )
    return tagger.eval(), weights


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_outputs_equal_those_of_keras(front_end, golden):
    tagger, weights = tagger_and_weights(front_end, golden)
    load_keras_weights(tagger, weights)
    with torch.inference_mode():
        outputs = torch.sigmoid(tagger(torch.from_numpy(keras_golden.inputs(front_end)))).numpy()
    np.testing.assert_allclose(outputs, golden[front_end], atol=2e-5)
    assert np.ptp(golden[front_end]) > 0.5  # the golden outputs are not all alike


def test_weights_of_the_other_front_end_are_refused_by_name(golden):
    _, weights = tagger_and_weights("waveform", golden)
    tagger, _ = tagger_and_weights("log-mel-spectrogram", golden)
    with pytest.raises(FolksongError, match=r"no layer 'conv1_spec'"):
        load_keras_weights(tagger, weights)


def test_weights_of_another_shape_are_refused_by_name(golden):
    tagger, weights = tagger_and_weights("waveform", golden)
    weights["dense2_back"] = [weights["dense2_back"][0][:, :3], weights["dense2_back"][1][:3]]
    with pytest.raises(FolksongError, match=r"'dense2_back' gives weight \(3, 8\), not \(5, 8\)"):
        load_keras_weights(tagger, weights)
    weights["dense2_back"] = []
    with pytest.raises(FolksongError, match=r"'dense2_back' has 0 arrays instead of 2"):
        load_keras_weights(tagger, weights)
