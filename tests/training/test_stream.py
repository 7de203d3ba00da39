"""The batches of a training as one sequence: the same from wherever it is begun."""

from __future__ import annotations

import pytest
import torch

from folksong.shards.loader import WindowDataset, WindowLoader
from folksong.shards.reader import ShardReader
from folksong.training.stream import BatchPass, BatchStream


@pytest.fixture
def loader(shards):
    reader = ShardReader(shards)
    targets = torch.eye(48)[:, :3].numpy()
    dataset = WindowDataset(reader, range(48), targets, 20, random=True, seed=5)
    return WindowLoader(dataset, 10, shuffle=True, drop_last=True)


def batches_from(loader, start, end, steps_per_epoch):
    stream = BatchStream(loader, steps_per_epoch)
    stream.done = start
    taken = []
    while stream.done < end:
        for batch in stream:
            taken.append((batch["index"].clone(), batch["x"].clone()))
            stream.done += 1
    return taken


@pytest.mark.parametrize("steps_per_epoch", [None, 1, 3, 4, 7])
def test_a_step_takes_the_same_windows_wherever_the_training_began(loader, steps_per_epoch):
    n = 4 * len(loader)
    whole = batches_from(loader, 0, n, None)
    for start in (0, 1, 5):
        resumed = batches_from(loader, start, n, steps_per_epoch)
        for (index, x), (expected_index, expected_x) in zip(resumed, whole[start:], strict=False):
            assert torch.equal(index, expected_index)
            assert torch.equal(x, expected_x)


def test_an_epoch_of_n_steps_gives_n_batches_and_passes_go_on_across_epochs(loader):
    stream = BatchStream(loader, 3)
    assert [len(list(stream))] == [3]
    first_pass = [index for index, _ in batches_from(loader, 0, 4, 3)][:4]
    assert len(torch.cat(first_pass).unique()) == 40  # no track twice before the pass is over


def test_windows_and_orders_differ_between_passes(loader):
    taken = batches_from(loader, 0, 2 * len(loader), None)
    first, second = taken[0], taken[len(loader)]
    assert not torch.equal(first[0], second[0])


def test_batch_pass_is_the_same_each_time(loader):
    again = BatchPass(loader)
    assert len(again) == len(loader) == 4
    once, twice = ([batch["x"].clone() for batch in again] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))
