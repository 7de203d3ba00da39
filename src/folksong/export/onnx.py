"""A tagger as one ONNX graph: waveform in, label scores out, with the log-mel front inside.

Input ``waveform`` float32 (batch, samples) at the sample rate in the metadata, output ``scores`` (batch, n_labels)
in 0 to 1. Both axes of the input are free; a clip shorter than the least length must be repeated by the caller, and a
long recording is best cut into windows of ``window_seconds``, whose scores are averaged.
"""

import json
import math
import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.audio.log_mel import FeaturePreset, analysis_window, mel_filterbank
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import FolksongError, needs_extra
from folksong.files import atomic_path
from folksong.models.checkpoint import load_head, load_model
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained.extractors import NETWORKS
from folksong.models.pretrained.musicnn import PRESET
from folksong.models.pretrained.network_with_head import NetworkWithHead
from folksong.models.pretrained.onnx import HASH_KEY, sha256_of_model
from folksong.runs import Run, stored_thresholds

OPSET = 17
EXAMPLE_SECONDS = 7  # of audio, with which a graph for any length is traced


class Spectrogram(nn.Module):
    """Log-mel-spectrograms of whole clips, by the definition of `folksong.audio.log_mel`.

    The Fourier transform is one strided convolution, which every runtime has. Its float32 sums carry an error of
    about 3e-6 of a frame's loudest partial, so that bands 80 dB below it may be off by a few tenths of a decibel.
    """

    kernels: Tensor
    filters: Tensor

    def __init__(self, preset: FeaturePreset) -> None:
        super().__init__()
        self.preset = preset
        n_bins = preset.n_fft // 2 + 1
        # The phase is computed from whole numbers modulo n_fft, so that it is exact however large the product.
        turns = np.outer(np.arange(n_bins), np.arange(preset.n_fft)) % preset.n_fft
        phase = turns * (2 * math.pi / preset.n_fft)
        waves = np.concatenate([np.cos(phase), np.sin(phase)]) * analysis_window(preset.n_fft).astype(
            np.float64
        )
        self.register_buffer("kernels", torch.from_numpy(waves.astype(np.float32))[:, None])
        filters = np.array(mel_filterbank(preset.sample_rate, preset.n_fft, preset.n_mels))
        self.register_buffer("filters", torch.from_numpy(filters))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, samples) -> (batch, n_mels, 1 + samples // hop)."""
        preset = self.preset
        half = preset.n_fft // 2
        padded = functional.pad(x[:, None], (half, half), mode=preset.pad_mode)
        parts = functional.conv1d(padded, self.kernels, stride=preset.hop_length).square()
        n_bins = preset.n_fft // 2 + 1
        mel = torch.matmul(self.filters, parts[:, :n_bins] + parts[:, n_bins:])
        if preset.scaling == "log10":
            if preset.gain is None:
                raise FolksongError("a log10 preset needs a gain")
            return torch.log10(1 + preset.gain * mel)
        if preset.amin is None:
            raise FolksongError("a decibel preset needs amin")
        decibels = 10 * torch.log10(mel.clamp(min=preset.amin))
        if preset.top_db is not None:
            loudest = decibels.amax(dim=(1, 2), keepdim=True)
            decibels = torch.maximum(decibels, loudest - preset.top_db)
        return decibels


class NetworksWithHead(nn.Module):
    """Pretrained networks side by side and the head on them: spectrograms (batch, 96, frames) -> logits.

    Args:
        space: of the embeddings that the head takes; all its parts are networks that come with folksong.
        head: the head.

    Raises:
        FolksongError: the networks' weights are not here, or others.
    """

    def __init__(self, space: EmbeddingSpace, head: EmbeddingHead) -> None:
        super().__init__()
        of_each = (text.split(", ") for text in (space.layer, space.pool))
        parts = zip(space.model.split("+"), *of_each, strict=True)
        self.parts = nn.ModuleList(NetworkWithHead(name, head, layer, pool) for name, layer, pool in parts)
        self.head = head
        for part, sha256 in zip(self.parts, space.sha256.split(", "), strict=True):
            if cast(NetworkWithHead, part).load_pretrained() != sha256:
                raise FolksongError(
                    f"the head takes embeddings of {space}, whose weights are others than those here"
                )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the logits."""
        embeddings = [cast(NetworkWithHead, part).embed(spectrograms) for part in self.parts]
        logits: Tensor = self.head(torch.cat(embeddings, 1))
        return logits


class TaggerGraph(nn.Module):
    """What is exported: audio front (None for a network that hears waveforms, and a head alone), tagger, sigmoid."""

    def __init__(self, tagger: nn.Module, front: Spectrogram | None) -> None:
        super().__init__()
        self.tagger, self.front = tagger, front

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> (batch, n_labels)."""
        x = waveform if self.front is None else self.front(waveform)
        return torch.sigmoid(self.tagger(x))


def export_onnx(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write a run's best tagger as ONNX. Labels, sample rate and window are in the model's metadata.

    Of a run on embeddings by pretrained networks that come with folksong these are inside, and what is heard at once is
    the whole recording. Of other embeddings it is the head alone: ``embeddings`` (batch, dimensions) in, scores out;
    the space that they must lie in is in the metadata.
    """
    with needs_extra("ONNX export", "export"):
        import onnx
    name, axes = "waveform", {0: "batch", 1: "samples"}
    if run.space is None:
        front = None if run.preset is None else Spectrogram(run.preset)
        graph = TaggerGraph(load_model(run), front)
        example = torch.zeros(2, int(run.window_seconds * run.sample_rate))
    elif holds_networks(run.space):
        graph = TaggerGraph(NetworksWithHead(run.space, load_head(run)), Spectrogram(PRESET))
        example = torch.zeros(2, EXAMPLE_SECONDS * PRESET.sample_rate)
    else:
        graph, example = TaggerGraph(load_head(run), None), torch.zeros(2, run.space.dimensions)
        name, axes = "embeddings", {0: "batch"}
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():
            # The tracer warns of the checks of shapes, which run on the example and need not be in the graph.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph.eval(),
                (example,),
                str(temporary),
                input_names=[name],
                output_names=["scores"],
                dynamic_axes={name: axes, "scores": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
        model = onnx.load(str(temporary))
        metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in _metadata(run).items()}
        onnx.helper.set_model_props(model, metadata)
        onnx.helper.set_model_props(model, {**metadata, HASH_KEY: sha256_of_model(model)})
        onnx.checker.check_model(model)
        onnx.save(model, str(temporary))
    return Path(path)


def holds_networks(space: EmbeddingSpace) -> bool:
    """Say whether all that made embeddings are networks that come with folksong."""
    return all(name in NETWORKS for name in space.model.split("+"))


def _metadata(run: Run) -> dict[str, Any]:
    tuned = stored_thresholds(run)
    return {
        "labels": list(run.labels.names),
        "sample_rate": run.sample_rate,
        "window_seconds": run.window_seconds
        if run.space is None
        else None,  # None: the whole recording at once
        "thresholds": None if tuned is None else tuned.array(run.labels.names).tolist(),
        "front_end": run.front_end,
        "labels_sha256": run.labels.sha256(),
        "folksong": run.config["folksong"],
        **({} if run.space is None else {"embedding_space": asdict(run.space)}),
    }
