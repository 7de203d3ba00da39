"""Fitting a head to embeddings: all tracks at once, its regularisation chosen on tracks that are held out.

Linear heads: what is least is Σ_labels mean_tracks(loss) + λ/2 ‖W‖² for inputs of mean square length 1, biases free.
Embeddings are rotated onto their principal axes, where the Hessian is nearly diagonal; in variables scaled by its
diagonal L-BFGS needs some ten steps. λ falls from 1 by √10, each solution the start of the next, until held-out tracks
are told apart no better: by macro ROC-AUC + macro PR-AUC, in which rare labels count as much as frequent ones. Then all
training tracks are fitted.

Held-out tracks are the validation part where it is large, else those of `N_FOLDS` folds of the training part, or of one
of them where there are many tracks or labels.
Where each training track carries exactly one label and the loss is plain cross-entropy, it is that of the softmax, and
λ is chosen by it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn
from torch.nn import functional

from folksong.errors import FolksongError
from folksong.metrics import summarise
from folksong.models.heads import LAST_KNOT, N_KNOTS, EmbeddingHead
from folksong.training.losses import softmax_loss
from folksong.training.optimizer import minimise

Loss = Callable[[Tensor, Tensor], Tensor]

N_FOLDS = 5
LARGE_VALIDATION = 500  # tracks: enough to choose by without folds
MANY_TRACKS, MANY_PAIRS = 3000, 300_000  # of a training part (and labels), of which one fold is enough
FIRST_PENALTY, PENALTY_STEP, LAST_PENALTY = 1.0, 10**-0.5, 1e-7
PATIENCE = 2  # steps of λ without an improvement
MAX_ITERATIONS = 60
ITERATIONS_ON_THE_WAY, TOLERANCE_ON_THE_WAY = 20, 1e-5  # of λs that are only looked at
LEAST_SHARE = 1e-4
LEAST_DEVIATION = 2e-5
"""Of a feature, relative to its size: less is rounding in 32 bits, which would count as much."""
OFFSET_PENALTY = 2.0  # tracks' worth of doubt that a label's offset in the calibration is 0
BATCH_SIZE, LEARNING_RATE, MOST_EPOCHS, EPOCHS_PATIENCE = 128, 1e-3, 200, 8
HIDDEN_DECAY = 1e-2


@dataclass(frozen=True, eq=False)
class Examples:
    """What a head is fitted to, or judged on.

    Args:
        x: (n, n_features) float32.
        targets: (n, n_labels) float32 of 0 and 1.
        learned: (n, n_labels), what the loss sees: the targets, or weights.
    """

    x: Tensor
    targets: Tensor
    learned: Tensor

    def rows(self, rows: Tensor) -> "Examples":
        """Return those of these rows."""
        return Examples(self.x[rows], self.targets[rows], self.learned[rows])


@dataclass(frozen=True, eq=False)
class FittedHead:
    """A head, and what its choice rests on.

    Args:
        head: in evaluation mode.
        penalty: λ; NaN for a hidden layer.
        n_held_out: tracks that it was chosen and calibrated by.
        held_out_loss: mean log-loss of these tracks; less is better, also between embeddings.
    """

    head: EmbeddingHead
    penalty: float
    n_held_out: int
    held_out_loss: float


def fit_head(
    head: EmbeddingHead,
    training: Examples,
    validation: Examples | None,
    loss_of: Loss,
    *,
    parts: Sequence[int] = (),
    seed: int = 0,
) -> FittedHead:
    """Fit a head's weights and calibration.

    Args:
        head: a new head; an exclusive one takes the softmax's loss in the place of `loss_of`.
        training: what it learns from.
        validation: used to choose by, never to learn from, and only if it is large.
        loss_of: (logits, learned) -> the mean loss over tracks and labels.
        parts: features of each of several extractors side by side, which then count alike, however many those are.
        seed: of folds, first weights and batches.

    Raises:
        FolksongError: a number is not finite.
    """
    standardise(head, training.x, parts)
    loss = softmax_loss if head.settings["exclusive"] else _summed(loss_of)
    inner = Examples(head.standardised(training.x), training.targets, training.learned)
    judge = None
    if validation is not None and len(validation.x) >= LARGE_VALIDATION:
        judge = Examples(head.standardised(validation.x), validation.targets, validation.learned)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        folds = _held_out_parts(inner, judge, seed)
        fit = _fit_hidden if head.settings["n_hidden"] else _fit_linear
        penalty, logits, targets = fit(head, inner, judge, folds, loss)
    calibration = calibrate(logits, targets, exclusive=head.settings["exclusive"])
    return finish(head, calibration, penalty, len(logits), doubted="losses")


def finish(
    head: EmbeddingHead, found: "Calibration", penalty: float, n_held_out: int, *, doubted: str
) -> FittedHead:
    """Calibrate a head whose weights are fitted, and check that all its numbers are finite."""
    head.slope.copy_(found.slope)
    head.offset.copy_(found.offset)
    if not all(bool(torch.isfinite(values).all()) for values in head.state_dict().values()):
        raise FolksongError(
            f"the head's weights became infinite; are the embeddings finite, and the {doubted}?"
        )
    return FittedHead(head.eval(), penalty, n_held_out, found.loss)


def standardise(head: EmbeddingHead, x: Tensor, parts: Sequence[int] = ()) -> None:
    """Give a head the knots, mean and scale of embeddings (n, n_features); a feature that is constant becomes 0.

    All features together have a mean square length of 1, and so much of it each part (numbers of features).
    """
    if not bool(torch.isfinite(x).all()):
        raise FolksongError("some embeddings are no finite numbers")
    head.knots.copy_(_knots(x))
    x = head.bent(x)
    mean = x.mean(dim=0, dtype=torch.float64)
    deviation = ((x - mean.to(x.dtype)).square().mean(dim=0, dtype=torch.float64)).sqrt()
    varies = deviation > LEAST_DEVIATION * mean.abs().clamp(min=1e-30)
    sizes = list(parts) or [x.shape[1]]
    alike = [one.sum().clamp(min=1).expand(len(one)) * len(sizes) for one in torch.split(varies, sizes)]
    scale = torch.where(varies, 1 / deviation.clamp(min=1e-30), 0) / torch.cat(alike).sqrt()
    head.mean.copy_(mean)
    head.scale.copy_(scale)


def _knots(x: Tensor) -> Tensor:
    """Return what `EmbeddingHead` bends features (n, n_features) at: (N_KNOTS, n_features), in rising order."""
    shares = special.ndtr(np.linspace(-LAST_KNOT, LAST_KNOT, N_KNOTS))
    shares[[0, -1]] = 0, 1
    some = x[:: math.ceil(len(x) / MANY_TRACKS)]
    knots = torch.from_numpy(np.quantile(some.numpy(), shares, axis=0))
    widths = knots.diff(dim=0)
    widths[widths < LEAST_DEVIATION * knots.abs().amax(dim=0)] = 0
    return torch.cat([knots[:1], knots[:1] + widths.cumsum(dim=0)])


def _summed(loss_of: Loss) -> Loss:
    return lambda logits, learned: loss_of(logits, learned) * logits.shape[1]


def _held_out_parts(inner: Examples, judge: Examples | None, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return (rows learned from, rows held out) of each fold; none are held out where another part judges.

    Tracks are dealt out by their rarest label, so that folds have about equal shares of each.
    """
    n_tracks = len(inner.x)
    if judge is not None or n_tracks < 2:
        return [(torch.arange(n_tracks), torch.arange(0))]
    counts = inner.targets.sum(dim=0)
    carried = torch.where(inner.targets > 0, counts, torch.inf)
    rarest = torch.where(inner.targets.any(dim=1), carried.argmin(dim=1), len(counts))
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.permutation(n_tracks), rarest.numpy()))
    fold_of = np.empty(n_tracks, np.int64)
    fold_of[order] = np.arange(n_tracks) % min(N_FOLDS, n_tracks)
    many = n_tracks > MANY_TRACKS or inner.targets.numel() > MANY_PAIRS
    folds = range(1 if many else min(N_FOLDS, n_tracks))
    return [
        (torch.from_numpy(np.flatnonzero(fold_of != fold)), torch.from_numpy(np.flatnonzero(fold_of == fold)))
        for fold in folds
    ]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What makes held-out logits probabilities.

    Args:
        slope: scalar.
        offset: (n_labels,).
        loss: mean log-loss of the held-out tracks with a slope of 1 or more: logits that are too small may grow, those
            that are too large not shrink.
    """

    slope: Tensor
    offset: Tensor
    loss: float


def calibrate(logits: Tensor, targets: Tensor, *, exclusive: bool = False) -> Calibration:
    """Find slope and offsets that make held-out logits (n, n_labels) probabilities.

    Platt 1999, "Probabilistic outputs for support vector machines", with one slope for all labels, and offsets that
    stay near 0 where few tracks say otherwise; of the softmax the slope alone (Guo et al. 2017, "On calibration of
    modern neural networks"): its offsets cost an instrument classifier a point of accuracy.
    """
    z, y = logits.double(), targets.double()
    start = torch.cat([torch.ones(1), torch.zeros(z.shape[1])]).double()
    values = start.clone().requires_grad_()

    def summed_loss(values: Tensor) -> Tensor:
        if exclusive:
            return -(y * torch.log_softmax(values[0] * z, dim=1)).sum()
        moved = values[0] * z + values[1:]
        return functional.binary_cross_entropy_with_logits(moved, y, reduction="sum")

    if len(z):
        minimise(
            lambda: summed_loss(values) + OFFSET_PENALTY / 2 * values[1:].square().sum(),
            [values],
            max_iter=MAX_ITERATIONS,
        )
    found = values.detach()
    if not bool(torch.isfinite(found).all()) or found[0] <= 0:  # the scores tell nothing of held-out tracks
        found = start
    bold = torch.cat([found[:1].clamp(min=1), found[1:]])
    return Calibration(found[0], found[1:], float(summed_loss(bold)) / max(len(z), 1))


def _merit(logits: Tensor, targets: Tensor, exclusive: bool) -> float:
    """Return how well logits tell held-out tracks apart; more is better."""
    if not exclusive:
        names = [str(number) for number in range(targets.shape[1])]
        summary = summarise(targets.numpy(), logits.numpy(), labels=names)
        if math.isfinite(merit := summary.macro_roc_auc + summary.macro_pr_auc):
            return merit
    return -calibrate(logits, targets, exclusive=exclusive).loss


def _fit_linear(
    head: EmbeddingHead,
    inner: Examples,
    judge: Examples | None,
    parts: Sequence[tuple[Tensor, Tensor]],
    loss: Loss,
) -> tuple[float, Tensor, Tensor]:
    """Choose λ, fit all tracks; return λ, and the logits and targets of held-out tracks.

    A label that is rarer in what is held out is more frequent in what was learned from: without its share taken out of
    the biases, held-out tracks of all folds together would look worse than chance where λ is large.
    """
    axes = principal_axes(inner.x)
    rotated = Examples(inner.x @ axes, inner.targets, inner.learned)
    seen = judge if judge is not None else rotated.rows(torch.cat([rows for _, rows in parts]))
    heard = [judge.x @ axes] if judge is not None else [rotated.x[rows] for _, rows in parts]
    solver = _LinearSolver([rotated.rows(rows) for rows, _ in parts], loss)
    best, waited = (-math.inf, FIRST_PENALTY, solver.state(), torch.empty(0)), 0
    for penalty, weight, bias in solver.path():
        level = bias - solver.shares + solver.shares.mean(dim=0)
        logits = torch.cat([x @ w + b for x, w, b in zip(heard, weight, level, strict=True)])
        found = _merit(logits, seen.targets, head.settings["exclusive"]) if len(logits) else 0.0
        if found > best[0]:
            best, waited = (found, penalty, solver.state(), logits), 0
        elif (waited := waited + 1) > PATIENCE:
            break
    _, penalty, (weight, bias), logits = best
    start = (weight.mean(dim=0, keepdim=True), bias.mean(dim=0, keepdim=True))
    weight, bias = _LinearSolver([rotated], loss).solve(penalty, start)
    member = head.members[0]
    assert isinstance(member, nn.Linear)
    with torch.no_grad():
        member.weight.copy_((axes @ weight[0]).T)
        member.bias.copy_(bias[0])
    return penalty, logits, seen.targets


def principal_axes(x: Tensor) -> Tensor:
    """Return the (n_features, rank) orthonormal axes on which tracks (n, n_features) lie, the longest first."""
    n_tracks, n_features = x.shape
    wide = x.double()
    gram = wide @ wide.T if n_tracks <= n_features else wide.T @ wide
    values, vectors = torch.linalg.eigh(gram)
    kept = values > max(float(values[-1]), 1e-30) * 1e-9
    if not bool(kept.any()):  # all tracks are equal
        return x.new_zeros(n_features, 1)
    axes = vectors[:, kept].flip(1)
    if n_tracks <= n_features:
        axes = wide.T @ axes / values[kept].flip(0).sqrt()
    found: Tensor = axes.to(x.dtype)
    return found


class _LinearSolver:
    """Linear maps of several sets of tracks at once, along a path of λ."""

    def __init__(self, sets: Sequence[Examples], loss: Loss) -> None:
        self.sets, self.loss = sets, loss
        share = torch.stack([part.learned.mean(dim=0) for part in sets]).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
        curvature = share * (1 - share)
        lengths = torch.stack([part.x.square().mean(dim=0) for part in sets])
        self._hessian = curvature[:, None] * lengths[..., None]  # (sets, rank, n_labels), at W = 0
        self._bias_scale = curvature.rsqrt()
        self.shares = torch.logit(share)  # (sets, n_labels)
        self._state = (torch.zeros_like(self._hessian), self.shares)

    def state(self) -> tuple[Tensor, Tensor]:
        """Return weights (sets, rank, n_labels) and biases (sets, n_labels) as they are."""
        return self._state

    def path(self) -> Iterator[tuple[float, Tensor, Tensor]]:
        """Yield λ, weights and biases for falling λ."""
        penalty = FIRST_PENALTY
        while penalty > LAST_PENALTY:
            yield penalty, *self.solve(penalty, self._state, ITERATIONS_ON_THE_WAY, TOLERANCE_ON_THE_WAY)
            penalty *= PENALTY_STEP

    def solve(
        self,
        penalty: float,
        start: tuple[Tensor, Tensor],
        max_iterations: int = MAX_ITERATIONS,
        tolerance: float = 1e-7,
    ) -> tuple[Tensor, Tensor]:
        """Return weights and biases for one λ."""
        scale = (self._hessian + penalty).rsqrt()
        w, b = (start[0] / scale).requires_grad_(), (start[1] / self._bias_scale).requires_grad_()

        def objective() -> Tensor:
            weight, bias = w * scale, b * self._bias_scale
            total = penalty / 2 * weight.square().sum()
            for number, part in enumerate(self.sets):
                total = total + self.loss(part.x @ weight[number] + bias[number], part.learned)
            return total

        minimise(objective, [w, b], max_iter=max_iterations, tolerance_grad=1e-5, tolerance_change=tolerance)
        self._state = ((w * scale).detach(), (b * self._bias_scale).detach())
        return self._state


def _fit_hidden(
    head: EmbeddingHead,
    inner: Examples,
    judge: Examples | None,
    parts: Sequence[tuple[Tensor, Tensor]],
    loss: Loss,
) -> tuple[float, Tensor, Tensor]:
    """Train each member until its own held-out tracks are described no better; they are the folds in turn."""
    logits, targets = [], []
    widened = math.sqrt(head.settings["n_features"])  # inputs of variance 1, for which first weights are made
    for number, member in enumerate(head.members):
        rows, held = parts[number % len(parts)]
        learned = inner.rows(rows)
        seen = judge if judge is not None else inner.rows(held)
        logits.append(_train_member(member, learned, seen, loss, widened))
        targets.append(seen.targets)
        first = member[0]  # type: ignore[index]
        with torch.no_grad():
            first.weight.mul_(widened)
    return math.nan, torch.cat(logits), torch.cat(targets)


def _train_member(member: nn.Module, learned: Examples, seen: Examples, loss: Loss, widened: float) -> Tensor:
    """Train one network with Adam and dropout; leave its best weights, and return its logits of `seen`."""
    optimizer = torch.optim.AdamW(member.parameters(), lr=LEARNING_RATE, weight_decay=HIDDEN_DECAY)
    best, state, logits, waited = math.inf, member.state_dict(), torch.empty(0), 0
    for _ in range(MOST_EPOCHS):
        member.train()
        for rows in torch.split(torch.randperm(len(learned.x)), BATCH_SIZE):
            optimizer.zero_grad()
            loss(member(learned.x[rows] * widened), learned.learned[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        member.eval()
        with torch.no_grad():
            now = member(seen.x * widened)
            found = float(loss(now, seen.learned)) if len(seen.x) else math.nan
        if math.isnan(found) or found < best:
            best, logits, waited = found, now, 0
            state = {name: values.clone() for name, values in member.state_dict().items()}
        elif (waited := waited + 1) > EPOCHS_PATIENCE:
            break
    member.load_state_dict(state)
    return logits
