"""The losses, and where one is chosen: functions of logits and targets, averaged over all labels and samples.

All take logits, not probabilities, and compute in float32 (or wider) whatever precision the network runs in, so that
nothing overflows and log(0) never appears.

Semantic loss (Model 5): a label that is absent but close in meaning to a true one was perhaps only forgotten, and
predicting it is a lesser mistake. For one sample with true labels T, unit label vectors ω and predictions ŷ = σ(z):

    L = −(1/n) Σᵢ [ tᵢ log ŷᵢ + (1 − tᵢ) log(1 − ŷᵢ) · (1 + γ (1 − max_{j∈T} ωᵢ·ωⱼ)) ]

Asymmetric loss: Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification": easy negatives count less, very
easy ones (p below a margin) not at all.

In the joint space (Model 6) logits are z = s · cos + b. A pair (track i, tag j that it carries) weighs w_j, so that
every band of counts weighs the same; a tag k that it does not carry counts as a negative by n_ik = 1 − the likeness of
k to the nearest tag that it carries, from 0 for another spelling to 1.

Contrastive (multi-positive InfoNCE; Doh et al. 2023, "Toward universal text-to-music retrieval"), other positives left
out of the sum: mean over pairs, by w_j, of −log( exp z_ij / (exp z_ij + Σ_k n_ik exp z_ik) ).

Hinge (Choi et al. 2019, "Zero-shot learning for audio-based music classification and tagging"; Won et al. 2021,
"Multimodal metric learning for tag-based music retrieval"): mean over pairs, by w_j, of
Σ_k n_ik max(0, 0.4 − cos_ij + cos_ik) / Σ_k n_ik.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.errors import FolksongError
from folksong.runs import Run
from folksong.training.config import LossSettings


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return −mean(t log σ(z) + (1 − t) log(1 − σ(z))).

    Args:
        logits: (batch, n_labels) z.
        targets: (batch, n_labels) t in [0, 1].
    """
    z = widened(logits)
    return functional.binary_cross_entropy_with_logits(z, targets.to(z.dtype))


def semantic_bce(logits: Tensor, targets: Tensor, label_vectors: Tensor, gamma: float = 1.0) -> Tensor:
    """Return the semantic loss, averaged over labels and samples.

    A label without a vector (a row of zeros or NaN) is never in T and has factor 1; a sample without a true label that
    has a vector gives plain binary cross-entropy; so does γ = 0, bit for bit.

    Args:
        logits: (batch, n_labels).
        targets: (batch, n_labels); labels with a target above 0 are the true ones.
        label_vectors: (n_labels, dimension), scaled to length 1 here.
        gamma: weight of the distance in meaning.
    """
    return TaggingLoss(LossSettings(kind="semantic", gamma=gamma), label_vectors).forward(logits, targets)


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    positive_focus: float = 0.0,
    negative_focus: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """Return −mean(t (1 − p)^γ₊ log p + (1 − t) q^γ₋ log(1 − q)), with q = max(p − margin, 0).

    Args:
        logits: (batch, n_labels), p = σ(z).
        targets: (batch, n_labels) t in [0, 1].
        positive_focus: γ₊.
        negative_focus: γ₋.
        margin: negatives below this probability add nothing.
    """
    settings = LossSettings(
        kind="asymmetric", positive_focus=positive_focus, negative_focus=negative_focus, margin=margin
    )
    return TaggingLoss(settings).forward(logits, targets)


def read_loss(run: Run, settings: LossSettings, counts: Sequence[int]) -> "TaggingLoss":
    """Return the loss that the settings choose, with the label vectors that the run keeps for it.

    `counts`, (n_labels,), are how many training tracks carry each label.
    """
    if settings.chosen != "semantic" and not settings.is_joint:
        return TaggingLoss(settings)
    vectors = torch.from_numpy(run.label_vectors)
    return TaggingLoss(settings, vectors, torch.tensor(counts))


