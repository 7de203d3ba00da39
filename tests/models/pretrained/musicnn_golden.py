"""What the package musicnn 0.1.0 itself gives, in TensorFlow: writes `musicnn_golden.npz` beside this script.

    python tests/models/pretrained/musicnn_golden.py FOLDER

FOLDER is the wheel of ``musicnn==0.1.0``, unpacked: its own graph is run on its own weights. Needs TensorFlow and
tf_keras, and neither folksong nor PyTorch; librosa is not needed, as the spectrograms are made up.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

NETWORKS = ("MTT_musicnn", "MSD_musicnn", "MTT_vgg", "MSD_vgg")
N_FRAMES, N_MELS = 187, 96
LAYERS = {
    "musicnn": ("timbral", "temporal", "cnn1", "cnn2", "cnn3", "mean_pool", "max_pool", "penultimate"),
    "vgg": ("pool1", "pool2", "pool3", "pool4", "pool5"),
}


def windows() -> np.ndarray:
    """Return (3, 187, 96) float32: something like log-mel-spectrograms of music, of noise and of silence."""
    rng = np.random.default_rng(18)
    time, band = np.arange(N_FRAMES)[:, None], np.arange(N_MELS)
    notes = sum(np.exp(-(((band - rng.uniform(5, 90)) / 3) ** 2)) * (time % n < n / 2) for n in (20, 31, 47))
    music = 3 * notes + np.maximum(0, 2 - band / 40) + 0.2 * rng.random((N_FRAMES, N_MELS))
    noise = 2 + rng.random((N_FRAMES, N_MELS))
    return np.stack([music, noise, np.zeros_like(noise)]).astype(np.float32)


def some_of(values: np.ndarray) -> np.ndarray:
    """Return pooled values (batch, features) whole, and some of those of each step, (batch, time, [band,] features)."""
    values = values[..., 0] if values.shape[-1] == 1 else values  # of cnn1 to cnn3
    return values if values.ndim == 2 else values[:, ::40, ..., ::7]


def main() -> None:
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
    import tensorflow as tf

    folder = Path(sys.argv[1])
    sys.modules["musicnn"] = package = ModuleType("musicnn")
    package.__path__ = [str(folder / "musicnn")]
    from musicnn import models

    golden = {}
    for name in NETWORKS:
        tf.compat.v1.reset_default_graph()
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            with tf.name_scope("model"):
                heard = tf.compat.v1.placeholder(tf.float32, [None, N_FRAMES, N_MELS])
                training = tf.compat.v1.placeholder(tf.bool)
                logits, *layers = models.define_model(heard, training, name, 50)
            tf.compat.v1.train.Saver().restore(session, f"{folder}/musicnn/{name}/")
            names = ("taggram", *LAYERS[name.split("_")[1]])
            given = {heard: windows(), training: False}
            for layer, values in zip(names, session.run([tf.sigmoid(logits), *layers], given), strict=True):
                golden[f"{name}/{layer}"] = some_of(np.asarray(values, np.float32))
    np.savez_compressed(Path(__file__).with_name("musicnn_golden.npz"), **golden)


if __name__ == "__main__":
    main()
