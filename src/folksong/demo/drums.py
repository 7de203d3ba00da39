"""Percussion: single strokes from a swept sine, filtered noise and inharmonic metal, and patterns of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from folksong.demo.recipes import Recipes, Stroke
from folksong.demo.rhythm import Grid, onsets
from folksong.demo.tones import Samples

Array = npt.NDArray[np.float64]

METAL_RATIOS = np.array([1.0, 1.342, 1.513, 1.785, 2.093, 2.483, 2.931])
"""Partials of a struck plate: no two in a simple ratio."""
LOUDNESS = {"kick": 1.0, "snare": 0.75, "hat": 0.38, "extra": 0.45}


def render_stroke(stroke: Stroke, sample_rate: int, rng: np.random.Generator, tuning: float = 1.0) -> Samples:
    """Return one stroke; `tuning` scales its frequencies, which gives every artist a drum kit of their own."""
    longest = max(
        5.0 * stroke.tone_decay * (stroke.tone > 0),
        5.0 * stroke.noise_decay * (stroke.noise > 0),
        0.6 * (stroke.metal > 0),
    )
    times = np.arange(int(min(longest, 1.5) * sample_rate)) / sample_rate
    sound = np.zeros(len(times))
    if stroke.tone:
        base = stroke.tone * tuning
        bend = (stroke.sweep - 1.0) * stroke.sweep_time * (1.0 - np.exp(-times / stroke.sweep_time))
        sound += np.sin(2 * np.pi * base * (times + bend)) * np.exp(-times / stroke.tone_decay)
    if stroke.noise:
        noise = _band(rng.standard_normal(len(times)), stroke.low * tuning, stroke.high * tuning, sample_rate)
        if stroke.gate:
            noise *= times < stroke.gate
        sound += stroke.noise * noise * np.exp(-times / stroke.noise_decay)
    if stroke.metal:
        partials = METAL_RATIOS * stroke.metal_hz * tuning
        partials = partials[partials < 0.45 * sample_rate]
        ring = np.sin(2 * np.pi * np.outer(partials, times) + rng.random((len(partials), 1)) * 6.28).mean(
            axis=0
        )
        sound += 2.0 * stroke.metal * ring * np.exp(-times / 0.12)
    rise = min(int(0.001 * sample_rate), len(sound))
    sound[:rise] *= np.linspace(0.0, 1.0, rise)
    return sound.astype(np.float32)


def render_drums(
    recipes: Recipes,
    kit: str,
    pattern: str,
    grid: Grid,
    n_samples: int,
    sample_rate: int,
    rng: np.random.Generator,
    tuning: float,
) -> Samples:
    """Return the drum part of a piece, (n_samples,): the lines of a pattern played by a kit, with a human touch."""
    out = np.zeros(n_samples, np.float32)
    for line, name in recipes.kits[kit].items():
        steps = recipes.patterns[pattern].get(line)
        if not steps:
            continue
        sound = render_stroke(recipes.strokes[name], sample_rate, rng, tuning)
        for onset in onsets(steps, grid, n_samples / sample_rate):
            level = LOUDNESS[line] * onset.velocity * rng.uniform(0.88, 1.0)
            start = max(int((onset.seconds + rng.normal(0.0, 0.002)) * sample_rate), 0)
            stretch = out[start : start + len(sound)]
            stretch += np.float32(level) * sound[: len(stretch)]
    return out


def _band(noise: Array, low: float, high: float, sample_rate: int) -> Array:
    """Keep a band of noise and scale it back to variance 1."""
    top = 0.47 * sample_rate
    edges = [min(max(low, 20.0), 0.6 * top), min(max(high, 2 * low, 100.0), top)]
    kept = sosfilt(butter(2, edges, btype="bandpass", fs=sample_rate, output="sos"), noise)
    return np.asarray(kept / (kept.std() + 1e-9))
