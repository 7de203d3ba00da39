"""The control beside any other embedding: what a recording's spectrum is like on average, with no training at all.

Mean and standard deviation over all frames of the log-mel-spectrogram (preset ``urop2019``: decibels), and of its
first 20 mel-frequency cepstral coefficients (its orthonormal discrete cosine transform over bands; Davis & Mermelstein
1980), and of these coefficients' change from frame to frame.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from folksong.audio.log_mel import log_mel, read_preset
from folksong.embeddings.store import EmbeddingSpace
from folksong.models.pretrained.pooling import Vector, check_samples

PRESET = "urop2019"
N_COEFFICIENTS = 20
LAYER, POOL = "log-mel and MFCC", "mean+std"


class Statistics:
    """The extractor ``statistics``."""

    def __init__(self) -> None:
        self.preset = read_preset(PRESET)
        self.sample_rate = self.preset.sample_rate
        self.space = EmbeddingSpace(
            model="statistics",
            revision="1",
            layer=LAYER,
            pool=POOL,
            sample_rate=self.sample_rate,
            window_seconds=None,
            licence="MIT",
            sha256="",
            dimensions=2 * (self.preset.n_mels + 2 * N_COEFFICIENTS),
        )

    def __call__(self, samples: Vector) -> Vector:
        """Return the embedding; see `folksong.models.pretrained.extractors.Extractor`."""
        from scipy.fft import dct

        with threadpool_limits(1):  # matrix products give other last bits with another number of threads
            mel = log_mel(check_samples(samples), self.preset)
        coefficients = dct(mel, axis=0, norm="ortho")[:N_COEFFICIENTS]
        changes = np.diff(coefficients, axis=1, append=coefficients[:, -1:])
        frames = np.concatenate([mel, coefficients, changes])
        return np.concatenate([frames.mean(1), frames.std(1)])
