"""What a training does differently where few tracks or batches are seen (``adapt_to_small`` of the settings).

Batch norm: its running statistics (momentum 0.99) hold much of what they began with until some hundred batches were
seen, and scores are saturated. Before a validation they are estimated anew over the training part.

Dense layers: a network with random filters already tells recordings apart (Pons & Serra 2019, "Randomly weighted CNNs
for (music) audio classification"). Of few tracks, a regularised logistic regression on what the filters tell learns
more than hundreds of steps from random outputs do, whose first gradients only spoil the filters. So that is what the
dense layers start from, and the filters are then moved slowly.

Scores: where each of few tracks carries exactly one label, they are the softmax over all labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.models.tagger import Tagger
from folksong.training.config import Config
from folksong.training.data import TrainingData
from folksong.training.fit_head import LEAST_SHARE, is_exclusive, minimise, softmax_loss

SETTLED_BATCHES = 1000
"""After so many, batch norm's running statistics hold nothing of their beginning."""
FEW_TRACKS = 200
"""Of a training part, with which the output layer starts from a logistic regression."""
HEARD_OFTEN = 100
"""Windows of each of few tracks: what they have to teach is learned, and early stopping ends it."""
SLOWER = 0.1  # learning rate with few tracks, relative to that of the settings
WINDOWS_PER_TRACK = 6  # that the regression sees
PENALTY = 10.0  # λ of the sum over windows of the cross-entropies + λ/2 ‖w‖², for inputs of variance 1
MAX_ITERATIONS = 200
KEPT_VARIANCE = 0.98
LEAST_DEVIATION = 1e-6


def starts_from_regression(config: Config, n_tracks: int) -> bool:
    """Say whether the output layer of a training on so many tracks starts from a logistic regression."""
    return config.schedule.adapt_to_small and n_tracks <= FEW_TRACKS


def heard_often(config: Config, n_tracks: int, n_windows: int) -> bool:
    """Say whether so many windows of few tracks are enough, where early stopping is on."""
    stops = config.schedule.early_stop_patience is not None and starts_from_regression(config, n_tracks)
    return stops and n_windows >= HEARD_OFTEN * n_tracks


@torch.no_grad()
def estimate_statistics(tagger: Tagger, windows: Iterable[Tensor], autocast: Any) -> None:
    """Give batch norm the mean statistics of some batches under the weights as they are now, without dropout.

    Args:
        tagger: the network; left in evaluation mode.
        windows: batches (batch, samples) or (batch, n_mels, frames) of the training part.
        autocast: context manager for the precision wished for.
    """
    tagger.eval()
    norms = [module for module in tagger.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    for x in windows:
        with autocast:
            tagger(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def has_exclusive_scores(config: Config, data: TrainingData) -> bool:
    """Say whether the scores of a training are the softmax over all labels.

    So they are with few tracks of exactly one label each: what speaks for one label then speaks against all others.
    """
    if not (config.loss.is_cross_entropy and starts_from_regression(config, len(data.parts["training"]))):
        return False
    return is_exclusive(data.targets_of("training"))


def start_dense_layers(tagger: Tagger, batches: Iterable[tuple[Tensor, Tensor]], autocast: Any) -> None:
    """Let the dense layers be a logistic regression on what the convolutions, pooled over time, tell of windows.

    The hidden layer's units are the windows' principal components, each with both signs, so that little is lost in it
    (random units lose much): as many as hold `KEPT_VARIANCE`, scaled by the fourth root of their variance, which is
    between leaving the strong ones strong and making all alike. Other units are not listened to at first.

    Args:
        tagger: a new network whose batch norm has the statistics of the training part; left in evaluation mode.
        batches: windows as above and their targets (batch, n_labels) in 0 to 1.
        autocast: as above.
    """
    back_end, heard, wanted = tagger.back_end, list[Tensor](), list[Tensor]()
    hook = back_end.dense.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0].double()))
    tagger.eval()
    try:
        with torch.no_grad():
            for x, y in batches:
                with autocast:
                    tagger(x)
                wanted.append(y.double())
    finally:
        hook.remove()
    pooled = torch.cat(heard)
    axes, deviation = _principal_components(pooled, most=max(back_end.dense.out_features // 2, 1))
    units = torch.cat([axes, -axes])[: back_end.dense.out_features]
    offsets = -units @ pooled.mean(dim=0)
    hidden = functional.relu(functional.linear(pooled, units, offsets))
    spread, mean = torch.var_mean(hidden, dim=0, correction=0)
    scale = deviation.sqrt().repeat(2)[: len(units)] * spread.sqrt()
    normed = (hidden - mean) / (spread + back_end.norm.eps).sqrt() * scale
    exclusive = bool(tagger.settings["exclusive"])
    weight, bias = fit_logistic(normed, torch.cat(wanted), PENALTY, exclusive=exclusive)
    n_units, norm = len(units), back_end.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        back_end.dense.weight[:n_units].copy_(units)
        back_end.dense.bias[:n_units].copy_(offsets)
        norm.weight[:n_units].copy_(scale)
        norm.running_mean[:n_units].copy_(mean)
        norm.running_var[:n_units].copy_(spread)
        back_end.output.weight.zero_()
        back_end.output.weight[:, :n_units].copy_(weight)
        back_end.output.bias.copy_(bias)


def _principal_components(x: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return axes (k, n_features) onto which x (n, n_features) has variance 1, and k deviations along them."""
    scale = x.std(dim=0, correction=0).clamp(min=LEAST_DEVIATION)
    _, singular, axes = torch.linalg.svd((x - x.mean(dim=0)) / scale, full_matrices=False)
    shares = singular.square().cumsum(0) / singular.square().sum().clamp(min=LEAST_DEVIATION)
    k = min(int((shares < KEPT_VARIANCE).sum()) + 1, most, len(singular))
    deviation = (singular[:k] / math.sqrt(len(x))).clamp(min=LEAST_DEVIATION)
    return axes[:k] / scale / deviation[:, None], deviation


def fit_logistic(
    features: Tensor, targets: Tensor, penalty: float, *, exclusive: bool = False
) -> tuple[Tensor, Tensor]:
    """Return weights (n_labels, n_features) and biases (n_labels,) of a logistic regression for each label.

    What is least is Σ cross-entropies + penalty / 2 ‖weights‖², by L-BFGS over all labels at once.

    Args:
        features: (n, n_features).
        targets: (n, n_labels) in 0 to 1.
        penalty: of the squared weights.
        exclusive: one regression over all labels, by the cross-entropy of the softmax.
    """
    share = targets.mean(dim=0).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    weight = features.new_zeros(targets.shape[1], features.shape[1]).requires_grad_()
    bias = torch.logit(share).requires_grad_()

    def objective() -> Tensor:
        logits = functional.linear(features, weight, bias)
        if exclusive:
            loss = softmax_loss(logits, targets) * len(targets)
        else:
            loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return loss + penalty / 2 * weight.square().sum()

    minimise(objective, [weight, bias], max_iter=MAX_ITERATIONS, tolerance_grad=1e-4)
    return weight.detach(), bias.detach()
