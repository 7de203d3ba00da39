"""Learning rates over a training: the formulas, and that they go on where they stood."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from folksong.errors import FolksongError
from folksong.training.config import Config
from folksong.training.optimizer import build_optimizer
from folksong.training.schedule import Schedule

TOTAL = 20


def settings_of(**training):
    return Config.from_dict({"model-training": training}).schedule


def optimizer_of(name="Adam", **arguments):
    return build_optimizer([torch.nn.Parameter(torch.ones(2, 2))], name, 1e-3, arguments)


def rates_of(settings, n_steps=TOTAL, optimizer=None, cut=None):
    """Return the learning rate of each step; state is saved and restored into new objects after step `cut`."""
    optimizer = optimizer or optimizer_of()
    schedule = Schedule(optimizer, settings, TOTAL)
    rates = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*epoch parameter in `scheduler.step.*")
        for step in range(n_steps):
            if step == cut:
                states = optimizer.state_dict(), schedule.state_dict()
                optimizer = optimizer_of()
                schedule = Schedule(optimizer, settings, TOTAL)
                optimizer.load_state_dict(states[0])
                schedule.load_state_dict(states[1])
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step()
    return rates


def test_cosine_falls_as_a_half_wave():
    rates = rates_of(settings_of(schedule="cosine", cosine_min_lr=1e-5), n_steps=TOTAL + 4)
    expected = [1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * step / TOTAL)) / 2 for step in range(TOTAL)]
    assert rates[:TOTAL] == pytest.approx(expected)
    assert rates[TOTAL:] == pytest.approx([1e-5] * 4)  # made longer, it stays


@pytest.mark.parametrize("schedule", ["plateau", "cosine", "constant"])
def test_a_warm_up_rises_in_a_straight_line(schedule):
    rates = rates_of(settings_of(schedule=schedule, warmup_steps=4))
    assert rates[:5] == pytest.approx([1e-3 * (1 / 4 + 3 / 4 * step / 4) for step in range(5)])
    after = [1e-3 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)]
    assert rates[4:] == pytest.approx(after if schedule == "cosine" else [1e-3] * 16)


def test_one_cycle_rises_and_falls_far_below():
    rates = rates_of(settings_of(schedule="one-cycle", warmup_steps=5), n_steps=TOTAL + 3)
    assert rates[0] == pytest.approx(1e-3 / 25)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == 4  # the last of the first five
    assert rates[TOTAL - 1 :] == pytest.approx([1e-3 / 25 / 1e4] * 4)
    plain = rates_of(settings_of(schedule="one-cycle"))
    assert plain.index(max(plain)) == 5  # 30% of 20


def test_one_cycle_moves_momentum_only_where_there_is_some():
    optimizer = optimizer_of()
    rates_of(settings_of(schedule="one-cycle"), n_steps=5, optimizer=optimizer)
    assert optimizer.param_groups[0]["betas"][0] == pytest.approx(0.85, abs=0.02)
    plain = optimizer_of("SGD")
    rates_of(settings_of(schedule="one-cycle"), n_steps=5, optimizer=plain)
    assert plain.param_groups[0]["momentum"] == 0


@pytest.mark.parametrize("schedule", ["plateau", "cosine", "one-cycle", "constant"])
@pytest.mark.parametrize("warmup", [0, 6])
@pytest.mark.parametrize("cut", [1, 6, 13])
def test_a_schedule_goes_on_where_it_stood(schedule, warmup, cut):
    settings = settings_of(schedule=schedule, warmup_steps=warmup)
    assert rates_of(settings, cut=cut) == rates_of(settings)


def test_plateau_and_warm_up_go_together():
    settings = settings_of(warmup_steps=2, reduceLRoP_patience=1, reduceLRoP_factor=0.1)
    optimizer = optimizer_of()
    schedule = Schedule(optimizer, settings, TOTAL)
    for figure in (0.5, 0.4, 0.3, math.nan):
        optimizer.step()
        schedule.after_step()
        schedule.after_epoch(figure)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(FolksongError, match="warmup_steps 20: the training has 20 steps"):
        Schedule(optimizer_of(), settings_of(warmup_steps=20), TOTAL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "cosin"}, "model-training.schedule: Input should be 'plateau', 'cosine'"),
        (
            {"schedule": "cosine", "cosine_min_lr": 0.01},
            "cosine_min_lr 0.01 is not less than the learning rate 0.001",
        ),
        ({"accumulate_batches": 0}, "accumulate_batches: Input should be greater than or equal to 1"),
        ({"clip_gradient_norm": 0}, "clip_gradient_norm: Input should be greater than 0"),
        ({"warmup_steps": -1}, "warmup_steps: Input should be greater than or equal to 0"),
        ({"optimizer": {"weight_decay": -1}}, "does not take {'weight_decay': -1}: Invalid weight_decay"),
        (
            {"optimizer": {"name": "Rprop", "weight_decay": 1}},
            "the optimizer Rprop has no argument 'weight_decay'",
        ),
        (
            {"augmentation": {"time_mask": 2}},
            "unknown key 'time_mask' in 'model-training.augmentation'; did you mean",
        ),
        ({"augmentation": {"gain_db": -3}}, "gain_db: Input should be greater than or equal to 0"),
    ],
)
def test_settings_out_of_range_are_named(changes, message):
    with pytest.raises(FolksongError) as caught:
        settings_of(**changes)
    assert message in str(caught.value)


def test_weights_decay_and_biases_do_not():
    layer = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    decayed, kept = build_optimizer(layer.parameters(), "AdamW", 1e-3, {"weight_decay": 0.1}).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert decayed["weight_decay"] == 0.1
    assert len(kept["params"]) == 3
    assert kept["weight_decay"] == 0
    assert len(build_optimizer(layer.parameters(), "Adam", 1e-3, {}).param_groups) == 1
