"""Golden outputs of the networks, computed by Keras: run it where TensorFlow and tf_keras are installed.

The models are written here once more, in Keras and from the papers' description. Weights and inputs come from
an integer hash, so that only the outputs need to be stored: ``python tests/models/keras_golden.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name("keras_golden.npz")
SIZES = {"n_mels": 12, "n_filters": 1, "n_dense_units": 8, "n_labels": 5}
SAMPLES, FRAMES, BATCH = 24_000, 41, 3


def hashed(shape, salt):
    """Return numbers in [-1, 1) that depend on nothing but position and salt."""
    x = (np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(1)) * np.uint64(2_654_435_761)
    x = (x + np.uint64(salt) * np.uint64(40_503)) & np.uint64(0xFFFFFFFF)
    for multiplier in (0x45D9F3B, 0x45D9F3B):
        x = ((x >> np.uint64(16)) ^ x) * np.uint64(multiplier) & np.uint64(0xFFFFFFFF)
    x = (x >> np.uint64(16)) ^ x
    return (x.astype(np.float64) / 2.0**31 - 1.0).astype(np.float32).reshape(shape)


def layer_weights(name, shapes):
    """Return a layer's arrays: a kernel of deviation about 1/√fan-in, or batch norm arrays near 1, 0, 0, 1."""
    salt = sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 100_003
    if len(shapes) == 2:
        kernel, bias = shapes
        fan_in = int(np.prod(kernel[:-1]))
        return [
            hashed(kernel, salt) * np.float32(np.sqrt(6 / fan_in)),
            hashed(bias, salt + 1) * np.float32(0.1),
        ]
    scales = [(1.0, 0.5), (0.0, 0.3), (0.2, 0.2), (1.0, 0.5)]
    return [
        (np.float32(centre) + np.float32(width) * hashed(shape, salt + place)).astype(np.float32)
        for place, (shape, (centre, width)) in enumerate(zip(shapes, scales, strict=True))
    ]


def inputs(front_end):
    if front_end == "waveform":
        return hashed((BATCH, SAMPLES), 1)
    return hashed((BATCH, SIZES["n_mels"], FRAMES), 2)


def keras_model(front_end):
    import tensorflow as tf
    from tf_keras import Model, layers

    def conv1d(x, n, length, name, **options):
        x = layers.Conv1D(n, length, activation="relu", name=f"conv{name}", **options)(x)
        return layers.BatchNormalization(name=f"bn{name}")(x)

    def conv2d(x, n, size, name):
        return layers.Conv2D(n, size, activation="relu", name=f"conv{name}")(x)

    if front_end == "waveform":
        start = layers.Input((None,))
        x = conv1d(start[..., None], 64, 3, "0_wave", strides=3)
        for number, n in enumerate((64, 64, 128, 128, 128, 256), start=1):
            x = layers.MaxPool1D(3)(conv1d(x, n, 3, f"{number}_wave"))
    else:
        mels, base = SIZES["n_mels"], SIZES["n_filters"]
        start = layers.Input((mels, None))
        picture = start[..., None]
        parts, number = [], 0
        for height in (int(0.9 * mels), int(0.4 * mels)):
            for length, times in ((7, 1), (3, 2), (1, 4)):
                number += 1
                padded = layers.ZeroPadding2D(((0, 0), (length // 2, length // 2)))(picture)
                part = conv2d(padded, base * times, (height, length), f"{number}_spec")
                part = layers.BatchNormalization(name=f"bn{number}_spec")(part)
                parts.append(tf.reduce_max(part, axis=1))
        curve = tf.reduce_mean(picture, axis=1)
        for length, times in ((165, 1), (128, 2), (64, 4), (32, 8)):
            number += 1
            parts.append(conv1d(curve, base * times, length, f"{number}_spec", padding="same"))
        x = layers.Concatenate(2)(parts)
    x = x[..., None]
    x = layers.BatchNormalization(name="bn1_back")(conv2d(x, 512, (7, x.shape[2]), "1_back"))
    x = layers.Permute((1, 3, 2))(x)
    for number in (2, 3):
        padded = layers.ZeroPadding2D(((3, 3), (0, 0)))(x)
        y = layers.Permute((1, 3, 2))(conv2d(padded, 512, (7, 512), f"{number}_back"))
        x = x + layers.BatchNormalization(name=f"bn{number}_back")(y)
        if number == 2:
            x = layers.MaxPool2D((2, 1))(x)
    x = layers.Concatenate(2)([tf.reduce_max(x, axis=1), tf.reduce_mean(x, axis=1)])
    x = layers.Dense(SIZES["n_dense_units"], activation="relu", name="dense1_back")(layers.Flatten()(x))
    x = layers.BatchNormalization(name="bn_dense_back")(x)
    x = layers.Dense(SIZES["n_labels"], activation="sigmoid", name="dense2_back")(x)
    model = Model(start, x)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(layer_weights(layer.name, [tuple(w.shape) for w in layer.weights]))
    return model


def main():
    arrays = {}
    for front_end in ("waveform", "log-mel-spectrogram"):
        x = inputs(front_end)
        axes = tuple(range(1, x.ndim))
        wide = x.astype(np.float64)
        wide = (wide - wide.mean(axes, keepdims=True)) / wide.std(axes, keepdims=True)
        model = keras_model(front_end)
        arrays[front_end] = model(wide.astype(np.float32), training=False).numpy()
        for layer in model.layers:
            if layer.weights:
                shapes = [tuple(w.shape) for w in layer.weights]
                arrays[f"{front_end}/{layer.name}"] = np.array([list(s) + [0] * (4 - len(s)) for s in shapes])
        print(front_end, arrays[front_end])
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
