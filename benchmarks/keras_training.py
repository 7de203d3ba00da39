"""Training and inference of the same networks in Keras, in mixed bfloat16: a peer for `bench_training.py`.

    python benchmarks/keras_training.py [--front-end waveform] [--threads 2] [--steps 8] [--precision bf16]

Needs TensorFlow and tf_keras, and neither folksong nor PyTorch; `bench_training.py --keras-python PATH` runs it with
the Python of an environment that has them. Prints clips/s and peak memory as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import Model, layers

from timing import peak_memory

SHAPES = {"waveform": (240_000,), "log-mel-spectrogram": (96, 937)}
BASE, LABELS = 16, 50


def norm(x: tf.Tensor) -> tf.Tensor:
    return layers.BatchNormalization()(x)


def conv1d(x: tf.Tensor, n: int, length: int, **options: object) -> tf.Tensor:
    return norm(layers.Conv1D(n, length, activation="relu", **options)(x))


def standardised(x: tf.Tensor) -> tf.Tensor:
    axes = list(range(1, x.shape.rank))
    mean, variance = tf.nn.moments(tf.cast(x, tf.float32), axes, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-8)


def waveform_front_end(x: tf.Tensor) -> tf.Tensor:
    x = conv1d(x[..., None], 64, 3, strides=3)
    for n in (64, 64, 128, 128, 128, 256):
        x = layers.MaxPool1D(3)(conv1d(x, n, 3))
    return x


def log_mel_front_end(x: tf.Tensor) -> tf.Tensor:
    picture, parts = x[..., None], []
    for height in (int(0.9 * x.shape[1]), int(0.4 * x.shape[1])):
        for length, times in ((7, 1), (3, 2), (1, 4)):
            padded = layers.ZeroPadding2D(((0, 0), (length // 2, length // 2)))(picture)
            part = norm(layers.Conv2D(BASE * times, (height, length), activation="relu")(padded))
            parts.append(tf.reduce_max(part, axis=1))
    curve = tf.reduce_mean(picture, axis=1)
    for length, times in ((165, 1), (128, 2), (64, 4), (32, 8)):
        parts.append(conv1d(curve, BASE * times, length, padding="same"))
    return layers.Concatenate(2)(parts)


def build(front_end: str) -> Model:
    start = layers.Input(SHAPES[front_end], dtype="float32")
    x = layers.Lambda(standardised, dtype="float32")(start)
    x = waveform_front_end(x) if front_end == "waveform" else log_mel_front_end(x)
    x = conv1d(x, 512, 7)
    for number in range(2):
        y = layers.Conv1D(512, 7, padding="same", activation="relu")(x)
        x = x + norm(y[..., None])[..., 0]  # one scale and offset for all 512
        x = layers.MaxPool1D(2)(x) if number == 0 else x
    x = layers.Concatenate()([tf.reduce_max(x, axis=1), tf.reduce_mean(x, axis=1)])
    x = norm(layers.Dense(500, activation="relu")(layers.Dropout(0.5)(x)))
    return Model(start, layers.Dense(LABELS, dtype="float32")(layers.Dropout(0.5)(x)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--front-end", choices=sorted(SHAPES), default="waveform")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--precision", choices=["32", "bf16"], default="bf16")
    given = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    tf.config.threading.set_inter_op_parallelism_threads(given.threads)
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16" if given.precision == "bf16" else "float32")
    model = build(given.front_end)
    loss = tf_keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(1e-3), loss)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((given.batch, *SHAPES[given.front_end])), tf.float32)
    y = tf.constant(rng.random((given.batch, LABELS)) < 0.1, tf.float32)
    found = {}
    for name, work in (
        ("train", lambda: model.train_on_batch(x, y)),
        ("infer", lambda: model.predict_on_batch(x)),
    ):
        work()
        times = []
        for _ in range(given.steps):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        found[name] = given.batch / sorted(times)[len(times) // 2]
    found["peak_gb"] = peak_memory() / 1e9
    print(json.dumps({**found, "parameters": model.count_params()}))


if __name__ == "__main__":
    main()
