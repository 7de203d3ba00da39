"""The joint space of sounds and tags (Model 6): an output layer that scores any tag by its vector.

Score of tag w for a recording a: z = s · cos(g(a), h(w)) + b. g and h are LayerNorm and a linear map to d numbers, of
the features before the layer and of the tag's vector; s is 1 / temperature. So a label is a point, and which points
there are may change after training. With ``cosine=False`` z = g(a)·w, g linear: the closed form of Romera-Paredes &
Torr 2015, "An embarrassingly simple approach to zero-shot learning".
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

FIRST_SCALE, MOST_SCALE = 1 / 0.07, 100.0
FIRST_BIAS, BIAS_STEPS = -8.0, 10.0
"""The bias is learned in steps that are so many times larger than those of other weights."""


class JointOutput(nn.Module):
    """Features (batch, n_features) -> logits (batch, n_labels), by the labels' vectors.

    Args:
        n_features: of the network before it.
        n_labels: how many labels.
        n_tag_numbers: numbers of a label's vector.
        n_units: d.
        cosine: False: bilinear, see above.
        scale: s; None learns it.
    """

    tag_vectors: Tensor

    def __init__(
        self,
        n_features: int,
        n_labels: int,
        n_tag_numbers: int,
        *,
        n_units: int = 128,
        cosine: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "n_tag_numbers": n_tag_numbers,
            "n_units": n_units,
            "cosine": cosine,
            "scale": scale,
        }
        self.register_buffer("tag_vectors", torch.zeros(n_labels, n_tag_numbers))
        if cosine:
            self.audio: nn.Module = nn.Sequential(nn.LayerNorm(n_features), nn.Linear(n_features, n_units))
            self.tags: nn.Module = nn.Sequential(
                nn.LayerNorm(n_tag_numbers), nn.Linear(n_tag_numbers, n_units)
            )
        else:
            self.audio, self.tags = nn.Linear(n_features, n_tag_numbers, bias=False), nn.Identity()
        first = torch.tensor(math.log(scale or FIRST_SCALE))
        self.log_scale = nn.Parameter(first, requires_grad=cosine and scale is None)
        self.bias = nn.Parameter(torch.tensor(FIRST_BIAS / BIAS_STEPS), requires_grad=cosine)
        self.listens = False
        self._points: Tensor | None = None  # of the labels, kept while nothing is learned

    def train(self, mode: bool = True) -> "JointOutput":
        self._points = None
        return super().train(mode)

    def embed_audio(self, features: Tensor) -> Tensor:
        """Return g(a), (batch, d), of length 1 where scores are cosines."""
        return self._placed(self.audio(features))

    def embed_tags(self, vectors: Tensor) -> Tensor:
        """Return h(w), (n, d), likewise."""
        return self._placed(self.tags(vectors))

    def _placed(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return normalize(wide, dim=1) if self.settings["cosine"] else wide

    def forward(self, features: Tensor) -> Tensor:
        """(batch, n_features) -> logits (batch, n_labels); g(a) where the layer was told to `listen`."""
        heard = self.embed_audio(features)
        if self.listens:
            return heard
        points = self._points
        if self.training or torch.is_grad_enabled() or points is None or points.device != heard.device:
            points = self.embed_tags(self.tag_vectors)
            self._points = None if self.training or torch.is_grad_enabled() else points
        with torch.autocast(heard.device.type, enabled=False):  # cosines need more digits than 16 bits have
            cosines = heard @ points.to(heard.dtype).T
        if not self.settings["cosine"]:
            return cosines
        return self.log_scale.exp().clamp(max=MOST_SCALE) * cosines + self.bias * BIAS_STEPS


def joint_output(network: nn.Module) -> JointOutput | None:
    """Return a network's joint output layer, None if it has none."""
    return next((layer for layer in network.modules() if isinstance(layer, JointOutput)), None)


def ask(network: nn.Module, vectors: Tensor, known: Sequence[int | None]) -> None:
    """Let a network with a joint output layer score other tags.

    Args:
        network: changed in place.
        vectors: (n, n_tag_numbers) of the tags.
        known: (n,) the label that each is, whose calibration it keeps; None for a new one.
    """
    layer = joint_output(network)
    assert layer is not None
    layer.tag_vectors, layer._points = vectors, None
    network.settings["n_labels"] = len(vectors)  # type: ignore[operator, index]
    if isinstance(offset := getattr(network, "offset", None), Tensor):
        rows = [offset.mean() if label is None else offset[label] for label in known]
        network.offset = torch.stack(rows)


def listen(network: nn.Module) -> int:
    """Let a network with a joint output layer return g(a) in the place of logits; return d."""
    layer = joint_output(network)
    assert layer is not None
    layer.listens = True
    n_units = int(layer.settings["n_units"] if layer.settings["cosine"] else layer.settings["n_tag_numbers"])
    network.settings["n_labels"] = n_units  # type: ignore[operator, index]
    if isinstance(getattr(network, "offset", None), Tensor):
        network.slope, network.offset = torch.ones(()), torch.zeros(n_units)
    return n_units
