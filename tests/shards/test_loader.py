from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from folksong.errors import FolksongError
from folksong.shards.loader import (
    Batch,
    WindowDataset,
    WindowLoader,
    epoch_order,
    rank_batches,
    window_starts,
)
from folksong.shards.reader import ShardReader

Shards = tuple[Path, list[npt.NDArray[np.float32]]]
TARGETS = sp.csr_matrix(np.eye(12, 5, dtype=np.float32) + np.eye(12, 5, 2, dtype=np.float32))


@pytest.fixture
def dataset(shards: Shards) -> WindowDataset:
    return WindowDataset(ShardReader(shards[0]), range(12), TARGETS, 300, random=True, seed=5)


def loader(dataset: WindowDataset, **options: object) -> WindowLoader:
    return WindowLoader(dataset, 5, **{"shuffle": True, **options})  # type: ignore[arg-type]


def copies(batches: list[Batch]) -> list[dict[str, list[object]]]:
    return [{key: value.tolist() for key, value in batch.items()} for batch in batches]  # type: ignore[attr-defined]


def test_a_batch_holds_windows_targets_and_positions(shards: Shards) -> None:
    reader, sounds = ShardReader(shards[0]), shards[1]
    dataset = WindowDataset(reader, [7, 2, 4], TARGETS[[7, 2, 4]], 300, random=False)
    (batch,) = WindowLoader(dataset, 3, shuffle=False)
    assert batch["index"].tolist() == [0, 1, 2]
    assert {key: value.dtype for key, value in batch.items()} == {
        "x": torch.float32,
        "y": torch.float32,
        "index": torch.int64,
    }
    np.testing.assert_array_equal(batch["y"].numpy(), TARGETS[[7, 2, 4]].toarray())
    for row, track in enumerate((7, 2, 4)):
        start = (len(sounds[track]) - 300) // 2
        np.testing.assert_array_equal(batch["x"][row].numpy(), sounds[track][start : start + 300])
        np.testing.assert_array_equal(dataset[row]["x"].numpy(), batch["x"][row].numpy())
    fetched = dataset.__getitems__([2, 0])
    np.testing.assert_array_equal(fetched["x"].numpy(), batch["x"][[2, 0]].numpy())


def test_a_short_clip_fills_its_window(shards: Shards) -> None:
    dataset = WindowDataset(ShardReader(shards[0]), [0], TARGETS[[0]], 2000, random=True)
    np.testing.assert_array_equal(dataset[0]["x"].numpy(), np.resize(shards[1][0], 2000))


def test_random_windows_are_a_pure_function_of_seed_epoch_and_record(shards: Shards) -> None:
    reader = ShardReader(shards[0])

    def window(position: int, order: list[int], *, seed: int, epoch: int) -> list[float]:
        dataset = WindowDataset(reader, order, TARGETS[order], 300, random=True, seed=seed)
        dataset.set_epoch(epoch)
        values: list[float] = dataset[position]["x"].tolist()
        return values

    here = window(1, [3, 8, 5], seed=1, epoch=2)
    assert window(0, [8], seed=1, epoch=2) == here
    assert window(0, [8], seed=1, epoch=3) != here
    assert window(0, [8], seed=2, epoch=2) != here


def test_random_windows_reach_every_start_evenly() -> None:
    starts = window_starts(np.arange(40_000), np.full(40_000, 107), 100, random=True, seed=3, epoch=1)
    counts = np.bincount(starts, minlength=8)
    assert len(counts) == 8
    assert np.abs(counts - 5000).max() < 5 * np.sqrt(5000)
    lag = np.corrcoef(starts[:-1], starts[1:])[0, 1]
    other = window_starts(np.arange(40_000), np.full(40_000, 107), 100, random=True, seed=3, epoch=2)
    assert abs(lag) < 0.02
    assert abs(np.corrcoef(starts, other)[0, 1]) < 0.02