def widened(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is where it is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class TaggingLoss(nn.Module):
    """Any of the losses, with what is made of weights, of absent labels and of certainty.

    Args:
        settings: which loss, and its numbers.
        label_vectors: (n_labels, dimension), for the semantic loss and those of the joint space.
        counts: (n_labels,) tracks that carry each label, for those of the joint space.

    Raises:
        FolksongError: a loss that needs vectors without them.
    """

    unit_vectors: Tensor
    has_vector: Tensor
    label_weights: Tensor

    def __init__(
        self, settings: LossSettings, label_vectors: Tensor | None = None, counts: Tensor | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        if settings.is_joint and counts is not None:
            self.register_buffer("label_weights", band_weights(counts), persistent=False)
        if settings.chosen == "semantic" or settings.is_joint:
            if label_vectors is None:
                raise FolksongError(f"the {settings.chosen} loss needs label vectors")
            vectors = torch.nan_to_num(widened(label_vectors))
            lengths = vectors.norm(dim=1, keepdim=True)
            unit = vectors / lengths.clamp(min=torch.finfo(vectors.dtype).tiny)
            self.register_buffer("unit_vectors", unit, persistent=False)
            self.register_buffer("has_vector", lengths.squeeze(1) > 0, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(batch, n_labels) logits and targets -> scalar."""
        z = widened(logits)
        given = targets.to(z.dtype)
        present = given > 0
        if self.settings.is_joint:
            nearest = nearest_similarity(present, self.unit_vectors, self.has_vector)
            negatives = (1 - nearest.clamp(min=0)).masked_fill(~self.has_vector, 1)
            ranks = hinge if self.settings.chosen == "hinge" else contrastive
            return ranks(z, given, self.label_weights, negatives) + calibrating(z, given)
        # With weights as sample weights, a target is the weight of a label that is simply there.
        t = present.to(z.dtype) if self.settings.weights == "sample" else given
        smoothing = self.settings.label_smoothing
        if smoothing:
            t = t * (1 - smoothing) + smoothing / 2
        if self.is_plain:
            return functional.binary_cross_entropy_with_logits(z, t)
        if self.settings.chosen == "asymmetric":
            return self._asymmetric(z, t, given, present).mean()
        return self._cross_entropy(z, t, given, present).mean()

    @property
    def is_plain(self) -> bool:
        """Whether it comes to binary cross-entropy of targets, and then is that bit for bit."""
        settings = self.settings
        weighs = settings.chosen == "semantic" and settings.gamma > 0
        return not (settings.chosen == "asymmetric" or settings.is_joint or weighs) and (
            settings.weights != "sample" and settings.absent_weight == 1
        )

    def _cross_entropy(self, z: Tensor, t: Tensor, given: Tensor, present: Tensor) -> Tensor:
        positive, negative = t * functional.softplus(-z), (1 - t) * functional.softplus(z)
        if self.settings.weights == "sample":
            positive = torch.where(present, given, 1) * positive
        return positive + self._negative_factor(present) * negative

    def _asymmetric(self, z: Tensor, t: Tensor, given: Tensor, present: Tensor) -> Tensor:
        settings = self.settings
        p = torch.sigmoid(z)
        positive = functional.softplus(-z)
        if settings.positive_focus:
            positive = positive * (1 - p) ** settings.positive_focus
        if settings.weights == "sample":
            positive = torch.where(present, given, 1) * positive
        if settings.margin:
            shifted = (p - settings.margin).clamp(min=0)
            negative = -torch.log1p(-shifted)
        else:
            shifted, negative = p, functional.softplus(z)
        if settings.negative_focus:
            negative = negative * shifted**settings.negative_focus
        return t * positive + (1 - t) * self._negative_factor(present) * negative

    def _negative_factor(self, present: Tensor) -> Tensor:
        """Return what the second term of each label is multiplied by."""
        factor = torch.ones((), device=present.device)
        if self.settings.chosen == "semantic":
            nearest = nearest_similarity(present, self.unit_vectors, self.has_vector)
            factor = factor + self.settings.gamma * (1 - nearest)
        if self.settings.absent_weight != 1:
            factor = factor * torch.where(present, 1.0, self.settings.absent_weight)
        return factor


def nearest_similarity(present: Tensor, unit_vectors: Tensor, has_vector: Tensor) -> Tensor:
    """Return max_{j∈T} ωᵢ·ωⱼ for each sample and label: (batch, n_labels); 1 where it is undefined.

    Only labels that a sample carries are compared with all, and one of every sample is looked up at a time, so memory
    stays at a few (batch, n_labels) and (labels carried, n_labels). `unit_vectors`, (n_labels, dimension), are the ω.
    """
    true = present & has_vector
    carried = true.any(dim=0)
    similarities = (unit_vectors[carried] @ unit_vectors.T).clamp(-1, 1)
    row_of = (carried.cumsum(dim=0) - 1).clamp(min=0)
    counts = true.sum(dim=1, keepdim=True)
    most = int(counts.max()) if len(counts) else 0
    order = torch.topk(true.to(torch.uint8), most, dim=1).indices
    nearest = torch.full(present.shape, -1.0, dtype=similarities.dtype, device=present.device)
    for place in range(most):
        looked_up = similarities[row_of[order[:, place]]]
        nearest = torch.where(place < counts, torch.maximum(nearest, looked_up), nearest)
    return torch.where((counts > 0) & has_vector, nearest, 1.0)


def is_exclusive(targets: npt.NDArray[np.generic] | Tensor) -> bool:
    """Say whether each track carries exactly one of two or more labels: (n, n_labels) of 0 and 1."""
    return targets.shape[1] > 1 and bool((targets.sum(1) == 1).all())


def learns_softmax(targets: npt.NDArray[np.generic], loss: LossSettings) -> bool:
    """Say whether a head learns the softmax: each track carries one label, and the loss is plain cross-entropy."""
    plain = loss.chosen == "bce" and loss.weights == "ignore" and not loss.label_smoothing
    return plain and loss.absent_weight == 1 and is_exclusive(targets)


def softmax_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of the softmax over all labels, averaged over tracks."""
    return -(targets * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()


MARGIN = 0.4
HINGE_SCALE = 10.0
"""s of networks that learn by `hinge`; it is not learned, and divided out of the logits."""
BANDS = (1, 2, 5, 10, 20, 50, 100, 1000, 10_000)
"""Counts at which a band begins."""
CALIBRATION = 0.1
"""Weight of the binary cross-entropy, summed over tags, beside either loss, for scores that are probabilities."""


def contrastive(logits: Tensor, targets: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
    """Return the contrastive loss of a batch.

    Args:
        logits: (batch, n_labels) z.
        targets: (batch, n_labels) y; above 0 is carried.
        weights: (n_labels,) w.
        negatives: (batch, n_labels) n; not looked at where a tag is carried.
    """
    present = targets > 0
    counted = torch.where(present, 0, negatives)
    against = torch.logsumexp(
        logits.masked_fill(counted == 0, -torch.inf) + counted.clamp(min=1e-30).log(), dim=1
    )
    each = torch.logaddexp(logits, against[:, None]) - logits
    return _mean_of_pairs(each, present, weights)


def hinge(logits: Tensor, targets: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
    """Return the hinge loss of a batch, whose logits are `HINGE_SCALE` · cos + b; arguments as of `contrastive`."""
    present = targets > 0
    counted = torch.where(present, 0, negatives)
    row, label = present.nonzero(as_tuple=True)
    over = (MARGIN - (logits[row, label][:, None] - logits[row]) / HINGE_SCALE).clamp(min=0)
    share = counted / counted.sum(dim=1, keepdim=True).clamp(min=1e-30)
    each = torch.zeros_like(logits).index_put((row, label), (over * share[row]).sum(dim=1))
    return _mean_of_pairs(each, present, weights)


def _mean_of_pairs(each: Tensor, present: Tensor, weights: Tensor) -> Tensor:
    of_pairs = present * weights
    return (torch.where(present, each, 0) * of_pairs).sum() / of_pairs.sum().clamp(min=1e-30)


def calibrating(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the part of both losses that makes sigmoids of logits probabilities."""
    summed = functional.binary_cross_entropy_with_logits(
        logits, (targets > 0).to(logits.dtype), reduction="sum"
    )
    return CALIBRATION * summed / max(len(logits), 1)


def band_weights(counts: Tensor) -> Tensor:
    """Return what a pair of each tag weighs, (n_labels,), so that the pairs of each band of counts weigh 1 together.

    Args:
        counts: (n_labels,) how many tracks carry each; a tag of none weighs nothing.
    """
    band = torch.bucketize(counts, torch.tensor(BANDS), right=True)
    pairs = torch.zeros(len(BANDS) + 1, dtype=torch.float64).index_add(0, band, counts.double())
    return torch.where(counts > 0, 1 / pairs.clamp(min=1)[band], 0).float()
