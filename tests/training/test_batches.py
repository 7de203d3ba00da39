"""The batches of a training as one sequence: the same from wherever it is begun."""

from __future__ import annotations

import pytest
import torch

from folksong.shards.reader import ShardReader
from folksong.training.batches import TrainingBatches
from folksong.training.data import prepare
from folksong.training.distributed import Processes


@pytest.fixture
def batches(shards, config):
    reader = ShardReader(shards)

    def make(steps_per_epoch=None, **training):
        settings = config(split=[100, 0, 0], batch_size=10, **training)
        settings = settings.with_changes(steps_per_epoch=steps_per_epoch, keep_unlabelled=True, seed=5)
        data = prepare(reader, reader.tag_table(), settings)
        return TrainingBatches(data, settings, settings.data.batch_size, Processes())

    return make


def taken(batches, start, end):
    """Return (positions, windows) of the batches of the steps from `start` to `end`."""
    found, step = [], start
    while step < end:
        for place, batch in batches.from_step(step):
            found.append((batch["index"].clone(), batch["x"].clone()))
            step += place == batches.batches_per_step - 1
    return found


@pytest.mark.parametrize("steps_per_epoch", [None, 1, 3, 4, 7])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_takes_the_same_windows_wherever_the_training_began(batches, steps_per_epoch, accumulate):
    whole = taken(batches(accumulate_batches=accumulate), 0, 12)
    for start in (0, 1, 5):
        resumed = taken(batches(steps_per_epoch, accumulate_batches=accumulate), start, 12)
        for (index, x), (expected_index, expected_x) in zip(
            resumed, whole[start * accumulate :], strict=False
        ):
            assert torch.equal(index, expected_index)
            assert torch.equal(x, expected_x)


def test_an_epoch_of_n_steps_gives_n_batches_and_passes_go_on_across_epochs(batches):
    three = batches(3)
    assert len(list(three.from_step(0))) == 3
    first_pass = [index for index, _ in taken(three, 0, 4)][:4]
    assert len(torch.cat(first_pass).unique()) == 40  # no track twice before the pass is over


def test_windows_and_orders_differ_between_passes(batches):
    found = taken(batches(), 0, 8)
    assert not torch.equal(found[0][0], found[4][0])


def test_validation_windows_are_the_same_each_time(shards, config):
    reader, settings = ShardReader(shards), config(batch_size=4)
    batches = TrainingBatches(prepare(reader, reader.tag_table(), settings), settings, 4, Processes())
    once, twice = ([batch["x"].clone() for batch in batches.centred()] for _ in range(2))
    assert len(once) == 3
    assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))
