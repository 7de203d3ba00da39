"""Losses against their formulas with plain loops, their gradients, and their limits."""

from __future__ import annotations

import math
import resource

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong.errors import FolksongError
from folksong.training.config import LossSettings
from folksong.training.losses import (
    TaggingLoss,
    asymmetric_loss,
    binary_cross_entropy,
    nearest_similarity,
    semantic_bce,
)

BATCH, LABELS, DIMENSION = 5, 7, 4


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))


def example(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(BATCH, LABELS, generator=generator, dtype=dtype) * 3
    targets = (torch.rand(BATCH, LABELS, generator=generator) < 0.35).to(dtype)
    targets[0] = 0
    vectors = torch.randn(LABELS, DIMENSION, generator=generator, dtype=dtype)
    vectors[2] = 0
    vectors[5] = math.nan
    return logits, targets, vectors


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )


def semantic_by_loops(logits, targets, vectors, gamma):
    """The formula, one label of one sample at a time."""
    rows = vectors.tolist()
    known = [any(row) and not any(map(math.isnan, row)) for row in rows]
    total = 0.0
    for z_row, t_row in zip(logits.tolist(), targets.tolist(), strict=True):
        true = [j for j, t in enumerate(t_row) if t > 0 and known[j]]
        for i, (z, t) in enumerate(zip(z_row, t_row, strict=True)):
            factor = 1.0
            if true and known[i]:
                factor = 1 + gamma * (1 - max(cosine(rows[i], rows[j]) for j in true))
            total -= t * math.log(sigmoid(z)) + (1 - t) * math.log(1 - sigmoid(z)) * factor
    return total / logits.numel()


def test_binary_cross_entropy_equals_the_formula():
    logits, targets, _ = example()
    expected = semantic_by_loops(logits, targets, torch.zeros(LABELS, 1), 0)
    assert binary_cross_entropy(logits, targets).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_semantic_loss_equals_the_formula(gamma, seed):
    logits, targets, vectors = example(seed)
    expected = semantic_by_loops(logits, targets, vectors, gamma)
    assert semantic_bce(logits, targets, vectors, gamma).item() == pytest.approx(expected, rel=1e-12)


def test_gamma_zero_is_binary_cross_entropy_bit_for_bit():
    logits, targets, vectors = example(dtype=torch.float32)
    gradients = []
    for loss in (binary_cross_entropy, lambda z, t: semantic_bce(z, t, vectors, 0.0)):
        z = logits.clone().requires_grad_()
        value = loss(z, targets)
        value.backward()
        gradients.append((value.detach(), z.grad))
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


def test_default_options_are_binary_cross_entropy_bit_for_bit():
    logits, targets, _ = example(dtype=torch.float32)
    assert torch.equal(TaggingLoss(LossSettings())(logits, targets), binary_cross_entropy(logits, targets))


def test_without_true_labels_that_have_vectors_it_is_binary_cross_entropy():
    logits, targets, vectors = example()
    targets[:] = 0
    targets[:, 2] = 1  # has no vector
    expected = binary_cross_entropy(logits, targets).item()
    assert semantic_bce(logits, targets, vectors, 3.0).item() == pytest.approx(expected, rel=1e-12)


def test_equal_and_opposite_meanings():
    vectors = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    logits = torch.zeros(1, 3, dtype=torch.float64)
    log2 = math.log(2)
    assert semantic_bce(logits, targets, vectors, 1.0).item() == pytest.approx((log2 + log2 + 3 * log2) / 3)


@pytest.mark.parametrize(
    "options",
    [
        LossSettings(kind="semantic", gamma=2.0),
        LossSettings(kind="semantic", gamma=2.0, absent_weight=0.3, label_smoothing=0.1),
        LossSettings(weights="sample", absent_weight=0.5),
        LossSettings(weights="soft", label_smoothing=0.2),
        LossSettings(kind="asymmetric", positive_focus=1.0),
        LossSettings(kind="asymmetric", margin=0.0, negative_focus=2.0, weights="sample"),
    ],
)
def test_gradients_are_those_of_the_value(options):
    logits, targets, vectors = example()
    loss = TaggingLoss(options, vectors if options.kind == "semantic" else None)
    targets = targets * 0.6 if options.weights != "ignore" else targets
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), logits.requires_grad_())


