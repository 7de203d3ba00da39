"""The networks of the package musicnn 0.1.0 (Pons & Serra 2019, "musicnn: pre-trained convolutional neural networks for
music audio tagging"): log-mel-spectrograms of 3 s -> layers and 50 tags, with weights as TensorFlow stored them.

Spectrograms are (batch, frames, bands). Batch norms add 0.001 to the variance; TensorFlow pads a filter of an even
length by one frame less before than after.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.audio.decode import check_samples
from folksong.audio.log_mel import log_mel, read_preset
from folksong.embeddings.pooling import Pool, Pooling, Vector
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.models.front_ends import LOG_MEL
from folksong.models.hardware import keep_memory, one_thread
from folksong.models.pretrained.highest_band import ManyBandFilters, OneBandFilters
from folksong.models.pretrained.weights import VERSION, read_weights
from folksong.shards.window_positions import spread

N_MELS, N_FRAMES, N_TAGS = 96, 187, 50
EPSILON = 1e-3
LEAST_EFFECT = 2e-6
"""Of a filter: the sum of its absolute weights times its norm's scale. What is heard lies within 4 of 0."""
TIMBRAL_HEIGHTS, TIMBRAL_FRAMES, N_TIMBRAL = (38, 67), 7, 204  # 0.4 and 0.7 of the bands
TEMPORAL_FRAMES, N_TEMPORAL = (128, 64, 32), 51
N_MIDDLE, N_DENSE = 64, 200
VGG_POOLS = (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4)))
N_VGG = 128

Layers = dict[str, Tensor]
Array = npt.NDArray[Any]
Weights = Mapping[str, Array]


class PooledFilters(nn.Module):
    """Filters over frames and bands, rectified and normed; of all bands the highest answer stays.

    The decay of weights has made most filters of these networks 0 (of musicnn-msd nine of ten): their answer is the
    same whatever is heard, and only the others are computed (`select`).
    """

    alive: Tensor

    def __init__(self, n_filters: int, length: int, height: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, n_filters, (length, height))
        self.norm = nn.BatchNorm2d(n_filters, EPSILON)
        self.padding = (0, 0, (length - 1) // 2, length // 2)
        self.n_answers = N_MELS - height + 1  # over bands
        self.register_buffer("alive", torch.ones(n_filters, dtype=torch.bool))

    def select(self) -> None:
        """Find the filters whose answers vary; one is kept where none does."""
        effects = self.conv.weight.abs().sum((1, 2, 3)) * self.scale().abs()
        self.alive.copy_(effects >= effects.max().clamp(max=LEAST_EFFECT))

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, 1, frames, bands) -> (batch, frames, n_filters).

        The norm, whose statistics never change, is applied to the answers that are the highest after it.
        """
        kernel, bias = self.upright()
        alive = self.alive.nonzero()[:, 0]
        answers = functional.conv2d(functional.pad(pictures, self.padding), kernel[alive, None], bias[alive])
        highest = functional.max_pool2d(answers, (1, self.n_answers)).squeeze(3)
        every = _with_constant(highest, self.alive, bias) * self.signs()[:, None]
        normed: Tensor = self.norm(functional.relu(every)[..., None])
        return normed.squeeze(3).transpose(1, 2)

    def signs(self) -> Tensor:
        """Return those of the norm's scales (n_filters,)."""
        return torch.where(self.norm.weight < 0, -1.0, 1.0)

    def scale(self) -> Tensor:
        """Return the norm's scales (n_filters,)."""
        return self.norm.weight * torch.rsqrt(cast(Tensor, self.norm.running_var) + EPSILON)

    def upright(self) -> tuple[Tensor, Tensor]:
        """Return kernel (n_filters, length, height) and bias, their signs turned where the norm's scale is negative.

        What is normed highest of the turned answers is the highest.
        """
        signs = self.signs()
        return self.conv.weight[:, 0] * signs[:, None, None], cast(Tensor, self.conv.bias) * signs


def _with_constant(answers: Tensor, alive: Tensor, bias: Tensor) -> Tensor:
    """(batch, alive filters, frames) -> (batch, n_filters, frames): all others answer with their bias."""
    place = (alive.long().cumsum(0) - 1).clamp(min=0)
    return torch.where(alive[:, None], answers[:, place], bias[:, None])


