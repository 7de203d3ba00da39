"""Models of the earlier project, read without TensorFlow: Keras 2 files (``mymodel.h5``) and TensorFlow's checkpoints
(``epoch3-1.index`` and ``epoch3-1.data-00000-of-00001``).

Keras stores a convolution's kernel as (length, in, out) or (height, width, in, out) and a dense kernel as (in, out);
the second back-end axis of its convolutions is the features, which here are channels; and its pooled features go
maximum, mean, maximum, mean, … filter by filter, where here all maxima come before all means.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from folksong.audio.log_mel import read_preset
from folksong.errors import FolksongError
from folksong.export.folder import write_folder
from folksong.files import sha256_file
from folksong.labels.space import LabelSpace
from folksong.models.front_ends import (
    LOG_MEL,
    TIMBRAL_LENGTHS,
    TIMBRAL_SHARES,
    WAVEFORM,
    WAVEFORM_FILTERS,
    LogMelFrontEnd,
)
from folksong.models.pretrained.weights import (
    Weights,
    is_tf_checkpoint,
    read_keras_weights,
    read_tf_checkpoint,
)
from folksong.models.tagger import Tagger
from folksong.prediction.windows import AudioInput

ARRAYS = ("kernel", "gamma", "bias", "beta", "moving_mean", "moving_variance")  # of a layer, in Keras' order
TIMBRAL_FIRST = ("conv1_spec", f"conv{1 + len(TIMBRAL_LENGTHS)}_spec")  # of each of TIMBRAL_SHARES
USUAL_MELS = sorted(range(1, 513), key=lambda n_mels: n_mels % 8 != 0)


def read_checkpoint_weights(path: str | os.PathLike[str]) -> Weights:
    """Return layer name -> its arrays, in Keras' order, of a checkpoint that TensorFlow wrote of a model.

    `path` is the ``.index`` file, or its name without that. What the optimizer keeps is left out.
    """
    layers: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    for name, array in read_tf_checkpoint(path).items():
        layer, _, kind = name.partition("/")
        if kind in ARRAYS:
            layers.setdefault(layer, {})[kind] = np.array(array, np.float32)
    return {layer: [arrays[kind] for kind in ARRAYS if kind in arrays] for layer, arrays in layers.items()}


def keras_sizes(weights: Mapping[str, list[npt.NDArray[np.float32]]], n_mels: int) -> dict[str, Any]:
    """Return the arguments of a `Tagger` for these weights.

    The heights of the timbral filters say how many mel bands they were made for; where several numbers fit, that is
    `n_mels`, or else a multiple of 8.
    """
    missing = [name for name in ("dense1_back", "dense2_back") if len(weights.get(name, ())) != 2]
    if missing or not ("conv0_wave" in weights or "conv1_spec" in weights):
        found = ", ".join(list(weights)[:5]) or "none"
        raise FolksongError(f"not a tagger of the earlier project: its layers are {found}, …")
    sizes: dict[str, Any] = {
        "n_dense_units": weights["dense1_back"][0].shape[1],
        "labels": weights["dense2_back"][0].shape[1],
    }
    if "conv0_wave" in weights:
        return {"front_end": WAVEFORM, **sizes}
    heights = [weights[layer][0].shape[0] for layer in TIMBRAL_FIRST if weights.get(layer)]
    fitting = (n for n in (n_mels, *USUAL_MELS) if [int(share * n) for share in TIMBRAL_SHARES] == heights)
    if (n_mels := next(fitting, 0)) == 0:
        raise FolksongError(f"no number of mel bands has filters over {heights} bands, as this model")
    n_filters = weights[TIMBRAL_FIRST[0]][0].shape[3]
    return {"front_end": LOG_MEL, **sizes, "n_filters": n_filters, "n_mels": n_mels}


def import_keras(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    labels: LabelSpace,
    *,
    preset: str = "urop2019",
    window_seconds: float = 15.0,
    sample_rate: int = 16000,
) -> Path:
    """Turn a model of the earlier project into an exported folder, and return it.

    The Keras model left it to its data pipeline to standardise windows; here the tagger does it, each on its own.

    Args:
        path: ``mymodel.h5``, a Keras model or its weights, or a TensorFlow checkpoint's ``.index``.
        folder: where to.
        labels: the outputs, in order.
        preset: features of a log-mel model, but for the number of mel bands, which its filters tell.
        window_seconds: its window.
        sample_rate: Hz, of a waveform model.

    Raises:
        FolksongError: layers or shapes are not those of the networks, or the labels are of another number.
    """
    features = read_preset(preset)
    checkpoint = is_tf_checkpoint(path)
    weights = read_checkpoint_weights(path) if checkpoint else read_keras_weights(path)
    sizes = keras_sizes(weights, features.n_mels)
    n_outputs = sizes.pop("labels")
    if n_outputs != len(labels):
        raise FolksongError(f"{path}: the model has {n_outputs} outputs, but there are {len(labels)} labels")
    tagger = Tagger(labels=labels, **sizes)
    load_keras_weights(tagger, weights)
    log_mel = sizes["front_end"] == LOG_MEL
    features = replace(features, n_mels=sizes.get("n_mels", features.n_mels))
    rate = features.sample_rate if log_mel else sample_rate
    audio = AudioInput(rate, window_seconds, features if log_mel else None)
    file = f"{os.fspath(path).removesuffix('.index')}.data-00000-of-00001" if checkpoint else path
    made_from = {"keras_sha256": sha256_file(file), "labels_sha256": labels.sha256()}
    return write_folder(folder, tagger, audio, made_from=made_from)


Arrays = npt.NDArray[np.float32]


def _curve(kernel: Arrays) -> Arrays:
    """(length, in, out) -> (out, in, 1, length)."""
    return kernel.transpose(2, 1, 0)[:, :, None, :]


def _picture(kernel: Arrays) -> Arrays:
    """(height, length, in, out) -> (out, in, height, length)."""
    return kernel.transpose(3, 2, 0, 1)


def _sequence(kernel: Arrays) -> Arrays:
    """(length, features, 1, out) -> (out, features, 1, length)."""
    return kernel.transpose(3, 1, 2, 0)


def _dense(kernel: Arrays) -> Arrays:
    return kernel.T


def _pooled(kernel: Arrays) -> Arrays:
    """(max, mean, max, mean, …; out) -> (out; all maxima, all means)."""
    return np.concatenate([kernel[0::2], kernel[1::2]]).T


def keras_layers(tagger: Tagger) -> dict[str, tuple[str, Callable[[Arrays], Arrays] | None]]:
    """Return Keras layer name -> (our module, how its kernel is turned), None for a batch norm."""
    layers: dict[str, tuple[str, Callable[[Arrays], Arrays] | None]] = {}
    if tagger.settings["front_end"] == WAVEFORM:
        modules = ["first", *(f"blocks.{number}" for number in range(len(WAVEFORM_FILTERS)))]
        for number, module in enumerate(modules):
            layers[f"conv{number}_wave"] = (f"front_end.{module}.conv", _curve)
            layers[f"bn{number}_wave"] = (f"front_end.{module}.norm", None)
    else:
        assert isinstance(tagger.front_end, LogMelFrontEnd)
        timbral = len(tagger.front_end.timbral)
        for number in range(timbral + len(tagger.front_end.temporal)):
            kind = f"timbral.{number}" if number < timbral else f"temporal.{number - timbral}"
            turn = _picture if number < timbral else _curve
            layers[f"conv{number + 1}_spec"] = (f"front_end.{kind}.conv", turn)
            layers[f"bn{number + 1}_spec"] = (f"front_end.{kind}.norm", None)
    for number, module in enumerate(("adapt", "residual1", "residual2"), start=1):
        layers[f"conv{number}_back"] = (f"back_end.{module}.conv", _sequence)
        layers[f"bn{number}_back"] = (f"back_end.{module}.norm", None)
    layers["dense1_back"] = ("back_end.dense", _pooled)
    layers["bn_dense_back"] = ("back_end.norm", None)
    layers["dense2_back"] = ("back_end.output", _dense)
    return layers


def load_keras_weights(tagger: Tagger, weights: Mapping[str, Sequence[Arrays]]) -> None:
    """Copy Keras weights, layer name -> its arrays in Keras' order, into a `tagger` of the same sizes.

    The arrays are kernel and bias, or gamma, beta, moving mean and moving variance.
    """
    state: dict[str, torch.Tensor] = dict(tagger.state_dict())
    for layer, (module, turn) in keras_layers(tagger).items():
        if layer not in weights:
            raise FolksongError(f"the Keras model has no layer {layer!r}: is it of the other front-end?")
        arrays = weights[layer]
        names = ("weight", "bias") if turn else ("weight", "bias", "running_mean", "running_var")
        if len(arrays) != len(names):
            raise FolksongError(f"the Keras layer {layer!r} has {len(arrays)} arrays instead of {len(names)}")
        for name, array in zip(names, arrays, strict=True):
            turned = turn(np.asarray(array)) if turn and name == "weight" else np.asarray(array)
            wanted = tuple(state[f"{module}.{name}"].shape)
            if turned.shape != wanted:
                raise FolksongError(f"the Keras layer {layer!r} gives {name} {turned.shape}, not {wanted}")
            state[f"{module}.{name}"] = torch.from_numpy(np.ascontiguousarray(turned, np.float32))
    tagger.load_state_dict(state)
