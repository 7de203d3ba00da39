"""Extractors by name: samples of a recording -> one embedding."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from folksong.embeddings.store import EmbeddingSpace

Vector = npt.NDArray[np.float32]


class Extractor(Protocol):
    """Samples of a recording -> its embedding, the same for any number of threads and processes."""

    @property
    def space(self) -> EmbeddingSpace:
        """What makes the embeddings."""

    @property
    def sample_rate(self) -> int:
        """Hz of the samples that it takes."""

    def __call__(self, samples: Vector) -> Vector:
        """Return the embedding, (space.dimensions,) float32, of mono samples (n_samples,) float32.

        Raises:
            AudioError: there are no samples, or some are not finite.
        """
