"""What a training does differently where few tracks or batches are seen (``adapt_to_small`` of the settings).

Batch norm: its running statistics (momentum 0.99) hold much of what they began with until some hundred batches were
seen, and scores are saturated. Before a validation they are estimated anew over the training part.

Dense layers: a network with random filters already tells recordings apart (Pons & Serra 2019, "Randomly weighted CNNs
for (music) audio classification"). Of few tracks, a regularised logistic regression on what the filters tell learns
more than hundreds of steps from random outputs do, whose first gradients only spoil the filters. So that is what the
dense layers start from, and the filters are then moved slowly.

Scores: where each of few tracks carries exactly one label, they are the softmax over all labels: what speaks for one
speaks against all others.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.models.tagger import Tagger
from folksong.shards.loader import Batch
from folksong.shards.window_positions import spread
from folksong.training.config import Config
from folksong.training.data import TrainingData
from folksong.training.losses import learns_softmax, softmax_loss
from folksong.training.optimizer import minimise

SETTLED_BATCHES = 1000
"""After so many, batch norm's running statistics hold nothing of their beginning."""
FEW_TRACKS = 200
"""Of a training part, with which the dense layers start from a logistic regression."""
HEARD_OFTEN = 30
"""Windows of each of few tracks: what they have to teach is learned, and early stopping ends it."""
SLOWER = 0.01  # learning rate with few tracks, relative to that of the settings
WINDOWS_PER_TRACK = 6  # that the regression sees
PENALTY = 10.0  # λ of the sum over windows of the cross-entropies + λ/2 ‖w‖², for inputs of variance 1
MAX_ITERATIONS = 200
WINDOWS_AT_ONCE = 64
STATISTICS_WINDOWS = 128
"""Of few tracks, that batch norm's statistics come from."""
KEPT_VARIANCE = 0.98
LEAST_DEVIATION = 1e-6
LEAST_SHARE = 1e-4  # of tracks with a label, for its first bias


def starts_from_regression(config: Config, n_tracks: int) -> bool:
    """Say whether the dense layers of a training on so many tracks start from a logistic regression."""
    joint = config.model.head == "joint"  # whose output layer is no regression
    new = not (joint or config.model.unfreeze)
    return config.schedule.adapt_to_small and n_tracks <= FEW_TRACKS and new


def heard_often(config: Config, n_tracks: int, n_windows: int) -> bool:
    """Say whether so many windows of few tracks are enough, where early stopping is on."""
    stops = config.schedule.early_stop_patience is not None and starts_from_regression(config, n_tracks)
    return stops and n_windows >= HEARD_OFTEN * n_tracks


def has_exclusive_scores(config: Config, data: TrainingData) -> bool:
    """Say whether the scores of a training are the softmax over all labels."""
    few = starts_from_regression(config, len(data.parts["training"]))
    return few and learns_softmax(data.targets_of("training"), config.loss)


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
        norm.eval()


def windows_of_few(data: TrainingData, config: Config, *, most: int | None = None) -> Iterator[Batch]:
    """Yield batches of windows of the training part: side by side, the same whenever asked.

    There are `WINDOWS_PER_TRACK` of a track at most, and `most` of all, evenly chosen.
    """
    reader, records = data.shards, data.parts["training"]
    length = reader.manifest.steps(config.data.window_seconds)
    places = []
    for row, record in enumerate(records):
        starts = spread(int(reader.n_steps[record]), length)
        chosen = np.linspace(0, len(starts) - 1, min(WINDOWS_PER_TRACK, len(starts))).round().astype(int)
        places += [(row, starts[number]) for number in chosen]
    if most is not None and most < len(places):
        places = [places[number] for number in np.linspace(0, len(places) - 1, most).round().astype(int)]
    targets = data.learned_of("training")
    for part in np.array_split(np.array(places, np.int64), math.ceil(len(places) / WINDOWS_AT_ONCE)):
        rows, starts = part.T
        x = np.empty((len(rows), *reader.window_shape(length)), np.float32)
        reader.windows_into(records[rows], starts, x)
        y = torch.from_numpy(targets[rows].toarray())
        yield Batch(x=torch.from_numpy(x), y=y, index=torch.from_numpy(rows))


def start_dense_layers(
    tagger: Tagger, batches: Iterable[tuple[Tensor, Tensor]], autocast: Any, settle: Callable[[], None]
) -> None:
    """Let the dense layers be a logistic regression on what the convolutions, pooled over time, tell of windows.

    The hidden layer's units are the windows' principal components, each with both signs, so that little is lost in it
    (random units lose much): as many as hold `KEPT_VARIANCE`, scaled by the fourth root of their variance, which is
    between leaving the strong ones strong and making all alike. Other units are not listened to at first.

    The tagger is new but for batch norm's statistics, and left in evaluation mode; `autocast` is as above, and
    `settle` gives batch norm the statistics of the weights as they then are.
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
    n_units = len(units)
    offsets = -units @ pooled.mean(dim=0)
    rectified = functional.relu(functional.linear(pooled, units, offsets))
    with torch.no_grad():
        back_end.dense.weight[:n_units].copy_(units)
        back_end.dense.bias[:n_units].copy_(offsets)
        back_end.norm.weight[:n_units].copy_(
            deviation.sqrt().repeat(2)[:n_units] * rectified.std(dim=0, correction=0)
        )
        settle()
        rectified = functional.relu(back_end.dense(pooled.to(back_end.dense.weight.dtype)))
        hidden = back_end.norm(rectified).double()
    exclusive = bool(tagger.settings["exclusive"])
    weight, bias = fit_logistic(hidden[:, :n_units], torch.cat(wanted), PENALTY, exclusive=exclusive)
    output = cast(nn.Linear, back_end.output)
    with torch.no_grad():
        output.weight.zero_()
        output.weight[:, :n_units].copy_(weight)
        output.bias.copy_(bias)


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

    What is least is Σ cross-entropies + penalty / 2 ‖weights‖², by L-BFGS over all labels at once, of features
    (n, n_features) and targets (n, n_labels) in 0 to 1. Exclusive labels share one regression, and a softmax.
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
