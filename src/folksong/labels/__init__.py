"""What is classified: label spaces and the builders that make them from tag tables."""

from __future__ import annotations

from folksong.labels.analysis.pairs import Judgement, Pair, judge, read_pairs
from folksong.labels.coverage import Coverage, coverage
from folksong.labels.genres import GenreChoice, keep_genres, propose_genres, read_genres, write_genres
from folksong.labels.hybrid import hybrid
from folksong.labels.kmeans import kmeans
from folksong.labels.npmi import npmi, skipgram
from folksong.labels.space import Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.labels.top import SUBJECTIVE_TAGS, drop, top

__all__ = [
    "SUBJECTIVE_TAGS",
    "Coverage",
    "GenreChoice",
    "Judgement",
    "Label",
    "LabelSpace",
    "Pair",
    "SphericalKMeans",
    "coverage",
    "drop",
    "hybrid",
    "judge",
    "keep_genres",
    "kmeans",
    "npmi",
    "propose_genres",
    "read_genres",
    "read_pairs",
    "skipgram",
    "top",
    "write_genres",
]
