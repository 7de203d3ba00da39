"""The joint output layer, against its formula; other tags than those that were learned."""

from __future__ import annotations

import math

import numpy as np
import torch

from folksong.models.heads import BIAS_STEPS, EmbeddingHead, JointOutput, ask, joint_output, listen
from folksong.models.tagger import Tagger


def plain(layer, features, vector):
    """The score of one tag for one recording, in plain loops."""

    def placed(part, x):
        norm, linear = part
        mean = sum(x) / len(x)
        variance = sum((v - mean) ** 2 for v in x) / len(x)
        scaled = [
            (v - mean) / math.sqrt(variance + norm.eps) * float(w) + float(b)
            for v, w, b in zip(x, norm.weight, norm.bias, strict=True)
        ]
        found = [
            sum(float(w) * v for w, v in zip(row, scaled, strict=True)) + float(b)
            for row, b in zip(linear.weight, linear.bias, strict=True)
        ]
        length = math.sqrt(sum(v * v for v in found))
        return [v / length for v in found]

    a, w = placed(layer.audio, features), placed(layer.tags, vector)
    cosine = sum(x * y for x, y in zip(a, w, strict=True))
    return math.exp(float(layer.log_scale)) * cosine + BIAS_STEPS * float(layer.bias)


def made():
    torch.manual_seed(0)
    layer = JointOutput(6, 4, 5, n_units=3)
    layer.tag_vectors = torch.randn(4, 5)
    return layer


def test_logits_are_the_formula():
    layer, x = made(), torch.randn(2, 6)
    found = layer(x)
    for row in range(2):
        for label in range(4):
            expected = plain(layer, x[row].tolist(), layer.tag_vectors[label].tolist())
            assert math.isclose(float(found[row, label]), expected, abs_tol=1e-4)


def test_what_is_kept_of_the_labels_follows_weights_and_vectors():
    layer, x = made().eval(), torch.randn(2, 6)
    with torch.inference_mode():
        before = layer(x).clone()
        assert torch.equal(layer(x), before)
    layer.train()
    with torch.no_grad():
        layer.tags[1].weight.mul_(-1)
    layer.eval()
    with torch.inference_mode():
        changed = layer(x)
    assert not torch.equal(changed, before)
    with torch.no_grad():
        assert torch.allclose(layer(x), changed, atol=1e-6)


def test_other_tags_are_scored_and_known_ones_keep_their_calibration():
    torch.manual_seed(0)
    head = EmbeddingHead(6, 4, joint={"n_tag_numbers": 5, "n_units": 3}).eval()
    joint_output(head).tag_vectors = torch.randn(4, 5)
    head.offset.copy_(torch.tensor([1.0, 2.0, 3.0, -2.0]))
    x = torch.randn(7, 6)
    with torch.inference_mode():
        before = head(x).clone()
        vectors = torch.cat([joint_output(head).tag_vectors[[2]], torch.randn(1, 5)])
        ask(head, vectors, [2, None])
        after = head(x)
    assert after.shape == (7, 2)
    assert torch.allclose(after[:, 0], before[:, 2], atol=1e-5)
    assert head.offset.tolist() == [3.0, 1.0]


def test_a_network_that_listens_gives_places_of_length_one():
    torch.manual_seed(0)
    tagger = Tagger(
        "log-mel-spectrogram", 4, n_mels=48, n_filters=2, joint={"n_tag_numbers": 5, "n_units": 3}
    )
    again = Tagger.from_settings(tagger.settings)
    again.load_state_dict(tagger.state_dict())
    assert listen(tagger.eval()) == 3
    with torch.inference_mode():
        places = tagger(torch.randn(2, 48, 200))
    np.testing.assert_allclose(places.norm(dim=1), 1, atol=1e-5)
    with torch.inference_mode():
        assert again.eval()(torch.randn(2, 48, 200)).shape == (2, 4)