def test_asymmetric_loss_equals_the_formula():
    logits, targets, _ = example()
    total = 0.0
    for z, t in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True):
        p = sigmoid(z)
        q = max(p - 0.1, 0)
        total -= t * (1 - p) ** 1.5 * math.log(p) + (1 - t) * q**3 * math.log(1 - q)
    got = asymmetric_loss(logits, targets, positive_focus=1.5, negative_focus=3.0, margin=0.1)
    assert got.item() == pytest.approx(total / logits.numel(), rel=1e-10)
    plain = asymmetric_loss(logits, targets, positive_focus=0, negative_focus=0, margin=0)
    assert plain.item() == pytest.approx(binary_cross_entropy(logits, targets).item(), rel=1e-12)


def test_weights_absent_labels_and_smoothing_equal_their_formulas():
    logits, targets, _ = example()
    weights = targets * torch.linspace(0.1, 1, LABELS, dtype=torch.float64)

    def by_loops(target_of, positive_of, negative_of):
        total = 0.0
        for z, w in zip(logits.flatten().tolist(), weights.flatten().tolist(), strict=True):
            t = target_of(w)
            total -= positive_of(w) * t * math.log(sigmoid(z)) + negative_of(w) * (1 - t) * math.log(
                1 - sigmoid(z)
            )
        return total / logits.numel()

    def value(**options):
        return TaggingLoss(LossSettings(**options))(logits, weights).item()

    one = lambda w: 1.0  # noqa: E731
    assert value(weights="soft") == pytest.approx(by_loops(lambda w: w, one, one))
    assert value(weights="sample") == pytest.approx(by_loops(lambda w: float(w > 0), lambda w: w or 1.0, one))
    assert value(weights="sample", absent_weight=0.2) == pytest.approx(
        by_loops(lambda w: float(w > 0), lambda w: w or 1.0, lambda w: 1.0 if w else 0.2)
    )
    assert value(weights="soft", label_smoothing=0.1) == pytest.approx(
        by_loops(lambda w: w * 0.9 + 0.05, one, one)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["bce", "semantic", "asymmetric"])
def test_losses_are_stable_in_half_precision(dtype, kind):
    logits = torch.tensor([[200.0, -200.0, 0.0]], dtype=dtype, requires_grad=True)
    targets = torch.tensor([[0.0, 1.0, 1.0]], dtype=dtype)
    loss = TaggingLoss(LossSettings(kind=kind), torch.eye(3, dtype=dtype))(logits, targets)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_memory_does_not_hold_batch_times_labels_squared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n, batch = 1500, 512  # batch × n × n floats would be 4.6 GB
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand(batch, n, generator=generator) < 0.005).float()
    vectors = torch.randn(n, 20, generator=generator)
    semantic_bce(torch.randn(batch, n, generator=generator), targets, vectors, 1.0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.floats(0, 10))
def test_the_semantic_loss_never_lies_below_cross_entropy_nor_above_its_bound(seed, gamma):
    logits, targets, vectors = example(seed)
    low = binary_cross_entropy(logits, targets).item()
    value = semantic_bce(logits, targets, vectors, gamma).item()
    assert low - 1e-9 <= value <= low * (1 + 2 * gamma) + 1e-9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"kind": "semantics"},
            "Input should be 'bce', 'semantic', 'asymmetric', 'contrastive', 'hinge' or 'ridge'",
        ),
        ({"weights": "softly"}, "Input should be 'ignore', 'soft' or 'sample'"),
        ({"gamma": -1.0}, "gamma\n.*greater than or equal to 0"),
        ({"absent_weight": 2.0}, "absent_weight\n.*less than or equal to 1"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"gamma": math.nan}, "gamma\n.*finite number"),
        ({"kind": "bce", "vectors": "glove.txt"}, "the loss bce takes no word vectors"),
    ],
)
def test_16_c9_wrong_options_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        LossSettings(**values)


def test_the_semantic_loss_needs_vectors():
    with pytest.raises(FolksongError, match="needs label vectors"):
        TaggingLoss(LossSettings(kind="semantic"))


def test_ten_thousand_labels_need_no_matrix_of_their_square() -> None:
    n_labels, present = 10_000, torch.zeros(4, 10_000, dtype=torch.bool)
    present[:, :3] = True
    loss = TaggingLoss(LossSettings(kind="semantic"), torch.randn(n_labels, 8))
    assert sum(buffer.numel() for buffer in loss.buffers()) < 10 * n_labels
    found = nearest_similarity(present, loss.unit_vectors, loss.has_vector)
    expected = (loss.unit_vectors @ loss.unit_vectors[:3].T).amax(dim=1)
    torch.testing.assert_close(found, expected.expand(4, -1))
