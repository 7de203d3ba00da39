"""A prepared tagger gives the logits of the one it was made of, and leaves that one as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from folksong.models.inference import FoldedBlock, prepared
from folksong.models.tagger import Tagger


def trained(front_end, negative, n_mels=24):
    """A tagger whose batch norms are not at their beginnings; some scales are negative if asked for."""
    torch.manual_seed(0)
    tagger = Tagger(front_end, 7, n_mels=n_mels, n_filters=2, n_dense_units=8).eval()
    with torch.no_grad():
        for layer in tagger.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-1, 1)
                layer.running_mean.uniform_(0, 0.5)
                layer.running_var.uniform_(0.5, 2)
                if negative:
                    layer.weight[::2] *= -1
            elif isinstance(layer, nn.Conv2d):
                layer.bias.uniform_(-0.2, 0.2)
    return tagger


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("front_end", ["waveform", "log-mel-spectrogram"])
def test_folded_norms_change_nothing_but_the_rounding(front_end, negative):
    tagger = trained(front_end, negative)
    before = {name: value.clone() for name, value in tagger.state_dict().items()}
    x = torch.randn(2, 21_000) if front_end == "waveform" else torch.randn(2, 24, 200)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(tagger, torch.float32)(x), tagger(x), atol=1e-4, rtol=1e-4)
    for name, value in tagger.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in tagger.front_end.modules())
    assert not any(
        isinstance(layer, nn.BatchNorm2d) for layer in prepared(tagger, torch.float32).front_end.modules()
    )


@pytest.mark.parametrize("n_mels", [2, 11, 31, 96, 128])
def test_rows_as_channels_whatever_their_number(n_mels):
    """Answers over 1 and 2, 3 and 8, …, 14 and 78 rows: fewer than a strip, whole strips, and a rest."""
    tagger = trained("log-mel-spectrogram", negative=True, n_mels=n_mels)
    x = torch.randn(2, n_mels, 60)
    with torch.inference_mode():
        expected = tagger.front_end(x)
        ready = prepared(tagger, torch.float32)
        torch.testing.assert_close(ready(x), tagger(x), atol=1e-4, rtol=1e-4)
        sizes = [2, 4, 8] * 2  # filters of the timbral blocks, whose norms are folded away
        rectified = ready.front_end(x)[:, : sum(sizes)].split(sizes, dim=1)
        normed = [block.norm(part) for block, part in zip(tagger.front_end.timbral, rectified, strict=True)]
        torch.testing.assert_close(torch.cat(normed, dim=1), expected[:, : sum(sizes)], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("front_end", ["waveform", "log-mel-spectrogram"])
def test_weights_are_cast_once_and_scores_move_by_little(front_end, negative):
    tagger = trained(front_end, negative)
    ready = prepared(tagger, torch.bfloat16)
    kinds = {layer.weight.dtype for layer in ready.modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    assert kinds == {torch.bfloat16}
    x = torch.randn(4, 21_000) if front_end == "waveform" else torch.randn(4, 24, 200)
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            found = torch.sigmoid(ready(x).float())
        expected = torch.sigmoid(tagger(x))
    assert 0 < (found - expected).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("front_end", ["waveform", "log-mel-spectrogram"])
def test_comparing_bits_finds_what_comparing_numbers_does(front_end, dtype, monkeypatch):
    ready = prepared(trained(front_end, negative=False), dtype)
    x = torch.randn(2, 21_000) if front_end == "waveform" else torch.randn(2, 24, 200)
    with torch.inference_mode(), torch.autocast("cpu", dtype):
        by_bits = ready(x)
        monkeypatch.setattr(FoldedBlock, "_comparable", lambda self, x: x)
        by_numbers = ready(x)
    assert torch.equal(by_bits, by_numbers)
