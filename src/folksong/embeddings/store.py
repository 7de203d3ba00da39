"""Embeddings of recordings, and the space that they lie in: what made them, exactly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbeddingSpace:
    """What made the embeddings of recordings. Two embeddings may stand side by side only if all of it is equal.

    Args:
        model: name of the extractor or of the network: ``musicnn-msd``.
        revision: its version, as its publisher counts.
        layer: where in the network they were taken.
        pool: how they were made one vector a recording: ``mean``, ``max``, ``mean+max``, ``mean+std``.
        sample_rate: Hz of the samples that the model heard; None where it is not known.
        window_seconds: of one window; None for whole recordings, or where it is not known.
        licence: of the weights.
        sha256: of the weights' file; empty where there are no weights or it is not known.
        dimensions: numbers a recording.
    """

    model: str
    revision: str
    layer: str
    pool: str
    sample_rate: int | None
    window_seconds: float | None
    licence: str
    sha256: str
    dimensions: int
