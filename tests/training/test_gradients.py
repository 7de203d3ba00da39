"""Gradients between backward pass and step: clipped to a norm, and looked at."""

from __future__ import annotations

import pytest
import torch

from folksong.errors import FolksongError
from folksong.training import loop
from folksong.training.loop import clip_gradients, is_overflow_of_scaling


def parameters(*gradients):
    made = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(2)) for _ in gradients)
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor(gradient)
    return made


def test_the_norm_of_all_together_is_clipped():
    given = parameters([3.0, 0.0], None, [0.0, 4.0])
    assert clip_gradients(given, 1.0) == pytest.approx(5)
    assert torch.cat([given[0].grad, given[2].grad]).norm() == pytest.approx(1, abs=1e-5)
    assert clip_gradients(given, 2.0) == pytest.approx(1, abs=1e-5)
    assert torch.cat([given[0].grad, given[2].grad]).norm() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_norm_that_is_not_finite_leaves_the_gradients(value):
    given = parameters([3.0, value])
    assert not torch.isfinite(torch.tensor(clip_gradients(given, 1.0)))
    assert given[0].grad[0] == 3


def test_the_scaler_may_overflow_until_its_scale_is_one():
    assert not is_overflow_of_scaling(torch.amp.GradScaler("cpu", enabled=False))
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], 0.1)
    overflows = 0
    while True:
        scaler.scale(weight.sum() * float("inf")).backward()
        scaler.unscale_(optimizer)
        if not is_overflow_of_scaling(scaler):
            break
        overflows += 1
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert overflows == 16
    assert weight == 1  # no such step was taken


def test_gradients_that_are_not_finite_end_the_training_with_names(train_small, monkeypatch, config):
    original, numbers = loop.compute_loss, []
    monkeypatch.setattr(loop, "seed_dropout", lambda seed, number, rank: numbers.append(number))

    def compute_loss(*given):
        loss = original(*given)
        if numbers[-1] == 2 * per_step:
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss

    per_step = 1
    monkeypatch.setattr(loop, "compute_loss", compute_loss)
    message = r"after step 2: the norm of the gradients became nan on the tracks T0\d\d, T0"
    with pytest.raises(FolksongError, match=message):
        train_small(epochs=2)
    per_step = 2
    with pytest.raises(FolksongError, match=message):
        train_small("accumulated", config=config(batch_size=3, accumulate_batches=2), epochs=2)


def test_clipping_bounds_every_step(train_small, config):
    settings = config(optimizer={"name": "SGD", "learning_rate": 1.0}, clip_gradient_norm=1e-6)
    slow, fast = train_small("slow", config=settings), train_small("fast", config=config())
    losses = [run.history()[0]["loss"] for run in (slow, fast)]
    assert losses[0] != losses[1]
    from folksong.models.checkpoint import read_checkpoint

    states = [read_checkpoint(run.last_checkpoint)["tagger"] for run in (slow, fast)]
    moved = [state["back_end.output.bias"].norm() for state in states]  # it begins at 0
    assert moved[0] < 1e-5 < moved[1]