class VaryingFilters(nn.Conv1d):
    """Filters over time that keep its length, of which only those are computed whose answers vary."""

    alive: Tensor

    def __init__(self, n_features: int, n_filters: int, length: int) -> None:
        super().__init__(n_features, n_filters, length, padding=length // 2)
        self.register_buffer("alive", torch.ones(n_filters, dtype=torch.bool))

    def select(self) -> None:
        """Find the filters whose answers vary; one is kept where none does."""
        effects = self.weight.abs().sum((1, 2))
        self.alive.copy_(effects >= effects.max().clamp(max=LEAST_EFFECT))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_features, frames) -> (batch, n_filters, frames)."""
        alive, bias = self.alive.nonzero()[:, 0], cast(Tensor, self.bias)
        answers = functional.conv1d(x, self.weight[alive], bias[alive], padding=self.padding)
        return _with_constant(answers, self.alive, bias)


class _Fast:
    """The front-end of a `Musicnn` that is not trained any more, on a processor; see `highest_band`."""

    def __init__(self, timbral: list[PooledFilters], temporal: list[PooledFilters]) -> None:
        blocks = [*timbral, *temporal]
        kernels = [block.upright()[0][block.alive] for block in blocks]
        self.timbral = ManyBandFilters(kernels[: len(timbral)], N_MELS)
        self.temporal = OneBandFilters([kernel[:, :, 0] for kernel in kernels[len(timbral) :]])
        self.alive = torch.cat([block.alive for block in blocks]).nonzero()[:, 0]
        self.signs = torch.cat([block.signs() for block in blocks])
        self.bias = torch.cat([block.upright()[1] for block in blocks])
        self.scale = torch.cat([block.scale() for block in blocks])
        means = torch.cat([cast(Tensor, block.norm.running_mean) for block in blocks])
        self.offset = torch.cat([block.norm.bias for block in blocks]) - means * self.scale

    def __call__(self, pictures: Tensor) -> Tensor:
        """(batch, 1, frames, bands) -> (batch, frames, all filters)."""
        found = torch.cat([self.timbral(pictures[:, 0]), self.temporal(pictures[:, 0])], 2)
        answers = self.bias.repeat(*found.shape[:2], 1)
        answers[:, :, self.alive] += found
        answers.mul_(self.signs).relu_()
        return answers.mul_(self.scale).add_(self.offset)


class Musicnn(nn.Module):
    """The musically motivated network: timbral and temporal filters, three residual layers, two pools over time."""

    n_features = 2 * N_TIMBRAL + 3 * N_TEMPORAL + 3 * N_MIDDLE  # 753
    _fast: _Fast | None = None

    def __init__(self) -> None:
        super().__init__()
        n_front = 2 * N_TIMBRAL + 3 * N_TEMPORAL
        self.norm = nn.BatchNorm2d(1, EPSILON)
        self.timbral = nn.ModuleList(
            PooledFilters(N_TIMBRAL, TIMBRAL_FRAMES, height) for height in TIMBRAL_HEIGHTS
        )
        self.temporal = nn.ModuleList(PooledFilters(N_TEMPORAL, length, 1) for length in TEMPORAL_FRAMES)
        self.middle = nn.ModuleList(VaryingFilters(n, N_MIDDLE, 7) for n in (n_front, N_MIDDLE, N_MIDDLE))
        self.middle_norms = nn.ModuleList(nn.BatchNorm1d(N_MIDDLE, EPSILON) for _ in range(3))
        self.pool_norm = nn.BatchNorm1d(2 * self.n_features, EPSILON)
        self.dense = nn.Linear(2 * self.n_features, N_DENSE)
        self.dense_norm = nn.BatchNorm1d(N_DENSE, EPSILON)
        self.output = nn.Linear(N_DENSE, N_TAGS)

    def forward(self, spectrograms: Tensor) -> Layers:
        """(batch, frames, 96) -> the package's layers by name, (batch, steps, features) each, and ``tags`` (logits)."""
        pictures = self.norm(spectrograms[:, None])
        if self._fast is None or pictures.device.type != "cpu":
            front = torch.cat([block(pictures) for block in (*self.timbral, *self.temporal)], 2)
        else:
            front = self._fast(pictures)
        levels, x = [front.transpose(1, 2)], front.transpose(1, 2)
        for number, (conv, norm) in enumerate(zip(self.middle, self.middle_norms, strict=True)):
            x = norm(functional.relu(conv(x))) + (x if number else 0)
            levels.append(x)
        features = torch.cat(levels, 1)
        pooled = torch.stack([features.amax(2), features.mean(2)], 2).flatten(1)
        penultimate = self.dense_norm(functional.relu(self.dense(self.pool_norm(pooled))))
        timbral, temporal = torch.split(front, [2 * N_TIMBRAL, 3 * N_TEMPORAL], 2)
        return {
            "timbral": timbral,
            "temporal": temporal,
            **{f"cnn{number}": levels[number].transpose(1, 2) for number in (1, 2, 3)},
            "features": features.transpose(1, 2),
            "penultimate": penultimate[:, None],
            "tags": self.output(penultimate)[:, None],
        }

    def load(self, weights: Weights) -> None:
        """Take the weights of a checkpoint."""
        blocks = [cast(PooledFilters, block) for block in (*self.timbral, *self.temporal)]
        convs = [*(block.conv for block in blocks), *self.middle]
        norms = [
            self.norm,
            *(block.norm for block in blocks),
            *self.middle_norms,
            self.pool_norm,
            self.dense_norm,
        ]
        for number, norm in enumerate(norms):
            _fill_norm(norm, weights, number)
        for number, conv in enumerate(convs):
            _fill(conv, weights, _numbered("conv2d", number), _picture if number < len(blocks) else _sequence)
        for filters in (*blocks, *self.middle):
            cast(PooledFilters, filters).select()
        _fill(self.dense, weights, "dense", _dense)
        _fill(self.output, weights, "dense_1", _dense)

    def prepare(self) -> "Musicnn":
        """Make it ready to hear on a processor, and never to be trained again; return it."""
        self.eval().requires_grad_(False)
        self._fast = _Fast(
            [cast(PooledFilters, block) for block in self.timbral],
            [cast(PooledFilters, block) for block in self.temporal],
        )
        return self


