"""Extractors by name: samples of a recording -> one embedding.

``statistics`` needs no weights; ``musicnn-mtt``, ``musicnn-msd``, ``vgg-mtt`` and ``vgg-msd`` are the networks of the
package musicnn; ``onnx:FILE`` is any network as ONNX; names joined by ``+`` give their embeddings side by side.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from threadpoolctl import threadpool_limits

from folksong.audio.decode import check_samples
from folksong.audio.log_mel import log_mel, read_preset
from folksong.embeddings.pooling import POOLS, Pool, Vector
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import FolksongError, nearest

STATISTICS = "statistics"
NETWORKS = ("musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd")
STATISTICS_LAYER, STATISTICS_POOL = "log-mel and MFCC", "mean+std"
N_COEFFICIENTS = 20
EXTRACTORS = (STATISTICS, *NETWORKS)
ONNX_PREFIX = "onnx:"
TRAINED_ON = {
    "mtt": "about 19,000 songs of MagnaTagATune and their tags",
    "msd": "about 200,000 songs of the Million Song Dataset and their last.fm tags",
}
MSD_TRACK_ID = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")
MTT_OWN_TAGS = frozenset(("no vocal", "no vocals", "no voice", "male voice", "female voice", "man", "weird"))


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


def get_extractor(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    pool: Pool | str | None = None,
) -> Extractor:
    """Return an extractor with its weights loaded.

    Args:
        name: ``statistics``, ``musicnn-mtt``, ``musicnn-msd``, ``vgg-mtt``, ``vgg-msd``, ``onnx:FILE``, or several of
            them joined by ``+``.
        weights: the wheel of musicnn 0.1.0 or a folder that it was unpacked into; the one that was fetched if None.
        layer: of a network: ``features`` (musicnn), ``pool5`` (vgg), ``penultimate``, ``tags``, …, or several joined
            by ``+``; the best if None. Of several extractors one for all, or one each, joined by a comma and a blank.
        pool: over frames and windows: ``mean``, ``max``, ``mean+max`` or ``mean+std``; the best if None; likewise.

    Raises:
        FolksongError: no such extractor, layer or pool, or its weights are not here.
    """
    if "+" in name and not name.startswith(ONNX_PREFIX):
        names = name.split("+")
        of_each = [
            value.split(", ") if value and ", " in value else [value] * len(names) for value in (layer, pool)
        ]
        return _SideBySide(
            [
                get_extractor(part, weights=weights, layer=one, pool=cast(Pool, other))
                for part, one, other in zip(names, *of_each, strict=True)
            ]
        )
    if pool is not None and pool not in POOLS:
        raise FolksongError(f"no pool {pool!r}; there are {', '.join(POOLS)}{nearest(pool, POOLS)}")
    if name.startswith(ONNX_PREFIX):
        from folksong.models.pretrained.onnx import OnnxExtractor

        return OnnxExtractor(name.removeprefix(ONNX_PREFIX), layer=layer, pool=pool)
    if name == STATISTICS:
        only = STATISTICS_LAYER, STATISTICS_POOL
        if (layer or only[0], pool or only[1]) != only:
            raise FolksongError(
                "statistics are means and standard deviations, and have no layers or other pools"
            )
        return Statistics()
    if name in NETWORKS:
        from folksong.models.pretrained.musicnn import MusicnnExtractor

        return MusicnnExtractor(name, weights=weights, layer=layer, pool=pool)
    raise FolksongError(
        f"no extractor {name!r}; there are {', '.join(EXTRACTORS)} and onnx:FILE{nearest(name, EXTRACTORS)}"
    )


class Statistics:
    """The control beside any other embedding: what a recording's spectrum is like on average, with no training at all.

    Mean and standard deviation over all frames of the log-mel-spectrogram (preset ``urop2019``: decibels), and of its
    first 20 mel-frequency cepstral coefficients (its orthonormal discrete cosine transform over bands; Davis &
    Mermelstein 1980), and of these coefficients' change from frame to frame.
    """

    def __init__(self) -> None:
        self.preset = read_preset("urop2019")
        self.sample_rate = self.preset.sample_rate
        self.space = EmbeddingSpace(
            model=STATISTICS,
            revision="1",
            layer=STATISTICS_LAYER,
            pool=STATISTICS_POOL,
            sample_rate=self.sample_rate,
            window_seconds=None,
            licence="MIT",
            sha256="",
            dimensions=2 * (self.preset.n_mels + 2 * N_COEFFICIENTS),
        )

    def __call__(self, samples: Vector) -> Vector:
        """Return the embedding."""
        from scipy.fft import dct

        with threadpool_limits(1):  # matrix products give other last bits with another number of threads
            mel = log_mel(check_samples(samples), self.preset)
        coefficients = dct(mel, axis=0, norm="ortho")[:N_COEFFICIENTS]
        changes = np.diff(coefficients, axis=1, append=coefficients[:, -1:])
        frames = np.concatenate([mel, coefficients, changes])
        return np.concatenate([frames.mean(1), frames.std(1)])


def trained_on(model: str) -> str | None:
    """Return what a network was trained on, None where that is not known (or nothing, as ``statistics``).

    >>> trained_on("vgg-mtt")
    'about 19,000 songs of MagnaTagATune and their tags'
    """
    known = {TRAINED_ON[name.split("-")[1]]: None for name in model.split("+") if name in NETWORKS}
    return " and ".join(known) or None


def contamination(model: str, track_ids: Iterable[str], tags: Iterable[str]) -> str | None:
    """Return a warning if recordings and tags look like those that a network was trained on, else None.

    Track ids tell the Million Song Dataset (most are ``TRAAAAW128F429D538``-like), tags that nobody else uses tell
    MagnaTagATune (three or more of ``no voice``, ``weird``, …). `model` is named as in an `EmbeddingSpace`.
    """
    trained = [name.split("-")[1] for name in model.split("+") if name in NETWORKS]
    ids = list(track_ids)
    of_msd = 2 * sum(MSD_TRACK_ID.fullmatch(track_id) is not None for track_id in ids) > len(ids)
    seen = {"msd": of_msd, "mtt": len(MTT_OWN_TAGS.intersection(tags)) >= 3}
    for corpus in dict.fromkeys(trained):
        if seen[corpus]:
            return (
                f"{model} was trained on {TRAINED_ON[corpus]}, and these look like that set's: if they are, "
                "all figures are contaminated, as the network has heard the test tracks and read their tags"
            )
    return None


@dataclass(frozen=True)
class _SideBySide:
    """Several extractors' embeddings of the same samples, one after the other."""

    parts: Sequence[Extractor]

    def __post_init__(self) -> None:
        EmbeddingSpace.beside([part.space for part in self.parts])  # or refuses them

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.parts[0].sample_rate

    @property
    def space(self) -> EmbeddingSpace:
        """All parts' spaces, joined."""
        return EmbeddingSpace.beside([part.space for part in self.parts])

    def __call__(self, samples: Vector) -> Vector:
        """Return the embedding."""
        return np.concatenate([part(samples) for part in self.parts])
