"""Heads: from the embedding of a recording to one logit a label, without any network before it.

A head is linear, or has one hidden layer; then several of them, trained from other first weights, are averaged. It
standardises its input itself, each feature first bent to about a normal distribution: straight between quantiles of
the training part, ended at its least and largest value, so that no outlier weighs much. Its scores are calibrated:
logit' = slope · logit + offset, found on tracks that its weights were not fitted to.

The joint space of sounds and tags (Model 6) is an output layer, of a head or of a network, that scores any tag by its
vector: for a tag w and a recording a, z = s · cos(g(a), h(w)) + b. g and h are LayerNorm and a linear map to d numbers,
of the features before the layer and of the tag's vector; s is 1 / temperature. So a label is a point, and which points
there are may change after training. With ``cosine=False`` z = g(a)·w, g linear: the closed form of Romera-Paredes &
Torr 2015, "An embarrassingly simple approach to zero-shot learning".
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from folksong.embeddings.store import EMBEDDINGS
from folksong.errors import FolksongError
from folksong.labels.space import LabelSpace

DROPOUT = 0.5
N_KNOTS, LAST_KNOT = 6, 2.5
"""Quantiles that a feature is bent at: where a normal distribution has −2.5, −1.5, … 2.5 standard deviations."""
LEAST_ABSENT = 1e-7  # probability that a label is absent, whose logarithm is taken
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
        cosine: False: bilinear, see the module.
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


class EmbeddingHead(nn.Module):
    """Standardisation, linear maps or small networks whose logits are averaged, and calibration.

    Args:
        n_features: numbers of an embedding.
        labels: the label space, or only how many labels there are.
        n_hidden: units of the hidden layer; 0 for a linear head.
        n_members: how many are averaged.
        exclusive: a track carries exactly one label: scores are the softmax over all labels, so that they sum to 1.
        joint: of a head in the joint space: what `JointOutput` takes; None for others.

    Raises:
        FolksongError: a size below 1.
    """

    knots: Tensor
    mean: Tensor
    scale: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(
        self,
        n_features: int,
        labels: LabelSpace | int,
        *,
        n_hidden: int = 0,
        n_members: int = 1,
        exclusive: bool = False,
        joint: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        n_labels = labels if isinstance(labels, int) else len(labels)
        for name, size in (("features", n_features), ("labels", n_labels), ("members", n_members)):
            if size < 1:
                raise FolksongError(f"a head needs {name} of at least 1, not {size}")
        self.labels = None if isinstance(labels, int) else labels
        self.settings: dict[str, Any] = {
            "front_end": EMBEDDINGS,
            "n_labels": n_labels,
            "n_features": n_features,
            "n_hidden": n_hidden,
            "n_members": n_members,
            "exclusive": exclusive,
        }
        knots = torch.linspace(-LAST_KNOT, LAST_KNOT, N_KNOTS)
        self.register_buffer("knots", knots[:, None].repeat(1, n_features))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(n_labels))
        if joint is not None:
            self.settings["joint"] = dict(joint)
            self.members = nn.ModuleList([JointOutput(n_features, n_labels, **joint)])
            return
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(n_features, n_hidden), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(n_hidden, n_labels)
            )
            if n_hidden
            else nn.Linear(n_features, n_labels)
            for _ in range(n_members)
        )

    @classmethod
    def from_settings(cls, settings: dict[str, Any], labels: LabelSpace | None = None) -> "EmbeddingHead":
        """Build the head that `settings` describe (another head's ``.settings``), with new weights.

        Raises:
            FolksongError: `labels` has another number of labels than the settings.
        """
        if labels is not None and len(labels) != settings["n_labels"]:
            raise FolksongError(
                f"the head has {settings['n_labels']} outputs, but the label space has {len(labels)} labels"
            )
        sizes = {name: settings[name] for name in ("n_hidden", "n_members", "exclusive")}
        sizes["joint"] = settings.get("joint")
        return cls(settings["n_features"], labels or settings["n_labels"], **sizes)

    def standardised(self, x: Tensor) -> Tensor:
        """Return embeddings (batch, n_features) bent, and of the training part's mean 0 and mean square length 1."""
        return (self.bent(x.to(self.mean.dtype)) - self.mean) * self.scale

    def bent(self, x: Tensor) -> Tensor:
        """Return features (batch, n_features) as standard deviations above their least value."""
        widths = self.knots[1:] - self.knots[:-1]
        slopes = torch.where(widths > 0, 2 * LAST_KNOT / (N_KNOTS - 1) / widths, 0)
        bent = torch.zeros_like(x)
        for low, width, slope in zip(self.knots, widths, slopes, strict=False):
            bent = bent + torch.minimum((x - low).clamp(min=0), width) * slope
        return bent

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_features) -> logits (batch, n_labels), whose sigmoid is the score of a label.

        Raises:
            FolksongError: the input has another shape.
        """
        if x.ndim != 2 or x.shape[1] != self.settings["n_features"]:
            raise FolksongError(
                f"the head takes (batch, {self.settings['n_features']}), not {tuple(x.shape)}"
            )
        inputs = self.standardised(x)
        logits = torch.stack([member(inputs) for member in self.members]).mean(dim=0)
        calibrated = self.slope * logits + self.offset
        return softmax_logits(calibrated) if self.settings["exclusive"] else calibrated


def softmax_logits(logits: Tensor) -> Tensor:
    """(batch, n_labels) -> the same shape: logits whose sigmoids are the softmax over all labels."""
    log_present = torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)
    return log_present - torch.log((1 - log_present.exp()).clamp(min=LEAST_ABSENT))