class Vgg(nn.Module):
    """Five layers of 3 by 3 filters with pools between them: the package's baseline."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, EPSILON)
        self.convs = nn.ModuleList(nn.Conv2d(N_VGG if n else 1, N_VGG, 3, padding=1) for n in range(5))
        self.norms = nn.ModuleList(nn.BatchNorm2d(N_VGG, EPSILON) for _ in range(5))
        self.output = nn.Linear(2 * N_VGG, N_TAGS)

    def forward(self, spectrograms: Tensor) -> Layers:
        """(batch, 187, 96) -> the package's layers by name, (batch, steps, features) each, and ``tags`` (logits).

        A step is a frame and a band, the bands of a frame side by side.
        """
        x = self.norm(spectrograms[:, None]).contiguous(memory_format=torch.channels_last)
        layers = {}
        for number, (conv, norm, pool) in enumerate(
            zip(self.convs, self.norms, VGG_POOLS, strict=True), start=1
        ):
            x = functional.max_pool2d(norm(functional.relu(conv(x))), *pool)
            layers[f"pool{number}"] = x.flatten(2).transpose(1, 2)
        layers["tags"] = self.output(layers["pool5"].flatten(1))[:, None]
        return layers

    def load(self, weights: Weights) -> None:
        """Take the weights of a checkpoint."""
        for number, norm in enumerate([self.norm, *self.norms]):
            _fill_norm(norm, weights, number)
        for number, conv in enumerate(self.convs, start=1):
            _fill(conv, weights, f"{number}CNN", _picture)
        _fill(self.output, weights, "dense", _dense)

    def prepare(self) -> "Vgg":
        """Make it ready to hear; return it."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self.eval().requires_grad_(False)


PRESET = read_preset("musicnn")
"""Spectrograms as the package computed them, but never in its 16-bit floats, which loud music overflows."""
WINDOW_SECONDS = N_FRAMES * PRESET.hop_length / PRESET.sample_rate  # 2.992
WINDOWS_AT_ONCE = 10
LICENCE = "ISC"
DEFAULT_LAYERS = {"musicnn": "features", "vgg": "pool3+pool4+pool5"}
DEFAULT_POOL: Pool = "mean+max"


def read_network(name: str, weights: str | os.PathLike[str] | None = None) -> tuple[Musicnn | Vgg, str]:
    """Return ``musicnn-mtt``, ``musicnn-msd``, ``vgg-mtt`` or ``vgg-msd``, ready to hear, and its weights' SHA-256.

    `weights` are as in `folksong.models.pretrained.weights.read_weights`.
    """
    kind, corpus = name.split("-")
    found = read_weights(f"{corpus.upper()}_{kind}", weights)
    network = new_network(name)
    try:
        network.load(found.tensors)
    except FileFormatError as error:
        raise FileFormatError(f"{name}: {error}") from error
    return network.prepare(), found.sha256


def new_network(name: str) -> Musicnn | Vgg:
    """Return a network of a name's kind with random weights."""
    return Musicnn() if name.startswith("musicnn") else Vgg()


