"""Weights of the earlier project's Keras models, laid out for a `Tagger`.

Keras stores a convolution's kernel as (length, in, out) or (height, width, in, out) and a dense kernel as (in, out);
the second back-end axis of its convolutions is the features, which here are channels; and its pooled features go
maximum, mean, maximum, mean, … filter by filter, where here all maxima come before all means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from folksong.errors import FolksongError
from folksong.models.front_ends import WAVEFORM, WAVEFORM_FILTERS, LogMelFrontEnd
from folksong.models.tagger import Tagger

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
    """Copy Keras weights into `tagger`.

    Args:
        tagger: the model to fill; its sizes must be those of the Keras model.
        weights: Keras layer name -> its arrays in Keras' order: kernel and bias, or gamma, beta, moving mean and
            moving variance.

    Raises:
        FolksongError: a layer is missing, has another number of arrays or other shapes; the message names it.
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
