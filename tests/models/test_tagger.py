"""Sizes, initial weights, standardising and shapes of the networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from folksong.errors import FolksongError
from folksong.labels.space import Label, LabelSpace
from folksong.models.front_ends import ConvBlock, same_padding
from folksong.models.tagger import ResidualBlock, Tagger, standardise

WINDOWS = {"waveform": (20_000,), "log-mel-spectrogram": (96, 40)}


@pytest.fixture(scope="module", params=sorted(WINDOWS))
def tagger(request):
    torch.manual_seed(0)
    return Tagger(request.param, 50)


def windows(tagger, n, seed=0):
    shape = WINDOWS[tagger.settings["front_end"]]
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed))


def test_parameter_counts(tagger):
    trainable = sum(weights.numel() for weights in tagger.parameters())
    moments = sum(buffer.numel() for name, buffer in tagger.named_buffers() if "running" in name)
    wanted = {"waveform": (5_380_774, 5_377_082), "log-mel-spectrogram": (5_927_110, 5_924_154)}
    assert (trainable + moments, trainable) == wanted[tagger.settings["front_end"]]


def test_initial_weights_are_truncated_normals_of_variance_one_over_fan_in(tagger):
    for name, layer in tagger.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            deviation = 1 / math.sqrt(layer.weight[0].numel())
            weight = layer.weight.detach()
            assert not layer.bias.any(), name
            assert weight.abs().max() <= 2 * deviation / 0.8796 + 1e-6, name
            if weight.numel() > 10_000:
                assert weight.std().item() == pytest.approx(deviation, rel=0.03), name
                assert weight.mean().abs() < 0.05 * deviation, name


def test_batch_norms_have_keras_constants(tagger):
    norms = [layer for layer in tagger.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    assert sum(norm.num_features == 1 for norm in norms) == 2


def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(tagger):
    tagger.eval()
    x = windows(tagger, 3)
    with torch.inference_mode():
        together = tagger(x)
        alone = torch.cat([tagger(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("decibels", [0, -20, -40, -60])
def test_logits_do_not_depend_on_the_level_of_the_recording(decibels):
    torch.manual_seed(0)
    tagger = Tagger("waveform", 5).eval()
    x = torch.randn(2, 20_000)  # 0 dBFS RMS
    gain = 10 ** (decibels / 20)
    with torch.inference_mode():
        loud, quiet = tagger(x), tagger(x * gain)
    assert (loud - quiet).abs().max() < 0.01 * loud.abs().max()


def test_standardised_windows():
    x = torch.randn(4, 96, 50, generator=torch.Generator().manual_seed(1)) * 7 - 30
    result = standardise(x).numpy().astype(np.float64)
    wide = x.numpy().astype(np.float64)
    for window, expected in zip(result, wide, strict=True):
        np.testing.assert_allclose(window, (expected - expected.mean()) / expected.std(), atol=1e-5)
    assert standardise(x.to(torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("level", [0.0, 1.0, -0.73, -100.0])
def test_silence_becomes_zeros(level):
    assert standardise(torch.full((2, 48_000), level)).abs().max() < 1e-3


def test_dither_is_not_blown_up_into_a_signal():
    dither = torch.randint(-1, 2, (1, 48_000), generator=torch.Generator().manual_seed(0)) / 2**15
    assert standardise(dither).std() < 0.3


def test_too_short_input_names_the_least_length(tagger):
    tagger.eval()
    least = tagger.minimum_steps
    shape = WINDOWS[tagger.settings["front_end"]]
    with torch.inference_mode():
        assert tagger(torch.randn(1, *shape[:-1], least)).shape == (1, 50)
    with pytest.raises(FolksongError, match=f"at least {least} "):
        tagger(torch.randn(1, *shape[:-1], least - 1))


def test_input_of_another_shape_is_refused(tagger):
    with pytest.raises(FolksongError, match=r"takes \(batch, "):
        tagger(torch.randn(1, 4, 5, 6))


def test_unknown_front_ends_and_sizes_are_refused():
    with pytest.raises(FolksongError, match="did you mean 'waveform'"):
        Tagger("wavefrom", 3)
    with pytest.raises(FolksongError, match="labels of at least 1"):
        Tagger("waveform", 0)


def test_settings_rebuild_the_tagger(tagger):
    again = Tagger.from_settings(tagger.settings)
    again.load_state_dict(tagger.state_dict())
    assert again.settings == tagger.settings
    space = LabelSpace((Label("rock", ("rock",)),))
    with pytest.raises(FolksongError, match="50 outputs, but the label space has 1"):
        Tagger.from_settings(tagger.settings, space)


def test_same_padding_equals_a_plain_loop():
    torch.manual_seed(0)
    for length in (1, 3, 4, 7, 32):
        block = ConvBlock(1, 1, length, same=True).eval()
        curve = torch.randn(20)
        kernel = block.conv.weight.detach().flatten()
        left, _ = same_padding(length)
        for step in range(20):
            taps = [
                kernel[k] * curve[step + k - left] for k in range(length) if 0 <= step + k - left < len(curve)
            ]
            expected = max(0.0, float(sum(taps))) / math.sqrt(1 + 1e-3)
            got = block(curve[None, None, None])[0, 0, 0, step].item()
            assert got == pytest.approx(expected, abs=1e-5)


def test_residual_blocks_normalise_over_all_filters_together():
    torch.manual_seed(0)
    block = ResidualBlock().train()
    x = torch.randn(2, 512, 1, 9).contiguous(memory_format=torch.channels_last)
    rectified = torch.relu(block.conv(x)).detach().double()
    mean, variance = rectified.mean(), rectified.var(correction=0)
    expected = x + (rectified - mean) / torch.sqrt(variance + 1e-3)
    torch.testing.assert_close(block(x).double(), expected, atol=1e-4, rtol=1e-4)
    unbiased = rectified.var()
    assert block.norm.running_mean.item() == pytest.approx(0.01 * mean.item(), rel=1e-4)
    assert block.norm.running_var.item() == pytest.approx(0.99 + 0.01 * unbiased.item(), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 3), (4, 1)])
def test_pooling_before_batch_norm_changes_no_bit(size, dtype):
    torch.manual_seed(0)
    block = ConvBlock(2, 8, 4, height=2, same=True).eval()
    with torch.no_grad():
        block.norm.weight.copy_(torch.tensor([1.0, -1.0, 0.5, -2.0, 0.0, 3.0, -0.1, 1.0]))
        block.norm.bias.normal_()
        block.norm.running_mean.normal_()
        block.norm.running_var.uniform_(0.5, 2)
        block.conv.bias.normal_()
    x = torch.randn(3, 2, 5, 31).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        expected = torch.nn.functional.max_pool2d(block(x), size)
        assert torch.equal(block.pooled(x, size), expected)
