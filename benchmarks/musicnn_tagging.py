"""Tagging one recording with musicnn 0.1.0: a peer for `bench_prediction.py`.

    python benchmarks/musicnn_tagging.py CLIP --package FOLDER [--threads 0] [--repeats 15]

musicnn asks for a NumPy of 2019 and cannot be installed beside today's packages, but its code still runs: FOLDER is
its wheel, unpacked. Needs TensorFlow, tf_keras and librosa, and neither folksong nor PyTorch. The network of
MagnaTagATune is loaded once, as folksong's is; musicnn's own functions load it anew for every file, which is printed
beside it. Prints seconds of processor and of wall time as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import redirect_stdout

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")

import librosa
import numpy as np
import tensorflow as tf

from timing import median_seconds

MODEL = "MTT_musicnn"
SECONDS = 3  # musicnn's default window; windows lie side by side


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip")
    parser.add_argument("--package", required=True, help="the folder that the wheel was unpacked into")
    parser.add_argument("--threads", type=int, default=0, help="0: TensorFlow's own choice")
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    sys.path.insert(0, given.package)
    tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    tf.config.threading.set_inter_op_parallelism_threads(given.threads)
    from musicnn import configuration, extractor, models

    size = {"sr": configuration.SR, "n_fft": configuration.FFT_SIZE, "hop_length": configuration.FFT_HOP}
    frames = int(librosa.time_to_frames(SECONDS, **size)) + 1
    heard = tf.compat.v1.placeholder(tf.float32, [None, frames, configuration.N_MELS])
    training = tf.compat.v1.placeholder(tf.bool)
    logits = models.define_model(heard, training, MODEL, len(configuration.MTT_LABELS))[0]
    scores = tf.nn.sigmoid(logits)
    session = tf.compat.v1.Session()
    tf.compat.v1.train.Saver().restore(session, f"{given.package}/musicnn/{MODEL}/")

    def tag() -> np.ndarray:
        windows, _ = extractor.batch_data(given.clip, frames, frames)
        return np.mean(
            [session.run(scores, {heard: window[None], training: False})[0] for window in windows], axis=0
        )

    def tag_and_load() -> np.ndarray:
        with redirect_stdout(sys.stderr):
            return extractor.extractor(given.clip, MODEL, extract_features=False)[0].mean(axis=0)

    loaded = median_seconds(tag, given.repeats)
    np.testing.assert_allclose(tag(), tag_and_load(), atol=1e-5)
    print(json.dumps({"loaded": loaded, "loading it": median_seconds(tag_and_load, min(given.repeats, 5))}))


if __name__ == "__main__":
    main()
