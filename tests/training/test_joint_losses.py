"""The losses of the joint space and its closed form, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from folksong.models.heads import JointOutput
from folksong.training.config import LossSettings
from folksong.training.losses import (
    BANDS,
    CALIBRATION,
    HINGE_SCALE,
    MARGIN,
    TaggingLoss,
    band_weights,
    contrastive,
    hinge,
)
from folksong.training.train_head import FEATURE_PENALTY, TAG_PENALTY, solve_closed_form

RNG = np.random.default_rng(0)
Z = RNG.normal(scale=2, size=(5, 7))
Y = (RNG.random((5, 7)) < 0.35).astype(float)
Y[3] = 0  # a track without any tag
W = RNG.random(7)
N = RNG.random((5, 7))
N[0] = np.where(Y[0] > 0, N[0], 0)  # a track whose other tags are all spellings of its own


def in_loops(of_pair):
    total = weight = 0.0
    for i in range(5):
        for j in range(7):
            if Y[i, j]:
                absent = [k for k in range(7) if not Y[i, k]]
                total += W[j] * of_pair(i, j, absent)
                weight += W[j]
    return total / weight


def tensors():
    return tuple(torch.tensor(values) for values in (Z, Y, W, N))


def test_contrastive_is_its_formula():
    def of_pair(i, j, absent):
        against = sum(N[i, k] * math.exp(Z[i, k]) for k in absent)
        return -math.log(math.exp(Z[i, j]) / (math.exp(Z[i, j]) + against))

    assert float(contrastive(*tensors())) == pytest.approx(in_loops(of_pair), rel=1e-9)


def test_hinge_is_its_formula():
    def of_pair(i, j, absent):
        share = sum(N[i, k] for k in absent)
        over = [N[i, k] * max(0, MARGIN - Z[i, j] / HINGE_SCALE + Z[i, k] / HINGE_SCALE) for k in absent]
        return sum(over) / share if share else 0.0

    assert float(hinge(*tensors())) == pytest.approx(in_loops(of_pair), rel=1e-9)


@pytest.mark.parametrize("loss", [contrastive, hinge])
def test_gradients_are_finite_where_a_track_has_no_tag_or_no_negative(loss):
    z, y, w, n = tensors()
    z.requires_grad_()
    loss(z, y, w, n).backward()
    assert torch.isfinite(z.grad).all()
    assert not z.grad[3].any()
    assert not z.grad[0].any()


def test_pairs_of_each_band_weigh_the_same():
    counts = torch.tensor([1, 1, 3, 4, 7, 300, 0])
    weights = band_weights(counts)
    sums: dict[int, float] = {}
    for count, weight in zip(counts.tolist(), weights.tolist(), strict=True):
        if count:
            band = max(low for low in BANDS if low <= count)
            sums[band] = sums.get(band, 0) + count * weight
    assert set(sums) == {1, 2, 5, 100}
    assert list(sums.values()) == pytest.approx([1] * 4)
    assert weights[-1] == 0


def test_a_likely_tag_counts_less_as_a_negative_and_another_spelling_not_at_all():
    vectors = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 0.0]])
    counts = torch.tensor([5, 5, 5, 5, 5])
    z, y = torch.randn(1, 5), torch.tensor([[1.0, 0, 0, 0, 0]])
    found = TaggingLoss(LossSettings(kind="contrastive"), vectors, counts)(z, y)
    negatives = torch.tensor([[0, 0, 0.4, 1, 1]])
    bce = sum(math.log1p(math.exp(v)) - v * t for v, t in zip(z[0].tolist(), y[0].tolist(), strict=True))
    expected = float(contrastive(z, y, band_weights(counts), negatives)) + CALIBRATION * bce
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_closed_form_is_where_its_objective_is_least():
    rng = np.random.default_rng(1)
    x, s = rng.normal(size=(30, 6)), rng.normal(size=(9, 4))
    y = (rng.random((30, 9)) < 0.3).astype(float)
    layer = JointOutput(6, 9, 4, cosine=False)
    layer.tag_vectors = torch.tensor(s, dtype=torch.float32)
    solve_closed_form(layer, torch.tensor(x, dtype=torch.float32), torch.tensor(y))
    v = layer.audio.weight.detach().double().numpy().T
    centred = y - y.mean(axis=0)

    def objective(v):  # Romera-Paredes & Torr 2015, equation 3, with their β = γ λ
        fit = ((x @ v @ s.T - centred) ** 2).sum() / len(x)
        return (
            fit
            + FEATURE_PENALTY * ((v @ s.T) ** 2).sum()
            + TAG_PENALTY * ((x @ v) ** 2).sum() / len(x)
            + FEATURE_PENALTY * TAG_PENALTY * (v**2).sum()
        )

    least = objective(v)
    for _ in range(20):
        assert objective(v + 1e-3 * rng.normal(size=v.shape)) > least
    assert layer(torch.tensor(x, dtype=torch.float32)).detach().numpy() == pytest.approx(
        x @ v @ s.T, abs=1e-5
    )
