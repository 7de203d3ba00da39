"""Skip-gram tag vectors (Model 4.2): a network that predicts a tag's co-occurring tags, and its hidden weights.

The network has one linear hidden layer of d units: input tag i (one-hot, N) → row i of the hidden weights → N outputs,
softmax by default or sigmoid. A track with the tags S, at least two of them, gives one sample for each i in S: input
i, target S without i. The loss is binary cross-entropy, averaged over samples and outputs.

For one input tag the prediction is the same for every track, so the loss over all samples is an exact function of the
co-occurrence counts: with n_i samples of input i, of which c_ij have tag j in their target,

    L = −(1 / (N Σ n_i)) Σ_i Σ_j [ c_ij log p_ij + (n_i − c_ij) log(1 − p_ij) ],

and a full-batch step costs N × N whatever the number of tracks. The gradients are written out; no torch is needed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.errors import FolksongError
from folksong.tags.table import TagTable

Matrix = npt.NDArray[np.float64]
Output = Literal["softmax", "sigmoid"]

CLAMP = 1e-7
PATIENCE = 5
MIN_RELATIVE_IMPROVEMENT = 1e-4
FULL_BATCH_LEARNING_RATE = 0.05
FULL_BATCH_STEPS_PER_EPOCH = 20
"""A full-batch step sees everything, but one step alone is too little to judge progress by."""
MINI_BATCH_LEARNING_RATE = 1e-3


@dataclass(frozen=True, eq=False)
class SkipGramCounts:
    """Samples, summed up by their input tag.

    Attributes:
        rows: (R,) the input tags that occur: all N, or those of a mini-batch.
        inputs: (R,) number of samples with each of them as input.
        pairs: (R, N) number of those that have tag j in their target; 0 where j is the input itself.
    """

    rows: npt.NDArray[np.int64]
    inputs: Matrix
    pairs: Matrix


class Weights(NamedTuple):
    """The network: hidden (N, d), output (d, N) and the outputs' bias (N,)."""

    hidden: Matrix
    output: Matrix
    bias: Matrix


@dataclass(frozen=True, eq=False)
class SkipGram:
    """What was learned.

    Attributes:
        tags: (N,) in the order given.
        vectors: (N, d) float32, row i of the hidden weights scaled to length 1.
        losses: the loss after each epoch.
    """

    tags: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    losses: tuple[float, ...] = ()


def train_skipgram(
    table: TagTable,
    tags: Sequence[str],
    *,
    output: Output = "softmax",
    batch_size: int | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
) -> SkipGram:
    """Learn vectors of N `tags`, of ⌊√N⌋ numbers, from the tracks that carry at least two of them.

    Args:
        table: the tags of the tracks.
        tags: the N tags, all in the table.
        output: "softmax" (clamped to [1e-7, 1 − 1e-7]) or "sigmoid".
        batch_size: None trains full-batch on the counts; the original took batches of 10 samples.
        epochs: at most so many; 100 (of 20 steps) full-batch, 50 (of all samples) in batches by default. Training
            stops after 5 epochs without a relative improvement of 1e-4.
        learning_rate: of Adam; 0.05 full-batch, 0.001 in batches by default.
        seed: of the first weights and of the order of samples.

    Raises:
        FolksongError: fewer than two tags, a tag that is not in the table, or an unknown `output`.
    """
    from threadpoolctl import threadpool_limits

    if output not in ("softmax", "sigmoid"):
        raise FolksongError(f"the output must be 'softmax' or 'sigmoid', not {output!r}")
    if len(tags) < 2:
        raise FolksongError(f"a skip-gram needs at least 2 tags, not {len(tags)}")
    presence = _presence(table, tags)
    rng = np.random.default_rng(seed)
    weights = initial_weights(len(tags), int(len(tags) ** 0.5), rng)
    with threadpool_limits(1, "blas"):  # the same sums on any number of cores
        if batch_size is None:
            steps = [sum_samples(presence)] * FULL_BATCH_STEPS_PER_EPOCH
            rate = learning_rate or FULL_BATCH_LEARNING_RATE
            losses = _train(weights, lambda: steps, output, epochs or 100, rate, last_only=True)
        else:
            size, rate = batch_size, learning_rate or MINI_BATCH_LEARNING_RATE
            losses = _train(weights, lambda: _batches(presence, size, rng), output, epochs or 50, rate)
    lengths = np.linalg.norm(weights.hidden, axis=1, keepdims=True)
    vectors = weights.hidden / np.maximum(lengths, 1e-12)
    return SkipGram(tuple(tags), vectors.astype(np.float32), tuple(losses))


def initial_weights(n_tags: int, dimension: int, rng: np.random.Generator) -> Weights:
    """Draw first weights as Glorot and Bengio (2010) do, uniformly; the bias is 0."""
    limit = (6 / (n_tags + dimension)) ** 0.5
    return Weights(
        rng.uniform(-limit, limit, (n_tags, dimension)),
        rng.uniform(-limit, limit, (dimension, n_tags)),
        np.zeros(n_tags),
    )


