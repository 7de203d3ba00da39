"""Masks and gain: what they change, what they leave, and that they depend on seed, pass and record only."""

from __future__ import annotations

import numpy as np
import pytest

from folksong.errors import FolksongError
from folksong.shards.loader import WindowDataset, WindowLoader
from folksong.shards.reader import ShardReader
from folksong.training.batches import Augmentation, AugmentedWindows
from folksong.training.config import AugmentationSettings


def log_mel(seed=0, longest=30, **settings):
    return Augmentation(AugmentationSettings(**settings), log_mel=True, longest_mask=longest, seed=seed)


def waveform(seed=0, **settings):
    return Augmentation(AugmentationSettings(**settings), log_mel=False, longest_mask=1, seed=seed)


def changed(augmentation, window, data_pass=0, record=0):
    window = window.copy()
    augmentation.apply(window, data_pass, record)
    return window


@pytest.fixture
def picture():
    return np.random.default_rng(0).normal(-40, 10, (96, 200)).astype(np.float32)


def test_a_frequency_mask_covers_whole_bands_with_the_mean(picture):
    widths = set()
    for record in range(60):
        new = changed(log_mel(frequency_masks=1, frequency_mask_bands=8), picture, record=record)
        rows = np.flatnonzero((new != picture).any(axis=1))
        widths.add(len(rows))
        if len(rows):
            assert rows[-1] - rows[0] + 1 == len(rows)
            np.testing.assert_array_equal(new[rows], np.float32(picture.mean(dtype=np.float64)))
    assert widths == set(range(9))


def test_a_time_mask_covers_whole_frames_and_two_masks_more(picture):
    one, two = [], []
    for record in range(60):
        new = changed(log_mel(time_masks=1), picture, record=record)
        frames = np.flatnonzero((new != picture).any(axis=0))
        assert len(frames) <= 30
        assert not len(frames) or frames[-1] - frames[0] + 1 == len(frames)
        one.append(len(frames))
        two.append((changed(log_mel(time_masks=2), picture, record=record) != picture).any(axis=0).sum())
    assert np.mean(one) == pytest.approx(15, abs=4)
    assert np.mean(two) > 1.5 * np.mean(one)


def test_masks_wider_than_the_window_fit_it():
    small = np.arange(12, dtype=np.float32).reshape(3, 4)
    for record in range(30):
        both = log_mel(frequency_masks=1, frequency_mask_bands=50, time_masks=1, longest=50)
        assert changed(both, small, record=record).shape == (3, 4)


def test_gain_is_a_factor_cut_off_at_full_scale():
    sound = np.linspace(-0.9, 0.9, 1001, dtype=np.float32)
    factors = []
    for record in range(200):
        new = changed(waveform(gain_db=6), sound, record=record)
        factor = new[600] / sound[600]
        np.testing.assert_allclose(new, np.clip(sound * factor, -1, 1), atol=1e-6)
        factors.append(20 * np.log10(factor))
    assert min(factors) == pytest.approx(-6, abs=0.3)
    assert max(factors) == pytest.approx(6, abs=0.3)
    assert np.mean(factors) == pytest.approx(0, abs=0.8)


def test_what_is_drawn_depends_on_seed_pass_and_record(picture):
    base = changed(log_mel(frequency_masks=2, time_masks=2), picture, 3, 5)
    assert (changed(log_mel(frequency_masks=2, time_masks=2), picture, 3, 5) == base).all()
    others = [
        changed(log_mel(frequency_masks=2, time_masks=2, seed=1), picture, 3, 5),
        changed(log_mel(frequency_masks=2, time_masks=2), picture, 4, 5),
        changed(log_mel(frequency_masks=2, time_masks=2), picture, 3, 6),
    ]
    assert all((other != base).any() for other in others)


def test_windows_are_changed_in_training_order_or_not_and_targets_never(shards):
    reader = ShardReader(shards)
    targets = np.eye(48, 3, dtype=np.float32)
    plain = WindowDataset(reader, range(48), targets, 20, random=True, seed=5)
    masked = AugmentedWindows(
        log_mel(seed=5, longest=5, time_masks=1), reader, range(48), targets, 20, random=True, seed=5
    )
    batches = {}
    for name, dataset, workers in (("plain", plain, 0), ("masked", masked, 0), ("threads", masked, 2)):
        loader = WindowLoader(dataset, 8, shuffle=True, workers=workers)
        batches[name] = [{key: value.clone() for key, value in batch.items()} for batch in loader]
    for a, b, c in zip(*batches.values(), strict=True):
        assert (a["index"] == b["index"]).all()
        assert (a["y"] == b["y"]).all()
        assert (a["x"] != b["x"]).any()
        assert (b["x"] == c["x"]).all()


def test_what_does_not_apply_is_refused():
    with pytest.raises(FolksongError, match="frequency_masks and time_masks are for log-mel windows"):
        waveform(time_masks=1)
    with pytest.raises(FolksongError, match="gain_db is for waveforms"):
        log_mel(gain_db=3)
