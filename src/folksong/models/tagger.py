"""The tagger: audio windows in, one logit a label out.

Each window is standardised by the tagger itself, on its own, so that a prediction never depends on what else is in
the batch, nor on the level of the recording. The back-end is that of Pons et al. 2018.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.errors import FolksongError, nearest
from folksong.labels.space import LabelSpace
from folksong.models.front_ends import (
    FRONT_ENDS,
    LOG_MEL,
    WAVEFORM,
    ConvBlock,
    LogMelFrontEnd,
    WaveformFrontEnd,
    batch_norm,
    init_fan_in_,
)
from folksong.models.heads import JointOutput, softmax_logits

N_FILTERS = 512
LENGTH = 7  # steps a filter spans
POOL = 2  # between the two residual blocks
DROPOUT = 0.5
LEAST_STEPS = LENGTH - 1 + POOL


class ResidualBlock(nn.Module):
    """Convolution 7 → 512 that keeps the number of steps, ReLU, batch norm with a single channel, plus the input.

    The single channel (one scale, offset, mean and variance over batch, time and all 512 filters) is a quirk of the
    original, whose batch norm saw the filters as a spatial axis. It is kept so that weights can be carried over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(N_FILTERS, N_FILTERS, (1, LENGTH), padding=(0, LENGTH // 2))
        self.norm = batch_norm(1)
        init_fan_in_(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 512, 1, steps) -> the same shape."""
        rectified = functional.relu(self.conv(x), inplace=True)
        flat = rectified.permute(0, 2, 3, 1)  # (batch, 1, steps, 512); contiguous: memory is channels-last
        normed: Tensor = self.norm(flat)
        return x + normed.permute(0, 3, 1, 2)


class BackEnd(nn.Module):
    """Two residual blocks over time, the maximum and the mean over all steps, and two dense layers.

    `width` is the number of features that a step of the front-end has.
    """

    def __init__(self, width: int, n_labels: int, n_dense_units: int = 500) -> None:
        super().__init__()
        self.adapt = ConvBlock(width, N_FILTERS, LENGTH)
        self.residual1 = ResidualBlock()
        self.residual2 = ResidualBlock()
        self.dropout1 = nn.Dropout(DROPOUT)
        self.dense = nn.Linear(2 * N_FILTERS, n_dense_units)
        self.norm = nn.BatchNorm1d(n_dense_units, eps=self.adapt.norm.eps, momentum=self.adapt.norm.momentum)
        self.dropout2 = nn.Dropout(DROPOUT)
        self.output: nn.Module = nn.Linear(n_dense_units, n_labels)
        init_fan_in_(self.dense)
        init_fan_in_(self.output)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, 1, steps) -> logits (batch, n_labels)."""
        x = self.residual1(self.adapt(x))
        x = self.residual2(functional.max_pool2d(x, (1, POOL)))
        # (batch, steps, 512), as it lies in memory: so do its gradients
        steps = x.permute(0, 2, 3, 1).flatten(1, 2)
        highest = steps.amax(dim=1)
        mean = steps.mean(dim=1, dtype=torch.promote_types(x.dtype, torch.float32))
        pooled = torch.cat([highest.to(mean.dtype), mean], dim=1)  # all maxima, then all means
        hidden = self.norm(functional.relu(self.dense(self.dropout1(pooled))))
        logits: Tensor = self.output(self.dropout2(hidden))
        return logits


STANDARDISE_EPS = 1e-8
"""Added to a window's variance. Full scale is 1, so a waveform at −60 dBFS (variance 1e-6) is off by 0.5%, where the
more usual 1e-6 would shrink it by 30%; 16-bit dither alone (−98 dBFS, 1.6e-10) is still kept eight times below
unit variance instead of being blown up into a signal."""


def standardise(x: Tensor, eps: float = STANDARDISE_EPS) -> Tensor:
    """Return each window (batch, ...) with mean 0 and variance 1: (x − mean) / √(var + eps), in float32 or wider.

    The variance is the biased one, over all values of a window. The mean is taken out twice: the second time removes
    what rounding left, so that a constant window (silence, also in dB) becomes zeros.
    """
    axes = tuple(range(1, x.ndim))
    centred = x.to(torch.promote_types(x.dtype, torch.float32))
    for _ in range(2):
        centred = centred - centred.mean(dim=axes, keepdim=True)
    variance = centred.square().mean(dim=axes, keepdim=True)
    return centred * torch.rsqrt(variance + eps)


class Tagger(nn.Module):
    """A front-end and the back-end of Pons et al. 2018.

    Args:
        front_end: ``"waveform"`` or ``"log-mel-spectrogram"``.
        labels: the label space, or only how many labels there are.
        n_mels: mel bands of the log-mel input.
        n_filters: base number of filters of the log-mel front-end.
        n_dense_units: size of the hidden dense layer.
        exclusive: a track carries exactly one label: scores are the softmax over all labels, so that they sum to 1.
        joint: of a network in the joint space: what `JointOutput`, its output layer, takes; None for others.

    Raises:
        FolksongError: no such front-end, no labels, or a size below 1.

    >>> tagger = Tagger("waveform", 50)
    >>> sum(weights.numel() for weights in tagger.parameters())
    5377082
    """

    def __init__(
        self,
        front_end: str,
        labels: LabelSpace | int,
        *,
        n_mels: int = 96,
        n_filters: int = 16,
        n_dense_units: int = 500,
        exclusive: bool = False,
        joint: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if front_end not in FRONT_ENDS:
            raise FolksongError(
                f"no front-end is called {front_end!r}{nearest(front_end, FRONT_ENDS)} "
                f"(there are {' and '.join(FRONT_ENDS)})"
            )
        n_labels = labels if isinstance(labels, int) else len(labels)
        sizes = {
            "labels": n_labels,
            "n_mels": n_mels,
            "n_filters": n_filters,
            "n_dense_units": n_dense_units,
        }
        for name, size in sizes.items():
            if size < 1:
                raise FolksongError(f"a tagger needs {name} of at least 1, not {size}")
        self.labels = None if isinstance(labels, int) else labels
        self.settings: dict[str, Any] = {
            "front_end": front_end,
            "n_labels": n_labels,
            "n_mels": n_mels,
            "n_filters": n_filters,
            "n_dense_units": n_dense_units,
            "exclusive": exclusive,
        }
        self.front_end: WaveformFrontEnd | LogMelFrontEnd = (
            WaveformFrontEnd() if front_end == WAVEFORM else LogMelFrontEnd(n_mels, n_filters)
        )
        self.back_end = BackEnd(self.front_end.width, n_labels, n_dense_units)
        if joint is not None:
            self.settings["joint"] = dict(joint)
            self.back_end.output = JointOutput(n_dense_units, n_labels, **joint)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def from_settings(cls, settings: dict[str, Any], labels: LabelSpace | None = None) -> "Tagger":
        """Build the tagger that `settings` describe (another tagger's ``.settings``), with new weights.

        Raises:
            FolksongError: `labels` has another number of labels than the settings.
        """
        sizes = {name: settings[name] for name in ("n_mels", "n_filters", "n_dense_units")}
        if labels is not None and len(labels) != settings["n_labels"]:
            raise FolksongError(
                f"the tagger has {settings['n_labels']} outputs, but the label space has {len(labels)} labels"
            )
        return cls(
            settings["front_end"],
            labels or settings["n_labels"],
            exclusive=bool(settings.get("exclusive")),  # runs made before know none
            joint=settings.get("joint"),
            **sizes,
        )

    @property
    def minimum_steps(self) -> int:
        """The shortest window the network can take, in samples (waveform) or frames (log-mel)."""
        return self.front_end.least_input(LEAST_STEPS)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, samples) or (batch, n_mels, frames) -> logits (batch, n_labels).

        Raises:
            FolksongError: the input has another shape, or is too short; the message names the least length.
        """
        self._check(x)
        logits: Tensor = self.back_end(self.front_end(standardise(x)))
        return softmax_logits(logits) if self.settings["exclusive"] else logits

    def _check(self, x: Tensor) -> None:
        log_mel = self.settings["front_end"] == LOG_MEL
        if x.ndim != (3 if log_mel else 2) or (log_mel and x.shape[1] != self.settings["n_mels"]):
            wanted = f"(batch, {self.settings['n_mels']}, frames)" if log_mel else "(batch, samples)"
            raise FolksongError(
                f"the {self.settings['front_end']} tagger takes {wanted}, not {tuple(x.shape)}"
            )
        if x.shape[-1] < self.minimum_steps:
            unit = "frames" if log_mel else "samples"
            raise FolksongError(
                f"the input has {x.shape[-1]} {unit}; the {self.settings['front_end']} tagger needs at least "
                f"{self.minimum_steps} {unit}: take a longer window, or repeat the clip until it fills one"
            )
