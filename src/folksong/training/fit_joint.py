"""Fitting a head in the joint space (Model 6) to embeddings: steps over batches of tracks, or a closed form.

The closed form (Romera-Paredes & Torr 2015, "An embarrassingly simple approach to zero-shot learning"): with inputs X
(n, n_features), targets Y (n, n_labels) less their means, and label vectors S (n_labels, m),
V = (XᵀX / n + γ I)⁻¹ XᵀY S / n · (SᵀS + λ I)⁻¹, and a score is x V sᵀ.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.models.heads import EmbeddingHead
from folksong.models.joint import JointOutput, joint_output
from folksong.training.fit_head import Examples, FittedHead, calibrate, finish, standardise
from folksong.training.losses import TaggingLoss

EPOCHS, BATCH_SIZE, LEAST_STEPS, MOST_STEPS = 60, 128, 300, 3000
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 1e-3, 0.1, 0.3
FEATURE_PENALTY, TAG_PENALTY = 1e-3, 1.0
"""γ and λ of the closed form."""


def fit_joint(
    head: EmbeddingHead,
    training: Examples,
    validation: Examples | None,
    loss_of: TaggingLoss,
    *,
    parts: Sequence[int] = (),
    seed: int = 0,
) -> FittedHead:
    """Fit a head with a joint output layer, whose label vectors it has; arguments as of `fit_head`.

    Its scores are calibrated on the validation part; without one, on the tracks that it learned from.

    Raises:
        FolksongError: a number is not finite.
    """
    standardise(head, training.x, parts)
    layer, x = joint_output(head), head.standardised(training.x)
    assert layer is not None
    if loss_of.settings.chosen == "ridge":
        solve_closed_form(layer, x, training.targets)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _take_steps(layer, x, training.learned, loss_of)
    seen = training if validation is None else validation
    with torch.inference_mode():
        logits = layer.eval()(head.standardised(seen.x))
    return finish(head, calibrate(logits, seen.targets), math.nan, len(seen.x), doubted="vectors")


def solve_closed_form(layer: JointOutput, x: Tensor, targets: Tensor) -> None:
    """Give a layer that multiplies features (n, n_features) with label vectors the weights V."""
    features, vectors = x.double(), layer.tag_vectors.double()
    wanted = targets.double() - targets.double().mean(dim=0)
    gram = features.T @ features / len(x) + FEATURE_PENALTY * torch.eye(x.shape[1], dtype=torch.float64)
    half = torch.linalg.solve(gram, features.T @ (wanted @ vectors) / len(x))
    of_tags = vectors.T @ vectors + TAG_PENALTY * torch.eye(vectors.shape[1], dtype=torch.float64)
    assert isinstance(layer.audio, nn.Linear)
    with torch.no_grad():
        layer.audio.weight.copy_(torch.linalg.solve(of_tags, half.T))


def _take_steps(layer: JointOutput, x: Tensor, learned: Tensor, loss_of: TaggingLoss) -> None:
    """Move the layer's weights by AdamW at a learning rate that rises and falls once."""
    per_epoch = math.ceil(len(x) / BATCH_SIZE)
    n_steps = min(max(EPOCHS * per_epoch, LEAST_STEPS), max(MOST_STEPS, per_epoch))
    used = [weights for weights in layer.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(used, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=n_steps)
    layer.train()
    done = 0
    while done < n_steps:
        for rows in torch.split(torch.randperm(len(x)), BATCH_SIZE)[: n_steps - done]:
            optimizer.zero_grad()
            logits = layer(functional.dropout(x[rows], DROPOUT))
            loss_of(logits, learned[rows]).backward()
            optimizer.step()
            schedule.step()
            done += 1
