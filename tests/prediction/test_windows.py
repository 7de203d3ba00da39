"""Sliding windows hear every step once or more, and a track's score is the mean of its windows'."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from folksong.errors import FolksongError
from folksong.models.tagger import Tagger
from folksong.prediction import ArrayClip, score_clips, slide, spread
from folksong.prediction.windows import centre_of

WINDOW = 20_000  # samples; the waveform network needs at least 19,680


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Tagger("waveform", 3, n_dense_units=8).eval()


@given(st.integers(1, 500), st.integers(1, 60), st.integers(1, 80))
def test_windows_lie_inside_begin_at_the_start_and_reach_the_end(n_steps, window, hop):
    starts = slide(n_steps, window, hop)
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    if n_steps <= window:
        assert starts == [0]
    else:
        assert starts[-1] + window == n_steps
        assert all(start % hop == 0 for start in starts[:-1])
        assert all(later - earlier <= hop for earlier, later in pairwise(starts))


@given(st.integers(1, 5000), st.integers(1, 300))
def test_windows_side_by_side_are_few_even_and_hear_nearly_everything(n_steps, window):
    starts = spread(n_steps, window)
    assert all(0 <= start <= max(n_steps - window, 0) for start in starts)
    assert len(starts) <= math.ceil(n_steps / window)
    heard = {step for start in starts for step in range(start, min(start + window, n_steps))}
    assert n_steps - len(heard) <= 0.05 * window + len(starts)
    if len(starts) > 1:
        assert (starts[0], starts[-1]) == (0, n_steps - window)
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert max(gaps) - min(gaps) <= 1


def direct(model, audio, starts):
    """The mean of the windows' scores, one window at a time."""
    rows = []
    for start in starts:
        window = np.take(audio, np.arange(start, start + WINDOW) % max(len(audio), 1))
        with torch.inference_mode():
            rows.append(torch.sigmoid(model(torch.from_numpy(window)[None]))[0].numpy())
    return np.mean(rows, axis=0)


def clips(rng):
    return [rng.standard_normal(n).astype(np.float32) for n in (2 * WINDOW + 1, 900, WINDOW, 3 * WINDOW, 1)]


@pytest.mark.parametrize(
    ("batch_size", "hop"), [(1, WINDOW // 2), (3, WINDOW // 2), (64, WINDOW // 2), (3, None)]
)
def test_scores_are_means_of_the_windows_in_the_order_of_the_clips(model, batch_size, hop):
    audio = clips(np.random.default_rng(0))
    found = list(
        score_clips(
            model,
            map(ArrayClip, audio),
            window_steps=WINDOW,
            hop_steps=hop,
            batch_size=batch_size,
        )
    )
    starts = [slide(len(clip), WINDOW, hop) if hop else spread(len(clip), WINDOW) for clip in audio]
    expected = [direct(model, clip, begins) for clip, begins in zip(audio, starts, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found[0].dtype == np.float32


def test_centre_window_only(model):
    audio = clips(np.random.default_rng(1))
    found = list(
        score_clips(
            model, [centre_of(ArrayClip(one), WINDOW) for one in audio], window_steps=WINDOW, hop_steps=1
        )
    )
    expected = [direct(model, clip, [max(len(clip) - WINDOW, 0) // 2]) for clip in audio]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_clips_are_taken_only_as_needed(model):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield ArrayClip(np.ones(WINDOW, np.float32))

    scores = score_clips(model, endless(), window_steps=WINDOW, hop_steps=WINDOW, batch_size=4)
    next(scores)
    assert len(taken) == 4


def test_no_clips_no_scores(model):
    assert list(score_clips(model, [], window_steps=WINDOW, hop_steps=1)) == []


def test_empty_clip_and_impossible_sizes(model):
    empty = ArrayClip(np.zeros(0, np.float32))
    with pytest.raises(FolksongError, match="clip 0 holds no audio"):
        list(score_clips(model, [empty], window_steps=WINDOW, hop_steps=1))
    with pytest.raises(FolksongError, match="clip 0 holds no audio"):
        list(score_clips(model, [centre_of(empty, WINDOW)], window_steps=WINDOW))
    with pytest.raises(FolksongError, match="hop of 0"):
        list(score_clips(model, [empty], window_steps=WINDOW, hop_steps=0))
