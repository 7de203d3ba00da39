"""Extractors by name, side by side, and warnings of what their networks were trained on."""

from __future__ import annotations

import numpy as np
import pytest

from folksong.embeddings.pooling import Pooling
from folksong.errors import AudioError, FolksongError
from folksong.models.pretrained.extractors import contamination, get_extractor, trained_on

RNG = np.random.default_rng(0)
SOUND = (0.2 * RNG.standard_normal(40_000)).astype(np.float32)


def test_statistics_are_means_and_deviations():
    extractor = get_extractor("statistics")
    vector = extractor(SOUND)
    assert vector.shape == (extractor.space.dimensions,) == (272,)
    assert vector.dtype == np.float32
    from folksong.audio.log_mel import log_mel, read_preset

    mel = log_mel(SOUND, read_preset("urop2019"))
    np.testing.assert_allclose(vector[:96], mel.mean(1), rtol=1e-5)
    np.testing.assert_allclose(vector[136:232], mel.std(1), rtol=1e-4)
    np.testing.assert_allclose(
        vector[96], mel.sum(0).mean() / np.sqrt(96), rtol=1e-5
    )  # the first coefficient
    assert np.isfinite(extractor(np.zeros(1, np.float32))).all()
    with pytest.raises(AudioError, match="no finite numbers"):
        extractor(np.full(5, np.inf, np.float32))


def test_side_by_side(wheel):
    parts = [
        get_extractor("musicnn-mtt", weights=wheel, layer="penultimate", pool="mean"),
        get_extractor("statistics"),
    ]
    both = get_extractor("musicnn-mtt+statistics", weights=wheel)
    assert both.space.model == "musicnn-mtt+statistics"
    assert both.space.dimensions == 1506 + 272 == len(both(SOUND))
    np.testing.assert_array_equal(both(SOUND)[1506:], parts[1](SOUND))
    assert parts[0].space.dimensions == 200
    assert both.sample_rate == 16_000


def test_several_layers_of_one_network(wheel):
    both = get_extractor("vgg-mtt", weights=wheel, layer="pool4+pool5", pool="mean")
    alone = get_extractor("vgg-mtt", weights=wheel, layer="pool5", pool="mean")
    np.testing.assert_array_equal(both(SOUND)[128:], alone(SOUND))


def test_names_that_are_none():
    with pytest.raises(FolksongError, match=r"no extractor 'musicnn-ms'.*did you mean 'musicnn-msd'"):
        get_extractor("musicnn-ms")
    with pytest.raises(FolksongError, match=r"no pool 'median'; there are mean, max"):
        get_extractor("statistics", pool="median")
    with pytest.raises(FolksongError, match="have no layers or other pools"):
        get_extractor("statistics", layer="mfcc")


@pytest.mark.parametrize("pool", ["mean", "max", "mean+max", "mean+std"])
def test_pools_over_all_windows(pool):
    values = RNG.standard_normal((5, 7, 3)).astype(np.float32)
    pooling = Pooling(pool)
    for piece in (values[:2], values[2:]):
        pooling.add(piece)
    flat = values.reshape(-1, 3)
    wanted = {"mean": flat.mean(0), "max": flat.max(0), "std": flat.std(0)}
    np.testing.assert_allclose(
        pooling.result(), np.concatenate([wanted[part] for part in pool.split("+")]), atol=1e-6
    )


MSD_IDS = ["TRAAAAW128F429D538", "TRAAABD128F429CF47", "other"]


@pytest.mark.parametrize(
    ("model", "track_ids", "tags", "found"),
    [
        ("musicnn-msd", MSD_IDS, ["rock"], "Million Song Dataset"),
        ("statistics+vgg-msd", MSD_IDS, [], "Million Song Dataset"),
        ("musicnn-mtt", ["2", "6"], ["no voice", "weird", "man", "guitar"], "MagnaTagATune"),
        ("musicnn-mtt", MSD_IDS, ["rock"], None),
        ("musicnn-msd", ["2", "6"], ["no voice", "weird", "man", "guitar"], None),
        ("statistics", MSD_IDS, ["no voice", "weird", "man"], None),
        ("musicnn-mtt+musicnn-msd", [], [], None),
    ],
)
def test_contamination(model, track_ids, tags, found):
    warning = contamination(model, track_ids, tags)
    assert (warning is None) if found is None else (found in warning)


def test_what_networks_were_trained_on():
    assert trained_on("statistics") is None
    assert "MagnaTagATune" in trained_on("musicnn-mtt+musicnn-msd")
    assert "Million Song" in trained_on("musicnn-mtt+musicnn-msd")