def windows_of(spectrogram: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the windows of a spectrogram (n_mels, frames), some at a time: (windows, 187, n_mels).

    They lie side by side, evenly spread (`spread`); what is shorter than a window is repeated, as in the training.
    """
    frames = spectrogram.T
    if len(frames) < N_FRAMES:
        frames = np.take(frames, np.arange(N_FRAMES) % len(frames), axis=0)
    starts = spread(len(frames), N_FRAMES)
    for first in range(0, len(starts), WINDOWS_AT_ONCE):
        yield np.stack(
            [frames[start : start + N_FRAMES] for start in starts[first : first + WINDOWS_AT_ONCE]]
        )


class PretrainedTagger(nn.Module):
    """A network as prediction calls a `Tagger`: log-mel-spectrograms (batch, 96, 187) -> logits (batch, 50)."""

    minimum_steps = N_FRAMES

    def __init__(self, network: Musicnn | Vgg) -> None:
        super().__init__()
        self.network = network
        self.settings: dict[str, Any] = {"front_end": LOG_MEL, "n_labels": N_TAGS, "n_mels": N_MELS}

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(spectrograms.transpose(1, 2))["tags"][:, 0]
        return logits


def read_tags_of(name: str) -> tuple[str, ...]:
    """Return the 50 tags of a network, in the order of its outputs.

    >>> read_tags_of("musicnn-msd")[:3]
    ('rock', 'pop', 'alternative')
    """
    file = resources.files("folksong.models.pretrained").joinpath("musicnn_tags.json")
    tags: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    return tuple(tags[name.split("-")[1].upper()])


class MusicnnExtractor:
    """An extractor that takes layers of one of the networks; see `folksong.models.pretrained.extractors`."""

    def __init__(
        self,
        name: str,
        *,
        weights: str | os.PathLike[str] | None = None,
        layer: str | None = None,
        pool: Pool | None = None,
    ) -> None:
        keep_memory()
        self.network, sha256 = read_network(name, weights)
        self.pool: Pool = pool or DEFAULT_POOL
        self.layers = (layer or DEFAULT_LAYERS[name.split("-")[0]]).split("+")
        self.sample_rate = PRESET.sample_rate
        with torch.inference_mode():
            found = self.network(torch.zeros(1, N_FRAMES, N_MELS))
        for one in self.layers:
            if one not in found:
                raise FolksongError(
                    f"{name} has no layer {one!r}; it has {', '.join(found)}{nearest(one, list(found))}"
                )
        self.space = EmbeddingSpace(
            model=name,
            revision=VERSION,
            layer="+".join(self.layers),
            pool=self.pool,
            sample_rate=self.sample_rate,
            window_seconds=WINDOW_SECONDS,
            licence=LICENCE,
            sha256=sha256,
            dimensions=sum(found[one].shape[2] for one in self.layers) * (2 if "+" in self.pool else 1),
        )

    def __call__(self, samples: Vector) -> Vector:
        """Return the embedding; see `folksong.models.pretrained.extractors.Extractor`."""
        pooled = {layer: Pooling(self.pool) for layer in self.layers}
        with torch.inference_mode(), one_thread(blas=True):
            for windows in windows_of(log_mel(check_samples(samples), PRESET)):
                found = self.network(torch.from_numpy(windows))
                for layer, pooling in pooled.items():
                    pooling.add(found[layer].numpy())
        return np.concatenate([pooling.result() for pooling in pooled.values()])


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _fill(layer: nn.Module, weights: Weights, name: str, turn: Callable[[Array], Array]) -> None:
    """Copy a kernel, turned as PyTorch has it, and a bias."""
    _copy(layer, weights, {"weight": f"{name}/kernel", "bias": f"{name}/bias"}, turn)


def _fill_norm(layer: nn.Module, weights: Weights, number: int) -> None:
    name = _numbered("batch_normalization", number)
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    _copy(layer, weights, {ours: f"{name}/{theirs}" for ours, theirs in names.items()}, lambda array: array)


def _copy(layer: nn.Module, weights: Weights, names: dict[str, str], turn: Callable[[Array], Array]) -> None:
    state = layer.state_dict()
    for ours, name in names.items():
        if name not in weights:
            raise FileFormatError(f"the checkpoint has no {name!r}: it is of another network")
        array = turn(weights[name]) if ours == "weight" else weights[name]
        if array.shape != state[ours].shape:
            raise FileFormatError(f"{name!r} is of shape {weights[name].shape}: it is of another network")
        state[ours].copy_(torch.from_numpy(np.array(array, np.float32)))


def _picture(kernel: Array) -> Array:
    """(frames, bands, in, out) -> (out, in, frames, bands)."""
    return kernel.transpose(3, 2, 0, 1)


def _sequence(kernel: Array) -> Array:
    """(frames, features, 1, out) -> (out, features, frames)."""
    return kernel[:, :, 0].transpose(2, 1, 0)


def _dense(kernel: Array) -> Array:
    return kernel.T
