"""The training of a head on embeddings: all tracks at once, within seconds, so that there is nothing to resume.

It leaves a run as any other training does. ``metrics.jsonl`` has one line.

A head in the joint space (Model 6) is fitted by steps over batches of tracks, or by a closed form (Romera-Paredes &
Torr 2015, "An embarrassingly simple approach to zero-shot learning"): with inputs X (n, n_features), targets Y
(n, n_labels) less their means, and label vectors S (n_labels, m), V = (XᵀX / n + γ I)⁻¹ XᵀY S / n · (SᵀS + λ I)⁻¹, and
a score is x V sᵀ. Other heads: `folksong.training.fit_head`.
"""

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from folksong.embeddings.store import Embeddings
from folksong.files import atomic_write, json_value
from folksong.metrics import summarise
from folksong.models.checkpoint import write_checkpoint
from folksong.models.heads import EmbeddingHead, JointOutput, joint_output
from folksong.models.pretrained.extractors import contamination
from folksong.runs import Run, write_model_card
from folksong.training.config import Config
from folksong.training.data import TrainingData
from folksong.training.fit_head import Examples, FittedHead, calibrate, finish, fit_head, standardise
from folksong.training.label_vectors import place_labels
from folksong.training.loop import TrainingInterrupted
from folksong.training.losses import TaggingLoss, learns_softmax, read_loss

logger = logging.getLogger(__name__)

N_MEMBERS = 5  # networks with a hidden layer that are averaged


def build_head(data: TrainingData, config: Config, joint: dict[str, Any] | None = None) -> EmbeddingHead:
    """Return a new head for the data; `joint` as of `EmbeddingHead`."""
    hidden = config.model.head == "hidden"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.runtime.seed)
        return EmbeddingHead(
            cast(Embeddings, data.reader).space.dimensions,
            data.space,
            n_hidden=config.model.n_dense_units if hidden else 0,
            n_members=N_MEMBERS if hidden else 1,
            exclusive=learns_softmax(data.targets_of("training"), config.loss),
            joint=joint,
        )


def describe_embeddings(data: TrainingData) -> dict[str, Any]:
    """Return what a run's config.json says of what its head takes."""
    embeddings = cast(Embeddings, data.reader)
    space = embeddings.space
    return {
        "audio": {
            "audio_format": "embeddings",
            "sample_rate": space.sample_rate or 0,
            "preset": None,
            "window_seconds": space.window_seconds or 0.0,
            "window_steps": 1,
        },
        "embeddings": {
            "space": asdict(space),
            "extractor": embeddings.provenance.get("extractor", space.model),
        },
    }


def finish_head(run: Run, data: TrainingData, config: Config) -> Run:
    """Fit the head of a run that was begun; one that is there already is left as it is.

    Raises:
        TrainingInterrupted: Ctrl-C; the run can be resumed.
    """
    if run.best_checkpoint.exists():
        logger.info("%s: its head is fitted already; nothing to do", run.path)
        return run
    try:
        return train_head(run, data, config)
    except KeyboardInterrupt:
        raise TrainingInterrupted(run) from None


def train_head(run: Run, data: TrainingData, config: Config) -> Run:
    """Fit the head of a run that was begun, and leave its weights, figures and model card in it.

    Raises:
        FolksongError: a number is not finite.
    """
    began = time.monotonic()
    embeddings = cast(Embeddings, data.reader)
    tags = (tag for label in data.space.labels for tag in label.tags)
    if (warning := contamination(embeddings.space.model, embeddings.track_ids, tags)) is not None:
        logger.warning("%s", warning)
    training, validation = (_examples(data, part) for part in ("training", "validation"))
    head = build_head(data, config, run.config["tagger"].get("joint"))
    place_labels(head, run)
    fit = fit_joint if config.model.head == "joint" else fit_head
    fitted = fit(
        head,
        training,
        validation if len(validation.x) else None,
        read_loss(run, config.loss, data.label_counts()),
        parts=embeddings.space.parts,
        seed=config.runtime.seed,
    )
    row: dict[str, Any] = {"epoch": 1, "step": 1, "penalty": fitted.penalty, "held_out": fitted.n_held_out}
    if len(validation.x):
        with torch.inference_mode():
            scores = fitted.head(validation.x).numpy()
        found = summarise(validation.targets.numpy(), scores, labels=data.space.names)
        names = ("macro_pr_auc", "micro_pr_auc", "macro_roc_auc", "micro_roc_auc")
        row |= {name: getattr(found, name) for name in names}
    else:
        logger.warning("the validation part is empty: no figures yet, and nothing to tune thresholds on")
    row = json_value({**row, "best": True})
    state = {"tagger": fitted.head.state_dict(), "step": 1, "epoch": 1, "metrics": row}
    write_checkpoint(run.best_checkpoint, state)
    with atomic_write(run.metrics_path, "w") as stream:
        stream.write(json.dumps(row) + "\n")
    kinds = {"hidden": "hidden layers", "joint": f"joint space, {config.loss.kind}"}
    kind = kinds.get(config.model.head, f"λ {fitted.penalty:.1e}")
    write_model_card(run, [row], f"A head ({kind}, chosen on {fitted.n_held_out} held-out tracks).")
    logger.info(
        "head of %d labels on %d tracks (%s) in %.1f s; the run is in %s",
        len(data.space), len(training.x), kind, time.monotonic() - began, run.path,
    )  # fmt: skip
    return run


def _examples(data: TrainingData, part: str) -> Examples:
    embeddings = cast(Embeddings, data.reader)
    targets, learned = (
        torch.from_numpy(matrix.toarray()) for matrix in (data.targets_of(part), data.learned_of(part))
    )
    x = torch.from_numpy(embeddings.vectors(embeddings.track_ids[record] for record in data.parts[part]))
    return Examples(x, targets, learned)


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
