"""Silence figures of made signals, block by block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folksong.audio.file_facts import LevelMeter

RATE = 8000


def sound(seconds, level=0.5):
    return (level * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def quiet(seconds):
    return np.zeros(int(seconds * RATE), np.float32)


def measured(parts, threshold_db=60.0):
    meter = LevelMeter(RATE)
    for part in parts:
        meter.add(part)
    return meter.silence(threshold_db)


def test_ends_are_trimmed_and_gaps_counted():
    found = measured([quiet(1), sound(2), quiet(0.5), sound(1), quiet(1.5), sound(1), quiet(3)])
    assert found.effective_seconds == pytest.approx(6, abs=0.04)
    assert found.total_seconds == pytest.approx(2, abs=0.04)
    assert found.longest_seconds == pytest.approx(1.5, abs=0.04)
    assert found.loudest_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)


def test_the_threshold_is_below_the_loudest_frame():
    parts = [sound(1), sound(1, 0.5 * 10 ** (-50 / 20)), sound(1)]
    assert measured(parts).total_seconds == 0
    assert measured(parts, 40).total_seconds == pytest.approx(1, abs=0.02)
    softer = [part * np.float32(0.01) for part in parts]
    assert measured(softer, 40).total_seconds == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_a_recording_without_sound_is_silent_from_end_to_end(level):
    found = measured([quiet(2) + np.float32(level)])
    assert (found.effective_seconds, found.total_seconds, found.longest_seconds) == (0, 2, 2)


def test_nothing_at_all():
    found = measured([])
    assert (found.effective_seconds, found.total_seconds) == (0, 0)


@given(st.lists(st.integers(0, 700), max_size=30))
@settings(deadline=None, max_examples=50)
def test_blocks_do_not_matter(lengths):
    signal = np.concatenate([sound(0.3), quiet(0.4), sound(0.2)])
    cuts = np.minimum(np.cumsum(lengths), len(signal)).astype(int)
    assert measured(np.split(signal, cuts)) == measured([signal])
