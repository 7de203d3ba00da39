"""What a training does differently where few tracks or batches are seen (``adapt_to_small`` of the settings).

Batch norm: its running statistics (momentum 0.99) hold much of what they began with until some hundred batches were
seen, and scores are saturated. Before a validation they are estimated anew over the training part.

Output layer: a network with random filters already tells recordings apart (Pons & Serra 2019, "Randomly weighted CNNs
for (music) audio classification"). Of few tracks, a regularised logistic regression on its last hidden layer learns
more than hundreds of steps from random outputs do, whose first gradients only spoil the filters. So that is what the
output layer starts from, and the filters are then moved slowly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.models.tagger import Tagger
from folksong.training.config import Config
from folksong.training.optimizer import minimise

SETTLED_BATCHES = 1000
"""After so many, batch norm's running statistics hold nothing of their beginning."""
FEW_TRACKS = 200
"""Of a training part, with which the output layer starts from a logistic regression."""
HEARD_OFTEN = 100
"""Windows of each of few tracks: what they have to teach is learned, and early stopping ends it."""
SLOWER = 0.1  # learning rate with few tracks and of pretrained weights, relative to that of the settings
WINDOWS_PER_TRACK = 6  # that the regression sees
PENALTY = 10.0  # λ of the sum over windows of the cross-entropies + λ/2 ‖w‖², for inputs of variance 1
MAX_ITERATIONS = 200
LEAST_SHARE = 1e-4  # of tracks with a label, for its first bias


def starts_from_regression(config: Config, n_tracks: int) -> bool:
    """Say whether the output layer of a training on so many tracks starts from a logistic regression."""
    joint = config.model.head == "joint"  # whose output layer is no regression
    new = not (joint or config.model.unfreeze)
    return config.schedule.adapt_to_small and n_tracks <= FEW_TRACKS and new


def heard_often(config: Config, n_tracks: int, n_windows: int) -> bool:
    """Say whether so many windows of few tracks are enough, where early stopping is on."""
    stops = config.schedule.early_stop_patience is not None and starts_from_regression(config, n_tracks)
    return stops and n_windows >= HEARD_OFTEN * n_tracks


@torch.no_grad()
def estimate_statistics(tagger: Tagger, windows: Iterable[Tensor], autocast: Any) -> None:
    """Give batch norm the mean statistics of batches under the weights as they are now, without dropout.

    The tagger is left in evaluation mode; `autocast` is the context of the precision wished for.
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


def start_output_layer(tagger: Tagger, batches: Iterable[tuple[Tensor, Tensor]], autocast: Any) -> None:
    """Let the output layer be a logistic regression on the last hidden layer, by batches of windows and targets.

    The tagger is new but for batch norm's statistics, and left in evaluation mode; `autocast` is as above.
    """
    layer, heard, wanted = cast(nn.Linear, tagger.back_end.output), [], []
    hook = layer.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0].double()))
    tagger.eval()
    try:
        with torch.no_grad():
            for x, y in batches:
                with autocast:
                    tagger(x)
                wanted.append(y.double())
    finally:
        hook.remove()
    weight, bias = fit_logistic(torch.cat(heard), torch.cat(wanted), PENALTY)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def fit_logistic(features: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return weights (n_labels, n_features) and biases (n_labels,) of a logistic regression for each label.

    What is least is Σ cross-entropies + penalty / 2 ‖weights‖², by L-BFGS over all labels at once, of features
    (n, n_features) and targets (n, n_labels) in 0 to 1.
    """
    share = targets.mean(dim=0).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    weight = features.new_zeros(targets.shape[1], features.shape[1]).requires_grad_()
    bias = torch.logit(share).requires_grad_()

    def objective() -> Tensor:
        logits = functional.linear(features, weight, bias)
        loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return loss + penalty / 2 * weight.square().sum()

    minimise(objective, [weight, bias], max_iter=MAX_ITERATIONS, tolerance_grad=1e-4)
    return weight.detach(), bias.detach()