def sum_samples(presence: sp.csr_matrix) -> SkipGramCounts:
    """Sum up the samples of tracks × tags, binary (n_tracks, N)."""
    useful = presence[np.flatnonzero(np.diff(presence.indptr) >= 2)]
    pairs = np.asarray((useful.T @ useful).toarray(), np.float64)
    inputs = np.diagonal(pairs).copy()
    np.fill_diagonal(pairs, 0)
    return SkipGramCounts(np.arange(len(inputs)), inputs, pairs)


def loss_and_gradient(weights: Weights, counts: SkipGramCounts, output: Output) -> tuple[float, Weights]:
    """Return the mean loss over all samples that `counts` sums up, and its gradient."""
    hidden = weights.hidden[counts.rows]
    scale = 1 / (len(weights.bias) * max(counts.inputs.sum(), 1))
    logits = hidden @ weights.output + weights.bias
    absent = counts.inputs[:, None] - counts.pairs
    if output == "sigmoid":
        # −log σ(z) = log(1 + e^−z), −log(1 − σ(z)) = log(1 + e^z): stable for any z
        loss = counts.pairs * np.logaddexp(0, -logits) + absent * np.logaddexp(0, logits)
        slope = counts.inputs[:, None] / (1 + np.exp(-np.clip(logits, -500, 500))) - counts.pairs
    else:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        clamped = np.clip(shares, CLAMP, 1 - CLAMP)
        loss = -(counts.pairs * np.log(clamped) + absent * np.log1p(-clamped))
        by_share = absent / (1 - clamped) - counts.pairs / clamped
        by_share[(shares < CLAMP) | (shares > 1 - CLAMP)] = 0  # where the clamp holds, nothing moves
        slope = shares * (by_share - (by_share * shares).sum(axis=1, keepdims=True))
    slope *= scale
    by_hidden = np.zeros_like(weights.hidden)
    by_hidden[counts.rows] = slope @ weights.output.T
    return float(loss.sum() * scale), Weights(by_hidden, hidden.T @ slope, slope.sum(axis=0))


def _train(
    weights: Weights,
    epoch: Callable[[], Iterable[SkipGramCounts]],
    output: Output,
    epochs: int,
    rate: float,
    *,
    last_only: bool = False,
) -> list[float]:
    """Change the weights in place, by Adam (Kingma & Ba 2015), and return the loss of each epoch.

    An epoch's loss is the mean over its samples, or with `last_only` that of its last step. Training ends when
    `PATIENCE` epochs brought no relative improvement of `MIN_RELATIVE_IMPROVEMENT`.
    """
    moments = [(array, np.zeros_like(array), np.zeros_like(array)) for array in weights]
    step, waited, best = 0, 0, np.inf
    losses: list[float] = []
    while len(losses) < epochs and waited < PATIENCE:
        total, n_samples = 0.0, 0
        for counts in epoch():
            loss, gradient = loss_and_gradient(weights, counts, output)
            step += 1
            corrected = rate * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            for (array, mean, square), slope in zip(moments, gradient, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope * slope - square)
                array -= corrected * mean / (np.sqrt(square) + 1e-8)
            size = int(counts.inputs.sum())
            total, n_samples = (loss, 1) if last_only else (total + loss * size, n_samples + size)
        losses.append(total / max(n_samples, 1))
        if not np.isfinite(losses[-1]):
            raise FolksongError("the skip-gram's loss is no longer finite; choose a smaller learning rate")
        better = losses[-1] < best * (1 - MIN_RELATIVE_IMPROVEMENT)
        best, waited = (losses[-1], 0) if better else (best, waited + 1)
    return losses


def _batches(presence: sp.csr_matrix, size: int, rng: np.random.Generator) -> Iterator[SkipGramCounts]:
    """Yield the samples of one epoch in random order, `size` at a time (the last batch may be smaller)."""
    lengths = np.diff(presence.indptr)
    entries = np.flatnonzero(np.repeat(lengths >= 2, lengths))
    track_of = np.repeat(np.arange(presence.shape[0]), lengths)
    order = rng.permutation(entries)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        rows, numbers = np.unique(presence.indices[chosen], return_inverse=True)
        counts = SkipGramCounts(
            rows.astype(np.int64), np.zeros(len(rows)), np.zeros((len(rows), presence.shape[1]))
        )
        for row, track in zip(numbers, track_of[chosen], strict=True):
            counts.inputs[row] += 1
            counts.pairs[row, presence.indices[presence.indptr[track] : presence.indptr[track + 1]]] += 1
        counts.pairs[np.arange(len(rows)), rows] = 0  # the input is in no target
        yield counts


def _presence(table: TagTable, tags: Sequence[str]) -> sp.csr_matrix:
    missing = next((tag for tag in tags if tag not in table.tag_index), None)
    if missing is not None:
        raise FolksongError(f"the tag {missing!r} is not in the table")
    chosen = table.presence[:, [table.tag_index[tag] for tag in tags]]
    return sp.csr_matrix(chosen, dtype=np.float64)