@given(st.integers(0, 200), st.integers(1, 9), st.integers(1, 7), st.booleans())
def test_ranks_share_an_epoch_without_duplicates_or_loss(
    n: int, batch_size: int, world_size: int, drop_last: bool
) -> None:
    order = epoch_order(n, shuffle=True, seed=0, epoch=0)
    parts = [
        rank_batches(order, batch_size, drop_last=drop_last, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    step = batch_size * world_size
    visited = np.sort(np.concatenate([np.empty(0, np.int64), *(batch for part in parts for batch in part)]))
    expected = np.sort(order[: n // step * step]) if drop_last else np.arange(n)
    np.testing.assert_array_equal(visited, expected)
    assert all(len(batch) == batch_size for part in parts for batch in part[: n // step])
    if drop_last:
        assert len({len(part) for part in parts}) == 1
    whole = rank_batches(order, step, drop_last=True)
    for number, batch in enumerate(whole):
        np.testing.assert_array_equal(batch, np.concatenate([part[number] for part in parts]))


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 13])
def test_the_length_is_the_number_of_batches(
    dataset: WindowDataset, world_size: int, drop_last: bool
) -> None:
    for rank in range(world_size):
        part = loader(dataset, rank=rank, world_size=world_size, drop_last=drop_last)
        assert len(part) == len(list(part))


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_workers_change_nothing(dataset: WindowDataset, workers: int) -> None:
    alone, several = loader(dataset), loader(dataset, workers=workers)
    for _ in range(3):
        assert copies(list(alone)) == copies(list(several))


def test_epochs_follow_each_other_and_can_be_chosen(dataset: WindowDataset) -> None:
    train = loader(dataset)
    epochs = [copies(list(train)) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    train.set_epoch(1)
    assert copies(list(train)) == epochs[1]
    fixed = WindowDataset(dataset.reader, range(12), TARGETS, 300, random=False)
    valid = loader(fixed, shuffle=False)
    assert copies(list(valid)) == copies(list(valid))


def test_an_iteration_given_up_begins_anew(dataset: WindowDataset) -> None:
    train = loader(dataset, workers=2)
    expected = copies(list(loader(dataset)))
    for _ in train:
        break
    assert copies(list(train)) == expected


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_loaded_state_continues_at_the_very_batch(dataset: WindowDataset, workers: int, stop: int) -> None:
    train = loader(dataset, workers=workers)
    list(train)
    reference = loader(dataset)
    list(reference)
    expected = copies(list(reference))
    iterator = iter(train)
    before = copies([next(iterator) for _ in range(stop)])
    state = pickle.loads(pickle.dumps(train.state_dict()))  # noqa: S301
    resumed = loader(dataset, workers=workers)
    resumed.load_state_dict(state)
    resumed.set_epoch(1)  # as Lightning does
    assert before + copies(list(resumed)) == expected
    assert resumed.epoch == 2
    assert len(list(resumed)) == 3


def test_a_run_continues_on_another_number_of_ranks(dataset: WindowDataset) -> None:
    one = WindowLoader(dataset, 4, shuffle=True)
    iterator = iter(one)
    seen = next(iterator)["index"].tolist()
    state = one.state_dict()
    assert state == {"epoch": 0, "records": 4}
    for rank in (0, 1):
        part = WindowLoader(dataset, 2, shuffle=True, rank=rank, world_size=2)
        part.load_state_dict(state)
        seen += [index for batch in part for index in batch["index"].tolist()]
    assert sorted(seen) == list(range(12))
    with pytest.raises(FolksongError, match="stopped after 4 records, which batches of 3 never do"):
        WindowLoader(dataset, 3, shuffle=True).load_state_dict(state)


def test_memory_is_reused_only_when_nothing_refers_to_it(dataset: WindowDataset) -> None:
    train = WindowLoader(dataset, 4, shuffle=True, workers=2)
    kept = []
    views = []
    places = set()
    for _ in range(5):
        for number, batch in enumerate(train):
            places.add(batch["x"].data_ptr())
            if number == 0:
                kept.append((batch["x"], batch["x"].clone()))
            if number == 1:
                views.append((batch["x"][1:, ::2], batch["x"][1:, ::2].clone()))
    for tensor, copy in kept + views:
        torch.testing.assert_close(tensor, copy, rtol=0, atol=0)
    kept_places = {tensor.data_ptr() for tensor, _ in kept}
    assert len(kept_places) == 5
    assert len(places) < 15, "some memory was reused"


def test_an_error_in_a_worker_reaches_the_consumer(dataset: WindowDataset) -> None:
    dataset.indices = np.array([*dataset.indices[:-1], 99])
    with pytest.raises(IndexError, match="99"):
        list(loader(dataset, workers=2))


def test_pytorchs_own_loader_takes_whole_batches(dataset: WindowDataset) -> None:
    theirs = torch.utils.data.DataLoader(dataset, batch_size=5, collate_fn=lambda batch: batch)
    ours = WindowLoader(dataset, 5, shuffle=False)
    assert copies(list(theirs)) == copies(list(ours))


def test_wrong_arguments_are_errors(shards: Shards, dataset: WindowDataset) -> None:
    reader = ShardReader(shards[0])
    with pytest.raises(FolksongError, match="2 records, but targets of 12"):
        WindowDataset(reader, [0, 1], TARGETS, 300, random=False)
    with pytest.raises(FolksongError, match="must lie in 0 to 11"):
        WindowDataset(reader, [12], TARGETS[[0]], 300, random=False)
    with pytest.raises(FolksongError, match="at least 1 step"):
        WindowDataset(reader, [0], TARGETS[[0]], 0, random=False)
    with pytest.raises(FolksongError, match="rank 2 of 2"):
        WindowLoader(dataset, 4, shuffle=True, rank=2, world_size=2)
