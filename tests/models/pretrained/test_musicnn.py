"""The networks of musicnn against the package's own graph in TensorFlow, and their fast form against the plain one."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from folksong.audio.log_mel import log_mel
from folksong.errors import AudioError, FileFormatError, FolksongError
from folksong.models.pretrained.highest_band import ManyBandFilters, OneBandFilters
from folksong.models.pretrained.musicnn import (
    N_FRAMES,
    PRESET,
    Musicnn,
    MusicnnExtractor,
    Vgg,
    read_tags_of,
    windows_of,
)
from folksong.models.pretrained.weights import read_weights

HERE = Path(__file__).parent
BANDS = {"pool1": (92, 48), "pool2": (46, 24), "pool3": (23, 12), "pool4": (11, 6), "pool5": (2, 1)}
NETWORKS = {"MTT_musicnn": Musicnn, "MSD_musicnn": Musicnn, "MTT_vgg": Vgg, "MSD_vgg": Vgg}


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "musicnn_golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("musicnn_golden", HERE / "musicnn_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_layers_and_tags_equal_those_of_tensorflow(name, fast, wheel, golden, script):
    network = NETWORKS[name]()
    network.load(read_weights(name, wheel).tensors)
    network = network.prepare() if fast else network.eval()
    with torch.inference_mode():
        found = network(torch.from_numpy(script.windows()))
    found = {layer: values.numpy() for layer, values in found.items()}
    found["taggram"] = 1 / (1 + np.exp(-found["tags"][:, 0]))
    if "features" in found:
        found["mean_pool"], found["max_pool"] = found["features"].mean(1), found["features"].max(1)
        found["penultimate"] = found["penultimate"][:, 0]
    names = [key.split("/")[1] for key in golden if key.startswith(f"{name}/")]
    assert len(names) == (9 if "musicnn" in name else 6)
    for layer in names:
        values = found[layer].reshape(3, *BANDS[layer], -1) if layer in BANDS else found[layer]
        wanted = golden[f"{name}/{layer}"]
        # 1e-4; in layers with values of over 10 (up to 145) a hundred-thousandth of these: float32's rounding
        tolerance = max(1e-4, 1e-5 * float(np.abs(wanted).max()))
        np.testing.assert_allclose(script.some_of(values), wanted, atol=tolerance, rtol=0)


@pytest.mark.parametrize("heights", [(4,), (5, 8), (12,)])
def test_filters_over_many_bands_give_the_highest_answer(heights):
    torch.manual_seed(0)
    kernels = [torch.randn(3, 5, height) for height in heights]
    pictures = torch.randn(2, 11, 12)
    padded = torch.nn.functional.pad(pictures, (0, 0, 2, 2))[:, None]
    wanted = [torch.nn.functional.conv2d(padded, kernel[:, None]).amax(3).mT for kernel in kernels]
    found = ManyBandFilters(kernels, 12)(pictures)
    torch.testing.assert_close(found, torch.cat(wanted, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n_frames", [1, 15, 16, 17, 40])
def test_filters_over_one_band_give_the_highest_answer(n_frames):
    torch.manual_seed(0)
    kernels = [torch.randn(3, length) for length in (16, 8, 4)]
    pictures = torch.randn(2, n_frames, 5)
    wanted = []
    for kernel in kernels:
        length = kernel.shape[1]
        padded = torch.nn.functional.pad(pictures, (0, 0, (length - 1) // 2, length // 2))[:, None]
        wanted.append(torch.nn.functional.conv2d(padded, kernel[:, None, :, None]).amax(3).mT)
    found = OneBandFilters(kernels)(pictures)
    torch.testing.assert_close(found, torch.cat(wanted, 2), atol=1e-5, rtol=1e-5)


def test_the_spectrogram_is_librosas():
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    samples = (0.3 * np.random.default_rng(0).standard_normal(20_000)).astype(np.float32)
    mel = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    )
    np.testing.assert_allclose(log_mel(samples, PRESET), np.log10(10_000 * mel + 1), atol=1e-4)


def test_short_spectrograms_are_repeated_and_long_ones_heard_whole():
    short = np.arange(5, dtype=np.float32)[None]
    (window,) = windows_of(short)
    np.testing.assert_array_equal(window[0, :, 0], np.arange(N_FRAMES) % 5)
    long = np.arange(12 * N_FRAMES + 100, dtype=np.float32)[None]
    windows = np.concatenate(list(windows_of(long)))
    assert windows.shape == (13, N_FRAMES, 1)
    assert windows[0, 0, 0] == 0
    assert windows[-1, -1, 0] == long[0, -1]


@pytest.fixture(scope="module")
def sound():
    return (0.2 * np.random.default_rng(1).standard_normal(5 * 16_000)).astype(np.float32)


def test_the_features_are_mean_and_max_of_what_the_network_gives(wheel, sound):
    extractor = MusicnnExtractor("musicnn-mtt", weights=wheel)
    vector = extractor(sound)
    assert vector.shape == (1506,)
    assert vector.dtype == np.float32
    assert extractor.space.dimensions == 1506
    with torch.inference_mode():
        windows = np.concatenate(list(windows_of(log_mel(sound, PRESET))))
        features = extractor.network(torch.from_numpy(windows))["features"].numpy()
    np.testing.assert_allclose(vector[:753], features.mean((0, 1)), atol=1e-5)
    np.testing.assert_allclose(vector[753:], features.max((0, 1)), atol=1e-5)


@pytest.mark.parametrize(("name", "seconds"), [("musicnn-msd", None), ("vgg-mtt", 2), ("vgg-msd", 2)])
def test_any_number_of_threads_gives_the_same_features(wheel, sound, name, seconds):
    extractor = MusicnnExtractor(name, weights=wheel)
    sound = sound if seconds is None else sound[: seconds * extractor.sample_rate]
    found, before = [], torch.get_num_threads()
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            found.append(extractor(sound))
    finally:
        assert torch.get_num_threads() == n_threads
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_samples_that_are_none(wheel):
    extractor = MusicnnExtractor("vgg-mtt", weights=wheel)
    with pytest.raises(AudioError, match="mono samples"):
        extractor(np.zeros((2, 100), np.float32))
    with pytest.raises(AudioError, match="mono samples"):
        extractor(np.zeros(0, np.float32))
    with pytest.raises(AudioError, match="no finite numbers"):
        extractor(np.array([0, np.nan], np.float32))
    assert np.isfinite(extractor(np.zeros(1, np.float32))).all()


def test_a_layer_that_is_none(wheel):
    with pytest.raises(FolksongError, match=r"vgg-msd has no layer 'pool6'; it has pool1, .*did you mean"):
        MusicnnExtractor("vgg-msd", weights=wheel, layer="pool6")


def test_weights_of_another_network(wheel):
    with pytest.raises(FileFormatError, match="it is of another network"):
        Vgg().load(read_weights("MTT_musicnn", wheel).tensors)
    with pytest.raises(FileFormatError, match=r"'batch_normalization_1/gamma' is of shape \(128,\)"):
        Musicnn().load(read_weights("MTT_vgg", wheel).tensors)


@pytest.mark.parametrize("name", ["musicnn-mtt", "vgg-msd"])
def test_there_are_50_tags(name):
    assert len(set(read_tags_of(name))) == 50


def test_tags_are_in_the_packages_order(wheel):
    from zipfile import ZipFile

    with ZipFile(wheel) as archive:
        text = archive.read("musicnn/configuration.py").decode()
    for corpus in ("mtt", "msd"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"{corpus.upper()}_LABELS")]
        assert tuple(json.loads(line.split("=")[1].replace("'", '"'))) == read_tags_of(f"musicnn-{corpus}")
