"""The losses of the joint space (Model 6): functions of logits z = s · cos + b and targets y of 0 and 1.

A pair (track i, tag j that it carries) weighs w_j, so that every band of counts weighs the same; a tag k that it does
not carry counts as a negative by n_ik = 1 − the likeness of k to the nearest tag that it carries, from 0 for another
spelling to 1.

Contrastive (multi-positive InfoNCE; Doh et al. 2023, "Toward universal text-to-music retrieval"), other positives left
out of the sum: mean over pairs, by w_j, of −log( exp z_ij / (exp z_ij + Σ_k n_ik exp z_ik) ).

Hinge (Choi et al. 2019, "Zero-shot learning for audio-based music classification and tagging"; Won et al. 2021,
"Multimodal metric learning for tag-based music retrieval"): mean over pairs, by w_j, of
Σ_k n_ik max(0, 0.4 − cos_ij + cos_ik) / Σ_k n_ik.
"""

import torch
from torch import Tensor
from torch.nn import functional

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
